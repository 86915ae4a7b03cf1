# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 13 · Direct preference optimisation
#
# In lab 12 people's preferences became a reward model, and the reward model taught the policy by PPO: two models that
# learn, two that stand by, thousands of answers to write. Rafailov et al. (2023) found that one can leave nearly all
# of it out. The policy that PPO looks for can be *written down*; read backwards, that formula says which reward a
# given policy is the best answer to; and with that reward put into the reward model's own loss, the policy learns
# from the pairs directly. This lab goes that way step by step, each step a cell that runs, on a world so small that
# every sum can be computed. Then it does the same to the model that you tuned.
#
# **You will be able to**
#
# - derive DPO, and check each step of the derivation by numbers;
# - say what its gradient does, and why it fades as a pair is learned;
# - train a policy on pairs without a reward model, and read the policy *as* a reward model;
# - explain why the chosen answer can become *less* likely while training goes well;
# - choose β, and a loss for labels that are wrong now and then: DPO, IPO, smoothed, robust;
# - say what DPO saves against PPO, and what it cannot do.
#
# **You need** lab 09 for the model, lab 12 for preferences and Bradley–Terry. **Time**: about an hour and a half with
# the nine exercises, most of which are a line. The cells are sized for four minutes on two CPU cores and 1.5 GB of
# memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes. (Lines that only refuse arguments of the wrong shape you may leave out.)

# %%
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

# %%
import torch
from torch import Tensor
from torch.nn import functional as F

# %%
from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import BEGIN, PAD, STOP
from lablib.alignment import bandit, dpo
from lablib.alignment.annotators import noise_ceiling
from lablib.alignment.bandit import check_bandit
from lablib.alignment.dpo_loss import check_flips, check_positive, implicit_accuracy, log_ratio_gap
from lablib.alignment.dpo_relatives import kto_loss
from lablib.alignment.dpo_study import parts
from lablib.alignment.log_probs import answers, response_log_probs
from lablib.alignment.policy_kl import policy_kl
from lablib.alignment.preference_pairs import collect, held_out_by_prompt, label_probabilities
from lablib.alignment.reference import preference_table, sums
from lablib.alignment.responses import gold, gold_reward, sample
from lablib.alignment.rollouts import Prompts

# %%
from lablib.checkpoints import load
from lablib.paths import data_path
from lablib.pretraining.distributed import local_device
from lablib.pretraining.sampling import Sampling
from lablib.show.intervals import interval_chart, over_seeds
from lablib.show.live import LiveChart, Panel
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, GREY, Picture, figure
from lablib.show.texts import Card, Gallery

# %% tags=["varies"]
from lablib import course

lab = course.begin("13")

# %% [markdown]
# ## A world of six answers
#
# One prompt, six possible answers. The *reference* gives each a probability, and each has a true reward. RLHF asks
# for the policy π that makes
#
# $$J(\pi) = \sum_k \pi(k)\, r(k) \;-\; \beta\, \mathrm{KL}(\pi \,\|\, \pi_\text{ref})$$
#
# as large as it can be (Rafailov et al. 2023, equation 3): much reward, and not far from the reference. PPO climbs
# towards it. But look at J for a while, and you find that one can write down where the top is:
#
# $$J(\pi) = \beta \log Z - \beta\, \mathrm{KL}(\pi \,\|\, \pi^*), \qquad
# \pi^*(k) = \tfrac{1}{Z}\, \pi_\text{ref}(k)\, e^{r(k)/\beta}, \qquad Z = \sum_k \pi_\text{ref}(k)\, e^{r(k)/\beta}$$
#
# (Put π* into the right side and see that it is the left one.) A divergence is 0 at best, and only where both are
# equal. So the best policy is π*.

# %%
# EXERCISE lablib.alignment.bandit:optimal_policy

# %%
names = ["right, short", "right, long", "half right", "polite, empty", "wrong", "rude"]
reference = torch.tensor([0.10, 0.05, 0.20, 0.40, 0.20, 0.05], dtype=torch.float64)
reward = torch.tensor([1.0, 0.9, 0.5, 0.3, 0.0, -0.5], dtype=torch.float64)


def best_policy(beta_in_percent: int) -> Picture:
    """Reference and best policy, side by side."""
    beta = beta_in_percent / 100
    fig, ax = figure(width=8.4, height=2.8)
    at = torch.arange(len(names))
    ax.bar(at - 0.2, reference, width=0.4, color=GREY, label="reference")
    ax.bar(at + 0.2, optimal_policy(reference, reward, beta), width=0.4, color=COLOURS[0], label="best policy")
    ax.set_xticks(at, [f"{name}\nr = {r:g}" for name, r in zip(names, reward.tolist(), strict=True)], fontsize=8.5)
    ax.set(ylabel="probability", ylim=(0, 1), title=f"β = {beta:g}")
    ax.legend()
    return Picture(fig, "Bars for six answers: their probability under the reference and under the best policy.")


# %% tags=["varies"]
Sliders(best_policy, beta_in_percent=(30, 2, 300))

# %% [markdown]
# **What to notice.** At a large β the best policy is nearly the reference; at a small one nearly all goes to the
# answer with the most reward. In between, an answer that the reference likes keeps some of its chance.
#
# Is it really the best? Ten thousand policies drawn at random try to beat it.

# %%
beta = 0.3
best = optimal_policy(reference, reward, beta)
chance = torch.Generator().manual_seed(0)
tried = [torch.randn(6, generator=chance, dtype=torch.float64).mul(2).softmax(0) for _ in range(10_000)]
J = partial(bandit.objective, reference=reference, reward=reward, beta=beta)
print(f"J of the best policy      {J(best):.6f}")
print(f"β log Z                   {beta * bandit.log_partition(reference, reward, beta):.6f}")
print(f"J of the reference        {J(reference):.6f}")
print(f"best of 10,000 at random  {max(map(J, tried)):.6f}")

# %% [markdown]
# **What to notice.** The first two lines agree, as the algebra says, and nobody comes above them.
#
# So why does anybody train? Because Z is a sum over *everything that can be said*. Here these are six answers. With
# 4,096 tokens and answers of 30 of them it has $4096^{30}$ terms.

# %% [markdown]
# ## From a policy to its reward
#
# Now read the formula backwards. Solve it for r:
#
# $$r(k) = \beta \log \frac{\pi^*(k)}{\pi_\text{ref}(k)} + \beta \log Z$$
#
# So *any* policy (that can say just what the reference can) is the best answer to some reward. Which one can
# be computed, but for a number, β log Z, that is the same for all answers to a prompt. Leave it out:

# %%
# EXERCISE lablib.alignment.dpo_loss:implicit_reward

# %%
found = implicit_reward(best.log(), reference.log(), beta)
print(f"{'answer':<16}{'true reward':>12}{'from the policy':>17}{'difference':>12}")
for name, true, mine in zip(names, reward.tolist(), found.tolist(), strict=True):
    print(f"{name:<16}{true:>12.3f}{mine:>17.3f}{true - mine:>12.3f}")

