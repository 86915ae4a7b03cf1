"""Copies: exact keys, one pass against brute force, paragraphs; in memory and on disk alike."""

import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
from datatrove.data import Document as TroveDocument
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup import minhash as trove_minhash
from datatrove.utils.hashing import HashConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.dedup import (
    KeptSignatures,
    NearCopies,
    SeenKeys,
    exact_key,
    near_clusters,
    normalised,
    without_seen_paragraphs,
)
from lablib.corpus.document import Document
from lablib.corpus.lsh import candidate_probability
from lablib.corpus.minhash import estimated_jaccard, jaccard, shingles

RULE = NearCopies(threshold=0.7)


def document(id: str, text: str) -> Document:
    return Document(text, id, "test")


def corpus(n: int, seed: int = 0) -> list[Document]:
    """Families of texts that are alike to every degree: each child changes some words of a random earlier text."""
    generator = np.random.default_rng(seed)
    texts = [[f"w{i}" for i in generator.integers(0, 2_000, 80)]]
    for _ in range(n - 1):
        parent, rate = texts[generator.integers(len(texts))], generator.choice([0.01, 0.03, 0.06, 1.0])
        texts.append([f"x{generator.integers(10**6)}" if generator.random() < rate else word for word in parent])
    return [document(f"d{number}", " ".join(text)) for number, text in enumerate(texts)]


# ------------------------------------------------------------------ exact copies


@given(st.text())
def test_normalising_twice_is_normalising_once_and_keeps_every_visible_letter(text):
    once = normalised(text)
    assert (
        normalised(once) == once or unicodedata.normalize("NFKC", once) != once
    )  # a few letters need two rounds, see below
    assert once.split() == once.split(" ") or once == ""
    assert exact_key(text) == exact_key(f"  {text}\n")


def test_what_is_a_copy_and_what_is_not():
    assert exact_key("The ﬁrst\tday\n") == exact_key("THE FIRST DAY")
    assert exact_key("straße") == exact_key("STRASSE")
    for other in ("the first day.", "the first days", "thefirst day", "a = b + c"):
        assert exact_key("the first day") != exact_key(other)
    assert exact_key("a = b + c") != exact_key("a = b - c")  # in code the signs are the meaning
    assert len(exact_key("")) == 16
    assert exact_key("\ud800") != exact_key("\ud801")  # half a character, as broken files have it


def test_keys_remember_the_first(tmp_path):
    for path in (":memory:", tmp_path / "seen"):
        seen = SeenKeys(path)
        assert [seen.first(key, id) for key, id in [(b"a", "1"), (b"b", "2"), (b"a", "3"), (b"a", "4")]] == [
            "1",
            "2",
            "1",
            "1",
        ]
        seen.close()
    again = SeenKeys(tmp_path / "seen")  # a new run starts with an empty memory, even over an old file
    assert again.first(b"a", "9") == "9"
    again.close()


# ------------------------------------------------------------------ near copies


def in_one_pass(documents, rule, path=":memory:"):
    """ids kept, and for each id dropped the kept one that it is like."""
    memory, kept, dropped = KeptSignatures(rule, path), [], {}
    for one in documents:
        signature = rule.signature(one.text)
        nearest = memory.nearest(signature)
        if nearest:
            dropped[one.id] = nearest
        else:
            kept.append(one.id)
            memory.keep(one.id, signature)
    memory.close()
    return kept, dropped


def test_one_pass_is_the_brute_force_rule_up_to_what_lsh_may_miss(tmp_path):
    documents = corpus(250)
    kept, dropped = in_one_pass(documents, RULE)
    assert (kept, dropped) == in_one_pass(documents, RULE, tmp_path / "kept")  # disk and memory agree
    signatures = {one.id: RULE.signature(one.text) for one in documents}
    assert len(dropped) > 80
    for id, (like, similarity) in dropped.items():
        assert like in kept  # whatever is dropped resembles something that is there
        assert similarity == estimated_jaccard(signatures[id], signatures[like]) >= RULE.threshold
        best = max(
            estimated_jaccard(signatures[id], signatures[other]) for other in kept[: _before(kept, id, documents)]
        )
        assert similarity >= best - 0.1  # the nearest, or one that LSH took for it
    missed = sum(
        estimated_jaccard(signatures[a], signatures[b]) >= RULE.threshold for j, b in enumerate(kept) for a in kept[:j]
    )
    alike = len(dropped) + missed
    assert missed <= (1 - candidate_probability(RULE.threshold, *RULE.bands)) * alike


def _before(kept, id, documents):
    place = {one.id: number for number, one in enumerate(documents)}
    return sum(place[other] < place[id] for other in kept)


def test_the_first_is_kept_and_a_bridge_takes_nothing_with_it():
    words = [f"w{i}" for i in range(100)]
    a, c = " ".join(words[:80]), " ".join(words[20:])
    bridge = " ".join(words[10:90])
    assert jaccard(shingles(a), shingles(c)) < 0.65 < 0.75 < jaccard(shingles(a), shingles(bridge))
    documents = [document("a", a), document("bridge", bridge), document("c", c)]
    assert in_one_pass(documents, RULE)[0] == ["a", "c"]
    assert near_clusters(documents) == [["a", "bridge", "c"]]  # while one link is enough for a cluster


