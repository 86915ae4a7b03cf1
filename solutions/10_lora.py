# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 10 · Small adapters
#
# In lab 09 every weight of the model moved. That works, and it has a price: training holds three more numbers for
# every weight, each new task makes a file as large as the model, and whatever the model knew may be overwritten. In
# this lab you leave the model as it is, and teach it by new numbers beside it, inside it or in front of it, which are
# mostly a few per cent of its own, or fewer. This is *parameter-efficient fine-tuning* (PEFT), and its best-known
# method is *LoRA*.
#
# **You will be able to**
#
# - write LoRA from scratch: how it starts, what it computes, where it goes, and how it disappears again into the
#   weights;
# - write its relatives: a bottleneck adapter, prompt tuning, prefix tuning, BitFit;
# - teach a model a domain that it has never heard of, and measure what it learned *and* what it forgot;
# - say what rank is needed, by comparing a sweep over ranks with the singular values of what full tuning does;
# - swap adapters while the model runs, add them up, put them over weights of 4 bits, and hand them to `peft`.
#
# **You need** lab 02 for attention, lab 04 for residual connections and lab 07 for the loop. **Time**: about two hours
# with the nine exercises. The cells are sized for three minutes on two CPU cores and 1.5 GB of memory; a real model of
# 135 million parameters, if you have it, takes two minutes and one GB more.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
import copy
import importlib.util
import json
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

# %%
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from torch import Tensor, nn

# %%
from lablib.adaptation.adapters import Adapter, put, take_off, taken
from lablib.adaptation.bitfit import add_biases, bias_names, train_norms
from lablib.adaptation.bottleneck import BEHIND, Bottleneck
from lablib.adaptation.domain_methods import METHODS, RECIPE, TEXT, recipe_of
from lablib.adaptation.domain_study import gain, rows_of
from lablib.adaptation.domains import ShipsLog, encoded, judged, knows
from lablib.adaptation.lora import ALL_LINEAR, ATTENTION, Lora, LoRALinear, M, lora_layers, remove, weight_of
from lablib.adaptation.new_words import learn_rows, new_tokens
from lablib.adaptation.prefix_tuning import PrefixTuned
from lablib.adaptation.prompt_tuning import PromptTuned
from lablib.adaptation.trainable import changed, copies, freeze, put_in_place, replace_modules, train_only
from lablib.adaptation.trainable import trainable, training_bytes

# %%
from lablib.architecture.decoder import CausalModel, Decoder, DecoderConfig, positions_of, who_looks
from lablib.checkpoints import load
from lablib.corpus.world import World
from lablib.measure import median_seconds
from lablib.paths import data_path
from lablib.pretraining.distributed import local_device
from lablib.pretraining.generation import generate
from lablib.pretraining.loss import autocast, quick_token_nats, token_nats
from lablib.pretraining.training import train
from lablib.pretraining.world_loss import END, gap

# %%
from lablib.show.intervals import over_seeds
from lablib.show.live import LiveChart
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, GREY, Picture, figure
from lablib.show.texts import Card, Gallery

# %% tags=["varies"]
from lablib import course

lab = course.begin("10")

# %% tags=["varies"]
base, device = load("base"), local_device()  # the GPU, if there is one
base.model.to(device)
tokenizer, sizes, T = base.tokenizer, base.model.config, base.model.config.context
print(f"{base.origin}: {sizes.parameters:,} parameters, {sizes.L} layers of width {sizes.D}")

# %% [markdown]
# ## Why not tune everything?
#
# Training with Adam holds four numbers for every weight that learns: the weight, its gradient, and the two running
# means (lab 07). A weight that does not learn needs one. In float32:

# %%
llama = DecoderConfig(V=32_000, D=4096, H=32, L=32, hidden=11_008, tied=False)  # Touvron et al. 2023, as released
print(f"{'MB':<24}{'weights':>10}{'gradients':>12}{'Adam':>10}{'together':>12}{'a tuned copy':>15}")
for name, n in (("this lab's base", sizes.parameters), ("Llama, the smallest", llama.parameters)):
    weights, gradients, means = (4 * n * k / 1e6 for k in (1, 1, 2))
    whole = weights + gradients + means
    print(f"{name:<24}{weights:>10,.0f}{gradients:>12,.0f}{means:>10,.0f}{whole:>12,.0f}{weights:>15,.0f}")
assert training_bytes(base.model.requires_grad_(True)) == 16 * sizes.parameters  # counted, not only reckoned

# %% [markdown]
# **What to notice.** Three quarters of it are there for the *learning*, not for the model. And the last column is paid
# for each task, customer or language anew. (The activations that the backward pass needs come on top, in every method:
# that is why PEFT saves less memory in training than it saves parameters. We shall measure it.)
#
# ## A change of low rank
#
# Training adds a matrix ΔW to each weight matrix W. Aghajanyan et al. (2021) had found that a trained model can be
# tuned along surprisingly few directions. So Hu et al. (2021) suppose that ΔW does not need all its freedom: let it be
# the product of two thin matrices,
#
# $$W x + \frac{\alpha}{r}\, B A x, \qquad A: (r, \text{in}),\quad B: (\text{out}, r),$$
#
# of which A *squeezes* x into r numbers, and B spreads them out again. W is *frozen*: it gets no gradient. Only A and B
# learn, r·(in + out) numbers instead of in·out. The number r is the *rank* of the update, α says how much it counts.
#
# How should A and B begin? **Before you write it, decide** what happens to a trained model if both are drawn at random,
# and what happens to the gradients if both are zero.

# %%
# EXERCISE lablib.adaptation.lora:start_lora

# %%
linear = base.model.layers[0].attention.q_proj  # W (D, D)
settings = Lora(r=8, alpha=16)
A, B = start_lora(settings.r, linear.in_features, linear.out_features, torch.Generator().manual_seed(0))
print(f"W has {linear.weight.numel():,} numbers, A and B together {A.numel() + B.numel():,}")
print(f"largest entry of A {A.abs().max():.4f}, of B {B.abs().max():.4f}, of B A {(B @ A).abs().max():.4f}")

# %% [markdown]
# **What to notice.** The update is zero, exactly. The model begins as the base model, whatever A is. Now what the
# adapted layer computes:

# %%
# EXERCISE lablib.adaptation.lora:lora_output

# %% [markdown]
# The first gradient shows why one of the two had to be drawn. The layer gets the embeddings of a sentence, and should
# learn to double what it says.

# %%
ids = torch.tensor([tokenizer.encode("Mirabe lives in Marrow. Her heron eats small fish in the shallow water.")])
with torch.no_grad():
    x = base.model.layers[0].norm_1(base.model.embedding(ids.to(device)))  # (1, T, D), what this layer is given
    plain = linear(x)  # W x
first_A, first_B = (part.to(device).requires_grad_() for part in (A, B))
out = lora_output(x, plain, first_A, first_B, settings.scale)
print("bit for bit what the base computes:", torch.equal(out, plain))
F.mse_loss(out, 2 * plain).backward()
print(f"largest gradient of A: {first_A.grad.abs().max():.1e}, of B: {first_B.grad.abs().max():.1e}")

# %% [markdown]
# **What to notice.** B learns from the first step, A does not yet: its gradient has B in it as a factor. From the
# second step on both learn. That answers the questions above: with both drawn the model would be damaged before it has
# learned anything, and with both zero each gradient has a factor of zero, so that neither would ever move.
#
# ### Why α/r?
#
# Somebody tries r = 8, finds a good learning rate, and then wants r = 32. Must they look for a new rate? Let us see
# what *one* step of Adam does to the layer's output at each rank, with the update divided by r, by √r (Kalajdzievski
# 2023, *rank-stabilised* LoRA), and by nothing. **Guess first:** which of the three curves rises, and does one fall?


# %%
def after_one_step(r: int, scale: float, seed: int) -> float:
    """How far one step of Adam moves what the layer computes, as a share of its size."""
    A, B = start_lora(r, linear.in_features, linear.out_features, torch.Generator().manual_seed(seed))
    A, B = nn.Parameter(A.to(device)), nn.Parameter(B.to(device))
    optimiser = torch.optim.Adam([A, B], lr=1e-3)
    F.mse_loss(lora_output(x, plain, A, B, scale), 2 * plain).backward()
    optimiser.step()
    with torch.no_grad():
        return float((lora_output(x, plain, A, B, scale) - plain).norm() / plain.norm())


ranks, draws = (1, 2, 4, 8, 16, 32), range(8)
scales = {"1": lambda r: 1.0, "1/√r": lambda r: r**-0.5, "1/r": lambda r: 1 / r}

# %%
fig, ax = figure(width=6.4, height=3.2)
for (name, scale), colour, marker in zip(scales.items(), COLOURS, "os^", strict=False):
    moved = [over_seeds([after_one_step(r, scale(r), seed) for seed in draws]) for r in ranks]
    means, lows, highs = zip(*moved, strict=True)
    ax.plot(ranks, means, marker=marker, color=colour, label=f"scale {name}")
    ax.fill_between(ranks, lows, highs, color=colour, alpha=0.2, linewidth=0)
ax.set(xlabel="rank r", ylabel="change of the output (share)", xscale="log", yscale="log")
ax.set_xticks(ranks, [str(r) for r in ranks])
ax.minorticks_off()
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Change of a layer's output by one step of Adam against the rank, for three scales.")