# %% [markdown]
# **What to notice.** The last column: the rewards came back, all off by one and the same number, β log Z.
#
# ## Why the sum over everything cancels
#
# Bradley and Terry (lab 12) say how likely answer i is to be chosen over answer j: σ(r(i) − r(j)). That needs rewards
# only as a *difference*, and in a difference what is the same in both falls out. So the chance that an annotator
# prefers i to j can be written with policy and reference alone:

# %%
by_reward = bandit.preferences(reward)  # (K, K)
by_policy = bandit.preferences(found)
print(f"right, short over wrong: {by_reward[0, 4]:.4f} by the reward, {by_policy[0, 4]:.4f} by the policy")
print(f"all 36 ordered pairs agree to 1e-12: {(by_reward - by_policy).abs().max().item() < 1e-12}")

# %% [markdown]
# And then one does with it what one did with the reward model: make the labels likely. With w the chosen answer and l
# the rejected one, the loss of a pair is
#
# $$-\log \sigma(\beta h), \qquad
# h = \log\frac{\pi(w)}{\pi_\text{ref}(w)} - \log\frac{\pi(l)}{\pi_\text{ref}(l)}$$
#
# (equation 7 of the paper). There is no reward in it and no Z; only four log-probabilities. That is DPO.
# (`log_ratio_gap` makes h of the four. The last argument, `smoothing`, is for labels that one does not quite trust.
# Then a label is believed with 1 − ε only, and with ε the opposite one is, whose gap is −h: the loss is −(1 − ε) log
# σ(βh) − ε log σ(−βh). Until further down ε is 0.)

# %%
# EXERCISE lablib.alignment.dpo_loss:dpo_loss

# %% [markdown]
# Does minimising it give the best policy, although it never sees a reward? Take all 36 ordered pairs, each as often as
# it would be labelled so, and descend:

# %%
by_descent = bandit.minimise(reference, by_reward, partial(dpo_loss, beta=beta))
print(f"{'answer':<16}{'reference':>10}{'formula':>10}{'DPO':>10}")
for name, *numbers in zip(names, reference.tolist(), best.tolist(), by_descent.tolist(), strict=True):
    print(f"{name:<16}" + "".join(f"{number:>10.4f}" for number in numbers))

# %% [markdown]
# **What to notice.** The last two columns. One of them knew the rewards; the other saw only *how often* each answer was
# preferred to each. It took labels without end, of all pairs, from annotators who follow Bradley and Terry, and a
# policy with a number of its own for each answer. A language model has none of these quite; the rest of the lab is
# about that.
#
# ## What a step does
#
# The derivative of −log σ(βh) in h is −β σ(−βh). So the gradient of a pair is
#
# $$-\beta \; \underbrace{\sigma(-\beta h)}_{\text{weight}} \;
# \big(\nabla \log \pi(w) - \nabla \log \pi(l)\big)$$
#
# Every pair pushes its chosen answer up and its rejected one down; the weight says how hard.

# %%
# EXERCISE lablib.alignment.dpo_loss:dpo_gradient_weight

# %% [markdown]
# Three ways to the same number, the slope of a pair's loss in log π(w): your formula, PyTorch's automatic gradient, and
# *finite differences* (change the input a little, see what the loss does), which know nothing of either.

# %%
four = [torch.tensor([x], dtype=torch.float64) for x in (-12.0, -15.0, -13.0, -14.5)]
chosen = four[0].clone().requires_grad_()
dpo_loss(chosen, *four[1:], beta=0.5).sum().backward()
step = 1e-5
up, down = (dpo_loss(four[0] + move, *four[1:], beta=0.5) for move in (step, -step))
print(f"−β · weight          {-0.5 * dpo_gradient_weight(*four, beta=0.5).item():.8f}")
print(f"automatic            {chosen.grad.item():.8f}")
print(f"finite differences   {((up - down) / (2 * step)).item():.8f}")

# %% [markdown]
# **What to notice.** Three lines, one number. (A library that many use, `trl`, is a fourth way: a test of this course
# holds the loss, and its gradient in every weight of a model, against `trl`'s trainer.)
#
# ## Labels that are wrong, and labels that always agree
#
# An annotator presses the wrong key in a share ε of the cases. DPO does not know: it takes the wrong keys for part of
# Bradley and Terry's own chance, and so for a smaller difference of rewards; and a single wrong label, seen again and
# again, asks for a gap without end. Your `dpo_loss` with `smoothing` *expects* wrong labels (the conservative loss,
# Mitchell 2023): no single label is worth more than a finite gap. It does not give back what the flips took. This one
# *corrects* for them, so that in the mean they cancel (Chowdhury et al. 2024):

# %%
# EXERCISE lablib.alignment.dpo_loss:robust_dpo_loss

# %% [markdown]
# Is it unbiased, is its *mean* over right and wrong labels what DPO would have lost on right ones alone? A pair whose
# true label is w over l, with one label in five turned round:

# %%
flipped = [four[1], four[0], four[3], four[2]]
losses = {
    "DPO": partial(dpo_loss, beta=1.0),
    "smoothed": partial(dpo_loss, beta=1.0, smoothing=0.2),
    "robust": partial(robust_dpo_loss, beta=1.0, flips=0.2),
}
print(f"DPO on the true label           {losses['DPO'](*four).item():.4f}")
for name, loss in losses.items():
    print(f"{name:<10}mean over noisy labels {0.8 * loss(*four).item() + 0.2 * loss(*flipped).item():.4f}")

# %% [markdown]
# **What to notice.** Only one of the three lines has the number of the first.
#
# The opposite trouble: a pair on which *everybody* agrees. Then Bradley–Terry's best reward difference is infinite,
# and no β can hold the policy. Azar et al. (2024) give the gap a target instead:

# %%
# EXERCISE lablib.alignment.dpo_relatives:ipo_loss

# %% tags=["varies"]
certain = (reward[:, None] > reward).double() + 0.5 * torch.eye(6, dtype=torch.float64)  # the better one, always
by_dpo = bandit.minimise(reference, certain, partial(dpo_loss, beta=1.0), steps=40)
by_ipo = bandit.minimise(reference, certain, partial(ipo_loss, tau=1.0))
often = certain.mean(dim=1)  # (K, K) -> (K,): how often each wins against one that is drawn evenly
written = (reference * often.exp()) / (reference * often.exp()).sum()
print(f"{'probability of':<16}{'reference':>10}{'DPO':>12}{'IPO':>10}{'formula':>10}   everybody agrees, β = τ = 1")
columns = (reference, by_dpo, by_ipo, written)
for name, *numbers in zip(names, *(column.tolist() for column in columns), strict=True):
    print(f"{name:<16}{numbers[0]:>10.3f}{numbers[1]:>12.1e}{numbers[2]:>10.3f}{numbers[3]:>10.3f}")

# %% [markdown]
# **What to notice.** DPO's column has no place to rest: it shows how far the optimiser had come after 40 steps. A
# larger gap is always better, and only what a computer can still tell from 0 ends the descent. β = 1 is a strong pull
# to the reference, and it does not matter. IPO's column has come to rest, and even the rude answer keeps two thirds of
# its probability. Where it rests can be written down, too: π_ref times the exponential of v/τ, divided by the sum of
# these, where v is how often an answer is preferred to one drawn evenly. It lies between 0 and 1, so no answer is ever
# lost.

