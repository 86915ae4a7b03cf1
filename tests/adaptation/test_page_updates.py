"""Updates of the handbook: each changes one quote, and the pattern of the new answer tells new from old."""

from dataclasses import replace

import pytest

from lablib.adaptation.handbook import read_pages, read_questions
from lablib.adaptation.page_updates import UPDATES, Update, with_update

PAGES = read_pages()
DEV = {one.id: one for one in read_questions(split="dev")}


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.question)
def test_an_update_changes_one_quote_and_the_new_pattern_tells_new_from_old(update):
    question = DEV[update.question]
    changed = with_update(PAGES, question, update)
    different = [(old, new) for old, new in zip(PAGES, changed, strict=True) if old.text != new.text]
    ((old, new),) = different
    assert old.id == question.evidence[0].page
    fresh = replace(question, accept=(update.accept,))
    assert fresh.accepts(new.text)
    assert not fresh.accepts(old.text), "the new answer stands on the old page, so nothing would be measured"
    assert not fresh.accepts(question.answer)
    assert not fresh.accepts(question.text)


def test_an_update_of_a_rewritten_page_is_refused():
    with pytest.raises(ValueError, match="was it rewritten"):
        with_update(PAGES, DEV["forget-gate-year"], Update("forget-gate-year", "1850", "1851", "1851"))
