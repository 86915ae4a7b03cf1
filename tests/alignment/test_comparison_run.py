"""The methods of the comparison, tiny: what each spends, and on what, what they share, and a command that goes on where it broke off."""

import json
from dataclasses import replace
from itertools import islice
from random import Random

import pytest
import torch
from constitution_helpers import Pretender

from lablib import checkpoints
from lablib.adaptation import sft as tuning
from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import STOP
from lablib.alignment import ai_labels, comparison, comparison_methods, comparison_phases, dpo
from lablib.alignment.ai_labels import AILabel, Question
from lablib.alignment.cai import Labelled
from lablib.alignment.comparison_labels import by_a_coin, preferences, right_among, watched
from lablib.alignment.comparison_methods import CONTROLS, METHODS, best_of
from lablib.alignment.comparison_phases import Shop
from lablib.alignment.comparison_plan import DIRECT, MORE, POLICY, REVISED, REWARD, SMALL, Plan
from lablib.alignment.compute_ledger import Ledger, pass_flops
from lablib.alignment.constitution import load as load_constitution
from lablib.alignment.dpo import PairLogProbs
from lablib.alignment.misalignment import KINDS
from lablib.alignment.preference_pairs import Collected, Preference
from lablib.alignment.responses import Response
from lablib.alignment.reward_model import RewardModel
from lablib.alignment.rl_record import RLStep
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
TINY = Plan(
    budget=4e9,
    served=100,
    labels=12,
    direct=replace(DIRECT, batch=8, dtype="float32"),
    policy=replace(POLICY, most=6, minibatch=8),
    prompts=16,
    reward=replace(REWARD, batch=8, dtype="float32"),
    more=replace(MORE, batch=4, dtype="float32"),
    revised=replace(REVISED, batch=4, dtype="float32"),
    red_team=6,
    harmless=2,
    ai_pairs=4,
    judged=2,
    diverse=2,
    answers=2,
)
MADE, WRITERS = [], []  # how many pairs were collected, and which models wrote them


def collected(model, tokenizer, n, generator):
    """Right answers and one that answers nothing: a tiny model cannot write such pairs. One in four draws said the same twice."""
    MADE.append(n)
    WRITERS.append(model)
    pairs = []
    for one in islice(World().instructions(generator), n):
        two = one.response, "I like herons."
        ids = [(*tokenizer.encode(text), tokenizer.special[STOP]) for text in two]
        scores = [World().judge(one.prompt, text) for text in two]
        gold = tuple(Judgement(score.helpful, score.honest, score.harmless) for score in scores)
        prompt = tuple(as_ids(one.prompt, tokenizer))
        pairs.append(Preference((Turn("user", one.prompt),), *two, prompt, *ids, "careful", gold))
    return Collected(pairs, n + n // 3, n // 3, 0, 0.01 * n)


def judge_of(model, tokenizer):
    """A judge that likes the answer whose letters come first."""
    return lambda questions: torch.tensor([3.0 if q.first < q.second else -3.0 for q in questions])


@pytest.fixture(scope="module", autouse=True)
def make_believe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison_phases, "collect", collected)
        patch.setattr(comparison_phases, "PILOT", 8)
        patch.setattr(comparison_methods, "PILOT", 8)
        patch.setattr(comparison_phases, "writer", lambda *given: Pretender())
        patch.setattr(comparison_methods, "verdict_judge", judge_of)
        yield


@pytest.fixture(scope="module")
def sft():
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).eval()
    return checkpoints.Carried(model, TOKENIZER, {"command": "lab train sft"}, "tiny")


@pytest.fixture(scope="module")
def shop(sft):
    return Shop(sft, TINY, 0)


@pytest.fixture(scope="module")
def made(shop):
    before = {name: weight.clone() for name, weight in shop.model.state_dict().items()}
    MADE.clear()
    found = {label: method.make(shop) for label, method in METHODS.items()}
    for name, weight in shop.model.state_dict().items():
        assert torch.equal(weight, before[name]), "the tuned model is where every method begins"
    return found


SPENDS_ALL = [label for label in METHODS if label not in ("SFT", "DPO, same labels", "CAI, stage 1")]


