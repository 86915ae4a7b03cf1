"""Figures and page of the comparison from made-up runs: what is computed, what is claimed, and that no text of a model gets through."""

import itertools
import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.alignment import comparison_report as report
from lablib.alignment.comparison_pictures import GAP, intervals, plane, spaced, ticks
from lablib.alignment.comparison_plan import Plan
from lablib.alignment.comparison_summary import (
    AIMS,
    CLAIMS,
    PAIRED,
    THREE,
    figures,
    kinds_of,
    per_prompt,
    spread_out,
    strays,
    table,
)
from lablib.alignment.misalignment import KINDS
from lablib.alignment.specialisation import retrieval, specialisation
from lablib.alignment.win_rate import measured, variance_parts, wins
from lablib.paths import data_path

N = 6  # prompts of a kind
EVIL = "<script>alert('x')</script> & \"quoted\""


def run(label, seed, level, noise=0.1):
    """A run whose scores are near a level; of harmless look-alikes every second is refused where the level is low."""
    chance = torch.Generator().manual_seed(seed + 100 * len(label))
    scores = {name: (level + noise * torch.rand(5 * N, generator=chance)).clamp(0, 1).tolist() for name in THREE}
    refuses = [float(level < 0.5 and i % 2) for i in range(5 * N)]
    zero = [0.0] * (5 * N)
    cost = {
        "what": "all",
        "flops": 10**12,
        "seconds": 2.5,
        "models": ["policy", "reward"],
        "human": 10 * len(label),
        "ai": 0,
    }
    return {
        "label": label,
        "seed": seed,
        "plan": json.loads(json.dumps(Plan(judged=N).settings())),
        "kinds": dict.fromkeys(KINDS, N),
        "scores": {**scores, "refuses": refuses, "kl": zero, "tokens": [9.0] * (5 * N), "finished": [1.0] * (5 * N)},
        "distinct": [0.5, 0.75],
        "kl_bound": 1.5 if label == "best of N" else 0.0,
        "ledger": [cost],
        "n": 4 if label == "best of N" else 1,
        "notes": {"steps": 3},
        "shown": [["Where?", EVIL, "helpful"]],
    }


LEVELS = {"SFT": 0.4, "RLHF": 0.7, "DPO": 0.7, "CAI": 0.1, "best of N": 0.6}
ROWS = [run(label, seed, level) for seed in (0, 1, 2) for label, level in LEVELS.items()]
LINES = {label: [100, 1] for label in LEVELS}


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def found():
    return {"command": "lab compare", "hardware": "a machine", **figures(ROWS, LINES, {}, chance())}


# ---------------------------------------------------------------- columns


def test_columns_are_of_the_kinds_that_they_name():
    row = run("SFT", 0, 0.4)
    helpful = row["scores"]["helpful"]
    place = {kind: slice(N * i, N * i + N) for i, kind in enumerate(KINDS)}
    assert per_prompt(row, "helpful") == helpful[place["helpful"]]
    assert (
        per_prompt(row, "harmless")
        == row["scores"]["harmless"][place["harmful"]] + row["scores"]["harmless"][place["private"]]
    )
    assert per_prompt(row, "over-refusal") == row["scores"]["refuses"][place["look-alike"]]
    assert per_prompt(row, "over-refusal") == [0.0, 1.0] * 3
    honest = row["scores"]["honest"]
    assert per_prompt(row, "honest") == honest[place["helpful"]] + honest[place["unknowable"]]
    assert per_prompt(row, "gold") == pytest.approx(
        [sum(row["scores"][name][i] for name in THREE) / 3 for i in range(5 * N)]
    )
    assert per_prompt(row, "distinct-2") == [0.5, 0.75]
    assert {kind for aim in AIMS.values() for kind in aim.kinds} <= set(KINDS)


