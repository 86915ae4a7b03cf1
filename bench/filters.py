"""How good is each filter of the data pipeline? Counted on planted truth, and looked at on the text of this install.

python bench/filters.py [--documents 6000]     precision and recall of every filter, harm by kind, bias, the crawl
python bench/filters.py --tune                 the choices that were made on another seed
python bench/filters.py --gallery 40           kept and dropped documents of the crawl, for the eye

Documents of the world, none twice, with planted faults (`lablib.corpus.planted`). Everything that was chosen or learned saw the
documents of seed 100 alone (and data/toxicity/); every figure is counted on those of seed 200. A share stands with Wilson's 95 %
interval. Private details are planted in formats that the finders' author knew; the crawl's e-mail addresses are nobody's choice.
"""

import argparse
import random
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from lablib.corpus import quality_classifier, safety
from lablib.corpus.bias import counterfactual_gap, swap, swap_gender
from lablib.corpus.crawl import authors, crawl
from lablib.corpus.dedup import NearCopies, exact_key, near_clusters
from lablib.corpus.document import Document
from lablib.corpus.language import language
from lablib.corpus.minhash import jaccard, shingles
from lablib.corpus.pipeline import Pipeline, Stage, Traced, count, gallery
from lablib.corpus.planted import Planted, names, plant
from lablib.corpus.planted_details import DETAILS
from lablib.corpus.privacy import find_private
from lablib.corpus.quality import C4, CRAWL_RULES, FINEWEB, GOPHER, GOPHER_REPETITION, REFINEDWEB
from lablib.corpus.scoring import (
    Score,
    dropped_by_label,
    score_drops,
    score_paragraphs,
    score_spans,
    score_table,
    wilson,
)
from lablib.corpus.stages import (
    course_stages,
    exact_copies,
    near_copies,
    quality,
    repeated_paragraphs,
    scored,
    toxic_sentences,
    toxic_words,
)
from lablib.corpus.stages import language as language_stage
from lablib.corpus.text_classifier import TextClassifier
from lablib.corpus.world import World

TUNED_ON, REPORTED_ON, CURATED = 100, 200, 300
UNREADABLE = frozenset(("gibberish", "shuffled_words", "symbols", "repeated_lines", "machine", "shouting", "truncated"))
BANKS = (("north", "south"), ("northern", "southern"))


def world(seed: int) -> Iterator[Document]:
    """The world's documents, the second of two alike left out: what is good text and no copy."""
    seen: set[bytes] = set()
    for number, one in enumerate(World().documents(random.Random(seed))):
        if (key := exact_key(one.text)) not in seen:
            seen.add(key)
            yield Document(one.text, f"world/{seed}/{number}", "world", "CC0-1.0", one.kind)


def corpus(seed: int, n: int) -> list[Planted]:
    return list(islice(plant(world(seed), random.Random(seed + 1)), n))


def results(planted: list[Planted], *stages: Stage) -> dict[str, Traced]:
    return {one.document.id: one for one in Pipeline(stages, max_failed=0).run(each.document for each in planted)}


def dropped(planted: list[Planted], *stages: Stage) -> set[str]:
    return {id for id, one in results(planted, *stages).items() if one.fate == "dropped"}


# ------------------------------------------------------------------ what is learned, from seed 100


def toxicity_classifier(planted: list[Planted]) -> TextClassifier:
    """From the authored sentences, and the sentences of good documents of the tuning seed as harmless ones."""
    rows = safety.look_alikes()
    toxic = [one for kind in rows["toxic"].values() for one in kind]
    benign = [one for kind in rows["benign"].values() for one in kind]
    good = {one for each in planted if not each.truth for one in safety.sentences(each.document.text)}
    return safety.train(toxic, benign + sorted(good - set(benign)), np.random.default_rng(0))


def quality_classifiers(planted: list[Planted], n: int) -> dict[str, TextClassifier]:
    """Two ways to find seeds without knowing the truth: what the rules keep and drop; curated text and raw text (GPT-3)."""
    kept = results(planted, quality(), language_stage())
    good = {each.document.text for each in planted if kept[each.document.id].fate == "kept"}
    raw = {each.document.text for each in planted}
    curated = {one.text for one in islice(world(CURATED), n)}
    heaps = {"taught by the rules": (good, raw - good), "curated against raw": (curated - raw, raw - curated)}
    return {
        name: quality_classifier.train(sorted(a), sorted(b), np.random.default_rng(0)) for name, (a, b) in heaps.items()
    }


# ------------------------------------------------------------------ on planted truth


