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
# **Time**: about two hours with the eight exercises. Running every cell takes less than two minutes on two CPU cores, and about 1.2 GB.
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
    chart = LiveChart(
        ["with √K", "without √K"],
        y="share of right answers",
        title=f"width {D}",
        bands=True,
        y_range=(0, 1),
        alt=f"Learning curves at width {D}, with and without scaling.",
    )
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
# The sliders below call *your* function on one small sentence. Queries and keys are made by hand: `sat` asks for a
# noun, since somebody must be sitting; `black` asks for a noun too, the one that it describes.

# %%
words = ["the", "black", "cat", "sat", "down"]
# One row for each word: how much it asks for, and how much it is, a (verb, noun, any word).
wants = torch.tensor([[0, 0, 1.0], [0, 2, 0], [0, 0, 0], [0, 3, 0], [2, 0, 0]])
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
chart = LiveChart(
    list(names.values()),
    y="share of letters right",
    bands=True,
    y_range=(0, 1),
    alt="Learning curves for 1, 2, 4 and 8 heads, bands over three seeds.",
)
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
# because 64 dimensions hold several letters at once. But in these 400 steps it does not get there: averaging does not make it impossible, it makes it noisy. So the
# paper is right about the direction; one head is handicapped, not helpless.

# %% [markdown]
# ## What a real model's heads look at
#
# So far the attention was yours, on vectors that you chose. Now a model that was trained on more than a
# billion pairs of sentences: **all-MiniLM-L6-v2**, a BERT with 6 layers of 12 heads. It was distilled from
# a larger Transformer (Wang et al. 2020, "MiniLM", [arXiv:2002.10957](https://arxiv.org/abs/2002.10957))
# and then trained to give sentences of like meaning like vectors (Reimers & Gurevych 2019,
# [arXiv:1908.10084](https://arxiv.org/abs/1908.10084)). It is an encoder: no causal mask, every token sees
# both sides.
#
# Introductions to attention like to say that one head *might* learn syntax, another meaning, a third
# coreference, and that attention is how a model knows what "it" refers to. Here are 72 heads. We can ask
# them.

# %% tags=["varies"]
import numpy as np

from lablib.architecture.head_sentences import read_sentences
from lablib.models import ModelNotFound, attentions, load, stand_in
from lablib.paths import data_path

singles, twins = read_sentences(data_path("head_sentences.toml"))
try:
    minilm = load("minilm")
except ModelNotFound as missing:
    texts = [s.text for s in singles] + [s.text for t in twins for s in (t.first, t.second)]
    minilm = stand_in("minilm", texts)
    print(f"{missing}\nUntil then an UNTRAINED model of the same shape stands in.")

# %% [markdown]
# The sentence that made attention famous is "The animal didn't cross the street because it was too tired",
# from Google's announcement of the Transformer in 2017. Say *wide* in place of *tired*, and "it" is the
# street.

# %%
tokens, attention = attentions(minilm, "The animal didn't cross the street because it was too tired.")
print(" ".join(tokens))
print("attention (L, H, T, T):", attention.shape)
print("rows sum to 1:", bool(abs(attention.sum(-1) - 1).max() < 1e-4))

# %% [markdown]
# ### Every head, under the mouse
# BertViz (Vig 2019, [arXiv:1906.05714](https://arxiv.org/abs/1906.05714)) draws a line from each token on
# the left to the tokens that it attends to, one colour for each head. Choose a layer above the drawing.
# Rest the mouse on a token to see its lines alone; click a coloured square to switch that head off,
# double-click to see it alone.

# %%
from lablib.show.attention_view import bertviz_view, heat_map

bertviz_view(attention, tokens, view="head", layers=[3, 0, 1, 2, 4, 5], heads=[1])

# %% [markdown]
# **What to notice.** In layer 3, head 1, rest the mouse on *it*: a line to *animal*, and hardly one to
# *street*. Go to layer 0 and double-click head 2: every token looks at the one before it. Then try any head
# of layer 1 or 4: most lines end at `[CLS]`, a token that stands before every sentence and means nothing.

# %%
bertviz_view(attention, tokens, view="model")

# %% [markdown]
# **What to notice.** Each cell is one head of one layer (click it to enlarge). Parallel slanted lines are
# heads that look at a neighbour; fans that close on the top are heads that look at `[CLS]`.

