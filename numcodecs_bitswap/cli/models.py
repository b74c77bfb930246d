"""`numcodecs-bitswap models`: the installed models."""

import argparse
from typing import Any

from ..errors import BitswapError


def add(commands: Any) -> None:
    """Add the command's arguments."""
    text = "Models on the search path."
    parser = commands.add_parser("models", help="list, show and verify installed models", description=text)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="list names, ids, sizes and files").set_defaults(run=_list)
    for name, run, text in (
        ("show", _show, "print a model's metadata"),
        ("verify", _verify, "check files against their ids"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument(
            "model", nargs="*" if name == "verify" else 1, help="name or id (verify: several; default all)"
        )
        action.set_defaults(run=run)


def _list(given: argparse.Namespace) -> int:
    from ..models import catalog

    for name in sorted(catalog.names()):
        entry = catalog.find(name)
        print(f"{name:24} {entry.sha256[:32]}  {entry.path.stat().st_size:>10,} bytes  {entry.path}")
    return 0


def _show(given: argparse.Namespace) -> int:
    from ..models import catalog

    entry = catalog.find(given.model[0])
    print(f"{entry.name}\nid {entry.sha256}\n{entry.path}")
    for key, value in catalog.metadata_of(entry).items():
        print(f"{key}: {value}")
    return 0


def _verify(given: argparse.Namespace) -> int:
    from ..models import catalog

    failed = 0
    for name in given.model or sorted(catalog.names()):
        try:
            catalog.load(name, "cpu")
        except BitswapError as error:
            failed = 1
            print(f"{name}: {error}")
        else:
            print(f"{name}: ok")
    return failed
