"""Several processes that train one network, one for each GPU, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..networks.devices import choose

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """One process among those of a training.

    Parameters
    ----------
    rank, count : int
        Of the process, and how many there are.
    device : str
        PyTorch's name of its device.
    """

    rank: int
    count: int
    device: str

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum over all processes."""
        if self.count > 1:
            import torch.distributed as distributed

            moved = values.to(self.device)
            distributed.all_reduce(moved)
            return moved.to(values.device)
        return values

    def wrapped(self, network: Any) -> Any:
        """Network whose gradients are those of all processes."""
        if self.count == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.count > 1:
            import torch.distributed as distributed

            distributed.barrier()


@contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started; alone if it did not.

    Parameters
    ----------
    device : str
        As :func:`~..networks.devices.choose` takes it; of several processes each takes its own GPU, if there are any.

    Raises
    ------
    InputError
        If this machine has no such device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks(0, 1, choose(device).name)
        return
    import torch.distributed as distributed

    chosen = choose(device).name
    is_gpu = chosen.startswith("cuda")
    if is_gpu:
        import torch

        chosen = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if is_gpu else "gloo")
    try:
        yield Ranks(distributed.get_rank(), count, chosen)
    finally:
        distributed.destroy_process_group()
