# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 05 · From a crawl to a corpus
#
# A language model is what it reads. Before a single weight is trained, somebody decides which of the world's pages go in: what is
# spam, what is a copy, whose address must not be in there, which words are too ugly, how much of each source. These decisions are
# programs, most of them short, and they are wrong in ways that nobody sees unless they are measured.
#
# In this lab you write the core of each of them and run them on two corpora: the text that *your own machine* carries (every Python install
# holds megabytes of what people wrote), and a corpus whose **every fault is known**, because we planted it. On the first you look; on the
# second you count. At the end two questions are put to real models: does cleaning help? And what did it cost?
#
# **You will be able to**
#
# - measure how good a filter is: precision, recall, and the harm that it does to good text, each with an interval;
# - find copies and near copies among any number of documents, with hashes, MinHash and LSH, and say what is missed;
# - take private details out of text, and tell a card number from a row of digits;
# - explain why a list of bad words hurts people who never used one;
# - choose mixture weights, and read the table of somebody else's;
# - run it all as one pipeline, with a trace for each document, and test a pipeline by training on what it lets through.
#
# **You need** nothing from earlier labs; the model that is trained in the end is the decoder of lab 04.
# **Time**: about two hours with the nine exercises. Running every cell takes about two minutes on two free CPU cores, and less
# than 1.5 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
import hashlib
import math
import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, islice

import numpy as np

from lablib.corpus.document import Document
from lablib.corpus.minhash import Array
from lablib.corpus.scoring import dropped_by_label, score_drops, score_spans, score_table, wilson

# %%
from lablib.show.curves import mixture_chart, scatter_with_band, theory_and_points
from lablib.show.funnel import funnel_chart, harm_chart
from lablib.show.intervals import interval_chart, over_seeds
from lablib.show.sliders import Sliders
from lablib.show.texts import Card, Gallery, Trace, shortened

# %% tags=["varies"]
from lablib import course

lab = course.begin("05")

# %% [markdown]
# ## Where text comes from
#
# These are the public sources that many models were made from, with the size that their own pages or papers state. The course has one
# streaming adapter for each of them (`lablib.corpus.sources.stream("c4", limit=100)`); this lab needs none of them, and no network.

# %%
from IPython.display import Markdown

from lablib.corpus.sources import SOURCES

rows = [f"| {s.name} | {s.what} | {s.size} | {s.used} |" for s in SOURCES if s.gives == "documents"]
Markdown("\n".join(["| source | what it is | how much | who read it |", "|---|---|---|---|", *rows]))

# %% [markdown]
# **What to notice.** Most of the web text leads back to one place, Common Crawl: C4, RefinedWeb and FineWeb-Edu are three *filters* on it. The Pile
# mixes a part of it with papers, law, code and books; Wikipedia needs no crawl; TinyStories was written by a language model (lab 17 measures what such
# synthetic text is worth). Two things are often told otherwise: the Pile is 825 GiB, which are 886 GB; and LLaMA read only one of its 22 parts, Books3.
#
# ## The crawl that is already here
#
# The language reference behind `help("if")`, docstrings, the READMEs and licences of installed packages: text by thousands of people, with
# boilerplate, copies, e-mail addresses, tables and other languages, as on the web. `crawl` reads it, runs none of it, and keeps for each
# document where it came from and under what licence.

# %% tags=["varies"]
from lablib.corpus.crawl import QUICK, Report, authors, crawl

report = Report()
parts = lab.profile.pick(smoke=("language reference", "metadata", "licences"), laptop=QUICK)
crawled = list(crawl(parts, report=report))
print(report)

# %% tags=["varies"]
glance = random.Random(3)
some = [glance.choice([d for d in crawled if d.kind == kind]) for kind in sorted({d.kind for d in crawled})]
cards = [Card(f"{one.kind}, {one.licence[:40]}", one.text, one.id) for one in some]
Gallery(cards, letters=260)

# %% [markdown]
# **What to notice.** Which of these would you want a model to learn to write? The answer is not the same for all of them, and there is no rule
# yet. Run the cell with another seed a few times: nobody who makes a corpus should skip an hour of reading.
#
# ## A corpus whose truth is known
#
# On a real crawl nobody can say how many copies a filter missed. So we take good text, here the stories of an invented valley (the course's
# *world*; more of it from lab 07 on), and plant faults in it: copies, near copies with some words changed, gibberish, shuffled
# words, menus, machine logs, other languages, insults, private details. Every document carries its label, hidden from the filters. And because a
# filter also does harm, there are **look-alikes**: text that is fine and only looks like a fault.

# %%
from lablib.corpus.planted import Planted, Rates, edited, names, plant
from lablib.corpus.world import World

world = World()


def pages(seed: int, kinds: Sequence[str] | None = None) -> Iterable[Document]:
    """Good documents of the world without end, as a crawl would bring them."""
    for number, page in enumerate(world.documents(random.Random(seed), kinds=kinds)):
        yield Document(page.text, f"world/{number}", "world", "CC0-1.0", page.kind)


planted = list(islice(plant(pages(0, ["story"]), random.Random(0)), 1500))
corpus = [one.document for one in planted]
counts = Counter(label for one in planted for label in (one.truth or {"good"}))
print(", ".join(f"{label} {count}" for label, count in counts.most_common()))

# %%
shown = ("good", "shuffled_words", "truncated", "boilerplate", "pii", "toxic", "benign_toxic", "benign_pii")
cards = []
for label in shown:
    one = next(one for one in planted if label in (one.truth or {"good"}))
    start = max(0, one.spans[0].start - 60) if one.spans else 0
    mark = "should go" if one.should_drop else "should stay"
    cards.append(Card(label, one.document.text[start:], "", mark, good=not one.should_drop))
Gallery(cards, letters=200)

# %% [markdown]
# **What to notice.** Green is what should stay (perhaps mended), red what should go. `benign_toxic` is no insult and `benign_pii` no address.
# `shuffled_words` has the right words in a wrong order: every single word is fine.
#
# ## Quality: what can be counted
#
# The first filters of every pipeline measure something simple and set a bound on it. How long are the words? How many lines end like
# a sentence? How much of the page has been there before, on the same page? Start with the last one.

# %%
# EXERCISE lablib.corpus.repetition:duplicate_share

# %%
from lablib.corpus.heuristics import lines

shares: dict[str, list[float]] = {}
for one in planted:
    for label in one.truth or {"good"}:
        shares.setdefault(label, []).append(duplicate_share(lines(one.document.text)))
print(f"{'share of lines seen before':<30}{'mean':>6}{'above 0.30':>12}")
for label, values in sorted(shares.items(), key=lambda pair: -np.mean(pair[1]))[:6]:
    print(f"{label:<30}{np.mean(values):>6.2f}{sum(value > 0.3 for value in values):>6} of {len(values)}")

# %% [markdown]
# **What to notice.** One number and one bound (0.30 is that of Rae et al. 2021, who made the corpus of the model Gopher) separate the pages
# that repeat themselves from all others. Such rules are cheap, anybody can read them, and each catches one kind of fault. So one needs many.
#
# Here are five published sets, from four papers (Gopher's are two; of C4 and RefinedWeb only the rules that drop a whole page), and the course's own
# choice, `RULES`. How good is each? **Recall**: of the bad pages, the share that is caught. **Precision**: of what was dropped, the share that was rightly
# dropped. And the harm: of the *good* pages, the share that is lost. We look at recall and harm first. Each is a share of a count, so it gets an interval
# (Wilson 1927): the values that such a count is compatible with.

