"""What surrounds the package says the same everywhere: versions, addresses, requirements, names in the registry."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from numcodecs_bitswap.options import Options
from numcodecs_bitswap.zarr3 import BBANSCodec, BitSwapCodec, LocalBitsBackCodec

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REGISTRY = ROOT / "registry" / "zarr-extensions" / "codecs"
SITE, REPOSITORY = PROJECT["urls"]["Documentation"], PROJECT["urls"]["Repository"]
RECIPE = (ROOT / "recipe" / "recipe.yaml").read_text()


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert f'version: "{version}"' in RECIPE
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_addresses_are_the_same_everywhere() -> None:
    for name in ("mkdocs.yml", "CITATION.cff", "recipe/recipe.yaml"):
        text = (ROOT / name).read_text()
        assert SITE in text, name
        assert REPOSITORY in text, name
    for path in [ROOT / "CHANGELOG.md", *REGISTRY.rglob("README.md")]:
        addresses = re.findall(r"https://(?:github\.com/numcodecs[^/)\s]*/[^/)\s]*|numcodecs[^)\s]*)", path.read_text())
        assert set(addresses) <= {SITE, REPOSITORY}, path


def test_recipe_asks_for_what_the_package_asks_for() -> None:
    run = re.search(r"  run:\n(.*?)  run_constraints:", RECIPE, re.S)
    assert run is not None
    lines = {line.strip().removeprefix("- ").replace(" ", "") for line in run[1].splitlines()}
    assert lines - {"python>=${{python_min}}"} == set(PROJECT["dependencies"])
    assert f'python_min: "{PROJECT["requires-python"].removeprefix(">=")}"' in RECIPE
    (command,) = PROJECT["scripts"].items()
    assert f"- {command[0]} = {command[1]}" in RECIPE


def test_registry_has_the_codecs() -> None:
    assert {path.name for path in REGISTRY.iterdir()} == set(PROJECT["entry-points"]["zarr.codecs"])


@pytest.mark.parametrize("codec", [BitSwapCodec, BBANSCodec, LocalBitsBackCodec], ids=lambda codec: codec.__name__)
def test_registry_has_what_is_stored(codec: Any) -> None:
    """Name and members of the configuration, with their kinds of values."""
    folder = REGISTRY / codec.name
    schema = json.loads((folder / "schema.json").read_text())
    whole, name_alone = schema["oneOf"]
    assert name_alone == {"const": codec.name}
    assert whole["properties"]["name"] == {"const": codec.name}
    members = whole["properties"]["configuration"]["properties"]
    assert members.keys() == Options().config().keys() == codec().to_dict()["configuration"].keys()
    assert re.fullmatch(members["model"]["pattern"].replace(r"^", "").replace("$", ""), Options().model)
    assert {"const": "auto"} in members["channel_axis"]["oneOf"]
    assert {"const": "auto"} in members["spatial_axes"]["oneOf"]
    readme = (folder / "README.md").read_text()
    assert f"`{codec.name}`" in readme
    # Rules of the registry: letters, digits and underscores, a dot after a namespace.
    assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", codec.name)
    for example in re.findall(r"```json\n(.*?)```", readme, re.S):
        (entry,) = json.loads(example)["codecs"]
        assert codec.from_dict(entry).to_dict() == entry
