"""What does a method cost? An account book: every pass of a model over tokens, every label, every second, and which models lie in memory.

    book = Ledger((Cost("reward model learns", pass_flops(config, lengths, learned=True, head=False), seconds, ("reward",)),))
    (book + others).flops

"At equal compute" needs a definition. Ours: the FLOPs that the models' passes need, counted from the lengths of what they read
(`pretraining.flops`), from the tuned model to the finished policy and through the first answers that it is asked for:

- *written* tokens cost a forward pass each, with a cache: prompt and answer are each read once;
- a *reference's* or a *reward model's* look at an answer is a forward pass, also when it is made once and kept;
- *learning* from a row costs three forward passes, as often as it is read;
- training the reward model, critiques, revisions and AI labels count like everything else; so do answers that are drawn and thrown away;
- the logits count only in models that make some: a reward model and a critic read without them.

What is not in it: judging by the world, people's work (that is a column of its own), and what hardware does with padding. FLOPs are the
same on every machine; seconds stand beside them and are not. Writing token by token uses a machine's arithmetic badly, so at equal FLOPs a
method that writes much takes longer.

Axes: T tokens of a row. Left out: memory traffic, energy.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lablib.architecture.decoder import DecoderConfig
from lablib.pretraining.flops import per_token


def pass_flops(config: DecoderConfig, lengths: Sequence[int], learned: bool = False, head: bool = True) -> int:
    """FLOPs of a model's pass over some rows of tokens.

    `per_token(config, T)` is what one token of a row of T costs forwards *and* backwards, 6 for each weight and
    12·L·D·T for attention. The forward pass alone is a third of it.

    Args:
        config: of the model. lengths: tokens of each row, without padding. learned: with the backward pass?
        head: are logits made? Without them the head's V·D weights take no part: 6·V·D less for each token, forwards
            and backwards.

    Returns:
        the sum over all tokens of all rows, an int.

    >>> config = DecoderConfig(V=100, D=8, H=2, L=1, hidden=16)
    >>> per_token(config, T=10)
    9744
    >>> pass_flops(config, [10], learned=True), pass_flops(config, [10]), pass_flops(config, [10], head=False)
    (97440, 32480, 16480)
    """
    check_lengths(lengths)
    unused = 0 if head else 6 * config.V * config.D
    both = sum(T * (per_token(config, T) - unused) for T in lengths)  # Chowdhery et al. 2022, appendix B
    return both if learned else both // 3


def affordable(budget: float, spent: float, each: float) -> int:
    """How many times can one pay `each` from what is left of a budget? At least 1.

    Raises:
        ValueError: not even once.

    >>> affordable(budget=100, spent=40, each=25)
    2
    """
    times = math.floor((budget - spent) / each)
    if times < 1:
        raise ValueError(
            f"budget = {budget:.3g} with {spent:.3g} spent leaves no {each:.3g}: expected a budget that the method can begin with; "
            "take a larger one, or fewer labels"
        )
    return times


@dataclass(frozen=True)
class Cost:
    """One entry.

    Attributes:
        what: in words. flops: see above. seconds: that it took here.
        models: which lie in memory meanwhile, by name. human, ai: labels that were given.
    """

    what: str
    flops: int
    seconds: float = 0.0
    models: tuple[str, ...] = ()
    human: int = 0
    ai: int = 0


@dataclass(frozen=True)
class Ledger:
    """The entries of a method, in order."""

    costs: tuple[Cost, ...] = ()

    def __add__(self, other: "Ledger") -> "Ledger":
        return Ledger((*self.costs, *other.costs))

    @property
    def flops(self) -> int:
        """All of them."""
        return sum(cost.flops for cost in self.costs)

    @property
    def seconds(self) -> float:
        """All of them, as if nothing were shared with other methods."""
        return math.fsum(cost.seconds for cost in self.costs)

    @property
    def human(self) -> int:
        """Labels by people."""
        return sum(cost.human for cost in self.costs)

    @property
    def ai(self) -> int:
        """Labels by a model."""
        return sum(cost.ai for cost in self.costs)

    @property
    def models(self) -> tuple[str, ...]:
        """The most models that lie in memory at one time."""
        return max((cost.models for cost in self.costs), key=len, default=())

    def rows(self) -> list[dict[str, Any]]:
        """For a record."""
        return [{**asdict(cost), "seconds": round(cost.seconds, 2)} for cost in self.costs]


def ledger_of(rows: Iterable[dict[str, Any]]) -> Ledger:
    """The ledger of a record's rows."""
    return Ledger(tuple(Cost(**{**row, "models": tuple(row["models"])}) for row in rows))


def check_lengths(lengths: Sequence[int]) -> None:
    """Raise a ValueError for a row of less than no token."""
    if any(T < 0 for T in lengths):
        raise ValueError(f"lengths = {list(lengths)[:5]}: expected numbers of tokens >= 0")
