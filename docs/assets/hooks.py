"""What mkdocs does besides Markdown: pages from files elsewhere, links out of this folder, the command line's page.

- A page that says `<!-- include: FILE -->` is that file of the repository.
- A link to a file outside of docs/ becomes one to the page that includes it, or else to the file in the repository.
  It has to exist. So the pages read as well where the repository shows them.
- `<!-- command line -->` is replaced by what the parsers of `numcodecs_bitswap.cli` say.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
INCLUDED = {
    "numcodecs_bitswap/FORMAT.md": "reference/format.md",
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files of the repository that are pages of the site."""
LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
FIGURE = re.compile(r"(\d) %")
FENCE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.M | re.S)
log = logging.getLogger("mkdocs.hooks")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """A page's Markdown as mkdocs takes it."""
    source = DOCS / page.file.src_uri
    place = source.parent
    if match := re.fullmatch(r"\s*<!-- include: (\S+) -->\s*", markdown):
        place = (ROOT / match[1]).parent
        markdown = (ROOT / match[1]).read_text(encoding="utf-8")
        markdown = markdown.replace("][", "]\\[")  # an index behind an index is no link
    if "<!-- command line -->" in markdown:
        markdown = markdown.replace("<!-- command line -->", command_line())
    return relinked(markdown, place, source, config["repo_url"])


def relinked(markdown: str, place: Path, page: Path, repository: str) -> str:
    """The same with links to files outside of docs/ changed; `place` is the folder that links start from."""

    def link(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(place / match[2]))
        if target.is_relative_to(DOCS):
            inside = target
        else:
            name = target.relative_to(ROOT).as_posix()
            if not target.exists():
                log.warning(f"{page.relative_to(ROOT)} links to {name}, which does not exist")
            if name not in INCLUDED:
                return f"{match[1]}{repository}/{'tree' if target.is_dir() else 'blob'}/main/{name}{match[3]}"
            inside = DOCS / INCLUDED[name]
        return match[1] + Path(os.path.relpath(inside, page.parent)).as_posix() + match[3]

    # Links in code are text. A figure and its sign stay on one line.
    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else FIGURE.sub(r"\1&nbsp;%", LINK.sub(link, part)) for i, part in enumerate(parts))


def command_line() -> str:
    """The commands and their options, as Markdown."""
    sys.path.insert(0, str(ROOT))
    from numcodecs_bitswap import cli

    parser = argparse.ArgumentParser(prog="numcodecs-bitswap")
    commands = parser.add_subparsers()
    for each in cli.COMMANDS:
        each.add(commands)
    return "\n".join(line for name, help_, each in _choices(commands) for line in _command(name, help_, each))


def _choices(commands: Any) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    helps = {action.dest: action.help or "" for action in commands._choices_actions}
    for name, parser in commands.choices.items():
        yield name, helps[name], parser


def _command(name: str, help_: str, parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    yield f"{'#' * level} {name}\n"
    text = " ".join((parser.description or "").split()) or help_[:1].upper() + help_[1:] + "."
    yield f"{text}\n"
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if nested:
        for inner, inner_help, each in _choices(nested[0]):
            yield from _command(f"{name} {inner}", inner_help, each, level + 1)
        return
    rows = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    given = [_value(action) + ("..." if action.nargs in ("+", "*") else "") for action in rows if _plain(action)]
    options = [] if len(given) == len(rows) else ["[options]"]
    yield f"```text\n{' '.join(['numcodecs-bitswap', name, *options, *given])}\n```\n"
    if rows:
        yield "| | |\n|---|---|"
        for action in rows:
            choices = f" One of {', '.join(f'`{each}`' for each in action.choices)}." if action.choices else ""
            text = (action.help or "").replace("|", chr(92) + "|")
            yield f"| {_named(action)} | {text}{';' if text and choices else ''}{choices.lower()} |"
        yield ""


def _plain(action: argparse.Action) -> bool:
    return not action.option_strings


def _value(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    return name.upper().replace("_", "-")


def _named(action: argparse.Action) -> str:
    if _plain(action):
        return f"`{_value(action)}`"
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return ", ".join(f"`{each}{value}`" for each in action.option_strings)
