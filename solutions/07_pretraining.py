# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 07 · Pre-training
#
# This is the lab where it comes alive. A model that knows nothing reads for a minute and begins to write: first noise,
# then words, then sentences, then small stories. Every piece of what trains it is yours: the loss, the batches, the
# schedule, the step; and if you did labs 02 to 04, so is the model.
#
# And because our model lives in a world with a known grammar, you will see what nobody can show on text from the web:
# the **exact floor** under the loss curve, the loss that no model can beat, and how far yours is from it.
#
# **You will be able to**
#
# - write the loop that trains a language model, and say what each of its lines is there for;
# - tell a good loss from an impossible one, and compare losses across tokenizers;
# - find the three classic bugs that raise no error: a wrong shift, a mean of means, a schedule that ends too early;
# - kill a run and get it back, bit for bit;
# - sample from a model so that it writes well, quickly, with a cache;
# - fit a scaling law, and plan parameters, tokens, memory and GPU-hours for a budget;
# - run the same loop on real text, and on a GPU.
#
# **You need** labs 02 to 04 for what is inside the model, and 06 for its tokens. **Time**: about four hours with the
# fifteen exercises; a good place for a break is after *Killed, and resumed*. Running every cell takes about three
# minutes on two CPU cores that have units for bfloat16, six or seven on others, and less than 1.5 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
import copy
import math
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from random import Random

# %%
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

# %%
from lablib.architecture.attention import causal_mask, scaled_dot_product_attention
from lablib.architecture.decoder import FAST, Decoder, DecoderConfig, Parts
from lablib.checkpoints import load
from lablib.corpus.world import World
from lablib.pretraining import flops, optimisers
from lablib.pretraining.batching import Batch, Batches, epoch_order
from lablib.pretraining.loss import evaluate
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step
from lablib.pretraining.shards import Shard, open_shard, write_texts
from lablib.pretraining.training import train
from lablib.pretraining.world_loss import gap

# %%
from lablib.show.live import LiveChart, Panel
from lablib.show.style import COLOURS, GREY, Picture, figure
from lablib.tokens import course_tokenizer

# %% tags=["varies"]
from lablib import course

lab = course.begin("07")

# %%
world = World()
tokenizer = course_tokenizer.load()
V, BOS = tokenizer.V, tokenizer.special["<|bos|>"]  # BOS stands between documents: one ends, the next begins
generator = torch.Generator().manual_seed(0)
scratch = tempfile.TemporaryDirectory()  # goes away with this notebook's kernel
folder = Path(scratch.name)


def documents(n: int, seed: int) -> list:
    """n documents of the world, each with its exact log-probability."""
    return list(islice(world.documents(Random(seed)), n))


# %% tags=["varies"]
training = documents(lab.profile.pick(smoke=600, laptop=16_000), seed=0)
held_out = documents(lab.profile.pick(smoke=100, laptop=1500), seed=1)
train_shard = write_texts(folder / "train.bin", (d.text for d in training), tokenizer.encode, V, end=BOS)
held_shard = write_texts(folder / "held_out.bin", (d.text for d in held_out), tokenizer.encode, V, end=BOS)
print(f"{len(train_shard):,} tokens to learn from, {len(held_shard):,} held out")

# %% tags=["varies"]
# The course's own model: the same loop as in this lab, for longer. It is used from the sampling playground on.
base = load("base")

# %% [markdown]
# ## The task: what comes next?
#
# The training text is one long row of tokens. Every place in it is a question, *what comes next?*, and the text itself
# holds the answer. Nobody has to label anything (*self-supervised*), which is why there can be so many questions: Llama
# 1 answered 1.0 to 1.4 trillion of them (Touvron et al. 2023, table 2).
#
# Here is a row and what it asks. A row of T + 1 tokens holds T questions.

# %%
# EXERCISE lablib.pretraining.batching:causal

# %%
first = torch.tensor([[BOS, *tokenizer.encode(held_out[0].text)]])  # (1, T + 1)
asked = causal(first)
for known, answer in zip(asked.inputs[0, :8].tolist(), asked.targets[0, :8].tolist(), strict=True):
    print(f"… {tokenizer.decode([known])!r:<12} -> {tokenizer.decode([answer])!r}")

# %% [markdown]
# **What to notice.** Each answer is the next question. The model sees not only the one token on the left, but all
# before it (a causal mask hides what comes after: lab 02). So one row is T exercises of different difficulty, and one
# pass through the model answers them all.
#
# ## How far off? Nats, the unit of surprise
#
# The model answers with a probability for each of the V tokens. If it gave the token that came the probability P, it
# pays −ln P *nats*: nothing for being sure and right, ln 2 for a fair coin, much for being sure and wrong. The loss is
# what it pays per token, on average. `F.cross_entropy` computes it.

# %%
# EXERCISE lablib.pretraining.loss:token_nats

# %% [markdown]
# A model that has learned nothing should pay ln V: it spreads its bets evenly. That is the first thing to check of any
# new model. If the first loss is far above ln V, the starting weights are too large; if it is below, something leaks.

# %%
config = DecoderConfig(V=V, D=128, H=4, L=2, hidden=344, context=128)
new = Decoder(config, generator=torch.Generator().manual_seed(0))
nats = token_nats(new, asked).item() / asked.tokens
print(f"{config.parameters:,} parameters, none of them trained: {nats:.2f} nats per token; ln V = {math.log(V):.2f}")

# %% [markdown]
# ## A loss that does not depend on the tokenizer
#
# Nats *per token* cannot be compared between two tokenizers: longer tokens are fewer, and each is harder. So one
# divides the nats of the whole text by something that everybody counts alike, its bytes, and takes bits for nats.

# %%
# EXERCISE lablib.pretraining.loss:bits_per_byte

# %% [markdown]
# ## The floor
#
# How low can the loss go? For text from the web nobody knows. For this valley we do. Its grammar draws each document by
# a chain of choices (which kind, which hero, which turn of the story, which word), each with a known probability; their
# product is the probability p of the document. Somebody who knows the grammar by heart, and can take back from a text
# the choices that made it, pays −ln p for it. **On average no one can pay less**: bet with any other probabilities q,
# and you pay the *Kullback–Leibler divergence* of p and q on top (*Gibbs' inequality*). However large the model,
# however long its training.
#
# Each document of `world` carries its ln p. So the floor of our held-out documents is a sum and a division. Their
# tokens count with the BOS that ends each document, since *when it is over* is a choice of the grammar, too.

# %% tags=["varies"]
counts = [len(tokenizer.encode(document.text)) + 1 for document in held_out]
floor_nats = -sum(document.log_prob for document in held_out)
floor = floor_nats / sum(counts)  # nats per token
units = {
    "the course's tokens": sum(counts),
    "bytes": sum(len(document.text.encode()) + 1 for document in held_out),
    "words, marks": sum(len(re.findall(r"\w+|\S", document.text)) + 1 for document in held_out),
}
size = sum(len(document.text.encode()) for document in held_out)
print(f"{'cut into':<22}{'units':>10}{'floor, nats per unit':>22}{'bits per byte':>15}")
for name, count in units.items():
    print(f"{name:<22}{count:>10,}{floor_nats / count:>22.3f}{bits_per_byte(floor_nats, size):>15.3f}")

# %% [markdown]
# **What to notice.** Cut the same documents into bytes and the floor *per unit* is a quarter; the bits per byte do not
# move. A loss of "0.3" means nothing until you know: per what? (In this lab: nats per token of the course's tokenizer,
# unless another unit stands beside it.)
#
# Which kind of text is the most predictable? **Guess before you look:** story, letter, encyclopaedia, dialogue, how-to,
# list.

# %% tags=["varies"]
by_kind: dict[str, list[float]] = {}
for document, count in zip(held_out, counts, strict=True):
    nats, tokens = by_kind.setdefault(document.kind, [0.0, 0.0])
    by_kind[document.kind] = [nats - document.log_prob, tokens + count]
for kind, (nats, tokens) in sorted(by_kind.items(), key=lambda item: item[1][0] / item[1][1]):
    print(f"{kind:<14}{nats / tokens:.2f} nats per token, {tokens:>8,.0f} tokens")

# %% [markdown]
# **What to notice.** A list is the least predictable: nearly each of its few words is a choice. How-tos and stories are
# long, and most of their words follow from what was said before: if one remembers it. So a low loss per token is no
# praise for a text, nor for a model; it depends on what there was to know.
#
# ## How far does counting come?
#
# Before neural networks, language models counted: which token has followed the last n − 1? That is an *n-gram model*,
# here with the smoothing that did best in Chen and Goodman's comparison of 1998 (`lablib.pretraining.ngram`). It learns
# from the same text in a few seconds. Every longer history tells more, but was seen more rarely. **Guess: how near to
# the floor does the 5-gram come? And would a text that it writes fool you?**

# %% tags=["varies"]
from lablib.pretraining import ngram

grams = ngram.learn(train_shard.tokens, V, lab.profile.pick(smoke=3, laptop=6), start=BOS)
levels = {"uniform guess": math.log(V)} | {f"{model.n}-gram": model.nats(held_shard.tokens).mean() for model in grams}
levels |= {"floor": floor}
for name, nats in levels.items():
    print(f"{name:<16}{nats:>6.2f} nats per token")

# %%
fig, ax = figure(width=7.0, height=2.6)
shown = {name: value for name, value in levels.items() if name != "floor"}
ax.barh(list(shown), list(shown.values()), color=COLOURS[4])
ax.axvline(floor, color=COLOURS[1], linewidth=2, label=f"floor ({floor:.2f})")
ax.invert_yaxis()
ax.grid(axis="y", visible=False)
ax.set(xlabel="held-out loss (nats per token)")
ax.legend(loc="lower right")
Picture(
    fig,
    "Bars: held-out loss of a uniform guess and of n-gram models, shrinking with n; a line far to the left: the floor.",
)

# %% tags=["varies"]
text = tokenizer.decode(grams[-1].write(Random(3)))
print(f"{text}\n\ngold quality {world.gold_quality(text):.2f}")

# %% [markdown]
# **What to notice.** Knowing how frequent a token is (the 1-gram) saves a good two nats, one token of history three
# more. Then each further token brings less, and the distance to the floor stays large. The text shows why: every few
# words fit, and nothing else does. The name of the hero stood twenty tokens ago, and a count of all histories of twenty
# tokens would be almost empty. To use what stands far away, a model must learn *what matters in it*. The gold quality
# is computed by the world's own parser: the share of sentences that are grammatical, that agree with what was said, and
# that follow from it.
#
# <details><summary>Question: why is the loss on these 1,500 documents allowed to be below <code>floor</code>, for a lucky model?</summary>
#
# The inequality is about averages over all documents. On a handful of them a model that bets a little too much on just
# these may win. So compare loss and floor on the *same* documents, and on many. (`gap` does it, and says how sure it
# is.)
#
# </details>
#
# <details><summary>Question: could a model be below the floor, however many documents it reads?</summary>
#
# Only by knowing more than the text before the token: because the documents are in its training set and were learned by
# heart, or because the answer leaks into the question. You will see such a leak in the next section.
#
# </details>

# %% [markdown]
# ## Batches: (seed, step) and nothing else
#
# The corpus waits on the disk as a *shard*: one long row of token numbers, two bytes each, behind a line that says what
# they are. It is *memory-mapped*: the operating system shows the file as an array and reads a page when somebody looks
# there, so that a shard may be larger than the memory.

# %% tags=["varies"]
with (folder / "train.bin").open("rb") as file:
    print(file.read(512).decode().strip())
print(type(train_shard.tokens).__name__, train_shard.tokens.shape, train_shard.tokens.dtype)
print(repr(tokenizer.decode(train_shard.tokens[:24].tolist())))

# %% [markdown]
# It is cut into *windows* of T + 1 tokens, of which neighbours share one, so that each token is predicted once. A
# window begins and ends anywhere, also in the middle of a document. A step takes B windows; an *epoch* takes every
# window once, in an order that is drawn anew for each epoch.
#
# Now a design decision that one only understands after a crash: which windows step 1,000 reads must be a **pure
# function of the seed and the step**. No list that is shuffled and eaten up, no position that must be saved. Then a run
# that was killed finds its place in the data by its step alone, and several processes can each work out their own part
# without talking.

# %%
# EXERCISE lablib.pretraining.batching:windows_of

# %%
n, B = 18, 4
fig, ax = figure(width=7.0, height=2.9)
for step in range(9):
    for place, window in enumerate(windows_of(step, n, B)):
        epoch = (step * B + place) // n
        ax.scatter(step, int(window), s=90, color=COLOURS[epoch], marker="os"[epoch])
        ax.annotate(f"{place}", (step, int(window)), color="white", ha="center", va="center", fontsize=7)
ax.set(xlabel="step", ylabel="window", xticks=range(9), yticks=range(0, n, 3), title="first epoch: ●   second: ■")
Picture(fig, "Marks: which of 18 windows each of nine steps reads, in two epochs; every window once in each.")

# %% [markdown]
# **What to notice.** In each row there is one circle and one square: every window is read once per epoch, and the
# second epoch has another order. The epoch ends in the middle of step 4, and the step simply goes on: no window is
# lost, and no batch is smaller than the others. Two processes (`world = 2`) would take places 0, 1 and places 2, 3 of
# every column.
#
# With it a batch is three lines, and the library's own batches are the same numbers.

# %% tags=["varies"]
T, B = config.context, lab.profile.pick(smoke=4, laptop=8)
n_windows = (len(train_shard) - 1) // T