# %%
from lablib.corpus import quality
from lablib.corpus.fates import BAD_PAGES, group_of, left_behind

sets = {
    "Gopher": quality.GOPHER, "repetition": quality.GOPHER_REPETITION, "C4": quality.C4,
    "RefinedWeb": quality.REFINEDWEB, "FineWeb": quality.FINEWEB, "ours": quality.RULES,
}  # fmt: skip
bad = [one for one in planted if one.truth & BAD_PAGES]
good = [one for one in planted if not one.truth]


def share_dropped(ones: Sequence[Planted], rules: Sequence[quality.Rule]) -> tuple[float, float, float]:
    """How many of these documents break a rule, with its interval."""
    dropped = sum(bool(quality.findings(one.document.text, rules)) for one in ones)
    return dropped / len(ones), *wilson(dropped, len(ones))


# %%
by_set = {
    name: {"bad pages caught": share_dropped(bad, rules), "good pages lost": share_dropped(good, rules)}
    for name, rules in sets.items()
}
alt = "For six sets of quality rules: share of bad pages caught and of good pages lost, with intervals."
interval_chart(by_set, alt)


# %%
def words_of(values: Mapping[str, tuple[float, float, float]]) -> str:
    """Shares with their intervals, in a line."""
    return "   ".join(f"{what} {share:.2f} [{low:.2f}, {high:.2f}]" for what, (share, low, high) in values.items())


for name, values in by_set.items():
    print(f"{name:<20}{words_of(values)}")

# %% [markdown]
# **What to notice.** Every published set spares these stories, and each catches another part of what is bad, from a seventh to two thirds: they were made
# to be used together. Ours takes most of their bounds, adds three rules, and says in `lablib/corpus/quality.py` where it departs from them and why.
#
# ### Rules made for prose
#
# So take *all* the published rules together, to be safe? They were tuned on long pages of prose. The world also has letters, dialogues, how-tos, lists and
# encyclopaedia entries, short and every one of them good. **Before you run it:** which set of rules will do the most harm, and to which kind?

# %%
from lablib.corpus.world.documents import KINDS

PUBLISHED = {rule.name: rule for name, rules in sets.items() if name != "ours" for rule in rules}
sets["all published"] = tuple(PUBLISHED.values())
fresh = {kind: [page.text for page in islice(pages(7, [kind]), 150)] for kind in KINDS}
print(f"{'good text lost':<15}" + "".join(f"{name:>14}" for name in sets))
for kind, texts in fresh.items():
    lost = [sum(bool(quality.findings(text, rules)) for text in texts) / len(texts) for rules in sets.values()]
    print(f"{kind:<15}" + "".join(f"{share:>14.0%}" for share in lost))

# %% [markdown]
# **What to notice.** Rules that cost nothing on stories throw away every list, nearly every encyclopaedia entry and letter, and more than half of the how-tos and dialogues. Most of them are shorter than
# 50 words (Gopher); the lines of lists and letters are short or end without a full stop (FineWeb); a list has no three sentences (C4). Nobody wrote a rule against lists. That is how corpora come to lack dialogue, poetry or code: by accident, with filters that were tested on something else. Remember the last column;
# it comes back at the end, where a model has to pay for it.
#
# ### What cannot be counted
#
# The rules find shuffled words by luck only, where a page happens to end in the middle of a sentence: every word is fine. A *learned* filter sees which words follow which. GPT-3's was a logistic regression (a weighted sum, squeezed into a probability) on hashed
# words, good examples against raw pages (Brown et al. 2020, appendix A); FineWeb-Edu's learned from a language model's marks, and that of Llama 3 from the marks of Llama 2 (Dubey et al. 2024). Ours counts words, pairs of
# words and pieces of words, hashes each to one of 65,536 places, and learns a weight for each place, from another planted corpus.

# %% tags=["varies"]
from lablib.corpus.quality_classifier import train

often = Rates(shuffled_words=0.2, truncated=0.1, pii=0, benign=0)
lessons = list(islice(plant(pages(5, ["story"]), random.Random(5), often), lab.profile.pick(smoke=150, laptop=2500)))
fine, poor = ({one.document.text for one in lessons if wanted(one)} for wanted in (
    lambda one: not one.truth, lambda one: bool(one.truth & BAD_PAGES)
))  # fmt: skip
classifier = train(sorted(fine), sorted(poor), np.random.default_rng(0))
judged = planted[:: lab.profile.pick(smoke=4, laptop=1)]
print(f"{'caught (good: lost)':<20}{'rules':>8}{'classifier':>12}{'either':>8}")
for label in [*sorted(BAD_PAGES), "good"]:
    texts = [one.document.text for one in judged if label in (one.truth or {"good"})]
    rules, learned = [bool(quality.findings(t)) for t in texts], [not classifier(t) for t in texts]
    either = [a or b for a, b in zip(rules, learned, strict=True)]
    print(f"{label:<20}{np.mean(rules):>8.0%}{np.mean(learned):>12.0%}{np.mean(either):>8.0%}")

# %% [markdown]
# **What to notice.** It catches shuffled pages that every rule lets through. The price stands in the last row: about one good story in six goes too, and the rules lose hardly any. (The bound was set where precision and recall are best together; with a lower one fewer are lost, and more is let through: `dataclasses.replace(classifier, threshold=0.3)`.) And it has learned to tell *these* stories from *these*
# faults; what it would say of a letter, nobody knows. A learned filter makes a corpus more like its good examples, which is not the same as better. (Makers do this in rounds: filter, train a model, let it
# mark pages, learn a better filter from its marks. And one kind of page passes all of these filters: what a language model has written. Nobody has a filter for that which can be relied on.)

# %% [markdown]
# ## Copies
#
# The web copies itself. In C4 one sentence of 61 words stood more than 60,000 times, although its makers had dropped repeated spans of three sentences (such as were equal to the
# character). Of what models trained on such data write unprompted, more than 1 % of the tokens are copied from it word for word; after deduplication ten times less (Lee et al. 2022). A sequence
# that occurs 10 times is written about 1,000 times as often, on average, as one that occurs once (Kandpal et al. 2022). Copies also
# cross the line between training and test, and then a test measures memory.
#
# ### Exact copies
#
# Comparing every document with every other is out of the question. Give each text a short name instead, the same for the same text, and look
# whether the name has been there. What is *the same*? Here: capitals, spacing and look-alike characters do not count.

# %%
from lablib.corpus.dedup import normalised

# %%
# EXERCISE lablib.corpus.dedup:exact_key

# %%
seen: dict[bytes, str] = {}
dropped = {d.id for d in corpus if seen.setdefault(exact_key(d.text), d.id) != d.id}
print(score_table({"exact copies": score_drops(planted, dropped, {"copy"})}))
near = [one for one in planted if "near_copy" in one.truth]
print(f"near copies found by it: {sum(one.document.id in dropped for one in near)} of {len(near)}")

# %% [markdown]
# **What to notice.** All of the copies, and nothing else. But change one word and the name is another: of the near copies it finds none.
#
# ### Near copies: a text as a set
#
# How alike are two texts? Cut each into **shingles**, all its runs of three words, and take the share that both have: the **Jaccard similarity**
# |A ∩ B| / |A ∪ B| (Broder 1997; with it AltaVista kept near copies out of its index).

# %%
# EXERCISE lablib.corpus.minhash:shingles

