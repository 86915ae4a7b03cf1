"""Language: texts whose language is known, against py3langid's own interface, and what happens at the edges."""

import pickle

import py3langid
import pytest

from lablib.corpus.crawl import crawl
from lablib.corpus.language import SHORTEST, THRESHOLD, check_language, is_language, is_wanted, language
from lablib.corpus.planted import texts
from lablib.corpus.stages import language as language_stage

CODES = {"french": "fr", "german": "de", "spanish": "es", "italian": "it"}
PARAGRAPHS = {
    CODES[name]: [" ".join(rows[i : i + 3]) for i in range(0, 9, 3)] for name, rows in texts()["language"].items()
}


@pytest.mark.parametrize("code", PARAGRAPHS)
def test_paragraphs_are_known_by_their_language_and_only_by_that(code):
    for text in PARAGRAPHS[code]:
        found, confidence = language(text)
        assert found == code
        assert 0.9 < confidence <= 1
        assert is_language(text, code)
        assert not is_language(text, "en")


def test_the_answer_is_py3langids_own():
    for rows in PARAGRAPHS.values():
        for text in rows:
            assert language(text)[0] == py3langid.classify(text)[0]


def test_english_with_a_foreign_saying_stays_english():
    rows = texts()["benign"]["language"]
    body = "The old ferryman told the story again, and the children listened by the stove until it was dark outside. "
    assert all(is_language(body + row.replace("{thing}", "bell")) for row in rows)


@pytest.mark.parametrize("text", ["", "12:30 -> 14:45", "a" * (SHORTEST - 1), "\n\t ", "☃" * 50])
def test_what_is_too_short_to_tell_is_undetermined_and_stays(text):
    assert language(text) == ("und", 0.0)
    assert is_language(text, "en")
    assert is_language(text, "fr", threshold=1.0)


def test_text_of_broken_characters_gets_an_answer():
    code, confidence = language(
        "The heron \ud800 waits in the shallow water by the bridge until a small fish comes by."
    )
    assert code == "en"
    assert 0 <= confidence <= 1


def test_a_higher_threshold_never_keeps_more():
    text = PARAGRAPHS["fr"][0]
    kept = [is_language(text, "fr", threshold / 10) for threshold in range(11)]
    assert kept == sorted(kept, reverse=True)
    assert is_wanted("fr", THRESHOLD, "fr", THRESHOLD), "equal is enough"


def test_an_unknown_code_and_a_threshold_out_of_range_are_named():
    for wanted in ("english", "xx", "und", ""):
        with pytest.raises(ValueError, match=f"wanted = '{wanted}' is no language that the model knows"):
            check_language(wanted, 0.5)
        with pytest.raises(ValueError, match="expected an ISO 639-1 code such as 'en'"):
            language_stage(wanted)  # before the first document, not at each of them
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"threshold = .*: expected a probability from 0 to 1"):
            is_language("any text", "en", threshold)
        with pytest.raises(ValueError, match="threshold = "):
            language_stage("en", threshold)


def test_the_stage_travels_to_other_processes():
    assert pickle.loads(pickle.dumps(language_stage("fr"))).judge is not None


def test_short_english_is_misread_too_often_to_be_dropped():
    """Why `SHORTEST` is what it is: docstrings of the standard library, all in English, with 20 letters up to that bound."""
    short = [one.text for one in crawl("standard library") if 20 <= sum(map(str.isalpha, one.text)) < SHORTEST]
    answers = [py3langid.classify(text)[0] for text in short[::4]]
    share = sum(code != "en" for code in answers) / len(answers)
    assert len(answers) > 500
    assert 0.02 < share < 0.05  # one in thirty
    assert all(is_language(text) for text in short[::4])
