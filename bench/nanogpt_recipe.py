"""The recipe of nanoGPT (github.com/karpathy/nanoGPT, model.py and train.py), said again in our words, for bench/pretraining.py.

GPT-2's shape without biases and dropout, one matrix for q, k and v, the fused attention of PyTorch; AdamW with betas 0.9 and 0.95, weight
decay 0.1 on everything with two axes (so on both tables too), gradients clipped at 1, a warm-up and a cosine down to a tenth of the peak,
bf16 by autocast. Its warm-up of 2,000 updates is for runs of 600,000; here it is 5 % of the updates, so that high rates are not at a
disadvantage. nanoGPT takes the fused AdamW on GPUs only; here it has it on the CPU, too. Its README advises `--compile=False` on a CPU;
bench/pretraining.py measures both.
"""

import math
import time
from collections.abc import Callable, Iterator

import torch
from decoder import NanoGPT
from torch import nn
from torch.nn import functional as F

from lablib.pretraining.batching import Batch
from lablib.pretraining.schedule import warmup_cosine

WARMUP = 0.05  # share of the updates


def start(model: NanoGPT, generator: torch.Generator) -> NanoGPT:
    """N(0, 0.02²), the last matrix of each sublayer divided by √(2L); norms at 1."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            last = name.endswith(("out.weight", "down.weight"))
            nn.init.normal_(weight, std=0.02 / math.sqrt(2 * len(model.blocks)) if last else 0.02, generator=generator)
    return model


def nanogpt(
    model: NanoGPT,
    batches: Callable[[int], Batch],
    steps: int,
    lr: float,
    dtype: str = "bfloat16",
    compile: bool = False,
) -> Iterator[float]:
    """Train; the seconds of each update, from its batch to its end."""
    weights = list(model.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": 0.1},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)
    run = torch.compile(model) if compile else model
    model.train()
    for step in range(steps):
        begin = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = lr * warmup_cosine(step, steps, round(WARMUP * steps), floor=0.1)
        batch = batches(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = run(batch.inputs)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), batch.targets.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        yield time.perf_counter() - begin
