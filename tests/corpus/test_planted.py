"""Planted truth: every label is true of its document, and the filters are measured on it."""

import random
from collections import Counter
from itertools import islice

import pytest
from scipy.stats import binomtest, chisquare
from sklearn.metrics import precision_score, recall_score

from lablib.corpus.dedup import exact_key
from lablib.corpus.document import Document
from lablib.corpus.minhash import jaccard, shingles
from lablib.corpus.pipeline import Pipeline
from lablib.corpus.planted import (
    DROPPED,
    LOOK_ALIKES,
    MENDED,
    Planted,
    Rates,
    edited,
    fill,
    insert,
    names,
    plant,
    texts,
)
from lablib.corpus.planted_details import DETAILS, PHONES, digits, luhn_check_digit, pick
from lablib.corpus.privacy import find_private, luhn_valid
from lablib.corpus.scoring import Score, dropped_by_label, score_drops, score_spans, wilson
from lablib.corpus.stages import exact_copies, near_copies, repeated_paragraphs

NOUNS = [
    "barrow", "candle", "ferry", "garden", "harbour", "island", "jacket", "kettle", "ladder", "meadow", "needle",
    "orchard", "pebble", "quarry", "ribbon", "saddle", "turnip", "window",
]  # fmt: skip
VERBS = [
    "carried", "counted", "dropped", "emptied", "fetched", "gathered", "hid", "lifted", "mended", "noticed", "opened",
    "painted", "rolled", "shared", "took", "washed",
]  # fmt: skip
WHEN = [
    "before breakfast", "after the rain", "at the end of the week", "when nobody looked", "in the first snow", "while the bells rang",
    "twice a year",
]  # fmt: skip


def good_documents(seed: int = 0):
    """Plain sentences without end, in two paragraphs, with neither private details nor copies."""
    generator = random.Random(seed)
    for number in range(10**9):
        lines = [
            f"Somebody {pick(generator, VERBS)} the {pick(generator, NOUNS)} and the {pick(generator, NOUNS)} {pick(generator, WHEN)}."
            for _ in range(4 + int(generator.random() * 8))
        ]
        yield Document(" ".join(lines[:3]) + "\n\n" + " ".join(lines[3:]), f"good/{number}", "test", "CC0-1.0", "story")


def corpus(n: int, seed: int = 0, rates: Rates | None = None) -> list[Planted]:
    return list(islice(plant(good_documents(seed), random.Random(seed), rates), n))


CORPUS = corpus(2_500)
BY_LABEL: dict[str, list[Planted]] = {}
for _one in CORPUS:
    BY_LABEL.setdefault(next(iter(_one.truth), ""), []).append(_one)
BY_ID = {one.document.id: one for one in CORPUS}


# ------------------------------------------------------------------ the labels are true


def test_every_fault_is_there_as_often_as_the_rates_say():
    shares = Rates().shares()
    counts = Counter(
        "benign" if label.startswith("benign_") else label for one in CORPUS for label in (one.truth or {""})
    )
    expected = {**shares, "": 1 - sum(shares.values())}
    assert set(counts) == set(expected)
    assert (
        chisquare([counts[name] for name in expected], [len(CORPUS) * share for share in expected.values()]).pvalue
        > 1e-4
    )
    assert set(BY_LABEL) == {"", *DROPPED, *MENDED, *(f"benign_{kind}" for kind in LOOK_ALIKES)}


def test_the_same_seed_gives_the_same_corpus_and_another_another():
    assert corpus(300) == CORPUS[:300]
    assert corpus(300, seed=1) != CORPUS[:300]


def test_ids_are_unique_and_give_nothing_away():
    assert len(BY_ID) == len(CORPUS)
    assert all(one.document.id == f"planted/{number:06d}" for number, one in enumerate(CORPUS))
    assert {(one.document.source, one.document.licence, one.document.kind) for one in CORPUS} == {
        ("test", "CC0-1.0", "story")
    }