def batch_of(step: int, shard: Shard = train_shard) -> Batch:
    """The batch of a step: which windows, cut out of the shard, shifted."""
    cut = [shard.tokens[T * int(w) : T * int(w) + T + 1] for w in windows_of(step, (len(shard) - 1) // T, B)]
    return causal(torch.from_numpy(np.stack(cut).astype(np.int64)))  # (B, T + 1) -> (B, T) twice


library, halves = Batches([train_shard], T, B), [Batches([train_shard], T, B, rank=r, world=2) for r in (0, 1)]
last = n_windows // B  # the step in which the first epoch ends
print("same as the library's:", all(torch.equal(batch_of(s).targets, library(s).targets) for s in (0, 1, last)))
both = torch.cat([half(last).targets for half in halves])
print("two processes together read the same:", torch.equal(both, batch_of(last).targets))
print(f"{n_windows:,} windows: an epoch is {n_windows / B:.1f} steps of {B} × {T} tokens")

# %% [markdown]
# ## When the loss is too good to be true
#
# The commonest bug of this lab does not raise an error. Three tiny models learn from the same rows. One has the shift
# that you wrote. One has its targets not shifted at all. One has them shifted the wrong way, so that each position is
# asked for the token *before* it. **What will their losses do?**

# %%
shifts: dict[str, Callable[[Batch], Batch]] = {
    "next token": lambda batch: batch,
    "no shift": lambda batch: Batch(batch.inputs, batch.inputs),
    "wrong way": lambda batch: Batch(batch.inputs[:, 1:], batch.inputs[:, :-1]),
}
leak_steps = lab.profile.pick(smoke=3, laptop=80)
alt = "Loss by step for three shifts: the right one falls slowly, the two leaking ones faster. Dashed: the floor."

# %% tags=["varies"]
with LiveChart(list(shifts), y="training loss (nats per token)", levels={"floor": floor}, alt=alt) as leaks:
    for name, shift in shifts.items():
        tiny = Decoder(replace(config, D=64, H=2, L=1, hidden=64), generator=torch.Generator().manual_seed(0))
        optimiser = torch.optim.AdamW(tiny.parameters(), lr=1e-2)
        for step in range(leak_steps):
            batch = shift(Batch(batch_of(step).inputs[:8, :64], batch_of(step).targets[:8, :64]))
            loss = token_nats(tiny, batch) / batch.tokens
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            leaks.add(step, **{name: loss.item()})

# %% [markdown]
# **What to notice.** Without the shift the answer stands in the question, and the loss is below the floor before the
# honest model has learned much more than which tokens are frequent. Shifted the wrong way the answer stands one place
# to the left, where attention can look it up: that takes a little longer to find out, and then this loss, too, falls
# far faster than predicting could. Both models look splendid and have learned nothing about language: they could not
# write a word. **A loss below the floor is not a triumph, it is a leak.** On web text there is no floor to hold it
# against; there the warning is a loss that falls far faster than those of other people.
#
# <details><summary>Question: the model reads windows that begin in the middle of a document. What does that cost?</summary>
#
# The first tokens of such a window are predicted without what came before, so they cost more than the floor allows: the
# training loss of a perfect model would be a little above it. Longer windows cost less. `gap`, which measures on
# held-out documents, reads each from its beginning, as the floor does.
#
# </details>
#
# <details><summary>Question: a window may hold the end of one story and the beginning of the next. Does that teach the model nonsense?</summary>
#
# The BOS between them says that what stood before is over, and the model learns to stop looking behind it. Masking it
# out (so that no document sees another) saves that effort; Llama 3 did so, and reports that it mattered little in
# standard pre-training but was important when continuing with very long sequences (Llama Team 2024, §3.2).
#
# </details>

# %% [markdown]
# ## One step, piece by piece
#
# A step of training is: the loss of a batch, its gradient, an update of the weights by an optimiser. Three small pieces
# around it decide whether a long run survives: how large the update is (*schedule*), what happens on a bad day
# (*clipping*), and what to do when a batch does not fit into memory (*accumulation*).
#
# ### The schedule
#
# The learning rate is not one number. It climbs first (*warm-up*): the optimiser sets the size of its steps by averages
# over past gradients, and at the start they rest on almost nothing. It falls at the end (*decay*), so that the weights,
# which until then were knocked about by every batch, come to rest.

# %%
from lablib.pretraining.schedule import check_schedule, warmup_stable_decay

# %%
# EXERCISE lablib.pretraining.schedule:warmup_cosine

# %%
n_steps = 100
fig, ax = figure(width=7.5, height=3.0)
ax.plot(
    [warmup_cosine(step, n_steps, 10) for step in range(n_steps)], color=COLOURS[0], label="warm-up, cosine (yours)"
)
stable = [warmup_stable_decay(step, n_steps, 10, 20) for step in range(n_steps)]
ax.plot(stable, color=COLOURS[1], label="warm-up, stable, decay")
ax.plot([*stable[:60], *(stable[80:])], color=COLOURS[1], linestyle=":", label="the same, ended at step 80")
ax.set(xlabel="step", ylabel="factor of the peak rate")
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
Picture(fig, "Two schedules: one falls in half a cosine, the other stays at the top and falls at the end.")

# %% [markdown]
# **What to notice.** The cosine (Loshchilov and Hutter 2017; used by GPT-3 and Llama) has to know from the first step
# on when the run will end: stop it half way, and its rate was never low. *Warm-up–stable–decay* (Hu et al. 2024) can
# stay on its plateau as long as there are data, and be brought to an end from any point of it (dotted). That makes it
# handy for runs whose length nobody knows yet, and for scaling studies: one long run, many endings.
#
# ### Clipping
#
# Now and then comes a batch whose gradient is many times longer than usual, and one step of that length can undo what
# many others did. In lab 01 you cut long gradients of a recurrent network; here is the same for a whole model, in
# place. It limits the damage and is no cure: the training of the largest PaLM had about 20 spikes in its loss with
# clipping on (Chowdhery et al. 2022, §5.1).

# %%
from lablib.pretraining.optimisers import full

# %%
# EXERCISE lablib.pretraining.optimisers:clip_

# %% [markdown]
# Why one factor for all, and not each weight, or each number, by itself? Take the gradient of the new model, and
# compare the *direction* before and after: the cosine between the two.


# %%
def gradient_of(batch: Batch) -> list[Tensor]:
    new.zero_grad()
    (token_nats(new, batch) / batch.tokens).backward()
    return [weight.grad.clone() for weight in new.parameters()]


def each_alone(weights: list[Tensor], longest: float) -> None:
    for weight in weights:
        clip_([weight], longest)


def by_value(weights: list[Tensor], longest: float) -> None:
    nn.utils.clip_grad_value_(weights, longest)


# %% tags=["varies"]
before = torch.cat([gradient.flatten() for gradient in gradient_of(batch_of(0))]).double()
print(f"length before: {before.norm():.3f}")
for name, clip, limit in (
    ("one factor", clip_, 0.5),
    ("each weight", each_alone, 0.1),
    ("each number", by_value, 0.001),
):
    gradient_of(batch_of(0))  # into .grad, as a step does
    clip(list(new.parameters()), limit)
    after = torch.cat([weight.grad.flatten() for weight in new.parameters()]).double()
    print(f"{name:<12} length {after.norm():.3f}, cosine with before {F.cosine_similarity(before, after, dim=0):.4f}")

# %% [markdown]
# **What to notice.** One factor keeps the direction exactly: a smaller step the same way. The other two turn it,
# because they change how much the weights move *in proportion to each other*. (How much that harms depends on the
# optimiser: AdamW rescales each number by its own history afterwards.) The norm that `clip_` returns is the one before:
# it is the best thermometer that a run has, and you will watch it below.
#
# ### Accumulation
#
# Large models want batches of a million tokens and more, and no GPU holds so many at once. So one takes the batch in
# parts and adds up their gradients before the optimiser moves.

# %%
# EXERCISE lablib.pretraining.training:accumulate

# %% [markdown]
# In parts or in one piece, the gradient is the same. To see the classic mistake, let the rows be of different lengths:
# real documents, padded to one width, with a mask that leaves the padding out.

# %%
ids = [
    [BOS, *tokenizer.encode(document.text), BOS][: T + 1]
    for document in sorted(held_out[:16], key=lambda d: len(d.text))
]
rows = torch.tensor([row + [0] * (T + 1 - len(row)) for row in ids])  # (16, T + 1), padded with token 0
padded = causal(rows, torch.arange(T + 1) < torch.tensor([len(row) for row in ids])[:, None])
print("predictions that count, in four parts of four rows:", [part.tokens for part in padded.split(4)])


def mean_of_means(parts: list[Batch], nats_of: Callable[[Batch], Tensor], tokens: float) -> None:
    for part in parts:
        (nats_of(part) / part.tokens / len(parts)).backward()  # wrong: a token's weight depends on its neighbours


# %% tags=["varies"]
whole = torch.cat([gradient.flatten() for gradient in gradient_of(padded)])
for name, way in (("by all tokens", accumulate), ("mean of means", mean_of_means)):
    new.zero_grad()
    way(padded.split(4), lambda part: token_nats(new, part), padded.tokens)
    inparts = torch.cat([weight.grad.flatten() for weight in new.parameters()])
    error = (inparts - whole).norm() / whole.norm()
    print(f"{name:<16}differs from the gradient of the whole batch by {error:.1e} of its length")
    assert error < 1e-6 or name == "mean of means"

# %% [markdown]
# **What to notice.** Divided by all tokens it is the same gradient, up to rounding. The mean of means is another
# gradient altogether, with no error message and a loss curve that looks fine: here the short documents, which are
# letters and lists more often than stories, weigh twice or three times what they should. For years this stood in much
# used libraries, until Unsloth's authors and Hugging Face repaired it in October 2024.
#
# What is won is memory. The weights, their gradients and the optimiser's averages are needed in any case; the
# *activations*, which the backward pass needs, grow with the rows that are computed at once.

# %%
from lablib.measure import median_seconds, peak_bytes

# %% tags=["varies"]
weights = 4 * config.parameters / 1e6
print(
    f"weights {weights:.0f} MB, gradients {weights:.0f} MB, two averages of AdamW {2 * weights:.0f} MB (Muon keeps one)"
)
for parts in (1, 2, 4, 8):
    new.zero_grad()
    used = peak_bytes(lambda k=parts: accumulate(batch_of(0).split(k), lambda part: token_nats(new, part), B * T)) / 1e6
    print(f"activations and gradients of {B} × {T} tokens in {parts} part(s): {used:>5.0f} MB at the peak")

# %% [markdown]
# **What to notice.** For a model this small the activations are most of the memory, and in them the logits: V numbers
# for each token, as float32, and once more for their gradient. For large models the balance turns: AdamW in float32
# needs 16 bytes for each weight before a single token is read, which for 7 billion weights is 112 GB. (The planner
# further down works with such numbers.)
#
# ### Half the digits, and compiling: measure before you believe
#
# Two switches of the recipe are about speed alone. *bfloat16* has the range of float32 but 8 bits of precision for 24;
# matrix products in it are several times as fast **where the chip has units for it**. *Compiling* (`torch.compile`)
# fuses many small operations into few. The weights, the optimiser and all sums stay in float32 (*mixed precision*).

# %% tags=["varies"]
from lablib.pretraining.loss import autocast

a, product, model_speed = torch.randn(1024, 1024), {}, {}
for dtype in ("float32", "bfloat16"):
    with autocast(a.device, dtype):
        product[dtype] = 2 * 1024**3 / median_seconds(lambda: a @ a, 3)  # 2 · 1024³ additions and multiplications
        model_speed[dtype] = B * T / median_seconds(lambda: gradient_of(batch_of(0)), 3)
    print(f"{dtype:<10}{product[dtype] / 1e9:>7,.0f} GFLOP/s in one product; ", end="")
    print(f"{model_speed[dtype]:>7,.0f} tokens/s, forwards and back")
quicker = max(model_speed, key=lambda dtype: model_speed[dtype])
print("the live run will compute in", quicker)

# %% [markdown]
# **What to notice.** Compare the two columns. On a processor with matrix units for bfloat16 the bare product is several
# times as fast, on one without it may be slower than float32. Whatever it is, the model gains far less: its matrices
# are small, and much of its time goes to everything between the products. (On a large model and a GPU the products are
# nearly all of it.) The live run below takes what is quicker here. Compiling needs a C++ compiler on a CPU and takes
# longer than our whole run; a GPU run of hours gets that back, and `Recipe(compile=True)` is all it takes.

# %% [markdown]
# ## The live run: from noise to stories
#
# Everything is there: the shift and the loss, the batches, the schedule, clipping, accumulation. What the model itself
# is made of you wrote in labs 02 to 04. If you passed those exercises, **it is built from your code now**; otherwise
# from the course's quicker version of the same parts. (Yours computes the same in more passes over memory, so it takes
# a little longer.)

# %% tags=["varies"]
from lablib.architecture import layers
from lablib.architecture.positions import apply_rope

pieces = {
    "attention": ("lablib.architecture.attention:scaled_dot_product_attention", scaled_dot_product_attention),
    "rope": ("lablib.architecture.positions:apply_rope", apply_rope),
    "norm": ("lablib.architecture.layers:rms_norm", layers.rms_norm),
    "feed_forward": ("lablib.architecture.layers:SwiGLU", layers.SwiGLU),
}
found = {part: lab.mine(target) for part, (target, _) in pieces.items()}
yours = {part: piece for part, piece in found.items() if piece is not pieces[part][1]}


# %%
class OwnNorm(layers.RMSNorm):
    """The course's module around your function."""

    def forward(self, x: Tensor) -> Tensor:
        return yours["norm"](x, self.weight, self.eps)


parts = replace(FAST, **(yours | ({"norm": OwnNorm} if "norm" in yours else {})))

# %% tags=["varies"]
for part in pieces:
    print(f"{part:<14}{'YOURS' if part in yours else 'the course’s, in its quick version'}")

# %% [markdown]
# A minute is short, so it reads one kind of text only: stories. (`base`, the course's own model, has read all six
# kinds, for an hour.) The yardsticks are made anew for them: the floor of stories that were drawn apart, and the
# n-gram that has counted all that it reads.


# %%
def stories(n: int, seed: int) -> list:
    """n stories, each with its exact log-probability."""
    return list(islice(world.documents(Random(seed), kinds=["story"]), n))


def shard_of(name: str, told: list) -> Shard:
    return write_texts(folder / name, (story.text for story in told), tokenizer.encode, V, end=BOS)


# %% tags=["varies"]
judged = stories(lab.profile.pick(smoke=4, laptop=200), seed=1)
story_shard = shard_of("stories.bin", stories(lab.profile.pick(smoke=300, laptop=14_000), seed=0))
judged_shard, best_gram = shard_of("judged.bin", judged), f"{grams[-1].n}-gram"
counted = ngram.learn(story_shard.tokens, V, grams[-1].n, start=BOS)[-1]
baselines = {best_gram: counted.nats(judged_shard.tokens).mean()}
baselines["floor"] = -sum(story.log_prob for story in judged) / (len(judged_shard) - 1)
print(", ".join(f"{name} {nats:.3f}" for name, nats in baselines.items()), "nats per token")

# %% [markdown]
# The optimiser is AdamW for the embedding and the norms, and *Muon* for the matrices in the layers (Jordan et al.
# 2024): it makes the update of a matrix nearly orthogonal, so that no direction of it is served before the others. What
# that is worth, and how it is done, is a section of its own further down.

# %% tags=["varies"]
recipe = Recipe(
    steps=lab.profile.pick(smoke=6, laptop=1300),
    dtype=quicker,
    batch=B,
    context=T,
    optimiser="muon",
    lr=1e-2,
    muon_lr=0.02,
    warmup=0.05,
)
WARMUP, epochs = round(recipe.warmup * recipe.steps), recipe.steps * B * T / len(story_shard)
print(f"{recipe.steps} steps of {B} × {T} tokens in {recipe.dtype}: {epochs:.1f} epochs of the stories")


# %%
def record(step: int, nats: float, norm: float, made: list, tokens: int, seconds: float) -> Step:
    """What the chart wants to know of a step."""
    return Step(step, nats / tokens, norm, made[0].param_groups[0]["lr"], step * tokens, seconds, tokens / seconds)


# %%
def by_hand(model: nn.Module, recipe: Recipe) -> Iterator[Step]:
    """The whole training loop, from your pieces."""

    def nats_of(part: Batch) -> Tensor:
        with autocast(part.inputs.device, recipe.dtype):
            return token_nats(model, part)

    made, weights = optimisers.make(model, recipe), list(model.parameters())
    for step in range(recipe.steps):
        begin, batch = time.perf_counter(), batch_of(step, story_shard)
        optimisers.set_rates(made, warmup_cosine(step, recipe.steps, WARMUP, recipe.floor))
        nats = accumulate(batch.split(recipe.accumulation), nats_of, batch.tokens)
        norm = clip_(weights, recipe.clip)
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad()
        yield record(step + 1, nats, norm, made, batch.tokens, time.perf_counter() - begin)


# %% [markdown]
# To hear what it has learned we let it write: draw a token from its probabilities, put it behind the text, ask again.
# (How to draw well is a section of its own below.)

# %%
from lablib.architecture import generation as plain


def write(model: nn.Module, n: int, seed: int) -> list[str]:
    """n documents as the model writes them, from BOS to BOS."""
    draw = torch.Generator().manual_seed(seed)

    def choose(logits: Tensor) -> Tensor:
        return torch.multinomial(logits.softmax(-1), 1, generator=draw)[:, 0]  # (B, V) -> (B,)

    rows = plain.generate(
        model, torch.full((n, 1), BOS), lab.profile.pick(smoke=12, laptop=140), stop=BOS, choose=choose
    )
    return [tokenizer.decode(row, skip_special=True) for row in rows.tolist()]


# %% [markdown]
# **Before you run it, write down:** after how many seconds will the first real words appear? The first sentence that is
# grammatical? And will it beat the n-gram, which has read all of the text, in a minute?

# %%
panels = [
    Panel(["loss", "held out"], y="nats per token", title="loss", levels=baselines, y_range=(0, 5)),
    Panel(["gradient norm"], title="gradient norm", log_y=True),
    Panel(["tokens/s"], title="tokens per second"),
]
alt = "Loss by step, training and held out, with n-gram and floor as dashed lines; gradient norm; tokens per second."
moments = {round(recipe.steps * share) for share in (0.015, 0.06, 0.2, 0.4, 0.7, 1.0)}
model = Decoder(config, parts, generator=torch.Generator().manual_seed(0))
written, heard, seen = {0: write(model, 8, 0)}, {}, []

# %% tags=["varies"]
with LiveChart(panels, alt=alt) as chart:
    for step in by_hand(model, recipe):
        seen.append(step)
        chart.add(
            step.step, loss=step.loss, **{"gradient norm": step.gradient_norm, "tokens/s": step.tokens_per_second}
        )
        if step.step in moments:
            written[step.step] = write(model, 8, 0)
            heard[step.step] = gap(model, judged, tokenizer)
            chart.add(step.step, **{"held out": heard[step.step].loss})

# %% tags=["varies"]
tokens = sum(step.tokens_per_second * step.seconds for step in seen)
seconds = sum(step.seconds for step in seen)
peak = product[recipe.dtype]  # FLOP/s that this machine reaches in one large product
used = flops.per_token(config, T) * tokens / seconds
print(f"{tokens:,.0f} tokens in {seconds:.0f} s: {tokens / seconds:,.0f} tokens/s")
print(f"{used / 1e9:.0f} GFLOP/s of the model's own arithmetic: {used / peak:.0%} of one large product's rate (MFU)")

# %% [markdown]
# ### What it wrote on the way
#
# The same random numbers at each moment, so only the model differs. *Gold quality* is the world's parser on eight
# texts: the share of their sentences that are grammatical, consistent and connected; real documents have 1.

# %% tags=["varies"]
for step, texts in written.items():
    quality = sum(map(world.gold_quality, texts)) / len(texts)
    loss = f"held-out loss {heard[step].loss:.2f}" if step in heard else "untrained"
    print(f"── step {step}, {loss}, gold quality {quality:.2f}\n{texts[0][:330]}\n")

# %% tags=["varies"]
end = heard[recipe.steps]
print(f"held out {end.loss:.3f} nats per token, floor {end.floor:.3f}")
print(f"above the floor {end.excess:.3f} ± {2 * end.excess_error:.3f} nats per token (two standard errors)")
print(f"{bits_per_byte(end.loss * end.tokens, sum(len(d.text.encode()) for d in judged)):.3f} bits per byte")
print(f"{best_gram} {baselines[best_gram]:.3f}; the course's own model, which has read far more: ", end="")
print(f"{gap(base.model, judged, tokenizer).loss:.3f}")

# %% [markdown]
# **What to notice.** First come the frequencies of tokens: the loss drops to about that of a 1-gram, and the text is a
# salad of frequent words. Then come pairs and phrases, then sentences; last what holds a story together over many
# sentences. Near the end it passes the n-gram, which has counted every story that it read. What the distance to the
# floor still consists of, the late texts show: heroes who change their names, sentences of another story. The held-out
# loss goes along with the training loss, since the run reads hardly any text twice. The gradient norm is largest in the
# first steps and settles; a later spike would be the first sign of trouble.
#
# ### The same in one line
#
# The library's loop is yours plus what a long run needs: checkpoints, Ctrl-C, several processes, a diagnosis for NaN.

# %% tags=["varies"]
again = Decoder(config, parts, generator=torch.Generator().manual_seed(0))
first_steps = list(islice(train(again, Batches([story_shard], T, B), recipe), 5))
for mine_step, library_step in zip(seen, first_steps, strict=False):
    print(f"step {mine_step.step}: by hand {mine_step.loss:.5f}, library {library_step.loss:.5f}")
    assert math.isclose(mine_step.loss, library_step.loss, rel_tol=1e-4)

# %% [markdown]
# ## Killed, and resumed
#
# A long run *will* be interrupted: power, a full disk, a cluster that wants its machine back. Let us do it on purpose.
# A tiny run, started as a program of its own with the library's command, is killed by SIGKILL in the middle of its
# work: the signal that no program can catch, so that nothing can be tidied up or saved at the last moment.

# %%
import json
import os
import subprocess
import sys

from lablib.pretraining.checkpoint import CheckpointError, latest, read
from lablib.pretraining.divergence import Diverged

small = DecoderConfig(V=V, D=16, H=2, L=1, hidden=32, context=32)
plan = Recipe(steps=lab.profile.pick(smoke=60, laptop=400), batch=8, context=32, lr=3e-3)
about = {"model": asdict(small), "data": [train_shard.sha256]}  # a run is resumed only with the same settings


def small_run(home: Path | None) -> nn.Module:
    """The whole of the small run, or what is left of it."""
    model = Decoder(small, generator=torch.Generator().manual_seed(plan.seed))
    for _ in train(model, Batches([train_shard], 32, 8), plan, folder=home, every=20, settings=about):
        pass
    return model


# %%
home = folder / "killed"
shape = [f"{name}={json.dumps(value)}" for name, value in asdict(small).items()]
settings = [f"{name}={getattr(plan, name)}" for name in ("steps", "batch", "context", "lr")]
command = [sys.executable, "-m", "lablib.pretraining.command", "--train", str(folder / "train.bin")]
command += ["--folder", str(home), "--every", "20", "--context", "32", "--model", *shape, "--recipe", *settings]
# sums in the same order as here: on the CPU, with as many threads
environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": ""}

# %% tags=["varies"]
child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
while child.poll() is None and not (home.is_dir() and len(list(home.glob("step-*"))) > 1):
    time.sleep(0.005)  # until it has written two checkpoints
child.kill()
child.wait()
reached = sum(1 for _ in (home / "steps.jsonl").open())
print(f"killed (exit code {child.returncode}) after {reached} of {plan.steps} steps; its folder:")
for path in sorted(home.rglob("*")):
    if path.is_file():
        print(f"  {path.relative_to(home)!s:<44}{path.stat().st_size:>10,} bytes")

# %% [markdown]
# **What to notice.** A checkpoint is a folder of three files: the weights; the *state* (AdamW's two averages for every
# weight, and the random generators); and a text that says which step it is, what the settings were, and how long and
# what SHA-256 the other two files must have. It is written under another name and renamed only when it is whole, so a
# kill in the middle of writing leaves the one before. Where the run was in the *data* is not in it: (seed, step) says
# that.
#
# Now resume it, here in the notebook, and make the same run once more without any interruption.

# %% tags=["varies"]
found = latest(home)
assert found is not None
print(f"the newest whole checkpoint is of step {found.step}: {plan.steps - found.step} steps are left")
resumed, whole = small_run(home), small_run(None)
pairs = list(zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True))
numbers = sum(a.numel() for a, _ in pairs)
print(f"bit for bit the same weights: {all(torch.equal(a, b) for a, b in pairs)} ({numbers:,} numbers)")

# %%
assert all(torch.equal(a, b) for a, b in pairs)

# %% [markdown]
# **What to notice.** Not "about the same loss": the same bits. Forget one thing (AdamW's averages, its count of steps,
# the place in the data), and the resumed run is another one. The tests kill runs at every kind of moment, also in the
# middle of an update and of a write (`tests/pretraining/test_killed.py`).
#
# A damaged checkpoint must be noticed before it does harm:

# %% tags=["varies"]
newest = latest(home).path
weights_file = newest / "weights.safetensors"
weights_file.write_bytes(weights_file.read_bytes()[:-100])  # as a full disk or a broken copy would leave it
try:
    read(newest)
except CheckpointError as error:
    print(str(error).replace(str(home), "…"))

# %% [markdown]
# `latest` would warn, and take the one before.
#
# ### When the loss is no number
#
# Some day a loss is NaN ("not a number"). One step later every weight is. So the loop looks before each update, stops,
# puts back the last good weights, and says what it thinks happened. Let us provoke it, without clipping, by learning
# rates of 10 and of 1,000.

# %% tags=["varies"]
wild_plan = replace(plan, steps=lab.profile.pick(smoke=15, laptop=60), clip=math.inf)
for rate in (10.0, 1000.0):
    wild, losses = Decoder(small, generator=torch.Generator().manual_seed(0)), []
    try:
        for step in train(wild, Batches([train_shard], 32, 8), replace(wild_plan, lr=rate)):
            losses.append(step.loss)
        print(f"rate {rate:g}: the worst loss was {max(losses):.0f}, the last is {losses[-1]:.2f}\n")
    except Diverged as error:
        print(f"rate {rate:g}: losses {', '.join(f'{loss:.3g}' for loss in losses)}\nstopped: {error}")
print("weights that are no number:", sum(int((~w.isfinite()).sum()) for w in wild.parameters()))

# %% [markdown]
# **What to notice.** A rate of 10, a thousand times too high, does harm and no more: the norms in the model hold it,
# and when the rate falls it comes back. At 1,000 the loss shoots up *before* it becomes NaN, so whoever watches it has
# time to stop. Then look at the losses of 8.32: that is ln V. The numbers inside have grown so large that the last norm
# divides by infinity; every logit is 0, and the model is dead, quietly, several steps before the NaN.
#
# *Ctrl-C*, or the notebook's stop button, is kinder than a kill: the step is finished, the loop saves a checkpoint if
# it has a folder, and the model can be used. Try it on a run of your own.
#
# ### More than one process
#
# With two GPUs each computes the gradient of its half of the batch; the gradients are added up; both make the same
# step. In PyTorch this is called *distributed data parallel* (DDP). If every half divides by the tokens of *both*,
# which your `accumulate` does, the sum is the gradient of the whole batch. Here both halves in one process:

# %% tags=["varies"]
batch = batch_of(0)
whole_gradient = torch.cat([gradient.flatten() for gradient in gradient_of(batch)])
total = torch.zeros_like(whole_gradient)
for rank in (0, 1):
    new.zero_grad()
    mine_only = Batches([train_shard], T, B, rank=rank, world=2)(0)
    accumulate([mine_only], lambda part: token_nats(new, part), batch.tokens)
    total += torch.cat([weight.grad.flatten() for weight in new.parameters()])
gap_of_halves = (total - whole_gradient).norm() / whole_gradient.norm()
print(f"two halves against the whole: {gap_of_halves:.0e} of its length")
assert gap_of_halves < 1e-6

# %% [markdown]
# With real processes it is one word in front of the command, and nothing in the loop changes:
#
# ```
# torchrun --nproc-per-node 2 -m lablib.pretraining.command --train train.bin --folder run --parameters 3e6
# ```
#
# `tests/pretraining/test_torchrun.py` starts such runs, with DDP and with *fully sharded data parallel* (FSDP, which
# spreads the weights and the optimiser's state over the processes, too), compares their loss curves with that of one
# process, and kills a worker to see the run go on from its checkpoint.
#
# <details><summary>Question: why is the number of threads part of "the same bits"?</summary>
#
# Floating-point addition is not associative: (a + b) + c and a + (b + c) may differ in the last bit. More threads cut a
# sum into other pieces. So bit-equality holds for one machine, one version of PyTorch and one number of threads;
# elsewhere the run is the same up to rounding, and after enough steps that is another run of the same quality.
#
# </details>
#
# <details><summary>Question: how often should a run write a checkpoint?</summary>
#
# On average a kill costs half an interval of work, and every checkpoint costs its time to write. The best interval is
# about √(2 · time to write · time between failures) (Young 1974). A run that fails once a day and needs a minute to
# write should do so about every hour.
#
# </details>

# %% [markdown]
# ## What is a recipe worth?
#
# The loop is the same in every project. What differs is the *recipe*: the learning rate, the optimiser, the shape of a
# block, a handful of tricks. Which of them matter, and how much? On web text such questions cost a fortune. Here a run
# takes a minute, and the floor says how much was left to win.
#
# **Guess first**, in nats per token above the floor: a rate three times too small; three times too large; the block of
# GPT-2 instead of Llama's; AdamW instead of Muon; and each of the tricks *QK-norm*, *zero-initialised outputs*,
# *squared ReLU*.
#
# Every run below trains a fresh model of 0.8 million parameters on 1 million tokens of the valley, with three seeds
# each. All together that takes hours, so they were run once, by a command that you can run again; the file says on
# what, with every setting and seed. A few of them you repeat here, live.

# %%
from lablib.paths import data_path
from lablib.pretraining.muon import COEFFICIENTS
from lablib.show.intervals import interval_chart, over_seeds


def recorded(name: str) -> dict[str, list[dict]]:
    """The runs of an experiment by their label, one for each seed."""
    runs: dict[str, list[dict]] = {}
    for run in json.loads(data_path(f"experiments/{name}.json").read_text(encoding="utf-8"))["runs"]:
        runs.setdefault(run["label"], []).append(run)
    return runs


def above_floor(runs: list[dict]) -> list[float]:
    """Held-out loss minus floor of each run, nats per token; infinite where the loss became no number."""
    return [math.inf if run["loss"] is None else run["loss"] - run["floor"] for run in runs]


# %% [markdown]
# ### The learning rate, up to the cliff
#
# The same model, the same million tokens, the same schedule; only the peak of the rate differs. (Muon has two: that of
# its matrices, which is swept, and AdamW's for embedding and norms, which stays.)

# %%
trials = recorded("learning_rate")
curves: dict[str, dict[float, list[float]]] = {"adamw": {}, "muon": {}}
for label, runs in trials.items():
    kind, rate = label.split(" lr=")
    curves[kind][float(rate)] = above_floor(runs)
tried = next(iter(trials.values()))[0]
rule = 0.3118 * (6 * tried["parameters"] * tried["tokens"]) ** -0.125
best_rate = {kind: min(of, key=lambda rate, of=of: sum(of[rate])) for kind, of in curves.items()}

# %%
print(f"{tried['parameters']:,} parameters, {tried['tokens']:,} tokens")
print(f"{'nats per token above the floor':<34}{'rate':>8}{'mean':>8}   three seeds")
for kind, of in curves.items():
    for rate in sorted(of):
        mean, low, high = over_seeds(of[rate])
        mark = "  <- the best" if rate == best_rate[kind] else ""
        print(f"{kind:<34}{rate:>8g}{mean:>8.2f}   {low:.2f} to {high:.2f}{mark}")
print(f"a rule from large runs says, for AdamW: {rule:.4f}")

# %%
fig, ax = figure(width=7.6, height=3.6)
for (kind, of), colour in zip(curves.items(), COLOURS, strict=False):
    rates = [rate for rate in sorted(of) if max(of[rate]) < math.inf]
    means, lows, highs = zip(*(over_seeds(of[rate]) for rate in rates), strict=True)
    ax.plot(rates, means, color=colour, marker="o", label=kind)
    ax.fill_between(rates, lows, highs, color=colour, alpha=0.25, linewidth=0)
    lost = [rate for rate in sorted(of) if max(of[rate]) == math.inf]
    ax.plot(lost, [ax.get_ylim()[1]] * len(lost), "x", color=colour)  # the loss became no number
ax.axvline(rule, color=GREY, linestyle="--", label="a rule from large runs (for AdamW)")
ax.set(xlabel="peak learning rate", ylabel="nats per token above the floor", xscale="log", yscale="log")
ax.set_yticks([1, 1.5, 2, 3, 4, 5], ["1", "1.5", "2", "3", "4", "5"])
ax.set_yticks([], minor=True)
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Loss above the floor against the learning rate, for AdamW and Muon: valleys, steep on both sides.")

# %% [markdown]
# **What to notice.** A rate that is off by a factor of three, to either side, costs AdamW three quarters of a nat or
# more: as much as most of what you will see below. The two sides look alike, and are not. To the left every seed loses the
# same, for these runs only needed more time: they were on their way. To the right the seeds fall apart: at twice the
# best rate one is as good as the best, and another is far off. That is the cliff's edge; further on all of
# them are lost. (None became NaN. The norms in the model and clipping turn a fall into a bad walk.) So
# when in doubt, and with steps to spare, people go left. The best rates of the two optimisers cannot be compared with
# each other: a step of AdamW has a size for each number, one of Muon has a size for the whole matrix.
#
# The dashed line is a rule from far away: Bi et al. (2024, "DeepSeek LLM", equation 1) fitted the best rate of AdamW as
# 0.3118 · C^−0.125, where C is the compute in FLOPs, on runs of 10¹⁷ to 2·10¹⁹ FLOPs. Ours has twenty thousand times
# less than the smallest of them. (They count C a little differently: without the embedding, and with attention. For
# their 7B model on 2 trillion tokens both counts agree: C = 6 · 7·10⁹ · 2·10¹², and the rule gives 4.2·10⁻⁴, which is
# what they used.) So far from home it points to nearly three times the best rate, over the edge. (`lab pretrain`, whose
# one dial is the number of parameters, follows the rule for large runs and stays at 0.003 for small ones, because of
# this figure.)

# %%
print(f"the rule at 6 · 7e9 · 2e12 FLOPs: {0.3118 * (6 * 7e9 * 2e12) ** -0.125:.2e}")

# %% [markdown]
# Now some of these runs here, on your machine: same settings, taken out of the record, but only their first steps.
# **Which of the three is ahead after so few steps, and does that tell who wins?**

# %%
rates = (min(curves["adamw"]), best_rate["adamw"], max(curves["adamw"]))  # too small, best, too large
shown = [*(f"adamw lr={rate:g}" for rate in rates), f"muon lr={best_rate['muon']:g}"]
few = lab.profile.pick(smoke=1, laptop=56)
live: dict[str, list[Step]] = {}

# %% tags=["varies"]
for label in shown:
    run = trials[label][0]
    shape, settings = DecoderConfig(**run["model"]), replace(Recipe.from_dict(run["recipe"]), dtype=quicker)
    fresh = Decoder(shape, generator=torch.Generator().manual_seed(run["seed"]))
    batches = Batches([train_shard], settings.context, settings.batch)
    live[label] = list(islice(train(fresh, batches, settings), few))
    seconds = sum(step.seconds for step in live[label])
    print(f"{label:<18}{few} steps in {seconds:.1f} s: training loss {live[label][-1].loss:.2f}")

# %% tags=["varies"]
fig, ax = figure(width=7.6, height=3.4)
for label, colour in zip(shown, COLOURS, strict=False):
    for run in trials[label]:
        ax.plot(*zip(*run["curve"], strict=True), color=colour, alpha=0.35, linewidth=1)
    points = [(step.tokens, step.loss) for step in live[label]]
    ax.plot(*zip(*points, strict=True), ".", color=colour, markersize=3, label=label)
ax.axhline(tried["floor"], color=GREY, linestyle="--", label="floor")
ax.set(xlabel="tokens read", ylabel="training loss (nats per token)", xlim=(1e4, None), xscale="log")
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Training loss against tokens: thin lines from the record, dots from the live runs on top of them.")

# %% [markdown]
# **What to notice.** The dots run along the record's lines (a little below them, for a point of a line is the mean of the
# dozen steps before it): it is the same run, on other text of the same valley and on your machine. And the beginning
# says little about the end. After a dozen steps the largest rate of all is ahead by far; two dozen later it is
# overtaken, and never gets any further. Whoever chooses a rate by the first minute of a run chooses too high. Muon's
# lead, on the other hand, is there to see before the live run stops.

# %% [markdown]
# ### What Muon does
#
# AdamW divides the step of each number by that number's own history; that a matrix is a *matrix*, which stretches some
# directions and ignores others, it does not know. Muon does (Jordan et al. 2024). Write the gradient of a matrix as U S
# Vᵀ, its *singular value decomposition*: a sum of directions with strengths S. Here are the strengths in a gradient of
# the model that you trained above.

# %% tags=["varies"]
model.zero_grad()
(token_nats(model, batch_of(0)) / (B * T)).backward()
layer = model.layers[-1]
some = (layer.attention.q_proj, layer.attention.v_proj, layer.attention.out_proj)
some_gradients = [linear.weight.grad for linear in some]
strengths = torch.linalg.svdvals(torch.stack(some_gradients))  # (3, D, D) -> (3, D)
for name, s in zip(("queries", "values", "output"), strengths.tolist(), strict=True):
    half = sum(x * x for x in s) / 2
    needed = next(k for k in range(1, len(s)) if sum(x * x for x in s[:k]) >= half)
    print(f"{name:<8} strongest {s[0]:.1e}, median {s[len(s) // 2]:.1e}; {needed} of {len(s)} hold half the square")

# %% [markdown]
# **What to notice.** A handful of directions has nearly everything. A step along the gradient moves the matrix in these
# and hardly in the others, though what the others say may matter as much. Muon sets all strengths to about 1. The exact
# way, U Vᵀ, needs the decomposition, which is slow; the trick is to reach it by multiplying the matrix with itself.

# %%
# EXERCISE lablib.pretraining.muon:newton_schulz_step

# %%
X = torch.stack(some_gradients)
X = X / torch.linalg.vector_norm(X, dim=(1, 2), keepdim=True)  # now no strength is larger than 1
fig, ax = figure(width=7.0, height=3.0)
for step in range(6):
    if step in (0, 1, 3, 5):
        s = torch.linalg.svdvals(X[0])
        ax.plot(range(1, len(s) + 1), s, color=COLOURS[(0, 1, 3, 5).index(step)], label=f"after {step} of 5 steps")
    X = newton_schulz_step(X)
ax.set(xlabel="direction, strongest first", ylabel="strength (singular value)")
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
Picture(fig, "Singular values of a gradient: a few large ones at first, after five steps most of them near 1.")

# %% [markdown]
# **What to notice.** Five steps, fifteen products of matrices, and nearly all directions are equally strong; only those
# that were next to nothing are still on their way. Nobody needs them at exactly 1: Muon's coefficients are chosen to
# lift small values fast, and to let the rest end anywhere between 0.7 and 1.3.
#
# ### Block and optimiser
#
# GPT-2's block (LayerNorm, GELU, learned positions, biases) against Llama's (RMSNorm, SwiGLU, rotary positions, none),
# each with both optimisers, at the same parameters and tokens. Each at the best of three learning rates, for a
# comparison at one rate would measure whom that rate suits.

# %%
trials = recorded("blocks")
best: dict[str, dict[str, list[float]]] = {}
for label, runs in trials.items():
    block, optimiser, _ = label.split()
    losses, so_far = above_floor(runs), best.setdefault(block, {}).get(optimiser, [math.inf])
    best[block][optimiser] = min(losses, so_far, key=sum)
rows = {f"{block} block": {kind: over_seeds(losses) for kind, losses in of.items()} for block, of in best.items()}
interval_chart(
    rows,
    "Dots with their ranges over three seeds: loss above the floor for two blocks and two optimisers.",
    x="nats per token above the floor (mean and range of 3 seeds)",
    x_range=None,
)

# %% [markdown]
# **What to notice.** No two ranges overlap, so all four differ. But the two distances are not alike: from block to block
# it is half a nat with Muon and some seven tenths with AdamW; from optimiser to optimiser more than one, whatever the
# block. The old block with the new optimiser is far ahead of the new block with the old one: all that changed in the
# block between GPT-2 and Llama was worth less here than the choice of a step. (One size, and a million tokens: far from
# the end of training. What a longer run would leave of it, this record cannot say.)
#
# ### Which ingredient earns its place?
#
# People who train small models as fast as they can (the "speed runs" of nanoGPT) have collected ingredients that Llama
# does not have:
#
# - **QK-norm**: queries and keys are scaled to one length before they meet, so that no head can become arbitrarily
#   sharp (Henry et al. 2020; Dehghani et al. 2023);
# - **zero-initialised outputs**: the last matrix of each sublayer starts at 0, so that the model begins with no layers
#   at all and grows into them (Goyal et al. 2017; Zhang et al. 2019);
# - **squared ReLU** in a network of two matrices instead of SwiGLU's three, at the same number of weights (So et al.
#   2021);
# - **Muon** for the matrices, and **warm-up–stable–decay** (WSD) instead of the cosine.
#
# One can ask in two ways: put *one* into the plain recipe, or take *one* out of the full one. The answers need not
# agree. **For which will they not?**

# %%
trials = recorded("ingredients")
losses = {label: above_floor(runs) for label, runs in trials.items()}
words = {"muon": "Muon", "qk_norm": "QK-norm", "zero_init": "zero-init. outputs", "relu2": "squared ReLU", "wsd": "WSD"}
rows = {}
for name, word in words.items():
    gained = [a - b for a, b in zip(losses["none"], losses[f"none with {name}"], strict=True)]  # seed by seed
    missed = [a - b for a, b in zip(losses[f"all without {name}"], losses["all"], strict=True)]
    rows[word] = {"won when put in": over_seeds(gained), "lost when left out": over_seeds(missed)}
interval_chart(
    rows,
    "For five ingredients, two dots each with ranges over seeds: nats won by adding it, nats lost by leaving it out.",
    x="nats per token that it is worth (mean and range of 3 seeds)",
    x_range=None,
    levels={"nothing": 0.0},
)

# %%
for word, of in rows.items():
    verdicts = ["helps" if low > 0 else "harms" if high < 0 else "is unclear" for _, low, high in of.values()]
    print(f"{word:<20} alone it {verdicts[0]:<11} among the others it {verdicts[1]}")
for label in ("none", "all"):
    mean, low, high = over_seeds(losses[label])
    print(f"{label:<5} {mean:.3f} nats per token above the floor ({low:.3f} to {high:.3f})")

# %% [markdown]
# **What to notice.** Muon and the falling rate earn their place twice: put in alone they win a nat and half a nat, and
# left out of the full recipe they are missed most. (A part of WSD's gain is where it ends. Its rate falls to nothing,
# while our cosine, as GPT-3's and Llama's, stops at a tenth of the peak.) QK-norm earns a little in both.
#
# The other two disagree, and that is the lesson. Squared ReLU is worth almost half a nat to the plain recipe, and
# *harms* the full one, by little but with every seed: whatever it repaired, Muon has repaired already. Zero-initialised
# outputs harm AdamW's run and help the full one: they need company. So "the trick is worth 0.4" is not a property of a
# trick. It holds for a recipe, and the next recipe must be asked again.
#
# The course's own model keeps Llama's shape, whatever this figure says: every tool for Llama models can then read it.
# Muon costs nothing of that, for an optimiser leaves no trace in the file. That is why it was trained with it.
#
# <details><summary>Question: a paper reports that its trick lowers the loss by 0.02. What would you ask first?</summary>
#
# How far the loss moves from seed to seed, and whether the baseline had its own best learning rate. You have seen what
# both do: a rate that is off by a factor of three costs more than most ingredients bring. And ask in which recipe.
#
# </details>
#
# <details><summary>Question: why do the seeds agree to the left of the best rate, and fall apart to the right?</summary>
#
# Too small a rate only means fewer steps of the same walk: half the rate is roughly half the way, for every seed. Too
# large a rate makes each step overshoot the valley that it walks in; from a certain size on (about 2 divided by the curvature) each
# step lands farther out than the last one. Norms and clipping turn that explosion into something slower, but not into
# learning.
#
# </details>
#
# <details><summary>Question: the same rate, twice the batch. Is it still the best rate?</summary>
#
# No. With more rows the gradient is less noisy, so that larger steps can be trusted. For SGD people scale the rate with
# the batch (Goyal et al. 2017), for AdamW rather with its square root (Malladi et al. 2022), and beyond a *critical*
# batch nothing more is won (McCandlish et al. 2018).
#
# </details>
#
# <details><summary>Question: QK-norm was invented against divergence. Can a small run show what it is good for?</summary>
#
# Partly. In large models queries and keys grow until one head looks at one token only, and the loss explodes (Dehghani
# et al. met it at 8 billion parameters; Wortsman et al. 2023 provoke it in small ones by high rates). A small model at
# its best rate does not get that far, so there QK-norm has little to prevent. Sweep the rate with and without it, and
# look at the cliff.
#
# </details>
#
# <details><summary>Question: with zero-initialised outputs the first gradient of queries, keys and values is exactly 0. Why does training not stand still?</summary>
#
# The gradient passes through the output matrix, which is 0, so nothing behind it hears anything in the first step. But
# the output matrix itself has a gradient (it depends on what it would let through), and after one step it is no longer
# 0.
#
# </details>

# %% [markdown]
# ## What to write next
#
# A trained model answers one question: how likely is each token to be the next one? What it then *writes* is decided by
# somebody else: by the few lines that choose. They are so few, and their effect is so large, that the same model can
# look dull, brilliant or drunk.
#
# From here on we use the model that the course carries: 4.2 million parameters, trained with the loop of this lab, for
# longer.

# %%
from lablib.pretraining.fused_decoder import FusedDecoder, attend_one
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling, entropy
from lablib.show.sliders import Sliders

# %% tags=["varies"]
sizes = base.model.config
print(f"{base.origin}: {sizes.parameters:,} parameters, {sizes.V:,} tokens, context {sizes.context}")


# %%
def next_logits(text: str) -> torch.Tensor:
    """What the model thinks of every token behind a text: logits (1, V)."""
    with torch.no_grad():
        return base.model(torch.tensor([[BOS, *tokenizer.encode(text)]]), last_only=True)[:, -1]


for beginning in ("How to look after", "How to look after a", "Dear"):
    logits = next_logits(beginning)
    best = logits.softmax(-1)[0].topk(4)
    likely = [f"{tokenizer.decode([i])!r} {p:.2f}" for p, i in zip(*map(torch.Tensor.tolist, best), strict=True)]
    print(f"{beginning + ' …':<24}entropy {entropy(logits).item():.2f} nats   {', '.join(likely)}")

# %% [markdown]
# The *entropy*, −Σ p log p, says in one number how open the question is. With e as the base of the logarithm its unit
# is the *nat*; exp(entropy) is the number of equally likely tokens that would leave us as uncertain.
#
# The obvious choice is the likeliest token, `argmax`; it is called *greedy*. The honest choice is to *draw* a token
# with exactly the probability that the model gives it. Nearly everything that is used lies between the two.
#
# ### Temperature
#
# Temperature makes the distribution sharper or flatter, before anything is drawn.

# %%
# EXERCISE lablib.pretraining.sampling:scale_by_temperature

# %%
example = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]])
for temperature in (0.25, 0.5, 1.0, 2.0, 10.0):
    shaped = scale_by_temperature(example, temperature)
    chances = "  ".join(f"{p:.3f}" for p in shaped.softmax(-1)[0].tolist())
    print(f"temperature {temperature:<6}{chances}   entropy {entropy(shaped).item():.2f}")

