# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 02 · Attention
#
# A language model reads a sentence all at once, and every word may ask every other word for what it needs. The machinery
# for asking is *attention*: a few matrix products and a softmax. In this lab you write all of it, take it apart with
# sliders, train it on tasks that show why it is built as it is, and then look inside a real pre-trained model while it
# reads a sentence.
#
# **You will be able to**
#
# - write scaled dot-product attention, its masks and its many-headed form, and say what each line is for;
# - predict what goes wrong without the scaling, without a mask, and with one head instead of many, and check it;
# - read an attention map, and test what a head "does" instead of guessing;
# - compute exact attention in a small fraction of its usual memory.
#
# **You need** Python and a little linear algebra: the dot product, the matrix product.
# **Time**: about 100 minutes with the eight exercises. Running every cell takes about two minutes on two CPU cores.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes. Nothing leaves your machine.

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lablib.show.attention_view import attention_explorer, attention_map
from lablib.show.live import LiveChart
from lablib.show.style import COLOURS, Picture, figure

# %% tags=["varies"]
from lablib import course

lab = course.begin("02")

# %% [markdown]
# ## A dictionary that answers softly
#
# A Python dictionary finds the one key that is *equal* to what you ask for, and gives back its value. Attention is a
# dictionary for vectors. What you ask with is a **query**; it is compared with every **key**; and since no key will be
# exactly equal, the answer is a mixture of all the **values**, weighted by how well their keys match.
#
# How well two vectors match is measured by their dot product. Here are three keys, the numbers stored under them, and a
# query that points almost the way the second key does.

# %%
keys = torch.tensor([[4.0, 0.0], [0.0, 4.0], [-4.0, 0.0]])
values = torch.tensor([[10.0], [20.0], [30.0]])
query = torch.tensor([[0.2, 1.0]])

match = query @ keys.T
weights = match.softmax(dim=-1)
print("match  ", match.tolist())
print("weights", [round(w, 3) for w in weights[0].tolist()])
print("answer ", round((weights @ values).item(), 2))

# %% [markdown]
# **What to notice.** The second key gets almost all the weight, so the answer is near 20; the first key, which matches a
# little, pulls it down. Unlike a dictionary's, this answer changes smoothly with the query and the keys. That is what
# makes it learnable: there is a gradient.
#
# The letters used from here on: **B** sentences in a batch, **H** heads, **T** positions that ask, **S** positions that
# are looked at, **K** the width of a query or key, **D** the width of the model. `(..., T, K)` means: any axes, then
# these two.

# %%
# EXERCISE lablib.architecture.attention:attention_scores

# %% [markdown]
# ### Why divide by √K?
#
# Take queries and keys whose entries are independent with mean 0 and variance 1. Each of the K products in a dot product
# has variance 1, and variances of independent terms add up: a dot product has variance K. So wide vectors make large scores, and large
# scores make a softmax that puts everything on one key and no longer moves. The left panel measures the variance. The
# right panel measures what matters for learning: how much gradient the softmax lets through.

# %%
def through_softmax(scores: Tensor) -> float:
    """Mean size of d weights / d scores over the rows: the diagonal of the softmax's Jacobian, w(1 − w)."""
    weights = scores.softmax(dim=-1)
    return (weights * (1 - weights)).mean().item()


generator = torch.Generator().manual_seed(0)
widths = [4, 16, 64, 256, 1024]
pairs = [[torch.randn(400, K, generator=generator) for _ in range(2)] for K in widths]
raw = [q @ k.T for q, k in pairs]
scaled = [attention_scores(q, k) for q, k in pairs]

# %%
fig, (left, right) = figure(cols=2, width=9, height=3.2)
for scores, name, colour in ((raw, "without √K", COLOURS[1]), (scaled, "with √K", COLOURS[0])):
    left.loglog(widths, [s.var().item() for s in scores], "o-", color=colour, label=name)
    right.loglog(widths, [through_softmax(s[:, :16]) for s in scores], "o-", color=colour, label=name)
left.set(xlabel="width K", ylabel="variance of a score")
right.set(xlabel="width K", ylabel="mean w(1 − w), 16 keys")
left.legend()
Picture(fig, "Score variance grows like the width without √K and is 1 with it; the gradient falls without.")

