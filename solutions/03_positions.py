# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 03 · Where is a word?
#
# "The dog chased the cat" and "The cat chased the dog" hold the same words. To attention alone they are the same sentence: it
# sums over a *set*. In this lab you first prove that by a test, then write the four ways in which real models are told the
# order of their words, and then let them compete: one model, one task, five ways (one of them is "not at all"), trained
# before your eyes and read at four times the length they were trained on.
#
# **You will be able to**
#
# - show by experiment whether a function notices order, and say why a causal mask changes the answer;
# - write sinusoidal and learned positions, RoPE and ALiBi, and say where in the model each of them enters;
# - say what each does beyond the trained length, because you have measured it;
# - read claims about positions ("encodes relative position", "extrapolates") and know which test would decide them.
#
# **You need** lab 02, and what a rotation of the plane does to a point.
# **Time**: about 90 minutes with the seven exercises. Running every cell takes about two minutes on two CPU cores, and less
# than 1 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lablib import models
from lablib.architecture.attention import causal_mask
from lablib.architecture.position_model import PositionModel, Positions, bits, train, windows
from lablib.show.live import LiveChart
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, DIVERGING, GREY, Picture, figure

# %% tags=["varies"]
from lablib import course

lab = course.begin("03")

# %% [markdown]
# ## Attention is blind to order
#
# Shuffle the positions of the input. If the output is the old output, shuffled in the same way, then the function cannot
# have used the order: it is called *permutation equivariant*. That is something to measure, so the first exercise is a
# measuring instrument.
#
# Letters: **B** sentences in a batch, **H** heads, **T** positions that ask, **S** positions that are looked at,
# **K** the width of a head, **D** the width of the model.

# %%
# EXERCISE lablib.architecture.positions:order_gap

# %% [markdown]
# Now point it at things. The attention is your own from lab 02, if you have done it. **Before you run it:** which of these
# five will have a gap of zero?

# %% tags=["varies"]
MultiHeadAttention = lab.mine("lablib.architecture.attention:MultiHeadAttention")

# %%
generator = torch.Generator().manual_seed(0)
torch.manual_seed(0)
T, D = 12, 32
x, shuffled = torch.randn(1, T, D, generator=generator), torch.randperm(T, generator=generator)
attention, mixer, convolution = MultiHeadAttention(D, 4), nn.Linear(D, D), nn.Conv1d(D, D, 3, padding=1)

candidates: dict[str, Callable[[Tensor], Tensor]] = {
    "attention": lambda x: attention(x)[0],
    "attention, causal mask": lambda x: attention(x, mask=causal_mask(T))[0],
    "linear layer": mixer,
    "convolution of width 3": lambda x: convolution(x.mT).mT,
    "running mean": lambda x: x.cumsum(-2) / torch.arange(1, T + 1)[:, None],
}
for name, attend in candidates.items():
    print(f"{name:<24}{order_gap(attend, x, shuffled):.3f}")

# %% [markdown]
# **What to notice.** Attention has no gap (to three decimals; what remains is rounding), exactly like a linear layer that
# looks at one position at a time. It takes in the whole sentence and yet knows nothing of its order. But look at the
# second line: **a causal mask breaks the symmetry**. Position 0 sees one word, position 1 sees two: how many words one
# sees is a position. A decoder without any positions is therefore not wholly blind, and the experiment below will show
# how much that is worth.

# %% [markdown]
# ## A real model that has lost its positions
#
# MiniLM is a small BERT that turns a sentence into a vector. It reads in both directions, with no causal mask, and adds a
# learned vector for each position to its word embeddings. What if that table is set to zero?

# %% tags=["varies"]
try:
    minilm = models.load("minilm")
except models.ModelNotFound as missing:
    minilm = None
    print("The cells on MiniLM are skipped, the rest of the lab runs without it:", str(missing).splitlines()[0])

# %% tags=["varies"]
pairs = [
    ("The dog chased the cat.", "The cat chased the dog."),
    ("The dog chased the cat.", "Chased cat the the dog."),
    ("The dog chased the cat.", "The dog ran after the cat."),
    ("The dog chased the cat.", "The bank raised its rates."),
]
if minilm is not None:
    table = minilm.model.embeddings.position_embeddings.weight
    with_order = [torch.as_tensor(models.embed(minilm, list(pair))) for pair in pairs]
    kept = table.data.clone()
    table.data.zero_()
    without = [torch.as_tensor(models.embed(minilm, list(pair))) for pair in pairs]
    table.data.copy_(kept)