def truth_table(n: int) -> None:
    taught, planted = corpus(TUNED_ON, n), corpus(REPORTED_ON, n)
    toxic = toxicity_classifier(taught)
    good = quality_classifiers(taught, n)
    first = (exact_copies(), near_copies())
    drops: dict[str, tuple[set[str], frozenset[str]]] = {
        "quality rules": (dropped(planted, quality()), UNREADABLE),
        "language": (dropped(planted, language_stage()), frozenset({"other_language"})),
        "exact copies": (dropped(planted, exact_copies()), frozenset({"copy"})),
        "exact and near copies": (dropped(planted, *first), frozenset({"copy", "near_copy"})),
        "toxic words": (dropped(planted, toxic_words()), frozenset({"toxic"})),
        "toxicity classifier": (dropped(planted, toxic_sentences(toxic)), frozenset({"toxic"})),
    }
    for name, model in good.items():
        found = dropped(planted, scored(name, model.score, model.threshold))
        drops[f"quality, {name}"] = found, UNREADABLE | {"other_language"}
    table = {name: score_drops(planted, gone, faults) for name, (gone, faults) in drops.items()}
    behind = results(planted, *first, repeated_paragraphs())
    before = {id for id, one in behind.items() if one.steps and one.steps[0].stage != "repeated paragraphs"}
    cleaned = {id: "" if one.fate == "dropped" else one.document.text for id, one in behind.items() if id not in before}
    table["repeated paragraphs"] = score_paragraphs(planted, cleaned)
    details = score_spans(planted, lambda text: find_private(text, names()), list(DETAILS))
    total = [sum(getattr(one, field) for one in details.values()) for field in ("right", "wrong", "missed")]
    table |= {"private details": Score(*total), **{f"  {kind}": score for kind, score in details.items()}}
    print(f"{n:,} planted documents of seed {REPORTED_ON}\n\n{score_table(table)}\n")
    drops["whole pipeline"] = dropped(planted, *course_stages(names())), frozenset()
    by_label(planted, {name: gone for name, (gone, _) in drops.items()})
    alike_by_nature(planted, results(planted, *first))
    published(planted)
    bias(planted, toxic, good["taught by the rules"])


def by_label(planted: list[Planted], drops: dict[str, set[str]]) -> None:
    print(
        "dropped, of 100 documents of each kind (for a fault this is the recall, for good text and look-alikes the harm)"
    )
    tables = {name: dropped_by_label(planted, gone) for name, gone in drops.items()}
    labels = list(next(iter(tables.values())))
    print(f"{'':<18}{'n':>6}" + "".join(f"{number:>7}" for number in range(1, len(tables) + 1)))
    for label in labels:
        there = next(iter(tables.values()))[label][1]
        cells = "".join(f"{100 * table[label][0] / there:>7.1f}" for table in tables.values())
        print(f"{label:<18}{there:>6,}{cells}")
    print("; ".join(f"{number} {name}" for number, name in enumerate(tables, 1)) + "\n")


def alike_by_nature(planted: list[Planted], behind: dict[str, Traced]) -> None:
    """Of the good documents that were dropped as near copies, how many really are alike, by brute force."""
    texts = {each.document.id: each.document.text for each in planted}
    wrong = [
        each.document.id for each in planted if not each.should_drop and behind[each.document.id].fate == "dropped"
    ]
    rule, alike = NearCopies(), 0
    for id in wrong:
        (like,) = re.findall(r"planted/\d+", behind[id].steps[-1].reasons[0].why)
        alike += jaccard(*(shingles(texts[one], rule.shingle_words) for one in (id, like))) >= rule.threshold
    print(
        f"of {len(wrong)} documents wrongly dropped as copies {alike} are alike by nature: exact Jaccard ≥ {rule.threshold}\n"
    )


def published(planted: list[Planted]) -> None:
    """The published sets as they stand, made for web pages, on the same documents."""
    sets = {"Gopher": (*GOPHER, *GOPHER_REPETITION), "C4": C4, "RefinedWeb": REFINEDWEB, "FineWeb": FINEWEB}
    scores = {name: score_drops(planted, dropped(planted, quality(rules)), UNREADABLE) for name, rules in sets.items()}
    print(f"the published rules, unchanged, on these short documents\n{score_table(scores)}\n")


def bias(planted: list[Planted], toxic: TextClassifier, good: TextClassifier) -> None:
    """Counterfactual swaps: how much each score moves when she becomes he, or the north bank the south bank."""
    texts = [each.document.text for each in planted if not each.should_drop]
    rows = [one for kinds in safety.look_alikes().values() for kind in kinds.values() for one in kind]
    scores: dict[str, Callable[[str], float]] = {
        "toxic words": lambda text: safety.toxicity(text, safety.toxic_words()),
        "toxicity classifier": lambda text: safety.worst_sentence(text, toxic)[0],
        "quality classifier": good.score,
    }
    swaps: dict[str, Callable[[str], str]] = {"north/south": lambda text: swap(text, BANKS), "he/she": swap_gender}
    named = {
        "north/south": re.compile(r"\bsouth(?:ern)?\b", re.I),
        "he/she": re.compile(r"\b(?:she|her|woman|girl)s?\b", re.I),
    }
    print(
        "mean |change| and mean change of a score by a counterfactual swap, over texts that name the south bank, or a woman"
    )
    for where, found in (("planted documents", texts), ("authored sentences", rows)):
        for name, exchange in swaps.items():
            chosen = [text for text in found if named[name].search(text)]
            for label, score in scores.items():
                gap = counterfactual_gap(chosen, exchange, score, np.random.default_rng(0))
                size = np.mean([abs(score(text) - score(exchange(text))) for text in chosen])
                print(
                    f"  {where:<20}{name:<13}{label:<22}{size:.4f}  {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]  n {gap.n:,}"
                )
    print()


