"""A study goes on where it was broken off, finds runs by their settings, and its parts make a whole."""

import json
from dataclasses import asdict, dataclass

import pytest

from lablib.pretraining import study
from lablib.pretraining.study import Study, main, read, rows_of


@dataclass(frozen=True)
class Run:
    label: str
    seed: int
    lr: float


def rates(seeds):
    return [Run(f"lr={lr:g}", seed, lr) for seed in seeds for lr in (1.0, 2.0, 3.0)]


def again(seeds):
    return [Run("as above", seed, 2.0) for seed in seeds] + [Run("new", seed, 9.0) for seed in seeds]


class Made:
    """A study whose runs are counted; `dies_at`: the number of a run at which the machine is switched off."""

    def __init__(self, dies_at=None):
        self.runs, self.dies_at = [], dies_at

    def perform(self, run, model):
        if len(self.runs) == self.dies_at:
            raise KeyboardInterrupt
        self.runs.append(run)
        return {"result": 10 * run.lr + run.seed, "by": model}

    @property
    def study(self):
        return Study(
            "tiny", "lablib.tiny_study", "Tiny.", {"rates": rates, "again": again}, lambda: "a model", self.perform,
            lambda run, model: {**asdict(run), "model": model}, lambda row: f"result {row['result']:g}",
        )  # fmt: skip

    def __call__(self, folder, *words):
        return main(self.study, [*words, "--folder", str(folder)])


