# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 08 · Other objectives
#
# Lab 07 trained a model on one question: *what comes next?* It is not the only one that a text can be asked. BERT
# hides words and asks what they were; T5 cuts whole pieces out and asks for them. In this lab you write both, train
# models on each question with **the same arithmetic**, and find out what each is good at: filling gaps, writing,
# understanding. The common account says: causal models write, masked models understand. You will see how far that
# holds, and why.
#
# **You will be able to**
#
# - write BERT's masking, and show by a test of chance that it does what the paper says;
# - write T5's span corruption, and prove that nothing of the text gets lost;
# - count what a step costs, and say what a model learns from that arithmetic;
# - make a masked model write and a causal model fill gaps, and say what it costs;
# - say which objective suits which use, with measurements, and where the common account is too simple.
#
# **You need** what a causal model and its loss are (lab 07), and who may look at whom (lab 02). **Time**: about 90
# minutes with the seven exercises. Running every cell takes two to three minutes on two CPU cores, and less than 1.5
# GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

# %%
from lablib.architecture.attention import causal_mask
from lablib.architecture.encoder_decoder import count
from lablib.corpus.scoring import wilson
from lablib.corpus.world import World
from lablib.paths import data_path
from lablib.pretraining import infilling, objective_study
from lablib.pretraining.objectives import Masking
from lablib.pretraining.span_corruption import SpanCorruption, noise_mask, padded

# %%
from lablib.show.intervals import interval_chart, over_seeds
from lablib.show.live import LiveChart
from lablib.show.style import COLOURS, GREY, Picture, figure
from lablib.show.texts import Card, Gallery
from lablib.show.token_view import token_boxes

# %% tags=["varies"]
from lablib import course

lab = course.begin("08")

# %% [markdown]
# ## A corner of the valley
#
# To compare several trainings in three minutes we take a small part of the course's world: four sorts of
# encyclopaedia entry. What such an entry may say, and in which order, the world knows exactly; so a gap that a model
# has filled, or a text that it has written, can be judged by parsing it.

# %%
world, recorded = World(), json.loads(data_path("experiments/objectives.json").read_text(encoding="utf-8"))
of = objective_study.corner()
training, held_out, vocabulary = of
print(f"{len(training):,} entries to learn from, {len(held_out)} others to be asked about;")
print(f"{vocabulary.words} different tokens, and {len(vocabulary.special)} special ones")
for document in training[:3]:
    print(f"\n{document.shape}\n  {document.text}")

# %% [markdown]
# The tokenizer is the course's own, from lab 06; of its 4,096 tokens we keep those that occur here, for the head of a
# small model costs as much as its layers. Its special tokens were made for this lab: `<|mask|>`, and eight spare ones
# that will be the sentinels. No text can spell them.

# %%
special = vocabulary.special
BEGIN, END, PAD, MASK = (special[f"<|{name}|>"] for name in ("bos", "eos", "pad", "mask"))
SENTINELS = tuple(special[f"<|spare_{i}|>"] for i in range(8))
marks = ("<U>", "<V>", "<W>", "<X>", "<Y>", "<Z>", "<1>", "<2>")
NAMES = {BEGIN: "[begin]", END: "[end]", PAD: "[pad]", MASK: "[MASK]", **dict(zip(SENTINELS, marks, strict=True))}


def pieces(ids: Sequence[int]) -> list[str]:
    """Tokens as a person can read them."""
    return [NAMES.get(number) or vocabulary.decode([number]) for number in ids]


example = next(d.text for d in training if d.shape.endswith(".animal") and len(d.text) < 130)
words = vocabulary.encode(example)
print(pieces(words))

# %% [markdown]
# ## The masked objective
#
# *Masked language modelling* (Devlin et al. 2019, BERT): choose some tokens at random, hide them, and ask for them.
# The model may look at everything else, on both sides. In three steps: which tokens, what stands in their place, and
# what counts.
#
# The dice are thrown outside: your function gets numbers between 0 and 1, one for each token, and decides.

# %%
# EXERCISE lablib.pretraining.objectives:chosen_places

# %%
rows = padded([[BEGIN, *words, END], [BEGIN, *words[:4], END]], PAD)
dice = torch.rand(rows.shape, generator=torch.Generator().manual_seed(7))
chosen = chosen_places(rows < vocabulary.words, dice, 0.15)
for row, places in zip(rows, chosen, strict=True):
    kept = [piece if there else "·" for piece, there in zip(pieces(row.tolist()), places.tolist(), strict=True)]
    print(" ".join(kept))

