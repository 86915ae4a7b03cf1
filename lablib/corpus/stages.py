"""The stages of the course's data pipeline: copies, quality, language, privacy and toxicity, each known to a module of `lablib.corpus`.

The order matters. Cheap stages that drop much come first (exact copies); rules for quality and language come before the near
copies, so that no bad text is kept as the first of a pair; paragraphs are compared after whole documents, and private details are
replaced last of all that compare texts, since placeholders would make different texts alike. Classifiers see the text as a model
would get it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from lablib.corpus.dedup import KeptSignatures, NearCopies, SeenKeys, exact_key, without_seen_paragraphs
from lablib.corpus.document import Document
from lablib.corpus.language import THRESHOLD, check_language, is_wanted
from lablib.corpus.language import language as identified
from lablib.corpus.minhash import Array
from lablib.corpus.privacy import redact
from lablib.corpus.quality import RULES, Rule, findings
from lablib.corpus.safety import toxic_words as listed_words
from lablib.corpus.safety import toxicity, worst_sentence
from lablib.corpus.text_classifier import TextClassifier
from lablib.corpus.trace import Each, InOrder, Outcome, Reason, Stage

# ------------------------------------------------------------------ copies


def _key_of(document: Document) -> bytes:
    return exact_key(document.text)


def _judge_exact(seen: SeenKeys, document: Document, key: bytes) -> Outcome | None:
    first = seen.first(key, document.id)
    return None if first == document.id else Outcome((Reason("exact copy", f"the same text as {first}"),))


def exact_copies() -> InOrder:
    """Drops a text that stood before in the corpus, in whatever case and spacing."""
    return InOrder("exact copies", SeenKeys, _judge_exact, _key_of)


def _signature_of(rule: NearCopies, document: Document) -> Array:
    return rule.signature(document.text)


def _judge_near(kept: KeptSignatures, document: Document, signature: Array) -> Outcome | None:
    nearest = kept.nearest(signature)
    if nearest is None:
        kept.keep(document.id, signature)
        return None
    id, similarity = nearest
    return Outcome(
        (Reason("near copy", f"like {id}, estimated Jaccard similarity {similarity:.2f} ≥ {kept.rule.threshold}"),)
    )


def near_copies(rule: NearCopies | None = None) -> InOrder:
    """Drops a text that is much like one that was kept."""
    rule = rule or NearCopies()
    return InOrder("near copies", partial(KeptSignatures, rule), _judge_near, partial(_signature_of, rule))


def _judge_paragraphs(seen: SeenKeys, document: Document, _: None, min_words: int) -> Outcome | None:
    text, taken = without_seen_paragraphs(document.text, document.id, seen, min_words)
    if not taken:
        return None
    why = f"{len(taken)} paragraphs stood before, the first in {taken[0][1]}: {taken[0][0]:.60}"
    return Outcome((Reason("repeated paragraph", why),), text if text.strip() else None)


def repeated_paragraphs(min_words: int = 10) -> InOrder:
    """Takes away paragraphs that stood before, and drops a document of which nothing is left.

    Args:
        min_words: shorter paragraphs stay, however often they come.
    Raises:
        ValueError: min_words is below 1.
    """
    if min_words < 1:
        raise ValueError(f"min_words = {min_words}: expected at least 1; 10 spares headings and greetings")
    return InOrder("repeated paragraphs", SeenKeys, partial(_judge_paragraphs, min_words=min_words))


# ------------------------------------------------------------------ what is good enough to learn from


def _judge_quality(document: Document, rules: tuple[Rule, ...]) -> Outcome | None:
    found = findings(document.text, rules)
    return Outcome(tuple(Reason(finding.rule, finding.why) for finding in found)) if found else None


def quality(rules: Iterable[Rule] = RULES) -> Each:
    """Drops a text that breaks one of the rules.

    Args:
        rules: a set of `lablib.corpus.quality`: `RULES` for prose, `CRAWL_RULES` for docstrings and READMEs, `GOPHER` or another
            published one to compare.
    Raises:
        ValueError: there is no rule, or two of one name.
    """
    chosen = tuple(rules)
    names = [rule.name for rule in chosen]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"rules named {names}: expected at least one rule, and each name once, since reasons are counted by it"
        )
    return Each("quality", partial(_judge_quality, rules=chosen))


def _judge_language(document: Document, wanted: str, threshold: float) -> Outcome | None:
    found, confidence = identified(document.text)
    if is_wanted(found, confidence, wanted, threshold):
        return None
    return Outcome(
        (Reason(f"language {found}", f"reads as {found!r} with probability {confidence:.2f}, not as {wanted!r}"),)
    )


def language(wanted: str = "en", threshold: float = THRESHOLD) -> Each:
    """Drops a text that is not in the wanted language, as far as it is long enough to tell.

    Args:
        wanted: an ISO 639-1 code such as "en".
        threshold: the probability that is enough, 0 to 1.
    Raises:
        ValueError: the model does not know the language, or threshold is outside 0 to 1.
    """
    check_language(wanted, threshold)
    return Each("language", partial(_judge_language, wanted=wanted, threshold=threshold))


# ------------------------------------------------------------------ what should not be learned


def _judge_private(document: Document, names: tuple[str, ...]) -> Outcome | None:
    text, spans = redact(document.text, names)
    counts = {kind: sum(span.kind == kind for span in spans) for kind in sorted({span.kind for span in spans})}
    return Outcome(tuple(Reason(kind, f"{count} replaced") for kind, count in counts.items()), text) if spans else None


def private_details(names: Sequence[str] = ()) -> Each:
    """Replaces private details; the trace says how many of which kind, never which."""
    return Each("private details", partial(_judge_private, names=tuple(names)))


def _judge_toxic(document: Document, limit: float) -> Outcome | None:
    rate = toxicity(document.text, listed_words())
    return Outcome((Reason("toxic words", f"{rate:.1f} in 100 words, more than {limit}"),)) if rate > limit else None


def toxic_words(limit: float = 0.0) -> Each:
    """Drops a text with more listed words in each 100 than the limit, 0 or more (`lablib.corpus.safety.toxicity`).

    Raises:
        ValueError: the limit is below 0.
    """
    if not limit >= 0:
        raise ValueError(f"limit = {limit}: expected 0 or more listed words in 100; 0 drops a text with a single one")
    return Each("toxic words", partial(_judge_toxic, limit=limit))


def _judge_sentences(document: Document, classifier: TextClassifier) -> Outcome | None:
    score, _ = worst_sentence(document.text, classifier)
    if score < classifier.threshold:
        return None
    why = f"its worst sentence has score {score:.2f}, the threshold is {classifier.threshold:.2f}"
    return Outcome((Reason("toxic sentence", why),))


def toxic_sentences(classifier: TextClassifier) -> Each:
    """Drops a text with a sentence that the classifier takes for toxic (`lablib.corpus.safety.train` makes one)."""
    return Each("toxic sentences", partial(_judge_sentences, classifier=classifier))


def _judge_score(document: Document, score: Callable[[str], float], least: float, name: str) -> Outcome | None:
    value = score(document.text)
    return Outcome((Reason(name, f"score {value:.3f}, expected at least {least:.3f}"),)) if value < least else None


def scored(name: str, score: Callable[[str], float], least: float) -> Each:
    """Drops a text whose score is below `least`.

    Args:
        name: of the stage and of its rule.
        score: text -> number, such as the method `score` of a classifier that was taught what is good.
        least: a text with this score is kept.
    Raises:
        ValueError: least is not a number.
    """
    if math.isnan(least):
        raise ValueError(f"least = {least}: expected a number, such as the classifier's threshold")
    return Each(name, partial(_judge_score, score=score, least=least, name=name))


def course_stages(names: Sequence[str] = (), rules: Iterable[Rule] = RULES) -> list[Stage]:
    """The pipeline of lab 05 in its order, without the learned classifiers, which must be trained first.

    Args:
        names: people's names to be replaced.
        rules: of quality; `CRAWL_RULES` for docstrings and READMEs.
    """
    return [
        exact_copies(),
        quality(rules),
        language(),
        near_copies(),
        repeated_paragraphs(),
        toxic_words(),
        private_details(names),
    ]