# %% [markdown]
# **What to notice.** No token ever wins or loses its place: only the distances change. At 0.25 this is nearly greedy,
# at 10 nearly blind.
#
# ### Top-k
#
# Even a good model gives a little probability to thousands of tokens that are plainly wrong, and together they are
# drawn now and then. Fan, Lewis and Dauphin (2018) simply cut: the k likeliest stay.

# %%
# EXERCISE lablib.pretraining.sampling:keep_top_k

# %% [markdown]
# ### Top-p
#
# But which k? Behind *How to look after a* there are some thirty good words, behind *How to look* one. Holtzman et al.
# (2020) cut by probability instead: the *nucleus* is the smallest set of tokens that have p together.

# %%
# EXERCISE lablib.pretraining.sampling:keep_top_p

# %%
for beginning in ("How to look after a", "How to look"):
    logits = next_logits(beginning)
    nuclei = [int((keep_top_p(logits, p) > -torch.inf).sum()) for p in (0.5, 0.9, 0.99, 0.999)]
    print(f"{beginning!r:<24}tokens in the nucleus of p = 0.5, 0.9, 0.99, 0.999: {nuclei}")

# %% [markdown]
# ### The playground
#
# Your three functions at work. Change the text, run both cells, and move the sliders: *tokens read* shortens the text
# from its end, so that you can walk through it word by word. (*k* = 100 and *p* = 100 % cut nothing that the picture
# shows.)