# %% [markdown]
# What stands in place of a chosen token? Mostly `<|mask|>`. But there is a difficulty: that token never occurs in a
# text that anybody will later give to the model. The paper's remedy (§3.1): only 80 % of the chosen tokens are
# masked; 10 % are exchanged for a random one, and 10 % are left as they are, though they must be told all the same.

# %%
# EXERCISE lablib.pretraining.objectives:corrupt_tokens

# %%
masking = Masking(MASK, vocabulary.words, 0.15, choose=chosen_places, corrupt=corrupt_tokens)
five = [masking(rows[:1], torch.Generator().manual_seed(seed)) for seed in range(5)]
token_boxes(
    [pieces(batch.inputs[0].tolist()) for batch in five],
    "One entry in five rows, each with other tokens masked; the masks are framed.",
    labels=[f"dice {seed}" for seed in range(5)],
    new=["[MASK]"],
)

# %% [markdown]
# **What to notice.** The same text, five questions: the places are drawn anew each time it is read (RoBERTa, Liu et
# al. 2019, §4.1, calls that *dynamic* masking; BERT had prepared ten versions of each text and kept to them). Look
# for the exchanged ones, too: a word that makes no sense where it stands. And some of the words that look untouched
# are asked for.
#
# ### Does it do what the paper says?
#
# One cannot see that 10 % are 10 %. But one can count, and ask how likely a count as far off as this one would be if
# all were right: a *chi-square test*. Its *p-value* is near 0 if something is wrong, and otherwise any number between
# 0 and 1. Beside yours stands the masking of `transformers`, the library with which many BERTs are trained.

# %%
many = torch.randint(vocabulary.words, (400, 256), generator=torch.Generator().manual_seed(0))


def fates(seen: Tensor, chosen: Tensor, mask: int) -> list[int]:
    """How many tokens were: not chosen, masked, exchanged, left as they are though chosen."""
    masked, same = chosen & (seen == mask), chosen & (seen == many)
    return [int(x.sum()) for x in (~chosen, masked, chosen & ~masked & ~same, same)]


batch = masking(many, torch.Generator().manual_seed(1))
mine = fates(batch.inputs, batch.mask, MASK)
lucky = 0.1 / vocabulary.words  # exchanged for itself, by chance
shares = [0.85, 0.15 * 0.8, 0.15 * (0.1 - lucky), 0.15 * (0.1 + lucky)]
p = stats.chisquare(mine, [share * many.numel() for share in shares]).pvalue
untouched = torch.equal(batch.inputs[~batch.mask], many[~batch.mask])

# %%
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from lablib.paths import data_path

peer = PreTrainedTokenizerFast(
    tokenizer_file=str(data_path("tokenizer.json")), mask_token="<|mask|>", pad_token="<|pad|>"
)
collator = DataCollatorForLanguageModeling(peer, mlm_probability=0.15)
torch.manual_seed(0)  # the collator draws from torch's own dice
seen, labels = collator.torch_mask_tokens(many.clone(), torch.zeros_like(many))
theirs = fates(seen, labels != -100, peer.mask_token_id)

# %%
print(f"{'of 102,400 tokens':<24}{'not chosen':>12}{'masked':>9}{'exchanged':>11}{'kept':>8}")
for name, row in {
    "yours": mine,
    "transformers": theirs,
    "expected": [share * many.numel() for share in shares],
}.items():
    print(f"{name:<24}{row[0]:>12.0f}{row[1]:>9.0f}{row[2]:>11.0f}{row[3]:>8.0f}")

# %%
print(f"yours against the paper's shares: p = {p:.2f}; tokens not chosen are untouched: {untouched}")
print(f"yours against transformers':      p = {stats.chi2_contingency([mine, theirs]).pvalue:.2f}")
wrong = [many.numel() * share for share in (0.85, 0.15 * 0.85, 0.15 * 0.05, 0.15 * 0.1)]
print(f"yours against 85/5/10:            p = {stats.chisquare(mine, wrong).pvalue:.1g}")

# %% [markdown]
# **What to notice.** Yours agrees with both, and the test would have seen it if 85 % had been masked. Only 15 % of
# the tokens are asked for; the other 85 % are read, but nothing is learned from *telling* them. Keep that number in
# mind.
#
# ### What counts

# %%
# EXERCISE lablib.pretraining.objectives:masked_nats

