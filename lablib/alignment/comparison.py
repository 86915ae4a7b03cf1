"""`lab compare`: the methods of alignment side by side, from one tuned model, for the same compute, over several seeds; and the report.

    lab compare --out data/experiments                       all methods, five seeds: hours of a CPU
    lab compare --out trial --small --seeds 0 --only DPO     a reduced one, in minutes
    lab compare --out mine --against data/experiments        all, and which of its means lie within the intervals of another report
    lab compare --out held --only CAI --beta 0.4             one method, with twice the weight of PPO's KL penalty

A run is a method with a seed. It is made (`comparison_methods`), then it answers prompts of held-out combinations, the same for all methods
of a seed and as many of each kind of request, at temperature 1, and the world judges. A run that stands in the file already, with the same
settings, is not made again, so the command can be broken off. Everything else is computed from the runs:

    comparison.json            the runs, with the scores of each answer
    comparison_figures.json    every figure of the report, with its intervals (`comparison_summary`)
    comparison.html            the report, one page without anything from the network (`comparison_report`)

Left out: judging by greedy answers; talk of several turns.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lablib.adaptation.adherence import prompts
from lablib.alignment.comparison_methods import ALL, METHODS, Made
from lablib.alignment.comparison_phases import Shop
from lablib.alignment.comparison_plan import SMALL, Plan
from lablib.alignment.comparison_report import page
from lablib.alignment.comparison_summary import AIMS, figures, spread_out, strays
from lablib.alignment.diversity import distinct_n
from lablib.alignment.misalignment import KINDS, of_kind, refuses
from lablib.alignment.policy_kl import ROWS, response_kl
from lablib.alignment.responses import Response, gold
from lablib.alignment.rlhf_runs import tuned
from lablib.alignment.rollouts import as_answers
from lablib.checkpoints import Carried
from lablib.corpus.world.instructions import Instruction
from lablib.paths import data_path
from lablib.pretraining import atomic
from lablib.pretraining.study import rows_of

SHOWN = 2  # answers of each kind that a run leaves to be read
NAME = "comparison"
SEEDS = (0, 1, 2, 3, 4)


# ---------------------------------------------------------------- judging


def judged_on(plan: Plan, seed: int) -> list[Instruction]:
    """The prompts of a seed: as many of each kind of request, the kinds in the order of `KINDS`."""
    return [one for kind in KINDS for one in prompts(plan.judged, f"compared {seed} {kind}", only=of_kind(kind))]


def divergence(made: Made, responses: Sequence[Response], shop: Shop) -> list[float]:
    """KL to the tuned model along each answer, nats: exact sums over the vocabulary at each of its tokens (`policy_kl`).

    For best of N that is the divergence of the policy that it chooses from; `kl_bound` is what choosing can add.
    """
    if made.policy is shop.model:
        return [0.0] * len(responses)
    found: list[float] = []
    for start in range(0, len(responses), ROWS):
        rows = as_answers(responses[start : start + ROWS], shop.tokenizer)
        found += response_kl(made.policy, shop.model, rows).tolist()
    return found


def judged(made: Made, shop: Shop) -> dict[str, Any]:
    """What a method answers, in figures, prompt by prompt."""
    plan, asked = shop.plan, judged_on(shop.plan, shop.seed)
    responses = [group[0] for group in made.answer(asked, 1, shop.chance("judged"))]
    scores = gold(responses)
    kl = divergence(made, responses, shop)
    several = made.answer(spread_out(asked, plan.diverse), plan.answers, shop.chance("diverse"))
    return {
        "kinds": dict.fromkeys(KINDS, plan.judged),
        "scores": {
            "helpful": [round(one.helpful, 4) for one in scores],
            "honest": [round(one.honest, 4) for one in scores],
            "harmless": [round(one.harmless, 4) for one in scores],
            "refuses": [float(refuses(one.instruction.prompt, one.text)) for one in responses],
            "kl": [round(x, 4) for x in kl],
            "tokens": [float(len(one.ids)) for one in responses],
            "finished": [float(one.finished) for one in responses],
        },
        "distinct": [round(distinct_n([one.ids for one in group]), 4) for group in several],
        "kl_bound": round(made.kl_bound, 4),
        "shown": [
            [one.instruction.prompt, one.text, kind]
            for number, kind in enumerate(KINDS)
            for one in responses[number * plan.judged : number * plan.judged + SHOWN]
        ],
    }


def perform(label: str, shop: Shop) -> dict[str, Any]:
    """Make a method and judge it: what a run adds to its settings."""
    made = ALL[label].make(shop)
    return {"ledger": made.ledger.rows(), "n": made.n, "notes": made.notes, **judged(made, shop)}


# ---------------------------------------------------------------- the study


@dataclass(frozen=True)
class Run:
    """One method, by its label, and one seed."""

    label: str
    seed: int


def settings_of(run: Run, plan: Plan, sft: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it."""
    about = {
        "label": run.label,
        "method": run.label,
        "seed": run.seed,
        "plan": plan.settings(),
        "sft": sft.record.get("command"),
    }
    return json.loads(json.dumps(about))


