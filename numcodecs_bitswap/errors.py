"""Typed errors and warnings. Every failure that a user can cause or meet has one of these types; its message says what
to do.
"""


class BitswapError(Exception):
    """Base class of this package's errors."""


class FormatError(BitswapError, ValueError):
    """Bytes that are not a valid frame: truncated, altered, foreign, or written by a newer version."""


class MessageExhausted(FormatError):
    """A pop needed more words than the message holds. The message was truncated or altered."""


class ModelError(BitswapError, ValueError):
    """A model file that breaks a rule of FORMAT.md section 7, or does not fit the array."""


class MissingModel(BitswapError, LookupError):
    """A model is nowhere on the search path; the message names the model and the places searched."""


class DeviceError(BitswapError, RuntimeError):
    """The device asked for is absent or out of memory, no backend on it computes the exact integers, or a setting in
    the environment is invalid.
    """


class VerifyError(BitswapError, RuntimeError):
    """A frame that was decoded right after it was encoded is not its array. Nothing was written; see `verify=True`."""


class SourceError(BitswapError, ValueError):
    """An array that cannot be opened, read or written as asked."""


class TransformWarning(UserWarning):
    """A transform did not restore an array while it was encoded, so the array is coded without it. This is a bug of
    this package: please report it.
    """


class ShapeWarning(UserWarning):
    """A large one-dimensional array may be an image whose shape a filter hides. Given once in a process."""