# %% [markdown]
# ## Span corruption
#
# T5 (Raffel et al. 2020) asks for the missing pieces in another way. Neighbouring tokens are cut out together, a
# *sentinel* marks the place, and a second network, the decoder, *writes* the pieces, each behind its sentinel. How
# much is cut out is fixed by the length of the text:

# %%
# EXERCISE lablib.pretraining.span_corruption:noise_counts

# %%
for length in (5, 20, 50, 100, 512):
    print(f"{length:>4} tokens: {noise_counts(length)[0]:>3} cut out, in {noise_counts(length)[1]} spans")

# %% [markdown]
# Where the spans lie is drawn: both the tokens that go and those that stay are cut into so many pieces, every way to
# do so being equally likely, and the pieces take turns (`noise_mask`, after T5's own code).

# %%
# EXERCISE lablib.pretraining.span_corruption:corrupt_spans

# %%
noise = noise_mask(len(words), *noise_counts(len(words)), torch.Generator().manual_seed(2))
source, target = corrupt_spans(words, noise, SENTINELS)
token_boxes(
    [pieces(words), pieces(source), pieces(target)],
    "An entry; its source, with a sentinel for each span; its target, with each span behind its sentinel.",
    labels=["the text", "source: what the encoder reads", "target: what the decoder writes"],
    new=list(NAMES.values()),
)

# %% [markdown]
# **What to notice.** Each token of the text stands in exactly one of the two; source and target share the sentinels
# and nothing else. The target is short: T5's decoder never writes what could be copied. The gap does not say how long
# it is, unlike a row of masks. (One oddity: the last span always reaches the end of the text. That is so in T5's own
# code, where the pieces begin with one that stays and end with one that goes.)
#
# If nothing gets lost, the text can be put together again. Not only from its own target: a model's answer may leave a
# gap out, or have it twice.

# %%
# EXERCISE lablib.pretraining.span_corruption:restore_spans

# %%
generator, exact = torch.Generator().manual_seed(3), 0
for document in training[:300]:
    ids = vocabulary.encode(document.text)
    noise = noise_mask(len(ids), *noise_counts(len(ids), 0.3), generator)
    exact += restore_spans(*corrupt_spans(ids, noise, SENTINELS * 2), SENTINELS * 2) == ids
print(f"{exact} of 300 entries came back exactly, with 30 % of their tokens cut out")

# %% [markdown]
# ## Who may look at whom
#
# The same block serves all of them (attention, SwiGLU, RMSNorm: lab 04); only the mask of its attention differs. In
# each picture, a row is a token that asks and a column one that it may look at.

# %%
T, U = 8, 5  # of the source, of the target
both = torch.ones(T, T, dtype=torch.bool)
nothing = torch.zeros(T, U, dtype=torch.bool)
whole = torch.cat((torch.cat((both, nothing), 1), torch.cat((nothing.mT == 0, causal_mask(U)), 1)))
masks = {"decoder: causal": causal_mask(T), "encoder: masked": both, "encoder–decoder: spans": whole}
fig, axes = figure(cols=3, width=8.6, height=2.9)
for ax, (name, looks) in zip(axes, masks.items(), strict=True):
    ax.imshow(looks, cmap="Blues", vmin=0, vmax=1.6)
    ax.set(title=name, xticks=[], yticks=[], xlabel="looks at", ylabel="token")
    ax.grid(False)
for line in (axes[2].axhline, axes[2].axvline):
    line(T - 0.5, color=GREY)
Picture(fig, "Three attention masks: a triangle, a square, and a square for the source with a triangle for the target.")

# %% [markdown]
# **What to notice.** At the right, the first eight rows are the source, which sees all of itself; the last five are
# the target, which sees the source, and of itself what is already written. If such a mask is used in *one* stack of
# layers it is a *prefix LM*; T5 has two stacks, and so do we.
#
# ## Equal compute
#
# Now train them. What is fair? Not the same number of texts: the masked model needs its head at 15 % of the places
# only, and in an encoder–decoder each token passes half of the layers (Raffel et al. 2020, §3.2.2, argue so). So we
# give each the same **FLOPs**, additions and multiplications, counted by PyTorch in a real step, forwards and
# backwards; and the same number of parameters. Cheaper steps mean more steps.
#
# Besides the three there are two variants to be curious about. *Fill in the middle* (FIM: Bavarian et al. 2022): the
# causal objective, but half of the documents have a middle piece moved to the end: `<1> beginning <2> end <3>
# middle`. And masking with **any rate**: for each text it is drawn between 0 and 100 %, and all chosen tokens are
# masked, as in the *masked diffusion* models of today (Sahoo et al. 2024; LLaDA, Nie et al. 2025; they also weigh
# each prediction by 1/rate, which makes the loss a bound on the likelihood of a text; we do not).

