"""benchmarks/through_zarr.py: what is measured is what Zarr stores, the table says it, and a second run compares."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from benchmarks import through_zarr
from numcodecs_bitswap.zarr3 import BitSwapCodec


def test_arrays_through_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(through_zarr, "PEERS", ["JPEG-LS", "Zstd"])
    rng = np.random.default_rng(0)
    volume = (np.indices((36, 40, 50)).sum(0) + rng.integers(0, 3, (36, 40, 50))).astype("u1")
    Path("data", "nd").mkdir(parents=True)
    np.savez(Path("data", "nd", "vol_fibsem_fly_u8.npz"), a=volume)
    assert through_zarr.main(["data", "--repeats", "1", "--cases", "CT", "FIB"]) == 0
    printed = capsys.readouterr()
    assert "CT: data does not have it" in printed.err
    assert "the first run on this machine" in printed.out

    # The second half along z, whole chunks of 8 planes; sides that are shorter than 256 are the array's.
    part = volume[18:34]
    expected = zarr.create_array(
        MemoryStore(), data=part, chunks=(8, 40, 50), serializer=BitSwapCodec(), compressors=None
    ).nbytes_stored()
    found = json.loads(Path("bench-out", "through_zarr.json").read_text())["FIB-SEM"]
    assert (found["shape"], found["chunk"]) == ([16, 40, 50], [8, 40, 50])
    assert [row["name"] for row in found["codecs"]] == ["Bit-Swap", "JPEG-LS", "Zstd"]
    header, _, *lines = re.findall(r"^\|.*\|$", printed.out, re.M)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert {len(row) for row in rows} == {header.count("|") - 1}
    zarr_json = found["codecs"][0]["total"] - expected
    assert 0 <= zarr_json < 2000, "bytes of the metadata, or none"
    assert rows[0][:4] == [
        "FIB-SEM: 8 x 40 x 50, uint8",
        "Bit-Swap",
        f"{8 * (expected + zarr_json) / part.size:.3f}",
        "1.000",
    ]
    assert Path("bench-out", "through_zarr.png").stat().st_size > 1000

    assert through_zarr.main(["data", "--repeats", "1"]) == 0
    assert "FIB-SEM: bytes +0.0%, encode_mb_s" in capsys.readouterr().out
    first, second = map(json.loads, Path("bench-out", "history.jsonl").read_text().splitlines())
    assert first["arrays"]["FIB-SEM"]["bytes"] == second["arrays"]["FIB-SEM"]["bytes"] == found["codecs"][0]["total"]
    assert through_zarr.main(["nowhere"]) == 2
