"""The methods that lab 15 compares, each made from the same tuned model for the same budget of FLOPs, and what each of them answers.

    shop = Shop(load("sft"), Plan(), seed=0)
    made = METHODS["DPO"].make(shop)
    made.ledger.flops, made.answer(instructions, 1, generator)

What a method does with its budget:

SFT                 nothing: where all others begin.
more SFT            goes on with tuning, on conversations like those before.
best of N           labels, a reward model; all that is left goes into the answers themselves, N for each of `Plan.served` prompts.
RLHF                the same labels, the same reward model; all that is left goes into PPO.
DPO, IPO            as many labelled pairs as the budget pays for, one pass.
DPO, same labels    no more labels than RLHF has, one pass: it leaves most of the budget unspent. *Equal labels* instead of equal compute.
CAI, stage 1        its own revisions, and no more: it leaves most of the budget unspent. What the second stage is measured against.
CAI                 no labels by people: that stage, then its own labels, a reward model and PPO (Bai et al. 2022).
DPO, then PPO       a hybrid: DPO on RLHF's labels, then PPO with RLHF's reward model, near what DPO made.
CAI, then DPO       a hybrid: CAI's first stage, then DPO on pairs of *that* model's answers, labelled by people.

And a control, made only when it is asked for (`CONTROLS`):

CAI, by a coin      CAI, with the label of each pair drawn by a coin. What of its second stage is left, no label has done.

Left out: hybrids in which several policies are merged; settings of their own for each method (`Plan`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch

from lablib.alignment import dpo
from lablib.alignment.ai_labels import verdict_judge
from lablib.alignment.best_of_n import best_of_n_kl, pick_best
from lablib.alignment.cai import feedback_stage
from lablib.alignment.cai_feedback_runs import asked_once
from lablib.alignment.code_size import needed, total_lines
from lablib.alignment.comparison_labels import by_a_coin, lengths_of, preferences, right_among, watched
from lablib.alignment.comparison_phases import PILOT, Shop, rows_of
from lablib.alignment.compute_ledger import Cost, Ledger, affordable, pass_flops
from lablib.alignment.constitution import load as load_constitution
from lablib.alignment.preference_pairs import Preference
from lablib.alignment.responses import Response, sample
from lablib.alignment.reward_model import RewardModel, rewards
from lablib.alignment.rollouts import as_answers
from lablib.architecture.decoder import Decoder
from lablib.corpus.world.instructions import Instruction
from lablib.pretraining.sampling import Sampling

# instructions, answers to each, chance -> for each instruction its answers
Answer = Callable[[Sequence[Instruction], int, torch.Generator], list[list[Response]]]


@dataclass(frozen=True)
class Made:
    """A finished method.

    Attributes:
        answer: what it says. policy: the model that it samples from. ledger: what it cost, the served answers among it.
        n: answers that are drawn for one that is given. notes: what happened on the way, in figures.
    """

    answer: Answer
    policy: Decoder
    ledger: Ledger
    n: int = 1
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def kl_bound(self) -> float:
        """What choosing adds to the divergence of the policy at most, nats per answer; see `best_of_n`."""
        return best_of_n_kl(self.n)


def plain(policy: Decoder, shop: Shop) -> Answer:
    """Answers as the policy draws them, at temperature 1."""

    def answer(asked: Sequence[Instruction], each: int, chance: torch.Generator) -> list[list[Response]]:
        return sample(policy, shop.tokenizer, asked, chance, Sampling(), each)

    return answer


def best_of(policy: Decoder, reward: RewardModel, n: int, shop: Shop) -> Answer:
    """The best of n answers of a policy by a reward model; n new ones for each that is given."""

    def answer(asked: Sequence[Instruction], each: int, chance: torch.Generator) -> list[list[Response]]:
        drawn = sample(policy, shop.tokenizer, asked, chance, Sampling(), n * each)
        found = []
        for group in drawn:
            scores = rewards(reward, as_answers(group, shop.tokenizer)).view(each, n)  # (each·n,) -> (each, n)
            found.append([group[row * n + at] for row, at in enumerate(pick_best(scores).tolist())])
        return found

    return answer


def finished(shop: Shop, policy: Decoder, ledger: Ledger, **notes: Any) -> Made:
    """A method whose policy answers by itself."""
    return Made(plain(policy, shop), policy, ledger + shop.served(), notes=notes)


# ---------------------------------------------------------------- the methods


def sft(shop: Shop) -> Made:
    """Where all begin."""
    return finished(shop, shop.model, Ledger())


def more_sft(shop: Shop) -> Made:
    """Tuning goes on."""
    return finished(shop, *shop.more_tuning(shop.plan.budget - shop.served().flops))


def labelled(shop: Shop) -> tuple[list[Preference], RewardModel, Ledger]:
    """What RLHF, best of N and one hybrid have in common: people's labels and a reward model."""
    pairs, book = shop.pairs(shop.plan.labels)
    reward, cost = shop.reward(pairs, "people")
    return pairs, reward, book + cost


