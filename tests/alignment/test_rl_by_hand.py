"""Whole runs of PPO and GRPO against the same written out here, answer by answer, from the papers' equations: the weights agree.

Only the rollouts are the library's (they have tests of their own). What can be set differs from its default in one of the cases.
"""

from dataclasses import replace

import pytest
import torch
from rl_helpers import generator, policy, same_weights, tokenizer, twin
from test_ppo_run import lower_half
from torch.nn.utils import clip_grad_norm_

from lablib.alignment.adaptive_kl import KLTarget
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.ppo import PPO, ppo
from lablib.alignment.ppo_step import Objective, Terms
from lablib.alignment.rl_update import optimiser_of, update
from lablib.alignment.rollouts import Prompts, roll_out
from lablib.alignment.value_model import ValueModel, copied

PROMPTS = Prompts(n=8, seed=0)
AIM = Objective(
    beta=0.3, kl_target=KLTarget(0.5, rate=2.0), gamma=0.9, lam=0.8, clip=0.03, value_clip=0.02, value_weight=0.7, entropy_weight=0.05,
    scale="whitened", whiten=False, unfinished=0.7, length=0.3, free=3,
)  # fmt: skip
BY_PPO = PPO(
    steps=4, per_prompt=2, most=8, epochs=3, minibatch=5, lr=3e-3, critic_lr=1e-2, warmup=2, longest=0.3, objective=AIM
)
BY_GRPO = GRPO(
    steps=4, per_prompt=2, most=8, epochs=3, minibatch=5, lr=3e-3, warmup=2, longest=0.3, beta=0.4, clip=0.03, baseline="group-std",
    per="answer", unfinished=0.7, length=0.3, free=3,
)  # fmt: skip


def scores_by_hand(rollout, settings):
    """The reward of each answer, less what is taken for no end and for length."""
    found = []
    for score, answer in zip(lower_half(rollout).tolist(), rollout.responses, strict=True):
        long = max(0, len(answer.ids) - settings.free)
        found.append(score - settings.unfinished * (not answer.finished) - settings.length * long)
    return torch.tensor(found)


def of_answers(numbers, rows):
    """(N, T) -> for each answer the numbers of its own tokens."""
    return [numbers[n][rows.mask[n]] for n in range(len(rows))]


def log_probs_by_hand(model, rows):
    """For each answer the log-probabilities of its tokens, and the entropies of what they were drawn from."""
    log_p = model(rows.inputs).log_softmax(dim=-1)  # (N, T, V)
    own = log_p.gather(2, rows.targets[..., None])[..., 0]
    return of_answers(own, rows), of_answers(-(log_p.exp() * log_p).sum(dim=-1), rows)


def values_by_hand(critic, rows):
    return of_answers(critic.head(critic.trunk.hidden(rows.inputs))[..., 0], rows)


def advantages_by_hand(rewards, values, aim):
    """GAE as the double sum that it is short for."""
    T = len(rewards)
    after = [*values.tolist(), 0.0]
    delta = [rewards[t].item() + aim.gamma * after[t + 1] - after[t] for t in range(T)]
    return torch.tensor([sum((aim.gamma * aim.lam) ** (k - t) * delta[k] for k in range(t, T)) for t in range(T)])


def clipped(ratio, advantage, clip):
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def updates_by_hand(groups, loss, N, step, settings, optimiser, chance):
    weights = [weight for weights, _ in groups for weight in weights]
    for group, (_, lr) in zip(optimiser.param_groups, groups, strict=True):
        group["lr"] = lr * min(1, (step + 1) / (settings.warmup + 1))
    for _ in range(settings.epochs):
        order = torch.randperm(N, generator=chance).tolist()
        for start in range(0, N, settings.minibatch):
            optimiser.zero_grad()
            loss(order[start : start + settings.minibatch]).backward()
            clip_grad_norm_(weights, settings.longest)
            optimiser.step()


def adamw(groups):
    return torch.optim.AdamW(
        [{"params": weights, "lr": lr} for weights, lr in groups], betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0
    )


def ppo_by_hand(model, reference, critic, settings, chance):
    aim, beta = settings.objective, settings.objective.beta
    groups = [(list(model.parameters()), settings.lr), (list(critic.parameters()), settings.critic_lr)]
    optimiser = adamw(groups)
    for step in range(settings.steps):
        rollout = roll_out(
            model, reference, critic, tokenizer(), PROMPTS(step), chance, settings.per_prompt, settings.most
        )
        scores, rows = scores_by_hand(rollout, aim), rollout.answers
        scores = scores - scores.mean()
        if aim.scale == "whitened":
            scores = scores / scores.std(correction=0)
        with torch.no_grad():
            old, _ = log_probs_by_hand(model, rows)
            ref, _ = log_probs_by_hand(reference, rows)
            values = values_by_hand(critic, rows)
        penalties = [a - b for a, b in zip(old, ref, strict=True)]
        rewards = [-beta * one for one in penalties]
        for n, score in enumerate(scores):
            rewards[n][-1] += score
        better = [advantages_by_hand(r, v, aim) for r, v in zip(rewards, values, strict=True)]
        returns = [a + v for a, v in zip(better, values, strict=True)]
        if aim.whiten:
            every = torch.cat(better)
            better = [(one - every.mean()) / every.std(correction=0) for one in better]

        def loss(some, rows=rows, old=old, values=values, better=better, returns=returns):
            new, nats = log_probs_by_hand(model, rows)
            guess = values_by_hand(critic, rows)
            gain = [clipped((new[n] - old[n]).exp(), better[n], aim.clip) for n in some]
            near = [values[n] + (guess[n] - values[n]).clamp(-aim.value_clip, aim.value_clip) for n in some]
            error = [
                torch.maximum((guess[n] - returns[n]) ** 2, (one - returns[n]) ** 2)
                for n, one in zip(some, near, strict=True)
            ]
            return (
                -torch.cat(gain).mean()
                + aim.value_weight * torch.cat(error).mean() / 2
                - aim.entropy_weight * torch.cat([nats[n] for n in some]).mean()
            )

        updates_by_hand(groups, loss, len(rows), step, settings, optimiser, chance)
        if aim.kl_target is not None:
            kl = sum(one.sum().item() for one in penalties) / len(rows)
            error = (kl - aim.kl_target.target) / aim.kl_target.target
            beta *= 1 + aim.kl_target.rate * min(max(error, -0.2), 0.2)