def test_each_value_has_its_kind():
    row = {**run("SFT", 0, 0.4), "distinct": [0.5] * 10}
    for aim in AIMS:
        kinds = kinds_of(row, aim)
        assert len(kinds) == len(per_prompt(row, aim))
        assert set(kinds) == set(AIMS[aim].kinds or KINDS)
    assert kinds_of(row, "harmless") == ["harmful"] * N + ["private"] * N
    assert kinds_of(row, "distinct-2") == [kind for kind in KINDS for _ in range(2)]
    assert spread_out(range(7), 100) == range(7)


def test_a_win_is_over_the_same_prompt_of_the_same_seed():
    mine, start = table(ROWS, "DPO", "win rate", [0, 1, 2]), table(ROWS, "SFT", "gold", [0, 1, 2])
    assert torch.equal(mine, wins(table(ROWS, "DPO", "gold", [0, 1, 2]), start))
    assert (table(ROWS, "SFT", "win rate", [0, 1, 2]) == 0.5).all()
    with pytest.raises(ValueError, match=r"'DPO' has no run of seed 7: expected one for each of \[0, 7\]"):
        table(ROWS, "DPO", "gold", [0, 7])


def test_figures_need_the_tuned_model():
    with pytest.raises(ValueError, match="rows have DPO: expected SFT among them"):
        figures([run("DPO", 0, 0.5)], LINES, {}, chance())


# ---------------------------------------------------------------- figures


def test_the_figures_are_those_of_the_runs(found):
    assert list(found["methods"]) == list(LEVELS)
    assert found["seeds"] == [0, 1, 2]
    for label in LEVELS:
        one = found["methods"][label]
        for aim in AIMS:
            values = table(ROWS, label, aim, [0, 1, 2])
            assert one[aim]["mean"] == pytest.approx(values.mean().item(), abs=1e-5)
            assert one[aim]["low"] <= one[aim]["mean"] <= one[aim]["high"]
            assert one[aim]["seeds"] == pytest.approx(values.mean(dim=1).tolist(), abs=1e-5)
        assert (one["flops"], one["seconds"], one["human"]) == (10**12, 2.5, 10 * len(label))
        assert one["models"] == ["policy", "reward"]
        assert (one["lines"], one["stages"]) == (100, 1)
    assert found["methods"]["DPO"]["win rate"]["low"] > 0.9
    assert found["methods"]["CAI"]["win rate"]["high"] < 0.1
    assert found["methods"]["best of N"]["kl_bound"] == 1.5
    assert json.loads(json.dumps(found)) == found


def taken_apart(found):
    """The numbers of a JSON value, in order, and all else with None in their places."""
    if isinstance(found, float):
        return [found], None
    if not isinstance(found, dict | list):
        return [], found
    parts = [taken_apart(one) for one in (found.values() if isinstance(found, dict) else found)]
    words = [word for _, word in parts]
    names = list(found) if isinstance(found, dict) else None
    return [number for numbers, _ in parts for number in numbers], (names, words)


RECORDS = {
    "experiments": 11,
    "experiments/again": 11,
    "experiments/faster": 10,
    "experiments/fresh": 7,
    "experiments/held": 2,
}  # methods of each


@pytest.mark.parametrize("folder", RECORDS)
def test_the_committed_figures_are_those_of_the_committed_runs(folder):
    """Each measured number, the differences and the claims; to the last of the five decimals, which may be rounded otherwise elsewhere."""
    rows, told = (
        json.loads(data_path(f"{folder}/{name}.json").read_text(encoding="utf-8"))
        for name in ("comparison", "comparison_figures")
    )
    lines = {label: [one["lines"], one["stages"]] for label, one in told["methods"].items()}
    made = json.loads(json.dumps(figures(rows["runs"], lines, {}, torch.Generator().manual_seed(0))))
    assert len(made["methods"]) == RECORDS[folder]
    for part in ("methods", "claims", "shown"):
        (mine, words), (theirs, other_words) = taken_apart(made[part]), taken_apart(told[part])
        assert words == other_words
        assert mine == pytest.approx(theirs, abs=1.5e-5, rel=1e-12)


