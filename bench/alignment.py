"""A step of DPO, of a reward model, and of reinforcement learning: `lablib.alignment` beside `trl`'s trainers, in one run.

    python bench/alignment.py [--only dpo reward rl] [--rounds 20] [--threads 2] [--dtypes bfloat16 float32] [--json FILE]

Both sides have the same weights, those of the carried tuned model (through `save_llama`), and the same tokens: pairs of its own answers, 16
a step. In each round `trl` makes a step and then we make ours on the same pairs, so a slow moment of the machine falls on both; a
ratio is taken within a round, and the figure is the median of the ratios with its quartiles. Seconds are all that passes: collating
the batch, forward, backward, clipping, optimiser, and what the trainer does around it. Before anything is timed, loss and gradient's
norm of both sides are compared on a batch, in fp32, with a policy that is not the reference (else every DPO loss is ln 2).

`trl`'s trainers run as they are, with their defaults but for these: no gradient checkpointing, which would only cost them time; no
logging, no saving, our learning rates; and GRPO's loss as it was published (`loss_type="grpo"`, `use_bias_correction_kl=False`).

1. **dpo**: `DPOTrainer`, which by default lets the reference read each batch, and with `precompute_ref_log_probs`, as we do; ours:
   `dpo.train`, with and without its share of what reading the set with the reference costs beforehand.
2. **reward**: `RewardTrainer` on `LlamaForSequenceClassification`; ours: the loop of `reward_training`, which packs its rows.
3. **rl**: 64 answers, then 4 updates of 32 answers each (2 epochs). `trl` 1.16 has no PPO any more, so the peer is `GRPOTrainer`, with
   `transformers`' own generation; ours: `grpo_training`, the same algorithm, and `ppo` twice: with a critic that shares the policy's
   trunk, as in `trl`'s first PPO trainer, and with one of its own, a second model to train, as in labs 12, 14 and 15. The same prompts,
   the same reward, a number that costs nothing: how near an answer is to 20 tokens. Answers are drawn, so those of the two sides
   differ; their mean length is stated.

Run it on an idle machine.
"""

import argparse
import copy
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from against_trl import LR, WARM, exported, moved, norm_of, put, report, run, same, settings, turns
from torch import Tensor

from lablib.adaptation.chat import PAD, for_transformers
from lablib.alignment import dpo
from lablib.alignment.bradley_terry import bradley_terry_loss
from lablib.alignment.dpo_study import parts
from lablib.alignment.grpo import grpo_loss
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.log_probs import Answers, answers
from lablib.alignment.ppo import PPO, ppo
from lablib.alignment.preference_pairs import Preference, collect
from lablib.alignment.reference import preference_table
from lablib.alignment.reward_model import RewardModel
from lablib.alignment.reward_training import PairBatches, packed_rewards, pair_nats
from lablib.alignment.rollouts import Prompts, Rollout, read
from lablib.alignment.value_model import ValueModel, copied
from lablib.checkpoints import Carried, load
from lablib.pretraining.batching import windows_of
from lablib.pretraining.memory import keep_freed_memory
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train
from lablib.tokens.tokenizer import Tokenizer

PAIRS = 16  # a step
BETA = 0.1
PROMPTS, G, MINIBATCH, EPOCHS, MOST = 8, 8, 32, 2, 110
UPDATES = EPOCHS * PROMPTS * G // MINIBATCH  # from one rollout
WANTED = 20  # tokens of an answer, for the reward
GOALS = {"dpo": 4.0, "reward": 4.0, "rl": 3.0}

# ---------------------------------------------------------------- 1 DPO