# %%
from lablib.corpus.minhash import estimated_jaccard, jaccard, random_orders, stable_hash

text_of = {one.document.id: one.document.text for one in planted}
print("words changed    mean similarity to the original    if changes fell evenly")
for rate in sorted({one.edit_rate for one in near}):
    twins = [(one.document.text, text_of[one.copy_of]) for one in near if one.edit_rate == rate]
    alike = [jaccard(shingles(text), shingles(original)) for text, original in twins]
    intact = (1 - rate) ** 3  # the chance that none of a shingle's three words has changed
    print(f"{rate:>13.0%}{np.mean(alike):>19.2f} ({min(alike):.2f} to {max(alike):.2f}){intact / (2 - intact):>26.2f}")

# %% [markdown]
# **What to notice.** Changing one word in twenty takes away about a quarter of the similarity, since each change breaks three shingles and adds three new ones.
# So a bound of 0.8, which sounds lenient, already misses copies that any reader would call the same text.
#
# ### A set in 128 numbers
#
# Sets are long, and there are many pairs. **MinHash** makes each set short, so that similarity can still be read. Put all possible shingles into a random order: the first
# one of A ∪ B is the first of *both* A and B exactly if it lies in A ∩ B. That happens with probability J. Do it with 128 orders and count.
# For each order, each set needs to keep only its first element's number: these 128 numbers are the set's **signature**.

# %%
from lablib.corpus.minhash import PRIME

# %%
# EXERCISE lablib.corpus.minhash:minhash

# %%
orders = random_orders(128, np.random.default_rng(0))
sets_of = {d.id: shingles(d.text) for d in corpus}
signatures = {id: minhash(elements, *orders) for id, elements in sets_of.items()}
pairs = [(one.document.id, one.copy_of) for one in near]
for number, one in enumerate(good[:90]):  # pairs of every similarity: stories with more and more of their words changed
    name, text = f"{one.document.id}, changed", edited(one.document.text, number / 200, random.Random(number))
    sets_of[name] = shingles(text)
    signatures[name] = minhash(sets_of[name], *orders)
    pairs.append((one.document.id, name))
true = np.array([jaccard(sets_of[a], sets_of[b]) for a, b in pairs])
estimated = np.array([estimated_jaccard(signatures[a], signatures[b]) for a, b in pairs])

# %%
J = np.linspace(0, 1, 101)
spread = 1.96 * np.sqrt(J * (1 - J) / 128)
alt = "Estimated against true Jaccard similarity: points around the diagonal, nearly all within the range of theory."
theory = J, J - spread, J + spread
scatter_with_band(true, estimated, *theory, alt, "true similarity", "estimated from 128 numbers", "95 % by theory")

# %%
inside = np.abs(estimated - true) <= 1.96 * np.sqrt(true * (1 - true) / 128)
print(f"inside the range: {inside.mean():.0%} of {len(pairs)} pairs; mean error {np.mean(estimated - true):+.3f}")

# %% [markdown]
# **What to notice.** Whatever the length of the texts, 128 numbers give J with a standard deviation of √(J(1 − J)/128), at most 0.044. And the error is the
# same for a tweet and for a book: only the number of orders counts. (The orders x → (a·x + b) mod p are not quite random ones, so the estimate is not quite
# unbiased; the mean error says that it does not matter here.)
#
# ### Whom to compare with whom
#
# A billion documents have 5 · 10¹⁷ pairs. **Locality-sensitive hashing** finds the pairs worth looking at without looking at the others. Cut each signature into b
# *bands* of r rows. Two documents become candidates if at least one band is the same in all its rows.

# %%
from lablib.corpus.lsh import band_keys, best_bands, candidate_probability

# %%
# EXERCISE lablib.corpus.lsh:candidate_pairs

# %% [markdown]
# If each value agrees with probability J, a band does with J^r, and at least one of b bands with 1 − (1 − J^r)^b. Move the sliders: more bands
# push the curve to the left (more is found, and more is compared in vain), more rows to the right. The dashed line stands at (1/b)^(1/r), where the curve
# is nearly steepest and about 63 % are found.


# %%
def s_curve(bands: int, rows: int):
    """The chance to become a candidate, by similarity."""
    curve = {f"{bands} bands of {rows}": candidate_probability(J, bands, rows)}
    steepest = {"(1/b)^(1/r)": (1 / bands) ** (1 / rows)}
    alt = "The chance that a pair becomes a candidate against its similarity: an S-curve."
    return theory_and_points(J, curve, None, alt, "Jaccard similarity", "chance to be compared", steepest)


# %% tags=["varies"]
Sliders(s_curve, bands=(25, 1, 64), rows=(5, 1, 20))

# %% [markdown]
# That is theory. Now *your* functions: for each similarity 150 fresh pairs of sets that have it exactly, made into signatures, cut into bands.

# %%
choices = {"14 bands of 8 (FineWeb)": (14, 8), "25 bands of 5": (25, 5), "64 bands of 2": (64, 2)}
measured: dict[str, list] = {name: [] for name in choices}
for common in (6, 12, 20, 30, 40, 48, 54):  # of 60 different elements: J = common / 60
    found = Counter()
    for number in range(150):
        elements, middle = [f"{common}/{number}/{i}" for i in range(60)], (60 + common) // 2
        sides = elements[:middle], elements[:common] + elements[middle:]
        two = [minhash(set(side), *orders) for side in sides]
        found.update(name for name, bands in choices.items() if candidate_pairs(two, *bands))
    for name in choices:
        measured[name].append((common / 60, found[name] / 150, *wilson(found[name], 150)))
curves = {name: candidate_probability(J, *bands) for name, bands in choices.items()}

# %%
alt = "Share of pairs that became candidates against similarity, three choices of bands: measured points on the curves."
theory_and_points(J, curves, measured, alt, "Jaccard similarity", "share of pairs compared")

# %% [markdown]
# **What to notice.** The points lie on the curves, as far as 150 pairs can tell. The choice is one of costs: 64 bands of 2 compare nearly everything that is a little alike; FineWeb's 14 of 8
# find half of the pairs at 0.69, three in four at 0.75 and nearly all from 0.85 on. There a shared band is the whole test: no pair is compared again (Penedo et al. 2024, who aimed at 0.75).
#
# ### How strict?
#
# Everything together: shingles, signatures, bands, and of each pair that is alike enough the later one goes. The bound is a choice. **Before you
# run it:** from 0.9 down to 0.3, where will good stories begin to be lost? They come from one grammar, so they have sentences in common.

# %%
ids = [d.id for d in corpus]


def near_copies(threshold: float) -> set[str]:
    """The documents that are like an earlier one that stays."""
    gone: set[str] = set()
    found = candidate_pairs([signatures[id] for id in ids], *best_bands(128, threshold))
    for i, j in sorted(found, key=lambda pair: pair[::-1]):
        if ids[i] not in gone and estimated_jaccard(signatures[ids[i]], signatures[ids[j]]) >= threshold:
            gone.add(ids[j])
    return gone


# %%
strictness = {}
for threshold in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
    gone, row = near_copies(threshold), {}
    for name, ones in {"near copies found": near, "good pages lost": good}.items():
        there = sum(one.document.id in gone for one in ones)
        row[name] = (there / len(ones), *wilson(there, len(ones)))
    strictness[f"similarity ≥ {threshold}"] = row
alt = "For seven bounds of similarity: share of near copies found and of good pages lost, with intervals."
interval_chart(strictness, alt)

