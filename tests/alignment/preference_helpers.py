"""A tiny decoder with sharp opinions, and a few pairs of responses for it."""

import torch

from lablib.architecture.decoder import Decoder, DecoderConfig

PROMPTS = [[1, 5, 9], [2], [3, 3, 3, 3], [1, 7]]
CHOSEN = [[4, 6], [7, 8, 10, 11], [2], [9, 9, 12]]
REJECTED = [[4, 7, 7], [8], [2, 6], [5, 5]]


def tiny(seed: int = 0, tied: bool = True) -> Decoder:
    """13 tokens, 8 wide; its probabilities are far from even."""
    config = DecoderConfig(V=13, D=8, H=2, L=2, hidden=12, context=24, tied=tied)
    model = Decoder(config, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    return model.eval()