# %%
from lablib.show.heads import dumbbells, head_thumbnails, interval_plot, role_grid

head_thumbnails(attention, "72 heads on one sentence (row looks at column)", marked=[(0, 2), (3, 1)])

# %% [markdown]
# **What to notice.** The same as maps. The sharp diagonal in layer 0 is head 2, the head that looks one
# back. Dark first columns are `[CLS]`. The other framed map is layer 3, head 1: we shall meet it again.
#
# ### From a picture to a measurement
# One sentence proves nothing: with 72 heads, some head looks as you wish. We need many sentences, a score,
# and a fair test. The course has 66 sentences of its own with marked relations, and 50 pairs of twins like
# the tired/wide pair.

# %%
from lablib.architecture.head_roles import see
from lablib.models import attentions_of


def look(sentences):
    read = attentions_of(minilm, [sentence.text for sentence in sentences])
    return [see(sentence, *one) for sentence, one in zip(sentences, read, strict=True)]


seen = look(singles)  # all of them in one pass

# %%
print(len(seen), "sentences, for example:", seen[0].sentence.text)
words, relations = seen[0].sentence.words, seen[0].sentence.relations
for kind in relations:
    print(f"  {kind:<11}", ", ".join(f"{words[r.source]} → {words[r.target]}" for r in relations[kind]))

# %% [markdown]
# **Where does a head look on average?** The share of attention that goes to the token before, the token
# after, the token itself, the separators `[CLS]` and `[SEP]`, and punctuation, averaged over all words.

# %%
from lablib.architecture.head_roles import head_name, mean_profile, profile

mean = mean_profile([profile(one.attention, one.tokens) for one in seen])
for role in ("previous", "next", "same", "[CLS]", "[SEP]", "punctuation"):
    best = int(mean[role].argmax())
    top = f"{mean[role].max():.2f} in {head_name(best, 12)}"
    print(f"{role:<12} {mean[role].mean():.2f} on average over heads, at most {top}")
size = sum(len(one.tokens) for one in seen) / len(seen)
print(f"entropy      {mean['entropy'].mean():.2f} nats on average, from {mean['entropy'].min():.2f}", end=" ")
print(f"to {mean['entropy'].max():.2f}; looking at {size:.0f} tokens alike would be {np.log(size):.2f}")

# %%
awake = 1 - mean["[CLS]"] - mean["[SEP]"]
role_grid({role: mean[role] / awake for role in ("previous", "next", "same", "punctuation")}, threshold=0.4,
          title="Of the attention that does not go to [CLS] or [SEP]: the largest share (%)")  # fmt: skip

# %% [markdown]
# **What to notice.** Nearly half of all attention goes to one token without meaning. Clark et al. 2019
# found the same in BERT, there at `[SEP]`, and read it as a way of doing nothing: a softmax must put its
# weight *somewhere*. In what is left, one head in layer 0 is a pure step back, others of layers 1 and 2
# step back or ahead, one in layer 3 gathers at punctuation. Only one later head keeps such a rule
# of place, and layer 5 has none. (Head 2 of layer 0 gets 0.92, not 1, above: the first word has no word before it.)
#
# ### Which heads know grammar?
# The method is that of Clark et al. 2019, "What Does BERT Look At?"
# ([arXiv:1906.04341](https://arxiv.org/abs/1906.04341), section 4). A head's *answer* for a word is the
# other word it attends to most; its score is how often the answer is right. Attention to the pieces of a
# split word is added up. Separators and punctuation are not answers.
#
# Two traps. *The rule with no model*: "the word after" is often the noun of an article, so each score
# stands beside the best fixed offset. *The best of 72*: throw 72 fair coins and the luckiest looks gifted.
# So the head is chosen on every second sentence and scored on the others. So is the offset.

# %%
from lablib.architecture.head_roles import OFFSETS, chance, choose_then_test, relation_scores

