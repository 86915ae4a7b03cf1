"""From choices to rewards: the Bradley–Terry model, its loss, and what becomes of it where some labels are wrong.

A person who is shown two responses says which is better. Bradley & Terry 1952, "Rank Analysis of Incomplete Block Designs: I. The Method
of Paired Comparisons", suppose that each has a strength r, and that the first is chosen with the probability

    P(first ≻ second) = e^r₁ / (e^r₁ + e^r₂) = σ(r₁ − r₂)

So a difference of rewards is the logarithm of the odds, in *nats*: 0 is a coin, ln 3 is three times out of four. Adding the same
number to all rewards changes nothing. A reward model is trained to make the choices that were seen likely: its loss is
−ln P(chosen ≻ rejected).

Papers: Ouyang et al. 2022, "Training language models to follow instructions with human feedback", equation 1 (for K = 2 responses a
prompt); Touvron et al. 2023, "Llama 2", equation 2 (the margin); Szegedy et al. 2016, "Rethinking the Inception Architecture", §7
(label smoothing); Natarajan et al. 2013, "Learning with Noisy Labels", lemma 1, in Chowdhury, Kini & Natarajan 2024, "Provably Robust
DPO", for preferences.

Each loss is per pair, (N,), in nats; whoever trains takes the mean. A NaN in the rewards stays one: the training loop stops at it.
Axes: N pairs. Left out: ties, rankings of more than two (Plackett–Luce).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

PairLoss = Callable[[Tensor, Tensor], Tensor]  # rewards of chosen (N,) and rejected (N,) -> (N,), nats


def preference_probability(first: Tensor, second: Tensor) -> Tensor:
    """P(first ≻ second) under the Bradley–Terry model: rewards (N,), (N,) -> (N,), each in [0, 1].

    >>> preference_probability(torch.tensor([2.0, 0.0]), torch.tensor([2.0, 1.0986]))  # equal; e^0 against e^1.0986 = 3
    tensor([0.5000, 0.2500])
    """
    check_pairs(first, second)
    return torch.sigmoid(first - second)


def bradley_terry_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """How surprised is the model by each choice? −ln σ(r_chosen − r_rejected − margin).

    Safe at any difference: at −1000 it is 1000, no infinity. The clearer a pair is already, the less it pulls.

    Args:
        chosen, rejected: rewards (N,), in nats.
        margin: (N,) or one number >= 0, nats: by how much the chosen one should be better (Llama 2: more where people
            were sure).

    Returns:
        (N,), nats, not yet averaged; ln 2 where both rewards are equal and there is no margin.

    Raises:
        ValueError: chosen and rejected have different shapes, or other than one axis.

    >>> bradley_terry_loss(torch.tensor([1.0986, 0.0]), torch.tensor([0.0, 0.0]))  # −ln ¾ and −ln ½
    tensor([0.2877, 0.6931])
    """
    check_pairs(chosen, rejected)
    return -F.logsigmoid(
        chosen - rejected - margin
    )  # Ouyang et al. 2022, equation 1; margin: Touvron et al. 2023, equation 2


def smoothed_loss(chosen: Tensor, rejected: Tensor, smoothing: float) -> Tensor:
    """The loss for a label that is believed only with the probability 1 − smoothing: (1 − ε)·loss + ε·(loss of the other choice).

    Its minimum is not at an infinite difference but at ln((1 − ε)/ε): no pair is ever held to be more certain than that.

    Args: smoothing: ε, at least 0 and below ½.

    >>> smoothed_loss(torch.tensor([1.0986]), torch.tensor([0.0]), smoothing=0.25)  # ¾·(−ln ¾) + ¼·(−ln ¼)
    tensor([0.5623])
    """
    _check_share("smoothing", smoothing)
    loss, other = bradley_terry_loss(chosen, rejected), bradley_terry_loss(rejected, chosen)
    return (1 - smoothing) * loss + smoothing * other  # Szegedy et al. 2016, §7, for two classes


def unbiased_loss(chosen: Tensor, rejected: Tensor, flipped: float) -> Tensor:
    """The loss whose mean over labels, of which a known share was flipped, is the loss on the labels before the flip.

    Where smoothing trusts every label less, this one undoes the noise: of the pairs that are easy to tell it expects the share
    `flipped` to be labelled the wrong way round. A single value can be negative.

    Args: flipped: ρ, the share of labels that were turned round, at least 0 and below ½.

    >>> unbiased_loss(torch.tensor([1.0986]), torch.tensor([0.0]), flipped=0.25)  # (¾·(−ln ¾) − ¼·(−ln ¼)) / ½
    tensor([-0.2616])
    """
    _check_share("flipped", flipped)
    loss, other = bradley_terry_loss(chosen, rejected), bradley_terry_loss(rejected, chosen)
    return ((1 - flipped) * loss - flipped * other) / (1 - 2 * flipped)  # Natarajan et al. 2013, lemma 1


def lapse_loss(chosen: Tensor, rejected: Tensor, lapse: float) -> Tensor:
    """The loss where it is known how labels come about: with the probability `lapse` a coin was thrown, else the pair was looked at.

    P(label) = lapse/2 + (1 − lapse)·σ(difference), and the loss is −ln of it. So a label that contradicts a clear difference costs at
    most −ln(lapse/2), and its pull on the model fades, where the plain loss pulls hardest.

    Args: lapse: the share of labels that are coins, at least 0 and below 1.

    >>> lapse_loss(torch.tensor([0.0, -1000.0]), torch.tensor([0.0, 0.0]), lapse=0.2)  # ln 2, and −ln 0.1
    tensor([0.6931, 2.3026])
    """
    if not 0 <= lapse < 1:
        raise ValueError(f"lapse = {lapse}: expected a share, at least 0 and below 1")
    loss = bradley_terry_loss(chosen, rejected)
    if lapse == 0:
        return loss
    looked = torch.log1p(torch.tensor(-lapse, dtype=loss.dtype)) - loss  # ln((1 − lapse)·σ(difference))
    return -torch.logaddexp(looked, torch.tensor(lapse / 2, dtype=loss.dtype).log())


def pair_accuracy(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Does the model agree with each label? 1 where the chosen response has more reward, ½ where both have the same, else 0: (N,).

    >>> pair_accuracy(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    check_pairs(chosen, rejected)
    bad = ~(chosen.isfinite() & rejected.isfinite())
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"the rewards of pair {row} are {chosen[row].item()} and {rejected[row].item()}: expected finite numbers; did training diverge?"
        )
    return (chosen > rejected).float() + 0.5 * (chosen == rejected).float()


def check_pairs(chosen: Tensor, rejected: Tensor) -> None:
    """Raise a ValueError for rewards that do not come in pairs; (N, 1) against (N,) would silently become (N, N)."""
    if chosen.dim() != 1 or chosen.shape != rejected.shape:
        raise ValueError(
            f"rewards have shapes {tuple(chosen.shape)} and {tuple(rejected.shape)}: expected (N,) and (N,), one pair in each place; "
            "take the axis of length 1 off, rewards[:, 0], if there is one"
        )


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 0.5:
        raise ValueError(f"{name} = {value}: expected a share, at least 0 and below ½; at ½ a label says nothing")
