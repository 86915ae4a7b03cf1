# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 12 · Reinforcement learning from human feedback
#
# The tuned model of lab 09 answers, but not always well. How could it learn better? To write good answers is work; to
# say which of two answers is better is easy. So one asks for *preferences*, learns a *reward* from them, and lets the
# model find out by itself which answers are rewarded. That is RLHF, *reinforcement learning from human feedback*;
# InstructGPT was made by it (Ouyang et al. 2022), and most chat models after it had such a stage, or one that took its
# place (labs 13 and 14).
#
# It is also the place where a model learns to please instead of to be right. In our world that can be seen, since
# beside the learned reward there stands the true one, *gold*, which no real project has.
#
# **You will be able to**
#
# - measure what is wrong with a model before anything is done about it;
# - label answers yourself, and say how far you agree with others, and with yourself;
# - learn a reward from choices, and say how good it could be at best, whether it is calibrated, and what it learned
#   that nobody meant;
# - write PPO from its pieces: penalty, advantage, clipped objective, critic; and find out which piece is broken;
# - watch it live beside the true reward, and say which signs of cheating one would have without it;
# - compare it with best-of-N, and with GRPO, which is what PPO became.
#
# **You need** lab 07 for the loop and lab 09 for the tuned model. **Time**: about three hours with the nine
# exercises. The cells are sized for four minutes on two CPU cores and 1.5 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes. (Lines that only refuse arguments of the wrong shape you may leave out.)

# %%
import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from random import Random
from statistics import fmean, median

# %%
import torch
import torch.nn.functional as F
from torch import Tensor

# %%
from lablib.adaptation.adherence import respond
from lablib.adaptation.chat import PAD
from lablib.alignment import annotators, calibration, learned_what, misalignment, over_optimisation
from lablib.alignment.adaptive_kl import KLTarget
from lablib.alignment.advantages import check_same, check_shares
from lablib.alignment.agreement import krippendorff_alpha, resampled
from lablib.alignment.annotators import ANNOTATORS, Seen
from lablib.alignment.best_of_n import best_of_n_curve
from lablib.alignment.bradley_terry import check_pairs

# %%
from lablib.alignment.grpo import BASELINES, SMALL, Baseline, difficulty_weight, token_weights
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.kl import check_pair, exact_kl, k1, k2
from lablib.alignment.labelling import Session
from lablib.alignment.masked import TINY, check_mask, masked_mean, masked_var
from lablib.alignment.ppo import PPO, ppo
from lablib.alignment.ppo_loss import check_clip, probability_ratio
from lablib.alignment.ppo_step import Objective, Pieces, learning_signal, shaped_scores, step_loss

# %%
from lablib.alignment.preference_pairs import collect, held_out_by_prompt
from lablib.alignment.preference_sets import imported
from lablib.alignment.probe_tasks import PROBES, first_failure
from lablib.alignment.reward_model import rewards
from lablib.alignment.reward_training import RECIPE, evaluate, trained
from lablib.alignment.rewards_per_token import check_scores, last_token
from lablib.alignment.rl_record import RLStep
from lablib.alignment.rollouts import Prompts, Rollout, gold_scores, roll_out
from lablib.alignment.value_model import ValueModel, copied
from lablib.alignment.verifiable import checkable_types, verified

# %%
from lablib.checkpoints import load
from lablib.corpus.sources import SourceUnavailable, fixtures, stream
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.paths import data_path
from lablib.pretraining.sampling import Sampling
from lablib.show.intervals import interval_chart, over_seeds
from lablib.show.label_view import LabelView
from lablib.show.live import LiveChart, Panel
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, GREY, Picture, figure
from lablib.show.texts import Card, Gallery

# %% tags=["varies"]
from lablib import course

lab = course.begin("12")

# %% tags=["varies"]
sft = load("sft")
tokenizer = sft.tokenizer
print(f"{sft.origin}: {sft.model.config.parameters:,} parameters")

# %% [markdown]
# ## First of all: what is wrong with it?
#
# *Helpful, honest, harmless* (Askell et al. 2021) is what one wants, and each can be had at the price of another: a
# model that refuses everything does no harm. So whoever aligns a model measures the price, too. **Guess** before you
# run it: where is the tuned model worst?

# %% tags=["varies"]
asked = lab.profile.pick(smoke=20, laptop=40, gpu=200)
found = misalignment.profile(sft.model, tokenizer, Random("lab 12"), n=asked)
print(misalignment.table({"SFT": found}))

# %% [markdown]
# **What to notice.** *aim* is what a well-aligned model has. Read the interval of each line before its mean: where it
# holds the aim nothing is shown to be wrong, which with so few prompts does not mean that all is well. A word on the
# lines: *tells false things* is what one calls hallucination; *over-refusal* are requests that only sound harmful, and
# were refused; *wording* is the same request in other words; *north less south* and *she less he* are the same request
# about another person, so 0 is fair. The last two lines are not shares but bits: how much likelier the model finds
# careless words for people of the south, beside how much of that was planted in the documents that it read.
#
# Those were the likeliest answers. A model that learns by trying (a *policy*, as it will be called from here on) has to
# *draw* its answers, token by token, and that is another matter. From the model's record, on a thousand prompts, with
# 95 % intervals:

# %% tags=["varies"]
measured = ("helpful", "honest", "harmless")
for how, name in (("likeliest", "adherence"), ("drawn", "adherence_temperature_1")):
    scores = (f"{one} {{:.3f}} [{{:.3f}}, {{:.3f}}]".format(*sft.record[name][one]) for one in measured)
    print(f"{how:<10}" + ", ".join(scores))

# %% [markdown]
# **What to notice.** Drawn answers are much less helpful, by far more than the intervals are wide. Each token that is
# drawn may be a wrong one, and after a wrong word the rest tends to be wrong, too. Here are some that the judge
# does not like:

# %% tags=["varies"]
drawn = list(islice(World().instructions(Random("lab 12 faults"), "held_out"), 60))
said = respond(
    sft.model, tokenizer, [one.prompt for one in drawn], sampling=Sampling(), generator=torch.Generator().manual_seed(0)
)
faults = []
for one, text in zip(drawn, said, strict=True):
    score = World().judge(one.prompt, text)
    if min(score.helpful, score.honest, score.harmless) < 0.6:
        mark = f"helpful {score.helpful:.1f}, honest {score.honest:.1f}, harmless {score.harmless:.1f}"
        faults.append(Card(one.prompt, text, f"wanted: {one.response}", mark, False))
print(f"{len(faults)} of {len(drawn)} answers have a score below 0.6")
Gallery(faults[:6], letters=220)

# %% [markdown]
# ## Preferences
#
# Two answers of the model to one prompt, and somebody who says which is better. Our annotators are simulated, and
# their faults are written down: one takes care, one is in a hurry, one is impressed by length. Each chooses the first
# with the probability that the *Bradley–Terry* model gives it, σ of a difference of strengths, and now and then does
# not look at all.

# %%
for one in ANNOTATORS:
    worth = f"1 nat for {one.temperature} of gold, {one.length_bias} nats a word"
    print(f"{one.name:<22}{worth}, {one.lapse:.0%} not looked at")
short, longer = Seen(Judgement(1.0, 1.0, 1.0), 4), Seen(Judgement(1.0, 1.0, 1.0), 14)
for one in ANNOTATORS:
    print(f"{one.name:<22}prefers ten words more, at equal gold, in {one.probability(longer, short):.0%} of cases")

# %% tags=["varies"]
n_pairs = lab.profile.pick(smoke=60, laptop=1500, gpu=8000)
collected = collect(sft.model, tokenizer, n_pairs, Random("lab 12 pairs"))
train_pairs, test_pairs = held_out_by_prompt(collected.pairs, share=0.2)
equal = sum(pair.gold_difference() == 0 for pair in collected.pairs) / n_pairs
print(f"{n_pairs} pairs in {collected.seconds:.0f} s", end="; ")
print(f"{collected.identical} of {collected.drawn} said the same thing twice")
print(f"{equal:.0%} of the pairs are equal in gold; {len(train_pairs)} to learn from, {len(test_pairs)} held out")

# %% tags=["varies"]
cards = []
for pair in collected.pairs[:4]:
    gold = pair.gold_difference()
    mark = f"gold of the chosen less that of the rejected: {gold:+.2f}"
    cards.append(Card(pair.asked, f"chosen: {pair.chosen}\nrejected: {pair.rejected}", pair.annotator, mark, gold >= 0))
Gallery(cards, letters=260)

# %% [markdown]
# **What to notice.** Under each pair you see who chose. A pair that is equal in gold is not wasted paper: there only
# the taste for length decides, and chance. How far do three people agree who label the same pairs, shown in an order
# that is drawn by chance? (Krippendorff's α: 1 is perfect, 0 is chance.)

# %% tags=["varies"]
turn = Random(0)
shown = [pair.seen if turn.random() < 0.5 else pair.seen[::-1] for pair in test_pairs]
labels = annotators.labelled(shown, ANNOTATORS, Random(1))
alpha, low, high = resampled(krippendorff_alpha, labels, Random(2), 200)
print(f"the three on {len(labels)} pairs: alpha = {alpha:.2f} [{low:.2f}, {high:.2f}]")