names = {"pronoun": "pronoun noun", "subject": "verb subject"}
names |= {"determiner": "article noun", "object": "object verb"}
scores = []
for kind, ends in names.items():
    for backwards in (False, True):
        label = " → ".join(ends.split()[:: -1 if backwards else 1])
        heads, offsets = relation_scores(seen, kind, backwards)
        half = np.arange(len(heads)) % 2 == 0
        ours, rule = choose_then_test(heads, half), choose_then_test(offsets, half)
        scores.append((label, ours.on_held_out, ours.low, ours.high, rule.on_held_out))
        print(f"{label:<16} {head_name(ours.best, 12)}: {ours.on_chosen:.2f} where chosen,", end=" ")
        print(f"{ours.on_held_out:.2f} held out [{ours.low:.2f}, {ours.high:.2f}];", end=" ")
        print(f"offset {OFFSETS[rule.best]:+d}: {rule.on_held_out:.2f}")

# %%
interval_plot(scores, "share of right answers on held-out sentences", ("best head", "best fixed offset"),
              chance=chance(seen, "subject"))  # fmt: skip

# %%
from lablib.architecture.head_roles import preference

layer, head = 3, 1  # the winner of pronoun → noun
right, nearer, count = 0, 0, 0
for one in [one for one in seen if "pronoun" in one.sentence.relations][1::2]:  # the held-out sentences
    for relation in one.sentence.relations["pronoun"]:
        right += preference(one.by_word, relation)[layer, head] > 0
        nearer += abs(relation.target - relation.source) < abs(relation.rival - relation.source)
        count += 1
print(f"right noun or rival? layer 3, head 1: {right} of {count}; the rule “the nearer one”: {nearer}")

# %% [markdown]
# **What to notice.** Objects find their verbs and pronouns their nouns far better than any fixed offset,
# and between two nouns the pronoun's head beats "the nearer one" too: those heads know something that is
# not position. Articles find their nouns, across adjectives too. But *verb → subject* is no better than
# "the word before", and the head that won is one that looks at the word before. A measurement that can say
# no is worth more than a picture. (Intervals: Wilson 1927, each sentence counted once.)
#
# ### Does attention follow the meaning?
# A head may find the right noun by habit: the first, the nearest, the living one. The twins can tell. Only
# one word changes, and with it the noun that is meant. A head with a habit gives both the same answer. A
# head that follows the meaning *moves* its attention. **Before you run the next cells: how many of the 72
# will?**

# %%
from dataclasses import replace

from lablib.architecture.head_roles import twin_shift

first, second = look([twin.first for twin in twins]), look([twin.second for twin in twins])


def shifts_of(first, second, step=0):
    """How far the attention of the pronoun (or of a word `step` away) moves: (pairs, L, H), points of 100."""
    moved = []
    for a, b in zip(first, second, strict=True):
        asked = a.sentence.relations["pronoun"][0]
        moved.append(100 * twin_shift(a.by_word, b.by_word, replace(asked, source=asked.source + step)))
    return np.stack(moved)


# %%
shifts = shifts_of(first, second)
heat_map(shifts[0], [str(i) for i in range(6)], [str(i) for i in range(12)], x="head", y="layer",
         title="tired → wide", label="points of 100",
         alt="For each head, how far the attention of “it” moves from animal to street.")  # fmt: skip

# %% [markdown]
# **What to notice.** One head stands out: the same layer 3, head 1. But this is one sentence of fifty, and
# the one that we went looking for. Choose a head on half of the pairs; test it on the other half.

# %%
from lablib.architecture.head_roles import best_of_coins, bootstrap_interval

flat = shifts.reshape(len(shifts), -1)  # (pairs, L·H)
half = np.arange(len(flat)) % 2 == 0
chosen = int(flat[half].mean(0).argmax())
held_out = flat[~half, chosen]
low, high = bootstrap_interval(held_out, np.random.default_rng(0))
print(f"chosen on {half.sum()} pairs: {head_name(chosen, 12)}, {flat[half, chosen].mean():.1f} points there")
print(f"on the other {len(held_out)}: {held_out.mean():.1f} points, 95 % interval {low:.1f} to {high:.1f},")
print(f"and the right way in {(held_out > 0).sum()} pairs of {len(held_out)}")
print(f"all 72 heads together: {flat.mean():.2f} points")
by_sign = choose_then_test(1.0 * (flat > 0), half)
print(f"the head most often right: {by_sign.on_chosen:.2f} where chosen, {by_sign.on_held_out:.2f} held out")
print(f"the luckiest of 72 coins:  {best_of_coins(72, int(half.sum())):.2f} where chosen, 0.50 held out")