# %% [markdown]
# **What to notice.** On the left the slope is exactly one: variance = K. On the right the softmax without √K lets less and
# less through. Dividing by √K makes both independent of the width (Vaswani et al. 2017, §3.2.1 and footnote 4).
#
# That is an argument about random vectors at the start of training. Does it matter for what a model *learns*? The
# next cells train the smallest possible model on a task that needs a lookup: eight keys with a value each, one query, say
# its value. **Before you run it:** at which width do you expect the scaling to matter, and will the model without it
# fail, or only be slower?

# %%
class Lookup(nn.Module):
    """One attention, one head: which value stands beside the key that equals the query?"""

    def __init__(self, D: int, scale: bool, V: int = 32) -> None:
        super().__init__()
        self.key, self.value = nn.Embedding(V, D), nn.Embedding(V, D)
        self.q, self.k, self.v, self.out = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, V)
        self.gain = 1.0 if scale else math.sqrt(D)  # undoes the division inside attention_scores

    def forward(self, keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
        seen = self.key(keys) + self.value(values)  # (B, S, D)
        scores = self.gain * attention_scores(self.q(self.key(query))[:, None], self.k(seen))  # (B, 1, S)
        return self.out((scores.softmax(-1) @ self.v(seen))[:, 0])  # (B, V)


# %%
def lookups(n: int, generator: torch.Generator, V: int = 32, S: int = 8) -> tuple[Tensor, ...]:
    """n tasks: keys (n, S) without repeats, values (n, S), a query (n,) and the right answer (n,)."""
    keys = torch.rand(n, V, generator=generator).argsort(dim=-1)[:, :S]
    values = torch.randint(V, (n, S), generator=generator)
    asked = torch.randint(S, (n, 1), generator=generator)
    return keys, values, keys.gather(1, asked)[:, 0], values.gather(1, asked)[:, 0]


# %%
def train_lookup(D: int, scale: bool, seed: int, steps: int, report) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = Lookup(D, scale)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    correct = 0.0
    for step in range(steps):
        keys, values, query, answer = lookups(64, generator)
        logits = model(keys, values, query)
        optimiser.zero_grad()
        F.cross_entropy(logits, answer).backward()
        optimiser.step()
        correct += 0.1 * ((logits.argmax(-1) == answer).float().mean().item() - correct)  # a running mean
        report(step, correct)

# %% tags=["varies"]
seeds, steps = lab.profile.pick(smoke=range(1), laptop=range(3)), lab.profile.pick(smoke=10, laptop=200)
for D in (64, 256):
    chart = LiveChart(["with √K", "without √K"], y="share of right answers", title=f"width {D}", bands=True,
                      y_range=(0, 1), alt=f"Learning curves at width {D}, with and without scaling.")
    with chart:
        for seed in seeds:
            train_lookup(D, True, seed, steps, lambda step, share: chart.add(step, **{"with √K": share}))
            train_lookup(D, False, seed, steps, lambda step, share: chart.add(step, **{"without √K": share}))

# %% [markdown]
# **What to notice.** The line is the mean of three runs from different random starts, the band their lowest and
# highest. At width 64 the model without √K sets out later and then solves the task just as well: the projections are
# learned, and nothing stops them from learning to be smaller. At width 256 it learns at once, but its curve flattens
# early: the softmax began on wrong keys, and for those few sentences it hardly lets a gradient through to say so.
# The scaling is a good *start*, and it matters more the wider the head; heads in real models are 64 to 128 wide.

# %% [markdown]
# ## From scores to weights
#
# The softmax turns a row of scores into weights that are positive and sum to one. Two things need care. exp(100) does not
# fit into 32 bits, though the weights themselves are harmless numbers between 0 and 1. And some positions must not be seen
# at all: they need a weight of *exactly* zero, and if a row may see nothing, nothing should come out rather than NaN.

# %%
# EXERCISE lablib.architecture.attention:masked_softmax

# %%
large = torch.tensor([1000.0, 999.0])
print("by the formula, large scores:", (large.exp() / large.exp().sum()).tolist())
print("yours, large scores:         ", [round(w, 3) for w in masked_softmax(large).tolist()])
print("torch.softmax, nothing to see:", torch.tensor([-math.inf, -math.inf]).softmax(-1).tolist())
print("yours, nothing to see:        ", masked_softmax(torch.zeros(2), torch.tensor([False, False])).tolist())

# %% [markdown]
# ## Who may look at whom
#
# A **mask** says which positions may be seen: True = may look. Two masks cover almost everything. The *causal* mask keeps a
# model that predicts the next word from reading it. The *padding* mask hides the filling behind short sentences, so that
# sentences of different lengths fit into one tensor.

# %%
# EXERCISE lablib.architecture.attention:causal_mask

# %%
from lablib.architecture.attention import padding_mask  # five lines: read them with padding_mask??

both = causal_mask(6) & padding_mask([6, 4], 6)  # (T, S) & (B, 1, 1, S) -> (B, 1, T, S)
names = [f"{n}" for n in range(6)]
attention_map(both[:, 0].float(), names, title="1 = may look", head_names=["six words", "four words and padding"])

# %% [markdown]
# **What to notice.** Masks combine with `&` and broadcast: one causal mask serves every sentence, one padding mask every
# head and every query. In the right panel positions 4 and 5 are padding: nobody sees them, but as rows they still compute something.
# Nobody reads that, and a loss must leave it out.

# %%
# EXERCISE lablib.architecture.attention:scaled_dot_product_attention

# %% [markdown]
# PyTorch has the same function. Values and gradients of yours should be those of PyTorch's to about seven digits, the
# precision of 32-bit numbers.

# %%
generator = torch.Generator().manual_seed(1)
q, k, v = (torch.randn(2, 4, 10, 16, generator=generator).requires_grad_() for _ in range(3))  # (B, H, T, K)
mine, _ = scaled_dot_product_attention(q, k, v, causal_mask(10))
theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(10))
my_gradients = torch.autograd.grad(mine.square().sum(), [q, k, v])
their_gradients = torch.autograd.grad(theirs.square().sum(), [q, k, v])
worst = max((a - b).abs().max().item() for a, b in zip(my_gradients, their_gradients, strict=True))
print("outputs agree:  ", torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6))
print("gradients agree:", worst < 1e-4)

