"""Typed errors. Every failure a user can cause or meet has one of these types and says what to do."""


class BitswapError(Exception):
    """Base class of this package's errors."""


class FormatError(BitswapError, ValueError):
    """Bytes that are not a valid frame: truncated, altered, foreign, or from a newer version."""


class MessageExhausted(FormatError):
    """A pop asked for more words than the message holds. Nothing is ever made up in their place."""


class ModelError(BitswapError, ValueError):
    """A model file that breaks the rules of FORMAT.md section 7, or does not fit the array."""


class MissingModel(BitswapError, LookupError):
    """The model a frame needs is nowhere on the search path; the message names it and where it was looked for."""


class DeviceError(BitswapError, RuntimeError):
    """The chosen device is absent, or no backend on it computes the exact integers."""


class VerifyError(BitswapError, RuntimeError):
    """A frame that was decoded right after it was encoded is not its array. Nothing was written; see `verify=True`."""


class SourceError(BitswapError, ValueError):
    """An array that cannot be opened, read or written as it was asked for."""


class TransformWarning(UserWarning):
    """A transform did not restore an array while it was encoded, so that the array is coded without it. A mistake of
    this package: please report it.
    """


class ShapeWarning(UserWarning):
    """A large array comes as a series, and may be an image whose shape a filter hides. Given once."""
