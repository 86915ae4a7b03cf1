"""How good is a filter? Precision, recall and the harm it does, counted on planted truth, each with its interval.

Precision: of what it dropped (or marked), the share that was rightly dropped. Recall: of what should be dropped, the share that it
dropped. Both are shares of a count, so each has an interval: Wilson's (1927, "Probable inference, the law of succession, and statistical
inference"), which stays within [0, 1] and is honest near its ends, where p ± 1.96 √(p(1 − p)/n) would claim certainty.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from lablib.corpus.planted import Planted
from lablib.corpus.spans import Span

Z95 = 1.959963984540054  # the standard normal distribution has 95 % of its mass within ±Z95


def wilson(count: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for a share that was seen `count` times in `total`; (0, 1) when nothing was seen at all.

    Raises:
        ValueError: count is not between 0 and total.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    if not 0 <= count <= total:
        raise ValueError(f"count = {count} of total = {total}: expected 0 ≤ count ≤ total")
    if not total:
        return 0.0, 1.0
    share, spread = count / total, z * z / total
    centre, half = share + spread / 2, z * (share * (1 - share) / total + spread / (4 * total)) ** 0.5
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


@dataclass(frozen=True)
class Score:
    """Counts of a filter's right and wrong decisions.

    Attributes:
        right: marked, and rightly so (true positives).
        wrong: marked, but should not have been (false positives).
        missed: not marked, but should have been (false negatives).
    """

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """right / (right + wrong); 1 where nothing was marked."""
        marked = self.right + self.wrong
        return self.right / marked if marked else 1.0

    @property
    def recall(self) -> float:
        """right / (right + missed); 1 where there was nothing to find."""
        there = self.right + self.missed
        return self.right / there if there else 1.0

    @property
    def precision_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the precision."""
        return wilson(self.right, self.right + self.wrong)

    @property
    def recall_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the recall."""
        return wilson(self.right, self.right + self.missed)

    def __str__(self) -> str:
        low, high = self.precision_interval
        least, most = self.recall_interval
        return f"precision {self.precision:.3f} [{low:.3f}, {high:.3f}], recall {self.recall:.3f} [{least:.3f}, {most:.3f}]"


def score_table(scores: Mapping[str, Score]) -> str:
    """Scores as text, a line for each: how many were planted and marked, precision and recall with their intervals."""
    lines = [f"{'filter':<26}{'planted':>9}{'marked':>8}   {'precision [95 %]':<24}{'recall [95 %]'}"]
    for name, score in scores.items():
        (low, high), (least, most) = score.precision_interval, score.recall_interval
        lines.append(
            f"{name:<26}{score.right + score.missed:>9,}{score.right + score.wrong:>8,}   "
            f"{f'{score.precision:.3f} [{low:.3f}, {high:.3f}]':<24}{score.recall:.3f} [{least:.3f}, {most:.3f}]"
        )
    return "\n".join(lines)


def score_drops(planted: Iterable[Planted], dropped: Collection[str], faults: Collection[str]) -> Score:
    """A filter that should drop the documents with one of these faults and no others.

    Args:
        planted: the documents that the filter saw.
        dropped: the ids that it dropped.
        faults: the labels that it is there for, such as {"copy"}; documents that have another fault which a pipeline should drop count
            neither for nor against it, for somebody has to drop them.
    """
    right = wrong = missed = 0
    for one in planted:
        gone, ours = one.document.id in dropped, bool(one.truth & set(faults))
        right += gone and ours
        missed += ours and not gone
        wrong += gone and not ours and not one.should_drop
    return Score(right, wrong, missed)


def score_paragraphs(planted: Iterable[Planted], cleaned: Mapping[str, str]) -> Score:
    """A filter that should take out the paragraphs that many documents share, and leave all others.

    Args:
        planted: the documents that the filter saw.
        cleaned: id -> text behind the filter; a document that is not in it counts neither for nor against the filter.
    Returns:
        Right and missed count documents with a planted paragraph that stood in an earlier one, wrong those that should have stayed
        as they were: good text, look-alikes, and the first document with each paragraph.
    """
    right = wrong = missed = 0
    for one in planted:
        after = cleaned.get(one.document.id)
        if after is None or one.should_drop:
            continue
        if "boilerplate" in one.truth and one.copy_of is not None:
            (span,) = one.spans
            gone = one.document.text[span.start : span.stop] not in after
            right, missed = right + gone, missed + (not gone)
        else:
            wrong += after != one.document.text
    return Score(right, wrong, missed)


def dropped_by_label(planted: Iterable[Planted], dropped: Collection[str]) -> dict[str, tuple[int, int]]:
    """For each label ("good" where there is none): how many documents were dropped, and how many there are.

    For a fault this is the recall, for good text and look-alikes the harm.
    """
    counts: dict[str, tuple[int, int]] = {}
    for one in planted:
        for label in sorted(one.truth) or ["good"]:
            gone, there = counts.get(label, (0, 0))
            counts[label] = gone + (one.document.id in dropped), there + 1
    return dict(sorted(counts.items()))


def score_spans(
    planted: Iterable[Planted], find: Callable[[str], Iterable[Span]], kinds: Collection[str]
) -> dict[str, Score]:
    """A finder of details in text, for each kind: a find is right where kind, start and stop are as planted.

    Every find in a document without planted details of that kind is wrong, so the documents should hold none of their own.
    """
    counts = {kind: [0, 0, 0] for kind in kinds}
    for one in planted:
        truth = {span for span in one.spans if span.kind in counts}
        found = {span for span in find(one.document.text) if span.kind in counts}
        for number, group in enumerate((truth & found, found - truth, truth - found)):
            for span in group:
                counts[span.kind][number] += 1
    return {kind: Score(*three) for kind, three in counts.items()}
