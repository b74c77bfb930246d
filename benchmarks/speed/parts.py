"""Where the time of a chunk goes: by part, and its networks against what the device can do."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from benchmarks import anatomy
from benchmarks.speed.cases import Pictures, Subject
from benchmarks.speed.rates import Row
from benchmarks.speed.roofline import Ceilings, ceilings, counted
from numcodecs_bitswap import set_device
from numcodecs_bitswap.runtime.cores import cores

SIZE = 256
"""Of the chunks that are taken apart: 256 x 256, or as many small pictures as have these pixels."""

Split = dict[str, dict[str, dict[str, float]]]
"""Codec and model, encode or decode, part -> share of the time."""


def splits(every: Sequence[Subject], pictures: Pictures, repeats: int) -> Split:
    """Shares of one chunk's time, printed. On CUDA the end of every part is waited for, which slows the whole."""
    print(f"\n## Time of one chunk alone ({SIZE} x {SIZE}, or as many small pictures as have these pixels)\n")
    found = {}
    for subject in tqdm(every, desc="parts", leave=False):
        found[subject.name] = anatomy.split(subject.codec, pictures.chunks(subject.net, SIZE, 1)[0], repeats)
    rows = [(name, way, parts) for name, ways in found.items() for way, parts in ways.items()]
    names = list(rows[0][2])
    print(f"| codec and model | | {' | '.join(names)} |\n|---|---|{'--:|' * len(names)}")
    for name, way, parts in rows:
        *shares, speed = parts.values()
        print(f"| {name} | {way} | {' | '.join(f'{share:.0%}' for share in shares)} | {speed:.2f} |", flush=True)
    return found


def rooflines(
    every: Sequence[Subject],
    pictures: Pictures,
    device: str,
    split: Split,
    tables: dict[str, list[Row]],
) -> dict[str, Any]:
    """Least time of the networks against the time that was taken, printed.

    One chunk alone is one pass, which on a CPU has one thread; many at once have all.
    """
    print("\n## Networks against the ceilings of the device (int8 products, copies; measured in this run)\n")
    one = ceilings(device)
    whole = ceilings(device, cores()) if device == "cpu" else one
    for label, each in {"one pass": one, "all of it": whole}.items():
        print(f"- {label}: {each.operations / 1e9:,.0f} Gop/s, {each.moved / 1e9:,.1f} GB/s read and written")
    print(
        "\n| codec and model | | Mop a chunk | op/byte | bound by | MB/s at the ceiling "
        "| reached alone | by the networks | by their products | many at once |"
    )
    print("|---|---|--:|--:|---|--:|--:|--:|--:|--:|")
    models = {}
    set_device("cpu")  # networks of every device do the same; one that fuses layers need not call them
    for subject in every:
        own = [row for row in tables[pictures.title(subject.net, SIZE)] if row.codec == subject.name]
        codec = [row for row in own if row.through == "codec"]
        if codec:  # else its chunks are stored
            models[subject.name] = _models(subject, pictures, split[subject.name], codec, one, whole)
    set_device(device)
    return {"one_pass": asdict(one), "all": asdict(whole), "models": models}


def _models(
    subject: Subject,
    pictures: Pictures,
    split: dict[str, dict[str, float]],
    rows: Sequence[Row],
    one: Ceilings,
    whole: Ceilings,
) -> dict[str, dict[str, float]]:
    chunk = pictures.chunks(subject.net, SIZE, 1)[0]
    found = {}
    single, many = rows[0], rows[-1]
    speeds = {
        "encode": (single.encode_mb_s, many.encode_mb_s),
        "decode": (single.decode_mb_s, many.decode_mb_s),
    }
    with counted() as encoding:
        encoded = subject.codec.encode(chunk)
    with counted() as decoding:
        subject.codec.decode(encoded)
    for way, work in (("encode", encoding), ("decode", decoding)):
        alone, together = speeds[way]
        networks = split[way]["matrix products"] + split[way]["rest of the networks"]
        at_ceiling = chunk.nbytes / 1e6 / one.seconds(work)
        shares = {
            "alone": alone / at_ceiling,
            "networks": alone / at_ceiling / networks,
            "products": alone / chunk.nbytes * 1e6 * work.operations / one.operations / split[way]["matrix products"],
            "together": together * whole.seconds(work) / (chunk.nbytes / 1e6),
        }
        found[way] = {**asdict(work), "ceiling_mb_s": at_ceiling, **shares}
        what = f"{work.operations / 1e6:,.0f} | {work.operations / work.moved:.0f} | {one.bound(work)}"
        reached = " | ".join(f"{share:.1%}" for share in shares.values())
        print(f"| {subject.name} | {way} | {what} | {at_ceiling:.1f} | {reached} |", flush=True)
    return found