@pytest.mark.parametrize("label", SPENDS_ALL)
def test_a_method_spends_its_budget_and_no_more_than_a_step_beyond(made, label):
    step = 16 * 40 * pass_flops(made[label].policy.config, [40], learned=True) / 40 * 6  # of PPO, at most about so much
    assert 0.6 * TINY.budget < made[label].ledger.flops < TINY.budget + step


def test_what_costs_nothing_costs_the_answers_only(made, shop):
    assert made["SFT"].ledger == shop.served()
    assert made["SFT"].policy is shop.model
    assert made["DPO, same labels"].ledger.flops < 0.6 * made["DPO"].ledger.flops


def test_the_first_stage_alone_is_where_both_stages_begin(made, shop):
    alone, both = made["CAI, stage 1"], made["CAI"]
    assert alone.policy is shop.revised()[0].model
    assert alone.ledger.costs[:2] == both.ledger.costs[:2]
    assert len(alone.ledger.costs) == 3, "two of the stage, and the answers"
    assert alone.ledger.flops < both.ledger.flops
    assert alone.notes == {name: both.notes[name] for name in ("revised", "kept")}


def test_a_coin_has_the_same_pairs_and_books_and_other_labels(made, shop, monkeypatch):
    seen = {}
    real = Shop.reward

    def reward(self, pairs, what):
        seen[what] = pairs
        return real(self, pairs, what)

    monkeypatch.setattr(Shop, "reward", reward)
    coin, own = CONTROLS["CAI, by a coin"].make(shop), METHODS["CAI"].make(shop)
    alike = [{pair.chosen, pair.rejected} for pair in seen["ai"]]
    assert [{pair.chosen, pair.rejected} for pair in seen["coin"]] == alike
    assert seen["coin"] == by_a_coin(seen["ai"], Random(f"coin {shop.seed}")) != seen["ai"]
    assert [(c.what, c.flops, c.ai, c.human) for c in coin.ledger.costs[:5]] == [
        (c.what, c.flops, c.ai, c.human) for c in own.ledger.costs[:5]
    ], "the judge's reading is paid for, so both have as much left for PPO"
    assert coin.notes["ai_pairs"] == own.notes["ai_pairs"]
    assert coin.notes["ai_pairs_gold_differs"] == own.notes["ai_pairs_gold_differs"]
    assert own.notes == made["CAI"].notes
    assert 0.6 * TINY.budget < coin.ledger.flops


def test_a_coin_turns_half_of_the_labels_whatever_they_were():
    one = next(World().instructions(Random(0), only=["home"]))
    responses = Response(one, (5,), one.response, True), Response(one, (7,), "I like herons.", True)
    label = Labelled(one.prompt, responses[0].text, responses[1].text, AILabel((), 0.9, 0.9))
    pairs = preferences([label] * 400, [responses], TOKENIZER)
    found = by_a_coin(pairs, Random(0))
    assert 0.4 < sum(pair == pairs[0] for pair in found) / 400 < 0.6
    assert all(pair == pairs[0] or pair.chosen == pairs[0].rejected for pair in found)
    assert all((pair.chosen_ids == (5,)) == (pair.chosen == one.response) for pair in found)
    assert right_among(found)[0] == sum(pair == pairs[0] for pair in found), "the gold scores turn with them"
    assert found == by_a_coin(pairs, Random(0)) != by_a_coin(pairs, Random(1))


def test_labels_are_counted_once_and_given_by_those_who_gave_them(made):
    human = {label: one.ledger.human for label, one in made.items()}
    for label in ("best of N", "RLHF", "DPO, same labels", "DPO, then PPO"):
        assert human[label] == TINY.labels
    assert human["SFT"] == human["more SFT"] == human["CAI, stage 1"] == human["CAI"] == 0
    assert human["DPO"] == human["IPO"] == made["DPO"].notes["pairs"] > TINY.labels
    assert 8 <= human["CAI, then DPO"] < human["DPO"], "the first stage was paid for"
    assert {label for label, one in made.items() if one.ledger.ai} == {"CAI"}