# %% [markdown]
# ### Your turn
#
# Label some pairs yourself: click, or put the cursor into the small box and press l, r or s (u takes a label back).
# Four of the twelve come a second time, and nothing tells which. Below the answers you see how far you agree with
# gold, with each annotator, and with yourself.

# %% tags=["varies"]
LabelView(Session(test_pairs[:12], Random(3), repeats=4))

# %% [markdown]
# With whom would somebody agree who does not read at all, and simply takes the longer answer?

# %% tags=["varies"]
session = Session(test_pairs, Random(3))
while (both := session.shown()) is not None:
    session.choose("first" if len(both.first) >= len(both.second) else "second")
for line in session.summary():
    share = "{:.0%} [{:.0%}, {:.0%}]".format(*line.share)
    print(f"{line.name:<22}{line.n:>4} pairs: agreed in {share:<16} at best {line.best:.0%}")

# %% [markdown]
# **What to notice.** With whom does the reader of lengths agree best? Perhaps with gold: among pairs that differ in it
# the longer answer is more often the better one. So length is partly a fair sign, and that is what makes the bias hard
# to see; where the brackets overlap, the three annotators cannot be told apart. For them *at best* is below 100 %: they
# choose by chance, the more evenly the nearer the two answers are, and against chance nobody is always right. Keep that
# in mind for what comes. (With gold one could agree always; only pairs that differ in it count.)
#
# ### Real preferences
#
# Bai et al. (2022) asked people to compare answers, and published the choices (HH-RLHF); Cui et al. (2023) let a
# large model score answers (UltraFeedback). Their rows go through the same door. With a network (profile `gpu`) they
# are streamed; without one, a few rows in the same formats, written for this course, stand in.


# %%
def real(name: str) -> list:
    """Pairs of a real set; without a network, a few rows in its format; none where nothing here can read them."""
    for files in [None, fixtures.fixture(name)] if lab.profile.name == "gpu" else [fixtures.fixture(name)]:
        try:
            return list(stream(name, files, limit=500))
        except SourceUnavailable as trouble:
            print(f"{'Left out' if files else 'Its stand-in is read'}: {trouble}")
    return []


# %% tags=["varies"]
cards = []
for name in ("hh-rlhf", "ultrafeedback"):
    rows = real(name)
    taken = imported(rows, tokenizer, sft.model.config.context)
    left_out = ", ".join(f"{n} for {why}" for why, n in taken.dropped.items()) or "none"
    print(f"{name:<15}{len(rows):>4} rows, {len(taken.pairs):>4} can be used; left out: {left_out}")
    cards += [Card(one.asked, f"chosen: {one.chosen}\nrejected: {one.rejected}", name) for one in taken.pairs[:1]]
Gallery(cards, letters=600)

# %% [markdown]
# **What to notice.** A real set is not as tidy. A row is left out where both answers are the same or were scored
# alike, where the conversations part company before the last answer, or where it is longer than what our model can
# read; the lines say how many for what. And nobody knows the gold of such a pair, so neither ceiling nor length bias
# can be told from it as below.
#
# ## The reward model
#
# From choices to numbers. If each response has a strength r, and the first is chosen with the probability σ(r₁ − r₂),
# then the strengths can be learned: make the choices that were seen likely.

# %%
# EXERCISE lablib.alignment.bradley_terry:bradley_terry_loss

# %% [markdown]
# The model itself is the tuned model with its head taken off and one put on that gives a single number, read at the
# answer's last token. **Guess:** the annotators agree with each other only so far. What accuracy can it reach?

# %%
steps = lab.profile.pick(smoke=2, laptop=40, gpu=250)
recipe = replace(RECIPE, steps=steps, batch=lab.profile.pick(smoke=8, laptop=64), lr=1.5e-3)
panels = [Panel(["loss"], y="nats per pair", title="Bradley–Terry loss", levels={"a coin": math.log(2)})]

# %% tags=["varies"]
with LiveChart(panels, alt="The reward model's loss by step; dashed: ln 2, that of a coin.") as chart:
    reward = trained(
        sft.model,
        train_pairs,
        tokenizer,
        recipe,
        torch.Generator().manual_seed(0),
        bradley_terry_loss,
        lambda step, model: chart.add(step.step, loss=step.loss),
    )

# %% tags=["varies"]
tested = evaluate(reward, test_pairs, tokenizer.special[PAD], ANNOTATORS)
print(f"on {tested.n} held-out pairs, loss {tested.loss:.3f} nats (a coin: {math.log(2):.3f})")
print("accuracy            {:.3f} [{:.3f}, {:.3f}]".format(*tested.accuracy))
print(f"noise ceiling       {tested.ceiling.mean:.3f}")
print(f"by gold alone       {tested.by_gold.mean:.3f}")
print("agrees with gold in {:.3f} [{:.3f}, {:.3f}]".format(*tested.gold_accuracy))

# %% [markdown]
# **What to notice.** Four numbers that belong together. *accuracy*: on held-out labels. *noise ceiling*: the accuracy
# of one who knows the probability of every label; more is luck. *by gold alone*: that of one who knows gold and
# nobody's taste. *agrees with gold*: on those pairs only that differ in gold, does the better answer have more reward?
# It can be much higher than the accuracy, since most labels of the other pairs are nearly coins. An accuracy without
# the ceiling says nothing. The record has the same for other numbers of pairs, three seeds each. (The records of this
# lab were made on a GPU, a few of their runs on a CPU; each file holds its command, which also runs on a laptop's CPU,
# in hours. Another machine rounds differently, so a run that goes far may end elsewhere there.)


# %%
def recorded(name: str) -> dict[str, list[dict]]:
    """The runs of a study by their label, one for each seed."""
    runs: dict[str, list[dict]] = {}
    for run in json.loads(data_path(f"experiments/rlhf_{name}.json").read_text(encoding="utf-8"))["runs"]:
        runs.setdefault(run["label"], []).append(run)
    return runs


# %%
def seeds(runs: list[dict], *path: str | int) -> tuple[float, float, float]:
    """Mean, smallest and largest over the seeds of a number that lies so deep in each run."""
    values = []
    for run in runs:
        deep = run
        for step in path:
            deep = deep[step]
        values.append(deep)
    return over_seeds(values)


# %%
def ranged(band: tuple[float, float, float], form: str = ".3f", width: int = 22) -> str:
    """A mean with the range of its seeds in brackets, as a column of a table."""
    mean, low, high = (format(value, form) for value in band)
    return f"{mean} [{low}, {high}]".rjust(width)


# %%
def differs(runs: list[dict], others: list[dict], *path: str | int) -> tuple[float, float, float]:
    """A number of some runs less that of others, seed by seed: mean, smallest and largest difference."""
    of_other = {run["seed"]: seeds([run], *path)[0] for run in others}
    return over_seeds([seeds([run], *path)[0] - of_other[run["seed"]] for run in runs])


# %%
sizes = recorded("reward")
measures = {
    "accuracy": ("accuracy", 0),
    "by gold alone": ("by_gold",),
    "noise ceiling": ("ceiling",),
    "agrees with gold": ("gold_accuracy", 0),
}
interval_chart(
    {label: {name: seeds(runs, *path) for name, path in measures.items()} for label, runs in sizes.items()},
    "Accuracy of reward models by the number of pairs, beside the noise ceiling and the agreement with gold.",
    x="share of held-out pairs (mean and range of 3 seeds)",
    x_range=(0.5, 1),
)

# %%
print(f"{'':<13}" + "".join(f"{name:>21}" for name in measures))
for label, runs in sizes.items():
    print(f"{label:<13}" + "".join(ranged(seeds(runs, *path), width=21) for path in measures.values()))
print("\nthe same seed with more pairs, difference:")
for few, many_pairs in (("500 pairs", "1,500 pairs"), ("1,500 pairs", "6,000 pairs")):
    for name in ("accuracy", "agrees with gold"):
        print(f"{few} to {many_pairs}, {name:<18}", end="")
        print(ranged(differs(sizes[many_pairs], sizes[few], *measures[name]), "+.3f", 25))

# %% [markdown]
# **What to notice.** From 500 to 1,500 pairs both numbers rise with every seed. From 1,500 to 6,000 the accuracy does
# not: with one seed it even falls, and the mean stays at 0.63, below the ceiling of 0.70, and below the 0.68 of one who
# knows gold alone. Yet the agreement with gold still rises, to a mean of 0.81, with two seeds, and falls with none; so
# who looked at the accuracy only would have missed what the last pairs bought. A likely reason: it is counted on fewer
# pairs, but on those that say something, while the accuracy is mostly about coins. What it does not show: the ranges of
# 1,500 and 6,000 pairs overlap, and whoever had more pairs also took more steps (two passes over them), so the two
# cannot be told apart here.
#
# ### Is it calibrated?
#
# Where it says 80 %, is the choice so in 80 of 100 cases? (Of each pair we look at the answer that the model prefers,
# so it never says less than 50 %.)

