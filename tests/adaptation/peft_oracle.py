"""The same model twice: ours, and as `transformers` loads what `save_llama` exported, for `peft` to work on."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama

SIZES = DecoderConfig(V=61, D=32, H=4, L=2, hidden=40, context=64, kv_heads=2)
IDS = torch.randint(61, (3, 11), generator=torch.Generator().manual_seed(7))


def fresh(seed: int = 0, config: DecoderConfig = SIZES) -> Decoder:
    """A decoder whose weights are large enough that every part of it matters."""
    model = Decoder(config, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(6)
    return model.eval()


def exported(model: Decoder, folder: Path) -> nn.Module:
    """The model as `transformers` loads it, in evaluation mode."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(save_llama(model, folder), dtype=torch.float32).eval()


def loss(logits: Tensor, ids: Tensor = IDS) -> Tensor:
    """Next-token loss, nats per token."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> bool:
    """Equal up to a share of the largest expected number; all-zero tensors on either side fail."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    largest = float(theirs.detach().abs().max())
    assert largest > 1e-4, f"the largest expected number is {largest}: too small to compare with"
    return float((ours - theirs).detach().abs().max()) <= tolerance * largest