# %%
gone = near_copies(0.6)
print(score_table({"copies, at 0.6": score_drops(planted, gone, {"copy", "near_copy"})}))
for bound, row in strictness.items():
    print(f"{bound:<18}{words_of(row)}")

# %% [markdown]
# **What to notice.** At 0.9 most of the edited copies slip through; at 0.6 nearly all are found, and good pages are still safe. Further down no more copies are found, and the
# good pages pay: one grammar wrote them, so some *are* alike, by chance. (At the very end even fewer copies are found: their originals have gone, too.) More is not always better: FineWeb
# deduplicated across all its crawls at first, and the model got no better for it; within each crawl it did (Penedo et al. 2024).
#
# ### On your machine
#
# Licences are the near copies of this crawl: the same text with another name in it. (A group is whatever hangs together: one pair that is alike enough
# joins two groups, so a chain of small changes is one group.)

# %% tags=["varies"]
from lablib.corpus.dedup import near_clusters

licences = [document for document in crawled if document.kind == "licence"]
groups = sorted(near_clusters(licences), key=len, reverse=True)
by_id = {document.id: document for document in licences}
print(f"{len(licences)} licence files, {len(groups)} groups; the largest:")
for group in groups[:5]:
    begins = " ".join(by_id[group[0]].text.split())[:70]
    print(f"{len(group):>4} files by {len({by_id[id].source for id in group})} packages: {begins} …")

# %% [markdown]
# ### Paragraphs
#
# Some copies are smaller than a document: a menu, a cookie banner, "all rights reserved". Each paragraph gets a key of its own; one that has stood in an
# earlier document is taken out, and the rest of the page stays.

# %%
from lablib.corpus.dedup import SeenKeys, without_seen_paragraphs

memory, cut = SeenKeys(), Counter()
for one in planted:
    text, taken = without_seen_paragraphs(one.document.text, one.document.id, memory)
    kind = "boilerplate" if "boilerplate" in one.truth else "copies" if one.truth & {"copy", "near_copy"} else "other"
    repeats = kind == "boilerplate" and one.copy_of is not None
    cut[kind, "there to be cut"] += repeats
    cut[kind, "documents cut"] += bool(taken)
print(f"banners that stood before: {cut['boilerplate', 'there to be cut']}; cut: {cut['boilerplate', 'documents cut']}")
others = cut["copies", "documents cut"], cut["other", "documents cut"]
print(f"documents without a banner that were cut: {others[0]} copies and {others[1]} others")

# %% [markdown]
# **What to notice.** It needs no list of phrases: whatever many pages share goes, in any language. The first page with a banner keeps it. At the scale of the web
# that is most of the text: in CCNet such paragraphs were 70 % of it (Wenzek et al. 2020).

# %% [markdown]
# ## Private details
#
# What stands in the text can come out of the model: Carlini et al. (2021) made GPT-2 write the name, address and telephone number of a real person. So
# details are found by patterns, and then told apart from what only looks like them. A card number is a good example: sixteen digits in a row may be anything, but
# the last digit of a card's is computed from the others.

# %%
# EXERCISE lablib.corpus.privacy:luhn_valid

# %%
dice = random.Random(0)
rows = ["".join(str(int(dice.random() * 10)) for _ in range(16)) for _ in range(10_000)]
print(f"of 10,000 random rows of 16 digits {sum(map(luhn_valid, rows)):,} pass the check")
card = "4111 1111 1111 1111"
typos = [card[:i] + str((int(card[i]) + 1) % 10) + card[i + 1 :] for i in range(len(card)) if card[i].isdigit()]
print(f"{card}: {luhn_valid(card)}; with one digit wrong: {sum(map(luhn_valid, typos))} of {len(typos)} pass")

# %% [markdown]
# Finding gives spans: where a detail starts, where it ends, and of what kind it is. Taking it out is the next exercise.

# %%
from lablib.corpus.privacy import PLACEHOLDERS, find_emails, find_private
from lablib.corpus.spans import Span

# %%
# EXERCISE lablib.corpus.privacy:replaced

# %%
one = next(one for one in planted if len(one.spans) == 3 and "pii" in one.truth)
before, spans = one.document.text, find_private(one.document.text, names())
steps = [("private details", "replaced", f"{span.kind} at {span.start}") for span in spans]
Trace(one.document.id, steps, before, replaced(before, spans))

# %% [markdown]
# How many are found, and how many finds are wrong? The planted corpus knows where each detail stands, to the character. (Names come from a list here; to find unknown
# ones takes a model.)

# %%
private = score_spans(planted, lambda text: find_private(text, names()), list(PLACEHOLDERS))
print(score_table(private))

# %%
both = {
    kind: {"precision": (s.precision, *s.precision_interval), "recall": (s.recall, *s.recall_interval)}
    for kind, s in private.items()
}
interval_chart(both, "Precision and recall of finding six kinds of private detail, with intervals.", x_range=(0.8, 1))

# %% [markdown]
# **What to notice.** Look at the intervals, not at the dots: with some sixty planted examples of a kind, "all of them" is compatible with one in fifteen missed. And what is planted
# was written by the same people who wrote the patterns. Real text is less kind. The crawl offers a check: packages name their authors' addresses in a *field*, so we know
# that these are addresses.

# %% tags=["varies"]
known = list(authors())
text_by_id = {document.id: document.text for document in crawled}
there = [author for author in known if author.email in text_by_id.get(author.document, "")]
found = 0
for author in there:
    text = text_by_id[author.document]
    found += any(text[span.start : span.stop] == author.email for span in find_emails(text))
low, high = wilson(found, len(there))
recall = found / max(len(there), 1)
print(f"{found} of {len(there)} authors' addresses found: recall {recall:.3f} [{low:.3f}, {high:.3f}]")

# %% [markdown]
# ## Ugly words
#
# C4 dropped every page with a word from a list. The simplest score is how many listed words there are in a hundred; write it. (The list of this course is
# mild, at the level of a schoolyard quarrel. What a filter gets wrong is the same.)

# %%
from lablib.corpus.safety import look_alikes, plain_words, toxic_words

# %%
# EXERCISE lablib.corpus.safety:toxicity

# %% [markdown]
# The course has authored sentences for it: some attack somebody, others only look like it. The list drops whatever has a rate above 0. A classifier learns from one half of
# the sentences of each kind, and is judged on the other half. **Before you run it:** which harmless kind will the list hurt most? Which cruel one will it miss?

# %%
authored = look_alikes()
listed = toxic_words()
flagged = {
    f"{label}: {kind}": (sum(toxicity(text, listed) > 0 for text in texts), len(texts))
    for label, kinds in authored.items()
    for kind, texts in kinds.items()
}
harmless = [name for name in flagged if name.startswith("benign")]
alt = "For each kind of authored sentence: how many the word list drops. Benign kinds in red."
harm_chart(flagged, alt, good=harmless)

# %% [markdown]
# **What to notice.** Blue bars should be long and red ones short. The list finds two thirds of what is disguised (8 of 12), hardly any threat (2 of 12: the violence in this collection), and nothing that is cruel in plain
# words (0 of 16). It drops every pig that is a pig (*literal*), manuals (`kill` ends a process), idioms, and, worst, people who speak *about* having been insulted: the victims go with the insult.
# Dodge et al. (2021) found the same on the web, and worse: C4's list also holds words that people use for themselves, so it removed text by and about minorities more often than other text. (Ours has none: see the empty bar *identity*.)