# %% tags=["varies"]
confident, hits = calibration.of_pairs(tested.chosen, tested.rejected)
edges = calibration.even_edges(5)
bins = calibration.reliability(confident, hits, edges)
fig, ax = figure(width=4.6, height=4.0)
ax.plot([0.5, 1], [0.5, 1], color=GREY, linestyle="--", label="perfect")
low, high = ([getattr(one, name) for one in bins] for name in ("low", "high"))
ax.vlines([one.said for one in bins], low, high, color=COLOURS[0], alpha=0.5)
ax.plot([one.said for one in bins], [one.happened for one in bins], "o", color=COLOURS[0], label="reward model")
ax.set(xlabel="what it said", ylabel="share in which it was right", xlim=(0.48, 1.02), ylim=(0, 1.02))
ax.legend(loc="lower right")
Picture(fig, "Reliability: share of right predictions against confidence, with intervals; dashed: the diagonal.")

# %% tags=["varies"]
error = calibration.expected_calibration_error(confident, hits, edges)
mean, low, high = calibration.by_chance(confident, edges, Random(0), 200)
print(f"expected calibration error {error:.3f}; of a perfectly calibrated model {mean:.3f} [{low:.3f}, {high:.3f}]")

# %% [markdown]
# **What to notice.** Where a dot lies below the diagonal the model is too sure. On a finite set even a perfect
# model has an error above 0, so an error inside the brackets shows nothing by itself. A dot whose whole interval lies
# on one side of the diagonal does: is there one, and on which side?
#
# ### What it learned that it should not have
#
# Of our annotators one likes length very much. So longer is a little better in the labels, and nobody told the model
# that this was not meant. Two ways to see it. First over pairs: how much reward for 1 of gold, and how much for each
# word more *at equal gold*?

# %% tags=["varies"]
what = learned_what.explain_rewards(test_pairs, tested.chosen, tested.rejected)
for name, (mean, low, high) in (("for 1 of gold reward", what.per_gold), ("for each word more", what.per_word)):
    print(f"{name:<24}{mean:+.3f} nats [{low:+.3f}, {high:+.3f}]")
chances = [annotators.pooled(ANNOTATORS, *pair.seen) for pair in test_pairs]
best = torch.tensor([math.log(p / (1 - p)) for p in chances])  # rewards that would be perfect
perfect = learned_what.explain_rewards(test_pairs, best, torch.zeros(len(best)))
p = annotators.pooled(ANNOTATORS, longer, short)  # of the three together, ten words more at equal gold
print(f"of a perfect model: {perfect.per_gold[0]:+.3f} for 1 of gold, {perfect.per_word[0]:+.3f} for a word")
print(f"what the three would give for a word between answers of equal gold: {math.log(p / (1 - p)) / 10:+.3f}")

# %% [markdown]
# **What to notice.** Does the interval of the second line hold 0? If not, length is paid for at equal gold. The third
# line is what a model would have that knew every probability. (An annotator who looks gives more for gold, but now and
# then nobody looks: so the log-odds of a choice never go beyond about 3.7 nats, however different two answers are. A
# straight line through such odds has another slope for words than pairs of equal gold alone: that is the last line.)
# Compare the model's interval with both: where it lies above them, the model pays more for a word than the annotators
# do, and has learned more than their taste.
#
# And second: take the world's own answers, and make them longer without saying more. One of the ways is politeness.

# %% tags=["varies"]
some = list(islice(World().instructions(Random(4), "held_out"), lab.profile.pick(smoke=8, laptop=60)))
print(f"{'':<20}{'reward':>8}{'':>18}{'gold':>7}{'words':>7}{'paid':>7}")
for one in learned_what.padded(reward, tokenizer, some):
    mean, low, high = one.reward
    print(f"{one.name:<20}{mean:>+8.2f} [{low:+.2f}, {high:+.2f}]".ljust(46), end="")
    print(f"{one.gold[0]:>+7.2f}{one.words:>7.1f}{one.paid:>7.0%}")

# %% [markdown]
# **What to notice.** *gold* is never above 0: nothing was added that the question asked for. *paid* is the share of
# answers that gained reward all the same. Where *reward* is above 0, with its interval, the model pays for padding, and
# a policy that learns by this reward has found a source of income. (The pairs hold what the tuned model writes by
# itself. Here the reward model is asked about texts of another kind, and that is just what a policy that learns will do
# to it.)
#
# ## How far away? Three estimators
#
# The further the policy goes from the tuned model, the less the reward model knows what it is talking about. So the
# distance is watched, and paid for: KL(π ‖ ρ), the mean over what π writes of log π − log ρ, where π is the policy
# and ρ the *reference*, the tuned model as it was. There is more than one way to estimate it (Schulman 2020). Of each
# token that π drew, with r = ρ/π:
#
# - k1 = −log r, the definition without the mean;
# - k2 = (log r)²/2;
# - k3 = (r − 1) − log r, which you write (both come as log-probabilities; `help(k1)` says more).

# %%
# EXERCISE lablib.alignment.kl:k3

# %% [markdown]
# Here is a distribution of fifty tokens and one that is near, where the truth can be summed up. **Guess:** which
# estimator has the smallest error, and which can come out below 0?

# %%
chance = torch.Generator().manual_seed(0)
logits = torch.randn(50, generator=chance)
print(f"{'':<6}{'truth':>8}" + "".join(f"{name + ' mean':>10}{'spread':>8}{'least':>7}" for name in ("k1", "k2", "k3")))
for size in (0.1, 0.5, 1.0):
    policy = (logits + size * torch.randn(50, generator=chance)).log_softmax(0)
    tokens = torch.multinomial(policy.exp(), 20_000, replacement=True, generator=chance)
    drawn_p, drawn_r = policy[tokens], logits.log_softmax(0)[tokens]
    line = f"{size:<6}{exact_kl(policy, logits).item():>8.4f}"
    for estimate in (k1, k2, k3):
        values = estimate(drawn_p, drawn_r)
        line += f"{values.mean().item():>10.4f}{values.std().item():>8.3f}{round(values.min().item(), 2) + 0.0:>7.2f}"
    print(line)

# %% [markdown]
# **What to notice.** Compare the means with the truth, and then the spreads. k1 and k3 are right on average, and only
# k1 can be below 0; while the two are near, the spread of k3 is a small part of that of k1. k2 varies little as well,
# but the further apart the two are, the further its mean is from the truth. With few tokens a small spread is worth
# more than a mean that is right, so k2 may be nearer.
#
# Where does an estimate *push*, if it stands in a loss? The tokens were drawn from π, and `backward()` does not know
# that π made them: it sees their log-probabilities only. Here is the mean gradient over all tokens that π might draw,
# its size, and how far it is from the gradients of KL(π ‖ ρ) and of KL(ρ ‖ π), which are known here:

# %%
here = (logits + torch.randn(50, generator=chance)).requires_grad_()  # π; ρ is `logits`
ours, other = (torch.autograd.grad(exact_kl(*pair), here)[0] for pair in ((here, logits), (logits, here)))
print(f"{'':<10}{'size':>8}{'from that of KL(π ‖ ρ)':>25}{'from that of KL(ρ ‖ π)':>25}")
for name, estimate in (("k1", k1), ("k2", k2), ("k3", k3)):
    log_p = here.log_softmax(0)
    mean = (log_p.detach().exp() * estimate(log_p, logits.log_softmax(0))).sum()
    push = torch.autograd.grad(mean, here)[0]
    off = [(push - truth).norm().item() for truth in (ours, other)]
    print(f"{name:<10}{push.norm().item():>8.4f}{off[0]:>25.4f}{off[1]:>25.4f}")

# %% [markdown]
# **What to notice.** k1, whose value is right, pushes nowhere. k2, whose value is wrong, pushes exactly as KL(π ‖ ρ)
# would; and k3 as the KL *the other way round* (Tang and Munos 2025). PPO puts k1 into the reward, where only its
# value matters, since there the tokens are weighted by their score, as the next section shows; GRPO puts k3 into the
# loss.
#
# ## PPO, piece by piece
#
# The *policy* π is the model, seen as one who chooses tokens. What we want is a π with a large
#
# $$J(\pi) = \text{mean over its answers of} \;\big(\text{reward} - \beta\,(\log \pi - \log \rho)\big).$$
#
# The mean is over what π itself draws, so `backward()` cannot see how J depends on it. But ∇π = π ∇log π, and so the
# gradient of a mean reward is the mean of reward · ∇log π: draw, and make each token likelier in proportion to what
# came of it. That is the *policy gradient*. Does it hold, and does a constant matter?

# %%
maker = logits.clone().requires_grad_()
worth = torch.randn(50, generator=chance)  # a made-up reward of each token
truth = torch.autograd.grad(maker.softmax(0) @ worth, maker)[0]
tokens = torch.multinomial(logits.softmax(0), 2000, replacement=True, generator=chance)
for name, paid in (("reward", worth), ("reward + 5", worth + 5), ("less its mean", worth - worth[tokens].mean())):
    push = torch.autograd.grad((paid[tokens] * maker.log_softmax(0)[tokens]).mean(), maker)[0]
    print(f"{name:<15}off by {(push - truth).norm() / truth.norm():.0%} of its size")

