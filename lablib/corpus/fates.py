"""Where in a pipeline did which kind of document get lost? The counts behind the picture of a funnel, from traces and known kinds."""

from collections import Counter
from collections.abc import Sequence

from lablib.corpus.planted import Planted
from lablib.corpus.trace import Stage, Traced

CAME = "as it came"
BAD_PAGES = frozenset(
    ("gibberish", "shuffled_words", "symbols", "repeated_lines", "machine", "shouting", "truncated")
)  # what rules of quality are for
GROUPS = ("good", "look-alikes", "to be mended", "copies", "toxic", "other language", "bad pages")


def group_of(one: Planted) -> str:
    """The group of a planted document's label: one of `GROUPS`.

    >>> from lablib.corpus.document import Document
    >>> group_of(Planted(Document("Il pleut.", "d", "test"), frozenset({"other_language"})))
    'other language'
    """
    label = next(iter(one.truth), "good")
    if label.startswith("benign_"):
        return "look-alikes"
    names = {"copy": "copies", "near_copy": "copies", "other_language": "other language", "boilerplate": "to be mended"}
    return {**names, "pii": "to be mended", "toxic": "toxic", "good": "good"}.get(label, "bad pages")


def left_behind(results: Sequence[Traced], stages: Sequence[Stage], kinds: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many documents of each kind are left behind each stage.

    Args:
        results: what `Pipeline.run` yielded. stages: those of the pipeline, in order.
        kinds: one for each result, such as `group_of` gives.

    Returns:
        stage → kind → count, first the corpus as it came; kinds in the order of `GROUPS`, then as they come.

    Raises:
        ValueError: not one kind for each result.
    """
    if len(kinds) != len(results):
        raise ValueError(f"{len(kinds)} kinds for {len(results)} results: expected one for each, in the same order")
    order = [kind for kind in dict.fromkeys((*GROUPS, *kinds)) if kind in set(kinds)]
    ends = [traced.steps[-1].stage if traced.fate != "kept" else "" for traced in results]
    left = Counter(kinds)
    rows = {CAME: {kind: left[kind] for kind in order}}
    for stage in stages:
        left.subtract(kind for kind, end in zip(kinds, ends, strict=True) if end == stage.name)
        rows[stage.name] = {kind: left[kind] for kind in order}
    return rows
