import importlib
import sys

import pytest

from lablib.course import checks
from lablib.course.sources import BLANK, Target, cell_source

MODULE = '''
import functools


@functools.cache
def decorated(
    x: int,
    y: int = 2,
) -> int:
    """What it is.

    # not a comment
    """
    # a comment of the body
    z = x + y  # more
    return z


def bare(x):
    return x


def one_line(x): return x


def only_words():
    """Nothing else."""


class Thing:
    """A thing."""

    def first(self):
        return 1

    @staticmethod
    def second(x):
        """Second."""
        return x

    def third(self):
        return 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "made_for_this_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "made_for_this_test"
    sys.modules.pop("made_for_this_test", None)


def blank(module, path):
    return Target.parse(f"{module}:{path}").blank()


def test_a_blank_keeps_decorators_signature_and_docstring(module):
    text = blank(module, "decorated")
    assert text.startswith("@functools.cache\ndef decorated(\n    x: int,")
    assert "# not a comment" in text
    assert text.endswith(f'"""\n    {BLANK}')
    assert "a comment of the body" not in text


def test_a_blank_without_docstring(module):
    assert blank(module, "bare") == f"def bare(x):\n    {BLANK}"


def test_one_method_is_blanked_and_the_rest_stays(module):
    text = blank(module, "Thing.second")
    assert text.count(BLANK) == 1
    assert '"""Second."""' in text
    assert "return 1" in text
    assert "return 3" in text
    assert "return x" not in text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Thing", "name the method to blank"),
        ("Thing.fourth", "defines no function or class 'fourth'"),
        ("only_words", "nothing to blank"),
        ("one_line", "a line of its own"),
        ("absent", "defines no function or class 'absent'"),
    ],
)
def test_what_cannot_be_blanked_is_refused(module, path, words):
    with pytest.raises(ValueError, match=words):
        blank(module, path)


@pytest.mark.parametrize("text", ["", "a", "a:", ":b", "a:b c", "a:b.c d", "a:1"])
def test_a_target_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"expected package\.module:function"):
        Target.parse(text)


@pytest.mark.parametrize("text", ["no_such_package:f", "lablib.paths:no_such_function"])
def test_a_target_that_is_not_there_is_refused(text):
    with pytest.raises(ValueError, match="exercise target"):
        Target.parse(text).load()


def test_every_exercise_compiles_blank_and_whole():
    for lab in checks.labs():
        for exercise in checks.exercises(lab):
            assert str(exercise.parsed) == exercise.target
            assert exercise.parsed.blank().count(BLANK) == 1
            compile(exercise.parsed.source(), exercise.name, "exec")


def test_source_is_read_back_from_a_file(module):
    thing = importlib.import_module(module)
    assert cell_source(thing.Thing) == MODULE
    assert cell_source(thing.bare) == MODULE
    assert cell_source(len) is None
    assert cell_source(3) is None
    assert cell_source(eval("lambda: 1")) is None