def test_good_documents_are_untouched():
    originals = {one.text for one in islice(good_documents(), len(CORPUS))}
    assert {one.document.text for one in BY_LABEL[""]} <= originals


def test_copies_are_copies_of_an_earlier_good_document():
    for one in BY_LABEL["copy"]:
        original = BY_ID[one.copy_of]
        assert original.document.text == one.document.text
        assert not original.truth
        assert original.document.id < one.document.id


def test_near_copies_differ_by_about_the_rate_that_is_stated():
    for rate in Rates().edit_rates:
        ones = [one for one in BY_LABEL["near_copy"] if one.edit_rate == rate]
        changed = words = 0
        for one in ones:
            original = BY_ID[one.copy_of].document.text
            assert original != one.document.text
            changed += sum((Counter(original.split()) - Counter(one.document.text.split())).values())
            words += len(original.split())
        assert len(ones) > 20
        assert (
            0.4 * rate < changed / words < 1.3 * rate + 0.01
        )  # at least one word is changed; an insertion takes none away


def test_an_edited_text_is_as_like_as_the_closed_form_says():
    """A shingle of k words survives with probability (1 − rate)^k; J = kept / (2 n − kept)."""
    generator, rate, k = random.Random(0), 0.05, 3
    text = " ".join(f"w{number}" for number in range(4_000))
    kept = (1 - rate) ** k
    assert jaccard(shingles(text, k), shingles(edited(text, rate, generator), k)) == pytest.approx(
        kept / (2 - kept), abs=0.03
    )


def test_spans_stand_where_the_planted_part_stands():
    for one in CORPUS:
        text = one.document.text
        assert all(0 <= s.start < s.stop <= len(text) for s in one.spans)
        assert list(one.spans) == sorted(one.spans)
        for s in one.spans:
            part = text[s.start : s.stop]
            assert part == part.strip() or s.kind in DROPPED
            if s.kind == "name":
                assert part in names()
            if s.kind == "email":
                assert part.count("@") == 1
                assert " " not in part
            if s.kind == "card":
                assert luhn_valid(part)
            if s.kind == "ip":
                assert part.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"))  # RFC 5737 and RFC 3849
            if s.kind == "boilerplate":
                assert part in texts()["boilerplate"]["paragraphs"]


def test_around_the_planted_part_the_document_is_whole():
    originals = {one.text for one in islice(good_documents(), len(CORPUS))}
    for one in (
        one
        for label in ("boilerplate", "benign_toxic", "benign_code", "benign_pii", "toxic")
        for one in BY_LABEL[label]
    ):
        rest = one.document.text
        for s in reversed(one.spans):
            before, after = rest[: s.start], rest[s.stop :]
            rest = (
                before.removesuffix("\n\n") + after
                if before.endswith("\n\n") and after[:2] in ("", "\n\n")
                else before.removesuffix(" ") + after
            )
            rest = rest.removeprefix("\n\n")
        assert rest in originals, one


def test_boilerplate_names_the_first_document_with_the_same_paragraph():
    first: dict[str, str] = {}
    for one in BY_LABEL["boilerplate"]:
        (s,) = one.spans
        paragraph = one.document.text[s.start : s.stop]
        assert one.copy_of == first.get(paragraph)
        assert paragraph in one.document.text.split("\n\n")
        first.setdefault(paragraph, one.document.id)


def test_look_alikes_are_no_copies_of_each_other():
    """Or a filter that rightly takes the second of two equal paragraphs would be called wrong."""
    for kind in ("list", "refrain", "code"):
        blocks = [one.document.text[s.start : s.stop] for one in BY_LABEL[f"benign_{kind}"] for s in one.spans]
        assert len(blocks) > 30
        assert len(set(blocks)) >= 0.95 * len(blocks), kind