# %% tags=["varies"]
from lablib.corpus.safety import train as train_safety

halves = {
    label: ([t for texts in kinds.values() for t in texts[::2]], {kind: texts[1::2] for kind, texts in kinds.items()})
    for label, kinds in authored.items()
}
guard = train_safety(halves["toxic"][0], halves["benign"][0], np.random.default_rng(0))
print(f"{'dropped, of the other half':<28}{'word list':>10}{'classifier':>12}")
for label, (_, kinds) in halves.items():
    for kind, texts in kinds.items():
        by_list = np.mean([toxicity(text, listed) > 0 for text in texts])
        print(f"{label + ': ' + kind:<28}{by_list:>10.0%}{np.mean([guard(text) for text in texts]):>12.0%}")

# %% [markdown]
# **What to notice.** Threats and plain cruelty, which no list can see, are caught now, and most literal, technical and quoted sentences are spared. But look at the last row: every *kind* sentence is dropped. So are about three in ten
# of those about who somebody is (*identity*), and attacks on a *group* are caught less often than by the list. Fewer than a hundred sentences taught it what cruelty is *about*, not what it is: "you" and "people from" announce an insult.
# Classifiers taught by people's marks do the same on a larger scale: language models that were cleaned with them got worse at the language of minorities (Xu et al. 2021).
# (Sexual and violent content is looked for in the same two ways, and with lists of addresses: RefinedWeb blocks 4.6 million domains. Such filters fail in the same way.)
#
# Is it fair? Exchange the groups in a sentence and nothing else: a fair score does not move (Garg et al. 2019). We take sentences of the stories that speak of women only, and authored ones that name the north bank only.

# %% tags=["varies"]
from lablib.corpus.bias import count_together, counterfactual_gap, log_ratio, swap, swap_gender
from lablib.corpus.safety import sentences

said = [line for page in islice(pages(11, ["story"]), 800) for line in sentences(page.text)]
women = [
    line
    for line in said
    if re.search(r"\b(she|hers?)\b", line, re.I) and not re.search(r"\b(he|his|him)\b", line, re.I)
]
every = [text for kinds in authored.values() for texts in kinds.values() for text in texts]
north = [text for text in every if "north" in text.lower() and "south" not in text.lower()]
pairs_of_words = [("north", "south"), ("northerners", "southerners")]
swaps = {"she → he": (women, swap_gender), "north → south": (north, lambda text: swap(text, pairs_of_words))}
for name, (texts, exchanged) in swaps.items():
    gap = counterfactual_gap(texts, exchanged, guard.score, np.random.default_rng(0))
    print(f"{name:<15}{gap.n:>5} sentences: the score falls by {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")

# %% [markdown]
# **What to notice.** Only the group was changed, and the score moves. Not by much; but a bound turns a little into kept or dropped, a billion times over. Nobody wanted it: it is what stood in the few insults that it learned from.
#
# ### A bias that no filter sees
#
# The world has a planted bias: its people come from two banks of a river, and those from the south are called careless, lazy, clumsy or sloppy three times as often. No word of that
# is on any list. Does cleaning remove it? We count these words beside the names of each bank, before and after, and compare in bits (0: alike; 1 bit: twice as often).

# %% tags=["varies"]
bias = world.bias
people = {bank: {p.name.lower() for p in world.people if p["origin"] == bank} for bank in ("north", "south")}
stories = [page.text for page in islice(pages(11, ["story"]), lab.profile.pick(smoke=250, laptop=5000))]
kept = [text for text in stories if toxicity(text, listed) == 0 and not quality.findings(text)]
print(f"planted: {math.log2(bias.ratio):.2f} bits ({bias.ratio:.0f} times as often)")


# %% tags=["varies"]
def bits_of_bias(texts: Iterable[str]) -> str:
    """How much more often the words of carelessness stand in a sentence with a name from the south, in bits."""
    parts = [sentence for text in texts for sentence in sentences(text)]
    counted = [count_together(parts, people[bank], set(bias.careless)) for bank in ("south", "north")]
    gap = log_ratio(*counted)
    return f"{gap.mean:.2f} bits [{gap.low:.2f}, {gap.high:.2f}]"


for name, texts in {"before": stories, "after the filters": kept}.items():
    print(f"{name:<18}{len(texts):>6} stories: {bits_of_bias(texts)}")

# %% [markdown]
# **What to notice.** The planted value lies inside both intervals: the filters leave the bias as it was. A prejudice in polite words passes every filter that looks at one document at a time:
# it is in no document, only in all of them together. Lab 12 meets it again, in what the model says.
#
# What can be done? One answer is to add the missing half: for each story its twin, in which the people of the two banks have exchanged their names (*counterfactual data augmentation*, Lu et al. 2020).
# **Before you run it:** to how many bits will the bias fall?

# %% tags=["varies"]
exchange = list(zip(sorted(people["south"]), sorted(people["north"]), strict=True))
twins = [swap(text, exchange) for text in kept]
print(f"{'with their twins':<18}{2 * len(kept):>6} stories: {bits_of_bias([*kept, *twins])}")

# %% [markdown]
# **What to notice.** To 0: whatever is said of one bank is now said of the other as often. It works because we know who belongs where, and that the bias is there. (The twins are near copies, so they must come in
# *behind* that filter. And a name exchanged may no longer fit its "he" or "she".)

# %% [markdown]
# ## The pipeline
#
# Now everything in a row. Order matters: cheap stages that drop much come first; quality before near copies, so that no bad page is kept as the first of a pair; private details last, since
# placeholders make different texts alike. Where you wrote the core of a stage, yours is put in.

# %%
from lablib.corpus.dedup import NearCopies, SeenKeys
from lablib.corpus.funnel import Funnel, gallery
from lablib.corpus.pipeline import Pipeline
from lablib.corpus.stages import course_stages, near_copies as near_stage
from lablib.corpus.trace import Each, InOrder, Outcome, Reason


class MySignatures(NearCopies):
    """The rule for near copies with your shingles and your signature."""

    def signature(self, text: str) -> Array:
        return minhash(shingles(text, self.shingle_words), *orders)


# %%
def first_of(seen: SeenKeys, document: Document, key: bytes) -> Outcome | None:
    first = seen.first(key, document.id)
    return None if first == document.id else Outcome((Reason("exact copy", f"the same text as {first}"),))


def ugly(document: Document) -> Outcome | None:
    rate = toxicity(document.text, listed)
    return Outcome((Reason("toxic words", f"{rate:.1f} in 100 words"),)) if rate > 0 else None


def private_out(document: Document) -> Outcome | None:
    spans = find_private(document.text, names())
    reasons = tuple(Reason(kind, "replaced") for kind in sorted({span.kind for span in spans}))
    return Outcome(reasons, replaced(document.text, spans)) if spans else None


# %%
def stages_with(rules: Sequence[quality.Rule]) -> list:
    """The course's seven stages, with your functions where you wrote them."""
    mine = {
        "exact copies": InOrder("exact copies", SeenKeys, first_of, lambda document: exact_key(document.text)),
        "near copies": near_stage(MySignatures()),
        "toxic words": Each("toxic words", ugly),
        "private details": Each("private details", private_out),
    }
    return [mine.get(stage.name, stage) for stage in course_stages(names(), rules)]


