"""Speed of another package's entropy coder, torch_ans (0.4), beside `benchmarks/speed/rans.py`; it is no requirement.

256 symbols, one of 64 logistic tables for each symbol at 15 bits of precision: the nearest that it has to every symbol
with a distribution of its own, and easier, since a table is looked up and not computed.
"""

from importlib.util import find_spec

import torch

from benchmarks.speed.rans import clock

TABLES, ALPHABET, PRECISION = 64, 256, 15
# (variant, interleaved states, streams, symbols)
CASES = {
    "cpu": [("rans64", 4, 1, 1 << 20), ("rans64", 8, 8, 1 << 20), ("rans32_16", 8, 8, 1 << 20)],
    "cuda": [("rans32_16", 32, 2048, 1 << 24)],
}


def rates(device: str, smaller: int = 1) -> list[dict[str, float | str]]:
    """Million symbols per second of each variant, push and pop, best of five; empty where torch_ans is not installed.

    On a CPU the caller limits torch to one thread.
    """
    if find_spec("torch_ans") is None:
        return []
    return [_rate(device, *case[:-1], case[-1] // smaller) for case in CASES[device]]


def _rate(device: str, variant: str, interleaved: int, streams: int, n: int) -> dict[str, float | str]:
    from torch_ans.utils import TorchANSInterface

    generator = torch.Generator().manual_seed(0)
    means, scales = torch.meshgrid(torch.linspace(32, 224, 8), torch.logspace(0, 1.5, 8), indexing="ij")
    edges = torch.arange(ALPHABET + 1) - 0.5
    cumulated = torch.sigmoid((edges - means.reshape(-1, 1)) / scales.reshape(-1, 1))
    mass = (cumulated.diff(dim=1) + 1e-6).float()
    indexes = torch.randint(TABLES, (n,), generator=generator, dtype=torch.int32)
    drawn = torch.multinomial(mass, n // TABLES + 1, replacement=True, generator=generator)
    symbols = drawn[indexes.long(), torch.arange(n) % drawn.shape[1]].int()
    coder = TorchANSInterface(
        impl=variant,
        num_interleaves=interleaved,
        num_parallel_states=streams,
        freq_precision=PRECISION,
        bypass_coding=False,
        device=device,
    )
    sizes = torch.full((TABLES,), ALPHABET, dtype=torch.int32)
    coder.init_params(mass.to(device), sizes.to(device), torch.zeros_like(sizes).to(device))
    symbols, indexes = symbols.to(device), indexes.to(device)
    times = []
    for _ in range(5):
        start = clock(device)
        stream = coder.encode(symbols, indexes)
        pushed = clock(device)
        popped = coder.decode(stream, indexes)
        times.append((pushed - start, clock(device) - pushed))
        if not torch.equal(popped.flatten()[:n].int(), symbols):
            raise AssertionError(f"torch_ans {variant}: other symbols came back")
    push, pop = (n / 1e6 / min(column) for column in zip(*times, strict=True))
    return {"backend": f"torch_ans {variant} x{interleaved}", "messages": streams, "push": push, "pop": pop}
