"""Tokens a second: the course's decoder beside transformers' Llama and nanoGPT's model, all of one size, trained and writing.

    python bench/decoder.py [--rounds 7] [--threads N] [--json FILE]

Training: forward, cross-entropy, backward, clipping and AdamW on the same 16 × 256 random tokens, fp32. The models take turns,
one step each a round, so that a slow moment of the machine falls on all of them; the figure is the median of the rounds, with
the quartiles, and beside it the median of the ratios to `LlamaForCausalLM` in the same round. Writing: 128 tokens behind 128,
one row, with and without the cache. Run it on an idle machine.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.decoder import PLAIN, Decoder, DecoderConfig, Parts
from lablib.architecture.encoder_decoder import count
from lablib.architecture.generation import generate
from lablib.architecture.gpt2 import GPT2, GPT2Config
from lablib.architecture.layers import RMSNorm
from lablib.architecture.positions import apply_rope

B, T = 16, 256
CONFIG = DecoderConfig()


class NanoBlock(nn.Module):
    """A block as in nanoGPT (github.com/karpathy/nanoGPT, model.py): LayerNorm without bias, one matrix for q, k and v, GELU."""

    def __init__(self, D: int, H: int) -> None:
        super().__init__()
        self.H = H
        self.weight_1, self.weight_2 = nn.Parameter(torch.ones(D)), nn.Parameter(torch.ones(D))
        self.qkv, self.out = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.down = nn.Linear(D, 4 * D, bias=False), nn.Linear(4 * D, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, steps, D = x.shape
        parts = self.qkv(F.layer_norm(x, (D,), self.weight_1, None, 1e-5)).split(D, dim=2)
        q, k, v = (part.view(rows, steps, self.H, -1).transpose(1, 2) for part in parts)  # 3 × (B, H, T, K)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(rows, steps, D)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(F.layer_norm(x, (D,), self.weight_2, None, 1e-5))))


class NanoGPT(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        V, D = config.V, config.D
        self.tokens, self.places = nn.Embedding(V, D), nn.Embedding(config.context, D)
        self.blocks = nn.Sequential(*(NanoBlock(D, config.H) for _ in range(config.L)))
        self.weight = nn.Parameter(torch.ones(D))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.blocks(self.tokens(ids) + self.places.weight[: ids.shape[1]])
        return F.linear(F.layer_norm(x, x.shape[-1:], self.weight, None, 1e-5), self.tokens.weight)


def models() -> dict[str, nn.Module]:
    """All of about 3.1 million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    c = CONFIG
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=c.V, hidden_size=c.D, num_attention_heads=c.H, num_hidden_layers=c.L, intermediate_size=c.hidden,
            tie_word_embeddings=True, use_cache=False,
        )
    )  # fmt: skip
    return {
        "Decoder": Decoder(c),
        "Decoder, norm of lab 04": Decoder(c, Parts(norm=RMSNorm)),
        "Decoder, rope of lab 03": Decoder(c, Parts(rope=apply_rope)),
        "Decoder, nn.RMSNorm": Decoder(c, Parts(norm=nn.RMSNorm)),
        "Decoder, PLAIN": Decoder(c, PLAIN),
        "GPT2": GPT2(GPT2Config(V=c.V, D=c.D, H=c.H, L=c.L, hidden=4 * c.D, context=c.context)),
        "LlamaForCausalLM": llama,
        "nanoGPT": NanoGPT(c),
    }


def training_step(model: nn.Module, ids: Tensor, targets: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        logits = model(ids)
        logits = logits if isinstance(logits, Tensor) else logits.logits
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def rounds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, all of them in turn, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(title: str, tokens: int, peer: str, seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Print one table, and return it."""
    print(f"\n{title:<28}{'tokens/s':>10}{'quartiles':>18}{'ratio to ' + peer:>36}")
    rows = {}
    for name, times in seconds.items():
        low, middle, high = statistics.quantiles([tokens / s for s in times], n=4)
        ratio = statistics.median(p / s for p, s in zip(seconds[peer], times, strict=True))
        print(f"{name:<28}{middle:>10.0f}{low:>10.0f} –{high:>6.0f}{ratio:>36.2f}", flush=True)
        rows[name] = {"tokens_per_second": middle, "low": low, "high": high, "ratio": ratio}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ids = torch.randint(CONFIG.V, (B, T + 1), generator=torch.Generator().manual_seed(0))
    made = models()
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} rounds")
    print("parameters: " + ", ".join(f"{name} {count(model):,}" for name, model in made.items() if "," not in name))
    steps = {name: training_step(model, ids[:, :-1], ids[:, 1:]) for name, model in made.items()}
    tables = {"train": report("training", B * T, "LlamaForCausalLM", rounds(steps, arguments.rounds))}

    prompt, new = ids[:1, :128], 128
    llama, decoder = made["LlamaForCausalLM"].eval(), Decoder(CONFIG)
    writing = {
        "Decoder, cached": lambda: generate(decoder, prompt, new),
        "Decoder, uncached": lambda: generate(decoder, prompt, new, cached=False),
        "LlamaForCausalLM, cached": lambda: llama.generate(  # type: ignore[operator]
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new,
            do_sample=False,
            use_cache=True,
            eos_token_id=None,
        ),
    }
    tables["write"] = report("writing", new, "LlamaForCausalLM, cached", rounds(writing, min(3, arguments.rounds)))
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
