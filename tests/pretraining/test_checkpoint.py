"""Checkpoints: what is saved comes back, what is not whole is not used, and a full disk takes nothing away."""

import builtins
import errno
import json
import resource
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import Dropping, recipe, same_weights, small_model, some_batches

from lablib.pretraining import atomic, checkpoint, optimisers
from lablib.pretraining.checkpoint import META, STATE, WEIGHTS, CheckpointError, latest, read, restore, save, steps
from lablib.pretraining.training import train


def trained(folder: Path, n: int = 3, kind: str = "muon"):
    """A model and its optimisers after n steps."""
    model = small_model()
    made = optimisers.make(model, recipe(optimiser=kind))
    batches = some_batches(folder)
    for step in range(n):
        for part in batches(step).split(1):
            model(part.inputs).logsumexp(-1).sum().backward()
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad()
    return model, made


def flat(optimiser) -> dict:
    """A state_dict with one level, for comparing."""
    found = optimiser.state_dict()
    state = {(i, name): value for i, values in found["state"].items() for name, value in values.items()}
    groups = {(i, name): value for i, group in enumerate(found["param_groups"]) for name, value in group.items()}
    return state | groups


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_save_and_restore_is_the_identity(tmp_path, kind):
    model, made = trained(tmp_path, kind=kind)
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    path = save(tmp_path / "run", 3, 999, model, made, {"recipe": {"lr": 0.1}})
    other = small_model(seed=4)
    others = optimisers.make(other, recipe(optimiser=kind, lr=1.0))
    torch.manual_seed(6)
    found = read(path)
    assert (found.path, found.step, found.tokens, found.settings) == (path, 3, 999, {"recipe": {"lr": 0.1}})
    restore(found, other, others)
    assert same_weights(model, other)
    assert torch.equal(torch.rand(3), drawn)  # the generator goes on, too
    for mine, theirs in zip(made, others, strict=True):
        a, b = flat(mine), flat(theirs)
        assert a.keys() == b.keys()
        assert any(key[1] in ("exp_avg", "momentum_buffer") for key in a)
        for key, value in a.items():
            assert torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key], key


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    PLAIN, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3), max_leaves=6
)
NUMBERS = st.sampled_from([0.0, -0.0, 1e-45, -3.4e38, float("inf"), float("nan")])


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    st.integers(0, 10**8 - 1),
    st.integers(0, 2**60),
    st.lists(NUMBERS, min_size=1, max_size=5),
)
def test_any_settings_and_numbers_come_back(tmp_path_factory, values, step, tokens, numbers):
    folder = tmp_path_factory.mktemp("run")
    model = torch.nn.Linear(len(numbers), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([numbers]))
    found = read(save(folder, step, tokens, model, [], values))
    assert (found.step, found.tokens, found.settings) == (step, tokens, values)
    assert found.weights["weight"].numpy().tobytes() == model.weight.detach().numpy().tobytes()


def test_the_last_k_are_kept_and_leftovers_go(tmp_path):
    model, made = trained(tmp_path)
    folder = tmp_path / "run"
    (folder / ".step-00000000.1.unfinished").mkdir(parents=True)
    (folder / ".step-00000000.1.unfinished" / WEIGHTS).write_text("half")
    (folder / "notes.txt").write_text("mine")
    for step in (1, 2, 3, 10):
        save(folder, step, 0, model, made, {}, keep=2)
    assert [path.name for path in steps(folder)] == ["step-00000003", "step-00000010"]
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "step-00000003", "step-00000010"]
    with pytest.raises(ValueError, match="keep = 0: expected at least 1"):
        save(folder, 11, 0, model, made, {}, keep=0)


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def forget(path: Path, key: str) -> None:
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))


def swap(path: Path) -> None:
    """Weights that are no safetensors, with the right SHA-256."""
    (path / WEIGHTS).write_bytes(b"pickle")
    files = json.loads((path / META).read_text())["files"]
    edit(path / META, files={**files, WEIGHTS: {"bytes": 6, "sha256": atomic.sha256(path / WEIGHTS)}})


