"""What the methods of lab 15 are made of, each phase with its entry in the account book: pairs, reward model, DPO, PPO, CAI's first stage.

Nothing here trains anything anew: the loops are those of labs 09 and 12 to 14 (`sft.tuned`, `reward_training.trained`, `dpo.train`,
`ppo.ppo`, `cai.supervised_stage`). What is new is the counting: each phase returns what it made and a `Ledger` of what that cost.

A `Shop` belongs to one seed. What several methods use, such as the pairs, it makes once and enters in the books of each of them, as if
each had made its own. So seconds are those of a method alone, and a comparison takes less time than they add up to.

Axes: as in `dpo` and `ppo`. Left out: settings of the phases beyond `Plan`.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, TypeVar

import torch

from lablib.adaptation import sft as tuning
from lablib.adaptation.adherence import as_ids, prompts
from lablib.adaptation.chat import PAD, Conversation, render
from lablib.adaptation.loss_mask import encode
from lablib.adaptation.sft_data import CARRIED
from lablib.alignment import dpo
from lablib.alignment.cai import Supervised, supervised_stage
from lablib.alignment.comparison_plan import Plan
from lablib.alignment.compute_ledger import Cost, Ledger, pass_flops
from lablib.alignment.constitution import load as load_constitution
from lablib.alignment.dpo_study import parts
from lablib.alignment.misalignment import of_kind
from lablib.alignment.ppo import ppo
from lablib.alignment.preference_pairs import Preference, collect
from lablib.alignment.reference import preference_table
from lablib.alignment.reward_model import RewardModel
from lablib.alignment.reward_training import trained
from lablib.alignment.rl_record import RLStep
from lablib.alignment.rlhf_runs import learned
from lablib.alignment.rollouts import Prompts
from lablib.alignment.self_critique import Talk, Writer, writer
from lablib.alignment.value_model import ValueModel, copied
from lablib.architecture.decoder import Decoder
from lablib.checkpoints import Carried
from lablib.corpus.world.instructions import Instruction
from lablib.pretraining.batching import Batch
from lablib.pretraining.sampling import Sampling

T = TypeVar("T")
RED_TEAM = ("harmful", "private", "unknowable")  # kinds of prompts that tempt a model to do wrong
PILOT = 64  # pairs, or steps, from which the cost of more is foreseen


def rows_of(pairs: Sequence[Preference]) -> list[int]:
    """Tokens of each prompt with each of its two responses."""
    return [len(p.prompt_ids) + len(ids) for p in pairs for ids in (p.chosen_ids, p.rejected_ids)]


class Shop:
    """Where the methods of one seed are made.

    Args:
        sft: the tuned model, which stays as it is and serves as the reference. plan: see `Plan`. seed: of everything.
    """

    def __init__(self, sft: Carried, plan: Plan, seed: int) -> None:
        self.sft, self.plan, self.seed = sft, plan, seed
        self.model, self.tokenizer, self.config = sft.model.requires_grad_(False), sft.tokenizer, sft.model.config
        self._made: dict[str, Any] = {}

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What was made under that name, or else is made now."""
        if what not in self._made:
            self._made[what] = make()
        found: T = self._made[what]
        return found

    def chance(self, what: str) -> torch.Generator:
        """A generator of its own for each purpose, so that no method's chance hangs on another's."""
        return torch.Generator().manual_seed(int(Random(f"compared {what} {self.seed}").random() * 2**53))

    # ------------------------------------------------------------ pairs that people label

    def pairs(self, n: int, model: Decoder | None = None, who: str = "sft") -> tuple[list[Preference], Ledger]:
        """n pairs of a model's responses with people's labels; fewer are the beginning of more."""
        kept = self._made.get(f"pairs {who}")
        if kept is None or len(kept.pairs) < n:
            generator = Random(f"compared pairs {who} {self.seed}")
            kept = collect(self.model if model is None else model, self.tokenizer, n, generator)
            self._made[f"pairs {who}"] = kept
        share, pairs = n / len(kept.pairs), kept.pairs[:n]
        # a pair that said the same twice cost about as much as one that was kept
        flops = round(pass_flops(self.config, rows_of(pairs)) * kept.drawn / len(kept.pairs))
        return pairs, Ledger((Cost("pairs are written", flops, kept.seconds * share, ("policy",), human=n),))

    def served(self) -> Ledger:
        """What the plan's answers cost that do not belong to the training: one each, by a model like the tuned one."""
        pilot, _ = self.pairs(PILOT)
        flops = round(pass_flops(self.config, rows_of(pilot)) / (2 * len(pilot)) * self.plan.served)
        return Ledger((Cost("answers", flops, 0.0, ("policy",)),))

    # ------------------------------------------------------------ a reward model

    def reward(self, pairs: Sequence[Preference], what: str) -> tuple[RewardModel, Ledger]:
        """A reward model from pairs; what: which, for its chance."""

        def make() -> tuple[RewardModel, float]:
            recipe = replace(self.plan.reward, seed=self.seed)
            steps = max(1, self.plan.epochs * len(pairs) // recipe.batch)
            begin = time.perf_counter()
            model = trained(
                self.model, pairs, self.tokenizer, replace(recipe, steps=steps), self.chance(f"reward {what}")
            )
            return model, time.perf_counter() - begin

        model, seconds = self.once(f"reward {what}", make)
        flops = pass_flops(self.config, rows_of(pairs), learned=True, head=False) * self.plan.epochs
        return model, Ledger((Cost("the reward model learns", flops, seconds, ("reward",)),))

    # ------------------------------------------------------------ learning from pairs, directly

    def direct(self, start: Decoder, pairs: Sequence[Preference], loss: dpo.PairLoss) -> tuple[Decoder, Ledger]:
        """One pass over pairs by DPO or IPO; `start` is the reference, and stays as it is."""
        recipe, rows = replace(self.plan.direct, seed=self.seed), rows_of(pairs)
        begin = time.perf_counter()
        table = preference_table(start, *parts(pairs), self.tokenizer.special[PAD], dtype=recipe.dtype)
        looked = time.perf_counter() - begin
        policy = copied(start)
        recipe = replace(recipe, steps=max(1, len(table) // recipe.batch))
        seconds = sum(step.seconds for step in dpo.train(policy, table, recipe, loss))
        costs = (
            Cost("the reference looks once", pass_flops(self.config, rows), looked, ("reference",)),
            Cost("the policy learns from pairs", pass_flops(self.config, rows, learned=True), seconds, ("policy",)),
        )
        assert isinstance(policy, Decoder)
        return policy.requires_grad_(False).eval(), Ledger(costs)

    # ------------------------------------------------------------ learning from rewards

    def reinforce(
        self, start: Decoder, reward: RewardModel, left: float, what: str
    ) -> tuple[Decoder, Ledger, list[RLStep]]:
        """PPO until so many FLOPs are used up; `start` is the reference. The step that passes the limit is the last one."""
        policy, critic, done = copied(start), ValueModel(copied(start)), list[RLStep]()
        spent, seconds = 0, 0.0
        score = partial(learned, models=[reward])
        asked = Prompts(self.plan.prompts, self.seed)
        given = (policy, start, critic, self.tokenizer, asked, score, self.plan.policy, self.chance(f"ppo {what}"))
        for step in ppo(*given):
            done.append(step)
            spent, seconds = spent + self.step_flops(step), seconds + step.seconds
            if spent >= left:
                break
        cost = Cost("PPO", spent, seconds, ("policy", "critic", "reference", "reward"))
        assert isinstance(policy, Decoder)
        return policy.requires_grad_(False).eval(), Ledger((cost,)), done

    def step_flops(self, step: RLStep) -> int:
        """A step of PPO: the policy writes and reads; reference, critic and reward read; policy and critic learn in each epoch."""
        rows = [len(as_ids(one.instruction.prompt, self.tokenizer)) + len(one.ids) for one in step.responses]
        whole, trunk = pass_flops(self.config, rows), pass_flops(self.config, rows, head=False)
        # epochs, fewer after an early stop; the last minibatch of each may be a smaller one
        share = step.updates / math.ceil(len(rows) / self.plan.policy.minibatch)
        return 3 * whole + 2 * trunk + round(share * 3 * (whole + trunk))

    # ------------------------------------------------------------ tuning, and CAI's first stage

    def more_tuning(self, left: float) -> tuple[Decoder, Ledger]:
        """Tuning that goes on, on conversations like those before, for so many FLOPs."""
        recipe = replace(self.plan.more, seed=self.seed)
        drawn = tuning.Drawn(self.tokenizer, recipe.batch, recipe.context, CARRIED, seed=self.seed + 1)
        pilot = sum(self.batch_flops(drawn(step)) for step in range(4)) / 4
        recipe = replace(recipe, steps=max(1, int(left / pilot)))
        begin = time.perf_counter()
        model = tuning.tuned(copied(self.model), drawn, recipe, self.tokenizer)
        cost = Cost("tuning goes on", round(pilot * recipe.steps), time.perf_counter() - begin, ("policy",))
        assert isinstance(model, Decoder)
        return model.requires_grad_(False), Ledger((cost,))

    def batch_flops(self, batch: Batch) -> int:
        """Learning from packed conversations, each of which sees itself only."""
        begins, pad = self.tokenizer.special["<|bos|>"], self.tokenizer.special[PAD]
        lengths: list[int] = []
        for row in batch.inputs.tolist():
            starts = [at for at, token in enumerate(row) if token == begins]
            end = max(at for at, token in enumerate(row) if token != pad) + 1
            lengths += [b - a for a, b in zip(starts, [*starts[1:], end], strict=True)]
        return pass_flops(self.config, lengths, learned=True)

    def revised(self) -> tuple[Supervised[Decoder], Ledger]:
        """The model's own answers, criticised, revised and learned (`cai.supervised_stage`)."""
        return self.once("revised", self._revise)

    def _revise(self) -> tuple[Supervised[Decoder], Ledger]:
        plan, read = self.plan, list[int]()
        write = counted(writer(self.model, self.tokenizer, Sampling(), self.chance("revise")), self, read)
        red = [kind for name in RED_TEAM for kind in of_kind(name)]
        fine = [*of_kind("helpful"), *of_kind("look-alike")]
        asked = [
            prompts(n, f"compared {self.seed}", "train", only)
            for n, only in ((plan.red_team, red), (plan.harmless, fine))
        ]
        tuned_seconds = [0.0, 0.0]

        def tune(examples: list[Conversation]) -> Decoder:
            recipe, begin = replace(plan.revised, seed=self.seed), time.perf_counter()
            encoded = tuning.prepared(examples, self.tokenizer, recipe.context)
            batches = tuning.FromSet(encoded, recipe.batch, recipe.context, self.tokenizer.special[PAD], self.seed)
            recipe = replace(recipe, steps=batches.steps(2))
            model = tuning.tuned(copied(self.model), batches, recipe, self.tokenizer)
            tuned_seconds[:] = [time.perf_counter() - begin, recipe.steps * recipe.batch / len(encoded)]
            assert isinstance(model, Decoder)
            return model.requires_grad_(False)

        begin = time.perf_counter()
        wicked, harmless = ([one.prompt for one in some] for some in asked)
        chance = Random(f"cai {self.seed}")
        ours, n = load_constitution(), plan.rounds
        found = supervised_stage(write, tune, wicked, harmless, ours, chance, n, always=True, harmless_rounds=n)
        written = time.perf_counter() - begin - tuned_seconds[0]
        lengths = [len(encode(one, self.tokenizer)) for one in found.examples]
        flops = round(pass_flops(self.config, lengths, learned=True) * tuned_seconds[1])
        costs = (
            Cost("answers, critiques, revisions", pass_flops(self.config, read), written, ("policy",)),
            Cost("the policy learns its revisions", flops, tuned_seconds[0], ("policy",)),
        )
        return found, Ledger(costs)

    def plain_prompts(self, n: int, what: str) -> list[Instruction]:
        """Prompts of all kinds, as the world asks them."""
        return prompts(n, f"compared {what} {self.seed}", "train")


def counted(write: Writer, shop: Shop, lengths: list[int]) -> Writer:
    """The same writer; the tokens of each talk with what was written are put down in `lengths`."""

    def counting(talks: Sequence[Talk]) -> list[str]:
        texts = write(talks)
        for talk, text in zip(talks, texts, strict=True):
            lengths.append(len(render(talk, shop.tokenizer, reply=True)) + len(shop.tokenizer.encode(text)) + 1)
        return texts

    return counting
