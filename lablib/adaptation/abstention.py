"""When to withhold an answer: a signal, and a threshold below which nothing is said.

A model that does not know seldom says so, however it is asked. A program can say it in its place. It looks at a *signal*, a number that
should be high where an answer can be trusted, and withholds the answer where the signal is below a *threshold*. Before the answer the
search has three signals:

- *cosine*: of the question and the section that is nearest to it;
- *margin*: by how much that section is nearer than the second;
- *coverage*: the share of the question's words, weighed by their rarity, that stand in the passages. A made-up name stands nowhere.

Behind the answer there are three more:

- *grounded*: the share of the words which the answer adds to the question that stand in the passages;
- *certainty*: the mean log-probability of the answer's tokens, given the prompt with the passages, in nats per token;
- *lift*: the certainty less what it is without the passages, in nats per token: how much likelier they made the answer.

The threshold is chosen on questions whose kind is known, for the largest *J* (Youden 1950, "Index for Rating Diagnostic Tests"): of the
trusted the share that is kept, plus of the doubtful the share that is withheld, less 1. To say everything has J = 0, and so has to say
nothing: neither passes for skill. It must then be measured on other questions, for the best of many thresholds is partly the luckiest.

Papers: Rajpurkar, Jia and Liang 2018, "Know What You Don't Know" (SQuAD 2.0: questions that a text does not answer, a threshold that is
tuned on the development set); Shi et al. 2023, "Trusting Your Evidence" (an answer's probability with its context against without). Left
out: several signals in one score, thresholds for a wanted rate of errors, a model that is trained to abstain.
"""

from collections.abc import Sequence
from itertools import pairwise

from lablib.adaptation.bm25 import BM25, Tokenise, bm25_idf, singular_words
from lablib.adaptation.citations import FUNCTION_WORDS, MARK
from lablib.adaptation.page_search import PageSearch

# ---------------------------------------------------------------- signals


def coverage(question: str, passages: Sequence[str], index: BM25) -> float:
    """The share of a question's telling words that stand in some passage, each word weighed by its idf; 0 if it has none.

    Args:
        index: of the corpus. It knows how rare a word is; one that stands nowhere is the rarest of all.

    >>> index = BM25(["the red mill", "the red barn", "the red house"])
    >>> round(coverage("Is the red mill red?", ["the red mill"], index), 3), round(coverage("a red kestrel", ["the red mill"], index), 3)
    (1.0, 0.06)
    """
    telling = sorted(set(index.tokenise(question)) - FUNCTION_WORDS)
    weights = [index.idf.get(word, bm25_idf(0, index.size)) for word in telling]
    there = {word for passage in passages for word in index.tokenise(passage)}
    found = sum(weight for word, weight in zip(telling, weights, strict=True) if word in there)
    return found / sum(weights) if any(weights) else 0.0


def grounded(question: str, answer: str, passages: Sequence[str], tokenise: Tokenise = singular_words) -> float:
    """The share of an answer's own telling words that stand in some passage; its own are those that the question does not have.

    An answer that adds no word to the question has 0, and so has one without words. Citations are no words.

    >>> grounded("When was the mill built?", "The mill was built in spring 1820 [1].", ["Built in 1820."])
    0.5
    """
    own = set(tokenise(MARK.sub(" ", answer))) - set(tokenise(question)) - FUNCTION_WORDS
    there = {word for passage in passages for word in tokenise(passage)}
    return len(own & there) / len(own) if own else 0.0


def search_signals(question: str, passages: Sequence[str], search: PageSearch) -> dict[str, float]:
    """The three signals that are there before anything is written: cosine, margin and coverage.

    Args:
        passages: what the prompt gets. search: where they were found.
    """
    nearest = [hit.score for hit in search.dense.search(question, 2)]
    return {
        "cosine": nearest[0],
        "margin": nearest[0] - nearest[-1],  # 0 where there is only one section
        "coverage": coverage(question, passages, search.index),
    }


# ---------------------------------------------------------------- thresholds


def separation(trusted: Sequence[float], doubtful: Sequence[float]) -> float:
    """How well a signal tells two kinds apart: the share of pairs in which the trusted one has more; of equal ones, half.

    ½ is a coin, 1 is never wrong. (It is the area under the ROC curve.)

    Raises:
        ValueError: one of the two is empty.

    >>> separation([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    check_kinds(trusted, doubtful)
    wins = sum((good > bad) + 0.5 * (good == bad) for good in trusted for bad in doubtful)
    return wins / (len(trusted) * len(doubtful))


def best_threshold(trusted: Sequence[float], doubtful: Sequence[float]) -> float:
    """The threshold with the largest J; an answer is withheld where its signal is below it.

    It lies half-way between two values that were seen, or is the smallest of all, which withholds nothing. Of equal ones the
    smallest is taken, which withholds least.

    Raises:
        ValueError: one of the two is empty.

    >>> best_threshold([0.9, 0.7, 0.3], [0.5, 0.1])
    0.6
    """
    check_kinds(trusted, doubtful)
    values = sorted({*trusted, *doubtful})

    def youden(threshold: float) -> int:  # J + 1, times both numbers: whole numbers, so that equal ones are equal
        kept = sum(value >= threshold for value in trusted)
        withheld = sum(value < threshold for value in doubtful)
        return kept * len(doubtful) + withheld * len(trusted)

    return max([values[0], *((low + high) / 2 for low, high in pairwise(values))], key=youden)


def check_kinds(trusted: Sequence[float], doubtful: Sequence[float]) -> None:
    """Raises: ValueError: one of the two is empty."""
    if not len(trusted) or not len(doubtful):
        raise ValueError(
            f"{len(trusted)} trusted and {len(doubtful)} doubtful values: expected at least one of each, "
            "or there is nothing to tell apart; did the reader answer nothing right?"
        )