DAMAGES = {
    "weights cut": (lambda p: cut(p / WEIGHTS), "weights.safetensors has .* bytes: expected .* it was cut short"),
    "state cut": (lambda p: cut(p / STATE, 0.9), "state.safetensors has .* it was cut short"),
    "json cut": (lambda p: cut(p / META), "is damaged .JSONDecodeError"),
    "json empty": (lambda p: cut(p / META, 0), "is damaged .JSONDecodeError"),
    "a bit flipped": (lambda p: flip(p / WEIGHTS), "weights.safetensors does not have the SHA-256"),
    "no weights": (lambda p: (p / WEIGHTS).unlink(), "weights.safetensors is missing"),
    "no json": (lambda p: (p / META).unlink(), "checkpoint.json is missing"),
    "empty folder": (lambda p: [f.unlink() for f in p.iterdir()], "checkpoint.json is missing"),
    "foreign": (lambda p: edit(p / META, format="another"), "does not say format"),
    "a list": (lambda p: (p / META).write_text("[]"), "does not say format"),
    "of the future": (lambda p: edit(p / META, version=2), "has version 2: expected 1; a newer course wrote it"),
    "no groups": (lambda p: forget(p / META, "groups"), "is damaged .KeyError"),
    "files of another kind": (lambda p: edit(p / META, files=3), "is damaged .AttributeError"),
    "no text": (lambda p: (p / META).write_bytes(b"\xff\xfe\x00"), "is damaged .UnicodeDecodeError"),
    "no safetensors": (swap, "is damaged .SafetensorError"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_is_not_whole_is_named_and_the_one_before_it_used(tmp_path, damage):
    do, message = DAMAGES[damage]
    model, made = trained(tmp_path)
    for step in (1, 2):
        save(tmp_path / "run", step, 0, model, made, {})
    good, bad = steps(tmp_path / "run")
    do(bad)
    with pytest.raises(CheckpointError, match=message) as caught:
        read(bad)
    assert str(bad) in str(caught.value)
    with pytest.warns(UserWarning, match=message) as warned:
        found = latest(tmp_path / "run")
    assert found is not None
    assert found.path == good
    assert "Going on from the one before it, step-00000001" in str(warned[0].message)
    do(good)
    with pytest.raises(CheckpointError, match=f"no checkpoint in .* is whole: .*{message}"):
        latest(tmp_path / "run")


def test_no_checkpoint_at_all(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "nowhere") is None


def test_a_run_goes_on_from_the_one_before_a_damaged_one_and_replaces_it(tmp_path):
    batches, folder, whole = some_batches(tmp_path), tmp_path / "run", small_model()
    list(train(whole, batches, recipe()))
    for step in train(small_model(), batches, recipe(), folder=folder, every=2):
        if step.step == 6:
            break
    flip(folder / "step-00000006" / WEIGHTS)
    model = small_model()
    with pytest.warns(UserWarning, match="Going on from the one before it, step-00000004"):
        found = [step.step for step in train(model, batches, recipe(), folder=folder, every=2, keep=9)]
    assert found == list(range(5, 13))
    assert same_weights(model, whole)
    assert [read(path).step for path in steps(folder)] == [4, 6, 8, 10, 12]


def test_another_model_or_optimiser_is_refused_and_nothing_changes(tmp_path):
    model, made = trained(tmp_path)
    found = read(save(tmp_path / "run", 1, 0, model, made, {}))
    other = Dropping()
    before = Dropping()
    with pytest.raises(CheckpointError, match=r"embedding\.weight|drop|head|layers.*expected the same model"):
        restore(found, other, [])
    assert same_weights(other, before)
    third = small_model(seed=3)
    with pytest.raises(CheckpointError, match=r"groups of \[\[1, 5\], \[14\]\] weights: expected \[\[15, 5\]\]"):
        restore(found, third, optimisers.make(third, recipe()))
    assert same_weights(third, small_model(seed=3))


# ---------------------------------------------------------------- a full disk


class Full:
    """A disk on which only `room` more bytes fit: what is written beyond them raises, half written, as a real one does."""

    def __init__(self, monkeypatch, room: int) -> None:
        self.room = room
        real = builtins.open
        disk = self

        class File:
            def __init__(self, file) -> None:
                self.file = file

            def write(self, content) -> int:
                fits = content[: max(disk.room, 0)]
                disk.room -= len(content)
                self.file.write(fits)
                if len(fits) < len(content):
                    raise OSError(errno.ENOSPC, "No space left on device")
                return len(content)

            def __getattr__(self, name):
                return getattr(self.file, name)

            def __enter__(self):
                return self

            def __exit__(self, *about) -> None:
                self.file.close()

        monkeypatch.setattr(
            Path,
            "open",
            lambda path, mode="r", **k: File(real(path, mode, **k)) if "w" in mode else real(path, mode, **k),
        )


def test_a_disk_that_is_full_after_any_number_of_bytes_loses_nothing(tmp_path, monkeypatch):
    model, made = trained(tmp_path)
    folder = tmp_path / "run"
    save(folder, 1, 0, model, made, {})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    size = sum(len(content) for content in before.values())
    for room in range(0, size, size // 20):
        with monkeypatch.context() as patch:
            Full(patch, room)
            with pytest.raises(OSError, match="No space left"):
                save(folder, 2, 0, model, made, {})
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    found = latest(folder)
    assert found is not None
    assert found.step == 1
    save(folder, 2, 0, model, made, {})
    assert [path.name for path in steps(folder)] == ["step-00000001", "step-00000002"]


CALLS = (
    7  # that force to disk or rename: three files, their folder, the old one away, the new one in its place, the parent
)


def test_a_call_that_fails_anywhere_loses_nothing(tmp_path, monkeypatch):
    """The n-th call that changes the disk fails, for every n."""
    model, made = trained(tmp_path)
    folder = tmp_path / "run"
    save(folder, 1, 0, model, made, {})
    for n in range(CALLS + 1):
        calls = []

        def failing(real, calls=calls, n=n):
            def call(*arguments, **keywords):
                calls.append(1)
                if len(calls) == n + 1:
                    raise OSError(errno.EIO, "Input/output error")
                return real(*arguments, **keywords)

            return call

        with monkeypatch.context() as patch:
            for name in ("fsync", "replace"):
                patch.setattr(atomic.os, name, failing(getattr(atomic.os, name)))
            expected = pytest.raises(OSError, match="Input/output") if n < CALLS else nullcontext()
            with expected:
                save(folder, 1, 0, model, made, {}, keep=1)  # replaces the only one
        found = latest(folder)
        assert found is not None, f"lost after the failure of call {n + 1}"
        assert found.step == 1
        put_back = n == CALLS - 2  # the new folder could not take its name, so the old one is renamed once more
        assert len(calls) == min(n + 1, CALLS) + put_back


def test_a_full_disk_on_the_way_does_not_end_the_run(tmp_path, monkeypatch):
    batches, folder = some_batches(tmp_path), tmp_path / "run"
    real, tries = checkpoint._write, []

    def sometimes(path, *arguments):
        tries.append(path.name)
        if path.name in ("step-00000004", "step-00000006"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *arguments)

    monkeypatch.setattr(checkpoint, "_write", sometimes)
    model, whole = small_model(), small_model()
    list(train(whole, batches, recipe()))
    with pytest.warns(
        UserWarning, match=r"no checkpoint of step [46]: .*No space left on device; the older ones are"
    ) as warned:
        found = list(train(model, batches, recipe(), folder=folder, every=2, keep=9))
    assert len(warned) == 2
    assert len(found) == 12
    assert same_weights(model, whole)
    assert [path.name[-2:] for path in steps(folder)] == ["02", "08", "10", "12"]


def test_the_last_checkpoint_must_be_written(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        list(train(small_model(), some_batches(tmp_path), recipe(steps=1), folder=tmp_path / "run"))


def test_the_systems_own_limit_on_a_files_size(tmp_path):
    model, made = trained(tmp_path)
    folder = tmp_path / "run"
    path = save(folder, 1, 0, model, made, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((path / WEIGHTS).stat().st_size - 1, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(folder, 2, 0, model, made, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [child.name for child in folder.iterdir()] == [path.name]
    assert read(path).step == 1
