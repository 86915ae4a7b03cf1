"""One run on several processes: each reads its rows of the batch, and the gradients are summed before the weights move.

Two ways, both PyTorch's own. *DDP* (Li et al. 2020, "PyTorch Distributed"): every process has the whole model. *FSDP* (Zhao et al. 2023,
"PyTorch FSDP"; Rajbhandari et al. 2020, "ZeRO"): each keeps a part of every weight, gradient and optimiser state, and a layer is
put together only while it is needed; for models that do not fit on one device. `torchrun` starts the processes and says who is who:

    torchrun --nproc-per-node 2 -m lablib.pretraining.command …

Since both average gradients over the W processes and the loop has divided by the tokens of all, the loop multiplies its loss by W.

Left out: tensor, pipeline and sequence parallelism.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

KINDS = ("ddp", "fsdp")


@dataclass(frozen=True)
class World:
    """The processes of a run. Args: rank: this one's number. size: how many. kind: "ddp" or "fsdp", of no matter for one."""

    rank: int = 0
    size: int = 1
    kind: str = "ddp"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind = {self.kind!r}: expected one of {', '.join(KINDS)}")

    @property
    def first(self) -> bool:
        """Is this the process that writes files and prints?"""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call in a training step. It has the weights of `model`, which FSDP cuts up in place."""
        if self.size == 1:
            return model
        if self.kind == "ddp":
            return nn.parallel.DistributedDataParallel(model)
        from torch.distributed.fsdp import fully_shard

        for part in model.modules():
            if isinstance(part, nn.ModuleList):
                for layer in part:
                    fully_shard(layer)
        fully_shard(model)
        return model

    def part(self, run: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """The context of one micro-batch: gradients are exchanged after the last of a step only."""
        if self.size == 1:
            return nullcontext()
        if self.kind == "ddp":
            return nullcontext() if last else run.no_sync()  # type: ignore[operator]  # a method of DDP's
        run.set_requires_gradient_sync(last)  # type: ignore[operator]  # a method that fully_shard has added
        return nullcontext()

    def total(self, *numbers: float) -> list[float]:
        """The sum of each number over all processes; exact for whole numbers up to 2**53."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=local_device())
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = World()


def local_device() -> torch.device:
    """This process's device: its own GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@contextmanager
def world(kind: str = "ddp") -> Iterator[World]:
    """The processes that `torchrun` has started, connected (NCCL between GPUs, else gloo), or `ALONE` where it did not.

    Raises:
        RuntimeError: the processes do not find each other.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(kind=kind)
        return
    # Imported later, by DDP, it would hold the group for good: its threads would outlive `destroy_process_group`, and one that frees
    # a tensor while Python ends aborts the process ("terminate called without an active exception"; seen with PyTorch 2.13).
    import torch._dynamo

    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    rank = int(os.environ["RANK"])
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=_store(), rank=rank, world_size=size)
    try:
        yield World(rank, size, kind)
    finally:
        torch.distributed.destroy_process_group()


def _store() -> torch.distributed.Store:
    """The table through which the processes find each other's addresses; `torchrun` keeps it, at MASTER_ADDR and MASTER_PORT.

    It outlives the processes: those that are started after a kill would find the addresses of the dead in it, and so they use
    other keys (seen with PyTorch 2.13). On several nodes, where the number of restarts may differ, only a new table helps:
    set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for `torchrun` there.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    first = not shared and os.environ["RANK"] == "0"
    store = torch.distributed.TCPStore(address, port, is_master=first, multi_tenant=not shared)
    if not shared or os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return store
    return torch.distributed.PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