def test_a_study_that_was_broken_off_goes_on(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        Made(dies_at=4)(tmp_path, "rates")
    path = tmp_path / "tiny_rates.json"
    assert len(read(path)) == 4
    made = Made()
    assert made(tmp_path, "rates") == 0
    assert made.runs == rates((0, 1, 2))[4:]
    record = json.loads(path.read_text())
    assert record["command"] == "python -m lablib.tiny_study rates --folder data/experiments"
    assert record["experiment"] == "tiny_rates"
    assert [(row["label"], row["seed"], row["result"]) for row in record["runs"]] == [
        (run.label, run.seed, 10 * run.lr + run.seed) for run in rates((0, 1, 2))
    ]
    assert "6/9  lr=3, seed 1: result 31; 0 s" in capsys.readouterr().out
    assert made(tmp_path, "rates") == 0
    assert len(made.runs) == 5, "nothing was left to make"


def test_a_run_that_another_file_has_is_taken_from_there_under_its_new_label(tmp_path):
    made = Made()
    assert made(tmp_path, "rates", "again", "--seeds", "5") == 0
    assert [run.label for run in made.runs] == ["lr=1", "lr=2", "lr=3", "new"]
    rows = read(tmp_path / "tiny_again.json")
    assert [(row["label"], row["result"]) for row in rows] == [("as above", 25), ("new", 95)]
    assert len(read(tmp_path / "tiny_rates.json")) == 3
    command = json.loads((tmp_path / "tiny_again.json").read_text())["command"]
    assert command == "python -m lablib.tiny_study again --folder data/experiments --seeds 5"


def test_other_settings_are_another_run_and_the_old_one_goes(tmp_path):
    made, path = Made(), tmp_path / "tiny_rates.json"
    runs = rates((0,))

    def rows(lr_of):
        return rows_of(
            runs, path, "a command", lambda run: {**asdict(run), "lr": lr_of(run)}, lambda run: made.perform(run, ""), str
        )  # fmt: skip

    rows(lambda run: run.lr)
    assert [row["lr"] for row in rows(lambda run: run.lr)] == [1, 2, 3]
    assert len(made.runs) == 3
    assert [row["lr"] for row in rows(lambda run: 2 * run.lr)] == [2, 4, 6]
    assert len(made.runs) == 5, "2 stood there, under another label"
    assert len(read(path)) == 5
    assert made(tmp_path, "rates", "--seeds", "0") == 0
    assert len(read(path)) == 3, "the whole command leaves only its own"


def test_runs_of_seeds_that_are_not_asked_for_stay(tmp_path):
    made, path = Made(), tmp_path / "tiny_rates.json"
    for seeds in (["2"], ["0", "1"], ["7"]):
        assert made(tmp_path, "rates", "--seeds", *seeds) == 0
    record = json.loads(path.read_text())
    assert [row["seed"] for row in record["runs"]] == [7] * 3 + [0] * 3 + [1] * 3 + [2] * 3
    assert record["command"].endswith(" --seeds 7 0 1 2"), "what makes them all"
    assert made(tmp_path, "rates") == 0
    assert len(made.runs) == 12, "nothing was made twice"
    record = json.loads(path.read_text())
    assert [row["seed"] for row in record["runs"]] == [0] * 3 + [1] * 3 + [2] * 3 + [7] * 3
    assert record["command"].endswith(" --seeds 0 1 2 7")


def test_a_run_that_was_computed_in_another_type_of_number_is_the_same_run(tmp_path):
    def rows(dtype, lr=1.0):
        made = []
        found = rows_of(
            [Run("a run", 0, lr)], tmp_path / "tiny_rates.json", "command",
            lambda run: {**asdict(run), "reward": {"recipe": {"dtype": dtype, "lr": run.lr}}},
            lambda run: made.append(run) or {"result": 1}, str,
        )  # fmt: skip
        return found[0]["reward"]["recipe"]["dtype"], len(made)

    assert rows("bfloat16") == ("bfloat16", 1)
    assert rows("auto") == ("bfloat16", 0)  # it stays what it was
    assert rows("auto", lr=2.0) == ("auto", 1)


def test_parts_make_a_whole_and_are_gone_then(tmp_path):
    first, second, whole = Made(), Made(), Made()
    assert first(tmp_path, "rates", "--part", "1/2") == 0
    assert second(tmp_path, "rates", "--part", "2/2") == 0
    assert [run.label for run in first.runs if run.seed == 0] == ["lr=1", "lr=3"]
    assert len(first.runs) == 5
    assert not set(first.runs) & set(second.runs)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny_rates_part1of2.json", "tiny_rates_part2of2.json"}
    assert whole(tmp_path, "rates") == 0
    assert whole.runs == []
    assert [path.name for path in tmp_path.iterdir()] == ["tiny_rates.json"]
    assert len(read(tmp_path / "tiny_rates.json")) == 9


def test_the_whole_takes_up_what_parts_have_of_other_seeds(tmp_path):
    made = Made()
    assert made(tmp_path, "rates", "--seeds", "7") == 0
    assert made(tmp_path, "rates", "--seeds", "7", "8", "--part", "1/2") == 0
    before = read(tmp_path / "tiny_rates_part1of2.json")
    assert {row["seed"] for row in before} == {7, 8}
    assert made(tmp_path, "rates") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tiny_rates.json"]
    rows = read(tmp_path / "tiny_rates.json")
    assert all(row in rows for row in before)
    assert [row["seed"] for row in rows].count(7) == 3, "none stands there twice"
    assert len(rows) == len(made.runs) == 9 + 3 + sum(row["seed"] == 8 for row in before)


def test_only_makes_some_and_keeps_the_others(tmp_path, capsys):
    made = Made()
    assert made(tmp_path, "rates", "--only", "lr=2") == 0
    assert made(tmp_path, "rates", "--only", "lr=3") == 0
    assert [row["label"] for row in read(tmp_path / "tiny_rates.json")] == ["lr=2"] * 3 + ["lr=3"] * 3
    assert made(tmp_path, "rates", "--only", "no such label") == 2
    assert "--only 'no such label': no run of rates is left to make" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["magic"], "invalid choice: 'magic'"),
        (["rates", "--part", "3/2"], "'3/2': expected such as 1/2"),
        (["rates", "--part", "half"], "'half': expected such as 1/2"),
        (["rates", "--seeds", "-1"], "expected"),
        (["rates", "--seeds", "x"], "'x': expected a whole number >= 0"),
    ],
)
def test_wrong_words_are_told(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        Made()(tmp_path, *words)
    assert error.value.code == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_each_study_of_the_course_says_where_it_lives():
    from lablib.adaptation import domain_study, sft_study
    from lablib.alignment import cai_study, dpo_study, rlhf_study

    for module in (domain_study, sft_study, cai_study, dpo_study, rlhf_study):
        found = []
        original, study.main = study.main, lambda one, arguments, found=found: found.append(one) or 0
        try:
            module.main([])
        finally:
            study.main = original
        assert found[0].module == module.__name__
        assert found[0].experiments is module.STUDIES