# %%
TEXT = "Dear Mirabe,\n\n"


# %%
def spelled_token(token: int) -> str:
    """A token as a label: · for a space, ↵ for the end of a line."""
    return tokenizer.decode([token]).replace("\n", "↵").replace(" ", "·")


def two_distributions(logits: Tensor, shaped: Tensor, title: str, most: int = 24) -> Picture:
    """The likeliest tokens: grey as the model has them, blue as they are drawn from; logits and shaped (1, V)."""
    first = logits[0].topk(most).indices
    fig, ax = figure(width=9.4, height=3.4)
    ax.bar(range(most), logits.softmax(-1)[0, first], color=GREY, alpha=0.45, label="the model")
    ax.bar(range(most), shaped.softmax(-1)[0, first], color=COLOURS[0], width=0.45, label="drawn from")
    ax.set_xticks(range(most), [spelled_token(i) for i in first.tolist()], rotation=60, ha="right")
    ax.set(ylabel="probability", title=title)
    ax.legend(frameon=False)
    return Picture(
        fig, "Bars: the likeliest next tokens, as the model has them and after temperature, top-k and top-p."
    )


# %%
def playground(tokens_read: int, temperature_in_tenths: int, k: int, p_in_percent: int) -> Picture:
    """The distribution behind the first tokens of TEXT, before and after your three functions."""
    prefix = tokenizer.decode(tokenizer.encode(TEXT)[:tokens_read])
    logits = next_logits(prefix)
    shaped = scale_by_temperature(logits, temperature_in_tenths / 10)
    shaped = keep_top_p(keep_top_k(shaped, k), p_in_percent / 100)
    title = f"{prefix[-50:]!r} …   {entropy(logits).item():.2f} → {entropy(shaped).item():.2f} nats"
    return two_distributions(logits, shaped, title)