# %% [markdown]
# ### Play with it
#
# The sliders below call *your* function on one small sentence. The queries and keys are made by hand so that a word
# asks for its subject: `sat` looks for the animal, `black` for what it describes.

# %%
words = ["the", "black", "cat", "sat", "down"]
# One row for each word: how much it asks for, and how much it is, a (verb, noun, any word).
wants = 2 * torch.tensor([[0, 0, 1.0], [0, 2, 0], [0, 0, 0], [0, 3, 0], [2, 0, 0]])
offers = 2 * torch.tensor([[0, 0, 0.5], [0, 0, 1.0], [0, 1, 0.5], [1, 0, 0.5], [0, 0, 0.5]])
contents = torch.eye(5)
attention_explorer(scaled_dot_product_attention, wants, offers, contents, words, query=3, key=2)

# %% [markdown]
# **Try.** Raise the sharpness: the weights go towards a hard choice, the dictionary of the beginning. Lower it to zero: every word is
# treated alike, whatever the scores. Choose the causal mask and watch `black` lose the noun that it describes, because `cat`
# comes later. A left-to-right model has to wait for the noun and do the work there.

# %% [markdown]
# ## Many heads
#
# One attention computes one set of weights for each query: one mixture. A word may need several things at once, from several places. So the width D is
# cut into H **heads** of width K = D/H, each head attends by itself, and the results are put side by side again. That costs no more
# than one wide head: the same projections, the same number of multiplications.

# %%
# EXERCISE lablib.architecture.attention:split_heads

# %%
# EXERCISE lablib.architecture.attention:merge_heads

# %% [markdown]
# Now the whole layer. It holds four learned projections. With one sequence it is **self-attention**; given a second
# sequence, `context`, it is **cross-attention**: x asks, context answers. A translator's decoder looks at the source
# sentence in just this way (lab 04).

# %%
# EXERCISE lablib.architecture.attention:MultiHeadAttention.forward

# %%
layer = MultiHeadAttention(D=64, H=4)
sentence, other = torch.randn(2, 7, 64), torch.randn(2, 11, 64)
for name, (output, weights) in {"self ": layer(sentence), "cross": layer(sentence, other)}.items():
    print(name, "output", tuple(output.shape), "weights", tuple(weights.shape))
