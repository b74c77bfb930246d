"""`verify=True`: a frame that does not give its array back is an error, and nothing is stored."""

import asyncio
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from numcodecs_bitswap import BitSwap, DeviceError, LocalBitsBack, VerifyError, verification
from numcodecs_bitswap.chunk import coding as chunk
from numcodecs_bitswap.chunk import stored
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.zarr3 import BitSwapCodec
from strategies import assert_identical, picture

IMAGE = picture((40, 50))
ARRAYS: dict[str, NDArray[Any]] = {
    "planes": IMAGE,
    "big-endian": IMAGE.astype(">i4")[:, ::-1],
    "fortran": np.asfortranarray(IMAGE),
    "stored": np.frombuffer(np.random.default_rng(0).bytes(99), "V3"),
    "empty": np.zeros((0, 3)),
    "no axis": np.array(7.5),
    "nan": np.array([np.nan, -0.0, np.inf] * 200),
}


def clear() -> None:
    verification._checksum.cache_clear()


@pytest.mark.parametrize("name", ARRAYS)
def test_bytes_are_the_same(name: str) -> None:
    array = ARRAYS[name]
    assert BitSwap(verify=True).encode(array) == BitSwap().encode(array)


@pytest.mark.parametrize("kind", verification.KNOWN)
def test_known_arrays_are_coded_to_the_known_bytes(kind: str) -> None:
    make, model, core = verification.ARRAYS[kind]
    codec = LocalBitsBack(model=model) if core == "local_bits_back" else BitSwap(model=model)
    array = make()
    frame = codec.encode(array)
    assert_identical(codec.decode(frame), array)
    work = chunk.Decoding(memoryview(frame))
    assert verification._kind(work) == kind
    assert kind == "labels" or b"\x28\xb5\x2f\xfd" not in frame  # Zstandard's, which other releases may write otherwise
    assert f"{verification._checksum(kind):08x}" == f"{verification.KNOWN[kind]:08x}"


@pytest.mark.parametrize("how", ["another array", "an error", "known bytes"])
def test_what_goes_wrong_is_said(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = chunk.Decoding.finish

    def wrong(self: chunk.Decoding) -> Any:
        array = finish(self)
        if how == "an error":
            raise IndexError("index 7 is out of bounds")
        array[0, 0] ^= 1
        return array

    if how == "known bytes":
        monkeypatch.setitem(verification.KNOWN, "planes", 1)
    else:
        monkeypatch.setattr(chunk.Decoding, "finish", wrong)
    BitSwap().encode(IMAGE)
    with pytest.raises(VerifyError, match=r"\(40, 50\), dtype uint8, model auto.*report"):
        BitSwap(verify=True).encode(IMAGE)


def test_what_is_wrong_in_encoder_and_decoder_alike_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is not what it should be, say: then arrays come back here, and nowhere else."""
    model = catalog.load("universal-v1", "cpu")
    blob = model.net.blob.copy()
    blob[::7] ^= 1
    monkeypatch.setattr(model.net, "blob", blob)
    codec, checked = (BitSwap(model="universal-v1", verify=each) for each in (False, True))
    assert_identical(codec.decode(codec.encode(IMAGE)), IMAGE)
    clear()
    try:
        with pytest.raises(VerifyError, match="known"):
            checked.encode(IMAGE)
    finally:
        clear()


def test_a_setting_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "decode", lambda *args: np.zeros(99, np.uint8))
    array = ARRAYS["stored"]
    BitSwap().encode(array)
    for setting in ("", "0"):
        monkeypatch.setenv(verification.SETTING, setting)
        BitSwap().encode(array)
    monkeypatch.setenv(verification.SETTING, "1")
    with pytest.raises(VerifyError, match="checksum"):
        BitSwap().encode(array)
    monkeypatch.setenv(verification.SETTING, "yes")
    with pytest.raises(DeviceError, match="0 or 1"):
        BitSwap().encode(array)


def test_no_part_of_the_configuration() -> None:
    """Which is stored with arrays; but a codec that is sent to another process keeps it."""
    codec, serializer = BitSwap(verify=True), BitSwapCodec(verify=True)
    assert codec.get_config() == BitSwap().get_config()
    assert serializer.to_dict() == BitSwapCodec().to_dict()
    assert codec == BitSwap()
    assert serializer == BitSwapCodec()
    assert pickle.loads(pickle.dumps(codec))._verify
    assert pickle.loads(pickle.dumps(serializer)).verify
    for kind in (BitSwap, BitSwapCodec):
        with pytest.raises(TypeError, match="verify"):
            kind(verify=1)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nothing_is_stored_that_does_not_come_back(tmp_path: Path, zarr_format: int, monkeypatch: Any) -> None:
    if zarr_format == 3:
        options: dict[str, Any] = {"serializer": BitSwapCodec(verify=True), "compressors": None}
    else:
        options = {"compressors": BitSwap(verify=True)}
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(80, 50), chunks=(40, 50), dtype="u1", zarr_format=zarr_format, **options
    )
    array[:40] = IMAGE
    finish = chunk.Decoding.finish
    with monkeypatch.context() as patch:
        patch.setattr(chunk.Decoding, "finish", lambda self: finish(self) ^ 1)
        with pytest.raises(VerifyError):
            array[40:] = IMAGE
    assert "verify" not in "".join(path.read_text() for path in (tmp_path / "a.zarr").glob("*zar*"))
    assert np.array_equal(array[:40], IMAGE)
    assert not array[40:].any()


def test_known_arrays_in_many_threads() -> None:
    async def encode() -> list[bytes]:
        codec = BitSwap(verify=True)
        return await asyncio.gather(*(asyncio.to_thread(codec.encode, IMAGE) for _ in range(8)))

    clear()
    assert len(set(asyncio.run(encode()))) == 1