# %%
SEED = 0
config = objective_study.config_of(of)
plans = objective_study.plans(
    of,
    config,
    mask=partial(Masking, choose=chosen_places, corrupt=corrupt_tokens),
    spans=partial(SpanCorruption, counts=noise_counts, cut=corrupt_spans),
    nats=masked_nats,
)  # your functions are in them
for name, plan in plans.items():
    asked = plan.objective(padded([[BEGIN, *words, END]], PAD), torch.Generator().manual_seed(3))
    print(f"{name}\n   reads  {' '.join(pieces(asked.inputs[0].tolist()))}")
    wanted = asked.targets[0] if asked.mask is None else asked.targets[0][asked.mask[0]]
    print(f"   tells  {' '.join(pieces(wanted.tolist()))}\n")

# %% [markdown]
# **What to notice.** One entry, five questions. Read each pair of lines until you could answer it yourself: the causal
# model tells all of what it reads, one place ahead; the masked ones tell only what is hidden; span corruption and fill
# in the middle *write* what is missing, and have to know when to stop.

# %%
recipe = replace(objective_study.RECIPE, steps=lab.profile.pick(smoke=8, laptop=400, gpu=4000))
compared = objective_study.Comparison(of, plans, recipe, SEED)
EVERY = lab.profile.pick(smoke=2, laptop=10)
alt = "Loss against arithmetic for five objectives. Each falls; their heights cannot be compared."

# %% tags=["varies"]
with LiveChart(list(plans), x="arithmetic spent (TFLOP)", y="loss (nats a prediction)", alt=alt) as chart:
    for name, run in compared.runs.items():
        for step in compared.learn(name):
            if step.step % EVERY == 0:
                chart.add(step.step * run.flops / 1e12, **{name: sum(run.losses[-EVERY:]) / EVERY})
models = compared.models

# %% tags=["varies"]
print(f"{'':<20}{'parameters':>11}{'MFLOP a text':>14}{'texts':>8}{'predictions':>13}{'a text':>8}{'seconds':>9}")
for name, run in compared.runs.items():
    size, read, each = count(run.model), recipe.batch * run.steps, run.flops / recipe.batch / 1e6
    row = f"{each:>14.0f}{read:>8,}{run.told:>13,}{run.told / read:>8.1f}{run.seconds:>9.0f}"
    print(f"{name:<20}{size:>11,}{row}")

# %% [markdown]
# **What to notice.** Do not compare the heights: each loss is of another question. A causal model is asked for every
# token, the easy ones too; a masked one for a few, with help from both sides; in a span the second token is easier
# than the first. Look at the table instead. With 15 % masked, a text gives about six predictions where the causal
# objective gives more than forty; a text is cheaper, so more texts are read, but that does not make up for it: **for
# the same arithmetic the masked model gets several times fewer answers to learn from**. (ELECTRA, Clark et al. 2020,
# was invented to cure just that.)
#
# ## Filling gaps
#
# Now the tests. First: a word, or four words in a row, are cut out of entries that none of the models has read. Right
# is what the *world* could have written there, whether or not it is what stood there. Three kinds of gap:
#
# - **clue on the left**: the word stood before, and does not come again;
# - **clue on the right**: it has not been seen, but comes later;
# - **phrase**: four words in a row, anywhere.

# %% tags=["varies"]
gaps = objective_study.gaps_of(of, lab.profile.pick(smoke=10, laptop=150), torch.Generator().manual_seed(4))
print(Counter(gap.kind for gap in gaps))
for gap in gaps[:3]:
    print(f"\n{gap.kind}: {vocabulary.decode(gap.middle)!r}")
    print(f"  {vocabulary.decode(gap.left)} ____{vocabulary.decode(gap.right)}")

# %% [markdown]
# How does each of them fill a gap? The encoder–decoder reads the text with one sentinel in it, and writes. FIM moves
# the gap to the end, and writes. The masked models get as many masks as there are tokens in the gap, and reveal them,
# the surest first. So these are told how long the gap is; to be fair, all the others are told, too: they write so
# many tokens. The encoder–decoder and FIM, which were trained to say when a piece is complete, also have a try in
# which they *find the end* themselves. The revealing is your last exercise:

# %%
# EXERCISE lablib.pretraining.unmasking:reveal

