"""The runs behind lab 12's figures that take longer than a lab: reward models, PPO at many β, best-of-n, mitigations, GRPO.

    python -m lablib.alignment.rlhf_study rates reward beta best mitigations grpo --folder data/experiments

All begin with the carried tuned model; what a run is, and how it is judged, stands in `rlhf_runs`. Some runs stand in two studies and are
made once: the rates' best recipe, and the runs of `beta` that `mitigations` and `grpo` lay beside their own. So keep the order above. With
`--part K/3` each part has a seed of its own, and with it that seed's pairs and reward model (but for `rates`, which has one seed).

Left out: settings other than β (rates and epochs of PPO stay as they are).
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from lablib.alignment.grpo_training import GRPO
from lablib.alignment.ppo import PPO
from lablib.alignment.ppo_step import Objective
from lablib.alignment.rlhf_runs import JUDGED, PAIRS, REWARD, Choose, Improve, Learn, Run, perform, tuned
from lablib.checkpoints import Carried
from lablib.pretraining import study
from lablib.pretraining.study import SEEDS, Study

LOW = 0.02  # β at which the policy may go nearly where it wants
PLAIN = PPO(steps=80, lr=2e-4, objective=Objective(beta=0.2))  # as the lab's live run, but longer
BETAS = (0.8, 0.4, 0.2, 0.1, LOW)


def with_beta(beta: float, **changes: Any) -> PPO:
    """`PLAIN` with another β, and other changes of its objective."""
    return replace(PLAIN, objective=replace(PLAIN.objective, beta=beta, **changes))


def rates(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Which recipe for the reward model? One seed: rates at two epochs, then epochs at the rate in the middle, and more pairs."""
    for lr, epochs, pairs in (
        (5e-4, 2, PAIRS), (1.5e-3, 2, PAIRS), (4e-3, 2, PAIRS), (1.5e-3, 1, PAIRS), (1.5e-3, 1, 2 * PAIRS),
    ):  # fmt: skip
        recipe = replace(REWARD, lr=lr, steps=epochs * pairs // REWARD.batch)
        yield Learn(f"lr={lr:g} epochs={epochs} pairs={pairs:,}", seeds[0], pairs, recipe)


def reward(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """How many pairs does it take?"""
    for pairs in (500, 1500, PAIRS):
        recipe = replace(REWARD, steps=max(1, 2 * pairs // REWARD.batch))
        for seed in seeds:
            yield Learn(f"{pairs:,} pairs", seed, pairs, recipe)


def beta(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """What does β buy, and where does the learned reward stop being worth anything?"""
    for value in BETAS:
        for seed in seeds:
            yield Improve(f"beta={value:g}", seed, with_beta(value))


def best(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """The baseline that learns nothing."""
    for seed in seeds:
        yield Choose("best of n", seed)


def mitigations(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Three ways against over-optimisation, and what they are against."""
    for label, settings, kind in (
        ("nothing", with_beta(LOW), "learned"),
        ("a larger KL penalty", PLAIN, "learned"),
        ("an ensemble", with_beta(LOW), "ensemble"),
        ("a length penalty", with_beta(LOW, length=0.05, free=20), "learned"),
    ):
        for seed in seeds:
            yield Improve(label, seed, settings, kind)


def grpo(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """GRPO beside PPO, as it was published and corrected, with a learned reward and with one that can be verified."""
    published = GRPO(steps=PLAIN.steps, per_prompt=8, lr=PLAIN.lr)
    corrected = replace(published, baseline="group", per="constant")
    rivals: tuple[tuple[str, PPO | GRPO, int], ...] = (
        ("PPO", PLAIN, 32), ("GRPO", published, 4), ("GRPO corrected", corrected, 4),
    )  # fmt: skip
    for kind in ("learned", "verified"):
        for name, settings, prompts in rivals:
            for seed in seeds:
                yield Improve(f"{name}, {kind}", seed, settings, kind, prompts)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {
    "rates": rates,
    "reward": reward,
    "beta": beta,
    "best": best,
    "mitigations": mitigations,
    "grpo": grpo,
}


def settings_of(run: Run, sft: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it."""
    about: dict[str, Any] = {"kind": type(run).__name__.lower(), "judged_on": JUDGED, "sft": sft.record.get("command")}
    if not isinstance(run, Learn):
        about["reward_model"] = {"pairs": PAIRS, **asdict(REWARD)}
    return json.loads(json.dumps({**asdict(run), **about}))


def said(row: Mapping[str, Any]) -> str:
    """A run in a few words."""
    if "accuracy" in row:
        return f"accuracy {row['accuracy'][0]:.3f} of {row['ceiling']:.3f}"
    if "points" in row:
        return f"gold {row['points'][0]['gold']:.3f} -> {row['points'][-1]['gold']:.3f}"
    before, after = row["before"], row["after"]
    return f"proxy {after['proxy']:.2f}, gold {before['gold'][0]:.3f} -> {after['gold'][0]:.3f}, KL {after['kl']:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see `study`."""
    module = "lablib.alignment.rlhf_study"
    return study.main(Study("rlhf", module, "Studies of RLHF.", STUDIES, tuned, perform, settings_of, said), arguments)


if __name__ == "__main__":
    sys.exit(main())