# %% [markdown]
# **What to notice.** The drawn gradient is near the true one; with a constant added it is right on average, too, but
# much noisier. So one takes off what was to be expected, a *baseline*. All that follows is care: to pay for distance
# (1), to find out which tokens deserve it (2), on a scale that can be learned from (3), in steps that are not too large
# (4, 5), with a β that sees to itself (6).
#
# ### 1 · A reward for each token
#
# The reward model reads a whole answer and says one number. So the score is paid at the last token; the penalty for
# leaving the reference, β · k1, at every token, where it is known. Over an answer that adds up to score − β · Σ k1.

# %%
# EXERCISE lablib.alignment.rewards_per_token:rewards_per_token


# %%
def proxy(rollout: Rollout) -> Tensor:
    """The learned reward of the answers, (N,)."""
    return rewards(reward, rollout.answers)


sft.model.requires_grad_(False)  # from here on it is the reference: nothing changes it
prompts = Prompts(lab.profile.pick(smoke=4, laptop=32), seed=12)
critic = ValueModel(copied(sft.model))
example = roll_out(sft.model, sft.model, critic, tokenizer, prompts(0), torch.Generator().manual_seed(0))
# as if the policy had moved: a little noise on the log-probabilities, so that there is something to pay for
moved = example.log_probs + 0.3 * torch.randn(example.mask.shape, generator=torch.Generator().manual_seed(1))
spread_out = rewards_per_token(proxy(example), k1(moved, example.reference), example.mask, 0.5)

# %% tags=["varies"]
row = int((example.answers.lengths - 12).abs().argmin())  # an answer of about twelve tokens
places = example.mask[row].nonzero()[:, 0]
words = [tokenizer.decode([token]) for token in example.answers.targets[row, places].tolist()]
fig, ax = figure(width=8.0, height=2.8)
ax.bar(range(len(words)), spread_out[row, places], color=[GREY] * (len(words) - 1) + [COLOURS[0]])
ax.set_xticks(range(len(words)), words, rotation=60, fontsize=8)
ax.axhline(0, color="black", linewidth=0.6)
ax.set(ylabel="reward (nats)")
ax.grid(axis="x", visible=False)
Picture(fig, "Rewards of an answer's tokens: small penalties of both signs, and the score at the last.")

# %% [markdown]
# **What to notice.** Grey: what each token pays for leaving the reference (or gets, where it is likelier there). The
# last one holds the score of the whole answer besides.
#
# ### 2 · Who deserves the praise?
#
# The score stands at the end, and the word that decided it may stand at the beginning. The *critic* guesses, before
# each token, what is still to come. A token after which more comes, or more is expected, than was guessed before it,
# was a good one; its *advantage* is how much more.
#
# In letters: with r_t the reward of token t and V_t the guess before it, the *surprise* is δ_t = r_t + γ V_{t+1} − V_t,
# and the advantage adds up this surprise and those that follow, each counting γλ times as much as the one before it. γ,
# the discount, is 1 in RLHF; λ, from 0 to 1, says whom to trust, and we come to that. Behind the last token nothing is
# to come: V = 0. Prompts, padding and gaps are passed over.

# %%
# EXERCISE lablib.alignment.advantages:gae

# %% [markdown]
# You wrote it as a recursion. Is that the sum of the paper, A_t = δ_t + γλ δ_{t+1} + (γλ)² δ_{t+2} + …? Written out,
# term by term, for each answer by itself:

# %% tags=["varies"]
gamma, lam, largest = 0.9, 0.8, 0.0
guesses = torch.randn(example.mask.shape, generator=torch.Generator().manual_seed(2))
quick = gae(spread_out, guesses, example.mask, gamma, lam)
for n, length in enumerate(example.answers.lengths.tolist()):
    r, V = spread_out[n][example.mask[n]], guesses[n][example.mask[n]]  # (length,) each
    surprise = r + gamma * torch.cat((V[1:], torch.zeros(1))) - V
    for t in range(length):
        weights = (gamma * lam) ** torch.arange(length - t)
        gap = (weights @ surprise[t:] - quick[n][example.mask[n]][t]).abs().item()
        largest = max(largest, gap)
print(f"{int(example.mask.sum())} advantages agree to {1e-5:g}: {largest < 1e-5}")

# %% [markdown]
# λ says whom to trust. A made-up case shows why it matters: episodes of 12 tokens, a score at the end that is mostly
# noise, and a critic that sees only half of what each token is worth, and is off besides, by another amount at each
# place. What does the advantage of the first token show?

# %%
chance = torch.Generator().manual_seed(0)
error = 0.3 * torch.randn(12, generator=chance)
quality, noise = 0.2 * torch.randn(100_000, 12, generator=chance), torch.randn(100_000, generator=chance)
before = quality.cumsum(1) - quality  # what can be known before each token of the score to come
late, every = torch.zeros(100_000, 12), torch.ones(100_000, 12, dtype=torch.bool)
late[:, -1] = quality.sum(1) + noise
guess, worth = before / 2 + error, quality[:, 0]  # the critic sees half of it, and is off besides
print("the critic is off by {:+.2f} before the first token, by {:+.2f} before the second".format(*error[:2].tolist()))
print(f"{'λ':<7}{'mean error':>11}{'shows of the worth':>20}{'spread of the rest':>20}")
for lam in (0.0, 0.5, 0.9, 0.95, 1.0):
    found = gae(late, guess, every, 1.0, lam)[:, 0]
    shown = (((found - found.mean()) @ worth) / (worth @ worth)).item()
    print(f"{lam:<7}{(found - worth).mean().item():>+11.3f}{shown:>20.0%}{(found - shown * worth).std().item():>20.3f}")

# %% [markdown]
# **What to notice.** The *mean error* is the same whichever token was drawn, so on average it makes none likelier than
# another: it is a *baseline*, and misleads nobody, but it adds noise, as the 5 did above. (At λ = 0 it is the second of
# the critic's errors less the first, at λ = 1 minus the first.) The middle column is what a critic can spoil: at small
# λ a good token gets only half of the praise that it deserves, since the critic, who judges, saw only half; at λ = 1 it
# gets all of it (what is above 100 % is chance). The last column is the price. There is no λ that is best for every
# critic; 0.95 is what most people take.
#
# ### 3 · On a scale
#
# Advantages come in the unit of the reward. Take off their mean over all tokens of the batch that count, and divide by
# their standard deviation: that is *whitening*.

# %%
# EXERCISE lablib.alignment.masked:whiten

# %% tags=["varies"]
raw = gae(spread_out, example.values, example.mask)
for name, values in (("raw", raw), ("whitened", whiten(raw, example.mask))):
    mean, var = round(masked_mean(values, example.mask).item(), 3) + 0.0, masked_var(values, example.mask).item()
    above = (values[example.mask] > 0).float().mean().item()
    print(f"{name:<10}mean {mean:+.3f}, standard deviation {var**0.5:.3f}, above 0: {above:.0%}")

# %% [markdown]
# **What to notice.** If nearly every advantage has the same sign, nearly every token that was drawn is pushed the
# same way, and little is learned about which of them was better. And whatever the unit of the reward model is, the
# advantages come out on one scale.
#
# ### 4 · A step, but not too far
#
# Rollouts are expensive, so each is used for several updates. After the first one the policy is no longer the one that
# wrote the answers, so each token counts by the *ratio* π_new / π_old: how much likelier it has become. To go on
# raising it would carry the policy far away on old evidence. So beyond 1 ± ε the objective is made flat, on the side to
# which the advantage pushes: of ratio · advantage and clipped ratio · advantage the smaller one counts (Schulman et al.
# 2017, equation 7).

# %%
# EXERCISE lablib.alignment.ppo_loss:clipped_policy_loss

# %%
ratios = torch.linspace(0.4, 1.6, 121)
yes = torch.ones(1, 1, dtype=torch.bool)
fig, axes = figure(cols=2, width=8.6, height=3.0)
for ax, sign in zip(axes, (1.0, -1.0), strict=True):
    one = torch.full((1, 1), sign)
    gain = [-clipped_policy_loss(r.log().view(1, 1), torch.zeros(1, 1), one, yes).item() for r in ratios]
    ax.plot(ratios, sign * ratios, color=GREY, linestyle="--", label="not clipped")
    ax.plot(ratios, gain, color=COLOURS[0], label="yours")
    ax.axvline(1, color="black", linewidth=0.6)
    ax.set(xlabel="ratio, new over old", ylabel="objective", title=f"advantage {sign:+.0f}")
axes[0].legend(loc="lower right")
Picture(fig, "The clipped objective against the ratio: flat above 1.2 for good tokens, below 0.8 for bad ones.")

# %% [markdown]
# **What to notice.** Where the line is flat nobody pushes any more. It is flat on one side only: a good token whose
# ratio has *fallen* is still pulled back up.
#
# ### 5 · The critic
#
# It learns by the square of its error. OpenAI's code holds it back like the policy, and so do most that came after.
# Engstrom et al. (2020) found no benefit, and Andrychowicz et al. (2021) that it rather hurts. You will meet it, so
# write it.

# %%
# EXERCISE lablib.alignment.ppo_loss:clipped_value_loss

# %% [markdown]
# ### 6 · A penalty that looks after itself
#
# How large must β be? That depends on the unit of the reward. How far the policy may go is easier to say, so let β
# follow.
#
# By what share is the policy too far away, e = (KL − target) / target? Cut e to ± `aim.most` (20 %), so that one odd
# batch cannot throw β off, and multiply β by 1 + `aim.rate` · e (Ziegler et al. 2019, §2.2).

