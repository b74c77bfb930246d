"""Speed of the message: million symbols per second, push and pop, for each backend on one thread.

    python benchmarks/rans.py [device]

One message, 256 symbols in the alphabet, parameters and symbols as a model of photographs has them (about 3 bits a
symbol).
"""

import sys
import time

import torch

from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.symbols.logistic_mixture import LogisticMixture


def mixture(n: int, components: int, device: str, spread: int = 200) -> tuple[LogisticMixture, torch.Tensor]:
    """A block of random mixtures, and symbols drawn from them."""
    torch.manual_seed(0)
    centre = torch.randint(1000, 7000, (1, n, 1))
    means = centre + torch.randint(-spread, spread + 1, (1, n, components))
    logits = torch.randint(-30, 31, (1, n, components))
    scales = torch.randint(36, 84, (1, n, components))
    logits, means, scales = (p.int().to(device) for p in (logits, means, scales))
    block = LogisticMixture(logits, means, scales, 256)
    # Popping from random lanes, one for each symbol, draws from the distribution.
    heads, tail = torch.randint(1 << 16, 1 << 32, (n,)), torch.randint(0, 1 << 16, (n,))
    words = heads.numpy().astype("uint32"), tail.numpy().astype("uint16")
    return block, Message.unflatten([words], device).pop(block)


def main(device: str = "cpu") -> None:
    """Print the table; each time is the best of three."""
    torch.set_num_threads(1)
    print(f"{'backend':8} {'K':>2} {'lanes':>6} {'n':>8} {'push':>8} {'pop':>8}   bits/symbol (over -log2 p)")
    sizes = [("numba", 1, 1 << 20), ("numba", 32, 1 << 20), ("torch", 32, 1 << 16), ("torch", 1024, 1 << 20)]
    for backend, lanes, n in sizes:
        if backend == "numba" and device != "cpu":
            continue
        for components in (1, 4):
            block, symbols = mixture(n, components, device)
            times = []
            for _ in range(3):
                message = Message.empty(1, lanes, device, backend)
                clock = [time.perf_counter()]
                message.push(block, symbols)
                rate = (16 * message.flatten()[0][1].size + 32 * lanes) / n
                clock.append(time.perf_counter())
                assert torch.equal(message.pop(block), symbols)
                clock.append(time.perf_counter())
                times.append((clock[1] - clock[0], clock[2] - clock[1]))
            push, pop = (n / 1e6 / min(column) for column in zip(*times, strict=True))
            loss = rate - float(block.bits(symbols).mean())
            print(f"{backend:8} {components:2} {lanes:6} {n:8} {push:8.2f} {pop:8.2f}   {rate:.3f} ({loss:.4f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