# %% tags=["varies"]
read = len(tokenizer.encode(TEXT))
Sliders(
    playground,
    tokens_read=(read, 0, read),
    temperature_in_tenths=(15, 1, 40),
    k=(100, 1, 100),
    p_in_percent=(90, 1, 100),
)

# %% [markdown]
# **What to notice.** Walk through the text: after half a word the distribution is one bar; where a name or a thing is
# to come, it is a comb. *k* does the same to both, *p* does not. And *p* reacts to the temperature, since the
# temperature comes first: heat flattens the bars, and then more of them are needed for 90 %.

# %% [markdown]
# ## Where is the uncertainty?
#
# In this world we know how much uncertainty there *is*: every document carries the exact probability with which the
# grammar writes it. So take one, and put the model's entropy before each token beside the *surprise* −log p of the
# token that came.

# %%
document = next(d for d in documents(99, seed=71) if 40 <= len(tokenizer.encode(d.text)) <= 46)
ids = torch.tensor([[BOS, *tokenizer.encode(document.text), BOS]])
with torch.no_grad():
    log_p = base.model(ids[:, :-1]).log_softmax(-1)[0]  # (T, V)
surprise = -log_p.gather(1, ids[0, 1:, None])[:, 0]  # (T,)
print(document.text, "\n")
print(f"the model needs {surprise.sum().item():.1f} nats for this text, the world itself {-document.log_prob:.1f}")

# %%
fig, ax = figure(width=11.5, height=3.4)
places = range(len(surprise))
ax.bar(places, entropy(log_p), color=COLOURS[0], alpha=0.6, label="entropy: uncertainty before the token")
ax.plot(places, surprise, "o", color=COLOURS[1], markersize=4.5, label="surprise: −log p of the token that came")
ax.set_xticks(places, [spelled_token(i) for i in ids[0, 1:].tolist()], rotation=75, ha="right", fontsize=8)
ax.set(ylabel="nats", xlim=(-1, len(surprise)))
ax.legend(frameon=False)
Picture(fig, "Entropy before each token of a document as bars, the surprise of the token itself as dots.")

# %% [markdown]
# **What to notice.** Most tokens cost nothing: once a sentence has begun, its shape decides the rest. The uncertainty
# sits at a few places: which document this is, whom it is about, which of the possible sentences comes next. These are
# the choices of the grammar, and the model has found them. The sum of the dots is nearly what the world itself needs.
# **A language model's loss is not an error to be driven to zero: most of it is what there is to choose.** That is also
# why greedy writing is strange: it answers every open question in the same way.

# %% [markdown]
# ## Quality against diversity
#
# Now let it write: 64 texts for each setting, from nothing but the token that begins a text. *Quality* is the world's
# own measure: the share of a text that the grammar could have written (`gold_quality`). *Diversity* is the share of a
# text's runs of four words that none of the other 63 texts has.
#
# **Guess first.** Many guides say "temperature 0.7, top-p 0.9". Will our model write better texts at 0.5 than at 1.0?
# Will it be as varied as the world?


# %%
def four_grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(words, words[1:], words[2:], words[3:], strict=False))


def own_share(texts: list[str]) -> list[float]:
    """For each text the share of its runs of four words that no other text has."""
    found = [four_grams(text) for text in texts]
    counts = Counter(gram for grams in found for gram in grams)
    return [sum(counts[gram] == 1 for gram in grams) / max(1, len(grams)) for grams in found]