print("parameters:", sum(p.numel() for p in layer.parameters()), "= 4·D² + 4·D =", 4 * 64**2 + 4 * 64)

# %% [markdown]
# ### How many heads does a task need?
#
# The paper's argument for many heads is that one head averages, and that averaging stands in the way of using several
# positions at once (Vaswani et al. 2017, §3.2.2). A claim that can be tested. The task: twelve random letters come in, and
# the last position must name *four* of them, those at the positions 0, 3, 6 and 9. The model is one attention layer of width 64 and one linear
# layer; only the number of heads changes, the number of parameters does not.
#
# **Before you run it:** what share of the letters can *one* head get right? A quarter?

# %%
class FourAtOnce(nn.Module):
    """Name the letters at four places, from one attention of the last position over all twelve."""

    def __init__(self, H: int, D: int = 64, V: int = 16, T: int = 12) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(V, D), nn.Embedding(T, D)
        self.attention, self.out = MultiHeadAttention(D, H), nn.Linear(D, 4 * V)

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        x = self.letter(letters) + self.place.weight  # (B, T, D)
        output, weights = self.attention(x[:, -1:], context=x)  # (B, 1, D), (B, H, 1, T)
        return self.out(output).view(len(letters), 4, -1), weights  # (B, 4, V)


# %%
def train_four(H: int, seed: int, steps: int, report) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = FourAtOnce(H)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        letters = torch.randint(16, (128, 12), generator=generator)
        wanted = letters[:, [0, 3, 6, 9]]
        logits, _ = model(letters)
        optimiser.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), wanted.flatten()).backward()
        optimiser.step()
        report(step, (logits.argmax(-1) == wanted).float().mean().item())
    return model

# %% tags=["varies"]
steps, models = lab.profile.pick(smoke=10, laptop=400), {}
names = {1: "1 head", 2: "2 heads", 4: "4 heads", 8: "8 heads"}
chart = LiveChart(list(names.values()), y="share of letters right", bands=True, y_range=(0, 1),
                  alt="Learning curves for 1, 2, 4 and 8 heads, bands over three seeds.")
with chart:
    for seed in seeds:
        for H, name in names.items():
            models[H] = train_four(H, seed, steps, lambda step, share: chart.add(step, **{name: share}))

# %% tags=["varies"]
letters = torch.randint(16, (4000, 12), generator=torch.Generator().manual_seed(99))  # unseen
for H, model in models.items():
    right = (model(letters)[0].argmax(-1) == letters[:, [0, 3, 6, 9]]).float()  # (B, 4)
    print(f"{names[H]:>7}: {right.mean():.2f} of the letters, all four {right.prod(-1).mean():.2f}")

# %% tags=["varies"]
with torch.no_grad():
    weights = {H: model(letters)[1].mean(dim=0)[:, 0] for H, model in models.items()}  # (H, T)
places = [str(t) for t in range(12)]
attention_map(weights[4], [f"head {h}" for h in range(4)], places, "four heads: mean weight on each place")

# %% [markdown]
# **What to notice.** Four heads share the work and solve the task; eight do no better. In the map, look at which places each head took. One head does far
# better than a quarter: it spreads its weight over the four places and the linear layer pulls the mixture apart again, which is possible
# because 64 dimensions hold several letters at once. But it never gets there: averaging does not make it impossible, it makes it noisy. So the
# paper is right about the direction; one head is handicapped, not helpless.

# %% [markdown]
# ## What attention costs
#
# All T queries meet all S keys, so the scores are a T×S matrix *for each head*. For a text of 100,000 tokens that is ten billion
# numbers per head. Yet the output is only T×V. Are all the scores ever needed at the same time?
#
# No. The next exercise is an extra, and a jewel: exact attention, block by block.

# %%
# EXERCISE lablib.architecture.attention:streaming_attention

# %%
from lablib.measure import median_seconds, peak_bytes

variants = {
    "full (yours)": lambda q: scaled_dot_product_attention(q, q, q)[0],
    "streaming (yours)": lambda q: streaming_attention(q, q, q, block=128),
    "PyTorch, fused": lambda q: F.scaled_dot_product_attention(q, q, q),
}
lengths = lab.profile.pick(smoke=[128, 256], laptop=[256, 512, 1024, 2048, 4096])
inputs = [torch.randn(1, 4, T, 32) for T in lengths]
with torch.no_grad():
    memory = {name: [peak_bytes(lambda: f(x)) for x in inputs] for name, f in variants.items()}
    seconds = {name: [median_seconds(lambda: f(x), 3) for x in inputs] for name, f in variants.items()}