# %%
curves = {
    "DPO": partial(dpo_loss, beta=1.0),
    "smoothed, ε = 0.2": partial(dpo_loss, beta=1.0, smoothing=0.2),
    "robust, ε = 0.2": partial(robust_dpo_loss, beta=1.0, flips=0.2),
    "IPO, τ = 0.1, divided by 25": lambda *four: ipo_loss(*four, tau=0.1) / 25,
}
h = torch.linspace(-8, 12, 201)
zero = torch.zeros_like(h)

# %%
fig, axes = figure(cols=2, width=9.4, height=3.2)
for (name, loss), colour in zip(curves.items(), COLOURS, strict=False):
    x = h.clone().requires_grad_()
    values = loss(x, zero, zero, zero)
    axes[0].plot(h, values.detach(), color=colour, label=name)
    axes[1].plot(h, -torch.autograd.grad(values.sum(), x)[0], color=colour)
axes[0].set(xlabel="h (nats)", ylabel="loss", title="the loss of a pair")
axes[1].set(xlabel="h (nats)", ylabel="push to a larger h", title="what it does")
axes[1].axhline(0, color=GREY, linewidth=1)
axes[0].legend(fontsize=8.5, loc="upper right")
Picture(fig, "Left: four losses against the gap h. Right: how hard each pushes h up; below zero it pulls h back.")

# %% [markdown]
# **What to notice.** On the right: DPO's push fades and never turns round. The smoothed one and IPO pull *back* beyond
# some gap. The robust one pushes harder than DPO everywhere, and by the same amount: even a pair that is long since
# learned is pushed on. That makes up for the pairs that were turned round, which push the other way. In the mean over
# the labels DPO's push is left; on a single pair the rest is noise.

# %% [markdown]
# ## The same, on a language model
#
# Now the tuned model of lab 09. It answers each prompt twice, and simulated annotators choose between the answers, as
# in lab 12: with noise, and one of them with a weakness for length.

# %% tags=["varies"]
sft, device = load("sft"), local_device()
tokenizer, special = sft.tokenizer, sft.tokenizer.special
reference_model = sft.model.to(device).requires_grad_(False)
collected = collect(reference_model, tokenizer, lab.profile.pick(smoke=24, laptop=900, gpu=5000), Random("lab 13"))
learn, test = held_out_by_prompt(collected.pairs, share=0.15)
print(f"{sft.origin}: {sft.model.config.parameters:,} parameters")
print(f"{collected.drawn} pairs of answers drawn in {collected.seconds:.0f} s;", end=" ")
print(f"{collected.identical} of them dropped: twice the same;")
print(f"{len(learn)} pairs to learn from, {len(test)} to test on, of other prompts")

# %% tags=["varies"]
Gallery(
    [
        Card(pair.asked, f"chosen: {pair.chosen}\nrejected: {pair.rejected}", f"label by: {pair.annotator}")
        for pair in learn[:4]
    ],
    letters=260,
)

# %% [markdown]
# How likely is an answer under the model? The model gives a log-probability for each token; those of the answer are
# to be added up.

# %%
# EXERCISE lablib.alignment.log_probs:sequence_log_probs

# %% tags=["varies"]
first = learn[:4]
responses = [p.chosen_ids for p in first] + [p.rejected_ids for p in first]
some = answers([p.prompt_ids for p in first] * 2, responses, special[PAD])
with torch.no_grad():
    nats = sequence_log_probs(response_log_probs(reference_model, some.to(device)).cpu(), some.mask)
for pair, a, b in zip(first, *nats.split(len(first)), strict=False):
    print(f"chosen {a:8.2f} nats ({len(pair.chosen_ids)} tokens), rejected {b:8.2f} ({len(pair.rejected_ids)} tokens)")

# %% [markdown]
# **What to notice.** Which of the two is likelier says little: a longer answer has more factors, and a smaller product.
# DPO does not ask that the chosen one become the likelier; it asks by how much each *moves* from where it is now.
#
# ### The reference, once
#
# It is often said that DPO needs only one model. It needs two: h has the reference in it. But the reference never
# changes, and neither do the pairs. So its log-probabilities are computed once, two numbers a pair, and then the copy
# can go.

# %% tags=["varies"]
dtype = "auto"
table = preference_table(reference_model, *parts(learn), special[PAD], dtype=dtype)
test_table = preference_table(reference_model, *parts(test), special[PAD])
kept = 2 * len(table) * table.reference.element_size()
weights = sum(w.numel() * w.element_size() for w in reference_model.parameters())
print(f"{kept:,} bytes in the place of a second model of {weights:,} bytes")

# %% [markdown]
# ## DPO, live
#
# No answer is written and none is rewarded in training: each step reads a batch of pairs. What is measured beside it,
# now and then, is what the policy *does*: the KL from the tuned model and the gold score of its own answers. **Guess
# before you run it:** will the log-probability of the *chosen* answers rise?

# %%
n, beta = lab.profile.pick(smoke=4, laptop=16), 0.1
recipe = replace(dpo.RECIPE, steps=lab.profile.pick(smoke=3, laptop=90, gpu=300), batch=n, lr=5e-4, dtype=dtype)
asked = Prompts(lab.profile.pick(smoke=4, laptop=64, gpu=200), split="held_out")(0)
stops = [special[STOP], special[BEGIN]]


def gold_of(model) -> float:
    """The mean gold reward of answers at temperature 1, the same chance each time."""
    drawn = sample(model, tokenizer, asked, torch.Generator().manual_seed(0), Sampling())
    return sum(gold_reward(one) for one in gold([response[0] for response in drawn])) / len(asked)


def kl_of(model) -> float:
    """KL(π ‖ π_ref) on the policy's own answers, nats per answer."""
    prompts = [as_ids(one.prompt, tokenizer) for one in asked]
    return policy_kl(model, reference_model, prompts, stops, torch.Generator().manual_seed(0)).mean().item()


# %%
panels = [
    Panel(["accuracy"], y="share of pairs", title="implicit accuracy (batch)", y_range=(0, 1), levels={"a coin": 0.5}),
    Panel(["chosen", "rejected", "margin"], y="nats, moved from the reference", title="log-probabilities"),
    Panel(["gold"], y="gold reward", title="its own answers"),
    Panel(["KL"], y="nats per answer", title="KL from the tuned model"),
]