# ------------------------------------------------------------------ choices


def tune(n: int) -> None:
    planted = corpus(TUNED_ON, n)
    print(f"seed {TUNED_ON}: shingle words and threshold of near copies")
    for words in (2, 3, 4, 5):
        for threshold in (0.5, 0.6, 0.7, 0.8):
            gone = dropped(planted, exact_copies(), near_copies(NearCopies(threshold, words)))
            both, near = (score_drops(planted, gone, faults) for faults in ({"copy", "near_copy"}, {"near_copy"}))
            print(f"  {words} {threshold}: {both}; of near copies alone recall {near.recall:.3f}")
    print("threshold of the language")
    for threshold in (0.05, 0.15, 0.3, 0.5, 0.65, 0.9):
        print(
            f"  {threshold}: {score_drops(planted, dropped(planted, language_stage('en', threshold)), {'other_language'})}"
        )
    print("rules: faults found, found by this rule alone, good documents and look-alikes dropped")
    found: dict[str, Counter[str]] = {}
    for each in planted:
        step = next(iter(results([each], quality()).values())).steps
        for reason in step[0].reasons if step else ():
            row = found.setdefault(reason.rule, Counter())
            bad = bool(each.truth & UNREADABLE)
            row.update(found=bad, alone=bad and len(step[0].reasons) == 1, harm=not each.should_drop)
    for rule, row in sorted(found.items(), key=lambda pair: -pair[1]["found"]):
        print(f"  {rule:<40}{row['found']:>6,}{row['alone']:>6,}{row['harm']:>6,}")


# ------------------------------------------------------------------ the crawl of this install


def on_the_crawl() -> None:
    documents = list(crawl())
    texts = {document.id: document.text for document in documents}
    known = {(one.document, one.email) for one in authors() if one.document in texts}
    seen = {id: {texts[id][s.start : s.stop] for s in find_private(texts[id]) if s.kind == "email"} for id, _ in known}
    found = {(id, email) for id, email in known if email in seen[id]}
    low, high = wilson(len(found), len(known))
    print(f"the crawl: {len(documents):,} documents, {sum(map(len, texts.values())) / 1e6:.1f} M characters")
    print(f"e-mail addresses of author fields found in the text: {len(found)} of {len(known)}, [{low:.3f}, {high:.3f}]")
    for id, email in sorted(known - found)[:10]:
        print(f"  missed: {email!r} in {id}")
    licences = [document for document in documents if document.kind == "licence"]
    groups = sorted(near_clusters(licences), key=len, reverse=True)
    alike = sum(len(group) for group in groups if len(group) > 1)
    print(
        f"licence files: {len(licences)}, of which {alike} have a near copy; {len(groups)} different texts; the largest groups:"
    )
    for group in groups[:6]:
        print(f"  {len(group):>4} × {' '.join(texts[group[0]].split())[:90]!r}")
    strict = sum(one.fate == "dropped" for one in Pipeline([quality(REFINEDWEB)]).run(licences))
    print(f"RefinedWeb's 5 % of words in flagged lines drops {strict} of the {len(licences)} licences")
    stages = course_stages(rules=CRAWL_RULES)
    print(f"\n{count(Pipeline(stages).run(documents), stages).table()}\n")
    kinds: Counter[tuple[str, str]] = Counter((document.kind, language(document.text)[0]) for document in documents)
    for kind in sorted({kind for kind, _ in kinds}):
        print(
            f"  {kind:<12}"
            + ", ".join(f"{code} {number}" for (one, code), number in kinds.most_common() if one == kind)[:110]
        )


def show_gallery(n: int) -> None:
    stages = course_stages(rules=CRAWL_RULES)
    drawn = gallery(Pipeline(stages).run(crawl()), random.Random(0), each=3)
    shelves = sorted(drawn.items(), key=lambda pair: pair[0] != ("kept", ""))
    rows = [one for place in range(3) for _, shelf in shelves for one in shelf[place : place + 1]]
    for one in list({row.document.id: row for row in rows}.values())[:n]:
        print(f"{one}\n{textwrap.indent(one.document.text[:420], '    | ')}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=6_000)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--gallery", type=int, metavar="N")
    options = parser.parse_args()
    if options.tune:
        tune(options.documents)
    elif options.gallery:
        show_gallery(options.gallery)
    else:
        truth_table(options.documents)
        on_the_crawl()


if __name__ == "__main__":
    main()