# %% tags=["varies"]
if minilm is not None:
    print(f"{'cosine similarity of two sentences':<58}{'as trained':>10}  {'no positions':>12}")
    for pair, (a, b), (c, d) in zip(pairs, with_order, without, strict=True):
        print(f"{' / '.join(pair):<58}{a @ b:>10.4f}  {c @ d:>12.4f}")
    gap = (without[0][0] - without[0][1]).abs().max().item()
    print(f"\nDog and cat exchanged, no positions: the largest difference of any number is {gap:.0e}")

# %% [markdown]
# **What to notice.** Without positions the first two pairs are *the same sentence* to the model: similarity 1, equal to
# the last bits of a float32, word salad included. With positions they differ, but see how little: for this model, who
# chases whom is a detail. Being *able* to see order and *making use* of it are two things, and the second is a matter
# of training.

# %% [markdown]
# ## Waves: the sinusoidal encoding
#
# The first transformer *adds* a fixed pattern to the embeddings (Vaswani et al. 2017, §3.5). Think of a clock: the second
# hand tells neighbouring moments apart, the hour hand tells morning from noon. Here there are D/2 hands, and each is given
# by its two coordinates, a sine and a cosine.

# %%
# EXERCISE lablib.architecture.positions:sinusoidal_encoding

# %%
fig, ax = figure(width=8, height=3.4)
image = ax.imshow(sinusoidal_encoding(100, 64).T, cmap=DIVERGING, aspect="auto", vmin=-1, vmax=1)
ax.grid(False)
ax.set(xlabel="position", ylabel="column of the encoding")
fig.colorbar(image, label="value")
Picture(
    fig, "Heat map of the sinusoidal encoding: fast stripes in the first columns, almost constant in the last ones."
)

# %% [markdown]
# **What to notice.** Each column of the picture, read from top to bottom, is the mark of one position. The first
# rows swing fast and tell neighbours apart; far down nothing moves within 100 positions: those hands are for lengths
# of thousands.
#
# Two properties are usually claimed for it. Both can be tested. First, **every position has a mark of its own**. Second,
# **a step of k positions is the same rotation everywhere**: the mark at t + k is the mark at t, each hand turned
# by an angle that depends on k only. (That is why the authors *hoped* that a model could learn to look at relative
# positions; they wrote "we hypothesized".)

# %%
marks = sinusoidal_encoding(2000, 64)
apart = torch.cdist(marks, marks) + 1e9 * torch.eye(2000)
print(f"closest two of 2,000 marks: {apart.min():.2f} apart, where a mark has length {marks[0].norm():.2f}")

k = 7
turn = k * 10_000.0 ** (-torch.arange(0, 64, 2) / 64)  # (D/2,), the angle of each hand for k steps
sin, cos = marks[:-k, 0::2], marks[:-k, 1::2]  # (T − k, D/2) each
turned_sin, turned_cos = sin * turn.cos() + cos * turn.sin(), cos * turn.cos() - sin * turn.sin()
error = torch.stack((turned_sin - marks[k:, 0::2], turned_cos - marks[k:, 1::2])).abs().max()
print(f"largest error of 'turn every hand by its angle for {k} steps', anywhere in 2,000: {error:.4f}")

# %%
fig, ax = figure(width=8)
for place, colour in zip((50, 500, 1500), COLOURS, strict=False):
    distance = torch.arange(-50, 51)
    ax.plot(distance, marks[place + distance] @ marks[place], color=colour, label=f"from position {place:,}")
ax.set(xlabel="distance k in positions", ylabel="dot product of the two marks")
ax.legend()
Picture(fig, "Dot product of two marks against their distance: one symmetric, wavy peak, the same from every position.")

# %% [markdown]
# **What to notice.** Three curves, one on top of the other: the dot product depends on the distance alone. And it is
# symmetric: **two marks by themselves know how far, but not which way**. "Before" or "after" only comes in through the
# learned matrices that make queries and keys, and there the marks are mixed with the words they were added to.

# %% [markdown]
# ## A table: learned positions
#
# Simpler still: give each position a vector and let training find it (Gehring et al. 2017; BERT, GPT-2 and GPT-3 do this).
# The price is that the table ends.

