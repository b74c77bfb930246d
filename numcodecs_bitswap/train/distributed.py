"""Several processes that train one model, started by torchrun: the same weights, other patches in each.

Gradients are averaged in one tensor after the backward pass. Models of this package have a fraction of a million
parameters, so overlapping communication with the backward pass gains nothing.
"""

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


class Processes:
    """The processes of a run; a single one if torchrun did not start it.

    Attributes
    ----------
    rank, world : int
        Number of this process, and number of processes.
    device : str
        The device of this process.
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
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Copy the values of the first process to all others."""
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
        """Wait until all processes have called this."""
        if self.world > 1:
            distributed.barrier()

    def end(self) -> None:
        """Leave the process group."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