def test_one_of_each_family_stays_as_with_datatroves_minhash(tmp_path, monkeypatch):
    """Its four steps (signatures, buckets, clusters, filter) with the same bands; families whose members are alike, else unlike.

    Which of a family stays differs: here the first, in datatrove the root of a union by size. And where likeness is neither high
    nor absent the two differ by design: datatrove takes every candidate for a copy, and a chain of them for one cluster.
    """
    generator, documents = np.random.default_rng(4), []
    letters = str.maketrans("0123456789", "abcdefghij")  # datatrove makes all digits one
    family: dict[str, int] = {}
    for number in range(40):
        parent = [f"w{i}" for i in generator.integers(0, 5_000, 100)]
        for copy in range(1 + int(generator.integers(3))):
            words = [f"x{generator.integers(10**6)}" if copy and generator.random() < 0.01 else word for word in parent]
            family[f"d{len(documents)}"] = number
            documents.append(document(f"d{len(documents)}", " ".join(words).translate(letters)))
    generator.shuffle(documents)  # type: ignore[arg-type]
    b, r = RULE.bands
    config = MinhashConfig(
        RULE.shingle_words, num_buckets=b, hashes_per_bucket=r, hash_config=HashConfig(hash_fc="sha1")
    )
    splitter = SimpleNamespace(word_tokenize=str.split)  # words between white space, as ours, so spaCy is not needed
    monkeypatch.setattr(trove_minhash, "load_word_tokenizer", lambda language: splitter)
    signature = MinhashDedupSignature(str(tmp_path / "signatures"), config)
    signature.run([TroveDocument(text=one.text, id=one.id) for one in documents])
    for bucket in range(b):
        MinhashDedupBuckets(str(tmp_path / "signatures"), str(tmp_path / "pairs"), config=config).run(
            rank=bucket, world_size=b
        )
    MinhashDedupCluster(str(tmp_path / "pairs"), str(tmp_path / "remove"), config=config).run(world_size=1)
    theirs = MinhashDedupFilter(str(tmp_path / "remove")).run(
        iter([TroveDocument(text=one.text, id=one.id) for one in documents])
    )
    kept, dropped = in_one_pass(documents, RULE)
    assert sorted(family[one.id] for one in theirs) == sorted(family[id] for id in kept) == list(range(40))
    assert all(family[id] == family[like] for id, (like, _) in dropped.items())
    assert len(dropped) > 20


def test_clusters_are_those_of_all_pairs():
    documents = corpus(120, seed=1)
    signatures = [RULE.signature(one.text) for one in documents]
    groups = near_clusters(documents, RULE)
    assert sorted(id for group in groups for id in group) == sorted(one.id for one in documents)
    place = {id: number for number, group in enumerate(groups) for id in group}
    apart = [
        (i, j)
        for j in range(120)
        for i in range(j)
        if estimated_jaccard(signatures[i], signatures[j]) >= 0.8 and place[f"d{i}"] != place[f"d{j}"]
    ]
    assert not apart
    assert len(groups) < 110


def test_short_and_empty_texts():
    kept, dropped = in_one_pass(
        [document("a", "Yes."), document("b", "yes"), document("c", ""), document("d", "--")], RULE
    )
    assert kept == ["a", "c"]
    assert dropped == {"b": ("a", 1.0), "d": ("c", 1.0)}


def test_the_rule_names_what_is_wrong():
    assert NearCopies(threshold=0.8).bands != RULE.bands != NearCopies().bands
    with pytest.raises(ValueError, match="shingle_words = 0"):
        NearCopies(shingle_words=0)
    with pytest.raises(ValueError, match=r"threshold = 1\.0"):
        NearCopies(threshold=1.0)
    with pytest.raises(ValueError, match="take more of them"):
        NearCopies(threshold=0.1, orders=4)


# ------------------------------------------------------------------ paragraphs

paragraph = st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=7).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.lists(paragraph, min_size=1, max_size=5), min_size=1, max_size=6), st.integers(1, 6))
def test_each_long_paragraph_stays_once_and_each_short_one_always(texts, min_words):
    seen, before = SeenKeys(), set()
    for number, paragraphs in enumerate(texts):
        left, taken = without_seen_paragraphs("\n\n".join(paragraphs), f"d{number}", seen, min_words)
        expected = []
        for one in paragraphs:
            if one not in before or len(one.split()) < min_words:
                expected.append(one)
            before.add(one)
        assert left == "\n\n".join(expected)
        assert len(taken) == len(paragraphs) - len(expected)
        assert all(int(first[1:]) <= number for _, first in taken)


def test_a_text_without_repeats_is_left_as_it_is_to_the_last_blank():
    text = "One paragraph of many words here.\n \n\n  Another one of many words here.  \n"
    assert without_seen_paragraphs(text, "a", SeenKeys(), 1) == (text, [])


def test_a_text_of_repeats_alone_ends_empty():
    seen = SeenKeys()
    without_seen_paragraphs("We use cookies on this page.", "a", seen, 5)
    assert without_seen_paragraphs("we USE cookies on this page.", "b", seen, 5) == (
        "",
        [("we USE cookies on this page.", "a")],
    )
    with pytest.raises(ValueError, match="min_words = 0"):
        without_seen_paragraphs("a", "a", seen, 0)