def mean_with_interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval, 1.96 standard errors."""
    x = torch.tensor(values)
    return x.mean().item(), 1.96 * x.std().item() / len(values) ** 0.5


# %%
ways = {f"temperature {t}": Sampling(temperature=t) for t in (0.5, 0.8, 1.0, 1.25, 1.6)}
ways |= {f"top-p {p}": Sampling(top_p=p) for p in (0.5, 0.9)}
ways["1.6, top-p 0.8"] = Sampling(temperature=1.6, top_p=0.8)
n = lab.profile.pick(smoke=8, laptop=64)
limit = lab.profile.pick(smoke=30, laptop=64)  # tokens
ways = dict(list(ways.items())[:: lab.profile.pick(smoke=3, laptop=1)])


# %%
def whole_sentences(text: str, whole: bool) -> str:
    """A text that was cut off loses the sentence, or the line, that it was in."""
    ends = [len(text)] if whole else [0, *(m.end() for m in re.finditer(r'[.!?]"?(?=\s|$)|\n', text))]
    return text[: ends[-1]]


def measured(texts: list[str]) -> tuple[tuple[float, float], tuple[float, float]]:
    return mean_with_interval([world.gold_quality(t) for t in texts]), mean_with_interval(own_share(texts))


# %% tags=["varies"]
results, samples = {}, {}
for name, way in ways.items():
    written = generate(base.model, [[BOS]] * n, limit, way, torch.Generator().manual_seed(0), stop=[BOS])
    texts = [tokenizer.decode(row) for row in written.rows]
    samples[name] = [whole_sentences(text, why == "stop") for text, why in zip(texts, written.ended, strict=True)]
    results[name] = measured(samples[name])
true = [(tokenizer.decode(tokenizer.encode(d.text)[:limit]), d.text) for d in documents(n, seed=70)]
results["the world itself"] = measured([whole_sentences(text, text == full) for text, full in true])
print(f"{'':<20}{'quality':>16}{'diversity':>18}")
for name, ((quality, q), (diversity, d)) in results.items():
    print(f"{name:<20}{quality:>10.2f} ± {q:.2f}{diversity:>12.2f} ± {d:.2f}")

# %% tags=["varies"]
rows = {
    name: {
        kind: (v, v - half, min(1.0, v + half)) for kind, (v, half) in zip(("quality", "diversity"), row, strict=True)
    }
    for name, row in results.items()
}
interval_chart(rows, "Quality and diversity of the texts by way of drawing, with 95 % intervals.", x_range=None)

# %% tags=["varies"]
for name in [*list(ways)[:1], *list(ways)[-2:]]:
    print(f"--- {name}")
    for text in samples[name][:2]:
        print(text[:240], "\n")

# %% [markdown]
# **What to notice.** Follow the temperatures downward. Cold: nearly faultless, and again and again the same few texts.
# Hot: quality falls, slowly at first, then in a rush, for one wrong token makes a prefix that the model has never seen,
# and the next token is worse. Diversity does not grow any more by then: past the world's own there is only nonsense to
# add. Top-p cuts the tail and leaves the rest alone, where a low temperature also makes the likely likelier; taken too
# small (0.5) it makes texts as uniform as cold does, or more. The last setting shows why the two are used together:
# hot, but without the tail.
#
# And see where *temperature 1* stands: close to the world itself, for this model is close to the world (its loss is
# near the floor). The better a model, the less there is to repair by cutting. The advice "0.7 and 0.9" tells something
# about the models and texts that it came from: on the web no floor is known, and a model's tail holds much more that is
# wrong.

# %% [markdown]
# ## The KV cache
#
# Writing token by token, the model reads the whole text again for each new token, though of the old tokens nothing has
# changed: causal attention never let them look ahead. What the new token needs of the old ones are their keys and
# values. So keep those of every layer (the *KV cache*), and pass only the new token through the model. You write the
# place where it happens.

# %%
# EXERCISE lablib.pretraining.fused_decoder:attend_cached

# %% [markdown]
# Is it the same model? Write with your function inside, and compare with the whole text read at once.

# %%
prompts = [[BOS, *tokenizer.encode(text)] for text in ("How to", "Dear", "Once there was a")]
written = generate(base.model, prompts, 24, attend=attend_cached)
for prompt, row, log_probs in zip(prompts, written.rows, written.log_probs, strict=True):
    with torch.no_grad():
        at_once = base.model(torch.tensor([prompt + row])).log_softmax(-1)[0, len(prompt) - 1 : -1]
    same = at_once.argmax(-1).tolist() == row
    largest = (at_once.amax(-1) - log_probs[: len(row)]).abs().max().item()
    print(f"same tokens: {same}, log-probabilities within 1e-4: {largest < 1e-4}   {tokenizer.decode(row)[:46]!r}")

# %% [markdown]
# What does it gain? One more token behind a text of S tokens, with and without:

# %% tags=["varies"]
lengths = lab.profile.pick(smoke=[32, 128], laptop=[32, 64, 128, 256, 512, 1024])
text = torch.randint(sizes.V, (1, max(lengths) + 1), generator=torch.Generator().manual_seed(0))
seconds: dict[str, list[float]] = {"without": [], "with a cache": []}
for S in lengths:
    with torch.no_grad():
        decoder = FusedDecoder(base.model, 1, S + 1, attend_cached)
        decoder.read(text[:, :S])

        def one_more(decoder=decoder, S=S):
            decoder.cache.length = S  # as if it had not been read yet
            decoder.read(text[:, S : S + 1])

        seconds["with a cache"].append(median_seconds(one_more, 7))
        seconds["without"].append(median_seconds(lambda S=S: base.model(text[:, : S + 1], last_only=True), 3))

# %% tags=["varies"]
fig, ax = figure(width=7.0, height=3.4)
for number, (name, values) in enumerate(seconds.items()):
    ax.plot(lengths, [1e3 * s for s in values], "o-", color=COLOURS[number], label=name)
ax.set(xlabel="tokens before the new one", ylabel="ms for one token", xscale="log", yscale="log")
ax.set_xticks(lengths, [str(S) for S in lengths])
ax.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
ax.minorticks_off()
ax.legend(frameon=False)
Picture(
    fig,
    "Milliseconds for one more token against the length of the text, with and without a KV cache, on logarithmic axes.",
)

# %% tags=["varies"]
for S, slow, quick in zip(lengths, *seconds.values(), strict=True):
    print(
        f"{S:>6} tokens: {1e3 * slow:>7.2f} ms without, {1e3 * quick:>6.2f} ms with a cache: {slow / quick:.0f} times"
    )

# %% [markdown]
# **What to notice.** Without a cache a token costs in proportion to the text before it (and a whole text its square);
# with one, nearly nothing more: one position passes through the matrices, and only the attention itself grows. (Beyond
# the trained context of this model the times are right, while the text would be nonsense.) Reading a prompt is quick
# per token, since all its tokens go through the matrices together; writing is slow, since each waits for the one
# before. It is one reason why APIs charge more for what they write than for what they read.
#
# The price is memory: 2 · L · kv_heads · K numbers a token, keys and values of every layer.

# %%
S, c = 256, base.model.config
formula = 2 * c.L * c.kv * c.K * S * 4  # bytes of float32
print(f"our model, {S} tokens: {formula:,} bytes by the formula, {base.model.new_cache(1, S).nbytes:,} in the cache,")
print(f"{peak_bytes(lambda: base.model.new_cache(1, S)):,} by the allocator ({S} of them say which token is real)\n")
print(f"{'bf16, one text of 4,096 tokens':<34}{'KB a token':>12}{'GB':>8}{'share of the weights':>22}")
rows = {"GPT-3 175B": (96, 96, 128, 175e9), "Llama 2 7B": (32, 32, 128, 6.74e9), "Llama 3 8B": (32, 8, 128, 8.03e9)}
for name, (L, kv_heads, K, parameters) in rows.items():
    token = 2 * L * kv_heads * K * 2
    print(f"{name:<34}{token / 2**10:>12,.0f}{4096 * token / 1e9:>8.2f}{4096 * token / (2 * parameters):>22.1%}")

# %% [markdown]
# **What to notice.** One long text costs Llama 2 7B two gigabytes, and thirty of them nearly five times what the
# weights do: a server's limit is its cache. Eight heads of keys and values instead of 32 (*grouped-query attention*:
# Ainslie et al. 2023; lab 04) make it a fourth. (Shapes: Brown et al. 2020, table 2.1; Touvron et al. 2023, *Llama 2*;
# Grattafiori et al. 2024, table 3. GPT-3's own context was 2,048.)

# %% [markdown]
# ### Questions to think about
#
# <details><summary>Temperature 0.5 and then top-p 0.9, or top-p 0.9 and then temperature 0.5: is it the same?</summary>
#
# No. The nucleus is cut from the distribution that it is given. After sharpening fewer tokens hold 90 %, so the usual
# order, temperature first, cuts more here; with a temperature above 1 it cuts less. Top-k does not care: the order of
# the tokens is the same at every temperature.
#
# </details>
#
# <details><summary>Why does a sampler return −∞ for what is cut, and not the probability 0?</summary>
#
# So that functions can follow one another: all take logits and give logits, and one softmax at the end makes a
# distribution that sums to 1. Cutting probabilities leaves a sum below 1, and whoever forgets to divide by it draws
# from something that is none.
#
# </details>
#
# <details><summary>RLHF will need the log-probability of each token that was written. Which one: the model's, or that of the distribution it was drawn from?</summary>
#
# Both questions are sensible, and they have different answers unless the temperature is 1 and nothing is cut. The
# policy that is trained is the *model*; so `generate` returns `log_probs` under the model and, apart from it,
# `drawn_log_probs`. To mix them up is one of the quiet errors in reinforcement learning. That is why rollouts are
# usually drawn at temperature 1, with nothing cut.
#
# </details>
#
# <details><summary>What becomes of the cache when a text ends and another begins?</summary>
#
# It is forgotten, unless the new text begins in the same way: keys and values depend on what came *before*, so two
# texts that share a beginning (a system prompt) share that part of their cache. Servers make use of it.
#
# </details>

# %% [markdown]
# ## What would a larger one bring? A law, and a budget
#
# Before anyone spends months of hardware on one run, they make many small ones and draw a line through them. What makes
# that possible is the most useful regularity of this field: the loss falls with the number of parameters N and of
# tokens D like
#
# $$L(N, D) = E + \frac{A}{N^\alpha} + \frac{B}{D^\beta}$$
#
# (Hoffmann et al. 2022, equation 2). A/N^α is what is lacking because the model is small, B/D^β because it has read
# little, and E is what stays when both are endless: the entropy of the text itself. On web text nobody knows E; it is
# whatever a fit says. **In the valley we know it**: it is the floor. So here, for once, a scaling law can be marked.
#
# The runs: six sizes from 0.15 to 3.4 million parameters, each trained on 0.4, 1.2 and 4 million tokens with
# three seeds, made once by the command that the file names. Every run has a schedule of its own length. (The loss
# halfway through a longer run is no substitute: the learning rate is still high there. Hoffmann et al. 2022, §2, see in
# that one reason why Kaplan et al. 2020 came to other conclusions.)

# %%
from lablib.pretraining import experiments, planner, published
from lablib.pretraining.scaling import BESIROGLU, HOFFMANN, points
from lablib.pretraining.scaling_intervals import Fit, bootstrap
from lablib.show.scaling_view import frontier_chart, memory_bars, scaling_chart
from lablib.show.texts import Card, Gallery

experiment = json.loads(data_path("experiments/scaling.json").read_text(encoding="utf-8"))
trained = [run for run in experiment["runs"] if run["loss"] is not None]
seen = points(trained)  # N: parameters without embedding and head; D: tokens; loss and floor: nats per token
truth = float(seen.floor.mean())
print(f"{len(trained)} of {len(experiment['runs'])} runs; made with: {experiment['command']}")
print(f"on {experiment['hardware']}; the floor: {truth:.3f} nats per token")

# %%
lengths = sorted(set(seen.D))
print("nats per token above the floor, mean over seeds (largest less smallest)\n")
print(f"{'parameters':>12}{'in layers':>12}" + "".join(f"{D / 1e6:>11.1f}M tokens" for D in lengths))
for size in sorted(set(seen.N)):
    parameters = next(run["parameters"] for run in trained if run["matrices"] == size)
    above = [(seen.loss - seen.floor)[(size == seen.N) & (seen.D == D)] for D in lengths]
    columns = "".join(f"{gaps.mean():>10.3f} ({np.ptp(gaps):.3f})" for gaps in above)
    print(f"{parameters:>12,}{size:>12,.0f}{columns}")

# %% [markdown]
# **What to notice.** Both count, and they count together: the more tokens, the more a larger model is worth. From the
# smallest to the largest the distance shrinks to a little more than half on 0.4 million tokens, and to a seventh on 4
# million. Seeds hardly matter: a few hundredths of a nat. And even the best run is as far above the floor as the floor
# is above nothing.
#
# **Guess before you go on.** A curve with E in it levels off. From runs that are still this far above the floor, will
# the fit find it? With every seed different, how sure will it be? And what if all runs had read the same number of
# tokens?

# %% [markdown]
# ### The fit
#
# Least squares would let the largest losses decide. Hoffmann et al. compare *logarithms*, so that 1 % off counts alike
# everywhere, by the *Huber loss*: it grows with the square of a small difference and only in proportion to a large one,
# so that one odd run does not bend the curve.
#
# How sure is it? Draw the seeds anew (each run around the mean of its setting, as far off as runs with different seeds
# are), fit again, a hundred times, and see where the middle 90 % of the answers lie: a *bootstrap*. A second one draws
# whole settings, as if other sizes and lengths had been chosen.

# %% tags=["varies"]
again = lab.profile.pick(smoke=4, laptop=120)


def fitted(runs: list[dict], resample: str, tokens: bool = True, size: str = "matrices") -> Fit:
    """The law of some runs with its doubt; without its term for tokens where that is False."""
    of, dice = points(runs, size), np.random.default_rng(0)
    return bootstrap(of.N, of.loss, of.D if tokens else None, resample=resample, generator=dice, replicas=again)


by_seeds, by_settings = (fitted(trained, resample) for resample in ("seeds", "settings"))
print(f"{'':<8}{'fit':>10}{'other seeds':>24}{'other settings':>24}")
for name in ("E", "A", "alpha", "B", "beta"):
    spans = ["{:>12.3g} to {:>8.3g}".format(*made.interval(name)) for made in (by_seeds, by_settings)]
    print(f"{name:<8}{getattr(by_seeds.law, name):>10.3g}{spans[0]:>24}{spans[1]:>24}")
for doubt in by_settings.doubts():
    print("doubt:", doubt)

# %%
at = np.geomspace(seen.N.min() / 1.5, seen.N.max() * 4, 60)
laws, dots = {}, {}
for D in lengths:
    curves = np.array([law.loss(at, D) for law in by_settings.replicas]) - truth
    name = f"{D / 1e6:.1f}M tokens"
    laws[name] = (by_settings.law.loss(at, D) - truth, *np.quantile(curves, (0.05, 0.95), axis=0))
    dots[name] = [(n, loss - floor) for n, d, loss, floor in zip(*seen, strict=True) if d == D]
axes_names = {"x": "parameters without embedding and head", "y": "nats per token above the floor"}
alt = "Loss above the floor by size, for three lengths of training, with the fitted law."
scaling_chart(at, laws, dots, alt, **axes_names)

# %% [markdown]
# **What to notice.** The curves have the right order and the right trend. Now look at the middle one: its squares begin
# above it and end below. In this law size and tokens do not know of each other, so the three curves are one curve (but
# for the logarithm), moved up. The points are not: on little text all sizes are nearly alike, and with more the large
# ones pull away. The form is a little wrong for runs as short as these. The bands do not say so: they are narrow where
# points hold the curve, and open where none do.

# %% [markdown]
# ### The mark: E against the truth
#
# Now the question that only a world with a known truth can answer. The rows are fits to the same runs: with the term
# for tokens or without, with one or the other way to count parameters, with one or the other bootstrap.

# %% tags=["varies"]
variants = {
    "N and D, other seeds": by_seeds,
    "N and D, other settings": by_settings,
    "N counts the embedding, too": fitted(trained, "settings", size="parameters"),
}
for D in lengths:
    same = [run for run in trained if run["tokens"] == D]
    variants[f"N alone, all {D / 1e6:.1f}M tokens"] = fitted(same, "settings", tokens=False)
found = {name: {"E": (made.law.E, *made.interval("E"))} for name, made in variants.items()}
for name, row in found.items():
    value, low, high = row["E"]
    print(f"{name:<30}E = {value:.3f}, 90 % {low:.3f} to {high:.3f}   holds the truth: {low <= truth <= high}")

# %%
widened = {n: {"E": (v, min(v, low), max(v, high))} for n, row in found.items() for v, low, high in [row["E"]]}
alt = "Fitted E with intervals, and the true floor."
interval_chart(widened, alt, x="E (nats per token)", x_range=None, levels={"the floor": truth})

# %% [markdown]
# **What to notice.** The fit says 0.18 and the truth is 0.29: wrong by more than a third, and *below* the floor, where
# no model can be. The interval from other seeds is sure of it, and wrong: these runs, made again, would mislead in the
# same way. The one from other settings holds the truth, and nearly everything else down to 0: it says honestly that
# these runs cannot tell where the curve levels off. And a law of N alone is sure once more, on 4 million tokens: its E
# is far too *high*, for what so few tokens cannot teach is counted as entropy. A narrow interval tells what was varied,
# not what is true. Whoever fits a law to the web has no dashed line to see it by.

# %% [markdown]
# ### Predict, then look
#
# A law is worth what it says about runs that it has not seen. Three tests: the largest size, left out of the fit; the
# course's `base`; and a run of a few steps, far shorter than any in the record, which you make now.

# %% tags=["varies"]
largest = seen.N.max()
blind = fitted([run for run in trained if run["matrices"] < largest], "settings")
for D in lengths:
    guess, low, high = blind.predict(largest, D)
    real = seen.loss[(largest == seen.N) & (seen.D == D)]
    words = ", ".join(f"{loss:.3f}" for loss in real)
    print(f"{D / 1e6:>4.1f}M tokens: predicted {guess:.3f} ({low:.3f} to {high:.3f}), measured {words}")

# %% tags=["varies"]
first = min(trained, key=lambda run: (run["matrices"], run["tokens"]))  # the smallest model, on fewer tokens than ever
few = lab.profile.pick(smoke=2, laptop=24)
short = replace(Recipe.from_dict(first["recipe"]), steps=few, seed=7, dtype=quicker)
judged = experiments.judged_on(lab.profile.pick(smoke=10, laptop=200))
brief = experiments.Run("live", 7, DecoderConfig(**first["model"]), short, tuple(first["with"]))
live = experiments.perform(brief, [train_shard], judged)
print(f"{live['tokens']:,} tokens in {live['seconds']:.0f} s: loss {live['loss']:.3f}, floor {live['floor']:.3f}")


# %% tags=["varies"]
def in_layers(of: nn.Module) -> int:
    """Parameters of the matrices in the layers: neither embedding nor head nor norms."""
    return sum(w.numel() for name, w in of.named_parameters() if name.startswith("layers.") and w.dim() > 1)


unseen = {
    "base": (in_layers(base.model), base.record["tokens"], base.record["loss"], base.record["floor"]),
    "a few steps": (first["matrices"], live["tokens"], live["loss"], live["floor"]),
}
for name, (n, d, loss, below) in unseen.items():
    guess, low, high = by_settings.predict(n, d)
    words = f"predicted {guess:>6.3f} ({low:.3f} to {high:.3f}), measured {loss:.3f}, floor {below:.3f}"
    print(f"{name:<12}{n:>10,} parameters{d:>12,} tokens   {words}")

# %% tags=["varies"]
alt = "The same chart, with the base model and the run of a few steps as stars."
stars = {name: (n, loss - below) for name, (n, d, loss, below) in unseen.items()}
scaling_chart(at, laws, dots, alt, **axes_names, marked=stars)

# %% [markdown]
# **What to notice.** Left out of the fit, the largest size does better than predicted on few tokens and worse on many,
# twice outside the interval. For `base` the law says a loss below the floor; what was measured lies inside an interval
# fifty times as wide as what was left to win. And for a few steps it promises nearly twice what a uniform guess
# costs (ln V = 8.3). Among its runs a law is a good summary, a little beyond them a guess with a wide interval, and far
# outside nonsense. So those who use one spread their runs as widely as they can pay for, and look hardest at the
# largest.

# %% [markdown]
# ### Ten times the tokens, or ten times the parameters?
#
# The law splits what is lacking in two. Whatever is larger is what to buy next.

# %%
law = by_settings.law
print(f"{'':<38}{'for size':>10}{'for tokens':>12}{'above E':>10}")
for name, n, d in (
    ("the largest run here", largest, lengths[-1]),
    ("ten times the tokens", largest, 10 * lengths[-1]),
    ("ten times the parameters", 10 * largest, lengths[-1]),
    ("ten times of both", 10 * largest, 10 * lengths[-1]),
):
    lacking = law.A * n**-law.alpha, law.B * d**-law.beta
    print(f"{name:<38}{lacking[0]:>10.3f}{lacking[1]:>12.3f}{sum(lacking):>10.3f}")

# %% [markdown]
# **What to notice.** The largest run lacks five times as much for its tokens as for its size, so text is what to buy.
# That much stands whatever E is: `base`, hardly larger and with twelve times the tokens, ends less than a hundredth of
# a nat above the floor.
#
# ### The best use of a budget
#
# Both cost the same thing, arithmetic: about 6 FLOPs for each parameter and token (2 forwards, 4 backwards). So with C
# FLOPs to spend, 6·N·D = C, and the question is where on that line the loss is lowest.

# %%
# EXERCISE lablib.pretraining.scaling:compute_optimal

# %%
constants = {"Hoffmann et al. 2022": HOFFMANN, "Besiroglu et al. 2024": BESIROGLU}
constants["Hoffmann, not rounded"] = replace(HOFFMANN, alpha=0.3392, beta=0.2849)
compute = np.geomspace(1e20, 1e27, 40)
frontiers = {}
for name, given in constants.items():
    best = [compute_optimal(C, given.A, given.B, given.alpha, given.beta) for C in compute]
    frontiers[name] = tuple(np.array(best).T)
    n, d = compute_optimal(5.76e23, given.A, given.B, given.alpha, given.beta)
    each = f"{n / 1e9:.0f} billion parameters, {d / 1e12:.1f} trillion tokens, {d / n:.0f} for each"
    print(f"{name:<24}Gopher's compute: {each}")
frontiers["20 tokens for each"] = (np.sqrt(compute / 120), 20 * np.sqrt(compute / 120))

# %%
famous = ("GPT-3 175B", "Gopher 280B", "Chinchilla 70B", "Llama 65B", "Llama 3.1 405B")
marks = {run.name: (run.parameters, run.tokens) for run in published.runs() if run.name in famous}
alt = "Best parameters, and tokens for each parameter, by compute, with five published models."
frontier_chart(compute, frontiers, marks, alt)

# %% [markdown]
# **What to notice.** The two sets of constants describe *the same experiments* (the second fit has the 240 points, of
# more than 400, that could be read off the paper's figure), and as printed they disagree by a factor of five in how
# many tokens a parameter should get. A part of that is rounding for print: with α and β as they stand in the paper's
# source file, the same law says 59 instead of 93. The rest is an optimiser that had stopped too early: what it was given, a *mean* of tiny
# Huber losses, was so near to 0 that it took itself for done (Hoffmann's authors confirmed it). The new constants agree
# with the paper's two other methods, with the rule of about 20 tokens for each parameter that its table 3 implies, and
# with the model that was made by it. (In our fit the loss is divided by δ² for the same reason.)
#
# Left panel: GPT-3 and Gopher lie above the lines (too large for their compute, in this sense). Right panel: Llama 65B
# lies near the rule of 20. Llama 3.1 405B has 39, by its makers' own scaling law about the best for its compute; its
# small siblings leave any such rule on purpose, 8B with 1,875 tokens for each parameter. Training is paid once, and use
# for ever: a smaller model that has read more is cheaper to serve (Touvron et al. 2023, §1). "Compute-optimal" means
# the cheapest *training* for a loss, no more.
#
# (Parameters: Kaplan et al. 2020 counted without the embeddings, Hoffmann et al. 2022 with them. In small models the
# table is most of the model, so the same runs give another exponent: Pearce and Song 2024 trace most of the quarrel
# between the two papers to that. The E of our own fit hardly minds, as you saw.)

# %% [markdown]
# ### The planner
#
# From here on it is arithmetic, and it can be checked against what was published. First the memory. A parameter costs
# more than its two bytes:

# %%
# EXERCISE lablib.pretraining.planner:state_bytes

# %%
seven = next(run for run in published.runs() if run.name == "Llama 2 7B")
STATE = ("weights", "gradients", "optimiser")
kept = planner.activation_bytes(seven.config, B=1, T=4096, recompute="attention")
bars = {}
for stage in range(4):
    amounts = state_bytes(published.parameters_of(seven), stage, 8)
    bars[f"ZeRO stage {stage}"] = {name: x / 1e9 for name, x in zip(STATE, amounts, strict=True)}
    bars[f"ZeRO stage {stage}"]["activations, one text of 4,096"] = kept / 1e9
memory_bars(bars, 80, "Memory of one of eight devices for Llama 2 7B, by stage of ZeRO, against 80 gigabytes.")

# %% [markdown]
# **What to notice.** Seven billion parameters are 13.5 GB to download and 108 GB to train: on one device of 80 GB it
# does not begin. Spread over eight it does, and stage 1 alone, the optimiser's state, does it.
#
# Now everything together. Move the sliders: the model, the text, the devices, and the share of their peak that you
# think you will reach.


# %%
def budget(billions: int, tokens_per_parameter: int, devices: int, percent_of_peak: int) -> Picture:
    """The planner's answer as a picture: what one A100 has to hold, by stage; the title is what the run takes."""
    N, device = billions * 10**9, published.devices()["A100"]
    plan = planner.Budget(N, N * tokens_per_parameter, device, devices, percent_of_peak / 100)
    held = {f"ZeRO stage {stage}": state_bytes(N, stage, devices) for stage in range(4)}
    drawn = {row: {name: x / 1e9 for name, x in zip(STATE, of, strict=True)} for row, of in held.items()}
    title = f"{plan.flops:.1e} FLOPs, {plan.hours:,.0f} device hours: {plan.days:,.1f} days, "
    title += f"{plan.kilowatt_hours / 1000:,.0f} MWh"
    alt = "A training budget: memory of one device by stage, and in the title the run."
    return memory_bars(drawn, 80, alt, title=title)


# %% tags=["varies"]
Sliders(
    budget,
    billions=(7, 1, 500),
    tokens_per_parameter=(286, 1, 2000),
    devices=(512, 1, 32_768),
    percent_of_peak=(40, 5, 70),
)

# %% [markdown]
# **What to notice.** The sliders begin at Llama 2 7B: 2 trillion tokens on 7 billion parameters. Its paper says 184,320
# hours. Then try Llama 3.1 405B: 405 billion, 39 tokens for each parameter, 16,384 devices (an H100 has about three
# times the peak of the A100 that is drawn here).

# %% [markdown]
# ### Is the planner right?
#
# Twenty-one published runs. *Parameters* follow from the shape, by the configs of this course; *FLOPs* are 6·N·D with
# the source's own figures; *used* is the share of the devices' peak that the published hours mean; energy is hours ·
# watts · 1.1.