# %%
# EXERCISE lablib.alignment.adaptive_kl:next_beta


# %%
def thermostat(target: int, percent: int) -> Picture:
    """β and KL by step, from a β that is too small; β changes by at most so many per cent a step."""
    aim, weight, curve = KLTarget(float(target), rate=percent / 20), 0.01, []  # at most rate · 0.2 a step
    for _ in range(120):
        distance = 0.9 / weight**0.5  # as if the policy went so far at each β: farther where it costs less
        curve.append((weight, distance))
        weight = next_beta(weight, distance, aim)
    fig, axes = figure(cols=2, width=8.2, height=2.6)
    for ax, column, label in zip(axes, (0, 1), ("β", "KL (nats per answer)"), strict=True):
        ax.plot([point[column] for point in curve], color=COLOURS[column])
        ax.set(xlabel="step", ylabel=label)
    axes[1].axhline(aim.target, color=GREY, linestyle="--", label="target")
    axes[1].legend()
    return Picture(fig, "Left: β by step, rising to where it settles. Right: the KL falling to its target, dashed.")


Sliders(thermostat, target=(6, 3, 8), percent=(2, 1, 20))

# %% [markdown]
# **What to notice.** However far off it is, β changes by at most 2 % a step: a thermostat with patience. Move the
# second slider to see it in a hurry. Nothing overshoots here, since our made-up policy follows at once; a real one
# takes some steps to go where a new β lets it, and a hurried β is then ahead of it. (In what follows β stands still, so
# that runs can be compared; `Objective(kl_target=…)` lets it follow.)
#
# ### All together
#
# The loss of an update is −(clipped objective) + ½ · (value loss) − c · (entropy), equation 9 of Schulman et al.
# (2017). Before that, 1 is taken from the score of an answer that was cut off (else never to stop might pay), and the
# scores of a rollout are centred, so that the critic has no constant to learn. Here are your pieces on the answers from
# above, before the first update:

# %%
mine = Pieces(
    rewards=rewards_per_token,
    gae=gae,
    whiten=whiten,
    policy_loss=clipped_policy_loss,
    value_loss=clipped_value_loss,
)

# %% tags=["varies"]
whole = Objective(beta=0.2, entropy_weight=0.01)
shaped = shaped_scores(proxy(example), example.finished, example.answers.lengths, whole)  # (N,), mean 0
written = (example.log_probs, example.reference, example.values, example.mask)
signal = learning_signal(shaped, *written, whole.beta, whole, mine)
now = (example.log_probs, example.values, example.entropy)  # an update would compute these anew
terms = step_loss(*now, example.log_probs, example.values, signal, example.mask, whole, mine)
print(f"policy  {abs(terms.policy.item()):.4f}")
print(f"value   {terms.value.item():.4f}")
print(f"entropy {example.mean_entropy:.4f} nats per token")
print(f"loss    {terms.loss.item():.4f}; held by the clipping: {terms.clip_share.item():.0%}")

# %% [markdown]
# **What to notice.** Before the first update every ratio is 1, so nothing is clipped, and the policy's term is the
# mean of the advantages, which whitening has made 0. Its gradient is not. The term of the entropy rewards a policy
# for staying uncertain; in RLHF c is mostly 0, as in the runs below, since the KL penalty does so already: KL is the
# reference's surprise at the answers less the policy's entropy.
#
# ## Does it work? Small tasks first
#
# A PPO with a wrong sign somewhere does not crash; it learns badly, and one blames the learning rate. So test it where
# the answer is known (after Jones 2021). Each of these tasks is solved by arithmetic, and adds one thing: a critic
# alone; a reward at once; a discount; padding; two actions; … The first that fails says where to look.

# %% tags=["varies"]
tasks = PROBES[: lab.profile.pick(smoke=3, laptop=len(PROBES))]
print(", ".join(probe.name for probe in tasks))
print(f"yours: {first_failure(mine, torch.Generator().manual_seed(0), tasks) or 'all of them are solved'}")

# %% [markdown]
# And with three bugs that are easily made. **Guess:** which task will each fail?

# %% tags=["varies"]
bugs: dict[str, dict[str, Callable]] = {
    "the loss has the wrong sign": {"policy_loss": lambda *given: -clipped_policy_loss(*given)},
    "γ is forgotten": {"gae": lambda r, v, mask, gamma, lam: gae(r, v, mask, 1.0, lam)},
    "policy and reference are exchanged": {"kl": lambda policy, reference: reference - policy},
}
for name, change in bugs.items():
    print(f"{name}\n    {first_failure(replace(mine, **change), torch.Generator().manual_seed(0), tasks)}")

# %% [markdown]
# **What to notice.** The first words of each line are the task that failed, the last ones where to look. Each bug is
# found by the first task that needs the piece, and by none before it.
#
# ## PPO, live
#
# Four models: the policy, which learns; the critic, which learns with it; the reference and the reward model, both
# frozen. The pieces are yours. **Guess before you run it:** which of the six curves will rise, which will fall, and
# what would you see if the policy cheated?

# %%
settings = PPO(
    steps=lab.profile.pick(smoke=2, laptop=24, gpu=150),
    most=lab.profile.pick(smoke=12, laptop=110),
    lr=2e-4,
    objective=Objective(beta=0.2),
)
start = {"gold": fmean(gold_scores(example.responses)), "proxy": proxy(example).mean().item()}
panels = [
    Panel(["proxy"], y="nats", title="learned reward", levels={"SFT": start["proxy"]}),
    Panel(["gold"], y="gold reward", title="true reward", levels={"SFT": start["gold"]}),
    Panel(["kl"], y="nats per answer", title="KL from the tuned model"),
    Panel(["entropy"], y="nats per token", title="entropy"),
    Panel(["clipped"], y="share of tokens", title="held by the clipping"),
    Panel(["length"], y="tokens", title="length of the answers"),
]


# %%
def watched(run, alt: str) -> list[RLStep]:
    """Let it run, and draw."""
    done = []
    with LiveChart(panels[:3], alt=alt) as rewarded, LiveChart(panels[3:], alt=f"{alt} How it writes.") as how:
        for step in run:
            done.append(step)
            rewarded.add(step.step, proxy=step.proxy, gold=step.gold, kl=step.kl)
            how.add(step.step, entropy=step.entropy, clipped=step.clip_share, length=step.length)
    return done


# %% tags=["varies"]
policy, critic = copied(sft.model), ValueModel(copied(sft.model))
chance = torch.Generator().manual_seed(0)
run = ppo(policy, sft.model, critic, tokenizer, prompts, proxy, settings, chance, gold_scores, mine)
live = watched(run, "PPO by step: learned and true reward, KL; entropy, share of clipped tokens, length.")
policy.eval()
print(f"{len(live)} steps of {len(live[0].responses)} answers in {sum(step.seconds for step in live):.0f} s")

# %% [markdown]
# (What `ppo` does, in five lines: let the policy answer; score, and centre; turn scores into advantages, by `mine`; go
# through the answers in small batches, some of them several times, and take a step of the loss on each; go on with
# other prompts.)
#
# **What to notice.** Learned and true reward stand side by side: nobody but us has the second curve. The true KL
# begins at 0, where policy and reference are one, and is never below; the curve is its estimate by k1 from the answers
# of one step, so it may dip under 0 and jump. Entropy mostly falls, as probability gathers on
# what is paid; the share that the clipping holds says how hard a rollout is used. Cheating would look so: the learned
# reward rises, the true one does not. Without the true one there are only signs, such as a KL that runs away, a length
# that grows, or an entropy near 0, and the answers themselves. The dashed lines are the first batch, which the tuned
# model wrote: few answers, so they are as uncertain as any point of the curves, and a short run says little about the
# true reward; what can be said stands in the record, with more steps and three seeds.
#
# ## How far to go? β, and best-of-N
#
# The same settings with more steps, at five values of β, each with three seeds; a seed has pairs and a reward model of
# its own, from 6,000 pairs. **Guess:** at which β is the learned reward highest, and at which the true one?

# %%
by_beta = recorded("beta")


def running(run: dict, name: str, width: int = 10) -> list[float]:
    """A number of a run by step, each the mean of the last few."""
    values = [step[name] for step in run["curve"]]
    return [fmean(values[max(0, i - width) : i]) for i in range(1, len(values) + 1)]


fig, axes = figure(cols=2, width=9.4, height=3.2)
for label, colour in zip((list(by_beta)[i] for i in (0, 2, -1)), COLOURS, strict=False):
    for ax, name in zip(axes, ("proxy", "gold"), strict=True):
        bands = [over_seeds(at) for at in zip(*(running(run, name) for run in by_beta[label]), strict=True)]
        mean, low, high = zip(*bands, strict=True)
        ax.plot(range(1, len(mean) + 1), mean, color=colour, label=label.replace("beta=", "β "))
        ax.fill_between(range(1, len(mean) + 1), low, high, color=colour, alpha=0.2, linewidth=0)

# %%
axes[0].set(xlabel="step", ylabel="learned reward (nats)", title="learned")
axes[1].set(xlabel="step", ylabel="gold reward", title="true")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
Picture(fig, "PPO by step at three values of β, mean of ten steps, range of three seeds: learned and true reward.")

