"""The numcodecs codecs: any array or buffer -> frame bytes -> the same array. Also Zarr format 2.

Validation and wiring; the work is in `chunk.coding`. Constructing a codec opens no file and imports no torch, because
opening a Zarr group constructs the codec of every array in it.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray
from numpy.typing import NDArray

from . import verification
from .chunk.coding import Decoding, Encoding, memory
from .chunk.frame import Header
from .options import Options
from .runtime import scheduler


class LearnedCodec(Codec):  # type: ignore[misc]  # numcodecs has no types
    """All of a codec but its name and how the core is coded."""

    core: ClassVar[str]

    def __init__(
        self,
        *,
        model: str = "auto",
        channel_axis: str | int | None = "auto",
        spatial_axes: str | Sequence[int] = "auto",
        verify: bool = False,
    ) -> None:
        options = Options(model=model, channel_axis=channel_axis, spatial_axes=spatial_axes, verify=verify)
        config = options.config()
        # numcodecs reads the configuration from the attributes, so they must be JSON values.
        self.model: str = config["model"]
        self.channel_axis: str | int | None = config["channel_axis"]
        self.spatial_axes: str | list[int] = config["spatial_axes"]
        self._verify = options.verify  # no part of the configuration: bytes do not depend on it

    def encode(self, buf: Any) -> bytes:
        """Frame bytes of an array.

        Parameters
        ----------
        buf : ndarray or bytes-like
            Any dtype without objects; any shape, memory order and strides.

        Returns
        -------
        bytes

        Raises
        ------
        TypeError
            Objects, or a dtype that cannot be described in a frame.
        ValueError
            The array does not have the axes of the configuration.
        MissingModel, ModelError
            The model is not installed, or does not have the array's number of channels.
        VerifyError
            The frame was verified, and does not give the array back.
        """
        array = np.asarray(buf if isinstance(buf, np.ndarray) else ensure_ndarray(buf))
        options = Options(model=self.model, channel_axis=self.channel_axis, spatial_axes=self.spatial_axes)
        work = Encoding(array, options, self.core)
        frame = scheduler.complete(work)
        if verification.wanted(self._verify):
            verification.verify(frame, array, work.header.layout, options)
        return frame

    def decode(self, buf: Any, out: Any = None) -> NDArray[Any]:
        """The array of a frame; inverse of `encode`.

        Parameters
        ----------
        buf : bytes-like
        out : writeable bytes-like, optional
            Filled with the array's bytes in memory order; must be contiguous and of their size.

        Returns
        -------
        ndarray
            The frame's dtype, shape and memory order; or the bytes of `out`, as a flat uint8 array.

        Raises
        ------
        FormatError
            Truncated, altered or foreign bytes, or a chunk larger than NUMCODECS_BITSWAP_MAX_BYTES.
        MissingModel
            The frame's model is not installed.
        ValueError
            `out` has another size.
        """
        data = ensure_contiguous_ndarray(buf).view(np.uint8).data
        if out is None:
            return scheduler.complete(Decoding(data))
        target = memory(ensure_contiguous_ndarray(out))

        def fits(header: Header) -> None:
            if header.nbytes != target.nbytes:
                raise ValueError(f"out has {target.nbytes} bytes, the frame's array {header.nbytes}")

        target[:] = memory(scheduler.complete(Decoding(data, fits)))
        return target


class BitSwap(LearnedCodec):
    """Lossless compression by a learned model: the plane coder, or Bit-Swap with a model that has latents.

    Numeric arrays are coded by a model: photographs, volumes, movies, spectral bands, fields, labels. Every other
    array, and every chunk for which Zstandard is smaller, is stored by Zstandard. The bytes depend only on the array,
    this configuration and the model.

    Parameters
    ----------
    model : str
        "auto": a plane model, photo-v1, universal-v1 or microscopy-v1, whichever needs the fewest bytes for a sample
        of the chunk. Otherwise a model's name, or its id in hex digits. Decoding does not need it: every frame names
        its model.
    channel_axis : int, None or "auto"
        "auto": the last axis if its size is 3 and there are at least three axes, else none. An axis of another size
        than 1 or 3 is a leading axis.
    spatial_axes : "auto" or two ints
        The y and x axis. "auto": the last two axes that are not the channel axis; or the two longest axes, as in a
        volume (y, x, z), where one of the last two is short and a block of the chunk is smaller so. Every other axis is
        a leading axis. Plane models predict a plane also from earlier planes along leading axes (reference planes)
        where that makes a sample of the chunk smaller; other models treat the items of leading axes as independent
        images.
    verify : bool
        Decode each frame after it was encoded, and compare: a `VerifyError` if it is not the array. Takes about twice
        the time; NUMCODECS_BITSWAP_VERIFY=1 does it for every codec of a process. It is no part of the configuration
        that is stored with an array, since bytes do not depend on it.

    Raises
    ------
    TypeError, ValueError
        An option of another type, or a model name with characters that no name has.

    Notes
    -----
    `decode(encode(a))` has the bytes, dtype, shape and memory order of `a`. An array that is contiguous in neither
    order comes back in C order.

    Examples
    --------
    >>> import numpy as np
    >>> from numcodecs_bitswap import BitSwap
    >>> codec = BitSwap()
    >>> array = np.arange(12, dtype=">i4").reshape(3, 4)
    >>> bool((codec.decode(codec.encode(array)) == array).all())
    True
    """

    codec_id = "bitswap"
    core = "bit_swap"


class BBANS(LearnedCodec):
    """Lossless compression by a learned model, with BB-ANS coding of models that have latents.

    As `BitSwap`, with the same models and parameters, but all latent layers of a model are popped at once. With one
    latent layer the two are the same; with more, Bit-Swap needs fewer initial bits.

    Examples
    --------
    >>> import numpy as np
    >>> from numcodecs_bitswap import BBANS
    >>> digits = np.zeros((10, 28, 28), np.uint8)
    >>> codec = BBANS(model="mnist-v1")
    >>> bool((codec.decode(codec.encode(digits)) == digits).all())
    True
    """

    codec_id = "bbans"
    core = "bb_ans"


class LocalBitsBack(LearnedCodec):
    """Lossless compression by a flow, with local bits-back coding.

    As `BitSwap`, with models of its own: "auto" is photo-rgb8-flow for three channels and photo-gray8-flow for one.

    Examples
    --------
    >>> import numpy as np
    >>> from numcodecs_bitswap import LocalBitsBack
    >>> tiles = np.zeros((10, 32, 32, 3), np.uint8)
    >>> codec = LocalBitsBack(model="patch32-rgb8-flow")
    >>> bool((codec.decode(codec.encode(tiles)) == tiles).all())
    True
    """

    codec_id = "localbitsback"
    core = "local_bits_back"
