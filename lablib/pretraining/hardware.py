"""What a run was computed on: the name of the device, the numbers it computes well with, the arithmetic its maker promises, its price.

*Peak* is the rate of additions and multiplications that the data sheet gives for dense matrices. Sheets of newer cards print twice as
much, "with sparsity": for matrices of which half the numbers are zero, which ours are not. The share of the peak that goes into the
model's own arithmetic is its *utilisation* (MFU, see `flops`).

bfloat16 needs a card that multiplies it in hardware: compute capability 8.0 and above (A100, L4, H100). A T4 or V100 only imitates it,
more slowly than float32. What they do multiply fast, float16, has so small a range that small gradients become zero without a *loss
scaler*, which this course's loop leaves out. So on those cards a run is in float32, at an eighth of what a T4 could do in float16.

Left out: several cards, memory bandwidth (a peak of its own, which small models reach first).
"""

import platform
import re
from pathlib import Path
from typing import NamedTuple

import torch

from lablib.speed import dtype_on

SHEETS = "nvidia.com/content/dam/en-zz/Solutions/Data-Center/"


class Card(NamedTuple):
    """What a data sheet says of one card.

    Attributes:
        pattern: of the name that PyTorch gives it. float32, bfloat16: peaks for dense matrices, FLOP/s; None: it has no hardware for it.
        sheet: where both stand. float32 is what PyTorch uses for it: no TensorFloat-32, unless somebody turns that on.
    """

    pattern: str
    float32: float
    bfloat16: float | None
    sheet: str


CARDS = (  # the first that fits counts
    Card(r"\bT4\b", 8.1e12, None, f"{SHEETS}tesla-t4/t4-tensor-core-datasheet-951643.pdf"),
    Card(r"\bP100-PCIE", 9.3e12, None, f"{SHEETS}tesla-p100/pdf/nvidia-tesla-p100-PCIe-datasheet.pdf"),
    Card(r"\bV100-SXM2", 15.7e12, None, "images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf"),
    Card(r"\bL4\b", 30.3e12, 121e12, "resources.nvidia.com/en-us-data-center-overview/l4-gpu-datasheet (half of 242, with sparsity)"),
    Card(r"\bA100\b", 19.5e12, 312e12, f"{SHEETS}a100/pdf/nvidia-a100-datasheet.pdf"),
    Card(r"\bH100 PCIe", 51e12, 756e12, "resources.nvidia.com/en-us-tensor-core/nvidia-h100-datasheet (half of 1,513, with sparsity)"),
    Card(r"\bH100 NVL", 60e12, 835e12, "resources.nvidia.com/en-us-tensor-core/nvidia-h100-datasheet (half of 1,671, with sparsity)"),
    Card(r"\bH100\b", 67e12, 989e12, "resources.nvidia.com/en-us-tensor-core/nvidia-h100-datasheet (SXM; half of 1,979, with sparsity)"),
    Card(r"\bH200 NVL", 60e12, 835e12, "resources.nvidia.com/en-us-gpu-resources/hpc-datasheet-sc23 (half of 1,671, with sparsity)"),
    Card(r"\bH200\b", 67e12, 989e12, "resources.nvidia.com/en-us-gpu-resources/hpc-datasheet-sc23 (SXM; half of 1,979, with sparsity)"),
)  # fmt: skip


def card(name: str) -> Card | None:
    """What is known of the card that PyTorch calls so; None: it is not in the table, and nothing is guessed.

    >>> card("Tesla T4").float32, card("NVIDIA L40S")
    (8100000000000.0, None)
    """
    return next((found for found in CARDS if re.search(found.pattern, name)), None)


def peak(name: str, dtype: str) -> float | None:
    """The published peak of a card in FLOP/s for matrices in "float32" or "bfloat16"; None where it is not known.

    >>> peak("NVIDIA A100-SXM4-40GB", "bfloat16"), peak("Tesla T4", "bfloat16"), peak("some processor", "float32")
    (312000000000000.0, None, None)
    """
    found = card(name)
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype = {dtype!r}: expected 'float32' or 'bfloat16', as in `Recipe`")
    return None if found is None else getattr(found, dtype)


def best_dtype(device: torch.device) -> str:
    """What to train in: "bfloat16" where the hardware is made for it, else "float32".

    A card says whether it is. Of processors some multiply bfloat16 six times as fast as float32 and others eighteen times as
    slowly, and no name says which: there a product of each is timed, once for the process.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return dtype_on("cpu") if device.type == "cpu" else "float32"


def dtype_for(device: torch.device, wanted: str) -> str:
    """What is wanted, "float32" or "bfloat16"; what `best_dtype` says where that is "auto"."""
    return best_dtype(device) if wanted == "auto" else wanted


def name_of(device: torch.device) -> str:
    """The name of a GPU as PyTorch gives it, or of the processor as the operating system does."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found or platform.processor() or platform.machine()


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a GPU; None for a processor, whose memory others use, too."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def cost(seconds: float, price: float | None) -> float | None:
    """What a run costs at a price per hour, in the price's currency; None without a price.

    Raises:
        ValueError: a negative price.

    >>> cost(1800, price=0.35)
    0.175
    """
    if price is None:
        return None
    if price < 0:
        raise ValueError(f"price = {price}: expected what an hour of the machine costs, 0 or more")
    return seconds / 3600 * price
