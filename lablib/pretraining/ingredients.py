"""What the fast recipes of today add to a Llama-shaped decoder: three ingredients, each of which can be left out.

- **QK-norm.** Queries and keys are scaled to one length before they meet, so that no attention can become arbitrarily sharp, whatever
  the learning rate does to the matrices. Henry et al. 2020, "Query-Key Normalization for Transformers"; Dehghani et al. 2023, "Scaling
  Vision Transformers to 22 Billion Parameters", with LayerNorm; here RMSNorm on each head, as in Qwen3.
- **Zero-initialised outputs.** The last matrix of each sublayer starts at zero, so that every block begins as the identity, and depth
  is something that the model grows into. Goyal et al. 2017, "Accurate, Large Minibatch SGD" (§5.1), did it to the last norm of each
  residual block, Zhang et al. 2019, "Fixup Initialization" (§3), to its last weights.
- **Squared ReLU.** The feed-forward network squares what a ReLU lets pass, and needs no gate. So et al. 2021, "Primer: Searching for
  Efficient Transformers for Language Modeling".

The other two of such a recipe are settings of `Recipe`: Muon (`optimiser="muon"`) and warm-up–stable–decay (`schedule="wsd"`).

Axes: B batch, H heads, T time, D model width, K head width. A model with the first or the last of these is no Llama any more:
`transformers` cannot load it. Left out: a learned scale for queries and keys, which starts at 1.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.decoder import FAST, Decoder, DecoderConfig, Parts
from lablib.architecture.fast_parts import fast_rope


def normed_rope(x: Tensor, cos: Tensor, sin: Tensor, eps: float = 1e-6) -> Tensor:
    """Queries or keys at a root mean square of 1 in each head, then turned to their positions.

    The product of a query and a key, divided by √K, is then at most √K.

    Args: x (B, H, T, K); cos, sin (T, K/2), or (B, 1, T, K/2) where each row has positions of its own.
    Returns: (B, H, T, K).

    >>> normed_rope(torch.tensor([[5.0, 5.0]]), cos=torch.tensor([[0.0]]), sin=torch.tensor([[1.0]]), eps=0.0)
    tensor([[-1.,  1.]])
    """
    return fast_rope(F.rms_norm(x, x.shape[-1:], eps=eps), cos, sin)


class SquaredReLU(nn.Module):
    """A feed-forward network of two matrices, max(x W₁, 0)² W₂ (So et al. 2021).

    It is made 3/2 as wide as it is told: `SwiGLU` has three matrices, and so both have the same number of weights.
    """

    def __init__(self, D: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(D, 3 * hidden // 2, bias=False), nn.Linear(3 * hidden // 2, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return self.down(F.relu(self.up(x)).square())  # (..., D) -> (..., 3/2 hidden) -> (..., D)


def build(
    config: DecoderConfig,
    *,
    qk_norm: bool = False,
    zero_init: bool = False,
    relu2: bool = False,
    generator: torch.Generator | None = None,
) -> Decoder:
    """A decoder with any of the ingredients; with none it is `Decoder(config)`.

    The number of weights is `config.parameters` whichever are chosen (with relu2, of an odd `hidden`, D too few in each layer). All
    that is not zero starts from the same random numbers, with and without zero_init and qk_norm.
    """
    parts = Parts(
        rope=partial(normed_rope, eps=config.eps) if qk_norm else FAST.rope,
        feed_forward=SquaredReLU if relu2 else FAST.feed_forward,
    )
    model = Decoder(config, parts, generator)
    if zero_init:
        for name, weight in model.named_parameters():
            if name.endswith(("out_proj.weight", "down.weight")):
                nn.init.zeros_(weight)
    return model
