"""The example package of models, built and installed in a folder of its own: frames decode with it, and not without."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from numcodecs_bitswap import BitSwap, MissingModel
from numcodecs_bitswap.models import catalog
from strategies import picture

PACKAGE = Path(__file__).parents[1] / "examples" / "model_package"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_registered", "_given", "_found", "_loaded"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())


@pytest.mark.slow
def test_a_package_brings_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(PACKAGE, source)
    tiny = catalog.find("tiny-gray8-v1")
    metadata = {"arch": catalog.metadata_of(tiny)["arch"], "name": "microscope-v1"}
    model = source / "my_models" / "microscope-v1.safetensors"
    safetensors.numpy.save_file(safetensors.numpy.load(catalog.read(tiny)), model, metadata)
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)

    image = picture((40, 40))
    with monkeypatch.context() as installed:
        installed.syspath_prepend(str(site))
        (entry,) = importlib.metadata.entry_points(group=catalog.GROUP)
        assert entry.name == "my_models"
        frame = BitSwap(model="microscope-v1").encode(image)
        assert catalog.find("microscope-v1").path.parent == site / "my_models"
        assert np.array_equal(BitSwap().decode(frame), image)
        assert len(frame) < image.nbytes
    monkeypatch.delitem(sys.modules, "my_models")
    forget(monkeypatch)
    with pytest.raises(MissingModel, match="Install the package that brings it"):
        BitSwap().decode(frame)