def grpo_by_hand(model, reference, settings, chance):
    groups = [(list(model.parameters()), settings.lr)]
    optimiser = adamw(groups)
    for step in range(settings.steps):
        rollout = roll_out(
            model, reference, None, tokenizer(), PROMPTS(step), chance, settings.per_prompt, settings.most
        )
        scores, rows = scores_by_hand(rollout, settings).view(-1, settings.per_prompt), rollout.answers
        better = scores - scores.mean(dim=1, keepdim=True)
        if settings.baseline == "group-std":
            better = better / (scores.std(dim=1, keepdim=True) + 1e-4)
        elif settings.baseline == "leave-one-out":
            others = (scores.sum(dim=1, keepdim=True) - scores) / (settings.per_prompt - 1)
            better = scores - others
        better = better.flatten()
        with torch.no_grad():
            old, _ = log_probs_by_hand(model, rows)
            ref, _ = log_probs_by_hand(reference, rows)

        def loss(some, rows=rows, old=old, ref=ref, better=better):
            new, _ = log_probs_by_hand(model, rows)
            total = 0.0
            for n in some:
                gain = clipped((new[n] - old[n]).exp(), better[n], settings.clip)
                penalty = (ref[n] - new[n]).exp() - 1 - (ref[n] - new[n])
                tokens = len(gain) if settings.per == "answer" else settings.most
                total = total + (settings.beta * penalty - gain).sum() / tokens
            return total / len(some)

        updates_by_hand(groups, loss, len(rows), step, settings, optimiser, chance)


def moved_alike(found, expected, before):
    """Both went the same way, and far: the distance between them is small beside the way."""
    flat = [torch.cat([w.detach().flatten() for w in model.parameters()]) for model in (found, expected, before)]
    way, apart = (flat[1] - flat[2]).norm(), (flat[0] - flat[1]).norm()
    assert way > 0.1
    assert apart < 1e-4 * way


@pytest.mark.parametrize(
    "changes",
    [{}, {"whiten": True, "scale": "centred", "kl_target": None}, {"entropy_weight": 0.0, "clip": 0.2, "length": 0.0}],
    ids=["all", "whitened", "plain"],
)
def test_ppo_is_its_equations(changes):
    settings = replace(BY_PPO, objective=replace(AIM, **changes))
    start, other = policy(), policy(1)
    mine, theirs = ((copied(start), ValueModel(copied(other))) for _ in range(2))
    found = list(ppo(mine[0], twin(start), mine[1], tokenizer(), PROMPTS, lower_half, settings, generator(3)))
    ppo_by_hand(theirs[0], twin(start), theirs[1], settings, generator(3))
    assert 0 < found[-1].finished < 1
    assert found[-1].clip_share > 0.02
    moved_alike(mine[0], theirs[0], start)
    moved_alike(mine[1], theirs[1], ValueModel(other))


@pytest.mark.parametrize(
    "changes",
    [{}, {"baseline": "group", "per": "constant"}, {"baseline": "leave-one-out", "per_prompt": 4}],
    ids=["published", "corrected", "leave one out"],
)
def test_grpo_is_its_equations(changes):
    settings, start, reference = replace(BY_GRPO, **changes), policy(), twin(policy(1))
    mine, theirs = copied(start), copied(start)
    found = list(train_grpo(mine, reference, tokenizer(), PROMPTS, lower_half, settings, generator(3)))
    grpo_by_hand(theirs, reference, settings, generator(3))
    assert 0 < found[-1].finished < 1
    assert found[-1].clip_share > 0.02
    moved_alike(mine, theirs, start)


# ---------------------------------------------------------------- what the equations do not say


def test_a_rollout_is_used_once_at_least_however_soon_the_stop():
    model, zero = policy(), torch.zeros(())

    def loss(rows):
        return Terms(model.embedding.weight.square().sum(), zero, zero, zero, torch.tensor(9.0))

    settings = replace(BY_PPO, update_kl=0.01)
    done = update(optimiser_of(model, None, settings), [model], loss, 16, 0, settings, generator())
    assert done.updates == 1
    assert done.update_kl == 9.0
    assert not same_weights(model, policy())


@pytest.mark.parametrize("way", ["ppo", "grpo"])
def test_the_seconds_of_a_step_are_without_those_of_the_true_scores(way, monkeypatch):
    now = [0.0]

    def clock():
        now[0] += 1e-3
        return now[0]

    def gold(responses):
        now[0] += 1000.0
        return [0.5] * len(responses)

    monkeypatch.setattr("time.perf_counter", clock)
    model = policy()
    given = (tokenizer(), PROMPTS, lower_half)
    if way == "ppo":
        steps = ppo(model, twin(model), ValueModel(copied(model)), *given, replace(BY_PPO, steps=2), generator(), gold)
    else:
        steps = train_grpo(model, twin(model), *given, replace(BY_GRPO, steps=2), generator(), gold)
    assert [0 < step.seconds < 1000 for step in steps] == [True, True]
    assert now[0] > 2000