# %% [markdown]
# **What to notice.** (Bands: eight drawings of A.) In its first step Adam moves every entry of B by the same length,
# and not A, so more columns move the output further: without a division, a rate that suits r = 1 is far too large for
# r = 32. What r columns do adds up to something between √r (if they point anywhere) and r (if they all point the same
# way). So 1/√r does too little here, its curve still rises, and 1/r a little too much, its curve falls. Hu et al. took
# α/r. Kalajdzievski's theorem, which asks for α/√r, is about plain gradient descent, where the gradient of B has the
# scale in it once more: the output moves by scale² · r, which 1/√r keeps the same. With α/r, he finds, large ranks end
# up learning no more than small ones.
#
# ## Put it into the model
#
# The base model has seven linear layers in each block: queries, keys, values and output of the attention, and the
# gate, up and down of the feed-forward network. Which should get an update? The paper took queries and values;
# Dettmers et al. (2023) found that it takes all of them to do as well as full tuning. Write a function that does what
# `settings.targets` says.

# %%
# EXERCISE lablib.adaptation.lora:inject


# %%
class YourLinear(LoRALinear):
    """The library's layer: it holds W, A and B, and computes with your `lora_output`."""

    def forward(self, x: Tensor) -> Tensor:
        if self.merged:
            return self.base(x)
        return lora_output(F.dropout(x, self.dropout, self.training), self.base(x), self.A, self.B, self.scale)


def adapted(r: int, targets: Sequence[str] = ALL_LINEAR, seed: int = 0) -> Decoder:
    """A copy of the base model with your LoRA in it, α = 2 r."""
    settings = Lora(r, 2.0 * r, targets=tuple(targets))
    return inject(copy.deepcopy(base.model), settings, torch.Generator().manual_seed(seed), YourLinear)


# %%
model, ids = adapted(8), ids.to(device)
with torch.no_grad():
    print("the adapted model says what the base says, bit for bit:", torch.equal(model(ids), base.model(ids)))
for name, layer in list(lora_layers(model))[:7]:
    numbers = layer.A.numel() + layer.B.numel()
    print(f"{name:<32}W {tuple(layer.base.weight.shape)!s:<12}A and B: {numbers:>6,} numbers")

# %% [markdown]
# One habit in this code, and in much other: α = 2 r. Then the scale α/r is 2 at every rank, so the division is undone,
# and we are on the uppermost of the three curves: a rate that suits one rank need not suit the next.
#
# How many numbers is it in the whole model, by rank?

# %%
choices = {"queries and values": ATTENTION, "all linear layers": ALL_LINEAR}
counts = {name: [trainable(adapted(r, targets)) for r in ranks] for name, targets in choices.items()}
fig, ax = figure(width=6.4, height=3.0)
for (name, values), colour, marker in zip(counts.items(), COLOURS, "os", strict=False):
    ax.plot(ranks, [100 * n / sizes.parameters for n in values], marker=marker, color=colour, label=name)
ax.axhline(3, color=GREY, linestyle="--", label="3 %")
ax.set(xlabel="rank r", ylabel="numbers that learn (% of the base)", xscale="log", yscale="log")
ax.set_xticks(ranks, [str(r) for r in ranks])
ax.minorticks_off()
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Share of the parameters that learn against the rank, for two choices of layers; dashed: 3 %.")

# %%
least = min(r for r in range(1, 33) if trainable(adapted(r)) > 0.03 * sizes.parameters)
print(f"all linear layers: {trainable(adapted(1)):,} numbers for each unit of rank; from r = {least} on more than 3 %")

# %% [markdown]
# **What to notice.** The count is a straight line in r, and for the same rank it depends on *which* layers have one. In
# a large model the share is much smaller: a matrix of width D has D² numbers, its update 2·r·D.
#
# Now the gradients: which weights get one? And what is held between two steps of training?

# %%
small = replace(RECIPE, batch=lab.profile.pick(smoke=4, laptop=4, gpu=32))  # a few documents of the next section a step
token_nats(model, rows_of(tokenizer, small, 40)(0).to(device)).backward()
got = {name.rpartition(".")[2] for name, weight in model.named_parameters() if weight.grad is not None}
print("weights that got a gradient are called:", ", ".join(sorted(got)))
for name, m in (("all weights", base.model), ("LoRA, r = 8", model)):
    print(f"{name:<14}{trainable(m):>11,} learn, {training_bytes(m) / 1e6:>6.1f} MB held between two steps")
assert trainable(freeze(base.model)) == 0  # from here on the base stays as it is

# %% [markdown]
# **What to notice.** Nothing of the base has a gradient, so nothing of it has running means either. What is left is
# mostly the base itself.
#
# ## Merge it, take it out again
#
# In use the update costs time for every token. But W + ΔW is a matrix of the same shape: add it up once, and the
# adapted model is as fast as the base. Write a function that does it, in both directions, and that may be called
# twice.

# %%
# EXERCISE lablib.adaptation.lora:set_merged

# %% tags=["varies"]
worn = adapted(8)
with torch.no_grad():
    for number, (_, layer) in enumerate(lora_layers(worn)):  # as if it had been trained
        layer.B.copy_(0.02 * torch.randn(layer.B.shape, generator=torch.Generator().manual_seed(number)))
    beside = worn(ids)
    print(f"{'base against adapted':<24}{(base.model(ids) - beside).abs().max() / beside.abs().max():.1e}")
    for words, merged in (("merged", True), ("merged again", True), ("taken out", False), ("taken out again", False)):
        for _, layer in lora_layers(worn):
            set_merged(layer, merged)
        print(f"{words:<24}{(worn(ids) - beside).abs().max() / beside.abs().max():.1e}")

# %% tags=["varies"]
rows = ids.repeat(lab.profile.pick(smoke=1, laptop=24), 1)
with torch.no_grad():
    times = {"base": median_seconds(lambda: base.model(rows), 5), "beside": median_seconds(lambda: worn(rows), 5)}
    for _, layer in lora_layers(worn):
        set_merged(layer, True)
    times["merged"] = median_seconds(lambda: remove(worn)(rows), 5)
