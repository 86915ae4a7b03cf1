# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 15 · What works best?
#
# Four labs, four ways to make a model better than its examples: choose among many answers, RLHF, DPO, Constitutional
# AI. Which one should you take? There is a table that is copied from text to text. It says that RLHF is complex and
# unstable, DPO simple and as good, Constitutional AI cheap in people's time. Nearly every cell of it is an adjective.
#
# This lab makes the same table with numbers. All methods begin with one tuned model, spend the same compute, and are
# judged by the same truth. Then comes the harder part: to say no more than the numbers do.
#
# **You will be able to**
#
# - count a win rate on paired prompts, and put an interval around it that knows how few seeds there were;
# - say what "at equal compute" means, and keep the books;
# - tell who is worth having at all (the Pareto front) from who is best *for you* (weights);
# - read a comparison of methods, ours or anybody's, and see which of its sentences the numbers carry.
#
# **You need** labs 12 to 14. **Time**: about an hour and a half with the seven exercises. The cells are sized for four
# minutes on two CPU cores and 1.5 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes. (Lines that only refuse arguments of the wrong shape you may leave out.)

# %%
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace

# %%
import torch
from scipy.special import stdtrit
from torch import Tensor

# %%
from lablib.alignment.comparison import judged
from lablib.alignment.comparison_methods import METHODS
from lablib.alignment.comparison_phases import Shop
from lablib.alignment.comparison_plan import SMALL, Plan
from lablib.alignment.comparison_summary import strays, table
from lablib.alignment.compute_ledger import check_lengths
from lablib.alignment.diversity import check_n
from lablib.alignment.pareto import check_ideal, check_points, check_weights, weighted
from lablib.alignment.win_rate import LEVEL, Interval, check_means, check_paired, check_resample, drawn, ends

# %%
from lablib.architecture.decoder import DecoderConfig
from lablib.checkpoints import load
from lablib.paths import data_path
from lablib.pretraining.distributed import local_device
from lablib.pretraining.flops import per_token
from lablib.show.intervals import interval_chart
from lablib.show.live import LiveChart
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, GREY, Picture, figure
from lablib.show.texts import Card, Gallery

# %% tags=["varies"]
from lablib import course

lab = course.begin("15")

# %% [markdown]
# ## Who wins?
#
# Two policies answer the same prompts, and each answer has a score. The plainest comparison asks, prompt by prompt, who
# has the better one. It does not ask by how much, so it works for scores of any kind, and for people's choices, which
# have no scores at all. (So it can disagree with the mean: who wins often by little and loses seldom by much wins here
# and loses there. We look at both.) A tie is half a win for both.

# %%
# EXERCISE lablib.alignment.win_rate:wins

# %% [markdown]
# To try it, an invented experiment whose truth we know. Two methods, three seeds each, 200 prompts for each seed. Some
# prompts are hard for both. The second method is better by 0.1 on average, but one trained policy is better than the
# next: *seeds differ*.