# %%
layer, head = divmod(chosen, 12)
rows = []
for place in np.flatnonzero(~half):
    twin = twins[place]
    leaning = [preference(one[place].by_word, twin.relation)[layer, head] for one in (first, second)]
    rows.append((f"{' / '.join(twin.nouns)}: {' → '.join(twin.words)}", *map(float, leaning)))
both = sum(one > 0 > two for _, one, two in rows)
print("more attention to the right noun in both twins:", both, "of", len(rows))
dumbbells(rows, "the pronoun's attention: to the first noun minus to the second",
          ("first noun meant", "second noun meant"), "The chosen head on held-out twins")  # fmt: skip

# %% [markdown]
# **What to notice.** A mark right of the line means that the pronoun looks more at the first noun. When the
# meaning goes to the second noun, the mark goes left in most pairs: this head does follow the meaning. But
# only in some does it cross the line; most often the pronoun goes on looking at the noun that the head
# favoured anyway.

# %%
for twin, *pair in zip(twins[:3], first, second, strict=False):
    for one in pair:
        row = one.by_word[layer, head, twin.relation.source]
        to_first, to_second = row[twin.relation.target], row[twin.relation.rival]
        print(f"{twin.nouns[0]} {to_first:.2f}  {twin.nouns[1]} {to_second:.2f}   {one.sentence.text}")

# %% [markdown]
# **What to notice.** When the street is too wide, "it" looks more at the street than before, and still most
# at the *animal*. The famous picture is half true here: the attention moves, and mostly does not flip.
#
# **Two controls.** An accident of lengths, or of how much a word attracts, would also show at the word
# *before* the pronoun; and it would show when a pair gets two words that belong to another pair and decide
# nothing here.

# %%
from lablib.architecture.head_sentences import foreign_twins

foreign = foreign_twins(twins)
for name, points in {
    "the pronoun": shifts,
    "the word before it": shifts_of(first, second, step=-1),
    "words of another pair": shifts_of(look([t.first for t in foreign]), look([t.second for t in foreign])),
}.items():
    moved = points[:, layer, head]
    low, high = bootstrap_interval(moved, np.random.default_rng(0))
    print(f"{name:<22} {moved.mean():5.1f} points, 95 % interval {low:.1f} to {high:.1f}")

# %% [markdown]
# **What to notice.** Both controls lie at zero, or next to it. The shift belongs to the pronoun and to
# words that decide.
#
# ### Does the model *use* that head?
# Attention says where a head looks, not whether anything comes of it. So look at what the model makes of
# the pronoun: is the last layer's vector of "it" nearer (in cosine) to that of the right noun than to that
# of the wrong one? And what is left of this when the head is cut out? **Write down your guess before you
# run it.**

# %%
from lablib.architecture.head_roles import piece_groups, vector_preference
from lablib.models import without_heads, word_vectors

pairs_read = lab.profile.pick(smoke=8, laptop=len(twins))
sentences = [sentence for twin in twins[:pairs_read] for sentence in (twin.first, twin.second)]


def nearer_to_right_noun():
    """For each pair of twins a mean over both, so that a habit (always the first noun) comes to 0."""
    near = []
    read = word_vectors(minilm, [sentence.text for sentence in sentences])
    for sentence, (tokens, vectors) in zip(sentences, read, strict=True):
        groups = piece_groups(tokens, sentence.words)
        near.append(vector_preference(vectors, groups, sentence.relations["pronoun"][0]))
    return np.reshape(near, (-1, 2)).mean(1)


# %% tags=["varies"]
def interval(values):
    return "95 % interval {:+.0%} to {:+.0%}".format(*bootstrap_interval(values, np.random.default_rng(0)))


whole = nearer_to_right_noun()
print(f"whole model: the right noun is nearer by {whole.mean():.3f} (difference of cosines),")
print(f"{interval(whole / whole.mean())} of that; the right way in {(whole > 0).sum()} pairs of {len(whole)}")
cuts, cut_layers = {head_name(chosen, 12): [(layer, head)]}, range(lab.profile.pick(smoke=0, laptop=6))
cuts |= {f"all 12 heads of layer {cut}": [(cut, other) for other in range(12)] for cut in cut_layers}
for name, heads in cuts.items():
    with without_heads(minilm, heads):
        change = (nearer_to_right_noun() - whole) / whole.mean()
    print(f"without {name:<23} {change.mean():+5.0%}   {interval(change)}")