def best_of_n(shop: Shop) -> Made:
    """As many answers to each prompt as the budget pays for; in memory at that time are the policy and the reward model."""
    _, reward, book = labelled(shop)
    rows = rows_of(shop.pairs(PILOT)[0])
    each = (pass_flops(shop.config, rows) + pass_flops(shop.config, rows, head=False)) / len(rows) * shop.plan.served
    n = affordable(shop.plan.budget, book.flops, each)
    answers = Cost(f"{n} answers to a prompt, scored", round(n * each), 0.0, ("policy", "reward"))
    return Made(best_of(shop.model, reward, n, shop), shop.model, book + Ledger((answers,)), n, {"n": n})


def rlhf(shop: Shop) -> Made:
    """PPO with a learned reward."""
    _, reward, book = labelled(shop)
    return reinforced(shop, shop.model, reward, book, "people")


def reinforced(shop: Shop, start: Decoder, reward: RewardModel, book: Ledger, what: str, **notes: Any) -> Made:
    """What is left of the budget goes into PPO."""
    left = shop.plan.budget - book.flops - shop.served().flops
    affordable(left, 0, 1)  # an error that says what is wrong, where nothing is left
    policy, cost, steps = shop.reinforce(start, reward, left, what)
    notes |= {"steps": len(steps), "proxy": [round(steps[0].proxy, 3), round(steps[-1].proxy, 3)]}
    return finished(shop, policy, book + cost, **notes)


def direct(shop: Shop, loss: dpo.PairLoss, start: Decoder, who: str, spent: Ledger) -> Made:
    """DPO or IPO on as many pairs of a model's answers as the budget pays for."""
    pilot, book = shop.pairs(PILOT, start, who)
    rows = rows_of(pilot)
    each = (book.flops + pass_flops(shop.config, rows) + pass_flops(shop.config, rows, learned=True)) / len(pilot)
    n = affordable(shop.plan.budget - shop.served().flops, spent.flops, each)
    pairs, book = shop.pairs(n, start, who)
    policy, cost = shop.direct(start, pairs, loss)
    return finished(shop, policy, spent + book + cost, pairs=n)


def dpo_method(shop: Shop) -> Made:
    """DPO."""
    return direct(shop, dpo.dpo(shop.plan.strength), shop.model, "sft", Ledger())


def ipo_method(shop: Shop) -> Made:
    """IPO."""
    return direct(shop, dpo.ipo(shop.plan.strength), shop.model, "sft", Ledger())


def dpo_same_labels(shop: Shop) -> Made:
    """DPO on RLHF's labels."""
    policy, ledger = few_labels(shop)
    return finished(shop, policy, ledger, pairs=shop.plan.labels)


def few_labels(shop: Shop) -> tuple[Decoder, Ledger]:
    """The policy that DPO makes of RLHF's labels, and what it cost."""
    pairs, book = shop.pairs(shop.plan.labels)
    policy, cost = shop.once("DPO, same labels", lambda: shop.direct(shop.model, pairs, dpo.dpo(shop.plan.strength)))
    return policy, book + cost


def dpo_then_ppo(shop: Shop) -> Made:
    """DPO first; PPO goes on from there, with the same labels' reward model. The labels count once."""
    policy, book = few_labels(shop)
    reward, cost = shop.reward(shop.pairs(shop.plan.labels)[0], "people")
    return reinforced(shop, policy, reward, book + cost, "after DPO")


def cai_stage_1(shop: Shop) -> Made:
    """The first stage alone."""
    first, book = shop.revised()
    return finished(
        shop, first.model, book, revised=sum(one.revised for one in first.transcripts), kept=len(first.kept)
    )