print(", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in times.items()), f"for {rows.numel()} tokens")

# %% [markdown]
# **What to notice.** Beside or inside: the logits agree to about a millionth of the largest, and the second call
# changed nothing. The last line is what it costs to have them beside. (For one token alone the three can hardly be told
# apart: there most of the time goes into calling the layers.) So an adapter is something to hand out *beside* a model
# while you try it, and *inside* it when it stays.
#
# ## A domain that the model has never heard of
#
# Beyond the valley there is a sea. The *ship's log* is a small domain of its own: 24 ships, 12 ports, 20 words of the
# sea, and documents of four kinds, all from a grammar. So, as with the valley, we know the probability of each
# document, and the exact floor under every model's loss. Not one of its facts occurs in what the base model has read.

# %%
log = ShipsLog()
samples = {}
for document in log.documents(Random(4)):
    samples.setdefault(document.kind, document)
    if len(samples) == 4:
        break
Gallery([Card(kind, document.text) for kind, document in samples.items()])

# %% [markdown]
# What does the base model make of them?

# %% tags=["varies"]
n = lab.profile.pick(smoke=6, laptop=40, gpu=400)
log_documents = list(islice(log.documents(Random("lab 10, judged")), n))
world_documents = list(islice(World().documents(Random("lab 10, judged")), n))
at_first = {
    name: gap(base.model, documents, tokenizer, T, 4)  # 4 rows at a time
    for name, documents in (("the valley", world_documents), ("the ship's log", log_documents))
}
print(", ".join(f"{len(log.entities[what])} {what}s" for what in ("ship", "port", "term")), f"{len(log.facts)} facts")
for name, seen in at_first.items():
    print(f"{name:<16}{seen.loss:.3f} nats per token, floor {seen.floor:.3f}, {seen.documents} documents")

# %% tags=["varies"]
openings = ["Log of the Windhover,", "The Halcyra\nHer captain is", "Words of the sea: larboard\nA sailor who says"]


def goes_on(model: CausalModel, opening: str, new_tokens: int = 36) -> str:
    """What a model writes behind a beginning, always taking the likeliest token."""
    model.eval()
    row = [tokenizer.special[END], *tokenizer.encode(opening)]
    written = generate(model, [row], new_tokens, stop=[tokenizer.special[END]]).rows[0]
    return opening + tokenizer.decode(written)


Gallery([Card(opening.partition("\n")[0], goes_on(base.model, opening)) for opening in openings])

# %% [markdown]
# **What to notice.** The base is close to the floor of the valley, and far from that of the log: further than a model
# that takes all its 4,096 tokens for equally likely, whose loss would be ln 4,096 = 8.3 nats. The base is not ignorant
# here, it is sure of something else. It writes on in the way of the valley's documents, for it has nothing else.
#
# And its facts? A fact is asked for by a sentence that breaks off before it: which of the values that occur in this
# relation does the model find most probable? Some of the sentences stand so in documents (*seen*); others say the same
# in words that no document uses (*held out*).

# %% tags=["varies"]
every = lab.profile.pick(smoke=60, laptop=10, gpu=1)
questions = log.questions("held_out")[::every]
seen_questions = log.questions("seen")[::every]
for words, asked in (("seen", seen_questions), ("held out", questions)):
    known = knows(base.model, tokenizer, asked)
    print(f"{words:<10}{known.picked} of {known.questions} right, a guess has {known.chance * known.questions:.1f}")
one = questions[0]
found = judged(base.model, [encoded(one, value, tokenizer) for value in one.values])
likeliest = one.values[max(range(len(found)), key=lambda i: found[i][0])]
print(f"\n{one.prompt} … \nthe base says {likeliest!r}, right is {one.fact.value!r}")

# %% [markdown]
# ## Live: all weights against your LoRA
#
# The base has guessed the facts, as it must. Now let it learn. All runs read the same documents in the same order, for
# the same number of steps. What differs is which numbers learn, and the rate: LoRA takes a larger one than full
# tuning.
#
# There is a third run. The log has words that the valley never uses. The base has embeddings for their tokens, since
# the tokenizer has them. But the valley's documents hardly ever have these tokens, if at all, so as tokens to *read*
# their rows were not trained (as tokens to *write* they were only pushed down, for the head is the same table). LoRA,
# which adapts linear layers, cannot reach them. So the third run is LoRA that may change these rows, too, and only
# these.

# %% tags=["varies"]
unread = new_tokens(tokenizer)
print(f"{len(unread)} tokens of 1,000 documents of the log are in none of 1,000 of the valley's:")
print(", ".join(repr(tokenizer.decode([token])) for token in unread[:14]), "…")


# %%
def adapted_with_words(r: int) -> Decoder:
    """LoRA as above, and a change of their own for the rows of the new tokens in the table of embeddings."""
    return learn_rows(adapted(r), unread)


# %% [markdown]
# Three things are watched: the loss on new documents of the log, beside its floor; the loss on the valley's documents,
# which tells what is *forgotten*; and the facts, asked in words that were not read. **Guess first:** which of the three
# learns fastest, and which forgets least? (The base's weights are frozen in two of them.)


# %%
def check(model: CausalModel) -> dict[str, float]:
    """Loss on new documents of the log and of the valley (nats per token), and the share of facts that are right."""
    model.eval()
    losses = {
        name: gap(model, documents, tokenizer, T, 4).loss
        for name, documents in (("log", log_documents), ("valley", world_documents))
    }
    known = knows(model, tokenizer, questions)
    model.train()
    return {**losses, "facts": known.picked / known.questions}


start, chance = check(base.model), known.chance  # a guess has the same chance whatever the model
floors = {"log": at_first["the ship's log"].floor, "valley": at_first["the valley"].floor}

# %% [markdown]
# Does bfloat16 pay on this machine? (Lab 07: only where the chip has units for it.) One step of each tells.


# %% tags=["varies"]
def step_seconds(dtype: str) -> float:
    """Seconds for loss and gradient of two documents: bfloat16 pays where the chip has units for it (lab 07)."""
    model, two = copy.deepcopy(base.model).requires_grad_(True), replace(small, batch=2)
    batch = rows_of(tokenizer, two, 2)(0).to(device)

    def once() -> None:
        with autocast(device, dtype):
            nats = quick_token_nats(model, batch)
        nats.backward()
        nats.item()  # a GPU runs behind: wait for it

    return median_seconds(once, 1)


quicker = min(("float32", "bfloat16"), key=step_seconds)
print("the quicker type of number here:", quicker)

# %%
steps = lab.profile.pick(smoke=2, laptop=200, gpu=300)
precise = {"batch": small.batch, "dtype": quicker}
documents = lab.profile.pick(smoke=20, laptop=1000, gpu=2000)
moments = {max(1, round(steps * share)) for share in (0.3, 1.0)}
batches = rows_of(tokenizer, small, documents)
runs = {
    "all weights": copy.deepcopy(base.model).requires_grad_(True),
    "LoRA": adapted(4),
    "LoRA, new words": adapted_with_words(4),
}
learn = {name: trainable(m) for name, m in runs.items()}
frozen = copies(base.model.named_parameters())


# %% tags=["varies"]
watched: dict[str, list[tuple[int, dict[str, float]]]] = {name: [(0, start)] for name in runs}
alt = "Loss of the batches by step, for three ways of tuning: all fall, full tuning fastest."
with LiveChart(list(runs), y="loss of the batch (nats per token)", levels={"floor": floors["log"]}, alt=alt) as chart:
    for name, m in runs.items():
        plan = recipe_of("full tuning" if name == "all weights" else "lora r=4", steps=steps)
        for step in train(m, batches, replace(plan, **precise), loss=quick_token_nats):
            chart.add(step.step, **{name: step.loss})
            if step.step in moments:
                watched[name].append((step.step, check(m)))
results = {"base": start, **{name: found[-1][1] for name, found in watched.items()}}

# %% tags=["varies"]
levels = {"log": floors["log"], "valley": start["valley"], "facts": chance}
fig, axes = figure(cols=3, width=10.0, height=3.0)
for ax, (what, level) in zip(axes, levels.items(), strict=True):
    for (name, found), colour, marker in zip(watched.items(), COLOURS, "os^", strict=False):
        at, values = [step for step, _ in found], [value[what] for _, value in found]
        ax.plot(at, values, color=colour, marker=marker, label=name)
    ax.axhline(level, color=GREY, linestyle="--", linewidth=1.2)
    ax.set(title=what, xlabel="step", ylabel="share that is right" if what == "facts" else "nats per token")
axes[0].set_title("loss on the log, and its floor")
axes[1].set_title("loss on the valley, and the base's")
axes[2].set(title="facts, and a guess", ylim=(0, 1))
axes[2].legend(loc="upper right", fontsize=8.5)
Picture(fig, "Loss on the log, loss on the valley and facts right, by step, for three ways of tuning.")

# %% tags=["varies"]
print(f"{'':<18}{'learns':>12}{'log above floor':>18}{'valley, lost':>15}{'facts right':>14}")
for name, found in results.items():
    lost, above_floor = found["valley"] - start["valley"], found["log"] - floors["log"]
    print(f"{name:<18}{learn.get(name, 0):>12,}{above_floor:>18.3f}{lost:>15.3f}{found['facts']:>14.2f}")
own = dict(remove(copy.deepcopy(runs["LoRA"])).named_parameters())
print("\nweights of the base that differ in a single bit after LoRA's training:", len(changed(frozen, own)))

# %% tags=["varies"]
Gallery(
    [Card(name, "\n".join(goes_on(m, opening) for opening in openings)) for name, m in runs.items()],
    letters=700,
)

# %% [markdown]
# **What to notice.** Read the three panels from left to right: what each run gained, what it paid, and whether what it
# gained are *facts* or only the *manner* of the log. Compare the second with the third run: they differ in the numbers
# of those words only.
#
# And then the last line: after LoRA's training the base is the same bit for bit. Take the adapter off, and nothing was
# forgotten. But look at the panel in the middle: *with the adapter on* the model forgets about as much as with all
# weights tuned. A frozen base is no protection: what the model says is changed by an update of low rank, too, and here
# the update has to turn a model that is very sure of the valley's words into one that expects quite others.
# (This is one short run of each, and the facts are a few dozen questions. The record below has more documents, larger
# batches, all questions, and more than one seed.)
#
# ## The relatives
#
# Four other ways to add a few numbers. Each is a few lines.
#
# ### Bottleneck adapters
#
# The first of the family (Houlsby et al. 2019): a small network behind each sublayer, narrow in the middle, with a
# residual connection round it.

# %%
# EXERCISE lablib.adaptation.bottleneck:bottleneck


# %%
class YourAdapter(Bottleneck):
    """The library's weights, which start so that the adapter does nothing, and your function."""

    def forward(self, h: Tensor) -> Tensor:
        return bottleneck(h, self.down, self.up, self.down_bias, self.up_bias)


def with_adapters(r: int = 16) -> Decoder:
    """A frozen copy of the base with an adapter behind the last linear layer of each sublayer."""
    model = freeze(copy.deepcopy(base.model))
    for name, part in replace_modules(model, BEHIND):
        put_in_place(model, name, nn.Sequential(part, YourAdapter(part.out_features, r).to(device)))
    return model


# %%
with torch.no_grad():
    same = torch.equal(with_adapters()(ids), base.model(ids))
print(f"{trainable(with_adapters()):,} numbers learn; at the start the model says what the base says: {same}")

# %% [markdown]
# **What to notice.** `nn.Sequential(part, adapter)`: that is all there is to it. But between `down` and `up` stands a
# ReLU, so no matrix does the same, and nothing can be merged.
#
# ### Prompt tuning
#
# Whoever writes a prompt chooses words: points out of a table of embeddings. Lester et al. (2021) let gradient descent
# choose, and let it choose *any* points. The model itself is not touched at all.

# %%
# EXERCISE lablib.adaptation.prompt_tuning:read_behind


# %%
class YourPrompt(PromptTuned):
    """The library's model with a learned prompt (P, D), which is read by your function."""

    def read(self, ids: Tensor, real: Tensor | None) -> Tensor:
        return read_behind(self.prompt, self.embedding(ids), lambda x: self.through_layers(x, real))


words = tokenizer.encode(TEXT)
prompted = YourPrompt(copy.deepcopy(base.model), len(words), words)
with torch.no_grad():
    in_words = base.model(torch.cat((torch.tensor([words], device=device), ids), dim=1))[:, len(words) :]
    off = (prompted(ids) - in_words).abs().max() / in_words.abs().max()
print(f"the prompt starts as {TEXT!r}")
print(f"{trainable(prompted):,} numbers learn; the same words, written in front, say the same: {bool(off < 1e-5)}")

# %% [markdown]
# **What to notice.** A prompt that starts from real words is, at first, just that: words in front. From there it may
# go where no word is. It pays with *context*: these places are no longer there for the text, and in every layer every
# token has to look at them.
#
# ### Prefix tuning
#
# A prompt enters at the bottom. Li and Liang (2021) put keys and values of their own making into *every* layer: as if
# the KV cache (lab 07) had been filled by somebody before the text begins.

# %%
# EXERCISE lablib.adaptation.virtual_tokens:in_front


# %%
class YourPrefix(PrefixTuned):
    """The library's model with a learned prefix in every layer, put there by your function."""

    def read(self, ids: Tensor, real: Tensor | None) -> Tensor:
        length = ids.shape[1]
        places = positions_of(length, self.P, real, ids.device)  # the text begins at position P
        x, angles = self.place(self.embedding(ids), places)  # (B, T) -> (B, T, D)
        look = who_looks(length, self.P, real, ids.device)  # (T, P + T): the prefix is seen by all
        for prefix, layer in zip(self.keys_values(), self.layers, strict=True):
            x = layer(x, look, angles, lambda k, v, prefix=prefix: in_front(prefix, k, v))
        return x


prefixed = YourPrefix(copy.deepcopy(base.model), len(words), words)
with torch.no_grad():
    off = (prefixed(ids) - in_words).abs().max() / in_words.abs().max()
print(f"{trainable(prefixed):,} numbers learn; the same words, written in front, say the same: {bool(off < 1e-5)}")

# %% [markdown]
# **What to notice.** The same proof as before: filled with the keys and values that the base computes for these words,
# the prefix *is* these words. It has a key and a value in each of the L layers where a prompt has one vector, so it
# can say more with as many tokens, and things that no words could bring about. (Li and Liang found these numbers hard
# to train as they are. They had a small network make them from a smaller table, and threw it away afterwards; in the
# table below that is *reparametrised*.)
#
# ### BitFit
#
# Ben Zaken et al. (2022) add nothing at all. They train the *biases* that are there, and freeze everything else.

# %%
# EXERCISE lablib.adaptation.bitfit:train_biases

# %%
from lablib.architecture.gpt2 import GPT2, GPT2Config

with torch.device("meta"):  # shapes without numbers: nothing is computed or stored
    gpt2 = train_biases(GPT2(GPT2Config()))
print(f"GPT-2: {len(bias_names(gpt2))} biases, {trainable(gpt2):,} numbers", end=", ")
print(f"{trainable(gpt2) / sum(w.numel() for w in gpt2.parameters()):.2%} of the model")
try:
    train_biases(copy.deepcopy(base.model))
except ValueError as error:
    print(f"our base: {error}")

# %% [markdown]
# **What to notice.** Llama's authors left the biases out, and with them went the method. What comes nearest: give the
# linear layers biases of zero, and train those (`add_biases`), or train the factors of the norms (`train_norms`). Both
# are small in the same way, and both are in the table below.
#
# Here are all of them side by side: what learns, whether the start is the base itself, and what they cost in *use*.

# %% tags=["varies"]
relatives: dict[str, CausalModel] = {
    "LoRA, r = 4": adapted(4),
    "bottleneck, r = 16": with_adapters(),
    "prompt, P = 32": YourPrompt(copy.deepcopy(base.model), 32, words),
    "prefix, P = 32": YourPrefix(copy.deepcopy(base.model), 32, [words[i % len(words)] for i in range(32)]),
    "biases": add_biases(copy.deepcopy(base.model)),
    "norms": train_norms(copy.deepcopy(base.model)),
}
some = batches(0).inputs[: lab.profile.pick(smoke=4, laptop=32)].to(device)
print(f"{'':<22}{'learns':>10}{'share':>9}{'starts as base':>17}{f'ms for {some.numel():,} tokens':>24}")
with torch.no_grad():
    for name, m in {"the base": base.model, **relatives}.items():
        same, seconds = torch.allclose(m(ids), base.model(ids), atol=1e-5), median_seconds(lambda m=m: m(some), 3)
        numbers = f"{trainable(m):>10,}{trainable(m) / sizes.parameters:>9.2%}"
        print(f"{name:<22}{numbers}{'yes' if same else 'no':>17}{1e3 * seconds:>24.0f}")

# %% [markdown]
# **What to notice.** Two do not start as the base, since they have words in front of the text. And what a method costs
# in use has little to do with how many numbers it has: compare the prompt with the prefix.
#
# ## Everything in one table
#
# Now the comparison that the lab is for. Every method reads the same documents of the log in the same number of steps,
# once for each of the seeds that are printed below, which decide the documents, their order and the first weights. Its
# rate was looked for beforehand, on other documents: of three rates, each about three times the next, the smallest
# that comes within 0.05 nats of the best. Not every method was tried; those that were not have the rate of a close
# relative.
#
# With them stand those that train every weight: full tuning, by AdamW like the others; *continued pre-training*
# (Gururangan et al. 2020), the same documents and weights, but trained as the base itself was (Muon, and its own
# schedule, lab 07); both with *replay*, where a quarter of what is read are documents of the valley, so that those of
# the log are read less often; and a model *from scratch*, trained in that way too, which has never read anything else.
# The files say by which commands they were made.


# %%
def recorded(study: str) -> dict[str, list[dict]]:
    """The runs of a study by their label, one for each seed."""
    found: dict[str, list[dict]] = {}
    for row in json.loads(data_path(f"experiments/domain_{study}.json").read_text(encoding="utf-8"))["runs"]:
        found.setdefault(row["label"], []).append(row)
    return found


record = recorded("methods")
one = record["full tuning"][0]
print(f"{one['documents']:,} documents, {one['recipe']['steps']} steps of {one['recipe']['batch']}, seeds:", end=" ")
print(", ".join(str(row["seed"]) for row in record["full tuning"]))
timed = recorded("seconds")
step_seconds = {name: median(row["step_seconds"] for row in rows) for name, rows in timed.items()}
base_of, full_of = ({row["seed"]: row for row in record[name]} for name in ("base", "full tuning"))

# %%
MEASURES: dict[str, Callable[[dict], float]] = {
    "above": lambda row: row["domain_loss"] - row["domain_floor"],
    "gain": lambda row: gain(row, base_of[row["seed"]], full_of[row["seed"]]),
    "forgot": lambda row: row["world_loss"] - base_of[row["seed"]]["world_loss"],
    "facts": lambda row: row["facts_held_out"]["picked"] / row["facts_held_out"]["questions"],
    "seen": lambda row: row["facts_seen"]["picked"] / row["facts_seen"]["questions"],
    "seconds": lambda row: row["recipe"]["steps"] * step_seconds[row["label"]],
}


# %%
def megabytes(name: str) -> float:
    """Of training by a method: the weights, and what one step holds at its peak."""
    row = timed[name][0]
    return (row["held_bytes"] - 12 * record[name][0]["trainable"] + row["step_bytes"]) / 1e6


# %%
def over(name: str, measure: str) -> tuple[float, float, float]:
    """Mean, smallest and largest over the seeds of a measure of a method."""
    return over_seeds([MEASURES[measure](row) for row in record[name]])


tuned = [name for name in record if name != "base"]
head = f"{'':<31}{'learns':>10}{'%':>8}{'s':>6}{'MB':>6}{'above':>8}{'gain':>7}{'seen':>6}{'facts':>7}{'forgot':>8}"
known = f"{over('base', 'seen')[0]:>6.2f}{over('base', 'facts')[0]:>7.2f}"
print(f"{head}\n{'base':<57}{over('base', 'above')[0]:>12.3f}{0:>7.0%}{known}{0:>8.3f}")
for name in tuned:
    learns = record[name][0]["trainable"]
    cost = f"{learns:>10,}{100 * learns / sizes.parameters:>8.2f}"
    cost += f"{over(name, 'seconds')[0]:>6.0f}{megabytes(name):>6.0f}"
    what = f"{over(name, 'above')[0]:>8.3f}{over(name, 'gain')[0]:>7.0%}{over(name, 'seen')[0]:>6.2f}"
    print(f"{name:<31}{cost}{what}{over(name, 'facts')[0]:>7.2f}{over(name, 'forgot')[0]:>8.3f}")

# %% [markdown]
# The columns: numbers that learn, and their share of the base; seconds and megabytes of training (weights, and all
# that one step holds at its peak); the loss on the log above its floor, in nats per token; how much of full tuning's
# gain over the base that is; facts right in words as documents have them (*seen*) and in words that were not read
# (*facts*); and how much the loss on the valley's documents rose. Means over the seeds. The seconds are 300 times
# the median of ten steps on two CPU cores, one method behind the other: differences of a tenth or two are noise, as the
# ranks show. The megabytes are those of one batch in float32, the same for all.
#
# Some of the names: *queries and values* adapts those two alone, as Hu et al. did. The bottleneck has the norms trained
# along, as Houlsby et al. had, so it has more numbers than yours above.

# %%
shapes = dict(zip(dict.fromkeys(METHODS[name].family for name in tuned), "os^DP", strict=False))
forgot = {name: max(over(name, "forgot")[0], 1e-3) for name in tuned}
most = max(value for name, value in forgot.items() if name != "from scratch")
colours = {"cmap": "viridis_r", "norm": LogNorm(min(forgot.values()), most), "s": 70, "edgecolor": "white", "zorder": 2}


# %%
def draw(ax: Axes, measure: str, place: Callable[[float], float], least: float = 0.0) -> None:
    """A dot for each method, and its number if it is above the least; texts that would hide each other are one."""
    texts: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
    for number, name in enumerate(tuned, 1):
        learns, (y, low, high) = record[name][0]["trainable"], over(name, measure)
        ax.plot([learns, learns], [low, high], color=GREY, linewidth=1, zorder=1)
        ax.scatter(learns, y, marker=shapes[METHODS[name].family], c=[forgot[name]], **colours)
        if low > least:
            texts.setdefault((round(3 * math.log10(learns)), round(place(y))), []).append((number, learns, y))
    for group in texts.values():
        numbers, learns, y = " ".join(str(number) for number, *_ in group), group[0][1], group[0][2]
        side = {"xytext": (-7, 4), "ha": "right"} if learns > 1e6 else {"xytext": (7, 4)}
        side = {"xytext": (9, -11)} if len(group) > 1 else side
        ax.annotate(numbers, (learns, y), textcoords="offset points", fontsize=8, **side)


# %%
fig, (left, right, key) = figure(cols=3, width=12.0, height=5.0, width_ratios=(3, 3, 1.5))
draw(left, "above", lambda y: 8 * math.log10(y))
chance = record["base"][0]["facts_held_out"]["chance"]
draw(right, "facts", lambda y: 28 * y, 1.6 * chance)
before, after = over("base", "above")[0], over("full tuning", "above")[0]
left.axhline(before - 0.95 * (before - after), color=GREY, linestyle="--", linewidth=1)
right.axhline(chance, color=GREY, linestyle="--", linewidth=1)
left.set(title="loss on the log", ylabel="above the floor (nats per token)", yscale="log")
left.invert_yaxis()
right.set(title="facts, in words that were not read", ylabel="share that is right", ylim=(0, 1))
for ax in (left, right):
    ax.axvline(0.03 * sizes.parameters, color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="numbers that learn", xscale="log")

# %%
for family, shape in shapes.items():
    right.plot([], [], shape, color=GREY, label=family)
right.legend(loc="upper left", fontsize=8.5)
shades = ScalarMappable(colours["norm"], colours["cmap"])
fig.colorbar(shades, ax=key, label="forgotten (nats per token)", extend="max", location="left", aspect=40)
for number, name in enumerate(tuned, 1):
    key.text(0, 1 - number / (len(tuned) + 1), f"{number}  {name}", fontsize=8.5, va="center")
key.axis("off")
Picture(fig, "Loss on the log and facts right against the numbers that learn, for each method; colour: forgotten.")

# %% [markdown]
# **What to notice.** The dashed lines: at the left 95 % of full tuning's gain, at the right a guess, and in both 3 %
# of the base's numbers. At the left, what is above the horizontal line and to the left of the other has both: that is
# number 12 alone. A method is on the *Pareto front* if none with as few numbers, or fewer, does better. By the loss
# none of those that stand in front of the text (diamonds) is on it.
#
# By the *loss* LoRA keeps its promise, just: rank 4 with the rows of the new words has 97 % of full tuning's gain with
# 2.4 % of its numbers, and rank 8 without them 96 % with 3.7 %. The bottleneck does nearly as well as LoRA with as
# many numbers. But that is a share of 12 nats, and most of those 12 are the *manner* of the log: its words, and how
# its documents go. Full tuning leaves less than 0.1 nats above the floor, the best of the low ranks about four times
# as much, and the panel at the right shows what is in these tenths of a nat. Up to rank 4 hardly more facts are right
# than by guessing, even in the words that the documents use (column *seen*): such a model writes a log, of ships that
# it makes up. With the rank they come, slowly: at rank 32 a quarter are right in words that were read, and not one in
# five in others. In these full tuning has two in five, continued pre-training more than half, and a model from
# scratch, which had nothing but the log to keep in its 4 million numbers, more than four in five.
#
# The others do not even learn the manner: whoever has queries and values alone, or biases, or norms, or a place in
# front of the text, leaves more than 3 nats in these 300 steps.
#
# Now the colours. A frozen base did not protect what it knew. With LoRA on, the loss on the valley rises by 5 to 8
# nats, with full tuning by 4, with continued pre-training by 2. One reason may be that fewer numbers have to turn each
# row further (the picture in the section on DoRA). It is not the only one: LoRA's rate is larger than that of full
# tuning, and of its ranks the largest forgets most. What protects is *replay*. With a quarter of the documents from the
# valley 0.1 to 0.2 nats are lost instead of 2 to 6, and the log is learned nearly as well (compare *above*), although
# less of it was read. And take the adapter off, and nothing is lost at all: that, too, full tuning cannot do.
#
# Two cautions. All methods had the same 300 steps; what low rank would reach in ten times as many, the table does not
# say. And each rate was chosen for the log, with no regard for the valley. Here are runs by which rates were chosen, of
# one seed:

# %%
print(f"{'':<34}{'above the floor':>16}{'seen':>7}{'facts':>8}{'valley, above its floor':>25}")
for label, (row, *_) in recorded("rates").items():
    if row["method"] in ("continued pre-training", "full tuning", "lora r=4", "lora r=16"):
        above_floor, lost = (row[f"{part}_loss"] - row[f"{part}_floor"] for part in ("domain", "world"))
        print(
            f"{label:<34}{above_floor:>16.3f}{MEASURES['seen'](row):>7.2f}{MEASURES['facts'](row):>8.2f}{lost:>25.2f}"
        )

# %% [markdown]
# **What to notice.** Smaller rates forget less. Full tuning at a third of its rate is still nearer to the floor than
# LoRA at any rate here, and forgets about a quarter of what it does at its own, though it knows fewer facts than there.
#
# <details><summary>Question: LoRA trains a few per cent of the numbers. Why does it not need a few per cent of the
# memory and of the time?</summary>
#
# The forward pass goes through the whole model, and so does the backward pass: to reach the A and B of the first layer
# the gradient has to come through all the others. What falls away is the gradient *of the weights* of the frozen
# layers, about a third of their arithmetic, and the optimiser's numbers. The thin products A x and B (A x) come on
# top; in a model as narrow as ours they eat up what was saved (compare the columns *s* of full tuning and of LoRA).
# The activations stay. In a large model, where the optimiser's numbers are most of the memory, that is much; in a
# small one with large batches, little.
#
# </details>
#
# ## Which rank?
#
# Full tuning made a ΔW, too, of full rank if it likes. How much of it does a low rank hold? Every matrix is a sum of
# matrices of rank one, σᵢ uᵢ vᵢᵀ, the largest first (the *singular value decomposition*, SVD), and cut off after r
# terms it is the nearest matrix of rank r (Eckart and Young 1936). The share that is kept is Σσᵢ² of those r, divided
# by that of all. **Guess first:** what rank holds 90 % of the live run's ΔW? They are 256 wide.

# %% tags=["varies"]
from lablib.adaptation.svd_of_update import effective_rank, energy, parts_of, rank_for, updates

parts = {name: parts_of(change) for name, change in updates(base.model, runs["all weights"]).items()}
print(f"{'':<10}{'rank for 90 %':>15}{'effective rank':>17}   mean of {sizes.L} layers")
for kind in ALL_LINEAR:
    mine = [found.sigma for name, found in parts.items() if name.endswith(kind)]
    needed, effective = (sum(map(f, mine)) / len(mine) for f in (lambda s: rank_for(s, 0.9), effective_rank))
    print(f"{kind:<10}{needed:>15.0f}{effective:>17.1f}")

# %% [markdown]
# Numbers that are kept are one thing, what they are *for* is another. So cut the change of every linear layer of the
# live run to rank r, put it back, and measure. (The embeddings and norms that full tuning changed as well stay as it
# left them; "0" has no change of the linear layers at all.)


# %% tags=["varies"]
@torch.no_grad()
def cut(r: int) -> Decoder:
    """The fully tuned model with the change of each linear layer cut to its best matrix of rank r."""
    model = copy.deepcopy(runs["all weights"])
    for name, (U, sigma, Vt) in parts.items():
        change = (U[:, :r] * sigma[:r]) @ Vt[:r]  # (out, r) @ (r, in)
        model.get_submodule(name).weight.copy_(base.model.get_submodule(name).weight + change)
    return model.eval()


tried = (0, *ranks, 64)
kept = [gap(cut(r), log_documents, tokenizer, T, 4).loss for r in tried]
possible = start["log"] - results["all weights"]["log"]
by_cut = [100 * (start["log"] - loss) / possible for loss in kept]

# %% tags=["varies"]
fig, axes = figure(cols=2, width=9.6, height=3.4)
sigmas = [found.sigma.cpu() for found in parts.values()]
shares = torch.stack([F.pad(energy(sigma), (0, 256 - len(sigma)), value=1.0) for sigma in sigmas])
axes[0].plot(range(1, 257), 100 * shares.median(0).values, color=COLOURS[0], label="Σσ² kept, median of the layers")
low, high = (100 * f(shares, 0).values for f in (torch.min, torch.max))
axes[0].fill_between(range(1, 257), low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
axes[0].plot(tried[1:], by_cut[1:], "s-", color=COLOURS[1], label="gain on the log kept")
axes[0].set(title="full tuning, cut to rank r (live)", ylabel="%", ylim=(0, 108))
swept = [[100 * value for value in over(f"lora r={r}", "gain")] for r in ranks]
means, lows, highs = zip(*swept, strict=True)
axes[1].plot(ranks, means, "o-", color=COLOURS[2], label="LoRA (record)")
axes[1].fill_between(ranks, lows, highs, color=COLOURS[2], alpha=0.2, linewidth=0)
_ = axes[1].set(title="LoRA, trained at rank r", ylabel="gain on the log (% of full tuning's)")

# %% tags=["varies"]
for ax in axes:
    ax.set(xlabel="rank r", xscale="log")
    ax.set_xticks([1, 2, 4, 8, 16, 32, 64, 256][: 8 if ax is axes[0] else 6])
    ax.set_xticklabels([f"{int(tick)}" for tick in ax.get_xticks()])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=8.5)
print(f"no change of the linear layers, only of embeddings and norms: {by_cut[0]:.0f} % of the gain")
Picture(fig, "Left: what rank r keeps of full tuning's change, in numbers and in gain. Right: LoRA's gain by rank.")

# %% [markdown]
# **What to notice.** Two curves at the left are about the same cut: one counts what is kept of the *numbers*, the
# other of what they are *good for*. At the right nobody cut anything: LoRA looked for the best update of rank r by
# itself. (The left panel is the live run, the right one the record: each is a share of its own full tuning's gain.)
# Where the right curve is higher than the squares at the left for the same r, full tuning's ΔW is not a low-rank
# matrix, and yet a low-rank matrix does the job, as far as the loss goes: *another* one.
#
# So it is here; compare r = 4 in both. And from r = 8 on the right curve hardly rises: what is missing there is less
# the rank than the embeddings of the new words, which low rank in the linear layers cannot give. In the table rank 4
# with these rows leaves a smaller loss than rank 32 without.
#
# ## Two adapters, swapped and added
#
# An adapter is small enough to have many. Here are two for parts of the sea: one reads logs and the register, all about
# *ships*; the other sailing directions and the glossary, about *ports and words*.

# %% tags=["varies"]
from lablib.pretraining.document_rows import DocumentRows, objective_batches
from lablib.pretraining.objectives import NextToken

ABOUT = {"ships": ("log", "register"), "ports": ("pilot", "glossary")}


def read_about(part: str) -> Adapter:
    """Train an adapter on the documents of a part only, and take it off the model."""
    drawn = islice(log.documents(Random(part), kinds=ABOUT[part]), documents)
    end, pad = tokenizer.special[END], tokenizer.special["<|pad|>"]
    rows = DocumentRows([[end, *tokenizer.encode(d.text), end][: T + 1] for d in drawn], small.batch, pad, multiple=32)
    model, plan = adapted(4), replace(recipe_of("lora r=4", steps=max(1, steps // 2)), **precise)
    for _ in train(model, objective_batches(rows, NextToken(pad)), plan, loss=quick_token_nats):
        pass
    return taken(model, Lora(4, 8.0, targets=ALL_LINEAR))


ships, ports = (read_about(part) for part in ABOUT)

# %% tags=["varies"]
shared = copy.deepcopy(base.model).eval()  # one model for all that follows
with torch.no_grad():
    before = shared(ids)
    for name, adapter in (("ships", ships), ("ports", ports), ("none", None)):
        m = take_off(shared) if adapter is None else put(shared, adapter)
        print(f"{name:<7}{goes_on(m, 'The Halcyra', 22)!r}")
    print("after all this swapping, the base bit for bit:", torch.equal(take_off(shared)(ids), before))

# %% [markdown]
# Can a model wear both at once? The sum of two updates is again an update, if its factors are put together rightly.

# %%
# EXERCISE lablib.adaptation.lora:side_by_side


# %%
def mixed(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    """The adapter whose update is the weighted sum, exactly."""
    scaled = [weight * adapter.settings.scale for weight, adapter in zip(weights, adapters, strict=True)]
    layers = {}
    for name in adapters[0].weights:
        A, B = side_by_side([(a.weights[name]["A"], a.weights[name]["B"]) for a in adapters], scaled)
        layers[name] = {"A": A, "B": B}
    r = sum(adapter.settings.r for adapter in adapters)
    return Adapter(Lora(r, float(r), targets=ALL_LINEAR), layers)  # α = r: the scale is in B already


def factors_added(first: Adapter, second: Adapter) -> Adapter:
    """What looks like a sum and is none: (B₁ + B₂)(A₁ + A₂)."""
    pairs = {name: (first.weights[name], second.weights[name]) for name in first.weights}
    return Adapter(first.settings, {n: {part: a[part] + b[part] for part in "AB"} for n, (a, b) in pairs.items()})


# %% tags=["varies"]
some_of = {part: list(islice(log.documents(Random("judged"), kinds=ABOUT[part]), max(2, n // 2))) for part in ABOUT}
some_of["valley"] = world_documents[: max(2, n // 2)]


def above(adapter: Adapter | None) -> dict[str, float]:
    """Loss above the floor on each of the three sets, wearing an adapter."""
    m = take_off(shared) if adapter is None else put(shared, adapter)
    return {name: gap(m, documents, tokenizer, T, 4).excess for name, documents in some_of.items()}


wardrobe = {
    "none": None, "ships": ships, "ports": ports, "ships + ports": mixed([ships, ports], [1, 1]),
    "half of each": mixed([ships, ports], [0.5, 0.5]), "factors added": factors_added(ships, ports),
}  # fmt: skip
print(f"{'above the floor, nats':<24}" + "".join(f"{name:>10}" for name in some_of))
for name, adapter in wardrobe.items():
    print(f"{name:<24}" + "".join(f"{value:>10.3f}" for value in above(adapter).values()))

# %% tags=["varies"]
shares_of_ports = [0.0, 0.25, 0.5, 0.75, 1.0]
sweep = [above(mixed([ships, ports], [1 - w, w])) for w in shares_of_ports]
fig, ax = figure(width=6.8, height=3.2)
for name, colour, marker in zip(some_of, COLOURS, "os^", strict=False):
    ax.plot(shares_of_ports, [found[name] for found in sweep], marker=marker, color=colour, label=f"documents: {name}")
ax.set(xlabel="weight of ports (of ships: 1 minus that)", ylabel="above the floor (nats per token)", ylim=(0, None))
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Loss above the floor on three kinds of documents, while one adapter is faded into the other.")

# %% [markdown]
# **What to notice.** Each adapter is best on *its own* documents. Their sum is far worse on either half than the
# adapter that was made for it, and it takes more from the valley than either; half of each loses less everywhere than
# the sum. In the last row of the table the same numbers are added in the wrong place: that is of little use for the
# log, and worst of all for the valley. Ilharco et al. (2023), who did it with the updates of full tuning, call
# adding and subtracting them *task arithmetic*; that it works at all is an observation, not a theorem: the model is
# not linear in its weights, and the more two updates write into the same places, the less. These two both learned,
# first of all, to turn away from the valley's words, and their sum turns away twice.
#
# ## A look at DoRA
#
# LoRA moves a row of W by a vector. A row has a length and a direction; are both needed? Liu et al. (2024) looked at
# what tuning does to the two, and gave the lengths numbers of their own: W′ = m · (W + s B A) / ‖W + s B A‖. Here is
# the same look at our two live runs: one dot for each linear layer, the mean over its rows.


# %% tags=["varies"]
def moved_rows(changes: Iterable[tuple[str, Tensor]]) -> tuple[list[float], list[float]]:
    """Per linear layer: mean change of its rows' length, and of their direction (1 − cosine)."""
    lengths, turns = [], []
    for name, change in changes:
        W = base.model.get_submodule(name).weight.detach()
        lengths.append(float(((W + change).norm(dim=1) - W.norm(dim=1)).abs().div(W.norm(dim=1)).mean()))
        turns.append(float((1 - F.cosine_similarity(W, W + change, dim=1)).mean()))
    return lengths, turns


def at_random(change: Tensor) -> Tensor:
    """A change of each row by as much, in a direction that is drawn at random."""
    drawn = torch.randn(change.shape, generator=torch.Generator().manual_seed(0)).to(change)
    return drawn * change.norm(dim=1, keepdim=True) / drawn.norm(dim=1, keepdim=True)


# %% tags=["varies"]
merged_run = copy.deepcopy(runs["LoRA"])
for _, layer in lora_layers(merged_run):
    set_merged(layer, True)
tuned_runs = {"all weights": runs["all weights"], "LoRA": remove(merged_run)}
changes = {name: list(updates(base.model, m).items()) for name, m in tuned_runs.items()}
changes["as much, at random"] = [(name, at_random(change)) for made in changes.values() for name, change in made]

# %% tags=["varies"]
fig, ax = figure(width=7.2, height=3.4)
for (name, made), colour, marker in zip(changes.items(), (*COLOURS[:2], GREY), "os.", strict=True):
    lengths, turns = moved_rows(made)
    together = torch.corrcoef(torch.tensor([lengths, turns]).log())[0, 1]
    ax.plot(turns, lengths, marker, color=colour, markersize=5, label=f"{name}: correlation {together:.2f}")
ax.set(xlabel="change of direction (1 − cosine)", ylabel="change of length (share)", xscale="log", yscale="log")
ax.tick_params(which="minor", labelbottom=False, labelleft=False)
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Change of length against change of direction of each layer's rows, for full tuning and for LoRA.")

# %% tags=["varies"]
for name in ("lora r=8", "dora r=8"):
    (mean, low, high), seconds = over(name, "gain"), over(name, "seconds")[0]
    print(f"{name:<10}gain {mean:.1%} [{low:.1%}, {high:.1%}], forgot {over(name, 'forgot')[0]:.3f}, {seconds:.0f} s")

# %% [markdown]
# **What to notice.** The correlations (of the logarithms). The authors, who looked at the layers and training steps of
# a model of images and text, found that in full tuning the two changes go against each other, and in LoRA together:
# that was their reason. Here both go together, in full tuning and in LoRA. But that alone says little: a row that is
# moved at right angles by a share ε of its length becomes longer by about ε²/2 and turns by about ε²/2, whatever was
# learned. The grey dots are changes of the same size in directions drawn at random. Changes as large as ours cannot
# show what the authors saw. What does stand out: where a dot of full tuning lies above the grey ones, lengths changed
# by more than turning explains. And the squares lie further to the right than most of the dots.
#
# Whether the lengths help is another question, and the record answers it: the gains of the two overlap over the seeds,
# and a step of DoRA takes longer, since the lengths of all rows have to be computed anew each time. So nothing speaks
# for it here; the authors' gains are on other tasks.
#
# ## The base in 4 bits
#
# The frozen weights do not learn. So they need not be exact: QLoRA (Dettmers et al. 2023) keeps them in 4 bits, and
# LoRA beside them in 16 (here in 32). Four bits are 16 levels. Weights are roughly bell-shaped, so the levels lie
# close together near zero, as the quantiles of a normal distribution do (*NF4*); each block of 64 weights is first
# divided by the largest of their sizes. That one becomes 1 or −1, hence the two spikes at the ends of the picture.

# %%
from lablib.adaptation.quantised import nf4_levels, quantise

fig, ax = figure(width=8.0, height=2.8)
linears = [part for part in base.model.modules() if isinstance(part, nn.Linear)]
weights = torch.cat([part.weight.detach().cpu().flatten() for part in linears])
blocks = weights[: len(weights) // 64 * 64].view(-1, 64)
scaled = (blocks / blocks.abs().amax(dim=1, keepdim=True)).flatten()
ax.hist(scaled.numpy(), bins=160, color=COLOURS[4], density=True)
for level in nf4_levels().tolist():
    ax.axvline(level, color=COLOURS[1], linewidth=1)
ax.set(xlabel="weight, divided by the largest of its block", ylabel="density")
ax.grid(visible=False)
Picture(fig, "Histogram of the base's weights after division by their block's largest; lines: the 16 levels of NF4.")

# %% tags=["varies"]
rounded = {"float32": copy.deepcopy(base.model)}
rounded |= {kind: quantise(copy.deepcopy(base.model), ALL_LINEAR, kind) for kind in ("int8", "nf4")}
print(f"{'':<10}{'bits a weight':>15}{'MB, linear layers':>20}{'error of W':>13}{'loss, valley':>15}")
for kind, m in rounded.items():
    layers = [m.get_submodule(name) for name in parts]
    held = sum(p.nbytes if kind != "float32" else p.weight.nbytes for p in layers)
    made = [p.weight() if kind != "float32" else p.weight for p in layers]
    off = sum((w - part.weight).square().sum() for w, part in zip(made, linears, strict=True))
    error, loss = (off / weights.square().sum()).sqrt(), gap(m.eval(), world_documents, tokenizer, T, 4).loss
    print(f"{kind:<10}{8 * held / len(weights):>15.2f}{held / 1e6:>20.2f}{error:>13.2%}{loss:>15.3f}")

# %% [markdown]
# **What to notice.** The error of a weight and the error of the model are not the same thing: compare the last two
# columns with those of float32. (Our small model gets slower by it, not faster: the weights are unpacked at every
# call, see the column *s* above. What is saved is memory, and at 65 billion weights that decides whether the model
# fits at all.)
#
# And LoRA over rounded weights? It is trained with the rounding in place, so it can make up for some of what that
# broke; here that was little. From the record:

# %% tags=["varies"]
print(f"{'':<18}{'MB held':>9}{'above the floor':>17}{'facts':>8}{'forgot':>9}")
for name in ("lora r=8", "qlora int8 r=8", "qlora nf4 r=8"):
    held = record[name][0]["held_bytes"] / 1e6
    print(f"{name:<18}{held:>9.1f}{over(name, 'above')[0]:>17.3f}{over(name, 'facts')[0]:>8.2f}", end="")
    print(f"{over(name, 'forgot')[0]:>9.3f}")

# %% [markdown]
# In the loss on the log and in the facts there is hardly a difference: in 4 bits the base is as good a ground for LoRA
# as an exact one, for less than half of what is held. What NF4 itself costs on the valley (the table above) is nothing
# beside what LoRA forgets.
#
# How much is that for a model of another size? Move the sliders: width and number of layers of a decoder like ours, and
# the rank of LoRA in all its linear layers. (Numbers in float32, without the embeddings and without activations.)


# %%
def numbers_of(width: int, layers: int, r: int) -> tuple[int, int]:
    """How many the linear layers have, and how many LoRA has beside them."""
    hidden = 8 * width // 3
    base_numbers = layers * (4 * width * width + 3 * width * hidden)
    return base_numbers, layers * r * (4 * 2 * width + 3 * (width + hidden))  # r · Σ (in + out)


# %%
def budget(width: int, layers: int, r: int) -> Picture:
    """GB that are held between two steps of training: the base's weights, and all that is there for learning."""
    n, small = numbers_of(width, layers, r)
    rows = {"all weights": (4 * n, 12 * n), "LoRA": (4 * n, 16 * small)}
    rows["LoRA, base in NF4"] = (4.13 / 8 * n, 16 * small)
    fig, ax = figure(width=7.6, height=2.2)
    held, learning = ([pair[i] / 1e9 for pair in rows.values()] for i in (0, 1))
    ax.barh(list(rows), held, color=COLOURS[0], label="weights of the base")
    ax.barh(list(rows), learning, left=held, color=COLOURS[1], label="for learning")
    ax.set(xlabel="GB", title=f"{n / 1e6:,.0f} million numbers, LoRA has {small / n:.2%} of them")
    ax.legend(loc="upper right", fontsize=8.5)
    return Picture(fig, "Memory of three ways to tune, in GB: the base's weights, and what is there for learning.")


# %%
Sliders(budget, width=(4096, 256, 8192), layers=(32, 1, 80), r=(16, 1, 256))

# %% [markdown]
# **What to notice.** At rank 16 the adapter hardly shows beside the base: a fortieth of the bar. At rank 100 it is an
# eighth, and over a base in NF4 more than half. At low rank, then, the base itself is what is left to save on, and that
# is what NF4 does, in the bar at the top.
#
# ## To `peft` and back
#
# What you wrote is what the library `peft` does. So an adapter trained here must work there, on the same model exported
# to `transformers`, and one of `peft`'s must work here.

# %% tags=["varies"]
from lablib.adaptation.adapter_format import load_adapter, save_adapter
from lablib.architecture.llama_format import save_llama

HAVE_PEFT = importlib.util.find_spec("peft") is not None
folder = TemporaryDirectory()
home = Path(folder.name)
save_llama(base.model.cpu(), home / "base")
trained = taken(runs["LoRA"], Lora(4, 8.0, targets=ALL_LINEAR))
save_adapter(trained, home / "sea", base=str(home / "base"))
files = {name: sum(f.stat().st_size for f in (home / name).iterdir()) / 1e6 for name in ("base", "sea")}
print(f"the base {files['base']:.1f} MB, the adapter {files['sea']:.2f} MB; peft is {'' if HAVE_PEFT else 'not '}there")

# %% tags=["varies"]
if HAVE_PEFT:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    exported = AutoModelForCausalLM.from_pretrained(home / "base", dtype=torch.float32)
    theirs = PeftModel.from_pretrained(exported, home / "sea").eval()
    with torch.no_grad():
        mine = put(copy.deepcopy(base.model).cpu().eval(), load_adapter(home / "sea"))(ids.cpu())
        off = (theirs(input_ids=ids.cpu()).logits - mine).abs().max() / mine.abs().max()
    print(f"trained here, used in peft: largest difference of the logits {off:.0e}")
else:
    print("peft is not installed (`pip install peft`): this comparison is left out")

# %% tags=["varies"]
if HAVE_PEFT:
    plan = LoraConfig(r=3, lora_alpha=12, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(home / "base", dtype=torch.float32), plan).eval()
    with torch.no_grad():
        for number, weight in enumerate(w for name, w in theirs.named_parameters() if "lora_B" in name):
            weight.copy_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
        theirs.save_pretrained(home / "theirs")
        mine = put(copy.deepcopy(base.model).cpu().eval(), load_adapter(home / "theirs"))(ids.cpu())
        off = (theirs(input_ids=ids.cpu()).logits - mine).abs().max() / mine.abs().max()
    print(f"made by peft, worn here: largest difference of the logits {off:.0e}")
if HAVE_PEFT:
    del exported, theirs
base.model.to(device)
folder.cleanup()

# %% [markdown]
# **What to notice.** The differences are those of rounding, in both directions. From here on you may use `peft` as what
# it is: your code, for a hundred kinds of model.
#
# ## A real model
#
# SmolLM2-135M-Instruct has read two trillion tokens (Ben Allal et al. 2025), and answers questions, a little. It has
# never heard of the *Halcyra*. Teach it a few ships by short lessons, with LoRA; ask in words that are in no lesson;
# and ask for what it knew before.

# %% tags=["varies"]
from lablib.adaptation import real_adaptation as real
from lablib.adaptation.real_writer import load_writer
from lablib.models import ModelNotFound

runs = relatives = rounded = both = prompted = prefixed = merged_run = writer = None  # their memory is needed now
if not HAVE_PEFT:
    print("peft is not installed: the real model is left out, the lab goes on without it")
elif lab.profile.name == "smoke":
    print("the real model is not asked for in this profile")
else:
    try:
        writer = load_writer(hub=lab.profile.name == "gpu")
        print(f"{writer.source}: {sum(w.numel() for w in writer.model.parameters()):,} parameters")
        print(f"{len(real.lessons())} lessons about {', '.join(real.SHIPS)}, such as {real.lessons()[0]}")
    except ModelNotFound as trouble:
        print(f"{trouble}\nThe lab goes on without it.")

# %% tags=["varies"]
asked = real.asked_anew()
before_known = [real.Pair(q, "", word) for q, word in real.KNOWN_BEFORE]
everything = [*asked, *before_known]
said, length = {}, 20
if writer is not None:
    real_model = real.adapted(writer.model)
    with real_model.disable_adapter():
        said["before"] = real.answers(real_model, writer.tokenizer, [one.question for one in everything], length)
    plan = replace(real.RECIPE, dtype=quicker)
    lessons = real.Pairs(writer.tokenizer, real.lessons(), plan.batch)
    with LiveChart(["loss"], y="nats per token of the answers", alt="Loss of the lessons by step.") as chart:
        for step in train(real_model, lessons, plan, loss=real.real_nats):
            chart.add(step.step, loss=step.loss)
    said["after"] = real.answers(real_model, writer.tokenizer, [one.question for one in everything], length)

# %% tags=["varies"]
for when, texts in said.items():
    right = [one.right(text) for one, text in zip(everything, texts, strict=True)]
    new, old = sum(right[: len(asked)]), sum(right[len(asked) :])
    print(f"{when:<8}{new} of {len(asked)} facts about ships right, {old} of {len(before_known)} general questions")
rows = zip(everything, *said.values(), strict=True) if said else []
cards = [Card(one.question, f"before: {a}\nafter: {b}", mark="right" if one.right(b) else "wrong", good=one.right(b))
         for one, a, b in rows][:: max(1, len(everything) // 6)]  # fmt: skip
Gallery(cards or [Card("the real model", "It is not there, so it was asked nothing.")], letters=420)

# %% [markdown]
# **What to notice.** Compare the two lines: first what is new. Of our own model LoRA of the same rank learned few facts.
# Here the model is thirty times as large, and has twelve facts to learn instead of 224, each in two wordings that are
# read ten times.
#
# Then what was known. Read the wrong answers behind general questions: do they sound like the lessons? The model
# learned the facts, and with them to answer *everything* as the lessons do. Nothing but lessons was read, and replay is
# what would help (see the table). Or take the adapter off: the base was never touched.
#
# ## Where the common account is too simple
#
# - **"ΔW = A · B."** In the paper it is B·A: A is the one that x meets first. So before you say which of the two
#   starts at zero, look which of them x meets.
# - **"Less than 1 % of the parameters."** That is a statement about a large model: at a fixed rank the share falls with
#   the width. In ours, r = 8 on all linear layers is more than 3 %.
# - **"It saves memory."** It saves the optimiser's, and the gradients of frozen weights. The activations stay, and
#   where they are most of it, little is saved: see the column *MB*.
# - **"No forgetting, since the base is frozen."** The base is, and take the adapter off and it is back. With it on the
#   model can forget as any other. See the column *forgot*, and Biderman et al. (2024), *LoRA Learns Less and Forgets
#   Less*, who tuned on code and mathematics. In our table the first half of their title holds, and the second does not.
# - **"No cost in use."** Merged, yes. Then it is one model for one task; kept apart, it costs time for every token.
#   Prompt and prefix tuning, and bottleneck adapters, cannot be merged at all.
# - **"BitFit tunes the biases."** Most models that are shaped like Llama have none.
# - **"Adapters are inserted between the layers."** Houlsby's stand *inside* each layer, twice, before the residual sum.
# - **"BloombergGPT was trained on financial data only."** About half of what it read was general text (Wu et al. 2023):
#   what our table calls replay, from the first step on.
#
# ## Questions to think about
#
# <details><summary>1. Why is it enough that B is zero, and would A = 0 with B drawn not do as well?</summary>
#
# Both make B A zero, and in both one of the two learns from the first step. They are not the same later on: Hayou et
# al. (2024) show that with B = 0 larger rates can be used, and find it better on average.
#
# </details>
#
# <details><summary>2. Somebody trains LoRA with weight decay on A and B. Towards what does the model decay?</summary>
#
# Towards B A = 0, which is the *base model*. In full tuning the weights decay towards zero, that is, away from
# everything the model knows. So here it is a brake on forgetting.
#
# </details>
#
# <details><summary>3. You merge an adapter into a model of bfloat16 weights. What may happen to a small
# update?</summary>
#
# Bfloat16 has about three digits. Where ΔW is less than a few thousandths of W, the sum is rounded back to W, and that
# part of the update is gone. Merge in float32, and round once, at the end.
#
# </details>
#
# <details><summary>4. A server has one base and a thousand adapters, one for each customer. Merge?</summary>
#
# No: a thousand merged models are a thousand times the memory. Unmerged, the product W x is one large product for the
# whole batch, whoever its rows belong to, and only the thin A and B differ from row to row (Sheng et al. 2023,
# *S-LoRA*).
#
# </details>
#
# <details><summary>5. What does a learned prompt cost that LoRA does not, and what can it do that LoRA
# cannot?</summary>
#
# It costs places: P tokens of the context, in every layer, at every use. But it touches no weight at all: it can be
# sent along with a request to a model that somebody else runs, if they take vectors as well as tokens, and every row
# of a batch can have another one.
#
# </details>
#
# <details><summary>6. Suppose the column *facts* is below the column *seen*. Is that the fault of LoRA?</summary>
#
# Compare with the rows that train every weight. Full tuning has such a gap, too, so it is not LoRA's alone. But the
# model from scratch read the same documents, and its gap is much smaller: so it is not the documents alone either, but
# also where the weights begin and how they are trained. (Allen-Zhu and Li 2023 show that a fact has to be read in
# several wordings before a model can use it elsewhere.)
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*: the update in §4.1, which layers and which
#   rank in §7.
# - Kalajdzievski 2023, *A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA*; Hayou et al. 2024, *The Impact
#   of Initialization on LoRA Finetuning Dynamics*; Biderman et al. 2024, *LoRA Learns Less and Forgets Less*.
# - Houlsby et al. 2019, *Parameter-Efficient Transfer Learning for NLP*: adapters.
# - Lester et al. 2021, *The Power of Scale for Parameter-Efficient Prompt Tuning*; Li and Liang 2021, *Prefix-Tuning:
#   Optimizing Continuous Prompts for Generation*.
# - Ben Zaken et al. 2022, *BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
#   Language-models*.
# - Dettmers et al. 2023, *QLoRA: Efficient Finetuning of Quantized LLMs*; Liu et al. 2024, *DoRA: Weight-Decomposed
#   Low-Rank Adaptation*.
# - Ilharco et al. 2023, *Editing Models with Task Arithmetic*; Sheng et al. 2023, *S-LoRA: Serving Thousands of
#   Concurrent LoRA Adapters*.
# - Gururangan et al. 2020, *Don't Stop Pretraining: Adapt Language Models to Domains and Tasks*; Wu et al. 2023,
#   *BloombergGPT: A Large Language Model for Finance*.
# - Aghajanyan et al. 2021, *Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning*; Eckart
#   and Young 1936, *The approximation of one matrix by another of lower rank*.
# - Allen-Zhu and Li 2023, *Physics of Language Models: Part 3.1, Knowledge Storage and Extraction*.
# - Touvron et al. 2023, *LLaMA: Open and Efficient Foundation Language Models*, table 2: its sizes.
# - Ben Allal et al. 2025, *SmolLM2: When Smol Goes Big*.