# %% [markdown]
# **What to notice.** The model does tell the twins apart, in the vector of the pronoun. And the head whose
# attention shows it most beautifully is not what does it: cut it out, and the effect stays as it was. Cut
# out all of layer 2, *before* that head, and more than half is gone. The head looks at an answer that was
# already there. (To lose a whole layer harms everything else too, so read those lines as hints. The line of
# the one head is the finding.)
#
# That is the argument of Jain & Wallace 2019, "Attention is not Explanation"
# ([arXiv:1902.10186](https://arxiv.org/abs/1902.10186)), and of the reply, Wiegreffe & Pinter 2019,
# "Attention is not not Explanation" ([arXiv:1908.04626](https://arxiv.org/abs/1908.04626)): a weight is a
# fact about what was mixed, and a clue; whether it *mattered* takes an intervention, such as the one above.
# Our own has limits too. The vector of one token after the last layer is one place where the answer could
# be read; "it" may be near *animal* because *tired* is; one model of 6 layers, made for sentence vectors,
# is not all models.
#
# ### Questions on this section
# 1. Layer 0 can hardly shift its attention from "it" between the twins. Why? And what follows from layer 3
# for layers 0 to 2?
#
# <details><summary>Answer</summary>
#
# A weight of layer 0 comes from the query of "it" and the keys of all tokens, each made of one token's
# embedding and its place. The word that changed is in none of these but its own key. It can change how much
# is left for the others (the softmax shares out a whole), but the scores of *animal* and *street* stay as
# they were, and so does the ratio of their weights. For the ratio to move in layer 3, the vector of "it" or
# of a noun must already hold something of *tired* or *wide*, carried there by layers 0, 1 and 2. So the
# attention of layer 3 is partly a *result* of the meaning being found, not only its cause.
# </details>
#
# 2. The best head for *verb → subject* scored well. Why is it still no finding?
#
# <details><summary>Answer</summary>
#
# Because the rule "the word before" scores as well on the same sentences. In English the subject often
# stands right before its verb, so a head that looks one back is right often, whatever it knows. Test it
# where the two part: subjects with something in between ("the train *from the coast* reached"). A score
# means something only beside what a thing without knowledge would score.
# </details>
#
# 3. Suppose you look at all 72 heads on all pairs and report the best. What is wrong, and how wrong could
# it be?
#
# <details><summary>Answer</summary>
#
# The best of many noisy scores is high for two reasons: it is good, and it was lucky. The coins above show
# how lucky: heads that know nothing reach that share where they are chosen, and a half where they are
# tested. Choosing on one half and reporting on the other takes the luck away, at the price of fewer pairs,
# hence of a wider interval. (A model has the same trouble with its training data; that is what a validation
# set is for.)
# </details>
#
# 4. Half of the attention goes to `[CLS]` and `[SEP]`. Is it wasted? How would you find out?
#
# <details><summary>Answer</summary>
#
# A large weight on a token whose value vector is small moves little: look at weight times the length of the
# value after W_O, not at the weight alone (Kobayashi et al. 2020,
# [arXiv:2004.10102](https://arxiv.org/abs/2004.10102), found that BERT's weight on separators mostly meets
# small vectors). Or intervene: mask those two keys, let the softmax share the rest out, and see what
# breaks. A head that is made to look elsewhere all the time may do more harm than one that can rest. Models
# read to the left do the same with their first token ("attention sinks", Xiao et al. 2023,
# [arXiv:2309.17453](https://arxiv.org/abs/2309.17453)).
# </details>

# %% [markdown]
# ## What attention costs
#
# All T queries meet all S keys, so the scores are a T×S matrix *for each head*. For a text of 100,000 tokens that is ten billion
# numbers per head. Yet the output is only T×V. Are all the scores ever needed at the same time?
#
# No. The next exercise, an extra, computes exact attention block by block.

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
inputs = [torch.randn(1, 2, T, 32) for T in lengths]  # two heads
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
# still meets every key); the fused kernel is faster because it never writes the scores out to main memory. This is how
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
