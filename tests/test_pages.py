"""What README and docs show is run, as a reader would: a page from top to bottom, in one folder.

Python blocks of a page share their names. `sh` blocks run in a shell. Of `console` blocks the commands run, and what
they print is compared but for the figures. Comments in a page say what cannot run here:

    <!-- needs: torch -->          (first line) the page is for those who have these modules
    <!-- not run: REASON -->       (before a block) because it needs what a test does not have
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "README.md", *DOCS.rglob("*.md"))}
SHOWN = ("text", "json", "toml", "yaml")
"""Languages of blocks that are only looked at."""
FENCE = re.compile(r"(?:^<!-- not run: (?P<why>.+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A block of code: the number of its first line, its language and text, and why it is not run."""

    line: int
    language: str
    text: str
    why: str | None


def blocks(page: str) -> list[Block]:
    """A page's blocks in order."""
    found = []
    for m in FENCE.finditer(page):
        found.append(Block(page[: m.start("text")].count("\n") + 1, m["language"], m["text"], m["why"]))
    return found


BLOCKS = {name: blocks(text) for name, text in PAGES.items()}
RUN = [name for name, page in BLOCKS.items() if any(b.language not in SHOWN and not b.why for b in page)]
QUICK = ("README.md", "docs/index.md", "docs/jpeg.md", "docs/guide.md")


def needed(page: str) -> list[str]:
    """The modules that a page asks for."""
    match = re.match(r"<!-- needs: (.+) -->\n", PAGES[page])
    return match[1].split(", ") if match else []


def shell(commands: str) -> str:
    """Standard output of commands of a shell; all have to succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path, "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-euc", commands],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def plain(text: str) -> list[list[str]]:
    """Words by line, without figures, units and rules, which differ from machine to machine."""
    text = re.sub(r"\d[\d,.]*( (kB|MB|bytes|s|min)\b)?", "#", text)
    return [line.split() for line in text.splitlines() if line.strip()]


def sizes(text: str) -> list[str]:
    """This package's rows of a table of codecs up to the bytes, which are the same on every machine."""
    return [" ".join(row.split()) for row in re.findall(r"^BitSwap\D*? +[\d,]+", text, re.M)]


def run_console(block: Block) -> None:
    """Run the commands of a block; each prints what is written below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        printed = shell(command)
        assert plain(printed) == plain(expected), command
        assert sizes(printed) == sizes(expected), command
        if " inspect " in command:
            assert printed.split() == expected.split(), command


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("page", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in RUN])
def test_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in needed(page):
        pytest.importorskip(module)
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "photograph.png", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    for name in ("NUMCODECS_BITSWAP_MODELS", "NUMCODECS_BITSWAP_MAX_BYTES"):
        monkeypatch.delenv(name, raising=False)
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS[page]:
        if block.why or block.language in SHOWN:
            continue
        if block.language == "python":
            # The line numbers of a traceback are those of the page.
            exec(compile("\n" * block.line + block.text, page, "exec"), names)
        elif block.language == "sh":
            shell(block.text)
        else:
            run_console(block)


def test_every_block_says_what_it_is() -> None:
    for page, found in BLOCKS.items():
        for block in found:
            assert block.why or "pip install" not in block.text, (page, block.line)
            assert block.language in (*SHOWN, "python", "sh", "console"), (page, block.line)
    assert sum(block.why is not None for found in BLOCKS.values() for block in found) <= 20
    assert {"README.md", "docs/index.md", "docs/worth.md", "docs/tutorials/microscopy.md"} <= set(RUN)


def test_links_to_files_lead_somewhere() -> None:
    """Those between pages, with their anchors, are checked by mkdocs, too (`make docs`)."""
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^):#\s]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / page).parent / target).exists(), (page, target)


def texts() -> list[str]:
    """All texts in the package's code, with … for what is filled in."""
    found = []
    for path in (ROOT / "numcodecs_bitswap").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_errors_have_the_texts_of_the_code() -> None:
    """Each heading of the page of errors is a text of the package, or the beginning of one."""
    known = [re.sub(r"[…\s]+", " ", text.replace("`", "")) for text in texts()]
    headings = re.findall(r"^### (.+)$", PAGES["docs/errors.md"], re.M)
    assert len(headings) > 15
    for heading in headings:
        if "in Zarr" in heading:  # words of other libraries
            continue
        text = re.sub(r"[…\s]+", " ", heading.replace("`", "")).strip()
        assert any(text in each for each in known), heading


def test_drawings_are_those_of_their_program() -> None:
    spec = spec_from_file_location("draw", DOCS / "assets" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    program = module_from_spec(spec)
    spec.loader.exec_module(program)
    for name, text in program.drawings().items():
        assert (DOCS / "assets" / name).read_text() == text, f"{name}: run python docs/assets/draw.py"