# %% [markdown]
# And the causal model? It can go on from the left, and never sees the right side. Or it can *try*: write several
# candidates from the left, and keep the one with which the whole entry is likeliest. **Guess before you run it:**
# where will it fail, and by how much will four tries help?

# %% tags=["varies"]
generator = torch.Generator().manual_seed(5)
filled = objective_study.fillings(models, of, gaps, generator, reveal)


def share(answers: Sequence[bool]) -> tuple[float, float, float]:
    """The share of right answers and Wilson's 95 % interval."""
    return (sum(answers) / len(answers), *wilson(sum(answers), len(answers)))


def in_record(test: str, name: str, *place: str | int) -> tuple[float, float, float]:
    """What the recorded runs reached: mean, smallest and largest over the seeds."""
    found = []
    for run in recorded["runs"]:
        value = run[test][name]
        for key in place:
            value = value[key]
        found.append(value)
    return over_seeds(found)


# %% tags=["varies"]
infilled = {}
for name, middles in filled.items():
    answers = objective_study.filled_rightly(of, gaps, middles)
    infilled[name] = {kind: share(answers[kind]) for kind in infilling.KINDS}
print(f"{'right, your models':<36}" + "".join(f"{kind:>23}" for kind in infilling.KINDS))
for name, of_kind in infilled.items():
    print(f"{name:<36}" + "".join(f"{f'{x:.2f} ({low:.2f} to {high:.2f})':>23}" for x, low, high in of_kind.values()))

# %%
long = {name: {kind: in_record("gaps", name, kind) for kind in infilling.KINDS} for name in filled}
alt = "Share of gaps filled rightly in eight ways, for three kinds of gap: the recorded runs, mean and range of seeds."
interval_chart(long, alt, x="gaps filled rightly (recorded: mean and range of 3 seeds)")

# %% tags=["varies"]
number = next(i for i, gap in enumerate(gaps) if gap.kind == "phrase")
print(f"{vocabulary.decode(gaps[number].left)} ____{vocabulary.decode(gaps[number].right)}\n")
for name, middles in {"the truth": [gap.middle for gap in gaps], **filled}.items():
    print(f"{name:<36}{vocabulary.decode(middles[number])!r}")

# %% [markdown]
# **What to notice.** First the causal model. From the left it repeats a word that it has read, but where the clue
# comes later it has to guess what the later text will decide. More tries help as far as one of the candidates happens
# to fit: the whole entry's likelihood recognises the right one, at the price of writing and reading the entry four
# times. The masked models read both sides before they answer.
#
# Now the two that *write* a middle. Span corruption knows what belongs in the gap, and is less sure where it ends:
# told the length it is right more often, and how much more differs widely from seed to seed. Its spans had three
# tokens on average, so behind a missing word it may go on writing, though the words stand to the right of the gap
# already. Fill in the middle is the causal model with the same attention, and only its data were rearranged. It
# writes what might stand in the entry, but rarely the piece that joins both sides: of all five this question is the
# hardest to learn, since the middle stands far from both edges of the hole, and the model has to find them by itself.
# Bavarian et al. (2022) gave it 100 billion tokens; look up in the table above how many predictions yours had. What an
# objective *asks* is one thing; what a budget of training makes of it is another.
#
# ## Writing
#
# Now write whole entries, from nothing. For a causal model that is what it does. A masked model can be made to: give
# it nothing but masks (as many as some training text had tokens), and replace a few at a time by tokens drawn from
# what it thinks of them, in random order (`unmasking.compose`). T5 gets a source that is one sentinel, and writes
# what "was cut out".
#
# The world reads each text: *quality* is how much of it is grammatical, consistent and in order, 1 for all of it;
# *perfect* says that the world could have written just that.

# %% tags=["varies"]
written = objective_study.writings(models, of, lab.profile.pick(smoke=8, laptop=80), generator)
right = {name: objective_study.written_rightly(texts) for name, texts in written.items()}
print(f"{'':<34}{'yours: perfect, 95 % interval':>32}{'recorded: quality':>20}{'perfect (3 seeds)':>26}")
for name, answers in right.items():
    mine = "{:.2f} ({:.2f} to {:.2f})".format(*share(answers))
    longer = "{:.2f} ({:.2f} to {:.2f})".format(*in_record("perfect", name))
    print(f"{name:<34}{mine:>32}{in_record('quality', name)[0]:>20.2f}{longer:>26}")