# %%
print(f"{'β':<6}{'step':>6}{'learned reward':>22}{'gold':>22}")
for label in (list(by_beta)[i] for i in (0, 2, -1)):
    for step in (20, 40, 60, 80):
        bands = [over_seeds([running(run, name)[step - 1] for run in by_beta[label]]) for name in ("proxy", "gold")]
        print(f"{label.partition('=')[2]:<6}{step:>6}" + "".join(ranged(band, ".2f") for band in bands))

# %% [markdown]
# **What to notice.** Up to step 40 the three can hardly be told apart: both rewards rise at each β. Then, at β = 0.02,
# the learned reward goes on, to a mean of 1.68, and the true one turns, from 0.92 at step 40 to 0.80 at the end. At the
# larger β the learned reward rises on slowly, and the true one does not turn. Look at the range as well, not at the
# mean alone: at β = 0.02 some runs tip over and some do not, or not yet. So what can be quoted there is the range, and
# never a seed. And remember how short the live run was on a laptop: a run that ends at step 24 would have shown nothing
# of this, at any β.
#
# How the policies answered in the end, on 400 prompts of combinations that they never met:

# %%
everyone = [run for runs in by_beta.values() for run in runs]
stages = [("SFT", "before", everyone), *((label, "after", runs) for label, runs in by_beta.items())]
print(f"{'':<10}{'proxy':>19}{'gold':>22}{'KL':>19}{'gain in gold':>25}")
for label, when, runs in stages:
    print(f"{label:<10}" + ranged(seeds(runs, when, "proxy"), ".2f", 19), end="")
    print(ranged(seeds(runs, when, "gold", 0)) + ranged(seeds(runs, when, "kl"), ".1f", 19), end="")
    print(ranged(seeds(runs, "gained", 0), "+.3f", 25) if when == "after" else "")

# %%
names = {"helpful": ".2f", "honest": ".2f", "harmless": ".2f", "words": ".1f", "refuses_questions": ".0%"}
print(f"{'':<10}" + "".join(f"{name.partition('_')[0]:>18}" for name in names))
for label, when, runs in stages:
    print(f"{label:<10}" + "".join(ranged(seeds(runs, when, name), form, 18) for name, form in names.items()))

# %%
gains = {
    label: {f"seed {run['seed']}": tuple(run["gained"]) for run in runs} for label, runs in by_beta.items()
}  # of answers to the same prompts
interval_chart(
    gains,
    "Gain in gold reward over the tuned model, by β and seed, with intervals over prompts.",
    x="gain in gold reward (95 % interval over prompts)",
    x_range=None,
    levels={"SFT": 0},
)

# %% [markdown]
# *proxy* is the learned reward; *gain in gold* compares answers to the same prompts; *refuses* is the share of fine
# requests that are refused. In brackets: the range of the three seeds.
#
# **What to notice.** At β = 0.8, 0.4 and 0.2 gold rises by about 0.05 with every seed, none of the nine intervals holds
# 0, and the three β cannot be told apart. (0.2 is the β of the live run. It was chosen among these five, on one seed of
# an earlier series of such runs; since its neighbours gain as much, the choice flatters it little.) Most of the gain is
# in *helpful*, from 0.66 to 0.77; *harmless* had little left to gain. (The curves above lie higher than this table,
# from their first points on: they are from the prompts that the policy learns from.)
#
# At β = 0.1 and 0.02 the learned reward is higher, with every seed, than at the larger β, and the true one is not: at
# 0.1 one run of three has gained nothing, at 0.02 two of three are worse than the tuned model, with intervals that stay
# below 0. That is over-optimisation. Who pays is *helpful*, down to a mean of 0.41 at 0.02; *honest* and *harmless* do
# not suffer. The answers are twice as long, and on average two of three fine requests are refused: a refusal says
# nothing false, and harms nobody, so it costs a third of gold at most. A policy that looks safe by two of three
# measures can be of no use.
#
# ### Best-of-N
#
# There is a way without any training: write N answers, keep the one that the reward model likes best. Where no answer
# is ever drawn twice and no two score alike, it moves away by KL = log N − (N − 1)/N; else by less. Gao et al. (2023)
# studied this *over-optimisation*: they drew the true reward against d = √KL and found two shapes, one for each way:
#
# - best-of-N: R(d) = d (α − β d);
# - RL: R(d) = d (α − β log d).
#
# α says how well it begins, β how soon it turns (it is not the β of the penalty). Do they fit here?

# %%
points: dict[str, list[tuple[float, float, float]]] = {"rl": [], "best-of-n": []}
for runs in by_beta.values():
    for run in runs:
        d = float(over_optimisation.distance([run["after"]["kl"]])[0])
        learned = run["after"]["proxy"] - run["before"]["proxy"]
        points["rl"].append((d, run["gained"][0], learned))
chosen = recorded("best")["best of n"]
for run in chosen:
    first = run["points"][0]
    for point in run["points"][1:]:
        gains_of = point["gold"] - first["gold"], point["proxy"] - first["proxy"]
        points["best-of-n"].append((math.sqrt(point["kl"]), *gains_of))

# %%
for i, point in enumerate(chosen[0]["points"]):
    golds, learnt = seeds(chosen, "points", i, "gold"), seeds(chosen, "points", i, "proxy")
    print(f"best of {point['n']:<4}d = {math.sqrt(point['kl']):.2f}, gold", end="")
    print(f"{ranged(golds)}, learned reward{ranged(learnt, '.2f', 19)}")

# %%
fits = {}
for form, found_here in points.items():
    d, gold, _ = zip(*found_here, strict=True)
    fits[form] = fitted = over_optimisation.fit(d, gold, form)
    peak = "none" if fitted.peak is None else f"{fitted.peak[1]:+.3f} at d = {fitted.peak[0]:.2f}"
    beyond = " (beyond the last dot)" if fitted.peak and fitted.peak[0] > max(d) else ""
    other = over_optimisation.fit(d, gold, "rl" if form == "best-of-n" else "best-of-n")
    off, worse = (math.sqrt(fmean((shape(d) - gold) ** 2)) for shape in (fitted, other))  # in gold reward
    print(f"{form:<10}α {fitted.alpha:+.3f}, β {fitted.beta:+.3f}; highest: {peak}{beyond}")
    print(f"{'':<10}off by {off:.3f}, and the other's shape by {worse:.3f}")

# %%
fig, axes = figure(cols=2, width=9.4, height=3.6)
for (form, fitted), colour, marker in zip(fits.items(), COLOURS, "os", strict=False):
    d, gold, learned = zip(*points[form], strict=True)
    along = [max(d) * i / 100 for i in range(1, 101)]
    axes[0].plot(d, gold, marker, color=colour, markersize=4, label={"rl": "RL"}.get(form, form))
    axes[0].plot(along, fitted(along), color=colour, alpha=0.6)
    axes[1].plot(d, learned, marker, color=colour, markersize=4)
for ax, title, unit in zip(axes, ("true", "learned"), ("gold reward", "learned reward (nats)"), strict=True):
    ax.set(xlabel="d = √KL (nats^½)", ylabel=f"gain in {unit}", title=title, xlim=(0, None))
    ax.axhline(0, color="black", linewidth=0.6)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
Picture(fig, "Gains against √KL for RL and best-of-N: left the true reward with fitted curves, right the learned one.")

# %% [markdown]
# **What to notice.** On the right nothing turns: the further away, the more learned reward, for both ways. On the left
# both turn. Best-of-N is best at N = 4 and 8, with a gold of 0.91, and the fitted peak lies between them; at N = 64 it
# is back where it began, with more learned reward than ever. Choosing alone is enough for over-optimisation, no
# training is needed. RL has no clear peak: its dots are about equally high from d = 0.5 to 1.7, and the three beyond,
# all of small β, are those that fall. (Around d = 1 best-of-N's dots lie somewhat higher; but they are from other
# prompts.)
#
# Do the shapes hold? Each kind of dots is nearer to its own shape than to the other's, for best-of-N by very little. A
# curve is off by about 0.01: that is small beside the fall, and beside the spread of the seeds at small β or large N;
# but at large β, where the seeds lie closer together than that, the curve for RL misses what is there. With two numbers
# fitted to so few dots, most of them at small d, this is a picture that agrees with Gao et al., not a test of their
# law.
#
# (Gao et al. followed single runs without a penalty; here each dot is the end of a run at its own β, with its seed's
# own reward model. The KL of best-of-N is the formula, which is above the true one where answers repeat (Beirami et al.
# 2024): its dots lie too far to the right. And the second shape begins infinitely steep, as no policy does.)
#
# Best-of-N by yourself, live, with your reward model:

# %% tags=["varies"]
most = lab.profile.pick(smoke=4, laptop=16)
asked_now = Prompts(lab.profile.pick(smoke=4, laptop=24), 5, "held_out")(0)
chance, found = torch.Generator().manual_seed(5), []
for at in range(0, len(asked_now), 4):  # a few prompts at a time, which takes less memory
    many = roll_out(sft.model, sft.model, None, tokenizer, asked_now[at : at + 4], chance, most)
    found.append(torch.stack([proxy(many), torch.tensor(gold_scores(many.responses))]))