# %%
banner = next(one.document.text[slice(*one.spans[0][:2])] for one in planted if "boilerplate" in one.truth)
story = next(iter(pages(21, ["story"]))).text
letter = "Write to Ada.Byron@example.org, or ring 020 7946 0123."
extra = Document(f"{banner}\n\n{story} {letter}", "one more page", "world")
stages = stages_with(quality.RULES)
*results, last = Pipeline(stages).run([*corpus, extra])
funnel = Funnel([stage.name for stage in stages])
for traced in results:
    funnel.add(traced)
print("\n".join(line[:112] for line in funnel.table().splitlines()))

# %% [markdown]
# What went where? Each document carries a trace, and we know its truth.

# %%
left = left_behind(results, stages, [group_of(one) for one in planted])
alt = "The planted corpus behind each stage, by what the documents are: the faults shrink, the good text hardly does."
funnel_chart(left, alt)

# %% [markdown]
# How good is each filter, put before the whole corpus alone? And all of them in a row?

# %%
jobs = {
    "exact copies": {"copy"}, "quality": BAD_PAGES, "language": {"other_language"},
    "near copies": {"copy", "near_copy"}, "toxic words": {"toxic"},
}  # fmt: skip
scores = {}
for stage in stages:
    if job := jobs.get(stage.name):
        alone = {traced.document.id for traced in Pipeline([stage]).run(corpus) if traced.fate == "dropped"}
        scores[stage.name] = score_drops(planted, alone, job)
gone = {traced.document.id for traced in results if traced.fate == "dropped"}
scores["the whole pipeline"] = score_drops(planted, gone, set().union(*jobs.values()))
print(score_table(scores))

# %%
by_label = dropped_by_label(planted, gone)
fine = [label for label in by_label if label in ("good", "pii", "boilerplate") or label.startswith("benign")]
order = sorted(by_label, key=lambda label: (label in fine, label))
alt = "For each label how many documents the pipeline dropped; in red what it should keep."
harm_chart({label: by_label[label] for label in order}, alt, good=fine)

# %% [markdown]
# **What to notice.** Recall is near 1 for every filter, and precision for all but one, on text that the rules were made for. The exception: of ten documents that the word list drops, nearly four were fine. What is lost
# is in the red bars, and nearly all of it is lost to *words*: a pig, a toad, a rat. On the web these would be farmers, doctors, people who ask for help.
#
# ### The trace of one document
#
# Every document can be asked: what happened to you, and why? (This page came last. It has a banner that others had before it, and two private details.)

# %%
steps = [(step.stage, step.action, "; ".join(f"{r.rule}: {r.why}" for r in step.reasons)) for step in last.steps]
Trace(last.document.id, steps, extra.text, last.document.text)

# %% [markdown]
# ### Kept and dropped, for the eye


# %%
def cards_of(results: Iterable, text_of: Mapping[str, str], seed: int, most: int) -> list[Card]:
    """One document that was kept as it was, and one for each of the rules, at most four of a stage."""
    cards, shown = [], Counter()
    for (stage, rule), taken in gallery(results, random.Random(seed), each=1).items():
        shown[stage] += 1
        for traced in taken if shown[stage] <= 4 and len(cards) < most else ():
            why = shortened("; ".join(reason.why for step in traced.steps for reason in step.reasons), 150)
            head = f"{stage}: {rule}" if rule else "as it came"
            cards.append(Card(head, text_of[traced.document.id], why, traced.fate, traced.fate == "kept"))
    return cards


Gallery(cards_of(results, text_of, seed=1, most=12), letters=160)

# %% [markdown]
# ### Your machine's own crawl
#
# The same stages, with the rules for READMEs and docstrings (`CRAWL_RULES`, which do not ask that a page ends in a full stop). Nobody planted anything here.

# %% tags=["varies"]
sample = crawled[:: lab.profile.pick(smoke=30, laptop=3)]
stages = stages_with(quality.CRAWL_RULES)
from_crawl = list(Pipeline(stages).run(sample))
left = left_behind(from_crawl, stages, [document.kind for document in sample])
funnel_chart(left, "The crawl of this machine behind each stage of the pipeline, by kind of document.")

# %% tags=["varies"]
Gallery(cards_of(from_crawl, text_by_id, seed=2, most=10), letters=200)

# %% [markdown]
# **What to notice.** Headers (metadata) go, being no prose; of the licences little is left once the near copies are gone; of the docstrings a part, most of it tables and signatures. Read some of the dropped
# ones. Would you have dropped them? There will be one that you would not.
#
# Two questions of law, which need a corpus that knows where each document came from. Under which licences is the text that was kept? And somebody asks to be erased, as the European GDPR allows (article 17): where do we find them?

# %% tags=["varies"]
under = Counter[str]()
for traced in from_crawl:
    if traced.fate == "kept":
        under[traced.document.licence] += len(traced.document.text)
for licence, count in under.most_common(5):
    print(f"{licence[:40]:<42}{count / under.total():>6.0%} of the characters kept")
named = Counter(author.email for author in there)
asks = max(named, key=named.__getitem__, default="nobody@example.org")
touched = [document for document in crawled if asks in document.text]
masked = [traced.document.text for traced in Pipeline([Each("private details", private_out)]).run(touched)]
print(
    f"one address: in {len(touched)} documents as crawled, in {sum(asks in text for text in masked)} behind the filter"
)

# %% [markdown]
# **What to notice.** "Public" is not a licence. What stands here is what each package says of itself: one licence, several joined, sometimes *unknown*, and somebody has to decide about each. To erase a person from a corpus with ids and spans is a line of code. To erase them from a *trained model*
# there is no method that is sure, so it has to be done here.
#
# ### The same on a library for many machines
#
# This pipeline ran in one process. `datatrove` (which FineWeb was made with) runs the same stages under *executors*, which share the files out among processes or machines: the list of steps stays, the executor is
# exchanged (`SlurmPipelineExecutor`, `RayPipelineExecutor`). The kept set must be the same.

# %%
import json
import tempfile
from pathlib import Path

# %% tags=["varies"]
try:
    from lablib.corpus.datatrove_stages import run_local, write_source

    with tempfile.TemporaryDirectory() as folder:
        part = [*corpus, extra][:: lab.profile.pick(smoke=20, laptop=1)]
        write_source(part, Path(folder) / "in" / "part.jsonl")
        run_local(stages_with(quality.RULES), Path(folder) / "in", Path(folder) / "out")
        rows = map(json.loads, (Path(folder) / "out" / "kept_00000.jsonl").open(encoding="utf-8"))
        there = [(row["id"], row["text"]) for row in rows]
    kept = [t.document for t in Pipeline(stages_with(quality.RULES)).run(part) if t.fate == "kept"]
    here = [(document.id, document.text) for document in kept]
    print(f"kept here: {len(here)}; kept by datatrove: {len(there)}; the same texts: {here == there}")
except ImportError as missing:
    print(f"{missing.name} is not installed, so this comparison is left out: pip install datatrove")

# %% [markdown]
# ## How much of what
#
# A corpus has sources, and they are read in proportions that somebody chooses. In proportion to size, a small good source is hardly seen. Raise the sizes to a power α below 1 and
# small ones are lifted (1/α is called a temperature): Conneau and Lample (2019) did it for languages with α = 0.5.

# %%
from lablib.corpus.mixing import GPT3, GPT3_BUDGET, check_positive, epochs

# %%
# EXERCISE lablib.corpus.mixing:mixture_weights

# %% [markdown]
# The most quoted mixture is that of GPT-3 (Brown et al. 2020, table 2.2). What would sizes alone have given? And does the table agree with itself? It prints weights *and* how often each source
# was read in 300 billion tokens; one follows from the other.