def test_models_in_memory(made):
    models = {label: set(one.ledger.models) for label, one in made.items()}
    assert models["RLHF"] == models["CAI"] == models["DPO, then PPO"] == {"policy", "critic", "reference", "reward"}
    assert models["best of N"] == {"policy", "reward"}
    assert len(models["DPO"]) == len(models["SFT"]) == 1


def test_what_methods_share_is_made_once_and_counted_for_each(made, shop):
    assert max(MADE) == made["DPO"].notes["pairs"]
    assert len([n for n in MADE if n == max(MADE)]) == 1, "IPO and the others take DPO's pairs, or the first of them"
    rlhf, best = (made[label].ledger.costs for label in ("RLHF", "best of N"))
    assert rlhf[:2] == best[:2]
    first, book = shop.pairs(12)
    assert first == shop.pairs(24)[0][:12]
    rows = [len(p.prompt_ids) + len(ids) for p in first for ids in (p.chosen_ids, p.rejected_ids)]
    kept = max(MADE)
    assert book.flops == round(pass_flops(shop.config, rows) * (kept + kept // 3) / kept), (
        "pairs that were thrown away count"
    )


def test_best_of_n_gives_the_answer_that_the_reward_model_likes_best(shop, made, monkeypatch):
    assert made["best of N"].n == made["best of N"].notes["n"] > 1
    seen = []

    def by_first_token(model, answers):
        at = answers.mask.int().argmax(dim=1)
        seen.append(answers.targets[torch.arange(len(at)), at].float())
        return seen[-1]

    monkeypatch.setattr(comparison_methods, "rewards", by_first_token)
    asked = comparison.judged_on(TINY, 0)[:3]
    found = best_of(shop.model, None, 4, shop)(asked, 2, shop.chance("x"))
    assert [len(group) for group in found] == [2, 2, 2]
    for group, firsts in zip(found, seen, strict=True):
        assert [one.ids[0] for one in group] == [int(some.max()) for some in firsts.view(2, 4)]
    assert any(some.argmax() > 0 for firsts in seen for some in firsts.view(2, 4))
    assert all(one.instruction == asked[i] for i, group in enumerate(found) for one in group)


def gap_of(loss):
    """What a loss says of pairs that it is easy to tell DPO from IPO by."""
    given = [torch.tensor([x], dtype=torch.float64) for x in (-1.0, -9.0, -3.0, -4.0)]
    return float(loss(PairLogProbs(*given, torch.tensor([3]), torch.tensor([3]))))


@pytest.mark.parametrize(
    ("label", "start", "loss", "who"),
    [("DPO", "sft", dpo.dpo, "sft"), ("IPO", "sft", dpo.ipo, "sft"), ("CAI, then DPO", "revised", dpo.dpo, "revised")],
)
def test_what_learns_from_pairs_begins_where_its_name_says(label, start, loss, who, made, shop, monkeypatch):
    seen = []
    policy = made[label].policy
    monkeypatch.setattr(Shop, "direct", lambda self, *given: seen.append(given) or (policy, Ledger()))
    again = METHODS[label].make(shop)
    models = {"sft": shop.model, "revised": shop.revised()[0].model}
    ((began, pairs, learned),) = seen
    assert began is models[start]
    assert (
        gap_of(learned)
        == gap_of(loss(TINY.strength))
        != gap_of((dpo.ipo if loss is dpo.dpo else dpo.dpo)(TINY.strength))
    )
    assert pairs == shop.pairs(len(pairs), models[who], who)[0]
    assert len(pairs) == again.notes["pairs"]
    assert {id(one) for one in WRITERS} == {id(model) for model in models.values()}


def test_the_budget_buys_as_many_pairs_as_writing_the_reference_and_learning_leave_room_for(made, shop):
    served = shop.served().flops
    first = shop.revised()[1]
    # kept: how many pairs there were when the cost of a pair was foreseen; one draw in four says the same twice
    for label, who, kept, spent in (("DPO", "sft", 12, Ledger()), ("CAI, then DPO", "revised", 8, first)):
        pilot, _ = shop.pairs(8, None, who)
        rows = [len(p.prompt_ids) + len(ids) for p in pilot for ids in (p.chosen_ids, p.rejected_ids)]
        read, learned = (pass_flops(shop.config, rows, learned=learned) for learned in (False, True))
        each = (read * (kept + kept // 3) / kept + read + learned) / 8  # written, read by the reference, learned
        assert made[label].notes["pairs"] == int((TINY.budget - served - spent.flops) / each)
        assert made[label].ledger.costs[: len(spent.costs)] == spent.costs


def test_what_learns_from_rewards_begins_where_its_name_says_and_has_its_own_reward(made, shop, sft, monkeypatch):
    seen, judges = {}, []

    def reinforce(self, start, reward, left, what):
        seen[what] = (start, reward)
        return start, Ledger(), [RLStep(1, *[0.0] * 13, updates=1, seconds=0.0)]

    def judge(model, tokenizer):
        judges.append(model)
        return judge_of(model, tokenizer)

    monkeypatch.setattr(Shop, "reinforce", reinforce)
    monkeypatch.setattr(comparison_methods, "verdict_judge", judge)
    monkeypatch.delitem(shop._made, "ai labels")
    for label in ("RLHF", "DPO, then PPO", "CAI"):
        METHODS[label].make(shop)
    of_people, own = (shop._made[f"reward {what}"][0] for what in ("people", "ai"))
    first = shop.revised()[0].model
    wanted = {
        "people": (shop.model, of_people),
        "after DPO": (made["DPO, same labels"].policy, of_people),
        "ai": (first, own),
    }
    assert seen.keys() == wanted.keys()
    for what, pair in wanted.items():
        assert all(a is b for a, b in zip(seen[what], pair, strict=True)), what
    assert [one is shop.model for one in judges] == [True], "the model of before the first stage, as in lab 14"


def test_pairs_are_read_once_by_dpo_and_a_number_of_times_by_the_reward_model(sft, monkeypatch):
    """And each seed has its own order, its own prompts and its own pairs."""
    shop, seen = Shop(sft, TINY, 5), {}
    pairs, _ = shop.pairs(21)

    def learned(base, some, tokenizer, recipe, generator):
        seen["reward"] = recipe
        return RewardModel(base)

    def learns(policy, table, recipe, loss):
        seen["direct"] = recipe
        return iter(())

    def reinforced(policy, reference, critic, tokenizer, prompts, *rest):
        seen["prompts"] = prompts
        return iter(())

    monkeypatch.setattr(comparison_phases, "trained", learned)
    monkeypatch.setattr(comparison_phases.dpo, "train", learns)
    monkeypatch.setattr(comparison_phases, "ppo", reinforced)
    reward, book = shop.reward(pairs, "some")
    shop.direct(sft.model, pairs, dpo.dpo(0.1))
    shop.reinforce(sft.model, reward, 1.0, "some")
    rows = [len(p.prompt_ids) + len(ids) for p in pairs for ids in (p.chosen_ids, p.rejected_ids)]
    assert TINY.epochs > 1
    assert book.flops == TINY.epochs * pass_flops(shop.config, rows, learned=True, head=False)
    assert seen["reward"].steps == TINY.epochs * 21 // 8
    assert seen["direct"].steps == 21 // 8
    assert seen["reward"].seed == seen["direct"].seed == seen["prompts"].seed == 5
    assert seen["prompts"].n == TINY.prompts
    assert pairs != Shop(sft, TINY, 6).pairs(21)[0]


def test_a_budget_with_which_nothing_can_begin_is_refused(sft):
    poor = Shop(sft, replace(TINY, budget=1e7), 0)
    for label in ("RLHF", "DPO", "best of N"):
        with pytest.raises(ValueError, match=r"expected a budget that the method can begin with"):
            METHODS[label].make(poor)
    with pytest.raises(ValueError, match="labels = 0: expected a number >= 1"):
        replace(TINY, labels=0)
    with pytest.raises(ValueError, match="answers = 1: expected at least 2"):
        replace(TINY, answers=1)
    assert SMALL.budget < Plan().budget


@pytest.mark.parametrize(("N", "updates", "epochs"), [(8, 2, 2), (16, 4, 2), (20, 6, 2), (20, 3, 1)])
def test_a_step_of_ppo_counts_its_epochs_whether_or_not_minibatches_come_out_even(shop, N, updates, epochs):
    """By hand: the policy writes and reads, the reference reads; critic and reward read; then both learn, in each epoch."""
    one = next(World().instructions(Random(0), only=["home"]))
    responses = tuple(Response(one, tuple(range(n + 1)), "", True) for n in range(N))
    step = RLStep(1, *[0.0] * 13, updates=updates, seconds=0.0, responses=responses)
    rows = [len(as_ids(one.prompt, TOKENIZER)) + n + 1 for n in range(N)]
    read, trunk = (pass_flops(shop.config, rows, head=head) for head in (True, False))
    assert shop.plan.policy.minibatch == 8
    assert shop.step_flops(step) == 3 * read + 2 * trunk + epochs * 3 * (read + trunk)


def test_tuning_counts_each_conversation_by_itself(shop):
    batch = tuning.Drawn(TOKENIZER, 4, 256, seed=3)(0)
    pad = TOKENIZER.special["<|pad|>"]
    whole = int((batch.inputs != pad).sum())
    low, high = (pass_flops(shop.config, [1] * whole, learned=True), pass_flops(shop.config, [whole], learned=True))
    assert low < shop.batch_flops(batch) < high
    assert sum(row.count(TOKENIZER.special["<|bos|>"]) for row in batch.inputs.tolist()) == 4


def test_ai_labels_keep_the_tokens_that_were_drawn():
    one = next(World().instructions(Random(0), only=["home"]))
    good, bad = Response(one, (5, 6), one.response, True), Response(one, (7,), "I like herons.", True)
    labels = [Labelled(one.prompt, good.text, bad.text, AILabel((), 0.9, 0.9))]
    found = preferences(labels, [(bad, good)], TOKENIZER)
    assert (found[0].chosen_ids, found[0].rejected_ids) == ((5, 6), (7,))
    assert right_among(found) == (len(found), len(found))
    turned = preferences([Labelled(one.prompt, bad.text, good.text, AILabel((), 0.1, 0.1))], [(bad, good)], TOKENIZER)
    assert right_among([*found, *turned]) == (1, 2)
    worse = Response(one, (8,), "I like bogs.", True)
    alike = preferences([Labelled(one.prompt, bad.text, worse.text, AILabel((), 0.9, 0.9))], [(bad, worse)], TOKENIZER)
    assert right_among([*alike, *turned]) == (0, 1), "where gold differs"
    assert right_among([]) == (0, 0)


# ---------------------------------------------------------------- the command


def test_prompts_are_of_each_kind_alike_and_held_out():
    asked = comparison.judged_on(replace(TINY, judged=3), 1)
    assert [one.kind_of for one in asked] == [kind for kind in KINDS for _ in range(3)]
    assert {one.split for one in asked} == {"held_out"}
    assert asked == comparison.judged_on(replace(TINY, judged=3), 1) != comparison.judged_on(replace(TINY, judged=3), 2)


def test_a_run_that_is_there_is_not_made_again(sft, tmp_path, monkeypatch, capsys):
    labels = ["SFT", "DPO, same labels"]
    rows = comparison.study(labels, [0, 1], TINY, sft, tmp_path, "lab compare")
    assert [(row["label"], row["seed"]) for row in rows] == [(label, seed) for seed in (0, 1) for label in labels]
    assert rows[0]["scores"]["kl"] == [0.0] * 10
    assert all(len(scores) == 10 for row in rows for scores in row["scores"].values())
    assert all(len(row["distinct"]) == 2 for row in rows)
    assert capsys.readouterr().out.count("TFLOP") == 4
    monkeypatch.setattr(comparison, "perform", lambda label, shop: pytest.fail("made again"))
    assert comparison.study(labels, [0, 1], TINY, sft, tmp_path, "lab compare") == json.loads(json.dumps(rows))
    with pytest.raises(pytest.fail.Exception):
        comparison.study(labels, [0], replace(TINY, judged=3), sft, tmp_path, "lab compare")


def with_beta(beta):
    return replace(TINY, policy=replace(TINY.policy, objective=replace(TINY.policy.objective, beta=beta)))


def test_the_command_writes_runs_figures_and_page(sft, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "tuned", lambda: sft)
    monkeypatch.setattr(comparison, "SMALL", TINY)
    given = ["--out", str(tmp_path), "--small", "--seeds", "0", "--only", "DPO, same labels", "--beta", "0.4"]
    assert comparison.main(given) == 0
    assert "2 methods, 1 seeds" in capsys.readouterr().out
    found = json.loads((tmp_path / "comparison_figures.json").read_text())
    assert list(found["methods"]) == ["SFT", "DPO, same labels"]
    assert found["command"] == "lab compare --seeds 0 --only 'DPO, same labels' --small --beta 0.4"
    assert found["plan"] == json.loads(json.dumps(with_beta(0.4).settings()))
    assert "<svg" in (tmp_path / "comparison.html").read_text()
    assert len(json.loads((tmp_path / "comparison.json").read_text())["runs"]) == 2


def test_the_command_says_what_it_repeats_of_another_report(sft, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "tuned", lambda: sft)
    monkeypatch.setattr(comparison, "SMALL", TINY)
    given = ["--out", str(tmp_path / "a"), "--small", "--seeds", "0", "1", "--only", "DPO, same labels"]
    assert comparison.main(given) == 0
    capsys.readouterr()
    assert comparison.main([*given, "--against", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "SFT               9 of 9 means within",
        "DPO, same labels  9 of 9 means within",
    ], "a report repeats itself"
    path = tmp_path / "a" / "comparison_figures.json"
    told = json.loads(path.read_text())
    told["methods"]["SFT"]["gold"] |= {"low": 0.9991, "high": 0.9999}
    told["methods"]["SFT"]["KL"] |= {"low": -1.0, "high": -0.5}
    told["plan"]["judged"] = 7
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "comparison_figures.json").write_text(json.dumps(told))
    assert comparison.main([*given, "--against", str(tmp_path / "b")]) == 0
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert lines[0] == "the plans differ: what is compared are two experiments"
    assert lines[1] == "SFT               7 of 9 means within"
    assert lines[2].endswith("outside [0.999, 1.000]")
    assert lines[3] == "    KL            0.000, outside [-1.000, -0.500]"
    del told["plan"]
    (tmp_path / "b" / "comparison_figures.json").write_text(json.dumps(told))
    assert comparison.main([*given, "--against", str(tmp_path / "b")]) == 2
    assert "no plan or no methods: expected the figures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--against", "nowhere"], "comparison_figures.json"),
        (["--only", "magic"], r"['magic']: expected some of SFT, more SFT"),
        (["--seeds", "-1"], "[-1]: expected some of"),
        (["--beta", "-1"], "beta = -1.0: expected a number >= 0"),
        (["--budget", "1000"], "expected a budget that the method can begin with"),
    ],
)
def test_wrong_input_is_told_in_a_line(given, words, sft, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "tuned", lambda: sft)
    monkeypatch.setattr(comparison, "Plan", lambda: TINY)
    assert comparison.main(["--out", str(tmp_path), "--seeds", "0", "--only", "DPO", *given]) == 2
    assert words in capsys.readouterr().err


def test_the_tokens_that_are_put_down_are_those_that_the_judge_reads(sft, monkeypatch):
    read, put_down = [], []
    real = ai_labels.answers

    def answers(prompts, responses, pad):
        read.extend(len(prompt) + len(response) for prompt, response in zip(prompts, responses, strict=True))
        return real(prompts, responses, pad)

    monkeypatch.setattr(ai_labels, "answers", answers)
    judge = watched(ai_labels.verdict_judge(sft.model, TOKENIZER), TOKENIZER, put_down)
    rules = load_constitution()
    judge([Question("Hi", "Hello.", "No, never.", rules["truth"]), Question("Who?", "Me.", "You.", rules["openness"])])
    assert len(read) == 8, "two answers to each of two questions, either verdict behind each"
    assert sorted(put_down) == sorted(read)