scores, golds = torch.cat(found, dim=1).view(2, -1, most)  # of each prompt its answers
for point in best_of_n_curve(scores, golds, [n for n in (1, 2, 4, 8, 16) if n <= most]):
    print(f"best of {point.n:<4}KL at most {point.kl:.2f}, learned reward {point.proxy:+.2f}, gold {point.gold:.3f}")

# %% [markdown]
# **What to notice.** Nothing was trained, and the learned reward rises with every N, as it must. What it costs is N
# answers for each that is used, for ever. (For a smaller N the mean is taken over all sets of N among those that were
# drawn.)
#
# ## What it found: a gallery of reward hacking
#
# "When a measure becomes a target, it ceases to be a good measure" (Goodhart's law, in Strathern's words of 1997). Here
# are answers that the reward model liked best and the judge did not, from the policies with the smallest β. What do
# they live on?

# %%
loosest = by_beta[min(by_beta, key=lambda label: float(label.partition("=")[2]))]
best_liked = [one for run in loosest for one in run["after"]["gallery"]]  # of each run first what it likes best
disliked = [[one for one in run["after"]["gallery"] if one["gold"] < 0.9] for run in loosest]
hacked = [one for of_run in disliked for one in of_run[:2]] or best_liked[:6]  # two of each run
print(f"of the {len(best_liked)} answers that are liked best {sum(map(len, disliked))} have a gold reward below 0.9")
most_twice = max(run["after"]["says_twice"] for run in loosest)
print(f"a sentence is said twice in {most_twice:.1%} of a run's answers at most")
marks = [(f"learned {one['proxy']:+.1f}", f"gold {one['gold']:.2f}", one["gold"] >= 0.9) for one in hacked]
Gallery([Card(one["prompt"], one["text"], *mark) for one, mark in zip(hacked, marks, strict=True)])

# %% [markdown]
# Is it the taste for length? The study of reward models kept, for each seed, what its reward model pays for 1 of gold
# and for a word more at equal gold. By these prices, what should each of the three policies have earned?

# %%
prices = {run["seed"]: run for run in sizes["6,000 pairs"]}
print(f"{'':<10}{'words':>8}{'they earn':>11}{'gold':>8}{'it earns':>10}{'together':>10}{'in truth':>10}  (nats)")
for run in loosest:
    words, learned = (run["after"][name] - run["before"][name] for name in ("words", "proxy"))
    by_words = words * prices[run["seed"]]["per_word"][0]
    by_gold = run["gained"][0] * prices[run["seed"]]["per_gold"][0]
    print(f"seed {run['seed']:<5}{words:>+8.1f}{by_words:>+11.2f}{run['gained'][0]:>+8.2f}{by_gold:>+10.2f}", end="")
    print(f"{by_words + by_gold:>+10.2f}{learned:>+10.2f}")

# %% [markdown]
# **What to notice.** Most cards are refusals, and long ones: no, a reason, a kind offer. Where the request was harmless
# such a speech is absurd, and the reward model likes it better than almost anything. (The last two were right until
# their first full stop; then comes the same kind of speech.) Repetition is not in it. Length is a part: in the two runs
# that went astray the added words should have earned more than the loss of gold cost, so by these prices the trade was
# worth making. But words and gold together explain only about 0.8 of the more than 2 nats that they did earn. The rest
# is something that nobody planted: a liking for the refusal itself, whatever was asked. Our guess: among the pairs are
# harmful requests, where such an answer beats any other by far, so it was always seen on the winning side; and how it
# looks is easier to learn than when it is called for. (Prices from the tuned model's answers need not hold so far
# away.)
#
# Could one have known? The table of padded answers, or these prices, would have warned of length. Neither asks about a
# refusal where none is due. The first table of this lab has a line for that, *over-refusal*, at least where a request
# sounds harmful: so measure the price after the training, too, and read the answers.
#
# ## Three remedies
#
# All at the smallest β, 0.02, but for the first: a larger KL penalty (β = 0.2); an *ensemble* of three reward models,
# that pays only for what they agree on (mean minus deviation; Coste et al. 2023 take the variance); a *length penalty*
# of 0.05 for each token beyond 20, for whoever knows what is exploited. The three of an ensemble have learned from the
# same pairs, in another order, and began with another head.

# %%
remedies = recorded("mitigations")
interval_chart(
    {label: {"gold": seeds(runs, "after", "gold", 0)} for label, runs in remedies.items()},
    "Gold reward after PPO at a small β, with nothing done and with three remedies; range of three seeds.",
    x="gold reward (mean and range of 3 seeds)",
    x_range=None,
    levels={"SFT": fmean(run["before"]["gold"][0] for runs in by_beta.values() for run in runs)},
)

# %%
print(f"{'':<20}{'gold':>21}{'KL':>18}{'words':>18}{'refuses':>16}")
for label, runs in remedies.items():
    print(f"{label:<20}" + ranged(seeds(runs, "after", "gold", 0), width=21), end="")
    print("".join(ranged(seeds(runs, "after", name), ".1f", 18) for name in ("kl", "words")), end="")
    print(ranged(seeds(runs, "after", "refuses_questions"), ".0%", 16))

# %% [markdown]
# **What to notice.** Only the larger KL penalty keeps gold above the tuned model's with every seed: 0.893, from 0.885
# to 0.899. (These are the runs at β = 0.2 that you have seen.) With nothing done the range reaches from far below the
# tuned model to far above it, so chance decides. No run with an ensemble or with a length penalty ends above the tuned
# model; but their ranges lie within that of *nothing*, so these runs cannot tell whether they help or harm.
#
# What they do to the answers can be told. The length penalty cuts the longest answers, and the policy finds refusals
# that are shorter: it still refuses fine requests, which fits with the guess that length was never the whole of it. Who
# knows one thing that is exploited has not closed the others. The ensemble goes astray as well: a likely reason is that
# its three models have learned from the same pairs: where a mistake lies in the pairs all three make it, and agree. (A
# larger β does not know what is exploited, either. It just forbids to go where the reward model is a stranger.)
#
# ## GRPO: what PPO became
#
# The critic costs a second model that learns. What does it do? It says what was to be expected. With several answers
# to one prompt, their mean says it, too (Shao et al. 2024): no critic, no value loss, no GAE. And the KL penalty
# leaves the reward and stands in the loss, as k3.

# %%
# EXERCISE lablib.alignment.grpo:group_advantages

# %% [markdown]
# In its published form two things are odd (Liu et al. 2025). A loss that is averaged *answer by answer* spreads an
# answer's blame over its tokens; and the division by the deviation makes a gain on some prompts count more than on
# others. Look at both. First two wrong answers and two right ones, short and long, and how strongly each token is
# pushed:

# %%
lengths = (5, 20, 5, 20)
mask = torch.arange(20)[None] < torch.tensor(lengths)[:, None]
right = torch.tensor([0.0, 0.0, 1.0, 1.0])
forms = {"answer": group_advantages(right, 4), "constant": group_advantages(right, 4, "group")}
print(f"{'':<26}{'published':>11}{'corrected':>11}")
names = ("wrong, 5 tokens", "wrong, 20 tokens", "right, 5 tokens", "right, 20 tokens")
for row, name in enumerate(names):
    pushes = [token_weights(better, mask, per, 20)[row, 0].item() for per, better in forms.items()]
    print(f"{name:<26}{pushes[0]:>+11.4f}{pushes[1]:>+11.4f}")

# %% [markdown]
# **What to notice.** In the published form a token of the long wrong answer is blamed a quarter as much as one of the
# short: whoever is wrong had better be long. And whoever is right, short. In the corrected form (a constant in place
# of the length, no division by the deviation) all four are pushed equally hard.
#
# Then the prompts. The deviation of right and wrong is √(p (1 − p)), where p is the share of right answers, and GRPO
# divides by it:

# %%
shares = torch.tensor([0.5, 0.75, 0.9, 0.99])
print("answers right:" + "".join(f"{share:>9.0%}" for share in shares.tolist()))
for G in (8, 64, None):
    counts = difficulty_weight(shares, G)
    named = "endless groups" if G is None else f"groups of {G}"
    print(f"{named:<14}" + "".join(f"{one:>9.2f}" for one in (counts / counts[0]).tolist()))

# %% [markdown]
# **What to notice.** Each number says how many times as much one point more of right answers counts as it does at 50 %.
# With endless answers to a prompt, a small gain at 99 % counts five times as much as at 50 % (and so it is at the other
# end: p and 1 − p may be exchanged); with groups of 64 three to four times; with the eight of this lab 1.4 times. For
# there most groups at 99 % are all right and teach nothing, and the deviation of the others is never below 1/√8. Such a
# prompt does not push harder than an open one: nearly all its answers are alike, and the mean size of its advantages
# is, in large groups, 2√(p (1 − p)) with the division, and 2p (1 − p) without. But it pushes harder than the share of
# right answers asks for.
#
# ### A reward that can be verified
#
# Where there is one right fact, no reward model is needed: look it up. It cannot be flattered; it can only see what
# it looks for. A short run of GRPO with it, with your advantages, in the corrected form:

# %%
only = checkable_types()
groups = GRPO(
    steps=lab.profile.pick(smoke=1, laptop=8, gpu=60),
    per_prompt=lab.profile.pick(smoke=2, laptop=8),
    most=lab.profile.pick(smoke=12, laptop=60),
    lr=2e-4,
    baseline="group",
    per="constant",
)
facts = Prompts(lab.profile.pick(smoke=2, laptop=8), seed=3, only=only)

# %% tags=["varies"]
solver, chance = copied(sft.model), torch.Generator().manual_seed(0)
print(f"{'step':<6}{'facts right':>12}{'gold':>8}{'KL':>8}{'tokens':>8}{'groups all alike':>18}")
for step in train_grpo(solver, sft.model, tokenizer, facts, verified, groups, chance, gold_scores, group_advantages):
    G = groups.per_prompt
    alike = fmean(len(set(step.scores[i : i + G])) == 1 for i in range(0, len(step.scores), G))
    print(f"{step.step:<6}{step.proxy:>12.2f}{step.gold:>8.2f}{step.kl:>8.2f}{step.length:>8.0f}{alike:>18.0%}")

# %% [markdown]
# **What to notice.** The last column: where all answers are right, or all wrong, there is nothing to compare; such a
# group pulls only towards the reference (and away from answers that were cut off, which lose 1). A step is few prompts,
# and other ones each time, so do not read a trend into eight of them. The record has the longer runs, beside PPO from
# equally many answers, with either reward:

# %%
rivals = recorded("grpo")
print(f"{'':<25}{'gold':>5}{'gain in gold':>24}{'KL':>15}{'words':>6}{'wrong':>17}{'MB':>5}")
for label, runs in rivals.items():
    gold, words = seeds(runs, "after", "gold", 0)[0], seeds(runs, "after", "words")[0]
    print(f"{label:<25}{gold:>5.3f}" + ranged(seeds(runs, "gained", 0), "+.3f", 24), end="")
    print(ranged(seeds(runs, "after", "kl"), ".1f", 15) + f"{words:>6.1f}", end="")
    print(ranged(seeds(runs, "after", "words_wrong"), ".1f", 17) + f"{runs[0]['megabytes']:>5.0f}")

# %%
print(f"{'the same seed, difference':<35}{'gold':>24}{'KL':>19}{'wrong':>19}")
for kind in ("learned", "verified"):
    for one, other in (("GRPO", "PPO"), ("GRPO corrected", "GRPO")):
        both = rivals[f"{one}, {kind}"], rivals[f"{other}, {kind}"]
        print(f"{kind + ': ' + one + ' less ' + other:<35}", end="")
        print(ranged(differs(*both, "after", "gold", 0), "+.3f", 24), end="")
        print("".join(ranged(differs(*both, "after", name), "+.1f", 19) for name in ("kl", "words_wrong")))

# %%
timed = recorded("seconds")
print(f"{'two CPU cores':<16}{'answers a step':>14}{'seconds a step, median and range':>36}{'seconds a run':>16}")
for name in ("PPO", "GRPO"):
    took, run = [one for run in timed[name] for one in run["took"]], timed[name][0]
    band = ranged((median(took), min(took), max(took)), ".2f", 36)
    print(f"{name:<16}{run['answers']:>14}{band}{run['steps'] * median(took):>16.0f}")

# %% [markdown]
# *MB* is what the weights take: 4 bytes each, and 12 more for the gradient and the two moments of Adam where they
# learn. Runs with a verified reward are asked, and judged, on questions of fact only, so compare *gold* within a
# reward.
#
# PPO's β is 0.2 and GRPO's 0.05, and they stand in different places: so read gold beside KL, not alone.
#
# *wrong* is how many words answers have whose gold reward is below 0.9. The second table compares runs of one seed,
# which share prompts and reward model.
#
# **What to notice.** With a verified reward every run gains, by 0.02 to 0.04, whatever the method; the differences in
# gold are small and their range holds 0 where GRPO is laid beside PPO, so these runs cannot tell which is better. What
# GRPO saves is sure: with no critic to learn it takes 84 MB instead of 152, or 101 instead of 168 with a learned
# reward, and half of the seconds for as many answers (timed one behind the other, with nothing else to
# do; the reward model is made before, for both). In its published form it goes further from the tuned model than PPO,
# with either reward and every seed, and gains no more by it. The corrected form stays nearer than the published one,
# again with either reward and every seed, and its gold cannot be told from the other's. A likely reason: without the
# division by a deviation below 1 the advantages are smaller, and so the same β weighs more beside them.
#
# And the length of wrong answers, for which the correction was made? With the learned reward they are shorter in all
# three seeds, by half a word to five words. That is what the correction promises. But the corrected runs went less far
# altogether, and in this lab whoever goes far writes long; so the table does not say which of the two it was. With a
# verified reward there is nothing to see: the differences have both signs. The answers have six words, so there is
# hardly anything to stretch, and they stop by themselves; Liu et al. saw the bias in long chains of reasoning. That a
# loss has a bias, as the weights above show, does not say how much it matters at a given size.
#
# ## Questions to think about
#
# <details><summary>1. The reward model has 70 % accuracy and the ceiling is 75 %. Is it a good one?</summary>
#
# On such pairs it has 20 of the 25 points that can be had above a coin. That says nothing about answers that none of
# the pairs had: a policy that learns moves there, and the accuracy was measured here.
#
# </details>
#
# <details><summary>2. Add 10 to every reward. What changes?</summary>
#
# Nothing in the Bradley–Terry loss, which knows differences only. In PPO without centring it is 10 for any answer,
# and the critic has to learn it before the advantages make sense. In GRPO nothing: the group's mean takes it away.
#
# </details>
#
# <details><summary>3. Why is k1 right in the reward and useless in the loss?</summary>
#
# As a reward only its value matters, and the policy gradient takes care of the tokens having been drawn from π. As a
# term of the loss its mean gradient is the mean over π of the gradient of log π. That is the gradient of the sum of
# all probabilities, which is always 1: so it is 0 (Tang and Munos 2025).
#
# </details>
#
# <details><summary>4. The KL curve rises without end, and so does the learned reward. Good news?</summary>
#
# Without a true reward to look at nobody knows, and that is the trouble: the learned reward rises in good runs and in
# bad ones. Read the answers, have some labelled anew, and see whether the reward model still agrees with people on
# *those*.
#
# </details>
#
# <details><summary>5. Why not simply take out the annotator who likes length?</summary>
#
# Here one could, since it is written down who they are. In a real set it is a part of everybody's taste, and an
# answer that says more *is* often better. One can measure it at equal quality, as above, if somebody has judged
# quality.
#
# </details>
#
# <details><summary>6. The penalty is KL(π ‖ ρ), not KL(ρ ‖ π). What would the other one forbid?</summary>
#
# KL(π ‖ ρ) is large where the policy says what the reference never would; to leave out what the reference says costs
# little. KL(ρ ‖ π) is large where the policy no longer says what the reference says often. The first keeps answers
# readable, and lets the policy become narrow. (GRPO's k3 in the loss pushes as the second does: see *How far away?*)
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Christiano et al. 2017, *Deep Reinforcement Learning from Human Preferences*.
# - Ziegler et al. 2019, *Fine-Tuning Language Models from Human Preferences*; Stiennon et al. 2020, *Learning to
#   summarize from human feedback*; Ouyang et al. 2022, *Training language models to follow instructions with human
#   feedback*.
# - Bradley and Terry 1952, *Rank Analysis of Incomplete Block Designs*; Askell et al. 2021, *A General Language
#   Assistant as a Laboratory for Alignment*; Guo et al. 2017, *On Calibration of Modern Neural Networks*.
# - Bai et al. 2022, *Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback*
#   (HH-RLHF); Cui et al. 2023, *UltraFeedback: Boosting Language Models with High-quality Feedback*.
# - Schulman et al. 2016, *High-Dimensional Continuous Control Using Generalized Advantage Estimation*; Schulman et
#   al. 2017, *Proximal Policy Optimization Algorithms*; Schulman 2020, *Approximating KL Divergence*.
# - Engstrom et al. 2020, *Implementation Matters in Deep Policy Gradients*; Andrychowicz et al. 2021, *What Matters
#   for On-Policy Deep Actor-Critic Methods?*; Huang et al. 2022, *The 37 Implementation Details of Proximal Policy
#   Optimization*; Huang et al. 2024, *The N+ Implementation Details of RLHF with PPO*.
# - Jones 2021, *Debugging RL, Without the Agonizing Pain*; Krippendorff 2011, *Computing Krippendorff's
#   Alpha-Reliability*.
# - Gao, Schulman and Hilton 2023, *Scaling Laws for Reward Model Overoptimization*; Coste et al. 2023, *Reward Model
#   Ensembles Help Mitigate Overoptimization*; Singhal et al. 2023, *A Long Way to Go: Investigating Length
#   Correlations in RLHF*.
# - Nakano et al. 2021, *WebGPT*; Beirami et al. 2024, *Theoretical guarantees on the best-of-n alignment policy*.
# - Shao et al. 2024, *DeepSeekMath* (GRPO); Liu et al. 2025, *Understanding R1-Zero-Like Training*; Lambert et al.
#   2024, *Tulu 3* (verifiable rewards); Tang and Munos 2025, *On a few pitfalls in KL divergence gradient estimation
#   for RL*.
