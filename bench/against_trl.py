"""What a comparison with `trl`'s trainers needs: turns, the same weights on both sides, and proof that both compute the same.

A trainer of `trl` runs as it is, from `train()` to the end. A callback gives us our turn behind each of its steps; so both sides
alternate, and what the trainer does around a step counts as its own. Used by `alignment.py`.
"""

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lablib.adaptation.chat import BEGIN, PAD, STOP
from lablib.architecture.decoder import Decoder
from lablib.architecture.llama_format import llama_names, save_llama
from lablib.checkpoints import Carried

WARM = 2  # rounds that do not count
LR = 1e-4
Rows = list[dict[str, float]]


def turns(ours: dict[str, Callable[[], object]], per_round: int = 1) -> Any:
    """A callback for a trainer: whenever it has made `per_round` updates, each of ours has its turn; `rows` holds the seconds."""
    from transformers import TrainerCallback

    class Turns(TrainerCallback):
        def __init__(self) -> None:
            self.rows: Rows = []
            self.mark = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.mark = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if state.global_step % per_round:
                return
            row = {"trl": time.perf_counter() - self.mark}
            for name, call in ours.items():
                start = time.perf_counter()
                call()
                row[name] = time.perf_counter() - start
            self.rows.append(row)
            self.mark = time.perf_counter()

    return Turns()


def report(title: str, rows: Rows, goal: float) -> dict[str, Any]:
    """Print the seconds of each, and how many times as long `trl` takes."""
    counted = rows[WARM:]
    found: dict[str, Any] = {"rows": counted}
    print(f"\n{title:<54}{'ms, median':>12}{'trl takes so many times as long':>44}")
    for name in counted[0]:
        ratios = [row["trl"] / row[name] for row in counted]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        milliseconds = 1e3 * statistics.median(row[name] for row in counted)
        said = "" if name == "trl" else f"{middle:.2f} (quartiles {low:.2f} – {high:.2f}; goal {goal:g})"
        print(f"  {name:<52}{milliseconds:>12.1f}{said:>44}", flush=True)
        found[name] = {"ms": milliseconds, "ratio": [low, middle, high]}
    return found


def same(what: str, ours: float, theirs: float, tolerance: float = 2e-5) -> None:
    """Stop if the two sides do not compute the same."""
    if not abs(ours - theirs) <= tolerance * abs(theirs):
        raise SystemExit(f"{what}: ours {ours}, trl's {theirs}: a comparison of the two would mean nothing")
    print(f"  the same {what}: {ours:.6f} and {theirs:.6f}")


def settings(folder: Path, steps: int, dtype: str, **more: Any) -> dict[str, Any]:
    """What all of `trl`'s trainers are told."""
    return {
        "output_dir": str(folder / "out"), "max_steps": steps, "bf16": dtype == "bfloat16", "use_cpu": True, "report_to": "none",
        "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False,
        "learning_rate": LR, "lr_scheduler_type": "constant", "dataloader_pin_memory": False, **more,
    }  # fmt: skip


def exported(sft: Carried, folder: Path) -> Path:
    """The tuned model as a folder of `transformers`."""
    special = sft.tokenizer.special
    return save_llama(sft.model, folder, torch.float32, bos=special[BEGIN], eos=special[STOP], pad=special[PAD])


def moved(model: Decoder) -> Decoder:
    """A copy whose weights have moved a little at random: a policy that is not the reference."""
    policy, chance = copy.deepcopy(model).requires_grad_(True), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(0.1 * weight.std() * torch.randn(weight.shape, generator=chance))
    return policy


def put(weights: Decoder, llama: nn.Module) -> None:
    """The weights of ours, into `transformers`' model."""
    named = dict(llama.named_parameters())
    with torch.no_grad():
        for ours, theirs in llama_names(weights.config).items():
            named[theirs].copy_(weights.get_parameter(ours))


def run(trainer: Any) -> None:
    """Train, and print nothing."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()


def norm_of(model: nn.Module) -> float:
    """Of the gradient of all weights."""
    return float(torch.stack([w.grad.norm() for w in model.parameters() if w.grad is not None]).norm())