def test_what_is_no_good_shares_little_with_good_text():
    assert all(one.document.text.upper() == one.document.text for one in BY_LABEL["shouting"])
    assert all(
        len(set(one.document.text.splitlines())) <= 3 < 10 < one.document.text.count("\n")
        for one in BY_LABEL["repeated_lines"]
    )
    assert not any(
        one.document.text.rstrip().endswith((".", "!", "?")) and "..." not in one.document.text[-9:]
        for one in BY_LABEL["truncated"]
    )
    assert all(
        set("éèäöüßñçàòùáíóúì") & set(one.document.text.lower()) or "il " in one.document.text.lower()
        for one in BY_LABEL["other_language"]
    )
    assert all(
        sum(c.isalnum() or c.isspace() for c in one.document.text) < 0.9 * len(one.document.text)
        for one in BY_LABEL["symbols"]
    )
    for label in ("gibberish", "shuffled_words", "machine"):
        assert len({one.document.text for one in BY_LABEL[label]}) == len(BY_LABEL[label])


def test_private_details_are_those_of_nobody():
    generator = random.Random(0)
    slots = texts()["slots"]
    mails = {DETAILS["email"](generator, slots).rpartition("@")[2] for _ in range(300)}
    assert all(host.rpartition(".")[2] == "example" or "example." in host for host in mails)
    reserved = (
        "7700 900",
        "7946 0",
        "1632 960",
        "555-01",
        "555 01",
        "491 570",
        "5550 1",
        "99 00",
        "23125",
        "55 ",
        "79460",
        "555.01",
    )
    assert all(any(piece in pattern for piece in reserved) for pattern in PHONES)
    assert luhn_check_digit("411111111111111") == "1"
    assert digits(generator, "12-3") == "12-3"


def test_sources_of_text_are_wide_enough():
    assert all(len(rows) >= 6 for rows in texts()["pii"].values())
    assert len(texts()["language"]) == 4
    assert len(set(names())) == len(names()) >= 200
    assert not any(
        find_private(sentence, names()) for sentences in texts()["language"].values() for sentence in sentences
    )


# ------------------------------------------------------------------ rates, and what goes wrong


def test_each_rate_alone_fills_the_corpus():
    for fault in Rates().shares():
        shares = dict.fromkeys(Rates().shares(), 0.0) | {fault: 1.0}
        ones = corpus(8, rates=Rates(**shares))
        labels = [next(iter(one.truth), "") for one in ones]
        assert labels == ([""] if fault in ("copy", "near_copy") else [labels[0]]) + [
            fault if fault != "benign" else label for label in labels[1:]
        ]


def test_a_corpus_ends_with_its_documents():
    none = Rates(copy=0, near_copy=0)
    assert len(list(plant(islice(good_documents(), 30), random.Random(0), none))) == 30
    assert list(plant([], random.Random(0))) == []


def test_wrong_rates_and_empty_documents_are_named():
    with pytest.raises(ValueError, match=r"copy = 1\.5: expected a share"):
        Rates(copy=1.5)
    with pytest.raises(ValueError, match=r"sum to 1\.\d+: expected at most 1"):
        Rates(copy=0.9)
    with pytest.raises(ValueError, match=r"edit_rates = \(0\.0,\)"):
        Rates(edit_rates=(0.0,))
    with pytest.raises(ValueError, match=r"the text of document 'a' is ' '"):
        list(plant([Document(" ", "a", "test")], random.Random(0)))


def test_slots_are_filled_and_places_are_between_sentences():
    text, spans = fill("Ask {name} or {email} on {day}, at {n1}.", random.Random(3))
    assert "{" not in text
    assert [s.kind for s in spans] == ["name", "email"]
    for seed in range(30):
        whole, place = insert("One. Two! Three", "New.", random.Random(seed))
        assert whole in ("One. New. Two! Three", "One. Two! New. Three")
        assert whole[place : place + 4] == "New."
        whole, place = insert("One.\n\nTwo.", "New", random.Random(seed), block=True)
        assert whole in ("New\n\nOne.\n\nTwo.", "One.\n\nNew\n\nTwo.", "One.\n\nTwo.\n\nNew")
        assert whole[place : place + 3] == "New"
    assert insert("no mark", "New.", random.Random(0)) == ("no mark New.", 8)