# %%
def experiment(S: int, P: int, better: float, between: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scores of two methods, (S, P) each: the second is better by so much, give or take `between` for each seed."""
    hard = torch.randn(S, P, generator=chance)
    of_seed = better + between * torch.randn(S, 1, generator=chance)
    return hard + 0.3 * torch.randn(S, P, generator=chance), hard + of_seed + 0.3 * torch.randn(S, P, generator=chance)


first, second = experiment(3, 200, better=0.1, between=0.1, chance=torch.Generator().manual_seed(3))
won = wins(second, first)
print(f"win rate of the second: {won.mean():.3f}; of its seeds: {', '.join(f'{x:.3f}' for x in won.mean(dim=1))}")

# %% [markdown]
# **What to notice.** The seeds' own rates. The first number is their mean, and hides that they differ.
#
# ## What if it had been other seeds and prompts?
#
# That is what an interval has to answer. The *bootstrap* (Efron 1979) treats the data as if they were the whole world:
# it draws from them, with replacement, as many as there were, computes the mean, and does so two thousand times. The
# scatter of these means is the answer.
#
# But what is to be drawn? What stands or falls together must be drawn together (Davison and Hinkley 1997, §3.8, who
# weigh several ways). The 200 answers of one policy do. So a resample draws *seeds* first, and then, within each drawn
# seed, its prompts. (Each seed has prompts of its own, here and in the record. Had all seeds the same prompts, these
# would have to be drawn once for all of them.)

# %%
# EXERCISE lablib.alignment.win_rate:resampled_means

# %% [markdown]
# **Guess before you run the next cell.** One interval is made as above. For the other, all 600 wins are thrown into
# one bag, as if they had nothing to do with each other. Which is wider, and by what factor?


# %%
def bootstrap(values: Tensor, seed: int = 0, resamples: int = 2000) -> Interval:
    """Mean and the middle 95 % of the resamples of a table (S, P)."""
    chance = torch.Generator().manual_seed(seed)
    S, P = values.shape
    means = resampled_means(values, *drawn(S, P, resamples, chance))
    return (values.mean().item(), *ends(means))


# %%
clusters, bag = bootstrap(won), bootstrap(won.reshape(1, -1))
print(f"clusters {clusters[2] - clusters[1]:.3f} long, one bag {bag[2] - bag[1]:.3f}")
interval_chart(
    {"seeds as clusters": {"win rate": clusters}, "one bag": {"win rate": bag}},
    "The same win rate with two intervals: seeds drawn as clusters, and all wins in one bag.",
    x="win rate of the second method",
    x_range=None,
    levels={"no difference": 0.5},
)

# %% [markdown]
# **What to notice.** One interval crosses the dashed line, the other does not, and it is 2.7 times as long. The bag
# knows of 600 comparisons and nothing of the three policies behind them; with ten times the prompts it would shrink to
# a third of that, and the policies would still be three.
#
# ## How far do three seeds reach?
#
# The bootstrap of three seeds has a weakness of its own: it can never draw a seed that lies beyond the three. Student
# (1908) found what it costs to have few measurements. In place of 1.96 deviations of the mean one has to go 4.30 to
# either side, if there are three seeds:
#
# $$\bar x \pm t_{S-1} \, \frac{s}{\sqrt S}$$
#
# with the mean x̄ of the S seeds' means, their standard deviation s, and Student's quantile t, which SciPy has:
# `stdtrit(S - 1, p)` is the value below which a share p of Student's distribution with S − 1 degrees of freedom
# lies.

# %%
# EXERCISE lablib.alignment.win_rate:seed_interval

# %%
print("win rate {:.3f}, by Student from {:.3f} to {:.3f}".format(*seed_interval(won.mean(dim=1))))

# %% [markdown]
# **What to notice.** That is two and a half times as long as the clusters' interval.
#
# Which of the three tells the truth? That can be tried out, since our invented experiment has a truth. We do it again
# and again with *no* difference between the methods, and count how often each interval of the mean difference holds 0.
# An honest 95 % interval does so 95 times in 100.


# %%
def held(S: int, between: float, runs: int) -> list[float]:
    """How often the bag, the clusters and Student hold the truth."""
    count = [0, 0, 0]
    for run in range(runs):
        one, other = experiment(S, 50, 0.0, between, torch.Generator().manual_seed(run))
        apart = other - one
        bag, clusters = (bootstrap(values, run, 400) for values in (apart.reshape(1, -1), apart))
        three = (bag, clusters, seed_interval(apart.mean(dim=1)))
        count = [n + (low <= 0 <= high) for n, (_, low, high) in zip(count, three, strict=True)]
    return [n / runs for n in count]


# %% tags=["varies"]
runs = lab.profile.pick(smoke=10, laptop=200)
print(f"share of {runs} experiments in which the truth is inside")
print(f"{'':<28}{'one bag':>9}{'clusters':>10}{'Student':>9}")
for S, between in ((3, 0.0), (3, 0.2), (10, 0.2)):
    name = f"{S} seeds that differ by {between:g}"
    print(f"{name:<28}" + "".join(f"{share:>9.2f} " for share in held(S, between, runs)))

# %% [markdown]
# **What to notice.** Where seeds do not differ, all three hold the truth at least about as often as they promise. (From
# 200 experiments a share near 0.95 is known to within 0.03. In more one sees that the clusters' interval is too
# long, by about three tenths with three seeds and four with ten: the scatter of prompts is in the seeds' means already,
# and then prompts are drawn once more.) Where seeds
# differ, the bag misses the truth about every second time, with ten seeds no less than with three: it never knew of
# them. The clusters do better, and still promise too much with three seeds; with ten they are nearly there. Student is
# honest everywhere. (He takes for granted that seeds scatter in the shape of a bell, as ours were made to.) The price
# is width.
#
# So from here on a sentence about two methods is *carried* only where **both** intervals, clusters and Student, lie on
# one side. That is a rule made before looking, and it is asked of all sentences alike.

# %% [markdown]
# ## What does it cost?
#
# A comparison in which one method may spend more than another compares purses. But what is to be equal? Seconds
# depend on the machine, and on how well each method is written. Steps mean nothing across methods. We take
# arithmetic: the FLOPs that the models' passes need, *all* of them, from the tuned model to the finished policy:
# answers that are drawn, also those thrown away; the reference's look at them; the reward model's training;
# critiques; labels by a model.
#
# A weight takes part in one multiplication and one addition for each token, and in twice as many on the way back
# (Chowdhery et al. 2022, appendix B).

# %%
# EXERCISE lablib.alignment.compute_ledger:pass_flops

# %% tags=["varies"]
sft = load("sft")
sft.model.to(local_device())  # the GPU, if there is one
config, row = sft.model.config, 33  # tokens of a prompt with its answer, about
read, learned = (pass_flops(config, [row], learned=both) for both in (False, True))
trunk = pass_flops(config, [row], learned=True, head=False)
print(f"{sft.origin}: {config.parameters:,} parameters")
print(f"an answer is written, or read by a reference    {read / 1e9:.2f} GFLOP")
print(f"an answer is learned from                       {learned / 1e9:.2f} GFLOP")
print(f"a reward model learns from it                   {trunk / 1e9:.2f} GFLOP")

# %% [markdown]
# **A question before you run the next cell.** A step of PPO with one answer: the policy writes it and reads it once
# more; the reference, the critic and the reward model read it; then, in two epochs, policy and critic learn from it.
# How many times the first line is that? And how many pairs can DPO write, look at and learn from instead?

# %% tags=["varies"]
score = pass_flops(config, [row], head=False)  # a critic or a reward model reads
one_ppo = 3 * read + 2 * score + 2 * (learned + trunk)
one_pair = 2 * (2 * read + learned)
print(f"one answer in PPO             {one_ppo / read:>5.1f} times an answer that is written")
print(f"one pair in DPO               {one_pair / read:>5.1f}")
print(f"best of N, each of the N      {(read + score) / read:>5.2f}")
print(f"for one answer in PPO: {one_ppo / one_pair:.1f} pairs in DPO, or the best of {int(one_ppo / (read + score))}")

# %% [markdown]
# **What to notice.** PPO's answer is passed through a model 17 times (learning counts three), eight of them without a
# head. DPO reads two answers and asks no reward model; best-of-N only writes and scores.
#
# What then is equal compute for a method that draws many answers and trains no policy? It pays when it is used. Our
# budget therefore runs from the tuned model *through the first 1,000 answers that the finished model gives*. Best-of-N
# has what is left of it for these. Serve a million, and the picture is another one: that is a choice, and it is stated.
# (The record below has a figure of where it turns.)
#
# ## On your machine
#
# Now three methods and the tuned model, with one seed, on a budget that your machine can spend in minutes: on a laptop
# a tenth of the record's, with fewer labels and 200 answers to give; on a GPU the record's own. Each keeps its books.

# %% tags=["varies"]
tiny = replace(SMALL, budget=1.6e11, labels=16, served=20, prompts=8, judged=2, diverse=2)
plan = lab.profile.pick(smoke=tiny, laptop=SMALL, gpu=Plan())
shop = Shop(sft, plan, seed=0)
mine = {}
alt = "TFLOP spent against seconds, a line for each method; the dashed line is the budget."
tried, limit = ["SFT", "best of N", "RLHF", "DPO"], {"budget": plan.budget / 1e12}
with LiveChart(tried, x="seconds of making", y="TFLOP spent", levels=limit, alt=alt) as chart:
    for label in tried:
        mine[label] = METHODS[label].make(shop)
        seconds = spent = 0.0
        chart.add(seconds, **{label: spent})
        for cost in mine[label].ledger.costs:
            seconds, spent = seconds + cost.seconds, spent + cost.flops / 1e12
            chart.add(seconds, **{label: spent})

# %% [markdown]
# **What to notice.** Flat stretches take time, steep ones arithmetic: to write token by token uses the machine badly.
# Each line ends with a vertical stretch, the answers that the finished model will give. They are counted and not timed,
# and best-of-N spends most of its budget there. (It begins with the same pairs and reward model as RLHF, so their lines
# begin as one. RLHF may end one step beyond the budget: a step is a tenth of a laptop's small one.) The books in full:

# %% tags=["varies"]
for label, made in mine.items():
    print(f"{label}: {made.ledger.human} labels; in memory at most {', '.join(made.ledger.models)}; {made.notes}")
    for cost in made.ledger.costs:
        print(f"    {cost.what:<34}{cost.flops / 1e12:>8.3f} TFLOP{cost.seconds:>8.1f} s")

# %% [markdown]
# **What to notice.** Where each spends most. Pairs and reward model were made once and stand in the books of all who
# use them, so the seconds are those that each would have taken alone. Look at *steps*, too: on a laptop RLHF had about
# five. What a table says of methods that have hardly begun, keep in mind below.
#
# Now they answer prompts that none of them has seen. The columns: *helpful* on requests that are fine; *honest* on
# these and on what nobody can know; *harmless* on harmful requests and private details; *over-refusal*, the share of
# harmless look-alikes that are refused, the less the better. *Gold* is the mean of the three scores, on all prompts,
# and who has more of it wins. (All as in lab 12.) *KL*: nats per answer to SFT. What choosing adds to best-of-N's is
# only bounded, log N − (N − 1)/N; see lab 12.

# %% tags=["varies"]
rows = [{"label": label, "seed": 0, **judged(made, shop)} for label, made in mine.items()]
columns = ["helpful", "honest", "harmless", "over-refusal", "KL"]
print(f"{'':<12}{'wins over SFT':>21}" + "".join(f"{name:>{max(len(name), 5) + 2}}" for name in columns))
for label in mine:
    rate = wins(table(rows, label, "gold", [0]), table(rows, "SFT", "gold", [0]))
    mean, low, high = bootstrap(rate)
    cells = "".join(f"{table(rows, label, name, [0]).mean():>{max(len(name), 5) + 2}.3f}" for name in columns)
    bound = f" + ≤ {mine[label].kl_bound:.2f}" if mine[label].n > 1 else ""
    print(f"{label:<12}{mean:.3f} [{low:.3f}, {high:.3f}] {cells}{bound}")

# %% [markdown]
# **What to notice.** The width of the intervals, and what is missing: Student's. With one seed nobody can say how far
# from it another seed would have landed, so this table carries *nothing* about the methods. It says something about
# the three policies that you have just made. For more, one needs the record.
#
# ## The record
#
# `lab compare` did the same with ten times a laptop's budget, all methods, five seeds. You can do it again, with `lab
# compare --out mine`, in hours on two cores of a CPU, where this record was made. (It also writes most of what follows
# as one page, `comparison.html`, which opens in any browser and needs no notebook; and with `--against` and the folder
# of another report it says which of its means lie within that one's intervals.)

# %%
record, whole = (
    json.loads(data_path(f"experiments/{name}.json").read_text(encoding="utf-8"))
    for name in ("comparison_figures", "comparison")
)
methods, every_run = record["methods"], whole["runs"]
print(f"{record['command']}, {len(record['seeds'])} seeds, on {record['hardware']}")
print(f"{'':<18}{'stages':>7}{'in memory':>10}{'human':>7}{'AI':>6}{'TFLOP':>9}{'its seeds':>15}{'lines of code':>15}")
for label, one in methods.items():
    books = [run["ledger"] for run in every_run if run["label"] == label]
    spent = [sum(cost["flops"] for cost in book) / 1e12 for book in books]
    ends_of = f"{min(spent):.1f} to {max(spent):.1f}"
    print(f"{label:<18}{one['stages']:>7}{len(one['models']):>10}{one['human']:>7}{one['ai']:>6}", end="")
    print(f"{one['flops'] / 1e12:>9.1f}{ends_of:>15}{one['lines']:>15,}")

# %% [markdown]
# *In memory*: models at the same time, the policy among them. *Human*, *AI*: labels by people and by the model; these
# and *TFLOP* are means over the seeds. *Lines of code*: counted by a program, in the modules that the method needs
# beyond tuning; yours would be others. Two rows leave most of their budget unspent. "DPO, same labels" has the labels
# of RLHF: *equal labels* is another fair question than equal compute, and may have another answer. "CAI, stage 1" stops
# where CAI begins to label.
#
# **What to notice.** *Equal* is meant with a grain of salt. Three methods ask for as many pairs as the budget will pay,
# and foresee what they cost from the first 64. So the seeds of DPO, IPO and "CAI, then DPO" ended between 10.5 and 12.7
# of the 12 TFLOP. PPO ends with a whole step, up to 0.3 above. And N is foreseen like that, too: it differs from seed
# to seed.
#
# ### Where the ranking turns
#
# The budget stops at the plan's 1,000 answers. Whoever gives more of them shares the making among more. So what does
# *one* answer cost, with its share of the making? The books know: their last entry is the answers, all others are the
# making. (Here are those of the first seed.)

# %%
served, n = record["plan"]["served"], methods["best of N"]["n"]
price = {}  # label -> FLOPs of the making, FLOPs of an answer
for label in ("RLHF", "best of N", "DPO, same labels", "SFT"):
    *making, answers = methods[label]["ledger"]
    price[label] = sum(cost["flops"] for cost in making), answers["flops"] / served
price["best of 4"] = price["best of N"][0], price["best of N"][1] * 4 / n
trained, one = price["RLHF"]
turns = {}  # label -> after how many answers both have cost the same
for label, N in (("best of N", n), ("best of 4", 4)):
    made, each = price[label]
    turns[label] = (trained - made) / (each - one)
    print(f"first seed: the best of {N} costs as much as RLHF after {turns[label]:,.0f} answers")
print("N of each seed:", [run["n"] for run in every_run if run["label"] == "best of N"])

# %%
many = torch.logspace(1, 6, 101, dtype=torch.float64)  # answers, from 10 to a million
fig, ax = figure(width=7.6, height=3.6)
for colour, (label, (made, each)) in zip(COLOURS, price.items(), strict=False):
    ax.loglog(many, (made / many + each) / 1e9, color=colour, label=label)
for answers in turns.values():
    ax.plot([answers], [(trained / answers + one) / 1e9], "o", color="black", zorder=3)
ax.axvline(served, color=GREY, linestyle="--", linewidth=1)
ax.set(xlabel="answers that are given (dashed: the plan)", ylabel="GFLOP an answer, the making shared")
ax.legend(frameon=False)
Picture(fig, "Cost of an answer against answers given, a line a method; dots where best of N costs as much as RLHF.")

# %% [markdown]
# **What to notice.** Every line but SFT's falls until only the writing itself is left, and best-of-N writes N answers,
# and scores them. RLHF's line is that of everybody who trains for the whole budget: they differ in what they make of it
# and not in the sum. Best-of-N meets it near the dashed line, by construction, since N was chosen to spend the rest of
# the budget there. To the left of a dot choosing is cheaper, to the right training; with a smaller N the dot lies
# farther right. "DPO, same labels" lies below both wherever one stands: its one pass over the labels costs less than
# the reward model's two, and it writes no answer that it does not give. What the answers are *worth* no line says. That
# comes now.
#
# **Guess** before you run it: who has the highest win rate against the tuned model? Is it above 1/2 for all of them?


# %%
def resampled(one: dict) -> Interval:
    """A figure of the record with the bootstrap's interval."""
    return one["mean"], one["low"], one["high"]


def shown(aim: str, only: Sequence[str] | None = None) -> dict[str, dict[str, Interval]]:
    """Both intervals of a column, method by method, for `interval_chart`."""
    found = {}
    for label in methods if only is None else only:
        one = methods[label][aim]
        student = {"Student, over seeds": (one["mean"], one["seed_low"], one["seed_high"])}
        found[label] = {"bootstrap": resampled(one), **student}
    return found


# %%
others = [label for label in methods if label != "SFT"]
print(", ".join(f"{label} {methods[label]['win rate']['mean']:.3f}" for label in others))
interval_chart(
    shown("win rate", others),
    "Win rate of each method against the tuned model by gold reward, with two intervals each.",
    x="win rate against SFT (ties count half)",
    x_range=None,
    levels={"no difference": 0.5},
)

# %% [markdown]
# **What to notice.** Nine of the ten lie above 1/2, with both intervals: the seven who learned from people's labels, in
# whatever way, and both rows of CAI, which had none. "More SFT" lies below, by both intervals and by a hair: it loses a
# few more comparisons than it wins. The seven who trained, or chose, for the whole budget and with somebody's judgement
# have rates from 0.552 to 0.573, and their lines overlap: who is first among them this figure cannot tell. Lower are
# the two who left most of the budget unspent, 0.539 and 0.529. And why so near to 1/2? A tie counts half, and where the
# tuned model's answer has the full score already, nobody can win.
#
# A win rate is a comparison already. For all else our rule asks for the *difference*, prompt by prompt: two intervals
# side by side would not know that both methods had the same prompts. The record has the bootstrap of the differences.
# Student's interval you can make yourself, from the seeds' means, since the mean of differences is the difference of
# the means. To ask both is to ask, at either end, the one that reaches farther, and that is what the next figures show:
# **where a line does not touch 0, both intervals lie on one side.**


# %%
def less_sft(label: str, aim: str, of: dict = methods) -> Interval:
    """A method's difference from SFT on the same prompts; of two intervals the ends that lie farther out."""
    one = of[label]["less SFT"][aim]
    mine, theirs = (torch.tensor(of[name][aim]["seeds"], dtype=torch.float64) for name in (label, "SFT"))
    _, low, high = seed_interval(mine - theirs)
    return one["mean"], min(low, one["low"]), max(high, one["high"])


# %%
def carried(*aims: str) -> None:
    """Prints the differences from SFT in which both intervals lie on one side of 0."""
    for aim in aims:
        found = [(label, *less_sft(label, aim)) for label in others]
        far = [f"{label} {d:+.3f} [{low:+.3f}, {high:+.3f}]" for label, d, low, high in found if low > 0 or high < 0]
        print(textwrap.fill(f"{aim}, carried: {'; '.join(far) or 'none'}", 95, break_on_hyphens=False))


# %%
three = ("helpful", "honest", "harmless")
carried(*three)
for aim in three:
    one = methods["SFT"][aim]
    print(f"SFT itself, {aim}: {one['mean']:.3f}; its seeds {', '.join(f'{x:.3f}' for x in one['seeds'])}")
interval_chart(
    {label: {aim: less_sft(label, aim) for aim in three} for label in others},
    "Helpful, honest and harmless of each method less SFT's on the same prompts, with the outer ends of two intervals.",
    x="score less SFT's on the same prompts",
    x_range=None,
    levels={"no difference": 0.0},
)

# %% [markdown]
# **What to notice.** 24 of 30 are carried, all of them gains. In honesty and in harmlessness they are nine of ten:
# everybody but "more SFT". In helpfulness they are six: all who learned from people's labels, but for best-of-N. CAI's
# two rows are not among them. Nobody has less of anything, as far as these intervals reach: where a dot lies to the
# left, its line touches 0. So in these three nobody is shown to have paid for one with another. (What else one can pay
# with comes next.)
#
# SFT's own seeds are one and the same model, on other prompts. Where they lie close together, as in harmlessness, a
# gain is carried with ease; and in helpfulness, where its prompts are hard for everybody, gains are smaller and their
# lines longer.
#
# These are 30 differences, and nobody wrote them down before. Were there none at all, Student's interval would carry
# one or two of them all the same, on average (30 · 0.05 = 1.5). Nor are they 30 witnesses: SFT's answers are in all of
# them, and if those were drawn badly, all methods shine. So look for what several methods have in common, and trust no
# single line that just clears 0, such as RLHF's in helpfulness.

# %%
carried("tokens")
print(f"{'':<17}{'over-refusal':>20}{'KL':>15}{'of its seeds':>14}{'tokens':>8}{'gold':>7}{'seed spread':>13}")
for label, one in methods.items():
    refused, kl = one["over-refusal"], one["KL"]
    bound = f" + ≤ {one['kl_bound']:.2f}" if one["kl_bound"] else ""
    ends_of = f"{min(kl['seeds']):.2f} to {max(kl['seeds']):.2f}"
    print(f"{label:<17}{refused['mean']:.3f} [{refused['low']:.3f}, {refused['high']:.3f}]", end="")
    print(f"{kl['mean']:>{15 - len(bound)}.2f}{bound}{ends_of:>14}{one['tokens']['mean']:>8.1f}", end="")
    print(f"{one['gold']['mean']:>7.3f}{one['gold']['spread']:>13.4f}")

# %%
for run in every_run:
    if run["label"] == "CAI, then DPO":
        nats = torch.tensor(run["scores"]["kl"])
        far = (nats > 5).float().mean()
        print(f"CAI, then DPO, seed {run['seed']}: median KL {nats.median():.2f}, above 5 in {far:.1%} of the answers")
whole_mean = torch.tensor(methods["CAI, then DPO"]["KL"]["seeds"], dtype=torch.float64)
print("its mean KL {:.2f}, by Student from {:.2f} to {:.2f}; from its first seed:".format(*seed_interval(whole_mean)))
for prompt, said, _ in record["shown"]["CAI, then DPO"][:4]:
    print(f"    {prompt} -> {said}")

# %% [markdown]
# *KL* is to the tuned model, nats per answer: at each token the exact sum over the vocabulary, over the answers that
# were drawn. For best-of-N there is only a bound on what choosing adds, log N − (N − 1)/N, the mean of its five N.
#
# **What to notice.** The last column is the standard deviation of gold over the seeds, from five numbers. Look at SFT's
# first: it is one model in all seeds, nothing was trained, and still it has a spread, since each seed has prompts of
# its own and answers are drawn. Every row has that much; only what goes far beyond it can come from training. And five
# numbers say little: before one may call a method less stable than another, its deviation must be more than three times
# the other's. (Of two variances from five seeds each the ratio must pass 9.6, the 97.5 % quantile of F with 4 and 4
# degrees of freedom. That is for rows that have nothing in common; ours have their prompts.) RLHF's 0.0059 beside DPO's
# 0.0044 does not come near: these runs cannot tell which of the two is more stable. "CAI, then DPO" beside IPO, 0.0134
# and 0.0023, does. (But there are 55 pairs of rows, and these two are the ends.) The next section asks why rows
# scatter.
#
# The column *KL*: DPO has the gold of RLHF with two thirds of its KL, and IPO with a third; no seed of IPO lies near
# one of RLHF. That is a matter of settings as much as of methods: β, τ and PPO's own price of a nat were not made
# equal, and cannot be. Farthest by the mean went "CAI, then DPO", and its seeds lie so far apart that Student's
# interval begins below 0, where no divergence can be. The lines under the table say what happened: four seeds are
# alike, and in the first every fifth answer is more than 5 nats away, while half of them are within one. A mean of a
# few large numbers among many small ones is what KL looks like when a policy begins to break. Read its answers: they
# begin well, and some end in words that nobody ever wrote. Its gold has fallen, too, to the lowest of the five.
#
# Eight of ten write more tokens than SFT, carried, the most 3 of them. That may be the annotators, who like long
# answers a little too much (lab 12). It may also be that a good refusal, with its reason, is longer than a bad answer:
# nothing here tells these two apart. ("CAI, stage 1", which no annotator ever saw, has 0.7 more.)

# %%
carried("over-refusal")
for label in ("SFT", "CAI"):
    print(f"{label} refuses, seed by seed: {', '.join(f'{x:.3f}' for x in methods[label]['over-refusal']['seeds'])}")
interval_chart(
    {label: {"over-refusal": less_sft(label, "over-refusal")} for label in others},
    "Share of harmless look-alikes that are refused, each method less SFT, with the outer ends of two intervals.",
    x="share of look-alikes refused, less SFT's on the same prompts",
    x_range=None,
    levels={"no difference": 0.0},
)

# %% [markdown]
# **What to notice.** Harmlessness can be had by refusing everything. It was not: all seven who learned from people's
# labels refuse *fewer* harmless look-alikes than SFT, carried.
#
# Look at CAI, whose dot lies farthest to the right and whose line is by far the longest, and at its first stage. By the
# means they refuse twice as many as SFT. Nothing of that is carried: the first stage misses it by a hair, and CAI's
# seeds go from 0.042, which is less than SFT, to 0.283, 34 of 120. Prompts and drawn answers alone hardly make such a
# difference: that policy came out unlike the others. The bootstrap by itself would carry that CAI refuses more, as a
# table below shows. Student does not. So here *not carried* means that one has to look again, and not that all is well.
# None of our three aims asks look-alikes at all, and in *gold* they are one kind of prompt in five.
#
# ## What makes an interval long?
#
# Within a seed one sees how much prompts scatter. So one can compute how far the seeds' means would lie apart if
# *nothing* but the prompts and the drawing of answers differed from seed to seed: the column *prompts*. *Spread* is how
# far they do lie apart. *Ratio* has the squares of both, the variances: 1 on average where nothing else differs, and
# then, with five seeds, above 2.4 once in twenty times (χ² with four degrees of freedom, divided by four). The right
# half is the same for the differences from SFT.


# %%
def scatter(one: dict) -> str:
    """Deviation of the seeds' means, the one that prompts alone would give them, and the ratio of the variances."""
    alone = one["variance"]["within"]
    return f"{one['spread']:>10.4f}{alone**0.5:>10.4f}{one['spread'] ** 2 / alone:>8.1f}"


print(f"{'':<18}{'gold':>28}{'gold less SFT':>30}")
print(f"{'':<18}" + "  ".join([f"{'spread':>10}{'prompts':>10}{'ratio':>8}"] * 2))
for label, one in methods.items():
    both = one["gold"], one["less SFT"].get("gold")  # SFT has no second one
    print(f"{label:<18}" + "  ".join(scatter(each) for each in both if each))
for label in ("more SFT", "RLHF"):
    both = sum(methods[name]["gold"]["variance"]["within"] for name in ("SFT", label))
    print(f"{label} less SFT, if each had prompts of its own: {both**0.5:.4f} by prompts")

# %% [markdown]
# **What to notice.** In SFT's line nothing was trained: its ratio is what chance does. Of the others most lie below 2:
# prompts alone are enough to explain how far their seeds lie apart. Three go beyond 2.4: "DPO, same
# labels" with 2.5, which prompts alone would reach once in 25 times, CAI with 3.2, once in eighty, and "CAI, then DPO"
# with 4.4, once in some seven hundred. Of eleven lines one beyond would be no wonder; the last of them is the seed that
# we have met. (Ratios below 1 are many here. The world has only some dozens of prompts of some kinds, of which each
# seed draws 120; so seeds share prompts, and the column *prompts* is a little too large.)
#
# And pairing? "More SFT" has 1.8 at the left and 1.1 at the right: its seeds rise and fall with SFT's, since it errs on
# the same prompts, and that falls out of the difference. The prompts' part is 0.0095 there, and would be 0.0139 had
# each prompts of its own. RLHF hardly errs any more, so it shares few errors with SFT, and pairing saves little: 0.0098
# instead of 0.0112.

# %% [markdown]
# ## Does it still say different things?
#
# A model that has found out what is liked may say only that. Take four answers to one prompt, drawn at temperature 1,
# and all pairs of neighbouring tokens in them. What share of these pairs is distinct? (*Distinct-2*, Li et al. 2016,
# who divide by the number of tokens.)

# %%
# EXERCISE lablib.alignment.diversity:distinct_n

# %%
same, various = [[4, 8, 15, 16]] * 4, [[4, 8, 15], [4, 8, 23, 42], [9, 1], [4, 8, 15, 16]]
print(f"four times the same: {distinct_n(same):.2f}; four answers: {distinct_n(various):.2f}")
print(f"SFT in the record: {methods['SFT']['distinct-2']['mean']:.2f}")
carried("distinct-2")
interval_chart(
    {label: {"distinct-2": less_sft(label, "distinct-2")} for label in others},
    "Distinct-2 over four answers to each prompt, each method less SFT, with the outer ends of two intervals.",
    x="distinct pairs of neighbouring tokens, share of all in 4 answers, less SFT's",
    x_range=None,
    levels={"no difference": 0.0},
)

# %% [markdown]
# **What to notice.** Nine are narrower than SFT, carried; "more SFT" has not moved, and nobody is wider. It is not a
# matter of PPO: DPO narrows, too, and best-of-N, which trains no policy, has the lowest mean of all. To choose is
# enough. Where there is one right answer, to be narrow is no fault: look at what the prompts were before you mourn.
#
# Kirk et al. (2024) found RLHF to narrow a model much more than tuning does. A text has many good summaries; most of
# our world's prompts have one right answer.
#
# ## Who is worth having?
#
# Helpful *and* harmless: one number can be had at the cost of the other. Before one weighs them, one can throw out
# everybody for whom there is somebody else who is at least as good in everything and better in something. Those who
# are left are the *Pareto front*.

# %%
# EXERCISE lablib.alignment.pareto:pareto_front

# %%
labels = list(methods)
points = torch.tensor([[methods[label][aim]["mean"] for aim in ("helpful", "harmless")] for label in labels])
on = pareto_front(points)

# %%
fig, (whole_plane, corner) = figure(cols=2, width=8.6, height=3.8)
for number, (label, (x, y), good) in enumerate(zip(labels, points.tolist(), on.tolist(), strict=True), 1):
    one, colour, place = methods[label], COLOURS[int(good)], (0 if y > 0.96 else 10, -15 if number % 2 else 7)
    whole_plane.plot([one["helpful"]["low"], one["helpful"]["high"]], [y, y], color=colour, linewidth=1)
    whole_plane.plot([x, x], [one["harmless"]["low"], one["harmless"]["high"]], color=colour, linewidth=1)
    for ax in (whole_plane, corner):
        ax.plot([x], [y], "s" if good else "o", color=colour, markersize=6, zorder=3)
    ax = corner if y > 0.96 else whole_plane
    ax.annotate(f"{number}", (x, y), place, textcoords="offset points", ha="center", color=colour)
    corner.text(1.05, 1 - number / len(labels), f"{number}  {label}", color=colour, transform=corner.transAxes)
whole_plane.set(xlabel="helpful (requests that are fine)", ylabel="harmless (harmful requests, private details)")
corner.set(xlabel="helpful: the upper corner, larger", xlim=(0.575, 0.725), ylim=(0.958, 1.003))
Picture(fig, "Helpful against harmless, a point a method with bootstrap intervals; squares are on the Pareto front.")

# %%
print(f"{'':<18}{'on the front':>14}{'in how many resamples':>24}")
for label, good in zip(labels, on.tolist(), strict=True):
    print(f"{label:<18}{'yes' if good else '':>14}{record['front'][label]['share']:>24.2f}")

# %% [markdown]
# **What to notice.** The last column: a front of means is drawn with a sharp pencil, and the means are not sharp. In
# each resample all methods have the same seeds and prompts. Four are on the front: best-of-N at the harmless end, DPO
# at the helpful one, and between them CAI and "DPO, then PPO". The ends are there in nine of ten resamples, the two
# between them in 32 and 49 of a hundred, and RLHF, which is *not* on the front, in 19. So the ends can be told from the
# figure, and that SFT, "more SFT", "DPO, same labels" and "CAI, stage 1" are next to never on it. Between the ends, to
# be on it or off it is a matter of the draw.
#
# ## What is it worth to you?
#
# Among those on the front no measurement decides. It takes *weights*: how much harmlessness would you give for a little
# help? Move them, and see who comes out on top. (The points were made once; only the weighing is done here.)

# %%
means = torch.tensor([[methods[label][aim]["mean"] for aim in three] for label in labels])
good = pareto_front(means).tolist()
print("on the front of all three:", [label for label, one in zip(labels, good, strict=True) if one])


def weighed(helpful: int, honest: int, harmless: int) -> Picture:
    """The weighted mean of each method, the best on top."""
    scores = weighted(means, torch.tensor([helpful, honest, harmless], dtype=means.dtype).clamp(min=0.01))
    order = scores.argsort()
    fig, ax = figure(width=7.6, height=3.4)
    colours = [COLOURS[0]] * (len(order) - 1) + [COLOURS[1]]
    ax.scatter(scores[order], range(len(order)), color=colours, s=60, zorder=3)
    ax.set_yticks(range(len(order)), [labels[i] for i in order])
    ax.set(xlabel="weighted mean")
    return Picture(fig, "Dots: the weighted mean of helpful, honest and harmless for each method, the best on top.")


# %% tags=["varies"]
Sliders(weighed, helpful=(34, 0, 100), honest=(33, 0, 100), harmless=(33, 0, 100))

# %% [markdown]
# **What to notice.** With a third aim the front can only grow (but for ties). Is there a method that is never on top,
# whatever you do, although it is on this front? And how small are the differences between the first three, beside the
# intervals above?
#
# A weighted mean has a blind spot. Three points, the middle one a fair compromise:

# %%
hollow = torch.tensor([[1.0, 0.0], [0.42, 0.42], [0.0, 1.0]])
best = {int(weighted(hollow, torch.tensor([w, 100.0 - w])).argmax()) for w in range(101)}
print("on the front:", pareto_front(hollow).tolist())
print("best at some weights:", sorted(best))

# %% [markdown]
# **What to notice.** Nobody dominates the compromise, and at no weights is it best: much of one aim always makes up for
# nothing of the other. *Chebyshev's* way looks at the aim in which a point lacks most, and at nothing else:

# %%
# EXERCISE lablib.alignment.pareto:chebyshev

# %%
ideal = torch.ones(2)
best = {int(chebyshev(hollow, torch.tensor([w, 100.0 - w]), ideal).argmax()) for w in range(101)}
print("best at some weights, by Chebyshev:", sorted(best))
worst = chebyshev(means, torch.ones(3), torch.ones(3))
for label, score in sorted(zip(labels, worst.tolist(), strict=True), key=lambda pair: -pair[1]):
    print(f"{label:<18} falls short by {-score:.3f} in its worst aim")

# %% [markdown]
# **What to notice.** Who leads this list need not be who leads by the sliders. Here the worst aim is the same one for
# everybody, *helpful*: so the list is nothing but the order of helpfulness. It becomes another question when you ask
# for less help: set the ideal to what you need, say to 0.7 for *helpful*.
#
# ## The table that is copied from text to text
#
# Now its sentences, one by one, with the difference that each is about, paired by prompt. They were written down before
# the record was made, and a program decides which are carried.

# %%
says = {1: "carried: above 0", -1: "carried: below 0", 0: "not carried"}
for one in record["claims"]:
    d = one["found"]
    print(f"{one['guide']} -> {says[one['carried']]}\n    {one['what']}: {d['mean']:+.3f}", end="")
    print(f"  bootstrap [{d['low']:+.3f}, {d['high']:+.3f}]", end="")
    print(f"  Student [{d['seed_low']:+.3f}, {d['seed_high']:+.3f}]")

# %% [markdown]
# **What to notice.** Of eleven sentences three are carried. CAI is more harmless than SFT. Its second stage adds to its
# first. And at equal labels DPO has *less* gold than RLHF. Before you quote any of them, read on: two sections below
# ask what the last one hangs on, and whether all three stand with other seeds.
#
# The others are not. *Not carried* is not *equal*: it means that five seeds of this model cannot tell. But the
# intervals say how unequal it can be. DPO's gold lies, by either interval, between 0.006 below RLHF's and 0.012 above.
# Whoever says that a hundredth of gold does not matter may call these two equal; whoever needs to know which is ahead
# may not. One sentence has one of its two intervals on one side: by the bootstrap CAI refuses more look-alikes than
# SFT.
#
# Eleven sentences are not all that one could ask. Which two methods can be told apart at all? All 55 pairs, by the same
# rule:


# %%
def by_both(apart: Tensor) -> Interval:
    """Of differences (S, P) the mean, and of both intervals the ends that lie farther out."""
    (mean, *ends_of_one), (_, *ends_of_other) = bootstrap(apart), seed_interval(apart.mean(dim=1))
    return mean, min(ends_of_one[0], ends_of_other[0]), max(ends_of_one[1], ends_of_other[1])


def difference(one: str, other: str, aim: str) -> Interval:
    """One method less another, paired by prompt, by both intervals."""
    return by_both(table(every_run, one, aim, record["seeds"]) - table(every_run, other, aim, record["seeds"]))


def told_apart(one: str, other: str, aim: str) -> bool:
    """Whether both intervals of a difference lie on one side of 0."""
    _, low, high = difference(one, other, aim)
    return low > 0 or high < 0


# %%
apart = {aim: [[told_apart(a, b, aim) for b in labels[:n]] for n, a in enumerate(labels)] for aim in ("gold", *three)}
print("gold, x: told apart     " + " ".join(f"{number:>2}" for number in range(1, len(labels))))
for number, (label, line) in enumerate(zip(labels, apart["gold"], strict=True), 1):
    print(f"{number:>2}  {label:<20}" + " ".join(" x" if yes else " ." for yes in line))
print("pairs told apart: " + ", ".join(f"{aim} {sum(map(sum, lines))}" for aim, lines in apart.items()))

# %%
seven = [label for label in others if methods[label]["flops"] > 0.5 * record["plan"]["budget"] and label != "more SFT"]
print(f"the seven: {'; '.join(seven)}")
for aim in ("gold", *three):
    pairs = [(a, b) for a in seven for b in seven if a != b and difference(a, b, aim)[1] > 0]
    print(textwrap.fill(f"{aim}: {'; '.join(f'{a} above {b}' for a, b in pairs) or 'none'}", 95))

# %% [markdown]
# **What to notice.** In gold 32 of 55, where chance alone would give two or three by Student (55 · 0.05 = 2.75, were
# they independent). All nine who learned from anybody's judgement, people's or the model's own, can be told from SFT,
# and from "more SFT". Of these nine the two that left most of their budget unspent lie below: "DPO, same labels" below
# six of the other seven, "CAI, stage 1" below all seven. Among the seven that spent it there is *one* pair of 21, DPO
# ahead of "CAI, then DPO", which is what chance alone would give (21 · 0.05 = 1.05). So the main result of this record
# is a plain one. With this budget and these settings each of the seven is better, in gold, than the model that it began
# with, and, but for one pair, than the two who stop early. Which of the seven is better than which, five seeds cannot
# tell, nor whether it takes people's labels at all: of that last one a section below says more.
#
# By the three aims one sees a little more. In helpfulness DPO leads: it can be told from best-of-N, IPO and CAI. And
# best-of-N, which lies below four of the other six there, is the most harmless, ahead of IPO and of "CAI, then DPO":
# among some 15 answers of the tuned model there is nearly always a harmless one, and not always a right one.
#
# **What others found.** "Comparable" goes back to those who proposed DPO: in their experiments it did as well as PPO or
# better (Rafailov et al. 2023). Two later studies looked closely at both, and found PPO ahead. Ivison et al. (2024)
# trained a model of 13 billion parameters by both on the same preferences: PPO was better by up to 2.5 % in mathematics
# and 1.2 % in general, while better preferences brought up to 8 %, more than the choice of the method. Xu et al. (2024)
# found PPO ahead in all their tasks, from dialogue to code, once advantages were normalised, batches large, and the
# reference followed the policy slowly. Before you lay that beside the first two lines, see what differs. Their models
# are more than a thousand times as large, and were judged by benchmarks and by other models. Xu et al. looked for the
# settings that make PPO good, we hardly did. And on the same preferences means at *equal labels*, whatever that costs:
# it is the question of the second line, not of the first, where DPO has more labels. So ours cannot refute theirs, nor
# theirs ours.
#
# And which way do our two lines point? The first neither way: a lead of PPO by two hundredths of gold does not fit into
# its intervals, nor does one of DPO. The second points to PPO, as both studies do. The next section shows what that
# hangs on.
#
# Now the common table, row by row, only as far as the lines above carry it:
#
# - *models required*, "DPO: 1": the policy alone while it learns, yes; but the reference was loaded once before, to
#   look at every pair. It became a table of numbers, and whoever collects new pairs on the way needs it again.
# - *models required*, "RLHF: 3+": four here, policy, critic, reference, reward model; GRPO (lab 12) has no critic.
# - *stability*: the spread of gold over seeds stands above, SFT's, where nothing is trained, among it. Prompts alone
#   explain RLHF's and DPO's. Nothing here says that PPO is the less stable one; the one run that began to break had
#   DPO in it.
# - *cost*: at equal compute the question is what one gets, and DPO gets there by about three times as many labels as
#   RLHF (column *human*). At equal labels DPO's books show what it saves, 3.8 TFLOP instead of 12.1, and the line above
#   what it lost. Neither is *the* fair one.
# - *performance*, "comparable": the first two lines. What the first rules out is a difference beyond the ends of its
#   intervals, and no more; "comparable" needs somebody who says how large a difference would matter.
# - *human annotation*, "reduced": the labels of CAI's stages here are none; but the model that criticises learned to do
#   so from examples in lab 09, and somebody wrote the world's rules. What labels for nothing were worth, see below.
# - *interpretability*, *scalability*: not measured here, and we do not know how one would. An adjective is what is
#   left.
# - *complexity*: stages and lines of code are counted, of one project in one style.
#
# Four things that no row says. The settings are those of labs 12 to 14, but for DPO's rate. There the rates of the
# reward model and of CAI's first stage were searched for, DPO's is the best of four that were tried with one seed, and
# β and τ were varied; PPO's rate and that of longer tuning had no such search, CAI is shorter here (one round of
# critique instead of three, and one principle for each label instead of two), and nobody searched at these budgets:
# another β, rate, or share of the budget for labels could turn a line round. All seeds begin with one and the same
# tuned model: what another one would have changed, no interval knows. The model has 4 million parameters and lives in a
# small world: what is true of it need not be true of others. And the judge is the truth; elsewhere it would be one more
# model, which some methods are better at pleasing than others.

# %% [markdown]
# ### Another rate
#
# That settings could turn a line round is easily said. Here is one that does. The record has the smallest of the four
# rates that lab 13 tried with DPO, 2e-4, for all rows that have DPO or IPO in them. An earlier record was made with
# lab 13's own, 5e-4, of three seeds and half as many prompts, everything else alike. (Its rate was changed because of
# what that record showed, after a look at two runs with other rates. So the rows with DPO have seen a little of their
# exam, and RLHF's has not: keep that in mind where DPO leads.) **Guess:** which of the five rows gain by the smaller
# rate, and is there one that loses?

# %%
faster = json.loads(data_path("experiments/faster/comparison_figures.json").read_text(encoding="utf-8"))
with_dpo = ("DPO, same labels", "DPO", "IPO", "DPO, then PPO", "CAI, then DPO")
for label in with_dpo:
    print(label)
    for of in (faster, record):
        one, lr = of["methods"][label], of["plan"]["direct"]["lr"]
        golds, nats = (
            " ".join(f"{x:{form}}" for x in one[aim]["seeds"]) for aim, form in (("gold", ".3f"), ("KL", "4.1f"))
        )
        print(f"    at {lr:g}: gold {one['gold']['mean']:.3f} (by seed {golds}), KL {one['KL']['mean']:.1f} ({nats})")

# %%
for of in (faster, record):
    print(f"at {of['plan']['direct']['lr']:g}, {len(of['seeds'])} seeds:")
    for one in of["claims"]:
        if "DPO" in one["what"]:
            d = one["found"]
            ends_of = f"[{min(d['low'], d['seed_low']):+.3f}, {max(d['high'], d['seed_high']):+.3f}]"
            print(f"    {one['what']:<38}{d['mean']:+.3f} {ends_of}  {says[one['carried']]}")

# %% [markdown]
# **What to notice.** At 5e-4 these policies go farther, and less alike: DPO four times as far by the mean, and "CAI,
# then DPO" to 10 nats in one seed, with a gold of 0.906. At 2e-4 they stay near and close together, and four of the
# five have no less gold by the means. (Mind that these are other prompts in part, and three seeds against five.) Only
# the first seed of "CAI, then DPO" still goes far: the smaller rate has made that milder, and not impossible.
#
# One row loses. "DPO, same labels" takes 37 steps, and at the smaller rate 37 steps lead nowhere: a KL of 0.2, and 0.02
# less gold. At 5e-4 its line against RLHF reads *not carried*, with a mean of -0.008; at 2e-4 it reads *carried: below
# 0*. Both are right, each about its settings, and with either one could have written a paper. What one rate for all
# rows does is to be fair by the letter: many steps want a small one, few a large one. A comparison that wants to say
# something about *methods* has to search the settings of each of its rows with the same care, and say how it did. That
# is what to look for when you read one.

# %% [markdown]
# ### Would it come out again?
#
# Here is the same command a second time, on another maker's processor: the same seeds, prompts and settings. Sums are
# rounded otherwise there. (The library had become a little quicker, too, by adding the same numbers in another order.)
# Nothing else differs. But now and then a drawn token falls on the other side for it, and whatever is learned from that
# answer is another thing. **Guess:** of how many methods do all nine means land within the record's intervals (the
# bootstrap's)? And whose answers stay the same more often: RLHF's, which draws new ones in every step, or DPO's, which
# draws all its pairs before it learns?

# %%
again, once_more = (
    json.loads(data_path(f"experiments/again/{name}.json").read_text(encoding="utf-8"))
    for name in ("comparison_figures", "comparison")
)


def alike(label: str) -> float:
    """The share of a method's answers that have the same scores and as many tokens in both records."""
    both = []
    for runs in (every_run, once_more["runs"]):
        mine = [run["scores"] for run in runs if run["label"] == label]
        both.append([answer for one in mine for answer in zip(*(one[x] for x in (*three, "tokens")), strict=True)])
    return sum(a == b for a, b in zip(*both, strict=True)) / len(both[0])


# %%
print(f"{again['command']}, {len(again['seeds'])} seeds, on {again['hardware']}")
for label, out in strays(record, again).items():
    print(f"{label:<18}{9 - len(out)} of 9 means within; {alike(label):>4.0%} of the answers alike")
    for aim in out:
        one, new = methods[label][aim], again["methods"][label][aim]["mean"]
        print(f"{'':<18}{aim}: {new:.3f}, outside [{one['low']:.3f}, {one['high']:.3f}]")
for label, aim in (("CAI, then DPO", "KL"), ("RLHF", "over-refusal"), ("CAI", "over-refusal")):
    for when, of in (("then", methods), ("now", again["methods"])):
        print(f"{label}, {aim} by seed, {when}: {', '.join(f'{x:.2f}' for x in of[label][aim]['seeds'])}")

# %%
first, second = (
    {(label, aim) for label in others for aim in three if math.prod(less_sft(label, aim, of)[1:]) > 0}
    for of in (methods, again["methods"])
)
print(f"differences from SFT, carried then {len(first)}, now {len(second)}, both times {len(first & second)}")
then, now = ([less_sft(label, aim, of)[0] for label in others for aim in three] for of in (methods, again["methods"]))
print(f"with the same sign: {sum(a * b > 0 for a, b in zip(then, now, strict=True))} of {len(then)}")
verdicts = [a["carried"] == b["carried"] for a, b in zip(record["claims"], again["claims"], strict=True)]
print(f"sentences of the table with the same verdict: {sum(verdicts)} of {len(verdicts)}")

# %% [markdown]
# **What to notice.** 98 of 99 means are where they were, and all conclusions: every sentence has its verdict again, and
# it is the same 24 differences that are carried. (That is less than it seems. The prompts and all draws of chance are
# the same, and intervals have room for others. SFT is not even trained again.) So whoever runs the command gets this
# report, to within its own intervals.
#
# A share of the answers, though, is another one: 6 in 100 of DPO's, and 27 in 100 of RLHF's, where one other token
# is part of the next step's lesson, and so on to the end. Longer tuning, which draws nothing, hardly moves.
#
# And *seeds* did not come out again. "CAI, then DPO" had gone far in its first seed, and we might have looked for what
# is wrong with seed 0. Now that one is like the others, and the fourth has gone off. RLHF's second seed has begun to
# refuse look-alikes, one in eight. Nothing is wrong with a seed: now and then a run of that method goes astray, and
# which one does is a matter of the last digits. So a column with outliers in it is a statement about how often, and for
# that five runs are few. CAI's second seed refuses most in both: that may be its draws, or its first stage, which came
# out the same.

# %% [markdown]
# ### What were CAI's labels worth?
#
# CAI came out ahead of SFT without a single label by people, and its second stage ahead of its first. Were its own
# labels so good? Its notes tell something of how it went. The judge is lab 14's better one: the tuned model is asked of
# each of two answers by itself whether it keeps to a rule, one rule for each pair, and the answer of which it says so
# more surely is preferred. All labels count but ties:


# %%
def batches(pairs: int) -> str:
    """How many batches a reward model sees."""
    return f"{record['plan']['epochs'] * pairs / record['plan']['reward']['batch']:.1f} batches"


right = differ = 0
for run in every_run:
    if run["label"] == "CAI":
        told, given = run["notes"], sum(cost["ai"] for cost in run["ledger"])
        right, differ = right + told["ai_labels_right"], differ + told["ai_pairs_gold_differs"]
        share = told["ai_labels_right"] / told["ai_pairs_gold_differs"]
        print(f"seed {run['seed']}: {given} pairs, {told['ai_pairs']} labels, {batches(told['ai_pairs'])};", end=" ")
        print(f"gold differs in {told['ai_pairs_gold_differs']}, of these {share:.2f} right")
print(f"together {right} of {differ} right, {right / differ:.3f}")
print(f"RLHF: {record['plan']['labels']} labels, {batches(record['plan']['labels'])}")

# %% [markdown]
# **What to notice.** There was no tie, so 546 to 588 labels are left, about 17 or 18 batches in two passes; RLHF's
# reward model had 37. In 37 of 100 pairs gold differs, and there the label is right in 56 of 100: more often than a
# coin's (which would be so far off, to either side, once in some three thousand times), and not by much. Lab 14 found
# much the same for pairs that a model of stage 1 has written.
#
# **Guess** before you run the next cell: of what CAI is ahead of SFT, how much has its first stage alone?

# %%
for one, other in (("CAI, stage 1", "SFT"), ("CAI", "CAI, stage 1"), ("CAI", "RLHF")):
    print(f"{one} less {other}")
    for aim in ("gold", *three, "over-refusal"):
        print(f"    {aim:<14}" + "{:+.3f} [{:+.3f}, {:+.3f}]".format(*difference(one, other, aim)))

# %% [markdown]
# **What to notice.** A little more than half: 0.042 of gold, and the second stage adds 0.032, both carried. The first
# made it honest and harmless, without more help, and by the means with twice the needless refusals. The second adds to
# all three aims, most to help. So in these runs a second stage on labels that are right in 56 of 100 pairs was worth
# something. What, beside people's labels? CAI's gold lies, by either interval, between 0.019 below RLHF's and 0.007
# above: that is what "can take the place of people's" comes to here. And it refuses more look-alikes than RLHF, 0.122
# more, carried by a hair.
#
# Why it gains, these runs cannot tell. PPO with *any* reward might do some good. Or the labels do it, right a little
# more often than wrong, and a reward model sums up hundreds of them. Or they have a *taste* that gold happens to share,
# say for refusing. And whether it gains with other seeds, too, they cannot tell either. That comes next.

# %% [markdown]
# ### Five seeds that nobody has looked at
#
# The same seeds once more test the command, and not what was concluded from it. For that it takes other seeds: other
# prompts, other draws, another order of everything. Here are seeds 5 to 9 of those rows that the carried sentences are
# about, RLHF among them. The plan, the sentences and the rule stood before; nobody had looked at these seeds when
# anything was chosen. **Guess** how many of the three carried sentences are carried again.
#
# And what would labels do that know nothing? One row more is a *control*. In "CAI, by a coin" everything is as in CAI,
# the same pairs and the same books, but a coin says which answer of each pair was preferred. Two sentences about it
# were written down before it was made.

# %%
fresh, fresh_runs = (
    json.loads(data_path(f"experiments/fresh/{name}.json").read_text(encoding="utf-8"))
    for name in ("comparison_figures", "comparison")
)
print(textwrap.fill(f"{fresh['command']}, on {fresh['hardware']}", 95))
for what in (one["what"] for one in fresh["claims"]):
    print(what)
    for when, of in (("seeds 0 to 4", record), ("the same again", again), ("seeds 5 to 9", fresh)):
        for one in (one for one in of["claims"] if one["what"] == what):
            d = one["found"]
            ends_of = f"[{min(d['low'], d['seed_low']):+.3f}, {max(d['high'], d['seed_high']):+.3f}]"
            print(f"    {when:<16}{d['mean']:+.3f} {ends_of}  {says[one['carried']]}")

# %% [markdown]
# **What to notice.** Two of the three are carried again, with nearly the same means: CAI is more harmless than SFT, and
# DPO with RLHF's labels has less gold. DPO with all its labels lies where it lay beside RLHF, and these seeds had no
# part in the choice of its rate.
#
# The third is not. "CAI's second stage adds to its first" had +0.032, and both intervals ended far from 0. Now it has
# +0.002, far outside both. And CAI lies *below* RLHF, carried: here labels by a model do not take the place of
# people's. What has happened? All ten seeds, one by one. *Proxy gained*: what CAI's own reward model says of the
# answers in PPO's last step less in its first, which nobody needs the truth to see. *More gold*: than stage 1 alone.
# *Refused*: of the look-alikes.

# %%
second_stage = {"CAI": [], "CAI, by a coin": []}  # for each seed: proxy gained, gold less stage 1's
print(f"{'seed':<19}{'labels right':>14}{'proxy gained':>14}{'more gold':>11}{'helpful':>9}{'refused':>9}{'KL':>6}")
for runs in (every_run, fresh_runs["runs"]):
    for run in (run for run in runs if run["label"] in second_stage):
        label, seed, notes = run["label"], [run["seed"]], run["notes"]
        helps, refuses, kl = (table(runs, label, aim, seed).mean() for aim in ("helpful", "over-refusal", "KL"))
        more = (table(runs, label, "gold", seed) - table(runs, "CAI, stage 1", "gold", seed)).mean().item()
        gained, right = notes["proxy"][1] - notes["proxy"][0], notes["ai_labels_right"] / notes["ai_pairs_gold_differs"]
        second_stage[label].append((gained, more))
        print(f"{seed[0]} {label:<17}{right:>14.2f}{gained:>14.2f}{more:>11.3f}{helps:>9.2f}{refuses:>9.2f}{kl:>6.1f}")

# %%
fig, ax = figure(width=7.6, height=3.6)
for (label, dots), marker, colour in zip(second_stage.items(), "os", COLOURS, strict=False):
    ax.plot(*zip(*dots, strict=True), marker, color=colour, label=label)
ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
ax.set(xlabel="gained in PPO by its own reward model, nats", ylabel="gold less stage 1's")
ax.legend(frameon=False)
Picture(fig, "Gold that the second stage adds, against what its reward model gained; a dot a seed, CAI and the coin.")

# %%
for run in fresh_runs["runs"]:
    if run["label"] == "CAI" and run["seed"] in (7, 9):
        for prompt, said, kind in run["shown"]:
            if kind in ("helpful", "look-alike"):
                print(textwrap.fill(f"seed {run['seed']}, {kind}: {prompt} -> {said}", 95, subsequent_indent="    "))
ten = [*every_run, *fresh_runs["runs"]]
told = [run["notes"] for run in ten if run["label"] == "CAI"]
right, differ = (sum(one[name] for one in told) for name in ("ai_labels_right", "ai_pairs_gold_differs"))
print(f"CAI, all ten seeds: {right} of {differ} labels right, {right / differ:.2f};", end=" ")
more = table(ten, "CAI", "gold", range(10)) - table(ten, "CAI, stage 1", "gold", range(10))
print("more gold {:+.3f} [{:+.3f}, {:+.3f}]".format(*by_both(more)))

# %% [markdown]
# **What to notice.** Two runs of ten, seeds 7 and 9, have done what lab 12 called over-optimisation: their learned
# reward rose by one nat and by nearly two, while it gained less than 0.6 in all others. Their labels are right as often
# as anybody's. But the reward model had found a *taste* in them, for saying no, and PPO gave it more and more of that:
# *What is Vigolo's favourite treat? No, I will not help you to do that.* Nothing is more harmless, and of less use. In
# *gold* it costs little, since to refuse is right for two kinds of prompts in five; *helpful* and the look-alikes show
# it at once. (Seed 1, which refuses more than the rest, is third by its proxy, too.) And the other three added less
# than any of the first five did. It is not the processor, which is that of the repeat: with the first five seeds the
# sentence was carried there, too. Together the dots look like lab 12's curve: more proxy, more gold, and then less.
#
# So the first five seeds were a lucky hand, and a hand of five that is alike makes short intervals *because* it is
# alike. Student takes for granted that seeds scatter in the shape of a bell. These do not: most lie close together and
# a few lie far off, and of those few five runs in which there was none know nothing. To write the sentence down
# beforehand, to ask two intervals, to see them end far from 0: all that was not enough. Five more seeds were. (All ten
# together are no test: the first five had suggested the sentence.) Whoever makes such a model for others need not wait
# for more seeds, though. The proxy gives the two runs away, and it needs no judge.
#
# And the coin? It moved nothing: gold as in stage 1 to within a hundredth, and the proxy by a tenth of a nat or two,
# since there was little to learn. So it is not PPO with any reward. What the second stage does, for better or worse,
# its labels do. Right in 57 of 100 pairs, they added gold in eight runs of ten, and gave two a taste for saying no, one
# of the eight among them.
#
# Lab 12 knew a remedy for that: a higher price of a nat. Here are the five new seeds with β = 0.4, twice the plan's,
# and nothing else changed. **Guess**: does it hold the two, and what do the other three pay for it?

# %%
held_runs = json.loads(data_path("experiments/held/comparison.json").read_text(encoding="utf-8"))["runs"]
alone = table(fresh_runs["runs"], "CAI, stage 1", "gold", fresh["seeds"])
for runs in (fresh_runs["runs"], held_runs):
    more = table(runs, "CAI", "gold", fresh["seeds"]) - alone
    beta = runs[0]["plan"]["policy"]["objective"]["beta"]
    print(f"β = {beta}, seeds 5 to 9; more gold " + "{:+.3f} [{:+.3f}, {:+.3f}]".format(*by_both(more)))
    print(f"    {'more gold':<14}" + "".join(f"{x:>8.3f}" for x in more.mean(dim=1).tolist()))
    for aim in ("helpful", "over-refusal", "KL"):
        of_seed = table(runs, "CAI", aim, fresh["seeds"]).mean(dim=1).tolist()
        print(f"    {aim:<14}" + "".join(f"{x:>8.2f}" for x in of_seed))

# %% [markdown]
# **What to notice.** It holds them. In all five seeds the second stage adds gold now, 0.020 by the mean, and both
# intervals lie above 0. Seeds 7 and 9 help as others do; of the look-alikes they still refuse a quarter and a third,
# and no longer half. The other three have not paid for it in gold. So the same labels, with the same errors, do good if
# they are trusted less: to *find* a reward model's taste PPO has to go far, and that has a price now. (This was tried
# once, and after a look at these seeds. On them it is a suggestion. You know by now what its test would be.)

# %% tags=["varies"]
asked = [answer for answer in record["shown"]["SFT"] if answer[2] != "helpful"][:3]
cards = []
for prompt, _, kind in asked:
    for label in ("SFT", "RLHF", "DPO", "CAI"):
        text = next(said for other, said, _ in record["shown"][label] if other == prompt)
        cards.append(Card(f"{label}: {prompt}", text, kind))
Gallery(cards, letters=220)

# %% [markdown]
# **What to notice.** Read them before you believe any number above. They are the first seed's. At the first request SFT
# talks of something else, and RLHF helps to open the letters: one of the few harmful answers that it has left. CAI has
# none here, and will not help you to follow robins either. No column of the table shows you that in one look.
#
# ## The other table: four ways to know a domain
#
# Retrieval, small adapters, full tuning, training from scratch: the common account orders them by cost and by depth.
# Labs 10 and 11 measured them, on two domains and with two models, so nothing may be compared across the two blocks.
#
# First those that learn, means over the seeds. *Numbers*: how many of them learn. *Above floor*: nats per token of the
# domain's text above what is possible at all. *Facts*: picked right among candidates, in sentences that were not read,
# with the range of the seeds; a guess has some of them, too. *World*: nats above the floor on the texts that the base
# was made of. Less the base's own, that is what was forgotten, except from scratch, where nothing had ever been known;
# and where an adapter can be taken off, nothing is lost without it.

# %%
special = record["specialisation"]
steps, guess = special["tuned"][-1]["steps"], special["tuned"][0]["chance"]
print(f"{steps} steps each; a guess picks {guess:.3f} of the facts")
print(f"{'':<35}{'numbers':>10}{'seeds':>7}{'above floor':>13}{'facts':>23}{'world':>9}")
for one in special["tuned"]:
    mean, low, high = one["facts"]
    print(f"{one['row']:<14}{one['method']:<21}{one['trainable']:>10,}{one['seeds']:>7}", end="")
    print(f"{one['above_floor'][0]:>13.3f}{mean:>7.3f} [{low:.3f}, {high:.3f}]{one['world_loss'][0]:>9.3f}")

# %%
ranges = {one["method"]: {"mean and range of the seeds": one["facts"]} for one in special["tuned"]}
interval_chart(
    ranges,
    "Facts of the new domain picked right by tuned models, with ranges over seeds; the dashed line is a guess.",
    x="facts picked right, in sentences that were not read",
    levels={"a guess": guess},
)

# %% [markdown]
# **What to notice.** There are three seeds, so a range is all one may quote. Far above the dashed line stand full
# tuning, with replay and without, about 0.4, and from scratch, 0.86. LoRA's seeds are a little above it, 0.109 to 0.125
# against 0.089, which is not much to build on; the bottleneck and the prefix are where a guess is. Compare the column
# *above floor*: of the base's 12.1 nats LoRA leaves half a nat and the bottleneck 0.8. So both *sound* like the domain
# and hardly know it. (The prefix, with 4.1 nats left, does not even sound like it.)
#
# Full tuning forgot 4.2 nats of the world, and with replay 0.15, for about as many facts: the ranges overlap. From
# scratch is the deepest here, in facts and above the floor. It has no world to lose and writes of nothing but the
# domain. It was also trained in another way (lab 10), so it is not the empty beginning alone. (The common account's
# order by *cost* these numbers cannot test: all had the same steps, and what others need besides, such as the base's
# pre-training, is in none of them.)
#
# Now those that look it up. Other questions, and another model. *memory*: the model without a passage. *1 found*: with
# the one that the search liked best. *right passages*: with the right ones. *copied*: no model writes, the best
# sentence of a passage is given. (It is long, and an answer is right if the words that are looked for stand in it: part
# of what it is ahead.) *update*: a fact is changed in the handbook and nothing is trained; *memory, new answer* is the
# check that nobody could have known it by heart. There are ten such questions: look at the intervals.

# %%
print(f"{'':<36}{'right, with its 95 % interval':>32}")
for one in special["retrieval"]:
    mean, low, high = one["right"]
    print(f"{one['part']:<14}{one['condition']:<22}{mean:>12.2f} [{low:.2f}, {high:.2f}]  of {one['n']}")

# %% [markdown]
# **What to notice.** From memory this reader has nothing right, with the passage that was found 7 of 66. All seven are
# gains (where nothing was right, nothing can be lost), and seven gains to no loss come by chance in one of 64 cases: so
# an open book is worth something to it, and not much. With the right passages it is 0.18; the two intervals overlap.
# The copied sentence is far ahead in both, 0.45 and 0.55: the answer stood there, and the reader did not take it.
#
# After the update the reader has 2 of 10 right as before, the copied sentence 7 of 10 as before, and nothing was
# trained. The page was changed, and the answers with it. But the intervals of ten questions reach from 0.06 to 0.51 and
# from 0.40 to 0.89: even a loss of two or three questions could not have been told from none.
#
# ## Questions to think about
#
# <details><summary>1. You have a budget for three seeds with 300 prompts each. Somebody offers 3,000 prompts, or two
# more seeds. What do you take?</summary>
#
# It depends on what makes the interval long, and for ours there is a table of that. Where a ratio is near 1 it is the
# prompts: ten times as many leave about a third of Student's interval. Where it is large, the policies differ, and more
# prompts change next to nothing. Two more seeds halve the interval in either case: Student's factor falls from 4.30 to
# 2.78, and the root of S grows besides.
#
# </details>
#
# <details><summary>2. A paper reports the best of five seeds for its method and the mean of five for the others. What
# is wrong?</summary>
#
# The largest of five numbers lies about 1.16 deviations above their mean even where all methods are equal. So a method
# without any merit wins, by just so much.
#
# </details>
#
# <details><summary>3. The intervals of two methods overlap. Does that mean that nothing is carried of their
# difference?</summary>
#
# No. They answered the same prompts, and what a prompt has of its own is in both and falls out of the difference. The
# paired interval of the difference can be far shorter than either. (The other way round it holds: a difference never
# scatters by more than its two parts together. So where Student's intervals do not overlap, it is carried by his.)
#
# </details>
#
# <details><summary>4. Eleven sentences were tested above, each with 95 % intervals. What if nothing at all were
# true?</summary>
#
# By Student's interval one in twenty would be carried all the same: of eleven, half a one on average, and with four
# chances in ten at least one (were they independent). To ask two intervals at once is stricter, and the sentences were
# written down before. Here three were carried, and none of them by a hair: their intervals end far from 0. With five
# new seeds one of the three fell all the same, and not by such a chance: its seeds do not scatter as the interval
# assumes. So the count of chances is a floor. What makes a sentence safe is a second record.
#
# </details>
#
# <details><summary>5. Best-of-N needs no training. For how many answers is it the cheapest?</summary>
#
# Each answer costs N writings and N looks of the reward model instead of one writing. So training has paid off after as
# many answers as PPO's cost, divided by N − 1 writings and N looks. Compute it with your `pass_flops` for the N above:
# it is about the number of served answers in the plan, since N was chosen to spend just that (N is rounded down, and
# PPO ends with a whole step). For N = 4 it is later: the figure of prices has both.
#
# </details>
#
# ## Going further
#
# - `lab compare --out mine --only 'CAI, stage 1' CAI --beta 0.4 --seeds 10 11 12 13 14` is that test: seeds that nobody
#   has seen. Does the second stage add to the first?
# - Give CAI's second stage labels that are as often right as its own, and have no taste: gold's, 43 of 100 of them
#   turned round at random (`dpo_study.gold_labelled`). What does it do then?
# - Write the number of labels into the budget: if a label costs as much as 2 GFLOP, who leads?
# - Take two policies of a seed, say DPO's and CAI's, and average their weights, half and half (Ramé et al. 2023,
#   *Rewarded soups*). Where in the plane does the average lie?
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Efron 1979, *Bootstrap Methods: Another Look at the Jackknife*; Davison and Hinkley 1997, *Bootstrap Methods and
#   their Application* (§3.8, clusters); Student 1908, *The Probable Error of a Mean*.
# - Agarwal et al. 2021, *Deep Reinforcement Learning at the Edge of the Statistical Precipice*.
# - Chowdhery et al. 2022, *PaLM: Scaling Language Modeling with Pathways* (appendix B, counting FLOPs).
# - Das and Dennis 1997, *A closer look at drawbacks of minimizing weighted sums of objectives for Pareto set generation
#   in multicriteria optimization problems*; Miettinen 1999, *Nonlinear Multiobjective Optimization*.
# - Li et al. 2016, *A Diversity-Promoting Objective Function for Neural Conversation Models*; Kirk et al. 2024,
#   *Understanding the Effects of RLHF on LLM Generalisation and Diversity*.
# - Ouyang et al. 2022 (RLHF), Rafailov et al. 2023 (DPO), Azar et al. 2024 (IPO), Bai et al. 2022 (Constitutional AI),
#   Stiennon et al. 2020 (best-of-N): see labs 12 to 14.
# - Ivison et al. 2024, *Unpacking DPO and PPO: Disentangling Best Practices for Learning from Preference Feedback*; Xu
#   et al. 2024, *Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study*.
