"""How good is a search? Recall, reciprocal rank and nDCG, counted on questions whose answers' places are known.

A question has *facts* that its answer needs: sentences of certain pages. A passage that was found *holds* a fact when the whole
sentence stands in it. So the same questions judge every way to cut pages, and a fact that was cut in two is held by none.

- *recall@k*: the share of the facts that the first k passages hold. What is not among them no generator can use.
- *MRR*, mean reciprocal rank: 1 / (the rank of the first passage that holds a fact), 0 where none does.
- *nDCG@k*, normalised discounted cumulative gain: gains at low ranks count more, and 1 is the best possible order.

Sources: Voorhees 1999, "The TREC-8 Question Answering Track Report" (MRR); Järvelin and Kekäläinen 2002, "Cumulated Gain-Based
Evaluation of IR Techniques" (nDCG). Intervals: Wilson's for shares of a count, mean ± 1.96 standard errors for means, both 95 %.
Left out: average precision; tests of whether two searches differ (compare them on the same questions, in pairs).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lablib.adaptation.chunking import Chunk, Stretch
from lablib.adaptation.search import Hit
from lablib.corpus.scoring import wilson
from lablib.pretraining.in_context import Interval, mean_interval

Holds = Sequence[Collection[str]]  # for each passage that was found, the best first: the facts that stand in it


def recall_at_k(holds: Holds, wanted: Collection[str], k: int) -> float:
    """The share of the wanted facts that stand in at least one of the first k passages.

    Args:
        holds: for each passage that was found, the best first, the facts that it holds: wanted ones, others, or none.
        wanted: the facts that the answer needs, at least one; one that is named twice is one.
        k: how many passages are looked at; there may be fewer.
    Returns: from 0 to 1. A fact that two passages hold counts once.
    Raises: ValueError: nothing is wanted, or k below 1.

    >>> recall_at_k([["a"], [], ["a", "b"], ["c"]], wanted=["a", "b", "c"], k=3)
    0.6666666666666666
    """
    if not wanted or k < 1:
        raise ValueError(f"wanted = {wanted!r}, k = {k}: expected at least one fact, and k ≥ 1")
    found = {fact for facts in holds[:k] for fact in facts}
    return len(found & set(wanted)) / len(set(wanted))


def reciprocal_rank(holds: Holds, wanted: Collection[str]) -> float:
    """1 / (the rank of the first passage that holds a wanted fact); ranks count from 1. 0 where none does.

    Args: as in `recall_at_k`. The mean over many questions is the MRR.

    >>> reciprocal_rank([[], ["x"], ["b"], ["a"]], wanted=["a", "b"])
    0.3333333333333333
    """
    for rank, facts in enumerate(holds, 1):
        if set(facts) & set(wanted):
            return 1 / rank
    return 0.0


def ndcg_at_k(gains: Sequence[float], all_gains: Sequence[float], k: int) -> float:
    """How near the order of the first k passages is to the best: their discounted gain, divided by the best order's.

    The discounted gain of an order is Σ gain / log₂(rank + 1) over its first k passages, with ranks from 1.

    Args:
        gains: of each passage that was found, in the order of the ranking, such as its number of wanted facts; ≥ 0.
        all_gains: of every passage of the corpus, found or not, in any order; those without a gain may be left out.
        k: at least 1.
    Returns: from 0 to 1; 0 where no passage of the corpus has a gain.
    Raises: ValueError: k below 1, or a gain below 0.

    >>> round(ndcg_at_k([0, 2, 1], all_gains=[1, 0, 2, 0], k=3), 4)  # (2/1.585 + 1/2) / (2/1 + 1/1.585)
    0.6697
    """
    # Differs from the paper: it divides by log₂(rank) from rank 2 on, so that ranks 1 and 2 count the same. With
    # log₂(rank + 1) each place counts less than the one before; trec_eval and scikit-learn have it so, too.
    if k < 1 or min([*gains, *all_gains], default=0) < 0:
        raise ValueError(f"k = {k}, gains = {gains}: expected k ≥ 1 and gains of at least 0")
    best = sorted(all_gains, reverse=True)
    got, ideal = (sum(gain / math.log2(rank + 1) for rank, gain in enumerate(some[:k], 1)) for some in (gains, best))
    return got / ideal if ideal else 0.0


# ---------------------------------------------------------------- from chunks to metrics


Places = Mapping[str, Sequence[tuple[str, Stretch]]]  # fact -> each (page, span) where it stands


def facts_in(chunk: Chunk, places: Places) -> list[str]:
    """The facts of which at least one place lies wholly inside the chunk.

    >>> facts_in(Chunk("cats", 10, 50, "…"), {"purr": [("cats", (12, 20))], "eat": [("cats", (45, 60))], "bark": [("dogs", (12, 20))]})
    ['purr']
    """
    return [
        fact
        for fact, spans in places.items()
        if any(page == chunk.page and chunk.start <= start and stop <= chunk.stop for page, (start, stop) in spans)
    ]


@dataclass(frozen=True)
class Judged:
    """One question's ranking, as the metrics need it.

    Attributes:
        holds: for each passage that was found, the wanted facts in it.
        wanted: the facts that the answer needs.
        all_gains: the number of wanted facts in every passage of the corpus that has any.
    """

    holds: tuple[tuple[str, ...], ...]
    wanted: tuple[str, ...]
    all_gains: tuple[int, ...]


def judge(hits: Sequence[Hit], chunks: Sequence[Chunk], places: Places) -> Judged:
    """Which of a question's facts each passage holds that a search found.

    Args:
        hits: what a search returned, the best first. chunks: the passages that it was made from.
        places: where each fact stands that the answer needs.
    Raises:
        ValueError: the question needs no fact (an unanswerable one cannot be judged so), or a hit is no chunk.
    """
    if not places:
        raise ValueError("places is empty: expected at least one fact; questions that nothing answers have no recall")
    if wrong := [hit.number for hit in hits if not 0 <= hit.number < len(chunks)]:
        raise ValueError(f"hits: {wrong[0]} is none of the {len(chunks)} chunks; was the search made from other ones?")
    inside = [facts_in(chunk, places) for chunk in chunks]
    return Judged(
        tuple(tuple(inside[hit.number]) for hit in hits), tuple(places), tuple(len(facts) for facts in inside if facts)
    )


@dataclass(frozen=True)
class Quality:
    """A search on many questions, each figure with its 95 % interval.

    Attributes:
        questions: how many. k: passages that were looked at.
        recall: the share of all facts that were found. complete: the share of questions of which all facts were found.
        mrr, ndcg: means over the questions.
    """

    questions: int
    k: int
    recall: Interval
    complete: Interval
    mrr: Interval
    ndcg: Interval

    def __str__(self) -> str:
        shown = {"recall": self.recall, "complete": self.complete, "MRR": self.mrr, "nDCG": self.ndcg}
        parts = [f"{name} {value:.3f} [{low:.3f}, {high:.3f}]" for name, (value, low, high) in shown.items()]
        return f"@{self.k}, {self.questions} questions: " + ", ".join(parts)


def quality(judged: Sequence[Judged], k: int = 5) -> Quality:
    """Recall@k, the share of complete questions, MRR@k and nDCG@k over many questions.

    Two facts of one question are not quite independent, so that the interval of `recall` is a little too narrow; `complete` counts
    questions, which are.

    Raises:
        ValueError: fewer than two questions, which have no interval, or k below 1.
    """
    if len(judged) < 2:
        raise ValueError(
            f"judged has {len(judged)} questions: expected at least 2, since one says nothing of its spread"
        )
    shares = [recall_at_k(one.holds, one.wanted, k) for one in judged]
    found, facts = (
        sum(round(s * len(one.wanted)) for s, one in zip(shares, judged, strict=True)),
        sum(len(one.wanted) for one in judged),
    )
    complete = sum(share == 1 for share in shares)
    ranks = [reciprocal_rank(one.holds[:k], one.wanted) for one in judged]
    orders = [ndcg_at_k([len(held) for held in one.holds], one.all_gains, k) for one in judged]
    return Quality(
        len(judged),
        k,
        (found / facts, *wilson(found, facts)),
        (complete / len(judged), *wilson(complete, len(judged))),
        mean_interval(ranks),
        mean_interval(orders),
    )
