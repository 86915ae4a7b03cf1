"""What PPO, GRPO and DPO take: every part of a run timed by itself, for a machine that has nothing else to do.

    python -m lablib.alignment.seconds_study seconds --folder data/experiments

The parts of a run are those of the studies of labs 12 and 13 (`rlhf_study.grpo`, `dpo_study.against`): pairs are written and labelled; a
reward model learns from them, for PPO and GRPO, or the reference's log-probabilities of them are put into a table, for DPO; then the policy
takes its steps. Pairs, reward model and table are made whole; of the steps some are timed, behind a few that do not count, and a run has
`steps` of them. A seed's parts follow each other, and then the next seed's, so that a slow minute does not fall on one part alone.

Left out: what a judge takes at the end, the same for all.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import torch

from lablib.alignment import dpo, dpo_study, rlhf_study
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.ppo import PPO, ppo
from lablib.alignment.rlhf_runs import PAIRS, REWARD, collected, reward_model, score_of, tuned
from lablib.alignment.rollouts import Prompts, gold_scores
from lablib.alignment.value_model import ValueModel, copied
from lablib.checkpoints import Carried
from lablib.pretraining import study
from lablib.pretraining.study import SEEDS, Study

PARTS = ("pairs", "reward model", "table", "PPO", "GRPO", "DPO")
WARM, TIMED = 3, 10  # steps of a policy that is timed: the first ones do not count


@dataclass(frozen=True)
class Run:
    """One part of a run. label: of the row; part: one of `PARTS`, which tells the rows apart."""

    label: str
    seed: int
    part: str


def seconds(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Every part, in turn."""
    for seed in seeds:
        for part in PARTS:
            yield Run(part, seed, part)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {"seconds": seconds}


def rival(name: str) -> tuple[PPO | GRPO, int]:
    """Settings and prompts a step of "PPO" or "GRPO", as `rlhf_study.grpo` has them with a learned reward."""
    run = next(run for run in rlhf_study.grpo((0,)) if run.label == f"{name}, learned")
    if not isinstance(run, rlhf_study.Improve):
        raise TypeError(f"{run.label}: expected a policy that learns")
    return run.settings, run.prompts


def perform(run: Run, sft: Carried) -> dict[str, Any]:
    """Make one part: the seconds of it, or those of its steps and how many a run has."""
    part = {"pairs": _pairs, "reward model": _reward_model, "table": _table}.get(run.part)
    return _steps(run, sft) if part is None else part(run.seed)


def _pairs(seed: int) -> dict[str, Any]:
    begin = time.perf_counter()
    found = collected(seed, PAIRS)
    return {"of": len(found), "seconds": round(time.perf_counter() - begin, 2)}


def _reward_model(seed: int) -> dict[str, Any]:
    collected(seed, PAIRS)  # before the clock starts
    begin = time.perf_counter()
    reward_model(seed, member=0)  # as `score_of` calls it, so that it is kept for the policies
    return {"of": PAIRS, "seconds": round(time.perf_counter() - begin, 2)}


def _table(seed: int) -> dict[str, Any]:
    table, _, took = _tables(seed)
    return {"of": len(table), "seconds": round(took, 2)}


def _tables(seed: int) -> Any:
    return dpo_study.table_of(seed, PAIRS, None, False, dpo_study.LIKE_DPO.dtype)


def _steps(run: Run, sft: Carried) -> dict[str, Any]:
    """Some steps of a policy: the median of their seconds, and what it is the median of."""
    policy, chance, few = copied(sft.model), torch.Generator().manual_seed(run.seed), WARM + TIMED
    if run.part == "DPO":
        table, recipe = _tables(run.seed)[0], replace(dpo_study.LIKE_DPO, seed=run.seed)
        of, answers = max(1, len(table) // recipe.batch), 2 * recipe.batch
        took = [step.seconds for step in dpo.train(policy, table, replace(recipe, steps=min(few, of)), dpo.dpo())]
    else:
        (settings, asked), score = rival(run.part), score_of("learned", run.seed)
        of, prompts, short = settings.steps, Prompts(asked, run.seed), replace(settings, steps=few)
        if isinstance(short, PPO):
            critic, answers = ValueModel(copied(sft.model)), asked
            steps = ppo(policy, sft.model, critic, sft.tokenizer, prompts, score, short, chance, gold_scores)
        else:
            answers = asked * short.per_prompt
            steps = train_grpo(policy, sft.model, sft.tokenizer, prompts, score, short, chance, gold_scores)
        took = [step.seconds for step in steps]
    took = took[WARM:]
    return {
        "steps": of,
        "answers": answers,
        "step_seconds": round(median(took), 5),
        "took": [round(one, 5) for one in took],
    }


def settings_of(run: Run, sft: Carried) -> dict[str, Any]:
    """What decides what is timed, as the file has it."""
    about: dict[str, Any] = {"settings": None, "prompts": None}
    if run.part in ("PPO", "GRPO"):
        settings, about["prompts"] = rival(run.part)
        about["settings"] = asdict(settings)
    elif run.part in ("DPO", "reward model"):
        about["settings"] = asdict(dpo_study.LIKE_DPO if run.part == "DPO" else REWARD)
    about |= {"pairs": PAIRS, "threads": torch.get_num_threads(), "sft": sft.record.get("command")}
    return json.loads(json.dumps({**asdict(run), **about}))


def said(row: Mapping[str, Any]) -> str:
    """A part in a few words."""
    if "step_seconds" in row:
        return f"{row['steps']} steps of {row['step_seconds']:.2f} s"
    return f"{row['seconds']:.1f} s for {row['of']:,}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see `study`."""
    module, about = "lablib.alignment.seconds_study", "What PPO, GRPO and DPO take."
    return study.main(Study("rlhf", module, about, STUDIES, tuned, perform, settings_of, said), arguments)


if __name__ == "__main__":
    sys.exit(main())
