"""How far is a model from the reference, on what it writes itself? KL(π ‖ π_ref) in nats per response.

Over whole responses the divergence is a sum over everything that could be written. By the chain rule it is also the mean, over responses
that π writes, of the divergences of the next-token distributions on the way:

    KL(π ‖ π_ref) = E_{y ~ π} Σ_t KL(π(· | x, y_<t) ‖ π_ref(· | x, y_<t))

The inner sums are exact, over the whole vocabulary; only the responses are drawn. So the estimate is unbiased, never negative, and varies
less than k1, which takes log π/π_ref of the drawn token alone (`kl`). Methods that need no samples to train (DPO) are measured so.

Paper: Amini, Vieira & Cotterell 2025, "Better Estimation of the Kullback–Leibler Divergence Between Language Models" (Rao–Blackwell).

Axes: N responses, T time, V vocabulary, n tokens of all responses. Left out: what lies beyond the last token that may be written.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.alignment.kl import exact_kl
from lablib.alignment.log_probs import Answers, answers
from lablib.architecture.decoder import CausalModel
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling

ROWS = 32  # responses at a time: two models' logits for all their tokens lie in memory


def policy_kl(
    policy: CausalModel,
    reference: CausalModel,
    prompts: Sequence[Sequence[int]],
    stop: Sequence[int],
    generator: torch.Generator | None = None,
    most: int = 110,
) -> Tensor:
    """KL(π ‖ π_ref), estimated from one response of the policy to each prompt.

    Args:
        prompts: N lists of token numbers. stop: tokens that end a response. generator: of chance. most: tokens of a
            response.

    Returns:
        (N,), nats per response; their mean is the estimate, and their spread gives its interval.

    Raises:
        ValueError: see `generate`.
    """
    found = []
    for start in range(0, len(prompts), ROWS):
        some = prompts[start : start + ROWS]
        written = generate(policy, some, most, Sampling(), generator, stop)
        lengths = written.mask.sum(dim=1).tolist()
        rows = [row[:n] for row, n in zip(written.ids.tolist(), lengths, strict=True)]
        found.append(response_kl(policy, reference, answers(some, rows, pad=0)))
    if not found:
        raise ValueError("prompts is empty: expected at least one")
    return torch.cat(found)


def response_kl(policy: CausalModel, reference: CausalModel, responses: Answers) -> Tensor:
    """The divergences along given responses, summed over each one's tokens: (N,), nats, without a gradient."""
    with torch.inference_mode():
        at = [_logits(model, responses) for model in (policy, reference)]  # (n, V) each
        each = exact_kl(*at).cpu()  # (n, V) -> (n,)
    mask = responses.mask.cpu()
    return torch.zeros(mask.shape).masked_scatter(mask, each).sum(dim=1)  # (n,) -> (N, T) -> (N,)


def _logits(model: CausalModel, responses: Answers) -> Tensor:
    """What the model expects at each token of the responses, (n, V)."""
    device = model.embedding.weight.device
    x = model.hidden(responses.inputs.to(device))[responses.mask.to(device)]  # (N, T, D) -> (n, D)
    return (F.linear(x, model.embedding.weight) if model.head is None else model.head(x)).float()