# %%
print(f"{'':<16}{'parameters, billions':>24}{'FLOPs':>22}{'hours':>14}{'used':>7}{'MWh':>16}")
print(f"{'':<16}{'ours':>12}{'theirs':>12}{'ours':>11}{'theirs':>11}{'theirs':>14}{'':>7}{'ours':>8}{'theirs':>8}")
for run in published.runs():
    ours, work = published.parameters_of(run), flops.whole_run(int(run.parameters), int(run.tokens))
    line = f"{run.name:<16}{ours / 1e9:>12.3f}{run.parameters / 1e9:>12.3f}{work:>11.2e}{run.flops or math.nan:>11.2e}"
    if run.hours:
        used = planner.utilisation(work, published.devices()[run.device].flops, run.hours)
        energy = planner.energy(run.hours, run.watts) / 1000
        line += f"{run.hours:>14,.0f}{used:>7.0%}{energy:>8,.0f}" + (f"{run.energy:>8,.0f}" if run.energy else "")
    print(line.replace("nan", "   "))

# %% [markdown]
# **What to notice.** The parameters agree to half a per cent, or to the rounding of a name (Llama 2's "7B" is 6.7, its
# "70B" is 69.0). They even find a misprint: GPT-3's table 2.1 gives the 13B model a width of 5,140; only 5,120 makes
# the 12.85 billion of its table D.1. The FLOPs agree to the printed three digits wherever a run has a figure of its own
# (Gopher and Chinchilla share one).
#
# The *hours* are what no formula knows. Llama 1 and 2 used 35 to 51 % of the peak. The hours on Llama 3's cards mean 16
# to 35 %, although its paper measured 38 to 43 % for the largest while it ran (table 4). A card gives hours, and does
# not say what went into them beside one pass over the tokens. A plan with 41 % would have been a sixth short for 405B,
# nearly two fifths for 70B and two thirds for 8B.

# %% [markdown]
# ### What is often said about these models
#
# GPT-3 and Llama are the usual examples of pre-training, and the usual account of them is nearly right. Here it is,
# line by line, beside what the sources say.

# %%
Gallery(
    [
        Card(c.topic, f"Often said: {c.account}.\nThe source: {c.says}", c.source, c.verdict, c.verdict == "right")
        for c in published.case_study()
    ],
    letters=600,
)

# %% [markdown]
# ### Questions
#
# <details><summary>1. A fit says E = 1.69 nats per token for web text. May one say: "the entropy of web text is 1.69"?</summary>
#
# It is where *this form of curve*, fitted to runs far above it, levels off. The second fit to the same runs says 1.82.
# The rows above show, with a truth beside them, how far from it such a number can be.
#
# </details>
#
# <details><summary>2. Why is it not enough to train six sizes on the same text?</summary>
#
# Then B/D^β is the same number in every run, and nothing tells it from E: the fitted "E" is the floor *plus* what that
# many tokens cannot teach. You saw it in the last row of "N alone": sure of itself, and far too high. (In the two rows
# above it the curve has not begun to level off, and E may be almost anything.)
#
# </details>
#
# <details><summary>3. Both intervals are of 90 %. Which one do you believe?</summary>
#
# Each answers a question of its own: "other seeds" what would differ if the same runs were made again, "other settings"
# what would differ if other sizes had been chosen. Neither asks whether the *form* is right. If the true curve bends
# differently from a sum of two powers, both can be narrow and wrong; only a prediction that is checked afterwards
# tells.
#
# </details>
#
# <details><summary>4. A card says 30.84 million hours of an H100 for Llama 3.1 405B. What would 50 % of the peak have taken?</summary>
#
# `planner.gpu_hours(3.8e25, 989.5e12, 0.5)`: 21.3 million. At two units of money an hour the difference is 19 million:
# why people work for years on a few per cent of utilisation.
#
# </details>
#
# <details><summary>5. Stage 3 of ZeRO makes the state per device as small as one likes. Why not train 405 billion parameters on cheap cards with 16 GB?</summary>
#
# By the state alone 406 of them would hold it. But each layer's weights must come over the wire twice a step, from
# cards with little bandwidth, and activations come on top. Memory is a condition, not a plan.
#
# </details>

# %% [markdown]
# ## Learning without training: what the model picks up while it reads
#
# In 2020 the makers of GPT-3 put a guess to the test, and it held: some examples of a task, written before the
# question, made its answers better, though not a weight moved (Brown et al. 2020, figure 1.2: the accuracy of 175 billion parameters climbs with the
# number of examples, that of 1.3 billion hardly does). It had only ever been trained to predict the next token. They
# called it *in-context learning*. What of it does our small model do? The name covers different things, so we take them
# one by one, each with a control: **copying**, **tasks** shown by examples, and **facts** that the text states against
# what the weights know. **Guess first** which of the three it can do.

# %%
from lablib.pretraining import in_context as ic
from lablib.pretraining import in_context_prompts as prompts
from lablib.pretraining.in_context import Model, surprise

# %% [markdown]
# ### Copying
#
# Take words at random, a string that makes no sense, and let the model read it twice. No knowledge of any language
# tells what comes next; only memory does: it stood there before. Olsson et al. (2022) find *induction heads* with such
# strings: heads of attention that look for what followed the last time. (Lab 17 looks for them inside a model; here we
# measure what it does.) But a second reading also comes *later*, and later places may be easier for other reasons. The
# control: the same string at the same place, behind another one.

# %%
# EXERCISE lablib.pretraining.in_context:copying_gain

# %%
chance = torch.Generator().manual_seed(90)
words = [i for i, spelled in enumerate(tokenizer.tokens) if spelled and spelled[:1] == b" " and len(spelled) > 3]
drawn = torch.randint(len(words), (lab.profile.pick(smoke=8, laptop=64), 24), generator=chance)
rows, others = torch.tensor(words)[drawn].chunk(2)
blank = Decoder(base.model.config, generator=torch.Generator().manual_seed(0)).eval()
readers = {"before training": blank, "the live run's": copy.deepcopy(model).cpu().eval(), "base": base.model}

# %% tags=["varies"]
for name, reader in readers.items():
    gain, low, high = ic.mean_interval(copying_gain(reader, rows, others))
    fresh = ic.surprise(reader, torch.cat((others, rows), 1))[:, rows.shape[1] :].mean()
    print(f"{name:<16}{fresh:6.2f} nats a token, {gain:5.2f} less when it stood there before [{low:.2f}, {high:.2f}]")

# %% [markdown]
# **What to notice.** A model that copies would need almost nothing for the second reading. Base saves a fraction of a
# nat of more than twenty, if anything: **it does not copy.** (Twenty is far more than a uniform guess costs, ln V = 8.3:
# it is sure that words do not follow each other so, and in its world they do not.) Is that because such strings are nothing
# like its world? So try something that real texts are full of.
#
# ### A name that nobody has heard
#
# We take documents about a person and give them a name that does not exist, of random syllables. The first mention must
# be a shock. The second? Beside it the real names, and as a control real names whose first mention was another one.

# %% tags=["varies"]
chance = Random(91)
about = {person.name: person for person in world.people}
drawn = documents(lab.profile.pick(smoke=60, laptop=360), 90)
told = [(d.text, d.subject) for d in drawn if d.subject in about and d.text.count(d.subject) >= 4]
names = prompts.invented_names(chance, max(16, len(told)), world)
invented = [(prompts.renamed(text, old, [new]), new) for (text, old), new in zip(told, names, strict=False)]
swapped = []
for text, old in told:
    others_named = [p.name for p in world.people if p["he"] == about[old]["he"] and p.name not in text]
    swapped.append((prompts.renamed(text, old, [others_named[int(chance.random() * len(others_named))], old]), old))
print(f"{len(told)} documents, such as: {invented[0][0][:180]} …")

# %% tags=["varies"]
read = {"a name of the world": told, "the same, behind another name": swapped, "an invented name": invented}
costs = {kind: ic.mention_nats(base.model, tokenizer, texts, BOS) for kind, texts in read.items()}
lines: dict[str, dict[str, tuple]] = {f"mention {i}": {} for i in (1, 2, 3, 4)}
for kind, found in costs.items():
    behind = int("behind" in kind)  # there the document's second mention is the name's first
    for mention in (2,) if behind else (1, 2, 3, 4):
        some = [cost[mention - 1 - behind] for cost in found]
        lines[f"mention {mention}"][kind] = ic.mean_interval(some)
unit = "surprise at the whole name (nats)"
interval_chart(lines, "What each mention of a name costs, by kind of name.", x=unit, x_range=None)

# %% [markdown]
# **What to notice.** A real name costs some nats at its first mention (ln 48 = 3.9, for 48 people) and next to nothing
# afterwards. That *is* reading: with another name before, the second mention costs more than ten times as much. But an
# invented name is as much of a shock the fourth time as the first. The model has learned to *choose among names that it
# knows* by what the text has said, not to *spell what stands there*. In its world that is enough: every name is one of
# 48, each met thousands of times.
#
# ### Examples of a task
#
# The world's lists hold tasks: an animal and its young, an animal and its legs, an object and its colour, or what it is
# for. Here the heading that says which list it is may be missing, so that only the examples can tell: `- owl: owlet` or
# `- owl: two`? Each series asks such questions behind 0 to 8 examples. In *shuffled* lists the values stand at the
# wrong things: whoever learns from the examples *how the task goes* must suffer (Min et al. 2022).

# %% tags=["varies"]
shots = lab.profile.pick(smoke=(0, 2), laptop=(0, 1, 2, 4, 8))  # k, how many examples
n = lab.profile.pick(smoke=2, laptop=10)  # questions of each task
facts = prompts.tasks(world)


def share_right(questions: Sequence[prompts.Question], which: str = "answer") -> ic.Interval:
    """The share of questions to which the model would write exactly this, with its 95 % interval."""
    ids = [[BOS, *tokenizer.encode(question.prompt)] for question in questions]
    wanted = [tokenizer.encode(getattr(question, which)) for question in questions]
    return ic.share_interval(ic.answered(base.model, ids, wanted).written)


print(prompts.few_shot_questions(facts["young"], 2, 1, Random(0))[0])

# %% tags=["varies"]
kinds = {"heading, true examples": ("right", True), "true examples": ("right", False), "shuffled": ("shuffled", False)}
curves = {}
for name, (kind, headed) in kinds.items():
    for k in shots:
        asked = []
        for task, pairs in facts.items():
            heading = prompts.HEADINGS[task] if headed else ""
            asked += prompts.few_shot_questions(pairs, k, n, Random(f"{task} {k}"), kind, heading)
        curves[name, k] = share_right(asked)

# %% [markdown]
# Two more, for which knowing the world does not help. A *rule turned round*: who has two legs is said to have four, and
# the reverse; does the next answer follow the new rule? And *looking up*: k invented names with a village each, and
# then one of these names again.

# %% tags=["varies"]
villages = [place.name for place in world.places if place["kind"] == "village"]
for k in shots[1:]:
    if k % 2 == 0:
        turned = prompts.turned_questions(facts["legs"], ("two", "four"), k, 2 * n, Random(k))
        curves["rule turned round", k] = share_right(turned)
    curves["looked up", k] = share_right(prompts.look_up_questions(names, villages, k, 2 * n, Random(k)))

# %% tags=["varies"]
fig, panels = figure(cols=2, width=9.5, height=3.4, sharey=True)
for number, name in enumerate(dict.fromkeys(name for name, _ in curves)):
    ks = [k for series, k in curves if series == name]
    value, low, high = (list(end) for end in zip(*(curves[name, k] for k in ks), strict=True))
    ax = panels[int(name not in kinds)]
    ax.plot(ks, value, "o-", color=COLOURS[number], label=name)
    ax.fill_between(ks, low, high, color=COLOURS[number], alpha=0.15, linewidth=0)
panels[1].plot(shots[1:], [1 / k for k in shots[1:]], ":", color=GREY, label="looked up by a guess among the k")
panels[0].set(ylabel="share of right answers", ylim=(-0.03, 1.03))
for ax in panels:
    ax.set(xlabel="examples before the question, k", xticks=shots)
    ax.legend(frameon=False, fontsize=9)
Picture(fig, "Share of right answers by number of examples. Left: known facts. Right: a new rule, and new facts.")

# %% [markdown]
# **What to notice.** Left: with the heading it knows the answer and needs no example. Without it, one example lifts it
# from no right answer to more than eight in ten: few-shot learning, by the usual measure. But **wrong examples help as
# much as right ones.** They tell it *which* task is meant, and the tasks it had learned before. This is *recognising* a
# task, not learning one (Pan et al. 2023 tell the two apart). More examples than one do not help, and eight harm even
# under a heading: the world's lists have three or four lines, and longer ones are new to it. Right: what
# cannot be recognised is not learned. It never follows the rule turned round, and it looks up next to nothing, not even
# the village of the only name in the list.
#
# ### What it knows against what it reads
#
# *Closed book*: a question about the world, with nothing to help. Then the text states the answer before it asks: the
# truth, or something else. Does the model believe the text or its weights? And what if the statement is about another
# person, or another thing?

# %% tags=["varies"]
n = lab.profile.pick(smoke=2, laptop=24)
series = {"closed book": "the truth", "true": "the truth", "false": "the truth"}
believed: dict[str, dict[str, tuple]] = {}
for relation in prompts.relations(world)[: lab.profile.pick(smoke=2, laptop=4)]:
    asked = {kind: prompts.fact_questions(relation, kind, n, Random(relation.name)) for kind in prompts.CONDITIONS}
    row = {f"{kind}: {what}": share_right(asked[kind]) for kind, what in series.items()}
    row["false: what it read"] = share_right(asked["false"], "other")
    row["about another: what it read"] = share_right(asked["about another"], "other")
    believed[relation.name] = row
    for kind in ("false", "about another"):
        print(f"{kind:<16}{asked[kind][0].prompt!r} …")

# %% tags=["varies"]
interval_chart(believed, "By relation: shares of answers that are true, and that say what was read.", width=9)

# %% [markdown]
# **What to notice.** Closed book it knows everything. Told something false about the very thing that it is asked for, it
# answers as if it had read nothing. Yet told about *another* person, animal or thing, it often goes on about that one,
# though the question names its own: a colour it takes over every time, a home more often than not, a food hardly ever.
# In this world a document has one subject, that of its first line. Neither reading nor knowing wins by rule, and no
# relation tells how the next will go. **What the model does with its context is what its training texts rewarded, and
# no more.**
#
# GPT-3's data rewarded more. Chan et al. (2022) trained transformers on data whose statistics they controlled:
# in-context learning came when things come in bursts and most of them are rare, so that remembering them does not pay
# and looking back does; with few, frequent things the weights learned them instead. Our world has 48 people. The web
# has millions of names, most of which stand in one text, several times.
#
# <details><summary>1. With five examples a model is right twice as often. Has it learned the task from them?</summary>
#
# Not shown. It may have recognised a task that it knew, or the form of the answer (a word, a number, no full stop).
# Shuffle the values: what then is left of the gain was not learned from them. And ask a task that cannot have been in
# its data, such as a rule turned round: large models do follow it, small ones hardly (Wei et al. 2023).
#
# </details>
#
# <details><summary>2. How would you change the world so that the same model learns to copy?</summary>
#
# Give every document names of its own. Then no name can be learned by heart, and the only way to a low loss at the
# second mention is to look at the first. (The floor rises: a new name is many bits.)
#
# </details>
#
# <details><summary>3. A system answers from documents (lab 11). What does the last figure warn of?</summary>
#
# Where the weights are sure, they may overrule the document, and a document about something else may be taken for an
# answer. Both must be measured, with statements that are false on purpose: on true ones the two sources agree, and
# nobody sees which of them spoke.
#
# </details>

# %% [markdown]
# ## The same loop on real text
#
# So far the loop has read about an invented valley. It does not care. Here it reads what people wrote: the language
# reference and the docstrings that every Python carries (lab 05), whole copies thrown away. Beside it, for a fair
# comparison, as many bytes of the valley.