# %% tags=["varies"]
fig, (left, right) = figure(cols=2, width=9, height=3.2)
for name, colour in zip(variants, COLOURS, strict=False):
    left.loglog(lengths, [m / 1e6 for m in memory[name]], "o-", color=colour, label=name)
    right.loglog(lengths, [1000 * s for s in seconds[name]], "o-", color=colour, label=name)
left.set(ylabel="peak memory (MB)")
right.set(ylabel="time (ms)")
for ax in (left, right):
    ax.set(xlabel="length T", xticks=lengths, xticklabels=lengths, xlim=(0.8 * lengths[0], 1.25 * lengths[-1]))
    ax.minorticks_off()
left.legend()
Picture(fig, "Against length: the memory of full attention grows quadratically, of the others linearly.")

# %% tags=["varies"]
x = inputs[-1]
difference = (variants["full (yours)"](x) - variants["streaming (yours)"](x)).abs().max().item()
saved = memory["full (yours)"][-1] / memory["streaming (yours)"][-1]
print(f"length {lengths[-1]}: {saved:.0f} times less memory, outputs differ by at most {difference:.0e}")

# %% [markdown]
# **What to notice.** Double the length: full attention takes four times the memory, streaming twice. *Time* stays quadratic for all three (every query
# still meets every key); the fused kernel is faster because the scores never leave the processor's cache. This is how
# models came to read whole books: not by approximating attention, by never writing it down (Dao et al. 2022).

# %% [markdown]
# ## Summary

# %%
lab.summary()

# %% [markdown]
# ### Questions to think about
#
# <details><summary>1 · Attention has no parameters of its own: softmax(QKᵀ/√K)V. What, then, is learned?</summary>
#
# The projections that make queries, keys and values, and the one after merging. They decide what counts as a match and what is handed
# over. Everything between them is fixed arithmetic.
#
# </details>
#
# <details><summary>2 · What would happen if keys and values were the same vectors?</summary>
#
# A position would hand over exactly what it is found by. Often that is the wrong thing: in the lookup task a position is found by its *key* and must hand over its
# *value*. Separate projections let the two differ.
#
# </details>
#
# <details><summary>3 · Why is a forbidden score set to −∞ and not to 0?</summary>
#
# exp(0) = 1 is an ordinary weight, before normalising; for a row of negative scores it would even be the largest. Only exp(−∞) is exactly 0.
#
# </details>
#
# <details><summary>4 · Shuffle the words of a sentence. How do the outputs of self-attention change?</summary>
#
# They are shuffled in the same way, and not changed otherwise: nothing in the formula knows the order. Lab 03 starts from here.
#
# </details>
#
# <details><summary>5 · With a causal mask, which row of the weights is always the same, whatever the model?</summary>
#
# The first: position 0 may only see itself, so its weight is 1. It gets back its own value, whatever the query.
#
# </details>
#
# <details><summary>6 · Why are heads 64 to 128 wide in models of every size?</summary>
#
# Very narrow heads can tell few keys apart (at width 16 the lookup above learns far more slowly: try `train_lookup(16, …)`); very wide ones leave fewer heads for
# the same cost, and so fewer mixtures per position. The number of heads grows with the model instead.
#
# </details>

# %% [markdown]
# ### Papers
#
# - Bahdanau, Cho & Bengio 2015, *Neural Machine Translation by Jointly Learning to Align and Translate*: attention before the
#   Transformer, as an aid to a recurrent network.
# - Vaswani et al. 2017, *Attention Is All You Need*: the formula (equation 1), the heads (§3.2.2), the scaling (§3.2.1).
# - Clark, Khandelwal, Levy & Manning 2019, *What Does BERT Look At?*: how heads are measured against relations.
# - Jain & Wallace 2019, *Attention is not Explanation*; Wiegreffe & Pinter 2019, *Attention is not not Explanation*.
# - Milakov & Gimelshein 2018, *Online normalizer calculation for softmax*; Dao et al. 2022, *FlashAttention*: exact attention in little memory.
#
# **Next:** lab 03, how a model knows the order of its words.
