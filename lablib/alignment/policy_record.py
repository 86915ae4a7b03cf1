"""What the record of an aligned model says of it, always beside the tuned model that it was made of.

Gold scores on prompts of held-out combinations, greedy and drawn at temperature 1, and by kind of request; how far it went from the
tuned model, learned reward, length and refusals, as the studies judge them (`rlhf_runs.judged`); and what was forgotten: the loss on the
world's documents above their floor. The prompts are those of the tuned model's own record, so both can be laid side by side.

All of it is measured of the weights as they lie in the file, in half precision. Left out: win rates (lab 15).
"""

from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch

from lablib.adaptation import adherence as adh
from lablib.adaptation.chat import BEGIN, PAD, STOP
from lablib.adaptation.sft_command import as_dict
from lablib.alignment.dpo_study import no_proxy
from lablib.alignment.rlhf_runs import judged
from lablib.alignment.rollouts import Score
from lablib.architecture.decoder import Decoder
from lablib.architecture.llama_format import save_llama
from lablib.checkpoints import RECORD, Carried
from lablib.corpus.world import World
from lablib.pretraining.sampling import Sampling
from lablib.pretraining.world_loss import gap

PROMPTS, DOCUMENTS = 1000, 1000  # that gold scores and loss are measured on
ASKED = "the tuned model is judged on"  # seed of the prompts


def write_policy(policy: Decoder, sft: Carried, folder: Path, score: Score | None, seed: int) -> dict[str, Any]:
    """Write the weights, in half precision, and measure them. The record, which makes the folder a model, is the caller's to write.

    Args: score: the learned reward; None: there is none. seed: of the answers that it is judged by.
    """
    stored = Decoder(policy.config)
    stored.load_state_dict({name: weight.half().float() for name, weight in policy.state_dict().items()})
    measured = measure(stored.to(policy.embedding.weight.device).eval(), sft, score, seed)
    (folder / RECORD).unlink(missing_ok=True)  # of an earlier model
    special = sft.tokenizer.special
    save_llama(stored.cpu(), folder, torch.float16, bos=special[BEGIN], eos=special[STOP], pad=special[PAD])
    return measured


def measure(policy: Decoder, sft: Carried, score: Score | None, seed: int) -> dict[str, Any]:
    """The policy in figures; those of the tuned model begin with sft_."""
    found: dict[str, Any] = {"judged": judged(policy, sft, score or no_proxy, None, seed)}
    del found["judged"]["gallery"]
    if score is None:
        del found["judged"]["proxy"]
    asked = adh.prompts(PROMPTS, ASKED)
    documents = list(islice(World().documents(Random("what is forgotten")), DOCUMENTS))
    for name, model in (("", policy), ("sft_", sft.model)):
        greedy = adh.scored(model, sft.tokenizer, asked)
        chance = torch.Generator().manual_seed(0)
        drawn = adh.scored(model, sft.tokenizer, asked, "chat", Sampling(), chance)
        seen = gap(model, documents, sft.tokenizer, model.config.context)
        found[f"{name}adherence"] = as_dict(adh.adherence(greedy))
        found[f"{name}adherence_by_kind"] = {kind: as_dict(one) for kind, one in adh.by_kind(greedy).items()}
        found[f"{name}adherence_temperature_1"] = as_dict(adh.adherence(drawn))
        found[f"{name}world_loss"] = round(seen.loss, 5)
        found[f"{name}above_floor"] = round(seen.share, 5)
    found["floor"] = round(seen.floor, 5)
    return found
