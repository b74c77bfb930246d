"""Numbers that mostly equal a neighbour, such as labels, masks and gaps <-> bytes (FORMAT.md 10)."""

from .coder import decode, encode

__all__ = ["decode", "encode"]