# ------------------------------------------------------------------ the scorer


@pytest.mark.parametrize(("count", "total"), [(0, 10), (9, 10), (10, 10), (250, 1_000)])
def test_wilson_is_scipys(count, total):
    interval = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert wilson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="count = 3 of total = 2"):
        wilson(3, 2)


def test_scores_are_scikit_learns():
    generator = random.Random(0)
    dropped = {
        one.document.id for one in CORPUS if generator.random() < (0.8 if one.truth & {"copy", "toxic"} else 0.1)
    }
    score = score_drops(CORPUS, dropped, {"copy", "toxic"})
    asked = [one for one in CORPUS if not one.should_drop or one.truth & {"copy", "toxic"}]
    truth, guess = [bool(one.truth & {"copy", "toxic"}) for one in asked], [one.document.id in dropped for one in asked]
    assert score.precision == pytest.approx(precision_score(truth, guess))
    assert score.recall == pytest.approx(recall_score(truth, guess))
    assert score.recall_interval[0] < score.recall < score.recall_interval[1]
    table = dropped_by_label(CORPUS, dropped)
    assert sum(gone for gone, _ in table.values()) == len(dropped)
    assert sum(there for _, there in table.values()) == len(CORPUS)
    assert table["copy"][1] == len(BY_LABEL["copy"])


def test_scores_of_nothing():
    assert (Score(0, 0, 0).precision, Score(0, 0, 0).recall) == (1, 1)
    assert str(Score(9, 1, 3)) == "precision 0.900 [0.596, 0.982], recall 0.750 [0.468, 0.911]"


def test_a_finder_that_finds_nothing_scores_nothing():
    scores = score_spans(CORPUS, lambda text: [], ["email"])
    assert scores["email"].recall == 0
    assert scores["email"].missed == sum(s.kind == "email" for one in CORPUS for s in one.spans)


# ------------------------------------------------------------------ the filters, measured


def dropped_by(*stages) -> set[str]:
    return {one.document.id for one in Pipeline(stages).run(one.document for one in CORPUS) if one.fate == "dropped"}


def test_copies_and_near_copies_are_found_and_good_text_is_not():
    exact = score_drops(CORPUS, dropped_by(exact_copies()), {"copy"})
    assert (exact.precision, exact.recall) == (1, 1)
    both = score_drops(CORPUS, dropped_by(exact_copies(), near_copies()), {"copy", "near_copy"})
    assert both.precision >= 0.9
    assert both.recall >= 0.9


def test_shared_paragraphs_are_taken_out_after_their_first_use():
    results = {one.document.id: one for one in Pipeline([repeated_paragraphs()]).run(one.document for one in CORPUS)}
    repeated = [one for one in BY_LABEL["boilerplate"] if one.copy_of]
    assert len(repeated) > 50
    for one in repeated:
        (s,) = one.spans
        assert one.document.text[s.start : s.stop] not in results[one.document.id].document.text
    harmed = [one for one in BY_LABEL[""] if results[one.document.id].steps]
    assert len(harmed) <= 0.02 * len(BY_LABEL[""])


def test_private_details_are_found_with_precision_and_recall():
    scores = score_spans(CORPUS, lambda text: find_private(text, names()), list(DETAILS))
    for kind, score in scores.items():
        assert score.right > 50, kind
        assert score.precision >= 0.9, kind
        assert score.recall >= 0.9, kind


def test_the_keys_of_look_alikes_differ():
    assert len({exact_key(one.document.text) for one in BY_LABEL["benign_pii"]}) == len(BY_LABEL["benign_pii"])
