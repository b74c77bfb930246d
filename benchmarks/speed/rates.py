"""MB/s of every codec on the same chunks: ours and the others take turns, so that noise hits all alike."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from tqdm import tqdm

from benchmarks.images import Chunk
from benchmarks.speed.cases import Pictures, Subject, sheet, stored
from benchmarks.speed.paths import Timed, through_codec, through_zarr
from numcodecs_bitswap.measure.classical import PHOTOGRAPHS, classical
from numcodecs_bitswap.measure.harness import THREADS, Peer, measure

MOST = {"cpu": 1 << 21, "cuda": 1 << 24}
"""Bytes of chunks that are coded at once, but for a single chunk."""
ENOUGH = 1 << 19
"""Bytes that a round codes at the least: of fewer it takes the median of several times."""
WARM = 256
"""Side of the chunk that each codec codes before the clock starts, or less."""
PATIENCE = 0.5
"""Seconds: what has taken longer in all is not timed in a further round."""
REFERENCE = "JPEG XL effort 7"


@dataclass(frozen=True)
class Row:
    """Medians over the rounds, which are fewer of what is slow: see PATIENCE.

    Attributes
    ----------
    codec, device : str
    through : str
        "codec": one thread for each chunk. "Zarr": an array of these chunks. "threads": another codec, in as many
        threads as Zarr has.
    chunks : int
        How many at once.
    total : int
        Bytes of all of them.
    bits_per_sample, encode_mb_s, decode_mb_s : float
    chunks_a_pass : float
        Of the model; 0 for other codecs.
    """

    codec: str
    device: str
    through: str
    chunks: int
    total: int
    bits_per_sample: float
    encode_mb_s: float
    decode_mb_s: float
    chunks_a_pass: float


@dataclass(frozen=True)
class _Entry:
    codec: str
    device: str
    through: str
    chunks: int
    time: Callable[[], Timed]

    def row(self, rounds: Sequence[Timed]) -> Row:
        measured = [each.measured for each in rounds]
        encode, decode = (median(each.encode_mb_s for each in measured), median(each.decode_mb_s for each in measured))
        shared = median(each.chunks_a_pass for each in rounds)
        first, named = measured[0], (self.codec, self.device, self.through, self.chunks)
        return Row(*named, first.total, first.bits_per_sample, encode, decode, shared)


def timed(
    every: Sequence[Subject],
    pictures: Pictures,
    device: str,
    sizes: Sequence[int],
    concurrent: Sequence[int],
    rounds: int,
    smaller: int,
) -> Iterator[tuple[str, list[Row]]]:
    """What the chunks are, and a row for each codec and way: for every kind of chunks and size.

    MOST and ENOUGH are `smaller` times smaller.
    """
    for size in sizes:
        titles: dict[str, list[Subject]] = {}
        for subject in every:
            titles.setdefault(pictures.title(subject.net, size), []).append(subject)
        for title, alike in titles.items():
            entries = _entries(alike, pictures, device, size, concurrent, smaller)
            times: list[list[Timed]] = [[] for _ in entries]
            spent = [0.0] * len(entries)
            with tqdm(total=rounds * len(entries), desc=title, leave=False) as bar:
                for _ in range(rounds):
                    for k, entry in enumerate(entries):
                        bar.update()
                        if spent[k] < PATIENCE:
                            start = time.perf_counter()
                            times[k].append(entry.time())
                            spent[k] += time.perf_counter() - start
            yield title, [entry.row(each) for entry, each in zip(entries, times, strict=True)]


def _entries(
    alike: Sequence[Subject],
    pictures: Pictures,
    device: str,
    size: int,
    concurrent: Sequence[int],
    smaller: int,
) -> list[_Entry]:
    """Everything that is timed on the same chunks."""
    one = pictures.chunks(alike[0].net, size, 1)[0].nbytes

    def fitting(most: int) -> list[int]:
        return [n for n in concurrent if n == 1 or n * one <= most // smaller]

    def times(n: int) -> int:
        return max(1, min(5, ENOUGH // smaller // (n * one)))

    counts, slow = fitting(MOST[device]), fitting(MOST["cpu"])[-1]  # most of the other codecs are slow
    chunks = pictures.chunks(alike[0].net, size, max(counts[-1], slow))
    entries = []
    for subject in alike:
        small = pictures.chunks(subject.net, min(size, WARM), 1)[0]
        subject.codec.decode(subject.codec.encode(small))  # loads models and compiles
        if count := stored(subject, chunks[:slow]):
            tqdm.write(f"{subject.name}: {count} chunks of size {size} are stored, which is shorter; not timed")
            continue
        for n in counts:
            for name, way in (("codec", through_codec), ("Zarr", through_zarr)):
                work = partial(way, subject, chunks[:n], times(n))
                entries.append(_Entry(subject.name, device, name, n, work))
    sheets = [sheet(chunk) for chunk in chunks[:slow]]
    for peer in classical(sheets[0], [*PHOTOGRAPHS, "JPEG XL effort 3"]):
        work = partial(_other, peer, sheets, times(slow))
        entries.append(_Entry(peer.name, "cpu", "threads", slow, work))
    return entries


def _other(peer: Peer, chunks: Sequence[Chunk], times: int) -> Timed:
    return Timed(measure(peer, chunks, times), 0)


def table(rows: Sequence[Row]) -> str:
    """Markdown, with speeds as multiples of those of `REFERENCE` in the same rounds."""
    base = next(row for row in rows if row.codec == REFERENCE)
    lines = [
        f"| codec | device, through | chunks | a pass | bits/sample | size / {REFERENCE} "
        "| encode MB/s | x | decode MB/s | x |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        through = f"{THREADS} threads" if row.through == "threads" else f"{row.device}, {row.through}"
        shared = f"{row.chunks_a_pass:.1f}" if row.chunks_a_pass else ""
        size = f"{row.bits_per_sample:.3f} | {row.bits_per_sample / base.bits_per_sample:.3f}"
        encode = f"{row.encode_mb_s:.1f} | {row.encode_mb_s / base.encode_mb_s:.1f}"
        decode = f"{row.decode_mb_s:.1f} | {row.decode_mb_s / base.decode_mb_s:.1f}"
        lines.append(f"| {row.codec} | {through} | {row.chunks} | {shared} | {size} | {encode} | {decode} |")
    return "\n".join(lines)