def pairs_in_order(pairs: list[Preference], seed: int) -> list[Preference]:
    """The pairs as our loops read them: so the peer, who reads in a row, has the same in each step."""
    batches = [windows_of(step, len(pairs), PAIRS, seed).tolist() for step in range(len(pairs) // PAIRS)]
    return [pairs[number] for batch in batches for number in batch]


def recipe_of(steps: int, dtype: str) -> Recipe:
    """Ours: AdamW at a rate that stays."""
    return Recipe(
        steps=steps, batch=PAIRS, context=256, lr=LR, weight_decay=0.0, schedule="cosine", warmup=0.0, floor=1.0, dtype=dtype
    )  # fmt: skip


def compare_dpo(sft: Carried, pairs: list[Preference], dtype: str, before: bool, folder: Path) -> dict[str, Any]:
    """`DPOTrainer` and `dpo.train`; before: `trl` computes the reference's log-probabilities once, too."""
    from datasets import Dataset
    from transformers import LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer

    class InOrder(DPOTrainer):
        """It takes the tokens that we have, where the original would make them of texts."""

        def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
            return dataset

    steps, path = len(pairs) // PAIRS, exported(sft, folder / "sft")
    ordered = pairs_in_order(pairs, 0)
    prompts, chosen, rejected = parts(ordered)
    data = Dataset.from_dict({"prompt_ids": prompts, "chosen_ids": chosen, "rejected_ids": rejected})
    pad = sft.tokenizer.special[PAD]
    start = time.perf_counter()
    table = preference_table(sft.model, *parts(pairs), pad, dtype=dtype)
    reading = (time.perf_counter() - start) / steps
    recipe = recipe_of(steps, dtype)
    policy = moved(sft.model)
    ours: Iterator[dpo.DPOStep] = dpo.train(policy, table, recipe, dpo.dpo(BETA))
    clock = turns({"lablib": lambda: next(ours)})
    args = DPOConfig(
        **settings(folder, steps, dtype), per_device_train_batch_size=PAIRS, beta=BETA, precompute_ref_log_probs=before,
        train_sampling_strategy="sequential",
    )  # fmt: skip
    llama, reference = (LlamaForCausalLM.from_pretrained(path, dtype=torch.float32) for _ in range(2))
    put(policy, llama)
    trainer = InOrder(
        llama, None if before else reference, args=args, train_dataset=data, callbacks=[clock],
        processing_class=for_transformers(sft.tokenizer),
    )  # fmt: skip
    if dtype == "float32" and not before:
        batch = trainer.data_collator([data[row] for row in range(PAIRS)])
        theirs = trainer.compute_loss(trainer.model, batch)
        theirs.backward()
        twin = copy.deepcopy(policy)
        mine = dpo.dpo(BETA)(dpo.pair_log_probs(twin, table.take(windows_of(0, len(table), PAIRS, 0)))).mean()
        mine.backward()
        same("DPO loss", mine.item(), theirs.item())
        same("norm of its gradient", norm_of(twin), norm_of(trainer.model), 1e-3)
        trainer.model.zero_grad()
    run(trainer)
    if not before:  # what `trl` does in its steps we have done before them: one pass, so each step has its share
        clock.rows = [{**row, "lablib, and its share of the reading": row["lablib"] + reading} for row in clock.rows]
    how = "reference computed before" if before else "reference in each step"
    found = report(f"DPO, {PAIRS} pairs, {dtype}, trl: {how}", clock.rows, GOALS["dpo"])
    return {**found, "reading_ms": 1e3 * reading}


# ---------------------------------------------------------------- 2 reward


def compare_reward(sft: Carried, pairs: list[Preference], dtype: str, folder: Path) -> dict[str, Any]:
    """`RewardTrainer` and the loop of `reward_training`."""
    from datasets import Dataset
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    steps, path = len(pairs) // PAIRS, exported(sft, folder / "sft")
    ordered = pairs_in_order(pairs, 0)
    chosen, rejected = ([[*p.prompt_ids, *ids(p)] for p in ordered] for ids in (_chosen, _rejected))
    data = Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected})
    pad = sft.tokenizer.special[PAD]
    model = RewardModel(sft.model, torch.Generator().manual_seed(0))
    batches = PairBatches(pairs, PAIRS, 256, pad)
    recipe = recipe_of(steps, dtype)
    llama = LlamaForSequenceClassification.from_pretrained(path, num_labels=1, dtype=torch.float32)
    llama.config.pad_token_id = pad
    with torch.no_grad():
        llama.score.weight.copy_(model.head.weight)
    ours = train(model, batches, recipe, loss=pair_nats())
    clock = turns({"lablib": lambda: next(ours)})
    args = RewardConfig(
        **settings(folder, steps, dtype), per_device_train_batch_size=PAIRS, train_sampling_strategy="sequential"
    )
    trainer = RewardTrainer(
        llama, args=args, train_dataset=data, callbacks=[clock], processing_class=for_transformers(sft.tokenizer)
    )
    if dtype == "float32":
        theirs = trainer.compute_loss(trainer.model, trainer.data_collator([data[row] for row in range(PAIRS)]))
        theirs.backward()
        twin = copy.deepcopy(model)
        mine = bradley_terry_loss(*packed_rewards(twin, batches(0))).mean()
        mine.backward()
        same("Bradley–Terry loss", mine.item(), theirs.item())
        same("norm of its gradient", norm_of(twin), norm_of(trainer.model), 1e-3)
        trainer.model.zero_grad()
    run(trainer)
    return report(f"reward model, {PAIRS} pairs, {dtype}", clock.rows, GOALS["reward"])


