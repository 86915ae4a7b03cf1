"""The search of lab 11 in one piece: it returns what its parts promise."""

import pytest
from test_dense import hashing

from lablib.adaptation.dense import latent_semantic_encoder
from lablib.adaptation.handbook import places, read_pages, read_questions
from lablib.adaptation.page_search import PageSearch, sections_of, whole_pages
from lablib.adaptation.ranking_metrics import judge, quality
from lablib.corpus.document import Document

PAGES = [
    Document(
        "# Mill\n\nThe mill is red.\n\n## Miller\n\nAda grinds rye in the mill.\n\n## References\n\nAda 1843\n",
        "mill",
        "us",
    ),
    Document("# Bakery\n\nBread is baked at four.\n\n## Oven\n\nThe oven burns beech.\n", "bakery", "us"),
    Document("# Smithy\n\nThe anvil weighs ninety kilograms.\n", "smithy", "us"),
]


@pytest.fixture(scope="module")
def search():
    return PageSearch(PAGES, hashing)


def test_references_are_no_sections_and_the_rest_is_where_it_says(search):
    texts = {page.id: page.text for page in PAGES}
    assert all(texts[one.page][one.start : one.stop] == one.text for one in search.sections)
    assert not any("1843" in one.text for one in search.sections)
    assert [search.pages[number].page for number in search.page_of] == [one.page for one in search.sections]


def test_whole_pages_are_whole():
    assert [(one.page, one.text) for one in whole_pages(PAGES)] == [(page.id, page.text) for page in PAGES]
    assert whole_pages([Document("no title", "x", "us")])[0].heading == ""


@pytest.mark.parametrize(
    ("query", "page"), [("Who grinds rye?", "mill"), ("What does the oven burn?", "bakery"), ("an anvil", "smithy")]
)
def test_the_page_and_its_section_are_found_first(search, query, page):
    assert search.pages[search.search(query, 1)[0].number].page == page
    (best,) = search.passages(query, k=1)
    assert best.page == page
    assert "References" not in best.heading


def test_passages_come_from_the_best_pages_only_and_no_more_than_k(search):
    for pages in (1, 2, 3):
        good = {search.pages[hit.number].page for hit in search.search("the mill and the oven", pages)}
        found = search.passages("the mill and the oven", k=10, pages=pages)
        assert {one.page for one in found} == good
        assert len({one.id for one in found}) == len(found)
    assert len(search.passages("the mill", k=2)) == 2


def test_a_new_page_is_found_by_a_new_search():
    more = [*PAGES, Document("# Ferry\n\nThe ferryman ferries goats.\n", "ferry", "us")]
    assert PageSearch(more, hashing).passages("Who ferries goats?", k=1)[0].page == "ferry"


@pytest.mark.parametrize("wrong", [{"k": 0}, {"pages": 0}])
def test_sizes_are_checked(search, wrong):
    with pytest.raises(ValueError, match="k = 0"):
        search.passages("mill", **wrong)


def test_empty_questions_and_double_ids_are_refused(search):
    with pytest.raises(ValueError, match="empty"):
        search.passages("  ")
    with pytest.raises(ValueError, match="two have the id 'mill'"):
        PageSearch([*PAGES, PAGES[0]], hashing)
    with pytest.raises(ValueError, match="no page"):
        sections_of([])


def test_on_the_handbook_it_beats_each_of_its_parts_without_any_model():
    pages = read_pages()
    asked = [one for one in read_questions(split="dev") if one.evidence]
    search = PageSearch(pages, latent_semantic_encoder([page.text for page in pages]))
    where = [places(one, pages) for one in asked]
    whole = quality([judge(search.search(q.text, 5), search.pages, w) for q, w in zip(asked, where, strict=True)])
    words = quality(
        [judge(search.index.search(q.text, 5), search.sections, w) for q, w in zip(asked, where, strict=True)]
    )
    assert whole.recall[0] > words.recall[0] > 0.5
