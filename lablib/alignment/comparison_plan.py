"""What the methods of lab 15 are given: a budget, labels, recipes, and prompts to be judged on. One plan for all of them.

Rates and strengths are those of labs 12 to 14 for the same model, but for DPO's rate. There the rates of the reward model and of
Constitutional AI's first stage were searched for, and β and τ were varied. Four rates were tried for DPO on one seed, and the smallest did
best; it is taken here, where an earlier plan had lab 13's 5e-4, at which runs now and then left the tuned model far behind. PPO's rate and
that of longer tuning had no such search, and nobody searched at these budgets. Constitutional AI is shorter than in lab 14: one round of
critique, no documents besides, and one principle for each pair that the model labels, not two.

    small = Plan(budget=1e12, labels=200, judged=20)

Left out: a plan for each method. Where a method does better with other settings than these, the table is about the settings.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from lablib.adaptation import sft
from lablib.alignment import dpo, reward_training
from lablib.alignment.ppo import PPO
from lablib.alignment.rlhf_study import PLAIN
from lablib.pretraining.recipe import Recipe

DIRECT = replace(dpo.RECIPE, lr=2e-4)
POLICY = replace(PLAIN, steps=10_000)  # the budget ends it long before
REWARD = replace(reward_training.RECIPE, lr=1.5e-3)
MORE = replace(sft.RECIPE, lr=1e-3)  # a third of what it was tuned with, since it begins near where it ended
REVISED = replace(sft.RECIPE, lr=5e-4)


@dataclass(frozen=True)
class Plan:
    """What all methods are given, and what each makes of it.

    Attributes:
        budget: FLOPs of each method, see `compute_ledger`. served: prompts whose first answers are part of it.
        labels: pairs that the methods with a reward model learn from; also of "DPO, same labels". epochs: of reward models over them.
        strength: β of DPO, τ of IPO. direct: recipe of both, whose number of steps is that of one pass.
        policy: PPO, which takes as many steps as the budget pays. prompts: of each step.
        reward: recipe of reward models. more: recipe of tuning that goes on. revised: recipe of CAI's first stage, two passes.
        red_team, harmless: prompts of CAI's first stage. rounds: of critique. ai_pairs: labelled by the model, ties left out.
        judged: prompts of each kind of request that a policy is judged on. diverse, answers: prompts for diversity, and answers to each.
    """

    budget: float = 12e12
    served: int = 1000
    labels: int = 1200
    epochs: int = 2
    strength: float = 0.1
    direct: Recipe = DIRECT
    policy: PPO = POLICY
    prompts: int = 64
    reward: Recipe = REWARD
    more: Recipe = MORE
    revised: Recipe = REVISED
    red_team: int = 240
    harmless: int = 240
    rounds: int = 1
    ai_pairs: int = 700
    judged: int = 120
    diverse: int = 20
    answers: int = 4

    def __post_init__(self) -> None:
        for name in (
            "budget",
            "served",
            "labels",
            "epochs",
            "prompts",
            "red_team",
            "harmless",
            "ai_pairs",
            "judged",
            "diverse",
        ):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a number >= 1")
        if self.answers < 2:
            raise ValueError(f"answers = {self.answers}: expected at least 2 to a prompt, to see whether they differ")

    def settings(self) -> dict[str, Any]:
        """As a record has them."""
        return asdict(self)


# for a laptop, one seed of some methods in minutes
SMALL = Plan(
    budget=1.2e12, served=200, labels=160, prompts=32, red_team=40, harmless=40, ai_pairs=80, judged=16, diverse=6
)
