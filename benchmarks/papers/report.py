"""Tables with the papers' figures beside ours: as text, Markdown and JSON."""

import json
import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from numcodecs_bitswap.errors import MissingModel
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.runtime import scheduler

MARK = "†"
NOTE = (
    f"{MARK}: second-hand, not checked against the paper itself (of these, 1.41 of BB-ANS and 1.42 and 1.64 of bz2 and "
    "gzip on MNIST have a second source). Figures in brackets or under a paper's name are published ones, on the data "
    "and with the models of that paper; all others are ours."
)


class Published(NamedTuple):
    """A figure of a paper, with the digits that it was published with."""

    value: int | Decimal
    second_hand: bool


class Beside(NamedTuple):
    """Our figure and the paper's."""

    ours: float | None
    published: Published | None


Cell = str | int | float | None | Published | Beside


@cache
def _figures() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"), parse_float=Decimal)


def published(*keys: str) -> Published | None:
    """A figure of published.toml, or None if there is none."""
    for second_hand, place in ((False, keys), (True, (*keys[:-1], "second_hand", keys[-1]))):
        found: Any = _figures()
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, int | Decimal):
            return Published(found, second_hand)
    return None


@dataclass
class Table:
    """A table: every row has the same columns."""

    title: str
    notes: list[str] = field(default_factory=list)
    rows: list[dict[str, Cell]] = field(default_factory=list)

    def markdown(self) -> str:
        """The table, aligned so that it reads as plain text too."""
        names = list(self.rows[0])
        cells = [names, *([_text(row[name]) for name in names] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
        left = [isinstance(self.rows[0][name], str) for name in names]
        lines = ["| " + " | ".join(_aligned(row, widths, left)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (w + 1) + "-:"[not x] for w, x in zip(widths, left, strict=True)) + "|")
        return "\n".join([f"## {self.title}", "", *lines, *(f"\n{note}" for note in self.notes)])

    def plain(self) -> dict[str, Any]:
        """The table as JSON values."""
        rows = [{name: _plain(cell) for name, cell in row.items()} for row in self.rows]
        return {"title": self.title, "notes": self.notes, "rows": rows}


class Report:
    """The tables of one run, printed as they come, the ids of their models, and what had to be skipped."""

    def __init__(self, heading: str) -> None:
        self.heading = heading
        self.tables: list[Table] = []
        self.skipped: list[str] = []
        self.models: dict[str, str] = {}
        print(f"# {heading}\n", flush=True)

    def add(self, table: Table) -> None:
        """Print and keep a table that has rows."""
        if table.rows:
            self.tables.append(table)
            print(f"{table.markdown()}\n", flush=True)

    def skip(self, what: str) -> None:
        """Say once that something is missing."""
        if what not in self.skipped:
            self.skipped.append(what)
            print(f"skipped: {what}\n", flush=True)

    def model(self, name: str) -> catalog.Loaded | None:
        """A model, or None where it is not installed, which is said."""
        try:
            loaded = catalog.load(name, scheduler.device())
        except MissingModel:
            self.skip(f"model {name} is not installed")
            return None
        self.models[name] = loaded.id.hex()
        return loaded

    def write(self, path: Path) -> None:
        """Write `path` with the suffixes .md and .json."""
        lines = [f"- model {name}: {model_id}" for name, model_id in self.models.items()]
        lines += [f"- skipped: {what}" for what in self.skipped]
        parts = [f"# {self.heading}", *(table.markdown() for table in self.tables), NOTE, "\n".join(lines)]
        path.with_suffix(".md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        tables = [table.plain() for table in self.tables]
        values = {"heading": self.heading, "tables": tables, "note": NOTE, "models": self.models}
        text = json.dumps(values | {"skipped": self.skipped}, indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(text, encoding="utf-8")


def _aligned(row: list[str], widths: list[int], left: list[bool]) -> list[str]:
    return [cell.ljust(w) if x else cell.rjust(w) for cell, w, x in zip(row, widths, left, strict=True)]


def _text(cell: Cell) -> str:
    if isinstance(cell, Beside) and cell.published is None:
        return _text(cell.ours)
    if isinstance(cell, Beside):
        return f"{_text(cell.ours)} ({_text(cell.published)})"
    if isinstance(cell, Published):
        return f"{cell.value:,}" + MARK * cell.second_hand
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.3f}"


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Beside):
        return {"ours": cell.ours, "published": _plain(cell.published)}
    if isinstance(cell, Published):
        return {"value": float(cell.value), "second_hand": cell.second_hand}
    return cell
