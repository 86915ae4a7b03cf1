"""The list of labs: number, title, what the learner builds, minutes and memory. README, `lab list` and the welcome lab read it.

A lab is ready when its notebook is there; the rest of the map is a plan and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lablib import paths


@dataclass(frozen=True)
class Lab:
    """One lab; `minutes` is for a learner who does the exercises, 0 while the lab is in the making."""

    number: str
    topic: str
    title: str
    builds: str
    minutes: int = 0

    @property
    def file(self) -> str:
        """The notebook's name."""
        return f"{self.number}_{self.topic}.ipynb"

    @property
    def ready(self) -> bool:
        """Whether the notebook is there."""
        return (paths.labs_path() / self.file).is_file()


LABS = (
    Lab("00", "welcome", "Welcome", "nothing yet: the machine, the map, how an exercise works", 10),
    Lab("01", "recurrence", "Before attention", "RNN, LSTM, backpropagation through time, clipping", 90),
    Lab("02", "attention", "Attention", "scaled dot-product, masks, multi-head and cross-attention", 120),
    Lab("03", "positions", "Where is a word?", "sinusoidal, learned, RoPE and ALiBi positions", 90),
    Lab("04", "transformer", "The whole transformer", "feed-forward, norms, residuals, encoder, decoder", 120),
    Lab("05", "data", "From a crawl to a corpus", "quality, MinHash, LSH, redaction, toxicity, mixtures", 120),
    Lab("06", "tokenization", "Text into numbers", "byte-level BPE, embedding lookup, nearest neighbours", 100),
    Lab("07", "pretraining", "Pre-training", "the loss, the schedule, sampling, the KV cache", 240),
    Lab("08", "objectives", "Other objectives", "masking, span corruption, revealing masks", 90),
    Lab("09", "sft", "Instruction tuning", "chat template, loss mask, packing, the tuning step", 90),
    Lab(
        "10",
        "lora",
        "Small adapters",
        "LoRA, merge, bottleneck, prompt and prefix tuning, BitFit, adding adapters",
        120,
    ),
    Lab("11", "rag", "Retrieval", "BM25, dense retrieval, fusion, a prompt with citations", 180),
    Lab(
        "12",
        "rlhf",
        "Learning from preferences",
        "reward model, KL estimators, PPO piece by piece, over-optimisation, GRPO",
        150,
    ),
    Lab(
        "13",
        "dpo",
        "Preferences without a reward model",
        "sequence log-probs, the best policy, implicit reward, DPO and its gradient, wrong labels, IPO, KTO, SimPO",
        90,
    ),
    Lab(
        "14",
        "constitutional_ai",
        "Constitutional AI",
        "critique and revision, a filter, AI labels in both orders, ablations",
        120,
    ),
    Lab("15", "comparison", "What works best?", "win rates, intervals, equal compute, Pareto fronts", 90),
    Lab("16", "deployment", "Serving and watching", "quantisation, a safe sampler, a drift monitor"),
    Lab("17", "frontiers", "Frontiers", "mixture of experts, state spaces, a look inside"),
)


class UnknownLab(ValueError):
    """A lab number that is not in the list, fits more than one, or has no notebook yet."""


def find(name: str) -> Lab:
    """The lab that a learner means by `2`, `02`, `attention` or `02_attention`.

    >>> find("2").file
    '02_attention.ipynb'

    Raises:
        UnknownLab: says what was given and lists what there is.
    """
    wanted = Path(name.strip()).name.removesuffix(".ipynb").lower()
    if wanted.isdigit():
        matches = [lab for lab in LABS if int(lab.number) == int(wanted)]
    else:
        matches = [lab for lab in LABS if wanted in (lab.topic, f"{lab.number}_{lab.topic}")]
        matches = matches or [lab for lab in LABS if wanted and f"{lab.number}_{lab.topic}".find(wanted) >= 0]
    if not matches:
        raise UnknownLab(f"lab {name!r} is not in the course; expected one of\n{table(ready_only=True)}")
    if len(matches) > 1:
        names = ", ".join(f"{lab.number} ({lab.topic})" for lab in matches)
        raise UnknownLab(f"{name!r} fits {len(matches)} labs: {names}; say which by its number")
    if not matches[0].ready:
        lab = matches[0]
        raise UnknownLab(f"lab {lab.number} ({lab.title}) is still in the making; ready now:\n{table(ready_only=True)}")
    return matches[0]


def table(ready_only: bool = False) -> str:
    """The labs as lines of text: number, title, minutes, what the learner writes."""
    rows = [lab for lab in LABS if lab.ready or not ready_only]
    lines = [
        f"  {lab.number}  {lab.title:<36}{f'{lab.minutes} min' if lab.ready else 'in the making':<15}{lab.builds}"
        for lab in rows
    ]
    return "\n".join(lines) or "  (no lab is here: run `lab build` in a checkout, or reinstall the package)"
