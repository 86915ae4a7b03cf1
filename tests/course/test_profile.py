import pytest

from lablib.course.profile import Profile, current


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("LABLIB_PROFILE", "gpu")
    assert current() == Profile("gpu", "LABLIB_PROFILE")


def test_else_the_machine_does(monkeypatch):
    monkeypatch.delenv("LABLIB_PROFILE", raising=False)
    assert current().chosen_by == "this machine"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert current().name == "gpu"


def test_a_name_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("LABLIB_PROFILE", "tiny")
    with pytest.raises(ValueError, match="LABLIB_PROFILE = 'tiny': expected one of smoke, laptop, gpu"):
        current()


@pytest.mark.parametrize(("name", "value"), [("smoke", 1), ("laptop", 2), ("gpu", 3)])
def test_pick(name, value):
    assert Profile(name, "a test").pick(smoke=1, laptop=2, gpu=3) == value