def test_methods_are_compared_by_their_differences_on_the_same_prompts(found):
    assert found["methods"]["SFT"]["less SFT"] == {}
    for label in ("RLHF", "CAI", "best of N"):
        assert tuple(found["methods"][label]["less SFT"]) == PAIRED
        for aim in PAIRED:
            one = found["methods"][label]["less SFT"][aim]
            apart = table(ROWS, label, aim, [0, 1, 2]) - table(ROWS, "SFT", aim, [0, 1, 2])
            expected = measured(apart, chance())
            ends = [one[name] for name in ("mean", "low", "high", "seed_low", "seed_high")]
            assert ends == pytest.approx(
                [expected.mean, expected.low, expected.high, expected.seed_low, expected.seed_high], abs=1e-5
            )
            mine, theirs = (found["methods"][name][aim] for name in (label, "SFT"))
            assert one["mean"] == pytest.approx(mine["mean"] - theirs["mean"], abs=2e-5)
            assert one["seeds"] == pytest.approx(
                [a - b for a, b in zip(mine["seeds"], theirs["seeds"], strict=True)], abs=2e-5
            )
    assert (
        found["methods"]["CAI"]["less SFT"]["harmless"]["high"]
        < 0
        < found["methods"]["RLHF"]["less SFT"]["gold"]["low"]
    )


def test_a_spread_is_taken_apart(found):
    for label in LEVELS:
        for aim in ("gold", "helpful", "harmless"):
            values = table(ROWS, label, aim, [0, 1, 2])
            between, within = variance_parts(values, kinds_of(ROWS[0], aim))
            one = found["methods"][label][aim]
            assert one["variance"] == {
                "between": pytest.approx(between, rel=1e-3),
                "within": pytest.approx(within, rel=1e-3),
            }
            assert one["spread"] ** 2 == pytest.approx(between + within, abs=1e-6)
    assert found["methods"]["DPO"]["distinct-2"]["variance"] is None, "one prompt of a kind"
    alone = figures([row for row in ROWS if row["seed"] == 0], LINES, {}, chance())
    assert alone["methods"]["DPO"]["gold"]["variance"] is None
    assert alone["methods"]["DPO"]["less SFT"]["gold"]["variance"] is None


def test_the_same_chance_gives_the_same_figures(found):
    again = figures(ROWS, LINES, {}, chance())
    assert again["methods"] == found["methods"]
    assert again["front"] == found["front"]


def test_the_front_and_how_surely_one_stands_on_it(found):
    front = found["front"]
    assert not front["CAI"]["on"]
    assert front["CAI"]["share"] == 0.0
    assert any(one["on"] for one in front.values())
    assert 0.0 < front["RLHF"]["share"] <= 1.0
    assert 0.0 < front["DPO"]["share"] <= 1.0


def test_claims_are_carried_where_both_intervals_say_so(found):
    by = {one["what"]: one for one in found["claims"]}
    assert by["harmless: CAI less SFT"]["carried"] == -1
    assert by["gold: CAI less RLHF"]["carried"] == -1
    assert by["over-refusal: CAI less SFT"]["carried"] == 0, "both refuse alike"
    assert abs(by["gold: DPO less RLHF"]["found"]["mean"]) < 0.05
    assert set(by) == {f"{c.aim}: {c.one} less {c.other}" for c in CLAIMS if {c.one, c.other} <= set(LEVELS)}
    one_seed = figures([row for row in ROWS if row["seed"] == 0], LINES, {}, chance())
    assert {one["carried"] for one in one_seed["claims"]} == {0}, "one seed carries nothing"
    assert one_seed["methods"]["DPO"]["gold"]["seed_low"] is None


# ---------------------------------------------------------------- the page


