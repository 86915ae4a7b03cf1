# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 04 · The whole transformer
#
# Attention moves information between positions. That is all it does: it averages. A model also has to *work* on what
# it has gathered, keep its numbers in a healthy range, and still learn when many layers are stacked. In this lab you
# write the parts that do this, put them together into the model of 2017, and teach it in a minute or two to read dates
# the way people write them: `Fri, 3rd of May '19` becomes `2019-05-03`.
#
# Then you take it apart again, to see which parts were needed; give the same encoder pictures, a time series and
# sounds to read; and rebuild it the way models are built today, so exactly that the weights fit into Llama's code.
#
# **You will be able to**
#
# - write LayerNorm, RMSNorm, the feed-forward network, SwiGLU and both kinds of residual connection;
# - assemble an encoder layer, a decoder layer with cross-attention, and the whole encoder–decoder, equal to PyTorch's;
# - say what goes wrong without residuals, without norms, with the norm in the wrong place, because you have seen it;
# - generate with greedy and beam search, and read the cross-attention as an alignment;
# - name the five changes that lead from the model of 2017 to Llama.
#
# **You need** labs 02 and 03.
# **Time**: about two hours with the nine exercises. Running every cell takes about three minutes on two CPU cores, and
# less than 1.5 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
import copy
import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lablib.architecture.attention import causal_mask, padding_mask
from lablib.architecture.encoder_decoder import PAD, Encoder, TiedEmbedding, TransformerConfig, attention_maps, count
from lablib.architecture.layers import Connection, LayerNorm, RMSNorm
from lablib.show.blocks import transformer_map
from lablib.show.attention_view import attention_map
from lablib.show.live import LiveChart, Panel
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, Picture, figure

# %% tags=["varies"]
from lablib import course

lab = course.begin("04")

# %% [markdown]
# ## Where we are going
#
# This is the model of 2017 (Vaswani et al., "Attention Is All You Need"). Orange you have: lab 02. Grey you have too:
# the embedding, with the positions of lab 03. The rest is written in this lab, from the bottom up.

# %%
transformer_map()

# %% [markdown]
# **What to notice.** Two columns: the *encoder* reads the source, all of it at once; the *decoder* writes the target, one token
# after another, and looks across at what was read (the red arrow). The blue arrows lead *around* every sublayer: those
# are the residual connections. Follow one colour upwards: everything that is in the model, it is in there L times.
#
# Letters: **B** sentences in a batch, **T** positions of the target, **S** positions of the source, **D** the width of the
# model, **H** heads, **L** layers, **V** tokens in the vocabulary.

# %% [markdown]
# ## Numbers in a healthy range: LayerNorm
#
# Stack enough layers and the numbers that flow through them grow, or die out. *Layer normalisation* (Ba, Kiros and Hinton
# 2016) puts them right at every position: it shifts the D features of a position to mean 0 and scales them to variance 1.
# Then it lets the model choose another scale and shift, a learned `weight` and `bias` for each feature.

# %%
# EXERCISE lablib.architecture.layers:layer_norm

# %%
generator = torch.Generator().manual_seed(0)
x = torch.randn(4, 16, generator=generator) * torch.tensor([[1.0], [5.0], [1.0], [0.1]]) + torch.tensor(
    [[0.0], [0], [8], [0]]
)
normed = layer_norm(x, torch.ones(16), torch.zeros(16))
print(f"{'position':<10}{'mean':>7}{'std':>7}   ->{'mean':>7}{'std':>7}")
for before, after, name in zip(x, normed, ("usual", "large", "shifted", "small"), strict=True):
    numbers = [before.mean(), before.std(correction=0), after.mean(), after.std(correction=0)]
    print(f"{name:<10}{numbers[0]:>7.2f}{numbers[1]:>7.2f}     {abs(numbers[2]):>7.2f}{numbers[3]:>7.2f}")

# %% [markdown]
# **What to notice.** Whatever came in, what goes out has mean 0 and standard deviation 1, and each position was put
# right by itself. What is lost is how large the features were in all; what is kept is how they compare to each other.
#
# ## The same with less: RMSNorm
#
# Zhang and Sennrich (2019) asked whether the shift is needed at all, and dropped it. That is what Llama and most models since
# use. There is one statistic less to compute, and no bias.

# %%
# EXERCISE lablib.architecture.layers:rms_norm

# %%
one, zero = torch.ones(16), torch.zeros(16)
norms: dict[str, Callable[[Tensor], Tensor]] = {
    "LayerNorm": lambda x: layer_norm(x, one, zero),
    "RMSNorm": lambda x: rms_norm(x, one),
}
x = torch.randn(100, 16, generator=generator)
print(f"{'largest change when x becomes':<32}{'10 x':>8}{'x + 3':>8}{'−x':>8}")
for name, norm in norms.items():
    changes = [(norm(10 * x) - norm(x)), (norm(x + 3) - norm(x)), (norm(-x) + norm(x))]
    print(f"{name:<32}" + "".join(f"{change.abs().max():>8.2f}" for change in changes))

# %% [markdown]
# **What to notice.** Neither norm cares about the *scale* of what comes in. LayerNorm does not care about a *shift*
# either; RMSNorm does. (The last column compares −x with the negative of what x gave.)

# %% [markdown]
# ## Working on it: the feed-forward network
#
# After attention has gathered, each position works alone on what it has got: two linear layers with a nonlinearity between them,
# the inner one usually four times as wide as the model.

# %%
# EXERCISE lablib.architecture.layers:FeedForward.forward