def labelled_by_the_model(shop: Shop) -> tuple[list[Preference], Ledger]:
    """Pairs of the first stage's answers with the model's own labels, ties left out."""
    first, _ = shop.revised()
    asked = shop.plain_prompts(shop.plan.ai_pairs, "ai")
    begin = time.perf_counter()
    drawn = sample(first.model, shop.tokenizer, asked, shop.chance("ai pairs"), Sampling(), 2)
    wrote = time.perf_counter() - begin
    cost = Cost(
        "pairs are written",
        pass_flops(shop.config, lengths_of([r for two in drawn for r in two], shop.tokenizer)),
        wrote,
        ("policy",),
    )
    two = [pair for pair in drawn if pair[0].text != pair[1].text]
    read: list[int] = []
    judge = asked_once(watched(verdict_judge(shop.model, shop.tokenizer), shop.tokenizer, read))
    texts = [(a.text, b.text) for a, b in two]
    begin = time.perf_counter()
    found = feedback_stage(
        judge,
        lambda labels: preferences(labels, two, shop.tokenizer),
        [pair[0].instruction.prompt for pair in two],
        texts,
        load_constitution(),
        Random(f"ai labels {shop.seed}"),
    )
    labelled_in = time.perf_counter() - begin
    labels = Cost("the model labels pairs", pass_flops(shop.config, read), labelled_in, ("judge",), ai=len(two))
    return found.model, Ledger((cost, labels))


def second_stage(shop: Shop, what: str, relabel: Callable[[list[Preference]], list[Preference]]) -> Made:
    """CAI's two stages; what the reward model learns is made of the model's labels. what: which, for its chance."""
    first, book = shop.revised()
    pairs, cost = shop.once("ai labels", lambda: labelled_by_the_model(shop))
    pairs = relabel(pairs)
    reward, learned = shop.reward(pairs, what)
    right, differing = right_among(pairs)
    notes = {
        "revised": sum(one.revised for one in first.transcripts),
        "kept": len(first.kept),
        "ai_pairs": len(pairs),
        "ai_pairs_gold_differs": differing,
        "ai_labels_right": right,
    }
    return reinforced(shop, first.model, reward, book + cost + learned, what, **notes)


def cai(shop: Shop) -> Made:
    """Both stages; nobody labels anything."""
    return second_stage(shop, "ai", list)


def cai_by_a_coin(shop: Shop) -> Made:
    """A control: the same pairs, the same books, the same training, and a coin in place of each label."""
    return second_stage(shop, "coin", lambda pairs: by_a_coin(pairs, Random(f"coin {shop.seed}")))


def cai_then_dpo(shop: Shop) -> Made:
    """CAI's first stage, then people's labels of what that model says."""
    first, book = shop.revised()
    return direct(shop, dpo.dpo(shop.plan.strength), first.model, "revised", book)


# ---------------------------------------------------------------- the list


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        make: see above. stages: of training, beyond tuning. modules: of `lablib.alignment` that it begins with, by short name.
    """

    make: Callable[[Shop], Made]
    stages: int
    modules: tuple[str, ...]

    @property
    def lines(self) -> int:
        """Lines of code beyond what tuning needs; see `code_size`."""
        return total_lines(needed(f"lablib.alignment.{name}" for name in self.modules))


PEOPLE = ("preference_pairs", "reward_training")
STAGE_2 = ("cai", "ai_labels", "reward_training", "ppo")
METHODS: dict[str, Method] = {
    "SFT": Method(sft, 0, ()),
    "more SFT": Method(more_sft, 1, ()),
    "best of N": Method(best_of_n, 1, (*PEOPLE, "best_of_n")),
    "RLHF": Method(rlhf, 2, (*PEOPLE, "ppo")),
    "DPO": Method(dpo_method, 1, ("preference_pairs", "dpo")),
    "IPO": Method(ipo_method, 1, ("preference_pairs", "dpo")),
    "DPO, same labels": Method(dpo_same_labels, 1, ("preference_pairs", "dpo")),
    "CAI, stage 1": Method(cai_stage_1, 1, ("cai",)),
    "CAI": Method(cai, 3, STAGE_2),
    "DPO, then PPO": Method(dpo_then_ppo, 3, (*PEOPLE, "dpo", "ppo")),
    "CAI, then DPO": Method(cai_then_dpo, 2, ("cai", "preference_pairs", "dpo")),
}
CONTROLS: dict[str, Method] = {"CAI, by a coin": Method(cai_by_a_coin, 3, STAGE_2)}
ALL = METHODS | CONTROLS
