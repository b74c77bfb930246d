"""Golden frames decode, here and in the decoder written from FORMAT.md alone, and the same arrays encode to the same
bytes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden_cases import CASES, GOLDEN
from numcodecs_bitswap import BBANS, BitSwap, LocalBitsBack
from numcodecs_bitswap.bitsback.groups import DIRECT
from numcodecs_bitswap.chunk import plane_payload
from numcodecs_bitswap.chunk.frame import parse, parse_model
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder
from reference import frames as reference_frames
from strategies import assert_identical

NUMBERS = {BitSwap: 1, BBANS: 2, LocalBitsBack: 3}


def golden(name: str) -> tuple[bytes, NDArray[Any]]:
    """A golden frame and its array."""
    return (GOLDEN / f"{name}.frame").read_bytes(), np.load(GOLDEN / f"{name}.npy")


def test_no_golden_file_is_missing_or_unknown() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_decodes(name: str) -> None:
    """Whichever codec decodes, the frame says how."""
    frame, array = golden(name)
    case = CASES[name]
    assert frame[3:6] == bytes([1, NUMBERS[case.codec], case.route])
    for codec in (kind() for kind in NUMBERS):
        assert_identical(codec.decode(frame), array)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_decodes_by_the_specification(name: str, tmp_path: Path) -> None:
    frame, array = golden(name)

    def find_model(model_id: bytes) -> Path:
        path = tmp_path / "model.safetensors"
        path.write_bytes(catalog.read(catalog.find(model_id)))
        return path

    assert_identical(reference_frames.decode(frame, find_model), array)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.still_written])
def test_encodes_to_the_same_bytes(name: str) -> None:
    """Zstandard's routes are left out: their bytes may change with the library, and still decode."""
    frame, array = golden(name)
    assert CASES[name].codec(**CASES[name].options).encode(array) == frame


def test_every_shipped_model_has_a_golden_frame() -> None:
    used = set()
    for name, case in CASES.items():
        if case.route == 4:
            used.add(parse_model(*parse(memoryview(golden(name)[0]))).model_id)
        elif case.route == 7:
            used.add(bytes(parse(memoryview(golden(name)[0]))[1][3:19]))
        elif case.route == 5:
            payload = plane_payload.parse(*parse(memoryview(golden(name)[0])), coder.lanes_of_tiles)
            used |= {payload.model_id} if isinstance(payload, plane_payload.PlanesPayload) else set()
    assert used == {bytes.fromhex(sha256)[:16] for sha256 in catalog.names().values()}


def test_a_direct_core_decodes_by_the_specification() -> None:
    """No frame that the codec writes needs one (what is that small is stored), so one is made here."""
    from zlib import crc32

    from numcodecs_bitswap.bitsback import groups
    from numcodecs_bitswap.chunk.frame import Header, ModelPayload, Route, build, build_model

    array = np.full((2, 2, 3), 130, np.uint8)
    model = catalog.load("tiny-rgb8-v1", "cpu")
    (coded,) = groups.encode(model.net, [array[None, None]], 6, "bb_ans")
    assert coded.schedule == ((1, DIRECT),)
    payload = ModelPayload(model.id, (0, 1, 2), 8, 6, coded.schedule, coded.heads, coded.tail)
    header = Header(Route.MODEL, crc32(array.tobytes()), "C", array.dtype, array.shape, "bb_ans")
    frame = build(header, build_model(payload))
    assert_identical(reference_frames.decode(frame, lambda model_id: catalog.find(model_id).path), array)
    assert_identical(BitSwap().decode(frame), array)