# %% tags=["varies"]
yours = [Card(name, texts[0], f"quality {world.gold_quality(texts[0]):.2f}") for name, texts in written.items()]
longer = recorded["runs"][0]["samples"]
Gallery(yours + [Card(f"{name} (recorded)", texts[0], "the longer run") for name, texts in longer.items()])

# %% [markdown]
# **What to notice.** Read the samples before the numbers. The causal model writes in one pass of one token for each
# token, since its cache keeps what it has read. A masked model reads all the places again in every pass: with as many
# passes as tokens, that is as many times the arithmetic as the text has tokens. Fewer passes are cheaper, but then
# tokens are drawn that do not know of each other. The model that was trained with 15 % masked is asked something that
# was never asked in training, a page of masks. The one trained with any rate has met such pages, and it shows in
# the quality; but a whole entry without a mistake it hardly ever writes: one wrong draw, early and in the middle of
# nowhere, and all the later ones have to live with it. And the encoder–decoder, trained to write spans of three
# tokens, writes something of that sort. Compare the two causal rows, too: half of the entries that fill in the middle
# read were rearranged, and in the longer runs it writes nearly as well as its sister. (It is not allowed to begin with
# a mark here; else every other of its texts would be a rearranged one.)
#
# ## Understanding
#
# BERT was not made to write. It was made to *read*: its vectors are what a small classifier is then trained on. How
# good are they, without any further training? A *linear probe* answers: the model stays frozen, and a logistic
# regression gets its vectors and some labels.
#
# First question: **what sort of entry is this?** (four answers), asked of the vector of *one token*, the first, the
# second, and so on. **Guess:** how will the curve of the causal model differ from the others'?

# %% tags=["varies"]
asked, places = lab.profile.pick(smoke=120, laptop=900), recorded["runs"][0]["places"]
readers = objective_study.readers_of(models)
told = objective_study.sorts_told(readers, of, asked, places)
curves = {name: [share(right) for right in of_place] for name, of_place in told.items()}

# %% tags=["varies"]
fig, ax = figure(width=8.2, height=3.4)
for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
    ax.plot(places, [middle for middle, _, _ in curve], color=colour, marker="o", label=name)
    ends = [in_record("sort", name, place) for place in range(len(places))]
    ax.fill_between(places, *zip(*(end[1:] for end in ends), strict=True), color=colour, alpha=0.2, linewidth=0)
labels = Counter(document.shape for document in held_out[:asked])
ax.axhline(max(labels.values()) / asked, color=GREY, linestyle="--", label="most frequent sort")
ax.set(xlabel="token whose vector is probed", ylabel="sort of entry told rightly", ylim=(0, 1.03))
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
alt = "Accuracy of a probe for the sort of entry by the token probed: yours as dots, recorded runs as bands."
Picture(fig, alt)

# %% [markdown]
# **What to notice.** A causal model's first vector has seen one token, and can know no more than that token tells
# (the line without a model shows how much that is). An encoder's first vector has seen the whole entry. That is what
# *bidirectional* means, and why one labels tokens (names, parts of speech) with encoders. Follow the causal curve to
# the right: it may catch up as more of the text has been read, as far as its vectors still have room for the sort of
# the entry beside the next token, which is what they were made to tell.
#
# Second question, of the *whole* text (the mean of all its vectors): **have two sentences changed places?** Half of
# the entries get two neighbouring sentences, the first one left alone, swapped. A bag of words cannot know; one has
# to understand what follows from what.

# %% tags=["varies"]
swaps = objective_study.swaps_of(of, lab.profile.pick(smoke=60, laptop=1500))
noticed = {name: share(right) for name, right in objective_study.swaps_noticed(readers, of, swaps).items()}
rows = {name: {"yours": value, "recorded": in_record("swap", name)} for name, value in noticed.items()}
alt = "How often a probe tells whether two sentences were swapped: yours with 95 % intervals, recorded with range."
interval_chart(rows, alt, x="told rightly", levels={"guessing": swaps.guessing})

# %% [markdown]
# **What to notice.** Without a model the probe can only guess: a mean of embeddings is the same bag of words, in
# whatever order. Whatever the others have above the dashed line is knowledge of order, and it lies open in their
# vectors. It is little: of the recorded runs the best, causal and masked at any rate, are right in about three cases
# of five, and at 15 % the probe hardly beats the coin. (Neither has ever met two sentences in the wrong order.) Look
# at the intervals before you put *your* models in a row: with some four hundred questions they are about ten points
# wide, and a difference smaller than that says nothing.
#
# ## Fifteen per cent?
#
# You have two masked models that differ in how much was masked: 15 % (of which a fifth is not masked but exchanged or
# left), or any share. **Write down before you look:** which is better at gaps of one word, at phrases, at writing, at
# telling sorts and swaps? A case can be made for each: at 15 % each question has the most context, and its conditions
# are those of the test; at any rate a text gives three times as many answers.