# %% [markdown]
# Today's models use a network with a *gate* (Shazeer 2020): one half decides, feature by feature, how much of the other half
# passes.

# %%
# EXERCISE lablib.architecture.layers:SwiGLU.forward

# %% [markdown]
# Does the gate help, or does it just have one matrix more? A fair comparison keeps the number of parameters: with three
# matrices, the inner width goes down to two thirds. The task: eight numbers come in, and the products of neighbouring
# pairs should come out. **Before you run it**, guess which network is better at multiplying, and by how much.

# %% tags=["varies"]
networks: dict[str, Callable[[], nn.Module]] = {
    "ReLU, 96 wide": lambda: FeedForward(8, 96),
    "GELU, 96 wide": lambda: FeedForward(8, 96, F.gelu),
    "SwiGLU, 64 wide": lambda: SwiGLU(8, 64),
}


# %%
def multiply(network: nn.Module) -> float:
    """Train a network to multiply neighbours; its last squared error."""
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, fused=True)
    for _ in range(lab.profile.pick(smoke=20, laptop=300, gpu=300)):
        x = torch.randn(256, 8)
        loss = (network(x) - x * x.roll(1, dims=-1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


# %% tags=["varies"]
for name, make in networks.items():
    errors = []
    for seed in range(3):
        torch.manual_seed(seed)
        errors.append(multiply(make()))
    print(f"{name:<18}{count(make()):>6} parameters, squared error {min(errors):.3f} to {max(errors):.3f}")

# %% [markdown]
# **What to notice.** The answer is a product, and a gate *is* a product: here it wins by a wide margin. A target was chosen that
# suits it, so this shows what a gate *can* do, not that language needs it. Shazeer found the gated networks a little better at
# language, and offered no explanation; he attributed their success to "divine benevolence".

# %% [markdown]
# ## Around every sublayer: the residual connection
#
# A sublayer (an attention, or a feed-forward network) does not replace x. It *adds* to it: x + Sublayer(x). To leave x as it is,
# a sublayer need only return zeros, which is easy; to copy x through many matrices would be hard (He et al. 2016). So x becomes a stream
# that runs through the whole model and that each layer reads from and adds to.
#
# Where does the norm go? In 2017 it stood *on* the stream, behind the sum: **post-norm**.

# %%
# EXERCISE lablib.architecture.layers:post_norm

# %% [markdown]
# Soon after, it moved *off* the stream, to the entrance of each sublayer: **pre-norm**. (It is often said to have come with GPT-3. GPT-2
# had it, and translation models before that; Xiong et al. 2020 explained why it trains more easily.)

# %%
# EXERCISE lablib.architecture.layers:pre_norm

# %% [markdown]
# ## An encoder layer
#
# Two sublayers, each in its connection. Which of the two connections it is, the layer is told.

# %% tags=["varies"]
MultiHeadAttention = lab.mine("lablib.architecture.attention:MultiHeadAttention")

# %%
# EXERCISE lablib.architecture.encoder_decoder:EncoderLayer.forward

# %% [markdown]
# Is it *the* encoder layer? Copy its weights into PyTorch's own, and compare what comes out, also with padding.

# %%
torch.manual_seed(0)
mine, theirs = EncoderLayer(32, 4, 64), nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
attention = mine.attention
with torch.no_grad():
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    theirs.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
theirs.self_attn.out_proj.load_state_dict(attention.out_proj.state_dict())
theirs.linear1.load_state_dict(mine.feed_forward.up.state_dict())
theirs.linear2.load_state_dict(mine.feed_forward.down.state_dict())
x, mask = torch.randn(2, 7, 32, generator=generator), padding_mask([7, 4], 7)
gap = mine(x, mask) - theirs(x, src_key_padding_mask=~mask[:, 0, 0])  # PyTorch: True = hidden
print(f"largest difference {gap.abs().max():.4f}, where the outputs have size {mine(x, mask).abs().mean():.2f}")

# %% [markdown]
# **What to notice.** Zero to four decimals: you have written `nn.TransformerEncoderLayer`. One thing is worth a warning: in PyTorch's masks
# True means *hidden*, in ours (and in `F.scaled_dot_product_attention`) it means *may look*.

# %% [markdown]
# ## A decoder layer
#
# It has a third sublayer between the two: **cross-attention**. The target asks, the source answers.

# %%
# EXERCISE lablib.architecture.encoder_decoder:DecoderLayer.forward

# %% [markdown]
# ## The whole model
#
# `encode` is there; `decode` is yours. The class is given its layers, so it is made of *your* parts.

# %%
Layer = Callable[..., nn.Module]

# %%
# EXERCISE lablib.architecture.encoder_decoder:Transformer.decode

# %% [markdown]
# How large is it? The paper's table 3 prints the sizes of its models, in millions of parameters. Build each of them (on the "meta"
# device, which knows shapes and holds no numbers, so that it costs no memory) and count.

# %%
table_3 = {  # what differs from the base model -> millions of parameters, as printed
    "base": ({}, 65),
    "2 layers": ({"L": 2}, 36),
    "8 layers": ({"L": 8}, 80),
    "D = 256": ({"D": 256}, 28),
    "D = 1024": ({"D": 1024}, 168),
    "hidden = 4096": ({"hidden": 4096}, 90),
    "big": ({"D": 1024, "hidden": 4096, "H": 16}, 213),
}
print(f"{'millions of parameters':<24}{'printed':>8}{'V = 37,000':>12}{'V = 41,000':>12}")
for name, (sizes, printed) in table_3.items():
    with torch.device("meta"):
        ours = [count(Transformer(TransformerConfig(V=V, **sizes))) / 1e6 for V in (37_000, 41_000)]
    print(f"{name:<24}{printed:>8}{ours[0]:>12.1f}{ours[1]:>12.1f}")

# %% [markdown]
# **What to notice.** With the "about 37000 tokens" that the paper states (§5.1), the base model has 63 million parameters, not the 65
# that are printed. The *differences* between the rows agree, so the layers are right; what is missing is what stays the
# same in all of them, the table of tokens. With 41,000 rows in that table every variant of the base model comes out as printed,
# while *big* fits 37,000. The paper does not say why. (That is what a re-count is good for: "65M" is quoted everywhere.)

# %% [markdown]
# ## Teach it to read dates
#
# A task that everybody who has ever cleaned a table knows: dates, written in whatever way somebody liked, have to become
# `YYYY-MM-DD` (ISO 8601). The tokens are characters. There are no rules in the model, only pairs to learn from, made on the
# spot by the course's own generator. One tenth of all *days* from 1900 to 2099 is held out: these never occur in training, in any
# format.

# %%
from lablib.architecture import dates

for example in dates.sample(12, torch.Generator().manual_seed(5)):
    print(f"{example.text:<46}{example.iso}")

# %% [markdown]
# The decoder is trained with the *right* beginning of each target in its hand ("teacher forcing"): it reads START and the
# characters so far, and is asked for the next one, at all positions at once. The loss is the mean surprise over the target's
# characters, in nats. The dashed line is what a model would pay that knows one thing only: targets are made of ten digits and a hyphen.
# **Before you run it, guess:** which of the three parts, year, month or day, will be learned last?

# %%
from lablib.architecture.seq2seq_training import answers, train

probe = dates.sample(lab.profile.pick(smoke=4, laptop=200, gpu=200), torch.Generator().manual_seed(9), held_out=True)
parts = {"year": slice(0, 4), "month": slice(5, 7), "day": slice(8, 10), "all": slice(0, 10)}


def right(written: list[str]) -> dict[str, float]:
    """Share of the probe's dates whose year, month, day, and everything, is right."""
    pairs = list(zip(written, probe, strict=True))
    return {part: sum(text[at] == date.iso[at] for text, date in pairs) / len(pairs) for part, at in parts.items()}


# %%
config = TransformerConfig(V=dates.V, D=64, H=4, L=1, hidden=128, dropout=0.0)
steps = lab.profile.pick(smoke=4, laptop=2900, gpu=2900)
panels = [
    Panel(["loss"], y="nats per character", log_y=True, levels={"ln 11": math.log(11)}),
    Panel(list(parts), y="share right, held out", y_range=(0, 1)),
]
alt = (
    "Left: loss by step, falling. Right: share of held-out years, months, days and whole dates that are right, by step."
)

# %% tags=["varies"]
torch.manual_seed(0)
model, on_the_way = Transformer(config, EncoderLayer, DecoderLayer), {}
batches = dates.batches(64, torch.Generator().manual_seed(0))
with LiveChart(panels, alt=alt) as chart:
    for step, loss in enumerate(train(model, batches, steps, lr=5e-3), 1):
        if step % max(1, steps // 30) == 0:
            chart.add(step, loss=loss)
        if step % max(1, steps // 7) == 0:
            on_the_way[step] = copy.deepcopy(model)
            chart.add(step, **right(answers(model, [date.text for date in probe])))

# %% tags=["varies"]
many = lab.profile.pick(smoke=20, laptop=3000, gpu=3000)
test = dates.sample(many, torch.Generator().manual_seed(1), held_out=True)
written = answers(model.eval(), [date.text for date in test])
wrong = [(date, text) for date, text in zip(test, written, strict=True) if date.iso != text]
print(f"{count(model):,} parameters; {many:,} dates of days never seen in training: {1 - len(wrong) / many:.2%} right")
for date, text in wrong[:6]:
    print(f"  {date.text!r} is {date.iso}, written {text}")

# %% [markdown]
# **What to notice.** Not a single rule was programmed: dozens of ways to write a date, in five languages, in digits and in words, were learned from
# pairs. What it still gets wrong is mostly written in words or in Roman numerals, where one number is spread over many letters. Go
# back to the live chart: was your guess about year, month and day right?
#
# **Your turn.** Write dates of your own, and try to confuse it. Which mistakes are sensible, which are not?

# %% tags=["varies"]
yours = ["24 décembre 1999", "the first of April, two thousand and one", "Juli 4th '76", "31 febbraio 2024", "tomorrow"]
for text, iso in zip(yours, answers(model, yours), strict=True):
    print(f"{text:<44}{iso}")

# %% [markdown]
# **What to notice.** Mixed languages are no problem. But the model has no way to say "this is not a date": it has learned
# to write ten characters, and writes them, whatever it is given: it passes on a thirty-first of February, and for tomorrow it makes a day up. Keep this small case of
# *hallucination* in mind; later labs meet it at a larger size.

# %% [markdown]
# ## Greedy, or several beginnings at once?
#
# So far each character was the likeliest one at its place, taken at once and for good: **greedy** decoding. **Beam search** keeps the
# best few beginnings side by side and lets the whole sequence decide. In 2017 every translation model was read out in this way (the
# paper kept four). Is it worth anything here? Ask the model at several points of its training, when
# it still makes mistakes.

# %%
from lablib.architecture.decoding import beam_search


def with_beam(model: nn.Module, beams: int = 4) -> list[str]:
    """What beam search writes for the probe."""
    ids, _ = beam_search(model, dates.sources([date.text for date in probe]), beams, max_length=dates.ISO_LENGTH)
    return [dates.decode(best) for best in ids[:, 0]]


# %% tags=["varies"]
print(f"{'step':<8}{'greedy':>8}{'beam of 4':>11}   changed by beam search, and how many of these to the right date")
for step, then in list(on_the_way.items())[::2]:
    by_greedy, by_beam = answers(then.eval(), [date.text for date in probe]), with_beam(then)
    changed = [date.iso == b for g, b, date in zip(by_greedy, by_beam, probe, strict=True) if g != b]
    shares = right(by_greedy)["all"], right(by_beam)["all"]
    print(f"{step:<8}{shares[0]:>8.1%}{shares[1]:>11.1%}   {len(changed):>3} changed, {sum(changed)} right")

# %% [markdown]
# **What to notice.** Next to nothing. Even when the model is wrong about many dates, the likeliest whole sequence is nearly always the one that
# greedy decoding finds: after each character the next one is all but decided, and where the model is mistaken it is *sure* of its
# mistake. Beam search repairs bad luck in the search. It cannot repair a bad model. In translation, where many good sentences compete,
# there is more to search for.

# %% [markdown]
# ## Where does it look?
#
# When the decoder writes a character, its cross-attention says where in the source it has looked: an **alignment** of target and
# source that nobody has taught it. The picture shows the mean over the heads, from the very pass that writes the date.


# %% tags=["varies"]
def alignment(number: int) -> Picture:
    """Where the model looks while it writes one of the probe's dates."""
    date = probe[number]
    source, target = dates.sources([date.text]), dates.targets([date.iso])[:, :-1]
    weights = attention_maps(model, "cross_attention", source, target)[-1][0].mean(0)  # (B, H, T, S) -> (T, S)
    rows, columns = [*date.iso, "end"], [letter.replace(" ", "␣") for letter in date.text]
    return attention_map(weights, rows, columns, title=f"written (down), read (across): {date.text}")


Sliders(alignment, number=(0, 0, len(probe) - 1))

# %% tags=["varies"]
from lablib.architecture.seq2seq_training import attention_on_fields

source = dates.sources([date.text for date in probe])
target = dates.targets([date.iso for date in probe])[:, :-1]
weights = attention_maps(model, "cross_attention", source, target)[-1]
looks = attention_on_fields(weights.mean(1), probe)
for field, (share, even) in looks.items():
    print(
        f"while it writes the {field:<6} {share:>4.0%} of its attention is on the {field} (even attention: {even:.0%})"
    )

# %% [markdown]
# **What to notice.** While it writes the year it looks at the year, though the year stands at the *end* of most sources and comes first
# in the target; then it goes back for the month, and then for the day. In words or in digits, in any language, and past the weekday, which it
# does not need. Nobody has told it which letters belong to which number. Cross-attention was invented for exactly this (Bahdanau et al. 2015,
# before there were transformers): to look for the part of the source that is needed now.

# %% [markdown]
# ## What was needed?
#
# The model works. Which of its parts made it work? A plain encoder and a task that takes six layers no more than a few seconds:
# eight letters come in, and at each position the letter that stands there when the word is read *backwards* should come out. Only the
# connection around the sublayers changes.

# %%
Step = Callable[[Tensor], Tensor]


def no_residual(x: Tensor, sublayer: Step, norm: Step) -> Tensor:
    return norm(sublayer(x))


def no_norm(x: Tensor, sublayer: Step, norm: Step) -> Tensor:
    return x + sublayer(x)


connections = {"post-norm": post_norm, "pre-norm": pre_norm, "no residual": no_residual, "no norm": no_norm}


# %%
class Reverser(nn.Module):
    """Letters (B, T) -> logits (B, T, V), through L encoder layers."""

    def __init__(self, connect: Connection, L: int, small_start: bool = False, V: int = 8, D: int = 32) -> None:
        super().__init__()
        self.table = TiedEmbedding(V, D)
        self.encoder = Encoder(L, D, 4, 2 * D, connect, final_norm=connect is pre_norm, layer=EncoderLayer)
        for weight in [p for p in self.encoder.parameters() if p.dim() == 2 and not small_start]:
            nn.init.xavier_uniform_(weight)  # as PyTorch's nn.Transformer starts; its nn.Linear starts smaller

    def forward(self, ids: Tensor) -> Tensor:
        return self.table.logits(self.encoder(self.table(ids)))


# %% [markdown]
# First, before any training: one batch through 6 and through 18 layers, and back. How large is the gradient in each layer?
# **Predict** the shape of the four curves.

# %% tags=["varies"]
fig, panels = figure(cols=2, width=9, height=3.6, sharey=True)
for panel, L in zip(panels, (6, 18), strict=True):
    for (name, connect), colour in zip(connections.items(), COLOURS, strict=False):
        torch.manual_seed(0)
        reverser, ids = Reverser(connect, L), torch.randint(8, (64, 8))
        F.cross_entropy(reverser(ids).flatten(0, 1), ids.flip(1).flatten()).backward()
        sizes = [layer.feed_forward.down.weight.grad.norm().item() for layer in reverser.encoder.layers]
        panel.semilogy(range(1, L + 1), sizes, "o-", color=colour, label=name, markersize=3)
    panel.set(title=f"{L} layers", xlabel="layer, 1 reads first", xticks=range(1, L + 1, max(1, L // 6)))
panels[0].set(ylabel="size of the gradient (log)")
panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
Picture(fig, "Gradient of each layer's feed-forward weights at the start, for four connections, 6 and 18 layers deep.")

# %% [markdown]
# **What to notice.** The scale is logarithmic. Six layers without a norm have gradients about a hundred times larger than with
# one; with eighteen they reach a hundred *million*: the numbers grow from layer to layer, and whatever optimiser comes next has a
# hard time. With pre-norm the gradient is about the same everywhere, at any depth. With post-norm the last layers get
# the most. Without residuals nothing looks alarming on the left. So is everything fine there? Look at something else: how alike are
# two positions of the same word, layer by layer?

# %% tags=["varies"]
fig, ax = figure(width=7.5, height=3)
for (name, connect), colour in zip(connections.items(), COLOURS, strict=False):
    torch.manual_seed(0)
    reverser, ids, alike = Reverser(connect, L=18).eval(), torch.randint(8, (64, 8)), []
    x = reverser.table(ids)
    for layer in reverser.encoder.layers:
        x = layer(x).detach()
        alike.append(F.cosine_similarity(x[:, 0], x[:, 5], dim=-1).mean().item())
    ax.plot(range(1, 19), alike, "o-", color=colour, label=name, markersize=3)
ax.set(xlabel="layer", ylabel="cosine of two positions", xticks=range(1, 19, 3))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
Picture(fig, "Cosine similarity of two positions by layer, before training: without residual it is 1 after two layers.")

# %% [markdown]
# **What to notice.** Without the residual all positions are the *same vector* after two or three layers: attention averages, again
# and again, until there is nothing left to tell apart (Dong et al. 2021 call it rank collapse). A gradient of healthy size is of no
# use to a model that cannot see which letter stands where. Post-norm, started like this, gets there too, only a few layers later. Pre-norm does not.
#
# Now train: six layers, the same steps, the same batches, no warm-up of the learning rate. One more joins them: no norm, but with
# smaller weights at the start. **Order the five before you run it.**

# %% tags=["varies"]
B, T = 32, 8
six_steps, twelve_steps = lab.profile.pick(smoke=(5, 5), laptop=(100, 40), gpu=(300, 300))


# %%
def learn(seed: int, steps: int, connect: Connection, L: int, small_start: bool = False) -> Iterator[float]:
    """Train a reverser; the loss of each step, in nats a letter."""
    torch.manual_seed(seed)
    model = Reverser(connect, L, small_start)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
    for _ in range(steps):
        ids = torch.randint(8, (B, T))
        loss = F.cross_entropy(model(ids).flatten(0, 1), ids.flip(1).flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


# %% tags=["varies"]
alt = "Loss against step for four connections, six layers deep, and for two at twelve layers, with bands over seeds."
six = {name: (six_steps, connect, 6) for name, connect in connections.items()}
six["no norm, small start"] = (six_steps, no_norm, 6, True)
twelve = {"post-norm, 12 layers": (twelve_steps, post_norm, 12), "pre-norm, 12 layers": (twelve_steps, pre_norm, 12)}
look = {"levels": {"guessing": math.log(8)}, "y_range": (0.0, 2.5)}
panels = [Panel(list(six), "nats per letter", "6 layers", **look), Panel(list(twelve), "", "12 layers", **look)]
two = range(lab.profile.pick(smoke=1, laptop=2, gpu=3))
with LiveChart(panels, alt=alt, bands=True) as chart:
    for (name, setting), seed in product((six | twelve).items(), two):
        recent = []
        for step, loss in enumerate(learn(seed, *setting), 1):
            recent = [*recent, loss][-5:]
            if step % 5 == 0:
                chart.add(step, **{name: sum(recent) / len(recent)})

# %% [markdown]
# **What to notice.** *No residual* hardly leaves the line of guessing: it is blind, as you saw. *No norm* begins far above that line, off the chart,
# and loses its time coming back. *Post-norm* is still far from done at six layers, and at twelve it has not even started.
# *Pre-norm* learns at both depths (the deep ones were stopped early). So why did post-norm work in 2017? Its learning rate was raised slowly, over 4,000 steps (§5.3):
# that is what Xiong et al. explain, and what pre-norm can do without.
#
# And the light blue line? The same network *without any norm*, only that its weights start smaller (as PyTorch's linear layers do by
# themselves), is the quickest of all. So norms do not make learning *possible*. They make it robust: against the start, against depth, against
# a large step. "It needs a norm" is a sentence that needs its conditions.

# %% [markdown]
# ## One encoder, many senses
#
# "One architecture for many domains" is often said of the transformer. Let us test it. The encoder reads vectors and does not
# ask where they come from, so all that changes is the way in: cut something into pieces, turn each piece into D numbers by
# a linear layer, add a position. And the way out: a linear layer on what the encoder gives. Everything between is *your* encoder layer, untouched.

# %%
from lablib.architecture import sound, time_series, vision
from lablib.architecture.positions import LearnedPositions
from lablib.architecture.reader import Reader, accuracy, first, minibatches, predict
from lablib.architecture.reader import train as train_reader

seeds = range(lab.profile.pick(smoke=1, laptop=3, gpu=3))
test_share = lab.profile.pick(smoke=0.9, laptop=0.25, gpu=0.25)  # share of the images


def fresh_encoder(D: int, dropout: float = 0.0) -> Encoder:
    """Two of your layers, pre-norm."""
    return Encoder(2, D, 4, 2 * D, pre_norm, dropout, final_norm=True, layer=EncoderLayer)


# %% [markdown]
# ### Images
#
# Handwritten digits of 8 × 8 pixels (they come with scikit-learn), cut into 16 patches of 2 × 2: sixteen "words". One more vector, the
# class token, stands before them to gather the answer (Dosovitskiy et al. 2020). A quarter of the images is held out.


# %% tags=["varies"]
def read_digits(seed: int, arrange: Callable[[Tensor], Tensor] = lambda pieces: pieces) -> float:
    """Train on the digits' patches, each image's arranged in some way; the held-out accuracy."""
    data, D = vision.digits(seed, test_share), 48
    torch.manual_seed(seed)
    x, test = arrange(vision.patches(data.train_x, 2)), arrange(vision.patches(data.test_x, 2))  # (N, 16, 4)
    table, token = LearnedPositions(17, D, scale=0.2), torch.zeros(D)
    reader = Reader(nn.Linear(4, D), fresh_encoder(D, dropout=0.1), nn.Linear(D, 10), table, first, token)
    batches = minibatches(x, data.train_y, 64, torch.Generator().manual_seed(seed))
    for _ in train_reader(reader, batches, lab.profile.pick(smoke=2, laptop=260, gpu=400), lr=4e-3):
        pass
    return accuracy(reader, test, data.test_y)


# %% [markdown]
# Two questions besides. What if the patches of *all* images are shuffled in the *same* way? And what if those of *each* image are
# shuffled anew? To a person both look like noise. **Guess the three accuracies.**

# %% tags=["varies"]
order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
arrangements: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda pieces: pieces,
    "one shuffle for all": lambda pieces: pieces[:, order],
    "a new one for each": lambda pieces: vision.shuffle_each(pieces, torch.Generator().manual_seed(1)),
}
for name, arrange in arrangements.items():
    runs = [read_digits(seed, arrange) for seed in (seeds if name == "as they are" else [0])]
    print(f"patches {name:<22}" + "  ".join(f"{run:.1%}" for run in runs))
for name, share in vision.baselines(vision.digits(0, test_share)).items():
    print(f"{name:<30}{share:.1%}")

# %% [markdown]
# **What to notice.** The encoder that read dates reads handwriting, well above 95 %. Shuffling all images in *one* way costs it nothing: to the
# encoder, positions are names, and it never knew which patch lies beside which. A *new* shuffle for each image takes the
# names away, and what is left is a bag of patches: a third of the answers is lost. And look at the last lines: with so few images to learn from,
# a support-vector machine from before all this is better. The architecture *can* read images. That it is the best choice is another
# claim, and for small data it is false (Dosovitskiy et al. overtook convolutional networks only with far more images than the 1.3 million of ImageNet).

# %% [markdown]
# ### A time series
#
# The hourly electricity load of a town, for three years, made by a generator with workdays, weekends, winters, holidays and shocks. At each
# midnight of the third year, forecast the next 24 hours from the last seven days; train on the two years before. The pieces
# are half-days of 12 hours. The rivals: "as yesterday", "as a week ago", and a linear model, which is the same reader with *no encoder* in the
# middle (Zeng et al. 2023 found such models hard to beat).

# %%
series, cut = time_series.load_series(3 * 365, torch.Generator().manual_seed(0)), 2 * 8760
test_past, test_future = time_series.windows(series, 168, 24, cut, len(series), every=24)  # (N, 168), (N, 24)
test_x, test_mean, test_spread = time_series.scale_free(test_past)


def forecast(middle: nn.Module, every: int, seed: int) -> Tensor:
    """Train on a forecast at every so many hours of the first two years; what it says for the third, (N, 24)."""
    past, future = time_series.windows(series, 168, 24, 168, cut, every)
    x, mean, spread = time_series.scale_free(past)
    into, out, table = nn.Linear(12, 32), nn.Linear(14 * 32, 24), LearnedPositions(14, 32, 0.2)
    reader = Reader(into, middle, out, table, pool=lambda x: x.flatten(1))
    draw = torch.Generator().manual_seed(seed)
    batches = minibatches(x.unflatten(1, (14, 12)), (future - mean) / spread, 64, draw)
    for _ in train_reader(reader, batches, lab.profile.pick(smoke=2, laptop=150, gpu=400), 4e-3, F.l1_loss):
        pass
    return predict(reader, test_x.unflatten(1, (14, 12))) * test_spread + test_mean


# %% [markdown]
# There is one choice to make, and it looks harmless. Training may use a forecast at *every fifth hour*, which gives almost five times as many examples, or only those at
# *midnight*, which look like the test. **Who wins in each case, the encoder or no encoder?**

# %% tags=["varies"]
forecasts = {
    "as yesterday": [time_series.seasonal_naive(test_past, 24, season=24)],
    "as a week ago": [time_series.seasonal_naive(test_past, 24, season=168)],
}
for every, when in ((5, "every fifth hour"), (24, "midnights")):
    for name, make in {"no encoder": nn.Identity, "encoder": lambda: fresh_encoder(32)}.items():
        runs = forecasts.setdefault(f"{name}, {when}", [])
        for seed in two:
            torch.manual_seed(seed)
            runs.append(forecast(make(), every, seed))

# %% tags=["varies"]
print(f"{'mean absolute scaled error':<30}{'mean':>6}   95 % interval over weeks")
for name, runs in forecasts.items():
    errors = torch.stack([time_series.mase(run, test_future, series[:cut], 24) for run in runs]).mean(0)  # (N,)
    low, high = time_series.block_interval(errors, 7, torch.Generator().manual_seed(0))
    print(f"{name:<30}{errors.mean():>6.3f}   {low:.3f} to {high:.3f}")

# %% [markdown]
# **What to notice.** At every fifth hour the encoder wins clearly: the headline "transformer beats linear" is ready to be printed. Trained on
# midnights, the reader without an encoder is as good as any of them, and with a fifth of the data better than it was. It
# had not been too simple; it had been taught the wrong question, twenty-four hours of the day with one set of weights. That is the pattern
# Zeng et al. found: whether a big model wins is often decided by how well the small one was treated. (This is a town that we made up. For
# another one the order may differ: change the generator and see.)

# %% [markdown]
# ### Sound
#
# Notes of four synthetic instruments; half of them are played *backwards*, so that they swell up and stop. Each is cut into short
# frames, and each frame becomes its spectrum: how strong is each frequency? That gives a sequence of 32 spectra. Two
# questions: which instrument is it? And does it run backwards? The rival for both sees the *mean* spectrum only.

# %% tags=["varies"]
waves, instrument, backwards = sound.notes(
    lab.profile.pick(smoke=120, laptop=1500, gpu=1500), torch.Generator().manual_seed(0)
)
x = sound.spectra(waves)  # (N, 32, 129)
n = len(x) * 2 // 3
x = (x - x[:n].mean()) / x[:n].std()
fig, panels = figure(cols=2, width=8, height=2.8, sharey=True)
for panel, turned in zip(panels, (0, 1), strict=True):
    which = int((backwards == turned).nonzero()[0])
    panel.imshow(x[which, :, :64].T, origin="lower", aspect="auto", cmap="Blues", extent=(0, 0.528, 0, 2000))
    panel.set(xlabel="seconds", title="backwards" if turned else "forwards")
    panel.grid(False)
panels[0].set_ylabel("frequency (Hz)")
Picture(fig, "Spectra over time of two notes: one begins suddenly and dies away, the other swells and stops suddenly.")


# %% tags=["varies"]
def listen(seed: int, labels: Tensor, classes: int) -> float:
    """Train an encoder on the spectra; its held-out accuracy."""
    torch.manual_seed(seed)
    reader = Reader(
        nn.Linear(129, 32), fresh_encoder(32), nn.Linear(32, classes), LearnedPositions(x.shape[1], 32, 0.2)
    )
    batches = minibatches(x[:n], labels[:n], 32, torch.Generator().manual_seed(seed))
    for _ in train_reader(reader, batches, lab.profile.pick(smoke=2, laptop=130, gpu=150), 3e-3):
        pass
    return accuracy(reader, x[n:], labels[n:])


# %% tags=["varies"]
for question, labels, classes in (("which instrument?", instrument, 4), ("backwards?", backwards, 2)):
    shares = sound.baselines(x[:n], labels[:n], x[n:], labels[n:])
    mine = " ".join(f"{listen(seed, labels, classes):.1%}" for seed in two)
    print(f"{question:<19}", ", ".join(f"{name} {share:.1%}" for name, share in shares.items()), f"| encoder {mine}")

# %% [markdown]
# **What to notice.** Which instrument it is, the mean spectrum nearly tells, and the encoder tells better. Whether it runs backwards, the mean
# spectrum cannot tell even in principle: a note and its reverse are made of the same frames, so it can only guess. The encoder has the
# order of the frames, by its positions, and hears it. So the claim holds, in its careful form: **the same encoder reads letters, images,
# measurements and sound. Nothing about that makes it the best reader of each.**

# %% [markdown]
# ## From 2017 to Llama
#
# A language model needs no source: drop the encoder and the cross-attention, and the decoder alone is left. Since then its parts
# have been exchanged, one by one. You have written every one of the new ones, here and in lab 03.
#
# | | 2017 | GPT-2 (2019) | Llama (2023) |
# |---|---|---|---|
# | norm | LayerNorm, post-norm | LayerNorm, pre-norm | RMSNorm, pre-norm |
# | positions | sinusoidal, added | learned, added | RoPE, in every attention |
# | feed-forward | ReLU, 4 D wide | GELU, 4 D wide | SwiGLU, 8/3 D wide |
# | biases in linear layers | in the feed-forward network | yes | no |
# | keys and values | one head for each of the queries' | the same | the same; shared by groups in later ones |
#
# (The 2017 paper writes its projections without a bias, and its feed-forward network with one; PyTorch's layers, and ours, have
# it everywhere.) "Grouped" heads (Ainslie et al. 2023) let several heads of queries share one of keys and values: the memory that generation
# needs shrinks by that factor. Here is such a decoder, from your parts: the one that all later labs train.

# %% tags=["varies"]
from lablib.architecture.decoder import Decoder, DecoderConfig, Parts

parts = Parts(
    norm=RMSNorm,
    feed_forward=SwiGLU,
    rope=lab.mine("lablib.architecture.positions:apply_rope"),
    attention=lab.mine("lablib.architecture.attention:scaled_dot_product_attention"),
)

# %%
sizes = DecoderConfig(V=512, D=96, H=6, kv_heads=2, L=4, hidden=256, context=256)
decoder = Decoder(sizes, parts, torch.Generator().manual_seed(0))
share = sizes.kv / sizes.H
print(f"{count(decoder):,} parameters; keys and values take {share:.0%} of the memory that {sizes.H} heads would")

# %% [markdown]
# Is it really a Llama? The test is not to look alike but to be exchangeable: write the weights in Llama's format, let Hugging Face's
# `transformers` load them into *its* code, and compare the logits. Then the same backwards.

# %% tags=["varies"]
import tempfile

from transformers import LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from lablib.architecture.llama_format import load_llama, save_llama

disable_progress_bar()  # loading takes no time here
folder = save_llama(decoder, tempfile.mkdtemp())
llama = LlamaForCausalLM.from_pretrained(folder)
ids = torch.randint(512, (2, 40), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    ours, there, back = decoder(ids), llama(ids).logits, load_llama(folder)(ids)
print(f"logits of size {ours.abs().mean():.3f}")
print(f"largest difference to transformers' Llama:    {(ours - there).abs().max():.0e}")
print(f"largest difference after reading it back in:  {(ours - back).abs().max():.0e}")

# %% [markdown]
# **What to notice.** Rounding, no more. Whatever can work with a Llama (fine-tuning libraries, attention viewers, servers) can
# from now on work with what you built.
#
# ### Why writing is slow, and the cache that helps
#
# To write one more token, the decoder would read the whole text again. But the keys and values of earlier positions do not
# change, as nobody looks ahead: keep them, and only the new token has to be computed. That is the **KV cache**. (Lab 07 has you write one.)

# %% tags=["varies"]
import time

from lablib.architecture.generation import generate

n, prompt, seconds = lab.profile.pick(smoke=12, laptop=200, gpu=200), ids[:1, :8], {}
for cached in (True, False):
    start = time.perf_counter()
    text = generate(decoder, prompt, n, cached=cached)
    seconds[cached] = time.perf_counter() - start
    print(f"{'with' if cached else 'without':<8} the cache: {n / seconds[cached]:>6.0f} tokens a second")
same = torch.equal(generate(decoder, prompt, n, cached=True), text)
print(f"token for token the same: {same}; and as transformers writes it: ", end="")
print(torch.equal(llama.generate(prompt, max_new_tokens=n, do_sample=False, pad_token_id=0), text))

# %% [markdown]
# **What to notice.** The text is the same to the last token. Without the cache each new token costs more than the one before.
# With it the cost stays nearly level, and the price is memory, one key and one value for each position, layer and head: the reason
# why grouped heads were invented.

# %% [markdown]
# ## Questions to think about
#
# <details><summary>1. Why is the causal mask needed in training, but in writing it seems to change nothing?</summary>
#
# In training the whole target is in the batch: without the mask, position t would look at token t + 1, which it has to predict, and
# copy it. In writing there is no token t + 1 yet. But the mask must still be there for the earlier positions: what they
# compute has to be what training computed, and the KV cache rests on it.
#
# </details>
#
# <details><summary>2. Post-norm keeps the stream's size at 1 in every layer, pre-norm lets it grow. Why is it pre-norm that trains more easily?</summary>
#
# Through a post-norm stack the gradient passes every norm on its way back, and each of them rescales it. In a pre-norm stack
# the sum is a free path: the gradient at the top arrives at the bottom as it is, plus what comes through the sublayers. The
# growth has a price of its own: later layers add to something large, so each changes it less.
#
# </details>
#
# <details><summary>3. Without residuals the positions became alike. Why would attention do that?</summary>
#
# Each attention replaces vectors by averages of vectors. Averages of the same things are closer to each other than
# the things were; do it again and again and everything is the overall mean (Dong et al. 2021 show that it happens doubly exponentially fast).
# With a residual, x itself is part of the sum, and with it the difference between positions.
#
# </details>
#
# <details><summary>4. The feed-forward networks hold most of a layer's parameters. Could they be left out?</summary>
#
# Try it: in `EncoderLayer`, drop the second line. The values that attention averages are linear in its input, so without feed-forward networks
# the only nonlinearities left are the softmax and the norms.
#
# </details>
#
# <details><summary>5. Beam search finds likelier sequences than greedy decoding. Why do chat models not use it?</summary>
#
# Here there is one right answer, and the likeliest is what we want. In open-ended text the likeliest continuation is short, bland or
# repeats itself, and people's text is not the likeliest at each step (Holtzman et al. 2020). Lab 07 samples instead.
#
# </details>
#
# <details><summary>6. The model read digits as 16 or so patches. What would it need for a photograph of 1,000 × 1,000 pixels?</summary>
#
# Larger patches, or more of them: with patches of 16 × 16 pixels there are about 3,900, and attention compares each with each, 15 million
# pairs in each head and layer. And far more examples: nothing tells it that neighbouring patches belong together, it has to learn that.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Vaswani et al. 2017, *Attention Is All You Need*: the whole model; table 3 has the sizes that you counted.
# - Ba, Kiros and Hinton 2016, *Layer Normalization*; Zhang and Sennrich 2019, *Root Mean Square Layer Normalization*.
# - He et al. 2016, *Deep Residual Learning for Image Recognition*: where the residual connection comes from.
# - Shazeer 2020, *GLU Variants Improve Transformer*: SwiGLU, and the sentence about benevolence.
# - Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*: pre-norm against post-norm.
# - Dong, Cordonnier and Loukas 2021, *Attention is not all you need: pure attention loses rank doubly exponentially with depth*.
# - Bahdanau, Cho and Bengio 2015, *Neural Machine Translation by Jointly Learning to Align and Translate*: attention's origin.
# - Wu et al. 2016, *Google's Neural Machine Translation System*: the length penalty of beam search.
# - Dosovitskiy et al. 2020, *An Image is Worth 16x16 Words*; Gong et al. 2021, *AST: Audio Spectrogram Transformer*.
# - Zeng et al. 2023, *Are Transformers Effective for Time Series Forecasting?*
# - Touvron et al. 2023, *LLaMA*; Ainslie et al. 2023, *GQA*: the decoder of today.
# - Holtzman et al. 2020, *The Curious Case of Neural Text Degeneration*: why likeliest is not best.
