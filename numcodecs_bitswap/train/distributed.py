"""Several processes that train one model, begun by torchrun: the same weights everywhere, other patches in each.

Gradients are averaged in one tensor after the backward pass. Models of this package have a fraction of a million
parameters, so nothing is gained by sending a part of them while the rest is computed.
"""

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


class Together:
    """The processes of a run; one alone if torchrun did not begin it.

    Attributes
    ----------
    rank, world : int
        Number of this process, and how many there are.
    device : str
        This process's own.
    """

    def __init__(self, device: str) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = device
        if self.world > 1:
            if device == "cuda":
                self.device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
                torch.cuda.set_device(self.device)
            if not distributed.is_initialized():
                distributed.init_process_group("nccl" if device == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def mean(self, tensors: list[Tensor], *numbers: float) -> list[float]:
        """Average tensors in place, and return the averages of numbers, over all processes."""
        if self.world == 1:
            return list(numbers)
        flat = torch.cat([*(tensor.flatten() for tensor in tensors), torch.tensor(numbers, device=self.device)])
        distributed.all_reduce(flat)
        flat /= self.world
        parts = torch.split(flat, [*(tensor.numel() for tensor in tensors), len(numbers)])
        for tensor, part in zip(tensors, parts[:-1], strict=True):
            tensor.copy_(part.view_as(tensor))
        return [float(each) for each in parts[-1]]

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            distributed.barrier()

    def end(self) -> None:
        """Leave the others."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