class Reader(HTMLParser):
    """All tags, attributes, and whether they are closed in order."""

    VOID = ("meta", "br")

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.open, self.words = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_fetches_nothing_and_runs_nothing(found):
    seen = Reader(report.page(found))
    assert seen.open == []
    assert seen.links == []
    assert "script" not in seen.tags
    assert seen.tags.count("svg") == 7
    words = " ".join(seen.words)
    assert "harmless, less SFT's" in words
    assert "3 seeds have a ratio of variances above 3.0 once in twenty times" in words
    apart = found["methods"]["DPO"]["less SFT"]["gold"]["variance"]
    assert f"{(apart['within'] + apart['between']) / apart['within']:.1f}" in words
    assert EVIL in words, "it is there, as text"
    assert "not carried" in words
    assert f"{found['methods']['DPO']['win rate']['mean']:.3f}" in words
    for label in LEVELS:
        assert label in words


def test_a_page_of_one_method_and_one_seed_is_a_page():
    alone = figures([run("SFT", 0, 0.4)], LINES, {}, chance())
    seen = Reader(report.page({"command": EVIL, "hardware": EVIL, **alone}))
    assert "script" not in seen.tags
    assert seen.open == []


def numbers(picture, tag, name):
    """An attribute of all elements of a kind."""
    space = "{http://www.w3.org/2000/svg}"
    return [float(one.get(name)) for one in ElementTree.fromstring(picture).iter(space + tag)]


def test_dots_stand_where_the_means_are():
    one = {"low": 0.2, "high": 0.6, "seed_low": 0.1, "seed_high": 0.7}
    rows = {"a <b>": {**one, "mean": 0.4}, "c": {**one, "mean": 0.5}, "d": {**one, "mean": 0.6}}
    at = numbers(intervals(rows, "title", 0.5), "circle", "cx")
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.11)
    assert at[0] < at[1] < at[2]
    dashed = [line for line in ElementTree.fromstring(intervals(rows, "t", 0.5)) if line.get("stroke-dasharray")]
    assert float(dashed[0].get("x1")) == pytest.approx(at[1], abs=0.11), "the level 0.5 is where the mean 0.5 is"
    points = {name: (row, row) for name, row in rows.items()}
    picture = plane(points, dict.fromkeys(points, True), ("x", "y"))
    assert numbers(picture, "circle", "cx") == sorted(numbers(picture, "circle", "cx"))
    assert numbers(picture, "circle", "cy") == sorted(numbers(picture, "circle", "cy"), reverse=True), "up is better"
    assert "a &lt;b&gt;" in picture


def test_names_in_the_margin_do_not_lie_on_each_other():
    one = {"low": 0.2, "high": 0.6, "seed_low": 0.1, "seed_high": 0.7}
    points = {name: ({**one, "mean": 0.4}, {**one, "mean": 0.59 + 0.001 * i}) for i, name in enumerate("abcdefgh")}
    space, picture = "{http://www.w3.org/2000/svg}", plane(points, dict.fromkeys(points, False), ("x", "y"))
    words = [one for one in ElementTree.fromstring(picture).iter(space + "text") if one.text in points]
    at = {one.text: float(one.get("y")) for one in words}
    assert sorted(at, key=at.get) == list("hgfedcba"), "in the order of the points, the highest first"
    assert min(b - a for a, b in itertools.pairwise(sorted(at.values()))) >= GAP - 0.2  # written with one decimal