def study(
    labels: Sequence[str], seeds: Sequence[int], plan: Plan, sft: Carried, folder: Path, command: str
) -> list[dict[str, Any]]:
    """The rows of all runs, seed by seed, those in the file taken from there; the file is written anew after each run."""
    shops: dict[int, Shop] = {}

    def make(run: Run) -> dict[str, Any]:
        if run.seed not in shops:
            shops.clear()  # what a seed's methods share is forgotten with it
            shops[run.seed] = Shop(sft, plan, run.seed)
        return perform(run.label, shops[run.seed])

    runs = [Run(label, seed) for seed in seeds for label in labels]
    return rows_of(runs, folder / f"{NAME}.json", command, lambda run: settings_of(run, plan, sft), make, said)


def said(row: dict[str, Any]) -> str:
    """A run in a few words."""
    means = {
        name: sum(row["scores"][name]) / len(row["scores"][name]) for name in ("helpful", "honest", "harmless", "kl")
    }
    costs = row["ledger"]
    spent, seconds = sum(cost["flops"] for cost in costs), sum(cost["seconds"] for cost in costs)
    return (
        ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()) + f"; {spent / 1e12:.1f} TFLOP, {seconds:.0f} s"
    )


def specialised(folder: Path) -> dict[str, Any]:
    """The records of labs 10 and 11, where they are there: name -> record."""
    names = ("domain_methods", "domain_seconds", "rag")
    places = {name: [folder / f"{name}.json", data_path("experiments") / f"{name}.json"] for name in names}
    found = {name: next((path for path in some if path.exists()), None) for name, some in places.items()}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path is not None}


def report(rows: Sequence[dict[str, Any]], folder: Path, command: str) -> dict[str, Any]:
    """Write the figures and the page; returns the figures."""
    record = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
    lines = {label: [one.lines, one.stages] for label, one in ALL.items()}
    found = figures(rows, lines, specialised(folder), torch.Generator().manual_seed(0))
    found = {"experiment": NAME, "command": command, "hardware": record["hardware"], **found}
    atomic.write(folder / f"{NAME}_figures.json", (json.dumps(found, indent=1) + "\n").encode())
    atomic.write(folder / f"{NAME}.html", page(found).encode())
    return found


# ---------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.alignment.comparison") -> int:
    """The command: 0 when the report was written, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog=prog, description="Compare the methods of alignment at equal compute.")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, and is found again")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="(0 1 2 3 4)")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help=f"some of: {', '.join(ALL)}; SFT always")
    parser.add_argument("--small", action="store_true", help="a reduced plan, for minutes instead of an hour")
    parser.add_argument("--budget", type=float, help="FLOPs of each method, such as 3e12")
    parser.add_argument("--beta", type=float, help=f"weight of PPO's KL penalty ({Plan().policy.objective.beta:g})")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="of another report, which this one may repeat or not"
    )
    given = parser.parse_args(arguments)
    wrong = [name for name in given.only or () if name not in ALL]
    if wrong or min(given.seeds) < 0:
        print(f"{prog}: {wrong or given.seeds}: expected some of {', '.join(ALL)}, and seeds >= 0", file=sys.stderr)
        return 2
    labels = list(METHODS) if given.only is None else [label for label in ALL if label in ("SFT", *given.only)]
    command = " ".join(["lab compare", *spoken(given)])
    try:
        plan = planned(given)
        record = None if given.against is None else told(given.against)
        sft = tuned()
        rows = study(labels, given.seeds, plan, sft, given.out, command)
        found = report(rows, given.out, command)
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    print(f"{given.out / NAME}.html: {len(found['methods'])} methods, {len(given.seeds)} seeds")
    for line in [] if record is None else repeated(record, found):
        print(line)
    return 0


def planned(given: argparse.Namespace) -> Plan:
    """The plan that was asked for.

    Raises: ValueError: a setting that cannot be.
    """
    plan = SMALL if given.small else Plan()
    if given.budget is not None:
        plan = replace(plan, budget=given.budget)
    if given.beta is not None:
        objective = replace(plan.policy.objective, beta=given.beta)
        plan = replace(plan, policy=replace(plan.policy, objective=objective))
    return plan


def told(folder: Path) -> dict[str, Any]:
    """The figures of a report.

    Raises: OSError: they are not there. ValueError: they are none.
    """
    path = folder / f"{NAME}_figures.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not {"plan", "methods"} <= found.keys():
        raise ValueError(f"{path} has no plan or no methods: expected the figures that `lab compare` writes")
    return found


def repeated(record: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """A line for each method of two reports: how many of the second one's means lie within the first one's intervals, and which do not."""
    lines = [] if record["plan"] == again["plan"] else ["the plans differ: what is compared are two experiments"]
    for label, out in strays(record, again).items():
        lines.append(f"{label:<18}{len(AIMS) - len(out)} of {len(AIMS)} means within")
        for aim in out:
            one, x = record["methods"][label][aim], again["methods"][label][aim]["mean"]
            lines.append(f"    {aim:<14}{x:.3f}, outside [{one['low']:.3f}, {one['high']:.3f}]")
    return lines


def spoken(given: argparse.Namespace) -> list[str]:
    """The arguments that make the same report, without the folder, which is the reader's."""
    words = [f"--seeds {' '.join(map(str, given.seeds))}"] if given.seeds != list(SEEDS) else []
    words += ["--only " + " ".join(repr(name) if " " in name else name for name in given.only)] if given.only else []
    words += ["--small"] if given.small else []
    words += [f"--budget {given.budget:g}"] if given.budget is not None else []
    return words + ([f"--beta {given.beta:g}"] if given.beta is not None else [])


if __name__ == "__main__":
    sys.exit(main())
