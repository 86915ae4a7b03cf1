"""A model with adapters writes in batches what it says when it reads a whole text at once, whatever the adapters are."""

import pytest
import torch

from lablib.adaptation.bottleneck import add_adapters
from lablib.adaptation.dora import DoRALinear
from lablib.adaptation.lora import ALL_LINEAR, Lora, inject
from lablib.adaptation.prefix_tuning import PrefixTuned
from lablib.adaptation.prompt_tuning import PromptTuned
from lablib.adaptation.quantised import quantise
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining.generation import generate

PROMPTS = [[5, 9, 3, 3, 20, 41, 7], [7], [1, 2, 3]]
EVERYTHING = Lora(r=2, alpha=4, targets=ALL_LINEAR)
WAYS = {
    "lora": lambda model, seed: inject(model, EVERYTHING, seed),
    "dora": lambda model, seed: inject(model, EVERYTHING, seed, DoRALinear),
    "bottleneck": lambda model, seed: add_adapters(model, 4, generator=seed),
    "nf4": lambda model, seed: quantise(model, ALL_LINEAR, "nf4"),
    "prompt": lambda model, seed: PromptTuned(model, 3),
    "prefix": lambda model, seed: PrefixTuned(model, 3),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_writes_what_it_says(way):
    seed = torch.Generator().manual_seed(0)
    config = DecoderConfig(V=60, D=24, H=2, L=2, hidden=40, context=40, kv_heads=1)
    plain = Decoder(config, generator=seed)
    with torch.no_grad():
        for weight in plain.parameters():
            weight.add_(torch.randn(weight.shape, generator=seed) * 0.3)
    before = generate(plain, PROMPTS, 6)
    model = WAYS[way](plain, seed).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=seed) * 0.5)
    written = generate(model, PROMPTS, 6)
    assert not torch.equal(written.log_probs, before.log_probs)
    for prompt, row, found in zip(PROMPTS, written.rows, written.log_probs, strict=True):
        with torch.no_grad():
            log_probs = model(torch.tensor([prompt + row]))[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert log_probs.argmax(-1).tolist() == row
        torch.testing.assert_close(found, log_probs.amax(-1), rtol=1e-4, atol=1e-4)