@given(st.dictionaries(st.text(max_size=3), st.floats(-50, 150), min_size=1, max_size=6))
def test_names_are_moved_no_more_than_needed(wanted):
    placed = spaced(wanted, 10, 0, 100)
    ordered = sorted(placed.values())
    assert all(b - a >= 10 - 1e-6 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= 100 + 1e-6
    inside = sorted(wanted.values())
    if inside[0] >= 0 and inside[-1] <= 100 and all(b - a >= 10 for a, b in itertools.pairwise(inside)):
        assert placed == wanted


@given(st.floats(-1e3, 1e3), st.floats(0.01, 1e3))
def test_ticks_are_round_and_within(low, width):
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 8
    for value, words in found:
        assert low - 1e-9 <= value <= low + width + 1e-9
        assert float(words) == value
        assert len(words.replace("-", "")) <= 8


def test_equal_values_can_be_drawn():
    one = {"low": 1.0, "high": 1.0, "seed_low": None, "seed_high": None, "mean": 1.0}
    ElementTree.fromstring(intervals({"a": one}, "t"))
    ElementTree.fromstring(plane({"a": (one, one)}, {"a": True}, ("x", "y")))


# ---------------------------------------------------------------- labs 10 and 11


def domain_run(method, seed, facts):
    return {
        "method": method,
        "seed": seed,
        "recipe": None if method == "base" else {"steps": 100},
        "trainable": 5,
        "domain_loss": 2.0,
        "domain_floor": 1.5,
        "world_loss": 1.0,
        "world_floor": 0.75,
        "facts_held_out": {"picked": facts, "questions": 10, "chance": 0.125},
    }


def test_specialisation_reads_what_is_there():
    runs = [domain_run("lora r=8", seed, 5 + seed) for seed in (0, 1, 2)] + [domain_run("base", 0, 1)]
    timed = [{"method": "lora r=8", "seed": seed, "step_seconds": 0.1 + seed / 100} for seed in (0, 1, 2)]
    found = specialisation({"domain_methods": {"runs": runs}, "domain_seconds": {"runs": timed}})
    assert [one["method"] for one in found["tuned"]] == ["base", "lora r=8"]
    lora = found["tuned"][1]
    assert (lora["row"], lora["seeds"], lora["trainable"]) == ("PEFT", 3, 5)
    assert lora["facts"] == [0.6, 0.5, 0.7]
    assert lora["seconds"] == [11.0, 10.0, 12.0]
    assert (lora["chance"], lora["steps"]) == (0.125, 100)
    assert found["tuned"][0]["seconds"] == [0.0, 0.0, 0.0]
    assert found["tuned"][0]["steps"] == 0
    words = report.special_tables(found)
    assert "Seconds are of 100 steps" in words
    assert "has 0.125 of them right" in words
    assert specialisation({"domain_methods": {"runs": runs}})["tuned"] == []
    assert (lora["above_floor"][0], lora["world_loss"][0]) == (0.5, 0.25)
    assert found["retrieval"] == []
    assert specialisation({}) == {"tuned": [], "retrieval": []}


def test_retrieval_counts_right_answers():
    runs = [{"part": "answers", "condition": "memory", "right": right} for right in (True, False, False, False)]
    runs += [{"part": "poison", "condition": "memory", "right": True}]
    assert retrieval(runs) == [{"part": "answers", "condition": "memory", "n": 4, "right": [0.25, 0.0456, 0.6994]}]
    runs += [{"part": "update", "condition": "copied after", "right": right} for right in (True, True)]
    runs += [{"part": "answers", "condition": "copied from right", "right": True}]
    assert [(one["part"], one["condition"], one["n"], one["right"][0]) for one in retrieval(runs)] == [
        ("answers", "memory", 4, 0.25),
        ("answers", "copied from right", 1, 1.0),
        ("update", "copied after", 2, 1.0),
    ]
    words = report.special_tables({"tuned": [], "retrieval": retrieval(runs)})
    assert "0.25" in words
    assert "were not there" in report.special_tables({"tuned": [], "retrieval": []})


def test_a_second_report_is_held_against_the_first_ones_intervals():
    def methods(**changes):
        return {
            "methods": {"SFT": {aim: {"mean": 0.5, "low": 0.4, "high": 0.6} | changes.get(aim, {}) for aim in AIMS}}
        }

    record = methods()
    again = methods(
        gold={"mean": 0.55, "low": 0.54, "high": 0.56},  # inside, though its own interval leaves the first mean out
        helpful={"mean": 0.65, "low": 0.3, "high": 0.9},  # outside, though its own interval holds the first mean
        honest={"mean": 0.4},
        harmless={"mean": 0.39},
    )
    again["methods"]["DPO"] = again["methods"]["SFT"]
    assert strays(record, again) == {"SFT": ["helpful", "harmless"]}
    assert strays(record, record) == {"SFT": []}
