"""Rules that keep the package as it is drawn: who imports whom, how large files are, what importing costs."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

import numcodecs_bitswap
from numcodecs_bitswap import BBANS, BitSwap, LocalBitsBack
from numcodecs_bitswap.zarr3 import BBANSCodec, BitSwapCodec, LocalBitsBackCodec

CODECS = (BitSwap, BBANS, LocalBitsBack)
SERIALIZERS = (BitSwapCodec, BBANSCodec, LocalBitsBackCodec)
PACKAGE = Path(numcodecs_bitswap.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
MIXED = {"chunk", "runtime", "models", "measure", "readers"}
"""Folders whose modules are parts of their own."""
MEASURING = {"measure.classical", "measure.estimate", "measure.harness"}
CODE = {"runtime.jit", "runtime.vectors", "errors"}
# What each part may import of the package besides itself. Parts are folders, modules of folders in MIXED, or modules
# that lie in the package itself.
MAY_IMPORT = {
    "errors": set(),
    "runtime.forks": set(),
    "runtime.code_cache": {"runtime.forks"},
    "runtime.jit": {"runtime.code_cache"},
    "runtime.vectors": {"runtime.jit"},
    "runtime.loops": {"runtime.jit"},
    "runtime.cores": {"errors"},
    "runtime.workers": set(),
    "runtime.zarr_loop": {"errors"},
    "arrays": set(),
    "rans": CODE | {"runtime.loops"} | {"arrays"},
    "distributions": CODE | {"arrays", "rans"},
    "bitsback": {"errors", "arrays", "rans", "distributions"},
    "nets": CODE | {"arrays", "distributions"},
    "backends": CODE | {"runtime.forks", "arrays", "rans", "distributions", "nets"},
    "planes": CODE | {"runtime.forks", "runtime.cores", "runtime.workers", "rans"},
    "labels": {"errors", "runtime.loops", "rans", "planes"},
    "jpeg": CODE | {"rans", "planes"},
    "samples": {"errors", "runtime.loops", "jpeg", "chunk.fields", "labels", "planes"},
    "chunk.dtypes": {"errors"},
    "chunk.fields": {"errors"},
    "chunk.patches": {"errors"},
    "chunk.frame": {"errors", "chunk.dtypes", "chunk.fields"},
    "chunk.stored": {"errors", "chunk.fields", "chunk.frame"},
    "chunk.structured": {"errors", "options", "models.catalog", "chunk.fields", "chunk.frame"},
    "chunk.plane_payload": {"errors", "chunk.fields", "chunk.frame", "planes", "samples"},
    "readers.images": {"errors"},
    "readers.arrays": {"errors", "readers.images", "runtime.zarr_loop", "codec", "chunk.frame"},
    "train": CODE | MEASURING | {"samples", "jpeg", "planes", "nets", "distributions", "rans", "options"}
    | {"models.catalog", "readers.arrays", "chunk.patches", "chunk.plane_route"},
}  # fmt: skip
# Everything that decoding needs and training does not; these see all of it.
WIRING = MEASURING | {"__init__", "codec", "convert", "options", "zarr3", "models.catalog", "models.embedded"}
WIRING |= {f"chunk.{name}" for name in ("coding", "jpeg_route", "model_route", "notice", "plan", "plane_route")}
WIRING |= {"measure.contents", "verification", "runtime.scheduler", "runtime.warmup"}
COMMANDS = {"cli", "__main__"}
"""What a user types: sees the wiring and training."""


def part(path: Path) -> str:
    """The folder or module of the package that a source file belongs to."""
    return _part([each.removesuffix(".py") for each in path.relative_to(PACKAGE).parts])


def _part(names: Sequence[str]) -> str:
    return ".".join(names[:2]) if names[0] in MIXED and len(names) > 1 and names[1] != "__init__" else names[0]


def named(path: Path) -> list[str]:
    """What a source file imports, by its whole name, also inside functions and for type checkers only."""
    package = ("numcodecs_bitswap", *path.relative_to(PACKAGE).parts[:-1])
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{start}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("numcodecs_bitswap.")]


def imported(path: Path) -> set[str]:
    """Parts of the package that a source file imports."""
    return {_part(name.split(".")[1:]) for name in named(path)}


def module(path: Path) -> str:
    """The name of a source file's module."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["numcodecs_bitswap", *(part for part in parts if part != "__init__")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    of = part(path)
    if of in MIXED:
        assert not imported(path)  # the folder's docstring
        return
    assert of in MAY_IMPORT.keys() | WIRING | COMMANDS, f"{of} is new: give it its place in MAY_IMPORT"
    if of in WIRING:
        assert not {"train", "cli"} & imported(path)
    elif of not in COMMANDS:
        assert imported(path) - {of} <= MAY_IMPORT[of]


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Inside folders too: constants go down, factories up. Only what is asked for in functions may break a circle in
    Python; here it may not.
    """
    files = {module(path): path for path in SOURCES}
    graph = {}
    for name, path in files.items():
        nearest = (each if each in files else each.rpartition(".")[0] for each in named(path))
        graph[name] = {each for each in nearest if each in files} - {name}
    # What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    left = set(graph)
    while free := {name for name in left if not graph[name] & left or not any(name in graph[other] for other in left)}:
        left -= free
    assert not left


def test_the_import_scanner_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rans").mkdir()
    source = tmp_path / "rans" / "module.py"
    source.write_text(
        "import numcodecs_bitswap.nets.layers\nfrom numcodecs_bitswap.codec import BitSwap\nfrom ..chunk import frame\n"
        "def f():\n    from ..chunk.patches import split\n    from . import message\n    from .message import Message\n"
    )
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert imported(source) == {"nets", "codec", "chunk.frame", "chunk.patches", "rans"}


def test_weights_are_a_few_megabytes() -> None:
    assert sum(path.stat().st_size for path in (PACKAGE / "models" / "weights").iterdir()) < 8_000_000


def test_public_names_have_docstrings() -> None:
    """Modules, and in them classes, functions and methods without a leading underscore."""
    missing = []
    for path in SOURCES:
        module = ast.parse(path.read_text())
        nodes: list[ast.AST] = [module]
        while nodes:
            node = nodes.pop()
            public = [n for n in node.body if not getattr(n, "name", "_").startswith("_")]  # type: ignore[attr-defined]
            found = [n for n in public if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
            nodes += [n for n in found if isinstance(n, ast.ClassDef)]
            missing += [
                f"{path.relative_to(PACKAGE)}: {getattr(n, 'name', 'module')}"
                for n in [*found, *([module] if node is module else [])]
                if not ast.get_docstring(n) and not overrides(node, n)
            ]
    assert missing == []


def overrides(owner: ast.AST, node: ast.AST) -> bool:
    """Properties and methods of classes whose meaning the base class or protocol states."""
    return isinstance(owner, ast.ClassDef) and bool(owner.bases) and isinstance(node, ast.FunctionDef)


def test_public_names_exist() -> None:
    for name in numcodecs_bitswap.__all__:
        assert getattr(numcodecs_bitswap, name).__doc__
    with pytest.raises(AttributeError):
        _ = numcodecs_bitswap.no_such_name  # type: ignore[attr-defined]


def test_import_construction_and_small_arrays_load_no_torch() -> None:
    program = """
import sys
import numcodecs
import numpy as np
import numcodecs_bitswap
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.zarr3 import BitSwapCodec
codec = BitSwap(model="photo-rgb8-v2", channel_axis=0)
BitSwapCodec.from_dict(BitSwapCodec().to_dict())
assert numcodecs.get_codec(codec.get_config()) == codec
for array in (np.arange(500.0), np.zeros((64, 64), np.uint8), np.arange(100, dtype=np.uint8).reshape(10, 10)):
    assert np.array_equal(BitSwap().decode(BitSwap().encode(array)), array)
heavy = {"torch", "numba", "scipy", "pandas", "matplotlib", "PIL"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_entry_points_are_named_as_the_codecs_are() -> None:
    ours = [
        entry
        for entry in metadata.distribution("numcodecs_bitswap").entry_points
        if entry.group in ("numcodecs.codecs", "zarr.codecs")
    ]
    assert {(entry.group, entry.name) for entry in ours} == {
        *(("numcodecs.codecs", codec.codec_id) for codec in CODECS),
        *(("zarr.codecs", serializer.name) for serializer in SERIALIZERS),
    }
    assert {entry.load() for entry in ours} == {*CODECS, *SERIALIZERS}