# %%
sizes = {source: row.tokens for source, row in GPT3.items()}
by_size, root = mixture_weights(sizes), mixture_weights(sizes, 0.5)
implied = {source: row.epochs * row.tokens / GPT3_BUDGET for source, row in GPT3.items()}
print(f"{'GPT-3':<25}{'10⁹ tokens':>10}{'by size':>9}{'α = 0.5':>9}{'printed':>9}{'read':>7}{'read · size / 300':>19}")
for source, row in GPT3.items():
    weights = f"{by_size[source]:>9.1%}{root[source]:>9.1%}{row.weight:>9.0%}"
    print(f"{source:<25}{row.tokens:>10.0f}{weights}{row.epochs:>7}{implied[source]:>19.1%}")
print(f"{'sum':<53}{sum(row.weight for row in GPT3.values()):>9.0%}{sum(implied.values()):>26.1%}")

# %% [markdown]
# **What to notice.** The printed weights sum to 101 %. Rounding explains that, but not the rest: WebText2 read 2.9 times is 18 % of the training, not 22, for which it would be read 3.5 times. Tables in famous papers are made by people, too.
# And no single α gives this mixture: WebText2, with less than 4 % of the tokens, is lifted far above the larger Books2. That was a judgement of quality, not a formula.
# (LLaMA's table sums to 100: 67 % Common Crawl, 15 % C4, 4.5 % each for GitHub, Wikipedia and books, 2.5 % arXiv, 2 % Stack Exchange; Touvron et al. 2023, table 1.)

# %%
alphas = np.linspace(0, 1, 41)
shares = {source: [mixture_weights(sizes, a)[source] for a in alphas] for source in sizes}
reads = {source: [epochs(mixture_weights(sizes, a), sizes, GPT3_BUDGET)[source] for a in alphas] for source in sizes}
alt = "Left: share of GPT-3's sources by the power α. Right: how often each is read, the smallest most as α falls."
mixture_chart(alphas, shares, reads, alt)

# %% [markdown]
# **What to notice.** Lifting a small source means reading it again. Up to about four times that is nearly as good as new text; beyond, it teaches less and less (Muennighoff et al. 2023). Where the curve of Wikipedia
# crosses the dashed line at four, α has gone too far for it. (How many tokens a model should read in all is another question: some 20 for each parameter, if the training's compute is what counts, say Hoffmann et al.
# 2022, who trained Chinchilla so; lab 07 plans with it.)

# %% [markdown]
# ## Is the clean corpus worth it?
#
# A filter with good precision and recall *should* help. Whether it does, only a model can say. So: the same small decoder (lab 04's), the same number of
# steps and tokens, trained on three versions of one crawl and judged on the same fresh, good text. Such *data ablations* are how RefinedWeb tested its stages and FineWeb chose most of its filters
# (Penedo et al. 2023, 2024).
#
# **The crawl**: pages of eight shapes of the world (encyclopaedia entries, how-tos, lists, stories), and faults as frequent as on the web. Of the English pages of Common Crawl, RefinedWeb's
# filters took away about a half, and deduplication half of the rest (Penedo et al. 2023, figure 2). Here a little less than half of the pages are bad, and nearly a quarter are copies.

# %%
SHAPES = {
    "encyclopaedia.animal", "encyclopaedia.plant", "howto.visit", "howto.care", "list.packing", "list.shopping",
    "story.fog", "story.noise",
}  # fmt: skip
AS_ON_THE_WEB = Rates(
    copy=0.10, near_copy=0.13, gibberish=0.04, shuffled_words=0.03, symbols=0.05, repeated_lines=0.06, machine=0.07,
    other_language=0.04, shouting=0.05, truncated=0.07, toxic=0.03, boilerplate=0.08, pii=0.04, benign=0.04,
)  # fmt: skip


def site(seed: int) -> Iterable:
    """Documents of these shapes, with their exact probabilities."""
    return (page for page in world.documents(random.Random(seed)) if page.shape in SHAPES)


# %% [markdown]
# **Three corpora**: *raw*, as it was crawled; *clean*, behind your pipeline; *strict*, behind the same pipeline with all published quality rules at once ("to be safe").

# %% tags=["varies"]
size = lab.profile.pick(smoke=200, laptop=4000)
good_pages = (Document(page.text, f"site/{i}", "world", "CC0-1.0", page.kind) for i, page in enumerate(site(31)))
web = [one.document for one in islice(plant(good_pages, random.Random(31), AS_ON_THE_WEB), size)]
corpora = {"raw": [document.text for document in web]}
for name, rules in {"clean": quality.RULES, "strict": sets["all published"]}.items():
    corpora[name] = [t.document.text for t in Pipeline(stages_with(rules)).run(web) if t.fate == "kept"]
for name, texts in corpora.items():
    print(f"{name:<8}{len(texts):>6} documents, {sum(map(len, texts)):>10,} characters")

# %% [markdown]
# **The judge**: fresh documents that none of them contains. The loss is given in nats per *character*, so that it does not depend on how text is cut into tokens (lab 06). And because the world knows the exact
# probability of each of its documents, we know the *floor*: no model of any size can do better on average over all such documents. (All three models use one tokeniser, learned from the clean corpus. Learn it from `corpora["raw"]`
# instead: who gains, who loses, and does the order change?) **Before you run it**, write down three numbers: by how much will *clean* be nearer to the floor than *raw*? And *strict*?

# %% tags=["varies"]
import torch

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.ablation import nats, rows, write
from lablib.corpus.ablation import train as train_model
from lablib.show.live import LiveChart
from lablib.tokens.tokenizer import Tokenizer

fresh_pages = list(islice(site(99), lab.profile.pick(smoke=8, laptop=240)))
held_out, letters = [page.text for page in fresh_pages], sum(len(page.text) for page in fresh_pages)
draws = [page.shape in SHAPES for page in islice(world.documents(random.Random(41)), 20_000)]
chosen = math.log(sum(draws) / len(draws))  # log of the chance that a document is of one of the shapes
floor = sum(chosen - page.log_prob for page in fresh_pages) / letters
tokenizer = Tokenizer.train(corpora["clean"], 2048)
END, WINDOW = tokenizer.V, 96
print(f"the floor: {floor:.3f} nats per character, {floor / math.log(2):.3f} bits")

# %%
config = DecoderConfig(V=END + 1, D=128, H=4, L=1, hidden=344, context=WINDOW)
steps, seeds = lab.profile.pick(smoke=2, laptop=240, gpu=1500), range(lab.profile.pick(smoke=1, laptop=3, gpu=3))
alt = "Held-out nats per character by step, for models of the raw, the clean and the strict corpus, bands over seeds."


def loss_on(model: torch.nn.Module, texts: Sequence[str]) -> float:
    """Nats per character of these texts."""
    return nats(model, texts, tokenizer.encode, WINDOW, END).sum().item() / sum(map(len, texts))