def _chosen(pair: Preference) -> tuple[int, ...]:
    return pair.chosen_ids


def _rejected(pair: Preference) -> tuple[int, ...]:
    return pair.rejected_ids


# ---------------------------------------------------------------- 3 rollouts and updates


def near(length: float) -> float:
    """The reward of an answer of so many tokens."""
    return -abs(length - WANTED) / WANTED


def score(rollout: Rollout) -> Tensor:
    return torch.tensor([near(length) for length in rollout.answers.lengths.tolist()])


def their_score(completions: Any, completion_ids: Any, **rest: Any) -> list[float]:
    return [near(len(ids)) for ids in completion_ids]


def compare_rl(sft: Carried, rounds: int, dtype: str, folder: Path) -> dict[str, Any]:
    """`GRPOTrainer` with `grpo_training` and `ppo`."""
    from datasets import Dataset
    from transformers import LlamaForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    path, steps = exported(sft, folder / "sft"), rounds + WARM
    asked = Prompts(PROMPTS)
    shared = {
        "steps": steps,
        "most": MOST,
        "epochs": EPOCHS,
        "minibatch": MINIBATCH,
        "lr": LR,
        "warmup": 0,
        "dtype": dtype,
    }
    lengths: dict[str, list[float]] = {"ours": [], "trl": []}
    reference = copy.deepcopy(sft.model).requires_grad_(False)
    chance = torch.Generator().manual_seed(0)
    policy = copied(sft.model)
    grpo = train_grpo(
        policy, reference, sft.tokenizer, asked, score, GRPO(per_prompt=G, beta=BETA, unfinished=0.0, **shared), chance
    )  # fmt: skip
    both, alone = copied(sft.model), copied(sft.model)  # a policy with the critic's head on its trunk, and one without
    one, two = (
        ppo(policy, reference, critic, sft.tokenizer, asked, score, PPO(per_prompt=G, **shared), chance)
        for policy, critic in ((both, ValueModel(both)), (alone, ValueModel(copied(sft.model))))
    )
    ours = {
        "lablib, GRPO": lambda: lengths["ours"].append(next(grpo).length),
        "lablib, PPO, one trunk": lambda: next(one),
        "lablib, PPO, two": lambda: next(two),
    }
    clock = turns(ours, UPDATES)
    args = GRPOConfig(
        **settings(folder, steps * UPDATES, dtype), per_device_train_batch_size=MINIBATCH, generation_batch_size=PROMPTS * G,
        num_generations=G, max_completion_length=MOST, num_iterations=EPOCHS, beta=BETA, loss_type="grpo",
        use_bias_correction_kl=False, shuffle_dataset=False,
    )  # fmt: skip
    said = [{"prompt": [{"role": "user", "content": one.prompt}]} for step in range(steps) for one in asked(step)]
    llama = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32)

    def noted(completions: Any, completion_ids: Any, **rest: Any) -> list[float]:
        lengths["trl"].append(statistics.fmean(map(len, completion_ids)))
        return their_score(completions, completion_ids)

    trainer = GRPOTrainer(
        llama, noted, args=args, train_dataset=Dataset.from_list(said), callbacks=[clock], processing_class=for_transformers(sft.tokenizer)
    )  # fmt: skip
    if dtype == "float32":
        check_grpo(trainer, sft, [said[0]] * G + [said[1]] * G)
        put(sft.model, trainer.model)
    lengths["trl"].clear()
    run(trainer)
    found = report(f"{PROMPTS * G} answers, {UPDATES} updates, {dtype}", clock.rows, GOALS["rl"])
    means = {name: statistics.fmean(some[WARM:]) for name, some in lengths.items()}
    print(f"  tokens of an answer: {means['ours']:.1f} (lablib, GRPO), {means['trl']:.1f} (trl)")
    return {**found, "tokens": means}