# %%
rates = ("masked, 15 %", "masked, any rate")
print(f"{'recorded, 3 seeds':<28}" + "".join(f"{rate:>26}" for rate in rates))
answers = {f"gap: {kind}": [in_record("gaps", rate, kind) for rate in rates] for kind in infilling.KINDS}
answers["texts written perfectly"] = [in_record("perfect", f"{rate}, one at a time") for rate in rates]
answers["sort, from the first token"] = [in_record("sort", rate, 0) for rate in rates]
answers["sentences swapped"] = [in_record("swap", rate) for rate in rates]
for question, values in answers.items():
    row = "".join(f"{f'{middle:.2f} ({low:.2f} to {high:.2f})':>26}" for middle, low, high in values)
    print(f"{question:<28}{row}")

# %% [markdown]
# **What to notice.** Where the ranges do not overlap, one of the two has won: for phrases, for the order of sentences
# and, as you saw above, for the quality of what is written, it is the one with any rate. For single words and for the
# sort of an entry, both are close to perfect, and three seeds do not tell them apart. More masks do two things at
# once (Wettig et al. 2023): each question is harder, and there are more of them. And one thing more differs between
# our two: only the first has exchanged and kept tokens among those it is asked for.
#
# ## The table, measured
#
# The common comparison of the three objectives (architecture, who sees whom, typical uses), with what this lab found.
# The numbers are of models of half a million parameters after a short training: their order is worth more than their
# size.

# %%
from IPython.display import Markdown


def percent(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.0%} ({value[1]:.0%}–{value[2]:.0%})"


single = "one at a time"
facts = {
    "causal": ("decoder", "left to right", "GPT series, Llama", "causal, from the left", "causal"),
    "fill in the middle": ("decoder", "left to right, rearranged", "code models", *["fill in the middle"] * 2),
    "masked, 15 %": ("encoder", "both sides", "BERT, RoBERTa", "masked, 15 %", f"masked, 15 %, {single}"),
    "masked, any rate": ("encoder", "both sides", "LLaDA", "masked, any rate", f"masked, any rate, {single}"),
    "span corruption": ("encoder–decoder", "source both sides, target left to right", "T5", *["span corruption"] * 2),
}

# %%
head = "objective | model | context | examples | gap, clue right | gap, phrase | texts perfect"
lines = [f"| {head} | sort, token 1 | swap seen |", "|---" * 9 + "|"]
for name, (made, context, examples, gap, text) in facts.items():
    filled_in = [percent(in_record("gaps", gap, kind)) for kind in infilling.KINDS[1:]]
    probed = ["–", "–"]
    if name in curves:
        probed = [percent(in_record("sort", name, 0)), percent(in_record("swap", name))]
    cells = [name, made, context, examples, *filled_in, percent(in_record("perfect", text)), *probed]
    lines.append(f"| {' | '.join(cells)} |")
Markdown("\n".join(lines))