# %%
from itertools import accumulate as running_sum

from lablib.corpus.crawl import crawl
from lablib.pretraining import generation, ngram
from lablib.pretraining.compressors import COMPRESSORS
from lablib.pretraining.compressors import bits_per_byte as compressed
from lablib.pretraining.sampling import Sampling

# %% tags=["varies"]
parts_of_it = lab.profile.pick(smoke=("language reference",), laptop=("language reference", "standard library"))
crawled = list(dict.fromkeys(document.text for document in crawl(parts_of_it)))
Random(0).shuffle(crawled)
real = crawled[: len(crawled) // lab.profile.pick(smoke=3, laptop=2, gpu=1)]
sizes = list(running_sum(len(document.text.encode()) for document in training))
valley = training[: int(np.searchsorted(sizes, sum(len(text.encode()) for text in real)))]
corpora = {"the valley": [document.text for document in valley], "real text": real}
for name, texts in corpora.items():
    print(f"{name:<12}{len(texts):>7,} documents{sum(len(text.encode()) for text in texts):>12,} bytes")

# %% [markdown]
# ### How large is a language?
#
# **Guess first**: of a million bytes of each, how many *different* words are there? And of the words of documents that
# were held out, how many stand nowhere in the rest?


# %%
def met(texts: Sequence[str]) -> list[int]:
    """After how many words was each different word met for the first time?"""
    places: dict[str, int] = {}
    for i, word in enumerate(re.findall(r"\w+", " ".join(texts).lower()), 1):
        places.setdefault(word, i)
    return list(places.values())


# %% tags=["varies"]
fig, ax = figure(width=6.4, height=3.4)
for (name, texts), colour in zip(corpora.items(), COLOURS, strict=False):
    places = met(texts)
    ax.plot(places, range(1, len(places) + 1), color=colour, label=name)
    known = set(re.findall(r"\w+", " ".join(texts[len(texts) // 10 :]).lower()))
    fresh = re.findall(r"\w+", " ".join(texts[: len(texts) // 10]).lower())
    new = sum(word not in known for word in fresh) / len(fresh)
    print(f"{name:<12}{len(places):>7,} different words; held out, {new:.2%} of the words stand nowhere else")
ax.set(xlabel="words read", ylabel="different words met", xscale="log", yscale="log")
ax.legend(loc="upper left")
Picture(fig, "Different words by words read, both axes logarithmic: the valley levels off, real text goes on climbing.")

# %% [markdown]
# **What to notice.** The valley runs out of words, and its curve goes flat. Real text goes on along a line that is
# nearly straight, a power law: *Heaps' law* (Heaps 1978, *Information Retrieval*, §7.5). There is no end at which one
# has met all words: names, numbers, misprints, terms that somebody needed once. More text always holds something new,
# and so does the text a model is tested on.
#
# ### Yardsticks in bits per byte
#
# Two languages cannot be compared in nats per token: their tokens are not alike. Bits per byte can. And with them
# everybody can take part who predicts in any way at all, also a compressor: whoever gives the next symbol the
# probability $P$ can write it in $-\log_2 P$ bits (arithmetic coding), so a good predictor *is* a good compressor, and
# the size of a zip file is a loss (Delétang et al. 2024). A model has read a training text before it is judged; to be
# fair, the compressors may read it, too: *behind it* is what the held-out text adds to the size of both together.

# %% tags=["varies"]
shards, judged_on, learned_from = {}, {}, {}
for name, texts in corpora.items():
    judged_on[name], learned_from[name] = texts[::20], [text for i, text in enumerate(texts) if i % 20]
    shards[name] = [
        write_texts(folder / f"{name} {i}.bin", part, tokenizer.encode, V, end=BOS)
        for i, part in enumerate((learned_from[name], judged_on[name]))
    ]
    print(f"{name:<12}{shards[name][1].text_bytes / (len(shards[name][1]) - 1):.2f} bytes per token, held out")


# %%
def per_byte(nats_per_token: float, shard) -> float:
    """The mean loss on a shard -> bits per byte of its text."""
    return nats_per_token * (len(shard) - 1) / math.log(2) / shard.text_bytes


# %% tags=["varies"]
yardsticks: dict[str, dict[str, float]] = {}
for name, (train_part, held_part) in shards.items():
    before, text = ("\n\n".join(part[name]) for part in (learned_from, judged_on))
    rows = {f"{kind} alone": compressed(compress, text) for kind, compress in COMPRESSORS.items()}
    rows["lzma behind it"] = compressed(COMPRESSORS["lzma"], text, before)
    for gram in ngram.learn(train_part.tokens, V, 3, BOS):
        rows[f"{gram.n}-gram"] = per_byte(ngram.mean_nats(gram, held_part.tokens), held_part)
    yardsticks[name] = rows
bits = -sum(document.log_prob for document in valley[::20]) / math.log(2)
yardsticks["the valley"]["floor"] = bits / shards["the valley"][1].text_bytes
print(f"{'bits per byte, held out':<26}" + "".join(f"{name:>14}" for name in corpora))
for row in yardsticks["the valley"]:
    print(f"{row:<26}" + "".join(f"{yardsticks[name].get(row, math.nan):>14.3f}" for name in corpora))

# %% [markdown]
# **What to notice.** Alone, a compressor finds the two texts not so different: each has its letters and words to learn
# first. *Behind* a million bytes of the same kind the difference shows. The valley has hardly anything new to say, and
# real text still has. `lzma` finds every string that stood before, however long ago; the 3-gram knows only what usually
# follows two tokens, and does better: what is likely matters more than what is the same. For real text there is no
# floor in the table: nobody knows it. People who guessed English letter by letter were somewhere between 0.6 and 1.3
# bits per letter (Shannon 1951): many times the valley's floor.
#
# ### The same seconds
#
# Now the loop, twice: the same model, the same random weights, as many steps of as many tokens. **Write down** which
# yardsticks each of the two will have passed at the end, and what the two will write.

# %%
size = DecoderConfig(V=V, D=128, H=4, L=2, hidden=344, context=128)
count = lab.profile.pick(smoke=4, laptop=130)
short = Recipe(count, batch=8, context=64, optimiser="muon", lr=1e-2, schedule="wsd", decay=0.4)
lines = ("lzma alone", "3-gram", "floor")
panels = [
    Panel([name], "bits per byte, held out", name, {row: found[row] for row in lines if row in found})
    for name, found in yardsticks.items()
]
alt = "Held-out bits per byte by bytes read, for both texts, with compressor, n-gram and floor as lines."
quick, moments = {}, {round(short.steps * share) for share in (0.1, 0.25, 0.5, 0.75, 1)}
few = lab.profile.pick(smoke=300, laptop=6000)  # predictions that are judged on the way

# %% tags=["varies"]
with LiveChart(panels, x="thousand bytes read", alt=alt) as chart:
    for name, (train_part, held_part) in shards.items():
        quick[name] = Decoder(size, generator=torch.Generator().manual_seed(0))
        bytes_per_token, seconds = train_part.text_bytes / len(train_part), 0.0
        for step in train(quick[name], Batches([train_part], short.context, short.batch), short):
            seconds += step.seconds
            if step.step in moments:
                found = evaluate(quick[name], held_part, short.context, limit=few)
                chart.add(step.tokens * bytes_per_token / 1000, **{name: found.bits_per_byte})
        print(f"{name:<12}{step.tokens:,} tokens in {seconds:.1f} s: {found.bits_per_byte:.3f} bits per byte")

# %% tags=["varies"]
cards, longest = [], lab.profile.pick(smoke=20, laptop=60)
for name, text_model in quick.items():
    chance = torch.Generator().manual_seed(1)
    texts = generation.generate(text_model, [[BOS]] * 3, longest, Sampling(temperature=0.8), chance, [BOS])
    cards += [Card(name, tokenizer.decode(row)) for row in texts.rows]
Gallery(cards, letters=300)

# %% [markdown]
# **What to notice.** The same loop, the same seconds: there the valley's names and halves of its sentences, here the
# *look* of documentation, its indents, brackets and capitals, with words that almost mean something. Nothing is wrong
# with the loop. In the valley there are few words and few ways to go on, so each pattern was seen many times in these
# seconds. In real text most patterns were seen once or never, and what is left to learn, which facts and names belong
# together, is the long tail. The first bits come from frequent things: letters, common words, form. They come quickly,
# everywhere. The last ones cost most of the compute of a real pre-training. (The valley's own model, above, needed a
# minute to write its stories.)
#
# And note who is ahead: the network has passed `lzma alone`, and not the 3-gram. Read to its end, a million bytes give
# a counting model and a compressor *everything*; the network has seen a part of them, once. Its strength is what it
# makes of *more*, and more is the next section.
#
# <details><summary>Why is "lzma behind it" so much better than "lzma alone" on real text?</summary>
#
# Documentation repeats itself: the same parameter lists, the same sentences in every subclass. `lzma` points back to
# them. A part of that is *leakage*: the docstrings were split by document, and near copies stand on both sides (lab 05
# removes them; here only whole copies were). Any model that remembers profits from it. On the valley's fresh
# combinations pointing back helps less.
#
# </details>
#
# <details><summary>Could the network's file really be smaller than lzma's?</summary>
#
# Yes: with arithmetic coding the held-out text takes its bits per byte, to within two bits in all. But whoever unpacks
# it needs the same model: nearly a million numbers, far more than the text. Compressors of this kind pay for text that
# is much larger than the model (Delétang et al. 2024 count both ways), and are slow. Bits per byte as a *measure* needs
# no file.
#
# </details>
#
# ## The real run: one GPU, twenty minutes
#
# `lablib.pretraining.real_run` is this lab's loop with nothing left to choose: it streams text from the hub, trains a
# tokenizer on its first part, writes shards, *times a few steps on your machine*, plans as many as fit into your
# minutes (a schedule must know its end), and trains with checkpoints. On a card without hardware for bfloat16, such as
# Colab's T4, it computes in float32: float16 would be faster, but needs a loss scaler, which our loop leaves out. Cut
# off, it goes on where it was: run the cell again. Without a network it says so in a line and reads the text of this
# Python install instead. On a laptop the same cell makes the same journey in a few seconds with a toy: a few pages in
# the file format of C4, written for this course.

# %%
from lablib import paths
from lablib.corpus.sources.fixtures import fixture
from lablib.pretraining import real_run

pages, count = (str(fixture("c4")),), lab.profile.pick(smoke=5, laptop=20)
toy = real_run.Settings("c4", pages, parameters=7e4, V=300, context=32, steps=count, first=40_000)
settings = lab.profile.pick(smoke=toy, laptop=toy, gpu=real_run.Settings("tinystories", parameters=25e6, minutes=20))
where = lab.profile.pick(smoke=folder / "toy", laptop=folder / "toy", gpu=paths.user_dir() / "real_run")
price = None  # what an hour of this machine costs you, for the last line

# %% tags=["varies"]
run = real_run.prepare(settings, where)
with LiveChart(["loss"], y="nats per token", alt="Training loss of the real run by step, falling.") as chart:
    for step in real_run.steps(run):
        chart.add(step.step, loss=step.loss)
figures = real_run.finish(run, price)

# %% tags=["varies"]
for what in ("hardware", "dtype", "source", "parameters", "tokens", "epochs", "tokens_per_second", "mfu", "cost"):
    value = figures[what]
    print(f"{what:<20}{value:,.3g}" if isinstance(value, float) else f"{what:<20}{value}")
print(f"held out: {figures['held_out_bits_per_byte']:.3f} bits per byte; ", end="")
print(f"lzma, which has read nothing before: {figures['compressed_bits_per_byte']['lzma']:.3f}")
Gallery([Card(f"sample {i}", text) for i, text in enumerate(figures["samples"], 1)], letters=600)

# %% [markdown]
# **What to notice.** On a laptop: that all of it works, and that a toy learns nothing from a few pages. On a GPU: what a
# model of 25 million parameters makes of twenty minutes, and what that costs. The same as a command, on any machine:
#
# ```
# python -m lablib.pretraining.real_run --source tinystories --minutes 20 --parameters 25e6 --price 0.35 --folder run
# ```
#
# `--source fineweb-edu` reads the web instead, `--texts FILE …` your own text, `--source crawl` this Python's. The
# folder then holds `model/`, which `transformers` loads.
#
# <details><summary>Why are a few steps timed and thrown away, instead of simply stopping when the time is over?</summary>
#
# Because the learning rate has to fall before the end, and what a run gains in that fall is large. Stopped by the clock
# at full rate it would be worse than a shorter run that was planned. (Warm-up–stable–decay softens this: one can decide
# late when to begin the fall. But it must begin.)
#
# </details>
#
# <details><summary>TinyStories and FineWeb-Edu, the same model, the same minutes: which loss is lower, and which model is better?</summary>
#
# TinyStories', by far: a small child's words, few plots, so its entropy is low; it is to the web what our valley is to
# documentation. Neither is better: each is a model of its text. Losses on different texts say nothing about models (and
# perplexities per token not even on the same text, if the tokens differ).
#
# </details>
#
# <details><summary>The utilisation of a fast card comes out low with 25 million parameters. Why?</summary>
#
# Its matrices are too small to keep the card busy: each product is over before the next has been started, and norms,
# softmax and the optimiser move memory instead of multiplying. The same program uses a larger share with a larger
# model. Try `--parameters 100e6`.
#
# </details>

# %% [markdown]
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# You have trained a language model with a loop that you wrote, and you know how far it is from the best that is
# possible. `base`, which comes with the course, was made by the same loop on the same kind of text in an hour. **It is
# the model of all labs from here on**: it will be asked to fill gaps (lab 08), to follow instructions (09), to learn
# from preferences (12 to 14), and in the end to answer you.
#
# To make your own: `lab train base`. It goes into your own folder, and from then on every lab that says `load("base")`
# takes yours.
#
# ## Papers
#
# - Shannon 1951, *Prediction and Entropy of Printed English*: people as next-letter predictors, and the question how
#   low it can go.
# - Chen and Goodman 1998, *An Empirical Study of Smoothing Techniques for Language Modeling*: the n-gram at its best.
# - Gao et al. 2020, *The Pile*, §3.1: bits per byte.
# - Pascanu, Mikolov and Bengio 2013, *On the difficulty of training recurrent neural networks*: clipping.
# - Loshchilov and Hutter 2017, *SGDR*: the cosine; 2019, *Decoupled Weight Decay Regularization*: AdamW.
# - Hu et al. 2024, *MiniCPM*, §4: warm-up, stable, decay.
# - Jordan et al. 2024, *Muon: An optimizer for hidden layers in neural networks*.
# - Han and Han (Unsloth) 2024, *Bugs in LLM Training: Gradient Accumulation Fix*; Hugging Face 2024, *Fixing Gradient
#   Accumulation*.
# - Chowdhery et al. 2022, *PaLM*, appendix B: model FLOPs utilisation.
# - Bi et al. 2024, *DeepSeek LLM*: learning rate and batch by compute.
# - Fan, Lewis and Dauphin 2018, *Hierarchical Neural Story Generation*: top-k; Holtzman et al. 2020, *The Curious Case
#   of Neural Text Degeneration*: top-p; Shazeer 2019, *Fast Transformer Decoding*: the cache and what it costs.
# - Kaplan et al. 2020, *Scaling Laws for Neural Language Models*; Hoffmann et al. 2022, *Training Compute-Optimal Large
#   Language Models*; Besiroglu et al. 2024, *Chinchilla Scaling: A Replication Attempt*.
# - Rajbhandari et al. 2020, *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*.
# - Brown et al. 2020, *Language Models are Few-Shot Learners*; Olsson et al. 2022, *In-context Learning and Induction
#   Heads*; Min et al. 2022, *Rethinking the Role of Demonstrations*.
# - Delétang et al. 2024, *Language Modeling Is Compression*.
# - Young 1974, *A First Order Approximation to the Optimum Checkpoint Interval*.
# - Touvron et al. 2023, *LLaMA: Open and Efficient Foundation Language Models*; Llama Team 2024, *The Llama 3 Herd of
#   Models*.