# %% tags=["varies"]
trained: dict[str, list] = {name: [] for name in corpora}
with LiveChart(list(corpora), y="nats per character, held out", levels={"floor": floor}, bands=True, alt=alt) as chart:
    for seed in seeds:
        for name, texts in corpora.items():
            data = rows(texts, tokenizer.encode, WINDOW, END)
            model = Decoder(config, generator=torch.Generator().manual_seed(seed))
            updates = train_model(model, data, steps, 8, torch.Generator().manual_seed(seed), lr=0.04)
            for step, _ in enumerate(updates, 1):
                if step % max(1, steps // 6) == 0:
                    chart.add(step, **{name: loss_on(model, held_out[:40])})
            trained[name].append(model)
            if seed == 0:
                print(f"{name:<8}read {steps * 8 / len(data):.1f} times")

# %% tags=["varies"]
print(f"{'nats per character, held out':<30}{'mean':>7}   range over seeds   above the floor")
losses = {name: [loss_on(model, held_out) for model in models] for name, models in trained.items()}
for name, values in losses.items():
    mean, low, high = over_seeds(values)
    print(f"{name:<30}{mean:>7.3f}   {low:.3f} to {high:.3f}     {mean - floor:>7.3f}")

# %% [markdown]
# Who pays? The same models, kind by kind, and how far each is above the floor of that kind.

# %% tags=["varies"]
by_kind = {}
for kind in sorted({page.kind for page in fresh_pages}):
    ours = [page for page in fresh_pages if page.kind == kind]
    lowest = sum(chosen - page.log_prob for page in ours) / sum(len(page.text) for page in ours)
    texts = [page.text for page in ours]
    by_kind[kind] = {
        name: over_seeds([loss_on(model, texts) - lowest for model in models]) for name, models in trained.items()
    }
alt = "For each kind of text: nats per character above the floor, for the models of the three corpora."
interval_chart(by_kind, alt, x="nats per character above the floor (dot: mean, line: range over seeds)", x_range=None)

# %% [markdown]
# **What to notice.** With the same compute, the clean corpus is worth far more than the raw one: the raw model has spent most of its steps on learning noise, and each good page less often. *Strict* is the surprise. For stories it
# is the best corpus of all: what passes every rule is good, and it is read more often. And for lists it is much worse than having *no filter at all*: it has hardly seen one. Its mean hides that. Whoever looks at one number chooses a
# filter that makes a model mute about something, and does not know about what. (The raw model, too, has learned something true: that most of the web is noise.)
#
# A low loss is one thing; what does it *write*? Each model writes from nothing, and the world's grammar reads it: gold quality is 1 for a text that the world could have written, and falls with every sentence that
# is no sentence, contradicts what was said, or belongs to nothing.

# %% tags=["varies"]
written, n, most = {}, lab.profile.pick(smoke=3, laptop=80), lab.profile.pick(smoke=16, laptop=120)
for name, models in trained.items():
    draw = torch.Generator().manual_seed(7)
    written[name] = [write(model, n, tokenizer.decode, most, END, draw) for model in models]
    gold = [float(np.mean([world.gold_quality(text) for text in texts])) for texts in written[name]]
    mean, low, high = over_seeds(gold)
    print(f"{name:<8} gold quality of what it writes: {mean:.2f}   ({low:.2f} to {high:.2f} over seeds)")
Gallery([Card(name, text) for name, runs in written.items() for text in runs[0][:3]], letters=220)

# %% [markdown]
# **What to notice.** The raw model writes what it has read: banners, logs, gibberish. The other two write the valley, with the mistakes of a model that has been trained for a few seconds. And by this measure *strict* is no worse than *clean*, or even
# better: it hardly ever writes a list, so it hardly ever writes a bad one. What a model has lost does not show in what it writes of its own accord. One has to ask.

# %% [markdown]
# ## Questions to think about
#
# <details><summary>1. A filter catches 99 % of the bad pages and drops only 1 % of the good ones. Is it good?</summary>
#
# It depends on how rare the fault is, and on *which* good text is in the one per cent. If one page in ten thousand is bad, it drops a hundred good pages for each bad one: its precision is one in a hundred.
# And if the one per cent is all the text there is about farming, the model will know nothing about pigs.
#
# </details>
#
# <details><summary>2. Why does the key of an exact copy not use Python's own hash function?</summary>
#
# Python salts the hash of a str anew in every run, so that nobody can slow a server down with chosen keys. Keys could not be compared with those of yesterday, or of another machine.
#
# </details>
#
# <details><summary>3. MinHash takes the smallest value. Would the largest do? The second smallest?</summary>
#
# The largest would: turn the order round. The second smallest would not, at least not with this formula: whether A and B share it depends on more than one element.
#
# </details>
#
# <details><summary>4. Two documents of 100 and of 10,000 words; the small one stands whole in the large one. What is their similarity, and is that what you want?</summary>
#
# About 0.01: nothing is found. Jaccard asks whether two sets are *the same*. For "is contained in" divide by the smaller set (Broder's containment), or deduplicate by paragraphs or by long repeated substrings (Lee et al. 2022).
#
# </details>
#
# <details><summary>5. The pipeline replaces addresses by [EMAIL]. What will a model trained on that write?</summary>
#
# [EMAIL]. It has learned that people write so. FineWeb puts in made-up addresses instead (Penedo et al. 2024); others keep the pages and teach the model later not to tell.
#
# </details>
#
# <details><summary>6. Why not let a large language model judge every page?</summary>
#
# It can cost more than the training: the large model would have to read every page, those that it throws away too. FineWeb-Edu let one (Llama 3 70B Instruct) mark 460,000 pages and taught a small classifier with the marks (Penedo et al. 2024). That classifier also has learned the large model's taste.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Raffel et al. 2020, *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*: C4, §2.2.
# - Rae et al. 2021, *Scaling Language Models: Methods, Analysis & Insights from Training Gopher*: the rules, appendix A1.
# - Penedo et al. 2023, *The RefinedWeb Dataset for Falcon LLM*; Penedo et al. 2024, *The FineWeb Datasets*: pipelines with their ablations.
# - Wenzek et al. 2020, *CCNet: Extracting High Quality Monolingual Datasets from Web Crawl Data*: paragraphs.
# - Brown et al. 2020, *Language Models are Few-Shot Learners*: GPT-3; the classifier (appendix A) and the mixture (table 2.2).
# - Broder 1997, *On the resemblance and containment of documents*: shingles and MinHash.
# - Indyk and Motwani 1998, *Approximate Nearest Neighbors*; Leskovec, Rajaraman and Ullman, *Mining of Massive Datasets*, chapter 3: LSH.
# - Lee et al. 2022, *Deduplicating Training Data Makes Language Models Better*; Kandpal et al. 2022, *Deduplicating Training Data Mitigates Privacy Risks*.
# - Carlini et al. 2021, *Extracting Training Data from Large Language Models*.
# - Dodge et al. 2021, *Documenting Large Webtext Corpora*: what C4's filters took away; Xu et al. 2021, *Detoxifying Language Models Risks Marginalizing Minority Voices*.
# - Dubey et al. 2024, *The Llama 3 Herd of Models*: filters taught by the model before.
# - Hoffmann et al. 2022, *Training Compute-Optimal Large Language Models*; Touvron et al. 2023, *LLaMA: Open and Efficient Foundation Language Models*.
# - Lu et al. 2020, *Gender Bias in Neural Natural Language Processing*: twins against bias.
# - Garg et al. 2019, *Counterfactual Fairness in Text Classification through Robustness*: the swaps.
# - Longpre et al. 2023, *A Pretrainer's Guide to Training Data*: filters for quality and for toxicity pull in different directions.
# - Conneau and Lample 2019, *Cross-lingual Language Model Pretraining*; Muennighoff et al. 2023, *Scaling Data-Constrained Language Models*.
# - Gao et al. 2020, *The Pile*. Wilson 1927, *Probable Inference, the Law of Succession, and Statistical Inference*: the interval.
