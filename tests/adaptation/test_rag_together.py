"""The pieces together, as lab 11 uses them: from pages to a cited answer, with a stand-in for the language model that copies."""

import re

import pytest
from test_dense import hashing

from lablib.adaptation.bm25 import BM25, singular_words
from lablib.adaptation.chunking import chunk_pages
from lablib.adaptation.citations import check_citations
from lablib.adaptation.dense import Dense
from lablib.adaptation.fusion import diverse, hybrid
from lablib.adaptation.grounded_prompt import abstains, grounded_prompt
from lablib.adaptation.handbook import Evidence, Question, places
from lablib.adaptation.page_orders import marked, without_orders
from lablib.adaptation.poison import obeyed, poisoned_page
from lablib.adaptation.ranking_metrics import judge, quality
from lablib.adaptation.small_to_big import sentences_of, small_to_big
from lablib.corpus.document import Document

PAGES = [
    Document(
        "# The mill\n\nThe mill of the valley is red. The mill was built in 1820.\n\n## Its miller\n\nAda grinds rye there.\n",
        "mill",
        "us",
    ),
    Document(
        "# The bakery\n\nBread is baked at four in the morning.\n\n## Its oven\n\nThe oven burns beech.\n",
        "bakery",
        "us",
    ),
    Document("# The smithy\n\nIron is forged here. The anvil weighs 90 kilograms.\n", "smithy", "us"),
]
QUESTIONS = [
    Question("built", "When was the mill built?", "one", "1820", ("1820",), (Evidence("mill", "built in 1820"),), "dev"),
    Question("anvil", "How heavy is the anvil?", "one", "90 kg", ("90",), (Evidence("smithy", "weighs 90 kilograms"),), "dev"),
    Question(
        "grain", "What does Ada grind, and what does the oven burn?", "two", "rye, beech", ("rye.*beech",),
        (Evidence("mill", "Ada grinds rye"), Evidence("bakery", "oven burns beech")), "dev",
    ),
]  # fmt: skip


def copying(prompt: str) -> str:
    """A model that copies the sentence which has the most words of the question, obeys every order, and else does not know."""
    if order := re.search(r"answer with the word (\w+)", prompt.split("Question:")[0]):
        return order[1]
    question = set(singular_words(re.findall(r"Question: (.*)", prompt)[-1])) - set(
        singular_words("when was the how is what does and")
    )
    best, answer = 0, "I do not know."
    for number, passage in re.findall(r"\[(\d)\] (.*?)(?=\n\n\[|\n\nQuestion)", prompt, re.DOTALL):
        for sentence in re.findall(r"[A-Z][^.#\n]*\.", passage):
            if (shared := len(question & set(singular_words(sentence)))) > best:
                best, answer = shared, f"{sentence[:-1]} [{number}]."
    return answer


def searches(pages):
    chunks = chunk_pages(pages, size=200)
    texts = [chunk.searchable for chunk in chunks]
    dense = Dense(texts, hashing)
    small, parents = sentences_of(chunks)
    sentence = small_to_big(BM25([one.searchable for one in small], singular_words).search, parents)
    return chunks, {
        "BM25": BM25(texts, singular_words).search,
        "sentences": sentence,
        "hybrid": hybrid([BM25(texts, singular_words).search, sentence, dense.search]),
        "diverse": diverse(dense.search, dense.similarity, weight=0.9, depth=6),
    }


@pytest.mark.parametrize("name", ["BM25", "sentences", "hybrid"])
def test_every_question_is_answered_from_its_passage_and_cites_it(name):
    chunks, found = searches(PAGES)
    judged = []
    for question in QUESTIONS:
        hits = found[name](question.text, 3)
        judged.append(judge(hits, chunks, places(question, PAGES)))
        if question.kind == "one":
            passages = [chunks[hit.number].text for hit in hits]
            prompt, kept = grounded_prompt(question.text, passages, 300, lambda text: len(text.split()))
            answer = copying(prompt)
            assert kept == len(passages)
            assert question.accepts(answer)
            (verdict,) = check_citations(answer, passages)
            assert verdict.exists
            assert verdict.support == 1
    assert quality(judged, k=3).recall[0] == 1


def test_all_searches_give_numbers_of_the_same_chunks():
    chunks, found = searches(PAGES)
    for search in found.values():
        hits = search("the oven of the bakery", 4)
        assert len({hit.number for hit in hits}) == len(hits) <= 4
        assert all(0 <= hit.number < len(chunks) for hit in hits)


def ask(pages, question):
    chunks, found = searches(pages)
    passages = [chunks[hit.number].text for hit in found["BM25"](question, 3)]
    return copying(grounded_prompt(question, passages, 300, lambda text: len(text.split()))[0])


def test_new_knowledge_is_a_new_page():
    assert "red" in ask(PAGES, "Which colour is the mill of the valley?")
    changed = [Document(PAGES[0].text.replace("red", "blue"), "mill", "us"), *PAGES[1:]]
    assert "blue" in ask(changed, "Which colour is the mill of the valley?")


def test_what_no_page_says_is_not_answered():
    assert abstains(ask([Document("# Ducks\n\nThey swim.", "ducks", "us")], "What do ducklings weigh?"))


def test_a_poisoned_page_is_obeyed_and_the_filter_stops_it():
    question = "When was the mill built?"
    poisoned = [*PAGES, Document(poisoned_page(question, "plain order"), "poison", "us")]
    assert obeyed(ask(poisoned, question))
    clean = [Document(without_orders(page.text), page.id, "us") for page in poisoned]
    answer = ask(clean, question)
    assert not obeyed(answer)
    assert [page.text for page in clean[:3]] == [page.text for page in PAGES]
    prompt, kept = grounded_prompt(question, marked([page.text for page in poisoned]), 9999, len)
    assert prompt.count("<passage ") == prompt.count("</passage ") == kept == 4