# %% [markdown]
# ## Where the common account is too simple
#
# - **"BERT was trained to fill masks."** And, in the original, to tell whether the second of two pieces of text
#   followed the first (*next-sentence prediction*). RoBERTa (Liu et al. 2019, §4.2) left that out, and the results
#   were as good or slightly better.
# - **"15 % of the tokens are replaced by [MASK]."** Of these, 80 %, as you know. And 15 % is no law: Wettig et al.
#   (2023) found 40 % better for a model of BERT-large's size, and that even 80 % keeps most of the quality. More
#   masks make each question harder and give more answers to learn from.
# - **"Masked models cannot write."** At 8 billion parameters one can: LLaDA (Nie et al. 2025), trained with any rate,
#   is compared with Llama 3 of that size. Ours, trained with any rate, writes far better than the one trained at
#   15 %, which has never seen a page of masks, and far worse than the causal one.
# - **"Causal models cannot look to the right."** The *attention* cannot. The *data* can be rearranged: with fill in
#   the middle the right side simply comes first. Bavarian et al. (2022) found no harm to ordinary writing; at our
#   budget there is a little, in the longer runs. Many models for code are trained so.
# - **"T5 writes."** Pre-trained with spans only, it writes sentinels and short pieces: look at its sample again.
#   Lester et al. (2021, §2.2) had to "unlearn span corruption" by training T5 further as a language model before it
#   could be prompted; T5's own tasks were all learned by fine-tuning (or mixed into the pre-training).
# - **"Different objectives need different architectures."** The three can be mixed in one model: UL2 (Tay et al.
#   2023) trains one on short spans, long spans, and continuation at the same time, with a token that says which is
#   asked for.
#
# ## Questions to think about
#
# <details><summary>1. Why not mask 100 %?</summary>
#
# Then the model sees nothing but the length, and can only learn how often each token occurs at each place. At 0 %
# there is nothing to tell. In between, each rate is another task: at a low one the answer lies in the neighbourhood,
# at a high one the model has to know what texts look like. That is what a *writer* has to know.
#
# </details>
#
# <details><summary>2. The causal loss is a probability of the whole text. Is the masked loss one?</summary>
#
# No. A product of P(token | all tokens before it) is the probability of the text, by the chain rule. A product of
# P(token | all others) is not: each factor has seen the others' answers. It is useful all the same, as a score of how
# natural a text is (*pseudo-log-likelihood*, Salazar et al. 2020). With any rate and the right weights, the masked
# loss does become a bound on −log P(text): that is the point of masked diffusion.
#
# </details>
#
# <details><summary>3. Two masks stand side by side; the model is sure of each. Why may the pair still be wrong?</summary>
#
# It told each without knowing the other. If "in spring" and "at noon" are equally good, "in noon" may come out.
# Filling one at a time, surest first, avoids that for a pass per token; eight passes for a whole text do not.
#
# </details>
#
# <details><summary>4. T5 always cuts out a text's end: the only span of 20 tokens stands there. Does it matter?</summary>
#
# It makes "continue this" a little more common among the questions, and leaves short texts without any gap in the
# middle. T5 packed its texts into rows of 568 tokens, which cutting shortens to 512, so that no row had one span
# only. Here it does matter a little, for our entries have two or three spans. One could roll the mask round by a
# random number of places.
#
# </details>
#
# <details><summary>5. The masked models were told how long the gap is. How could one do without?</summary>
#
# Try several lengths, and compare the filled texts by pseudo-log-likelihood; or predict the length first, as
# Ghazvininejad et al. (2019) do from the source sentence; or train with a token that means "nothing here".
#
# </details>
#
# <details><summary>6. If the encoder is so good at reading, why are today's large models all decoders?</summary>
#
# Not because of what they know after pre-training. Every token is a question, so nothing is wasted; one objective
# covers every task that can be written as text, with no new head; and each token's keys and values stay valid when
# the text grows, so writing with a cache is cheap. For search and classification, encoders are still trained, and
# much used: lab 11 retrieves with one.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Devlin, Chang, Lee and Toutanova 2019, *BERT: Pre-training of Deep Bidirectional Transformers for Language
#   Understanding*: §3.1, appendix A.1.
# - Liu et al. 2019, *RoBERTa: A Robustly Optimized BERT Pretraining Approach*: §4.1 dynamic masking, §4.2
#   next-sentence prediction.
# - Raffel et al. 2020, *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer* (T5):
#   §3.1.4, §3.2, §3.3.4.
# - Clark, Luong, Le and Manning 2020, *ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators*.
# - Wettig, Gao, Zhong and Chen 2023, *Should You Mask 15% in Masked Language Modeling?*
# - Ghazvininejad, Levy, Liu and Zettlemoyer 2019, *Mask-Predict: Parallel Decoding of Conditional Masked Language
#   Models*.
# - Sahoo et al. 2024, *Simple and Effective Masked Diffusion Language Models*; Nie et al. 2025, *Large Language
#   Diffusion Models* (LLaDA).
# - Bavarian et al. 2022, *Efficient Training of Language Models to Fill in the Middle*; Donahue, Lee and Liang 2020,
#   *Enabling Language Models to Fill in the Blanks*.
# - Lester, Al-Rfou and Constant 2021, *The Power of Scale for Parameter-Efficient Prompt Tuning*: §2.2, unlearning
#   span corruption.
# - Tay et al. 2023, *UL2: Unifying Language Learning Paradigms*.
# - Salazar, Liang, Nguyen and Kirchhoff 2020, *Masked Language Model Scoring*.
# - Alain and Bengio 2017, *Understanding Intermediate Layers Using Linear Classifier Probes*; Hewitt and Liang 2019,
#   *Designing and Interpreting Probes with Control Tasks*.