def check_grpo(trainer: Any, sft: Carried, asked: list[dict[str, Any]]) -> None:
    """The loss of answers that `trl` has drawn and scored, by both; the policy has moved since they were drawn."""
    trainer.model.train()
    inputs = trainer._generate_and_score_completions(asked)
    inputs["old_per_token_logps"] = inputs["ref_per_token_logps"]  # they were drawn from the weights of the reference
    policy = moved(sft.model)
    put(policy, trainer.model)
    trainer.current_gradient_accumulation_steps = 1
    theirs = trainer._compute_loss(trainer.model, inputs)
    rows = as_ours(inputs, sft.tokenizer)
    with torch.no_grad():
        reference, _, _ = read(sft.model, None, rows)
    new, _, _ = read(policy, None, rows)
    mine = grpo_loss(new, reference, reference, inputs["advantages"], rows.mask, BETA)
    theirs.backward()
    mine.backward()
    same("GRPO loss", mine.item(), theirs.item(), 1e-3)
    same("norm of its gradient", norm_of(policy), norm_of(trainer.model), 1e-3)
    trainer.model.zero_grad()


def as_ours(inputs: dict[str, Tensor], tokenizer: Tokenizer) -> Answers:
    """`trl`'s prompts, padded on the left, and completions, padded on the right, as rows of ours."""

    def taken(name: str) -> list[list[int]]:
        rows = zip(inputs[f"{name}_ids"], inputs[f"{name}_mask"].bool(), strict=True)
        return [ids[mask].tolist() for ids, mask in rows]

    return answers(taken("prompt"), taken("completion"), tokenizer.special[PAD])


# ---------------------------------------------------------------- the command


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=tuple(GOALS), default=list(GOALS))
    parser.add_argument(
        "--rounds", type=int, default=20, help="that count; reinforcement learning has half as many (20)"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", choices=("bfloat16", "float32"), default=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # from the start, for both alike
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import datasets
    import transformers
    import trl

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    about = f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, {platform.machine()}"
    print(f"{about}, {given.threads} threads, {given.rounds} rounds")
    sft = load("sft")
    n = (given.rounds + WARM) * PAIRS
    result: dict[str, Any] = {"about": about, "threads": given.threads, "parameters": sft.model.config.parameters}
    pairs = [] if given.only == ["rl"] else collect(sft.model, sft.tokenizer, n, Random("bench")).pairs
    if pairs:
        lengths = [len(p.prompt_ids) + len(ids) for p in pairs for ids in (p.chosen_ids, p.rejected_ids)]
        print(f"{n} pairs; prompt and answer have {statistics.fmean(lengths):.0f} tokens, at most {max(lengths)}")
    for dtype in given.dtypes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if "dpo" in given.only:
                for before in (False, True):
                    result[f"dpo {dtype} {'before' if before else 'each step'}"] = compare_dpo(
                        sft, pairs, dtype, before, folder
                    )
            if "reward" in given.only:
                result[f"reward {dtype}"] = compare_reward(sft, pairs, dtype, folder)
            if "rl" in given.only:
                result[f"rl {dtype}"] = compare_rl(sft, max(2, given.rounds // 2), dtype, folder)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
