"""New knowledge without training: one figure on one page of the handbook is changed, and a question asks for it.

Each update changes a number to one that no model can have read anywhere. If the answer follows the page, the reader read; if the old answer
stays, it spoke from memory. The questions are of the dev part, for what is measured here is the reader and not the search.

Left out: new pages, facts that are taken back, two pages that contradict each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lablib.adaptation.handbook import Question, quote_spans
from lablib.corpus.document import Document


@dataclass(frozen=True)
class Update:
    """New knowledge: in the quote that answers a question of the dev part, `old` becomes `new`, which `accept` recognises."""

    question: str
    old: str
    new: str
    accept: str


UPDATES = (
    Update("forget-gate-year", "2000", "2003", r"\b2003\b"),
    Update("wikipedia-pieces", "21 million", "37 million", r"\b37\s*million"),
    Update("llama2-70b-cache", "1.34", "2.71", r"\b2\.71\b"),
    Update("c4-month", "April 2019", "October 2018", r"October\s*(of\s*)?2018"),
    Update("base-training-time", "12 hours", "31 hours", r"\b31\s*hours"),
    Update("gpt3-warm-up", "375 million", "640 million", r"\b640\s*million"),
    Update("four-bit-tuning", "48 GB", "23 GB", r"\b23\s*GB"),
    Update("perplexity-year", "1977", "1968", r"\b1968\b"),
    Update("minilm-width", "384", "512", r"\b512\b"),
    Update("human-prompts", "42,496", "51,208", r"51[,. ]?208"),
)


def with_update(pages: Sequence[Document], question: Question, update: Update) -> list[Document]:
    """The pages with the question's quote changed.

    Args:
        question: one that a single quote answers. update: its.
    Raises:
        ValueError: the quote does not have the old words; was the page rewritten?
    """
    (one,) = question.evidence
    changed = []
    for page in pages:
        if page.id == one.page:
            ((start, stop), *_) = quote_spans(page.text, one.quote) or [(0, 0)]
            quote = page.text[start:stop]
            if update.old not in quote:
                raise ValueError(
                    f"question {question.id!r}: the quote {one.quote!r} does not hold {update.old!r}; was it rewritten?"
                )
            text = page.text[:start] + quote.replace(update.old, update.new) + page.text[stop:]
            changed.append(replace(page, text=text))
        else:
            changed.append(page)
    return changed