# %%
# EXERCISE lablib.architecture.positions:LearnedPositions.forward

# %%
trained_for_64 = LearnedPositions(64, D)
try:
    trained_for_64(65)
except ValueError as error:
    print(error)

# %% [markdown]
# What does training find? Here is how similar the first 128 vectors of the real table in MiniLM are to each other.

# %% tags=["varies"]
if minilm is not None:
    learned = minilm.model.embeddings.position_embeddings.weight[:128].detach()
    learned = nn.functional.normalize(learned - learned.mean(0), dim=-1)  # what is common to all tells nothing
    fig, ax = figure(width=5.2, height=4)
    image = ax.imshow(learned @ learned.T, cmap=DIVERGING, vmin=-1, vmax=1)
    ax.grid(False)
    ax.set(xlabel="position", ylabel="position")
    fig.colorbar(image, label="cosine similarity")
    picture = Picture(
        fig, "Similarity of MiniLM's learned position vectors: a bright band along the diagonal.", colours=128
    )
picture if minilm is not None else None

# %% [markdown]
# **What to notice.** Nobody told this table that position 40 lies beside 41, and yet there is a bright band along the
# diagonal: neighbours became similar, because text needs them to be. And look at the stripes beside it: they run parallel to
# the diagonal, so the similarity depends mostly on the distance, and it rises and falls with it. Training, given a free
# choice, has found something like waves.

# %% [markdown]
# ## A rotation: RoPE
#
# The two ways so far add a mark to the word, and word and mark then share the same numbers. RoPE (rotary position
# embedding, Su et al. 2021) adds nothing. It takes queries and keys just before they meet, and *turns* them: each pair of
# columns is a hand of the clock, turned by an angle that grows with the position. When a query at position m meets a key
# at position n, their dot product feels only the difference of the two angles, and so only m − n.
#
# Two exercises: how far to turn, and the turning.

# %%
# EXERCISE lablib.architecture.positions:rotary_angles

# %%
# EXERCISE lablib.architecture.positions:apply_rope


