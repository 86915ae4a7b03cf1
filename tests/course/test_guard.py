import contextlib
import functools
import signal
import threading
import time

import pytest

from lablib.course import guard
from lablib.course.guard import TimeLimit, printing_held_back, time_limit


def in_a_thread(function):
    """The way of Windows and of other threads: no signal there."""
    found = []

    def run():
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return found[0]


def here(function):
    try:
        return function()
    except BaseException as error:
        return error


def endless():
    with time_limit(0.1):
        while True:
            pass


def swallows_exceptions():
    with time_limit(0.1):
        while True:
            with contextlib.suppress(Exception):
                sum(range(10))


def swallows_everything_once():
    with time_limit(0.1):
        try:
            while True:
                pass
        except:  # noqa: E722
            pass
    return "left as if nothing had been"


def swallows_and_goes_on():
    with time_limit(0.1):
        try:
            while True:
                pass
        except BaseException:
            pass
        while True:
            pass


@pytest.mark.parametrize("way", [here, in_a_thread])
@pytest.mark.parametrize("code", [endless, swallows_exceptions, swallows_everything_once, swallows_and_goes_on])
def test_code_that_does_not_end_is_ended(way, code):
    start = time.monotonic()
    assert isinstance(way(code), TimeLimit)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("way", [here, in_a_thread])
def test_code_that_ends_is_left_alone(way):
    def quick():
        with time_limit(5):
            return 7

    assert way(quick) == 7


@pytest.mark.parametrize("way", [here, in_a_thread])
def test_an_alarm_at_the_very_end_never_escapes(way):
    def close():
        for _ in range(150):
            with contextlib.suppress(TimeLimit), time_limit(0.002):
                end = time.perf_counter() + 0.002
                while time.perf_counter() < end:
                    pass
        for _ in range(10_000):  # nothing may arrive here
            pass
        return "quiet"

    assert way(close) == "quiet"
    assert threading.active_count() < 20


def test_limits_nest_and_the_outer_one_still_counts():
    def nested():
        with time_limit(0.4):
            assert isinstance(here(endless), TimeLimit)
            while True:
                pass

    start = time.monotonic()
    assert isinstance(here(nested), TimeLimit)
    assert 0.3 < time.monotonic() - start < 3


def test_a_handler_from_before_is_put_back():
    def mine(signum, frame):
        raise AssertionError

    before = signal.signal(signal.SIGALRM, mine)
    try:
        assert isinstance(here(endless), TimeLimit)
        assert signal.getsignal(signal.SIGALRM) is mine
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_limit_must_be_positive(seconds):
    with pytest.raises(ValueError, match=f"seconds = {seconds}: expected a positive"), time_limit(seconds):
        pass


def test_the_innermost_line_of_the_learners_own_is_named():
    def learner():
        return sorted([3, 1], key=lambda x: 1 / 0)

    error = here(learner)
    assert "1 / 0" in guard.where_it_stood(error.__traceback__, learner)
    assert guard.where_it_stood(error.__traceback__, len) == ""


def test_only_ones_own_blank_is_blank():
    def blank():
        raise NotImplementedError  # your code here

    assert guard.is_blank(here(blank), blank)
    assert not guard.is_blank(here(blank), len)
    assert not guard.is_blank(NotImplementedError(), blank)


def test_what_is_no_plain_function_has_no_source_file_and_does_no_harm():
    class Endless:
        def __getattr__(self, name):
            return self

    class Holds:
        thing = Endless()

    for odd in (None, 3, len, functools.partial(len), Endless(), Holds):
        assert guard.source_file(odd) in (None, __file__)


def test_printing_is_held_back_and_cut(capsys):
    with printing_held_back():
        print("hello")
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out == "hello\n"
    with printing_held_back():
        for _ in range(10_000):
            print("x" * 99)
    out = capsys.readouterr().out
    assert len(out) < 5000
    assert "characters more, not shown" in out
