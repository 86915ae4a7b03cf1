"""What the tests of the decoders share: small models, and comparison relative to size."""

import torch
from torch import Tensor

from lablib.architecture.decoder import FAST, CausalModel, Decoder, DecoderConfig, Parts
from lablib.architecture.gpt2 import GPT2, GPT2Config

SMALL = DecoderConfig(V=50, D=24, H=6, L=2, hidden=40, context=32)
GROUPED = DecoderConfig(V=50, D=24, H=6, L=2, hidden=40, context=32, kv_heads=2, tied=False, rope_base=500.0, eps=1e-3)
SMALL_GPT2 = GPT2Config(V=50, D=24, H=6, L=2, hidden=40, context=32)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stir(model: torch.nn.Module, seed: int = 1) -> None:
    """Weights so large that every part matters: norms away from 1, biases away from 0, confident logits."""
    generator = seeded(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * (0.25 if weight.dim() > 1 else 0.5))


def small(config: DecoderConfig = SMALL, parts: Parts = FAST, seed: int = 0) -> Decoder:
    model = Decoder(config, parts, seeded(seed))
    stir(model)
    return model


def small_gpt2(config: GPT2Config = SMALL_GPT2, seed: int = 0) -> GPT2:
    model = GPT2(config, generator=seeded(seed))
    stir(model)
    return model


def some_model(kind: str) -> CausalModel:
    return {"llama": small, "grouped": lambda: small(GROUPED), "gpt2": small_gpt2}[kind]()


def some_ids(B: int, T: int, seed: int = 0, V: int = 50) -> Tensor:
    return torch.randint(V, (B, T), generator=seeded(seed))


def assert_equal(actual: Tensor, expected: Tensor, rtol: float = 1e-4) -> None:
    """Equal to rtol of the largest expected value, so that an all-zero answer fails."""
    scale = expected.abs().max().item()
    assert scale > 0, "an all-zero expectation tests nothing"
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * scale)