# %%
def rotary_table(T: int, K: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine for the positions 0 to T − 1: two tensors (T, K/2)."""
    angles = rotary_angles(torch.arange(T), K, base)
    return angles.cos(), angles.sin()


def turned(x: Tensor, position: int) -> Tensor:
    """One vector (1, K) as it is at a position."""
    angles = rotary_angles(torch.tensor([position]), x.shape[-1])
    return apply_rope(x, angles.cos(), angles.sin())


# %% [markdown]
# Move the sliders. The query sits at position m, the key k positions before it. The drawing shows three of their
# pairs of columns, each as an arrow in its own plane.

# %%
arrows = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.8, 0.8, 0.8, 0.6, 0.6, 0.6]])


def rotation(query_at: int, key_before: int) -> Picture:
    q, k = turned(arrows[0], query_at), turned(arrows[1], query_at - key_before)
    fig, axes = figure(cols=3, width=8, height=3.1)
    for i, ax in enumerate(axes):
        for x, name, colour in ((q, "query", COLOURS[0]), (k, "key", COLOURS[1])):
            ax.annotate("", (x[0, i], x[0, i + 3]), (0, 0), arrowprops={"color": colour, "width": 2, "headwidth": 9})
            ax.plot([], [], color=colour, linewidth=3, label=name)
        share = (q[0, i] * k[0, i] + q[0, i + 3] * k[0, i + 3]).item()
        ax.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal", title=f"pair {i}: {share:+.2f}")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    fig.suptitle(f"score q · k = {(q @ k.T).item():.3f}")
    return Picture(
        fig, "Three planes, each with the arrows of a query and a key, turned by their positions; the score above."
    )


# %% tags=["varies"]
Sliders(rotation, query_at=(6, 0, 60), key_before=(2, 0, 30))

# %% [markdown]
# **What to notice.** Move *query at*: in every plane both arrows turn, the first plane fast and the last hardly at all,
# and the score stays what it is. Move *key before*: the angle between the arrows changes, and with it the score. The same
# in numbers, for a random query and key:

# %%
q, k = torch.randn(2, 1, 64, generator=generator)
for m, n in ((9, 0), (109, 100), (1009, 1000), (0, 9)):
    score = (turned(q, m) @ turned(k, n).T).item()
    print(f"query at {m:>4}, key at {n:>4}, m − n = {m - n:>2}: score {score:.3f}, length {turned(q, m).norm():.3f}")

# %% [markdown]
# **What to notice.** The score is the same wherever the pair stands, and lengths are kept. Unlike the sinusoidal
# mark it knows the direction too: m − n = 9 and −9 give different scores.
#
# It is often said that RoPE makes distant words matter less. The paper proves an *upper bound* that falls with
# distance. What does the score itself do?

# %%
distance = torch.arange(400)
cos, sin = rotary_table(400, 64)
fig, (left, right) = figure(cols=2, width=9, sharey=True)
same = torch.ones(1, 64) / 8  # q = k, every pair alike, length 1
left.plot(distance, apply_rope(same.expand(400, 64), cos, sin) @ same[0], color=COLOURS[0])
left.set(title="query = key, all columns alike", xlabel="distance", ylabel="score")
for seed in range(3):
    a, b = nn.functional.normalize(torch.randn(2, 64, generator=torch.Generator().manual_seed(seed)), dim=-1)
    right.plot(distance, apply_rope(b.expand(400, 64), cos, sin) @ a, color=COLOURS[seed], linewidth=1)
right.set(title="three random pairs of query and key", xlabel="distance")
Picture(
    fig,
    "RoPE's score against distance. Left: a wavy decay for equal vectors. Right: no decay for random ones.",
    colours=128,
)

# %% [markdown]
# **What to notice.** On the left, where query and key are equal, the score falls with distance. On the right it does not:
# it swings about, and near is no larger than far. So RoPE *allows* a model to prefer neighbours; it does not make it
# do so (Barbero et al. 2024 look at what trained models do with it). Hold this against the next scheme.

# %% [markdown]
# ## A penalty: ALiBi
#
# "Attention with linear biases" (Press et al. 2021) touches neither embeddings nor queries nor keys. It takes something
# off each score, in proportion to the distance. Every head has its own slope: steep heads see only near words, flat
# heads see far. Nothing is learned, and nothing ends.

# %%
# EXERCISE lablib.architecture.positions:alibi_slopes

# %%
# EXERCISE lablib.architecture.positions:alibi_bias

# %%
fig, (left, right) = figure(cols=2, width=9, height=3.4)
image = left.imshow(alibi_bias(4, 24)[0].masked_fill(~causal_mask(24), float("nan")), cmap="Blues_r")
left.grid(False)
left.set(title="bias of the steepest of 4 heads", xlabel="key position", ylabel="query position")
fig.colorbar(image, ax=left, label="added to the score")
for slope, colour in zip(alibi_slopes(4).tolist(), COLOURS, strict=False):
    right.plot(torch.exp(-slope * torch.arange(100)), color=colour, label=f"slope {slope:.4g}")
right.set(title="what is left of a weight", xlabel="distance", ylabel="exp(−slope · distance)", ylim=(0, 1.5))
right.legend(ncols=2, loc="upper center", frameon=False)
Picture(
    fig,
    "Left: ALiBi's bias falls with distance from the diagonal. Right: how four heads fade, from steep to flat.",
    colours=256,
)

# %% [markdown]
# **What to notice.** The steepest head has forgotten everything twenty positions back; the flattest still keeps
# most of its weight at a hundred. A model with ALiBi is a bundle of windows of different widths.

# %% [markdown]
# ## The competition
#
# One small causal model (two layers, four heads) learns to predict the next *byte* of real English prose: the Python language
# reference, which every Python carries. It never sees a piece longer than T = 32 bytes. Only the positions differ, and
# they enter where you have seen them enter: added, as a rotation, as a bias.
#
# Some topics are held out for testing. Splitting by topic is not enough: the reference repeats itself, and a line that
# stands in both halves would be recited, not predicted.

# %% tags=["varies"]
from pydoc_data.topics import topics

names = sorted(topics)
held_out = "\n".join(topics[name] for name in names[::8])
also_there = {line.strip() for line in held_out.splitlines() if len(line.strip()) > 20}
lines = [line for i, name in enumerate(names) if i % 8 for line in topics[name].splitlines()]
kept = [line for line in lines if line.strip() not in also_there]

train_text, test_text = (torch.tensor(list(text.encode("ascii", "replace"))) for text in ("\n".join(kept), held_out))
print(f"{len(train_text):,} bytes to train on, {len(test_text):,} held out")
print(f"{len(lines) - len(kept)} lines were in both, and are now only in the held-out part")

# %% [markdown]
# A yardstick: the bigram model, which counts what follows each byte and knows nothing else. It needs no positions, only
# the last byte. Whoever does better has looked further back than one byte.

# %% tags=["varies"]
counts = torch.ones(128, 128) * 0.1  # a little of everything, so that nothing is impossible
counts.index_put_((train_text[:-1], train_text[1:]), torch.ones(len(train_text) - 1), accumulate=True)
surprise = -(counts / counts.sum(1, keepdim=True)).log2()  # bits
bigram = surprise[test_text[:-1], test_text[1:]].mean().item()
print(f"bigram model on the held-out text: {bigram:.2f} bits per byte")

# %%
T, V, D, H, L = 32, 128, 64, 4, 2
READ = 4 * T  # how long a text the trained models are given to read in the end

schemes = {
    "none": Positions,
    "sinusoidal": lambda: Positions(add=lambda T: sinusoidal_encoding(T, D)),
    "learned": lambda: Positions(add=LearnedPositions(READ, D, scale=1.0)),
    "RoPE": lambda: Positions(rotate=lambda x: apply_rope(x, *rotary_table(x.shape[-2], x.shape[-1]))),
    "ALiBi": lambda: Positions(bias=lambda T: alibi_bias(H, T)),
}

# %% [markdown]
# These are *your* functions: the model calls whatever stands here. (A learned table has to have a row for each position
# that will ever be read. It gets 4 T rows, of which training only ever touches the first T.)
#
# **Before you run it, write down:** the order in which the five will end. Will "none" beat the bigram model?

# %% tags=["varies"]
steps = lab.profile.pick(smoke=6, laptop=400, gpu=1000)
seeds, every = lab.profile.pick(smoke=1, laptop=2, gpu=3), max(1, steps // 25)
trained = {name: [] for name in schemes}
alt = "Bits per byte against training step for five ways to give positions, with bands over seeds."
with LiveChart(list(schemes), x="step", y="bits per byte", levels={"bigram": bigram}, bands=True, alt=alt) as chart:
    for name, make in schemes.items():
        for seed in range(seeds):
            torch.manual_seed(seed)
            model, recent = PositionModel(V, D, H, L, make()), []
            batches = windows(train_text, 16, T, torch.Generator().manual_seed(seed))
            for step, loss in enumerate(train(model, batches, steps), 1):
                recent = [*recent, loss][-every:]
                if step % every == 0:
                    chart.add(step, **{name: sum(recent) / len(recent)})
            trained[name].append(model)

# %% [markdown]
# **What to notice.** The bands over seeds are narrow: the differences are not chance. A model without positions is left far
# behind, yet it does end below the bigram line: it *has* looked further back than one byte, and the causal mask is
# all it has to do it with. RoPE is ahead from early on: "the byte two before me" is one turn of its hands. ALiBi
# acts inside attention too and is not faster than the added marks: it can say *near*, not *exactly two back*.

# %% [markdown]
# ## Read at four times the length
#
# Now the same models, not trained any further, read pieces of 4 T = 128 bytes of the held-out text. The loss is shown
# for each position. Up to 32 they are at home; what lies beyond they have never seen. **Predict again**: who will carry
# on, and will it be as good as at home?

# %% tags=["varies"]
generator = torch.Generator().manual_seed(1)
batches = windows(test_text, 64, READ, generator)
held = [next(batches) for _ in range(lab.profile.pick(smoke=1, laptop=6))]


@torch.no_grad()
def by_position(model: nn.Module) -> Tensor:
    """Mean bits per byte at each of the READ positions of the held-out pieces: (READ,)."""
    return torch.stack([bits(model, ids).mean(0) for ids in held]).mean(0)


losses = {name: torch.stack([by_position(model) for model in of]) for name, of in trained.items()}


# %%
def curves(losses: dict[str, Tensor], alt: str, width: int = 4) -> Picture:
    """Bits per byte against position: mean over seeds as a line, smallest to largest as a band."""
    fig, ax = figure(width=8.5, height=3.8)
    at = torch.arange(READ).view(-1, width).float().mean(1) + 1
    for (name, of), colour in zip(losses.items(), COLOURS, strict=False):
        smooth = of.view(len(of), -1, width).mean(2)  # (seeds, READ) -> (seeds, READ / width)
        ax.plot(at, smooth.mean(0), color=colour, label=name)
        ax.fill_between(at, smooth.amin(0), smooth.amax(0), color=colour, alpha=0.2, linewidth=0)
    ax.axvline(T, color=GREY, linestyle="--")
    ax.text(T + 1, ax.get_ylim()[1], "never seen in training →", color=GREY, va="top")
    ax.set(xlabel="position in the text (bytes)", ylabel="bits per byte, held out", xticks=range(0, READ + 1, T))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return Picture(fig, alt)


# %% tags=["varies"]
curves(losses, "Loss against position up to four times the trained length, one line for each way to give positions.")

# %% tags=["varies"]
ranges = {"9–32": (8, T), "33–64": (T, 2 * T), "97–128": (3 * T, 4 * T)}
print(f"{'held-out bits per byte':<24}" + "".join(f"{name:>22}" for name in ranges) + "   (mean, range over seeds)")
for name, of in losses.items():
    cells = [of[:, a:b].mean(1) for a, b in ranges.values()]
    print(f"{name:<24}" + "".join(f"{c.mean():>10.2f} ({c.min():.2f}–{c.max():.2f})" for c in cells))
print(f"{'bigram':<24}{bigram:>10.2f}")

# %% [markdown]
# **What to notice.** At home RoPE leads. Beyond the trained length three of the five end up far *worse* than counting pairs of
# bytes: more text makes these models worse, not better.
#
# - **Learned**: breaks at once. The rows beyond 32 are what they were at the start, random. There was nothing to hope for.
# - **Sinusoidal**: breaks just as fast, although every mark is well defined at any length. "A fixed formula, so it works for
#   longer texts" is often said (the 2017 paper says it *may*) and is not what is measured.
# - **RoPE**: holds for a few bytes and then falls further than all others. Its scores know only distances, but distances
#   beyond 31 never occurred in training, and at first only a few of the keys are that far. That a scheme is *relative* does
#   not make it extrapolate.
# - **ALiBi** carries on as if nothing had happened. It is no wonder: what lies beyond the reach of its windows is faded out,
#   so it reads a long text much as it reads a short one. Compare its first and last column: is it any *better* for having
#   four times the text? Press et al. saw the same: nothing is lost, and little is gained.
# - **None** carries on too, and drifts up towards the bigram line. How many bytes it sees is all that the mask tells it, and
#   one more makes less and less of a difference as they grow in number. That such a model knows something of order at all
#   was a surprise when it was found (Haviv et al. 2022).

# %% [markdown]
# ## Can RoPE be stretched afterwards?
#
# Most of today's models use RoPE and read far more than they were first trained on. Two ways to stretch it need no
# change to the model at all, only other angles:
#
# - **position interpolation** (Chen et al. 2023): divide positions by 4, so that 128 looks like 32. No angle is new;
# - **a larger base** (known as "NTK-aware" scaling): slow hands turn more slowly still, fast hands almost as before.
#
# Both were meant to be followed by some further training. Here there is none. **Which one will work better?**

# %%
squeezed = rotary_angles(torch.arange(READ) / 4, D // H)
stretch = 4 ** (16 / 14)  # the usual rule: length ratio to the power K/(K − 2), which slows the last hand just 4 times
stretches = {
    "as trained": rotary_table(READ, D // H),
    "positions / 4": (squeezed.cos(), squeezed.sin()),
    f"base × {stretch:.1f}": rotary_table(READ, D // H, base=stretch * 10_000.0),
    "base × 16": rotary_table(READ, D // H, base=16 * 10_000.0),
    "base × 256": rotary_table(READ, D // H, base=256 * 10_000.0),
}

# %% tags=["varies"]
stretched = {name: [] for name in stretches}
for name, (cos, sin) in stretches.items():
    for model in trained["RoPE"]:
        before, model.positions.rotate = model.positions.rotate, lambda x, c=cos, s=sin: apply_rope(x, c, s)
        stretched[name].append(by_position(model))
        model.positions.rotate = before
curves({name: torch.stack(of) for name, of in stretched.items()}, "RoPE with stretched angles, loss against position.")

# %% [markdown]
# **What to notice.** Squeezing the positions ruins everything, even the first 32: the fast hands, which tell neighbours apart,
# now turn at a quarter of their speed, and the byte just before is no longer found. (That is no argument against it where it
# is used as meant: a little further training mends it.) A larger base leaves those hands almost alone and slows the
# others. The usual rule helps for a few dozen bytes; a much larger base reads on to the very end, with no training at
# all. But reach has its price, paid at home: compare the curves left of the dashed line. And at 128 even the best of
# them has not caught up with ALiBi.

# %% [markdown]
# ## Who uses what
#
# | scheme | enters | models | source |
# |---|---|---|---|
# | sinusoidal | added | the first transformer | Vaswani et al. 2017 |
# | learned | added | BERT, GPT-2, GPT-3, GPT-Neo | Devlin et al. 2018; Radford et al. 2019 |
# | RoPE | rotates q and k | GPT-J, GPT-NeoX, PaLM, Llama | Su et al. 2021 |
# | ALiBi | bias on the scores | BLOOM, MPT | Press et al. 2021 |
#
# RoPE is sometimes credited to GPT-Neo. It comes from RoFormer (Su et al., April 2021); GPT-Neo has a learned table, and GPT-J
# was among the first large models with RoPE.
#
# ## Questions to think about
#
# <details><summary>1. A linear layer has an order gap of zero as well. Why does it not need positions?</summary>
#
# It treats every position by itself, so there is nothing to confuse. Attention mixes positions, and mixes them as a set: only there does
# it matter which came first.
#
# </details>
#
# <details><summary>2. With no positions and a causal mask, which position could the model know best, and why?</summary>
#
# The first ones. A head that looks at everything alike gives the mean of t + 1 values; if one value (say of the first
# token) is special, its share is 1/(t + 1). That falls steeply at first and then hardly changes: 1/2 against 1/3 is easy to tell,
# 1/100 against 1/101 is not.
#
# </details>
#
# <details><summary>3. RoPE turns queries and keys, but not values. What would happen if values were turned too?</summary>
#
# The output would be turned by the *absolute* angle of the key, and nothing turns it back: the same word at the same distance would arrive
# in another direction at each position. (One can turn the output back by the angle of the query; then it depends on the distance again.)
#
# </details>
#
# <details><summary>4. The text has 128 bytes, and ALiBi is no better at byte 128 than at byte 32. Is that ALiBi's fault?</summary>
#
# Not only. Its flattest head could see that far, but the model was never trained on more than 32 bytes and had no reason to learn what to do with the
# rest; and in this text most of what helps to predict a byte is close by. A model *trained* at 128 is the fair comparison: change T
# and try.
#
# </details>
#
# <details><summary>5. Why is learning slower with added marks than with rotations?</summary>
#
# To find "the byte before me" with added marks, the product of query and key must single out one of four parts: word–word, word–mark, mark–word
# and mark–mark, all in the same columns. With RoPE a fixed query and key already score by distance alone.
#
# </details>
#
# <details><summary>6. ALiBi wins beyond the length. Why does hardly any recent model use it?</summary>
#
# Its fading is built in. A head can look exactly seven bytes back with RoPE, at any time; with ALiBi all nearer keys score higher unless content speaks
# against it. On tasks that need one exact word from far away that costs. And RoPE can be stretched, as you have seen.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Vaswani et al. 2017, *Attention Is All You Need*: sinusoidal positions, §3.5, and that learned ones did as well.
# - Gehring et al. 2017, *Convolutional Sequence to Sequence Learning*: learned positions.
# - Su et al. 2021, *RoFormer: Enhanced Transformer with Rotary Position Embedding*: RoPE; eq. 34 is the line you wrote.
# - Press, Smith and Lewis 2021, *Train Short, Test Long*: ALiBi, and the test at a longer length that you ran.
# - Haviv et al. 2022, *Transformer Language Models without Positional Encodings Still Learn Positional Information*.
# - Kazemnejad et al. 2023, *The Impact of Positional Encoding on Length Generalization in Transformers*: on small
#   reasoning tasks no positions at all do best. Another task, another winner.
# - Chen et al. 2023, *Extending Context Window of Large Language Models via Positional Interpolation*.
# - Peng et al. 2023, *YaRN*: describes the larger base ("NTK-aware") and what came after it.
# - Barbero et al. 2024, *Round and Round We Go! What Makes Rotary Positional Encodings Useful?*
