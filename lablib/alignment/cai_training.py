"""Both stages of Constitutional AI, one behind the other, for `lab train cai`.

Stage 1: the tuned model answers red-team prompts and harmless ones, holds its own answers against the constitution, writes them anew, and
a copy learns what is left. Stage 2: that copy answers, two answers to a prompt; the *tuned* model, which has learned to talk about answers,
labels the pairs by the constitution; a reward model learns from the labels, and GRPO from the reward (`--stage2 method=dpo`: DPO on the
pairs, without a reward model).

Nothing is new here: the runs are those of lab 14's studies (`cai_runs.self_taught`, `cai_feedback_runs.taught`), with the same settings, so
what a study says of "both stages" holds for this model.

What the record has besides what `policy_record` says of every policy: the constitution that was in force, what each stage learned from, and
lab 14's measures (harm, help, over-refusal, admitted ignorance of drawn answers) of the tuned model, of the copy after stage 1, and of
what was written.

Paper: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback" (figure 1). What is ours, says `cai`.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from lablib.alignment.cai_feedback_runs import Learn, labelled_by_model, pairs_of, taught
from lablib.alignment.cai_runs import DRAWN, JUDGED, TUNE, Tune, judged_policy, own_writer, self_taught
from lablib.alignment.constitution import load as load_constitution
from lablib.alignment.dpo import DPOStep
from lablib.alignment.policy_record import write_policy
from lablib.alignment.rl_record import RLStep
from lablib.alignment.train_run import curve, score_if_any, told
from lablib.architecture.decoder import CausalModel, Decoder
from lablib.architecture.llama_format import load_llama
from lablib.checkpoints import Carried
from lablib.pretraining.command import with_settings

OPTIONS = {
    "stage1": "of stage 1, such as red=500 rounds=2 (`cai_runs.Tune`); --recipe is that of its tuning",
    "stage2": "of stage 2, such as method=dpo pairs=1000 (`cai_feedback_runs.Learn`)",
    "reward": "recipe of the reward model on AI labels",
    "grpo": "of GRPO, such as steps=20 beta=0.2",
    "dpo": "recipe of DPO, where that is the method",
}
APART = {"label", "seed", "start", "labels", "recipe", "reward", "grpo", "dpo"}  # said elsewhere, or fixed


def settings_of(given: argparse.Namespace) -> tuple[Tune, Learn]:
    """The settings of both stages.

    Raises:
        ValueError: a setting that is not there, or that has an option of its own; says which there are.
    """
    first, second = Tune("stage 1", given.seed), Learn("both stages", given.seed, start="stage 1", method="grpo")
    first = _with(replace(first, recipe=with_settings(TUNE, given.recipe)), given.stage1, "stage1")
    parts = {name: with_settings(getattr(second, name), getattr(given, name)) for name in ("reward", "grpo", "dpo")}
    return first, _with(replace(second, **parts), given.stage2, "stage2")


def _with(run: Any, words: Sequence[str], option: str) -> Any:
    known = [one.name for one in fields(run) if one.name not in APART and not isinstance(getattr(run, one.name), tuple)]
    for word in words:
        name = word.partition("=")[0]
        if name not in known:
            raise ValueError(f"--{option} {word}: expected NAME=VALUE with one of {', '.join(known)}")
    return with_settings(run, words)


def make_cai(given: argparse.Namespace, sft: Carried, folder: Path) -> dict[str, Any]:
    """Stage 1, stage 2; write the policy, and measure what was written."""
    first, second = settings_of(given)
    sft.model.requires_grad_(False)
    begin = time.perf_counter()
    chance = torch.Generator().manual_seed(first.seed)
    write = own_writer(sft.model, sft.tokenizer, chance, None if first.likeliest else DRAWN)
    start, about = self_taught(first, sft, write)
    about["seconds"] = round(time.perf_counter() - begin, 1)
    print(f"stage 1: {about['learned_from']:,} conversations, {about['seconds']:.0f} s", flush=True)
    begin = time.perf_counter()
    pairs = pairs_of(second.seed, second.pairs, start, sft.tokenizer)
    labelled = labelled_by_model(pairs, sft, second.seed, second.principles, second.judge)
    seconds = round(time.perf_counter() - begin, 1)
    print(f"stage 2: {len(labelled):,} pairs labelled, {seconds:.0f} s", flush=True)
    seen: list[RLStep | DPOStep] = []

    def watch(step: RLStep | DPOStep) -> None:
        seen.append(step)
        told(step)

    policy, found = taught(second, sft, start, labelled, watch)
    assert isinstance(policy, Decoder)
    figures = write_policy(policy, sft, folder, score_if_any(), given.seed)
    models: dict[str, CausalModel] = {"tuned": sft.model, "stage 1": start}
    models["cai"] = load_llama(folder, torch.float32).eval()  # as it lies in the file
    return {
        "constitution": {one.id: [one.rule, one.critique, one.revision] for one in load_constitution().on},
        "stage_1": {**_said(first), **about},
        "stage_2": {**_said(second), "labelled": len(labelled), "label_seconds": seconds, **found},
        "seconds": round(about["seconds"] + seconds + found["seconds"], 1),
        **figures,
        "measured_on": JUDGED,
        "measured": {name: judged_policy(model, sft, given.seed) for name, model in models.items()},
        "curve": curve(seen),
    }


def _said(run: Tune | Learn) -> dict[str, Any]:
    """A stage's settings; those of a method that it does not have are left out."""
    left_out = {"label", "seed"} | (
        {"reward", "grpo"} if isinstance(run, Learn) and run.method == "dpo" else {"dpo", "beta"}
    )
    return {name: value for name, value in asdict(run).items() if name not in left_out}