# %%
def train_with(loss: dpo.PairLoss, alt: str):
    """Train a copy of the tuned model; the chart, the policy and the steps."""
    policy = copy.deepcopy(reference_model).requires_grad_(True)
    steps, every = [], max(1, -(-recipe.steps // 4))
    with LiveChart(panels, alt=alt, width=12) as chart:
        for step in dpo.train(policy, table, recipe, loss, kl=kl_of, gold=gold_of, every=every):
            steps.append(step)
            chart.add(step.step, accuracy=step.accuracy, chosen=step.chosen_moved, rejected=step.rejected_moved)
            chart.add(step.step, margin=step.margin)
            if step.gold is not None:
                chart.add(step.step, gold=step.gold, KL=step.kl)
    return chart, policy.eval(), steps


# %% tags=["varies"]
alt = "By step: implicit accuracy; how far chosen and rejected log-probabilities have moved; gold reward and KL."
chart, policy, steps = train_with(lambda pairs: dpo_loss(*pairs.four, beta=beta), alt)

# %% tags=["varies"]
now, before = sums(policy, test_table.answers).split(len(test)), test_table.reference.split(len(test))
accuracy = implicit_accuracy(*now, *before).item()
print(f"{len(steps)} steps of {n} pairs in {sum(s.seconds for s in steps):.0f} s;", end=" ")
print(f"each of {len(table)} pairs was read {len(steps) * n / len(table):.1f} times")
half, ceiling = 1.96 * (accuracy * (1 - accuracy) / len(test)) ** 0.5, noise_ceiling(label_probabilities(test))
print(f"implicit accuracy on {len(test)} held-out pairs: {accuracy:.3f} ± {half:.3f}")
print(f"somebody who knows every probability: {ceiling.mean:.3f} on average, [{ceiling.low:.3f}, {ceiling.high:.3f}]")
print(f"gold {steps[0].gold:.3f} -> {steps[-1].gold:.3f}, KL {steps[-1].kl:.2f} nats per answer")
print(f"half of both movements (see below): {(now[0] - before[0] + now[1] - before[1]).mean() / 2:+.2f} nats")
for name, a, b in zip(("chosen", "rejected"), now, before, strict=True):
    print(f"held-out {name:<9}{b.mean():8.2f} -> {a.mean():8.2f} nats")

# %% [markdown]
# **What to notice.** The first panel is about the pairs that are learned from. Where they are read a second time it
# jumps, and that is memory. The accuracy on held-out pairs is the one that counts: does its ± hold 0.5? Then this run
# has not been shown to order new pairs at all. (The record further down has runs from more pairs, each read once.)
#
# It is that of the policy *read as a reward model*, on labels that are partly coins. The
# ceiling is that of somebody who knows the annotators by heart, but neither which of them was asked nor how the coin
# fell (lab 12). Gold is a mean over few answers: a difference below about 0.1 may be chance. The margin is the distance
# between the other two lines of the second panel. Which one makes it?
#
# The last two lines that were printed answer your guess for pairs that were not learned from. In the record further
# down the chosen answers became *less* likely in every run, whatever the loss and its strength. Where they do, the
# margin is made by the rejected ones alone: they fall faster.
#
# What does it say now, each time its likeliest token, where it said something else before?

# %% tags=["varies"]
pair_of = [sample(m, tokenizer, asked, None, None) for m in (reference_model, policy)]
changed = [(a[0], b[0]) for a, b in zip(*pair_of, strict=True) if a[0].text != b[0].text][:6]
cards = [Card(a.instruction.prompt, f"before: {a.text}\nafter: {b.text}") for a, b in changed]
Gallery(cards or [Card("no prompt", "No answer has changed.")], letters=260)

# %% [markdown]
# ## The chosen answer becomes less likely. Why?
#
# The loss knows only the *difference*. It falls just as well when both go down and the rejected one goes down faster.
# There are two reasons why they should.
#
# The first needs no network. Both answers of a pair were drawn from the reference; the label only says which is called
# chosen. So over both together the mean of log π/π_ref is that over the reference's own answers, which is −KL(π_ref ‖
# π): never above 0, and lower the further the policy has gone (compare Rafailov et al. 2024); your line *half of both
# movements* is an estimate of it. Chosen answers can rise
# on average only by less than rejected ones fall. The six answers again, at the best policy for β = 0.3:

# %%
drawn = 2 * reference[:, None] * reference * by_reward  # (K, K): i chosen, j rejected, both drawn from the reference
shift = (best / reference).log()  # (K,), nats
up, down = (drawn.sum(dim=1) @ shift).item(), (drawn.sum(dim=0) @ shift).item()
print(f"mean over pairs: chosen {up:+.3f}, rejected {down:+.3f}; half their sum {(up + down) / 2:+.3f}")
print(f"−KL(π_ref ‖ best policy) {(reference * shift).sum().item():+.3f}")

# %% [markdown]
# **What to notice.** This is a table, and the exact solution: still the chosen answers are less likely than before. (In
# your run pairs that said the same twice were dropped, so there it holds only nearly; and only on held-out pairs.)
#
# The second reason is that a model's answers share weights. In a table, one number for each answer, a small step on
# *one* pair raises its chosen answer. In a model, what pushes the rejected answer down pushes down all that resembles
# it, and few things resemble it as much as the chosen one: both were written by the same model, to the same prompt.
#
# It can be computed (after Razin et al. 2024). Three answers with two *features* each, the numbers φ(k): the chosen and
# the rejected one are much alike, the third is another kind of thing. π is a softmax of a weighted sum of the features.
# A small step of DPO moves the weights along φ(w) − φ(l), and so log π(k) in proportion to
# ⟨φ(k) − E φ, φ(w) − φ(l)⟩, where ⟨·, ·⟩ is the scalar product and E φ the mean of the features under π:

# %%
for name, features in (
    ("a table", torch.eye(3)),
    ("alike", torch.tensor([[1.0, 0.2], [1.0, 0.0], [0.0, 1.0]])),
):
    up, down = bandit.chosen_moves(features, torch.zeros(features.shape[1]), chosen=0, rejected=1)
    third = 0 - up - down  # all three are equally likely here, so their changes sum to 0
    print(f"{name:<10}chosen {up:+.3f}, rejected {down:+.3f}, third {third:+.3f}; the gap {up - down:+.3f}")

# %% [markdown]
# **What to notice.** In both lines the gap grows. In the second the chosen answer *falls*, only less than the rejected
# one. What both have in common cancels in φ(w) − φ(l). Of the little that is left the third answer has most, so the
# probability of both goes there, where nobody wanted it. Whether that is harmful depends on what the third is. (One
# model was taught to prefer *No* to *Never*, and *Yes* became likelier; the same paper.) That is why one watches gold,
# or whatever one has in its place, and not the margin. Remedies: better pairs (that differ in more than a word), a term
# that keeps the chosen answer likely (Pal et al. 2024, *Smaug*), a larger β, fewer steps.
#
# In your run, pair by pair: do pairs whose answers are alike move otherwise than those that differ?

# %% tags=["varies"]
moved = [(a - b).tolist() for a, b in zip(now, before, strict=True)]
alike = [len(set(p.chosen_ids) & set(p.rejected_ids)) / len(set(p.chosen_ids) | set(p.rejected_ids)) for p in test]
fig, ax = figure(width=6.4, height=3.6)
points = ax.scatter(*moved, c=alike, cmap="Blues", vmin=-0.3, vmax=1, s=16)
ax.axhline(0, color=GREY, linewidth=1)
ax.axvline(0, color=GREY, linewidth=1)
ax.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--")
ax.set(xlabel="chosen: moved by (nats)", ylabel="rejected: moved by (nats)")
fig.colorbar(points, label="tokens that both have (share)").ax.set_ylim(0, 1)
Picture(fig, "Held-out pairs: how far the chosen and the rejected answer moved; darker where the two are more alike.")

# %% tags=["varies"]
order = sorted(range(len(test)), key=alike.__getitem__)
for name, half in (("less alike", order[: len(test) // 2]), ("more alike", order[len(test) // 2 :])):
    x, y = (torch.tensor([side[k] for k in half]) for side in moved)
    print(f"{name}: chosen {x.mean():+.2f} nats ({(x < 0).float().mean():.0%} fell)", end=", ")
    print(f"rejected {y.mean():+.2f}, h {(x - y).mean():+.2f}, |h| {(x - y).abs().mean():.2f}")

# %% [markdown]
# **What to notice.** Left of the vertical line the chosen answer has become less likely. Below the dashed diagonal the
# policy, read as a reward model, orders the pair as its label does.
#
# The distance from that diagonal is |h|, but for a factor of √2. So if the printed |h| is smaller for the more alike
# half, dark points lie nearer to the diagonal: what two answers share moves both by the same, and cancels in h. And if
# a larger share of the chosen ones fell there, that is what the second reason leads you to expect; a smaller one speaks
# against it for this run. But each half has few pairs, so that shares of them are uncertain by some 15 points, and
# pairs that are alike differ from the others in more than that, in their length for one: one run is an illustration,
# and no proof.
#
# ## How large a β?
#
# These runs take longer than a lab. They were made once, by the command that each file names: DPO, IPO and smoothed
# DPO (ε = 0.1), each at several strengths. (They were made on a GPU; the same commands run on a laptop's CPU, in hours.
# It rounds differently, and where a policy goes far a single seed may end elsewhere: read the ranges.) A seed has pairs
# of its own, of which each is read once; others, to other prompts, are held out. It also has 400 prompts of its own, by
# which its policies are judged. All runs have the learning rate 5e-4, which was settled beforehand for DPO at β = 0.1;
# the other losses have to live with it. One seed was run at other rates, too.
#
# Equal numbers are not equal strengths. For a pair that is preferred a little more often than not, in a share p, DPO
# rests at h = 4(p − ½)/β, IPO at (p − ½)/τ. So read the curves of different methods against what they cost, below.


# %%
def recorded(file: str) -> dict[str, list[dict]]:
    """The runs of a study by their label, one for each seed."""
    runs: dict[str, list[dict]] = {}
    for run in json.loads(data_path(f"experiments/{file}.json").read_text(encoding="utf-8"))["runs"]:
        runs.setdefault(run["label"], []).append(run)
    return runs


def seen(runs: list[dict], value: Callable[[dict], float]) -> tuple[float, float, float]:
    """Mean, smallest and largest over the seeds."""
    return over_seeds([value(run) for run in runs])


def gold_after(run: dict) -> float:
    """The mean gold reward of the policy's answers to held-out prompts."""
    return run["after"]["gold"][0]


def kl_after(run: dict) -> float:
    """KL(π ‖ π_ref), nats per answer."""
    return run["after"]["kl"]


# %%
TUNED = {run["seed"]: run["before"] for run in recorded("rlhf_beta")["beta=0.2"]}  # the same prompts, before training
NAMES = {"dpo": "DPO", "ipo": "IPO"}


def band(runs: list[dict], value: Callable[[dict], float], digits: int = 3) -> str:
    """Mean and range over the seeds, to be printed."""
    mean, low, high = (f"{x:.{digits}f}" for x in seen(runs, value))
    return f"{mean} [{low}, {high}]"


def gain(run: dict) -> float:
    """By how much gold rose over the tuned model's, on the prompts of that seed."""
    return gold_after(run) - TUNED[run["seed"]]["gold"][0]


# %%
for label, (run,) in recorded("dpo_rates").items():
    low, high = run["after"]["gold"][1:]
    print(f"{label:<10} gold {gold_after(run):.3f} [{low:.3f}, {high:.3f}] over prompts, KL {kl_after(run):4.1f}")
words = [run["words"] for run in TUNED.values()]
print(f"tuned model: gold {TUNED[0]['gold'][0]:.3f} on these prompts;", end=" ")
print(f"over three seeds' prompts {sum(run['gold'][0] for run in TUNED.values()) / 3:.3f}, {sum(words) / 3:.1f} words")

# %% [markdown]
# **What to notice.** The record does not bear the choice out. At 2e-4 this seed has at least as much gold as at 5e-4,
# and stayed much nearer to the tuned model. The intervals of these two overlap, so one seed cannot decide; only 2e-3
# lies clearly below the others. Why not take 2e-4, then? Because this seed's prompts judge the studies below, too:
# whoever chooses by them has seen the exam. So what follows is DPO at a rate that may well be too high for it. (Lab 15
# draws prompts of its own, so it may take 2e-4, and does.)


# %%
def lines(ax, runs: dict[str, list[dict]], x: str, value: Callable[[dict], float]) -> None:
    """A line with its band for each method, against a setting of the runs."""
    methods = dict.fromkeys(found[0]["method"] for found in runs.values())
    for method, colour, marker in zip(methods, COLOURS, "os^Dv", strict=False):
        mine = [found for found in runs.values() if found[0]["method"] == method]
        means, lows, highs = zip(*(seen(found, value) for found in mine), strict=True)
        at = [found[0][x] for found in mine]
        ax.plot(at, means, marker=marker, color=colour, label=NAMES.get(method, method))
        ax.fill_between(at, lows, highs, color=colour, alpha=0.2, linewidth=0)


# %%
strengths = recorded("dpo_beta")
some_run = next(iter(strengths.values()))[0]
print(f"each run: {some_run['learned_from']:,} pairs, once; {some_run['held_out']['n']} pairs held out")
ticks = sorted({runs[0]["strength"] for runs in strengths.values()})

# %%
fig, axes = figure(cols=3, width=10, height=3.2)
values = {
    "gold reward": gold_after,
    "KL (nats per answer)": kl_after,
    "chosen moved (nats)": lambda run: run["held_out"]["chosen_moved"],
}
for ax, (name, value) in zip(axes, values.items(), strict=True):
    lines(ax, strengths, "strength", value)
    ax.set(xlabel="β (IPO: τ)", ylabel=name, xscale="log")
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.minorticks_off()
axes[0].axhline(sum(run["gold"][0] for run in TUNED.values()) / 3, color=GREY, linestyle="--", label="tuned model")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
Picture(fig, "Gold reward, KL and the movement of chosen answers against β, for three losses, with bands over seeds.")

# %%
fig, ax = figure(width=6.4, height=3.2)
for method, colour, marker in zip(("dpo", "ipo", "smoothed"), COLOURS, "os^", strict=False):
    mine = [run for runs in strengths.values() for run in runs if run["method"] == method]
    label = NAMES.get(method, method)
    ax.plot([kl_after(run) for run in mine], [gain(run) for run in mine], marker, color=colour, label=label)
ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
ax.set(xlabel="KL (nats per answer, logarithmic)", ylabel="gold less the tuned model's", xscale="log")
ax.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
ax.minorticks_off()
ax.legend(fontsize=8.5)
Picture(fig, "Gain in gold reward over the tuned model against KL, a dot for each run of three losses.")


# %%
def gap(run: dict) -> float:
    """The mean h of the held-out pairs, nats."""
    return run["held_out"]["chosen_moved"] - run["held_out"]["rejected_moved"]


print("mean [range] of 3 seeds")
print(f"{'':<14}{'gold':<21}{'KL':<17}{'words':<19}{'chosen moved':<22}h")
for name, runs in strengths.items():
    print(f"{name:<14}{band(runs, gold_after):<21}{band(runs, kl_after, 1):<17}", end="")
    print(f"{band(runs, lambda run: run['after']['words'], 1):<19}", end="")
    print(f"{band(runs, values['chosen moved (nats)'], 2):<22}{seen(runs, gap)[0]:.1f}")
all_runs = [run for runs in strengths.values() for run in runs]
moves = [run["held_out"]["chosen_moved"] for run in all_runs]
print(f"held-out chosen answers became less likely in {sum(x < 0 for x in moves)} of {len(moves)} runs")

# %%
for low, high in ((0, 0.5), (0.5, 4), (4, 30)):
    inside = [run for run in all_runs if low <= kl_after(run) < high]
    of_first = sum(run["seed"] == 0 for run in inside)
    print(f"KL {low:>3} to {high:>3}: {len(inside):>2} runs, {of_first} of seed 0;", end=" ")
    print(f"gain in gold {band(inside, gain)}, words {band(inside, lambda run: run['after']['words'], 1)}")
print("words in those that went furthest:", *sorted(round(run["after"]["words"], 1) for run in inside))

# %% [markdown]
# **What to notice.** *Which β?* DPO's mean gold is highest at 0.3. But its ranges at 0.1, 0.3 and 1 overlap, so these
# runs do not name a best one. IPO at τ = 1 is back where the tuned model was: the pull is so strong that hardly
# anything is learned.
#
# *How far?* A small β *may* go far. At 0.03 the KL of DPO's three seeds lies between 2.0 and 22.3 nats, at 0.3 between
# 0.8 and 1.2. A likely reason: at 0.03 the mean gap h is 2.8 nats, so βh is still below 0.1, and the weight σ(−βh) has
# hardly left the ½ that it began with. Then it is not the loss that ends a run, but the end of the pairs. What nothing
# holds depends on small things: on the seed, and probably even on rounding.
#
# *What does it cost?* In the second figure gold rises with KL, has its best between about half a nat and four, and is
# lower again beyond: there the largest gain is smaller than the smallest between. Those are five runs, four of them of
# one seed: enough to say that it happens, too few to say how often. Four of the five also write longer answers, 16.8
# words and more beside the tuned model's 11.1. One of the annotators likes length. So a guess is that they learned that
# taste along with everything else; it would be the over-optimisation of lab 12, without a reward model.
#
# *The chosen answers* fell in every run, the less the larger β is, since there nothing moves much.
#
# *Which loss?* Look along a vertical line, at equal KL: the three kinds of dots lie on one hill, and none lies above
# the others. IPO's stay further left, at the same numbers on the axis; that is the different meaning of τ.
#
# ## What do wrong labels do?
#
# Here the labels are the gold ones, and a stated share of them is turned round. The smoothed and the robust loss are
# told that share; nobody tells you so in life. (At 0 both are DPO, so their lines begin further
# right. Pairs that are equal in gold are left out.)

# %%
noisy = recorded("dpo_noise")
fig, axes = figure(cols=2, width=9.4, height=3.2)
lines(axes[0], noisy, "flips", gold_after)
lines(axes[1], noisy, "flips", lambda run: run["held_out"]["accuracy"])
for ax, name in zip(axes, ("gold reward", "accuracy, held-out gold labels"), strict=True):
    ax.set(xlabel="share of labels turned round", ylabel=name)
    ax.set_xticks([0, 0.2, 0.4])
axes[0].axhline(sum(run["gold"][0] for run in TUNED.values()) / 3, color=GREY, linestyle="--", label="tuned model")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
Picture(fig, "Gold reward and held-out accuracy against the share of wrong labels, four losses, with bands over seeds.")

# %%
sizes = {(run["learned_from"], run["held_out"]["n"]) for runs in noisy.values() for run in runs}
print("pairs to learn from and held out, by seed:", ", ".join(f"{a} and {b}" for a, b in sorted(sizes)))
print("mean [range] of 3 seeds")
print(f"{'':<13}{'gold less plain DPO':<23}{'gold less tuned':<23}{'accuracy':<21}{'KL':<15}h")
for name, runs in noisy.items():
    plain = {run["seed"]: gold_after(run) for run in noisy[f"dpo {runs[0]['flips']:g}"]}
    versus = band(runs, lambda run, plain=plain: gold_after(run) - plain[run["seed"]])
    accuracy = band(runs, lambda run: run["held_out"]["accuracy"])
    print(f"{name:<13}{'' if name[:3] == 'dpo' else versus:<23}{band(runs, gain):<23}{accuracy:<21}", end="")
    print(f"{band(runs, kl_after, 1):<15}{seen(runs, gap)[0]:.1f}")
for name in ("dpo", "ipo"):
    lost = [gold_after(b) - gold_after(a) for a, b in zip(noisy[f"{name} 0"], noisy[f"{name} 0.4"], strict=True)]
    print(f"{NAMES[name]}: gold at 0.4 less gold at 0, by seed: " + ", ".join(f"{x:+.3f}" for x in lost))

# %% [markdown]
# **What to notice.** *None of the four bears wrong labels visibly better.* The first column compares each run with DPO
# on the same pairs and the same wrong labels. In every row with wrong labels the range goes from below 0 to 0 or above.
# (IPO on right labels has more gold than DPO in all three seeds. But three equal signs of three come by chance in one
# case of four, and equal numbers are not equal strengths.)
#
# *What the wrong labels cost.* At one in five nothing can be seen in gold. At two in five DPO and IPO have less gold in
# every seed than at 0, and so little is left of the gain over the tuned model that its range holds 0 for all four
# losses. Accuracy falls, too; but it is measured on few pairs, and its ranges at 0 and 0.2 overlap.
#
# *Why are they so alike, if the losses are not?* Probably because these runs on average do not come to where the losses
# part. β is 0.1 and the mean gap at most 3.5 nats, so βh is on average about 0.35 or less. (Single pairs
# may go further: in the live run the mean of |h| was several times that of h.) There the curves of DPO, smoothed and
# robust (in the figure further up, where β is 1) are nearly straight lines. They differ in slope, and AdamW divides a
# constant factor out of the gradient. The smoothed loss turns back only at 14 nats for ε = 0.2, and at 4 for ε = 0.4
# (question 5). IPO does brake: its target is 1/(2τ) = 5 nats, and its KL is lower than DPO's in each group. So this is
# no verdict on the robust loss: here each pair is read once. What it promises is about the mean, and where few labels
# are read again and again it may look different.

# %% [markdown]
# ## Two relatives
#
# **KTO** (Ethayarajh et al. 2024) needs no pairs, only answers that somebody called good or bad. Good or bad compared
# with what? With how far the policy has moved *on the whole*, which is z₀. With r = log π/π_ref of an answer, the loss
# is 1 − σ(β(r − z₀)) for a good answer and 1 − σ(β(z₀ − r)) for a bad one. An honest z₀, KL(π ‖ π_ref), would need
# answers of the policy; answers that belong to another prompt stand in for them, and what comes out below 0 is taken as
# 0.

# %%
# EXERCISE lablib.alignment.dpo_relatives:kto_reference_point

# %% [markdown]
# **SimPO** (Meng et al. 2024) needs no reference: the reward is the mean log-probability of a token, and the chosen
# answer must win by a margin.

# %%
# EXERCISE lablib.alignment.dpo_relatives:simpo_loss


# %%
def kto(pairs: dpo.PairLogProbs) -> Tensor:
    """The pairs taken apart into good and bad answers: (2n,)."""
    z0 = kto_reference_point(pairs.stray, pairs.ref_stray)
    mine, theirs = torch.cat([pairs.chosen, pairs.rejected]), torch.cat([pairs.ref_chosen, pairs.ref_rejected])
    good = torch.arange(len(mine), device=mine.device) < len(mine) // 2
    return kto_loss(mine, theirs, good, z0, beta=0.1)


def simpo(pairs: dpo.PairLogProbs) -> Tensor:
    """One loss for each pair: (n,)."""
    return simpo_loss(pairs.chosen, pairs.rejected, pairs.chosen_lengths, pairs.rejected_lengths)


# %% tags=["varies"]
short = replace(recipe, steps=lab.profile.pick(smoke=1, laptop=15))
few_pairs = parts(learn[: max(n, short.steps * n)])
kto_table = preference_table(reference_model, *few_pairs, special[PAD], mismatched=True, dtype=dtype)  # strays for z₀
for name, loss in (("DPO", lambda pairs: dpo_loss(*pairs.four)), ("KTO", kto), ("SimPO", simpo)):
    few = list(dpo.train(copy.deepcopy(reference_model).requires_grad_(True), kto_table, short, loss))
    print(f"{name:<7}{len(few)} steps, margin {few[-1].margin:+.2f} nats")

# %% [markdown]
# **What to notice.** Each number is of one batch, so little more than a sign of life. The losses are of three kinds and
# may not be compared with each other; the margin, in nats moved from the tuned model, is the same for all. The record
# says what a whole pass comes to:

# %%
family = recorded("dpo_relatives")
interval_chart(
    {name: {"gold": seen(runs, gold_after)} for name, runs in family.items()},
    "Gold reward of policies trained by DPO, KTO and SimPO on the same pairs: means and ranges of three seeds.",
    x="gold reward (mean and range of 3 seeds)",
    x_range=None,
)

# %%
print(f"{'':<8}{'gold':>8}{'KL':>9}{'words':>8}{'accuracy':>10}{'chosen':>9}{'rejected':>10}   mean of 3 seeds")
for name, runs in family.items():
    held_out = [run["held_out"] for run in runs]
    accuracy, up, down = (
        over_seeds([one[key] for one in held_out])[0] for key in ("accuracy", "chosen_moved", "rejected_moved")
    )
    print(f"{name:<8}{seen(runs, gold_after)[0]:>8.3f}{seen(runs, kl_after)[0]:>9.1f}", end="")
    print(f"{seen(runs, lambda run: run['after']['words'])[0]:>8.1f}{accuracy:>10.3f}{up:>9.1f}{down:>10.1f}")
for name in ("KTO", "SimPO"):
    more = [gold_after(a) - gold_after(b) for a, b in zip(family["DPO"], family[name], strict=True)]
    print(f"gold of DPO less {name}'s, by seed: {', '.join(f'{x:+.3f}' for x in more)}; KL", end=" ")
    print(band(family[name], kl_after, 1))

# %% [markdown]
# **What to notice.** One strength of each was tried, so figure and table compare settings, and not methods.
#
# *SimPO* has nothing that holds it, and still went least far: 0.8 nats of KL, and its chosen answers fell least. One
# pass at this rate is short; that it would stay near in a longer one does not follow. Its answers are as short as the
# tuned model's, DPO's and KTO's are longer. That fits a loss that divides by length, where a longer answer earns
# nothing; but the table does not prove it.
#
# *Gold.* In each of the three seeds DPO has more than either relative. But the ranges in the figure overlap, three
# equal signs of three are weak, and the rate was settled for DPO. If SimPO's gold is really lower, it does not pay for
# going far. *KTO* went furthest, and its seeds lie widest apart. Read by h, which is DPO's reward (SimPO's own
# would be the mean log-probability of a token), the three order the held-out pairs about equally well.
#
# ## DPO against PPO, on the same preferences
#
# Lab 12's reward model of each seed learned from some thousands of pairs, each read about twice. Here DPO learned from
# the very same pairs, each read once. PPO then wrote answers of its own, thousands of them, and was told the reward
# model's opinion of each. The reward model's unit is the nat, and PPO's β is the price of a nat of KL, as in J above.
# So by the theorem both look for the same policy *at the same β*: compare rows of equal β first. (Whoever takes the
# best of several rows picks it by the gold that it is praised for.) *Refuses* is the share of fine requests that are
# refused.

# %%
ppo_runs = recorded("rlhf_beta")
rivals = recorded("dpo_against") | {name.replace("beta=", "PPO, β = "): runs for name, runs in ppo_runs.items()}
rivals = {name: rivals[name] for name in sorted(rivals, key=lambda name: float(name.split()[-1]), reverse=True)}
interval_chart(
    {name: {"gold": seen(runs, gold_after)} for name, runs in rivals.items()},
    "Gold reward of DPO and of PPO at several β, on the same preferences: means and ranges of three seeds.",
    x="gold reward (mean and range of 3 seeds)",
    x_range=None,
    levels={"tuned model": sum(run["gold"][0] for run in TUNED.values()) / 3},
)

# %%
fig, ax = figure(width=6.8, height=3.4)
for (name, runs), marker in zip(rivals.items(), "XoossDD^", strict=False):
    colour = COLOURS[name.startswith("PPO")]
    ax.plot([kl_after(run) for run in runs], [gain(run) for run in runs], marker, color=colour, label=name)
ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
ax.set(xlabel="KL (nats per answer, logarithmic)", ylabel="gold less the tuned model's", xscale="log")
ax.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
ax.minorticks_off()
ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Gain in gold reward over the tuned model against KL, a dot for each run: best is high and left.")

# %%
print(f"{'':<15}{'gold less tuned':<24}{'KL':<19}{'words':>6}{'refuses':>9}   mean [range], 3 seeds")
words, refused = (sum(run[of] for run in TUNED.values()) / 3 for of in ("words", "refuses_questions"))
print(f"{'tuned model':<58}{words:>6.1f}{refused:>9.0%}")
for name, runs in rivals.items():
    words, refused = (seen(runs, lambda run, of=of: run["after"][of])[0] for of in ("words", "refuses_questions"))
    print(f"{name:<15}{band(runs, gain):<24}{band(runs, kl_after, 1):<19}{words:>6.1f}{refused:>9.0%}")
for name in ("DPO, β = 0.4", "DPO, β = 0.2", "DPO, β = 0.1"):
    both = list(zip(rivals[name], rivals[name.replace("DPO", "PPO")], strict=True))
    for what, value, digits in (("gold", gold_after, 3), ("KL", kl_after, 1)):
        less = ", ".join(f"{value(a) - value(b):+.{digits}f}" for a, b in both)
        print(f"{name}: {what} less PPO's at that β, by seed: {less}")

# %%
one_model = sum(w.numel() for w in reference_model.parameters()) / 1e6
pairs_read = [run["learned_from"] for run in rivals["DPO, β = 0.1"]]
print(f"DPO learned from {min(pairs_read):,} to {max(pairs_read):,} pairs")
print(f"{'':<5}{'models: learn / there':>23}{'million weights':>17}")
for name in ("DPO", "PPO"):
    learning = rivals[f"{name}, β = 0.1"][0]["trainable_weights"] / 1e6
    held = learning if name == "DPO" else learning + 2 * one_model  # PPO: reference and reward model, too
    print(f"{name:<5}{round(learning / one_model):>19} / {round(held / one_model)}{held:>17.1f}")

# %%
timed = recorded("rlhf_seconds")
seconds = {name: seen(runs, lambda one: one.get("seconds", one.get("step_seconds"))) for name, runs in timed.items()}
print(f"{'seconds':<8}{'pairs':>7}{'before':>22}{'steps':>22}{'together':>10}")
for name in ("DPO", "PPO", "GRPO"):
    first = "table" if name == "DPO" else "reward model"
    steps, each = timed[name][0]["steps"], seconds[name][0]
    parts = f"{first} {seconds[first][0]:.0f}", f"{steps} x {each:.2f} = {steps * each:.0f}"
    together = seconds["pairs"][0] + seconds[first][0] + steps * each
    print(f"{name:<8}{seconds['pairs'][0]:>7.0f}{parts[0]:>22}{parts[1]:>22}{together:>10.0f}")

# %% [markdown]
# **What to notice.** The table of models is by construction: DPO trains one model, and its reference has become a table
# of numbers; PPO holds four models, of which two learn (policy and value function), and needs the reward model trained
# before. DPO writes no answer while it learns. That is what it saves.
#
# In *seconds*, timed one behind the other on two CPU cores with nothing else to do: the steps of DPO take less than
# half of what those of PPO take, but the pairs have to be written for either, and before its steps DPO lets the
# reference read them once, where PPO trains a reward model. From the tuned model to the end DPO needs less than half of
# PPO's time here, and a little more than half of GRPO's. (A step of DPO reads 32 pairs and a step of PPO or GRPO writes
# and reads 32 answers; each has the number of steps that it has in the table above.)
#
# *At equal β* gold cannot tell the two apart: at each of the three β the differences by seed have both signs. From
# β = 0.2 upwards every row of either method gains about 0.05 over the tuned model, and no range there comes near 0. At
# 0.1 both gain less on average, and their seeds lie further apart.
#
# *They did not find the same policy*, as the theorem says they should. At 0.4 and 0.2 DPO went further in every seed,
# at 0.1 in two of three. But the theorem speaks of the top of J, and nobody says that either of them is there. PPO made
# a limited number of steps. DPO read a limited number of pairs, and nothing tells it what to do with answers that are
# in none of them. The reward model has errors of its own. Which of these it was, the record does not say. *At equal KL*
# compare DPO at 0.4 with PPO at 0.2, both at 0.7 nats: their gains overlap as well.
#
# *Far out* the two go to different places. PPO at 0.02 has lost gold on average, and refuses 67 % of all fine requests
# (the tuned model 10 %); its seeds lie between a loss of 0.124 and a gain of 0.059. DPO's answers at 0.1 are longer
# than the tuned model's, but it refuses only 3 %. KL says how far a policy went, not where to. (DPO was not run at 0.02
# on these pairs, so this does not show that it would have fared better there.)
#
# Xu et al. (2024) and Ivison et al. (2024) found PPO ahead where both are done well. These runs carry neither that nor
# the opposite: a small model, three seeds, and one recipe for each, with no search for the settings that are best for
# it.
#
# What DPO cannot do stands in its loss: it reads pairs that were there before. The better the policy becomes, the
# less its own answers resemble them. PPO looks at what the policy says *now*. (Online DPO collects new pairs on the
# way, and is then no longer so cheap.)
#
# ## Questions to think about
#
# <details><summary>1. The implicit accuracy is 1/2 before the first step, whatever the data. Why?</summary>
#
# Policy and reference are the same, so h is 0 for every pair, and every pair a tie, which counts half. A reward model
# begins with chance, too; but DPO's begins with *exactly* chance.
#
# </details>
#
# <details><summary>2. Why is the log-probability of an answer a sum over its tokens, and not a mean?</summary>
#
# The derivation speaks of π(y | x), the probability of the whole answer, and that is a product. With means, each
# answer's weight would depend on its length; SimPO does so on purpose, and pays with losing the theorem.
#
# </details>
#
# <details><summary>3. Two answers of a pair are identical. What does DPO learn from it?</summary>
#
# Nothing: h is 0 whatever the weights are, so its gradient is 0, while its loss stays log 2. `preference_table`
# refuses such pairs, since they would only take up time, and make the mean loss look worse than it is.
#
# </details>
#
# <details><summary>4. Somebody adds 5 to the reward of every answer to a prompt. What changes?</summary>
#
# Nothing, in π*, in Bradley–Terry and in DPO: it is in Z, and cancels. For PPO it changes the value function's work,
# and where only finished answers are rewarded, 5 more makes it worth more to finish at all.
#
# </details>
#
# <details><summary>5. With smoothing ε, at which h is the loss of a pair smallest?</summary>
#
# Where σ(βh) = 1 − ε: at h = (1/β) log((1 − ε)/ε). With β = 0.1 and ε = 0.1 that is 22 nats.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Rafailov et al. 2023, *Direct Preference Optimization: Your Language Model is Secretly a Reward Model*; Rafailov et
#   al. 2024, *From r to Q\*: Your Language Model is Secretly a Q-Function*.
# - Bradley and Terry 1952, *Rank Analysis of Incomplete Block Designs*.
# - Mitchell 2023, *A note on DPO with noisy preferences & relationship to IPO*; Chowdhury, Kini and Natarajan 2024,
#   *Provably Robust DPO: Aligning Language Models with Noisy Feedback*.
# - Azar et al. 2024, *A General Theoretical Paradigm to Understand Learning from Human Preferences* (IPO).
# - Ethayarajh et al. 2024, *KTO: Model Alignment as Prospect Theoretic Optimization*.
# - Meng, Xia and Chen 2024, *SimPO: Simple Preference Optimization with a Reference-Free Reward*.
# - Razin et al. 2024, *Unintentional Unalignment: Likelihood Displacement in Direct Preference Optimization*; Pal et
#   al. 2024, *Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive*.
# - Xu et al. 2024, *Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study*; Ivison et al. 2024, *Unpacking
#   DPO and PPO*.
