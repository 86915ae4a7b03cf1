"""The parallel sentences are what they say: five each, in the script of their language, in the usual form of Unicode."""

import ast
import re
import unicodedata

import pytest

from lablib.tokens.parallel_texts import PYTHON, SENTENCES

SCRIPTS = {
    "Russian": "CYRILLIC", "Greek": "GREEK", "Arabic": "ARABIC", "Hindi": "DEVANAGARI", "Chinese": "CJK",
    "Japanese": "CJK|HIRAGANA|KATAKANA", "Korean": "HANGUL",
}  # fmt: skip


@pytest.mark.parametrize("language", SENTENCES)
def test_five_sentences_in_the_languages_script(language):
    text = SENTENCES[language]
    assert len(re.findall(r"[.。।]", text)) == 5
    assert unicodedata.normalize("NFC", text) == text or language == "Hindi"  # NFC takes क़ and its like apart
    letters = [unicodedata.name(c) for c in text if unicodedata.category(c) == "Lo" or c.isalpha()]
    script = re.compile(SCRIPTS.get(language, "LATIN"))
    assert len(letters) > 50
    assert all(script.match(name) for name in letters)


def test_no_two_languages_share_their_text():
    assert len(set(SENTENCES.values())) == len(SENTENCES) == 12


def test_the_python_is_python():
    (function,) = ast.parse(PYTHON).body
    assert isinstance(function, ast.FunctionDef)
