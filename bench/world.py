"""How fast the world writes, and what there is in it: tokens a second on one core, words, shapes, facts, entropy.

python bench/world.py [--rounds 7] [--documents 5000]        data/README.md quotes what this prints
"""

import argparse
import platform
import statistics
import time
import tomllib
from itertools import islice
from random import Random

from lablib.corpus.world import World
from lablib.corpus.world.entropy import TOKEN
from lablib.paths import data_path

READ = 500  # documents that are parsed and judged in a round: reading is slower than writing


OTHERS = (
    "planted/texts.toml",
    "planted/privacy_cases.toml",
    "toxicity/lookalikes.toml",
    "head_sentences.toml",
    "fixtures/texts.toml",
)


def items(value: object) -> int:
    """The entries of a TOML file: the members of its lists, however deep the tables."""
    return sum(map(items, value.values())) if isinstance(value, dict) else len(value) if isinstance(value, list) else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--documents", type=int, default=5000)
    options = parser.parse_args()

    start = time.perf_counter()
    world = World()
    print(f"Python {platform.python_version()}, one core; World() the first time: {time.perf_counter() - start:.2f} s")

    list(islice(world.documents(Random(0)), 1000))  # the tables of the writer are filled
    written, read, judged = [], [], []
    words: set[str] = set()
    tokens_per_document = 0.0
    for number in range(options.rounds):
        start = time.perf_counter()
        texts = [document.text for document in islice(world.documents(Random(number + 1)), options.documents)]
        seconds = time.perf_counter() - start
        tokens = [TOKEN.findall(text) for text in texts]
        count = sum(map(len, tokens))
        written.append(count / seconds)
        tokens_per_document = count / len(texts)
        words.update(token.lower() for line in tokens for token in line if token[0].isalpha())

        start = time.perf_counter()
        for text in texts[:READ]:
            assert world.log_prob(text) > float("-inf"), text
        read.append(READ / (time.perf_counter() - start))
        start = time.perf_counter()
        for text in texts[:READ]:
            assert world.gold_quality(text) == 1.0, text
        judged.append(READ / (time.perf_counter() - start))

    for what, values in (
        ("tokens written a second", written),
        ("documents read a second", read),
        ("documents judged a second", judged),
    ):
        print(
            f"{what:<28} median {statistics.median(values):>9,.0f}   (least {min(values):,.0f}, most {max(values):,.0f})"
        )
    drawn = options.rounds * options.documents
    print(f"tokens in a document: {tokens_per_document:.1f}; distinct words in {drawn:,} documents: {len(words):,}")
    kinds = {kind: sum(shape.startswith(f"{kind}.") for shape in world.shapes) for kind in world.kinds()}
    print(
        f"shapes: {len(world.shapes)} ({', '.join(f'{kind} {count}' for kind, count in kinds.items())}); facts: {len(world.facts):,}"
    )
    print(f"bias: a careless word falls {world.bias.ratio:.2f} times as often on the south bank's people")
    entropy = world.entropy(20_000, Random(2026))
    print(
        f"entropy: {entropy.per_token:.4f} ± {entropy.per_token_error:.4f} nats a token, {entropy.per_character:.4f} ± "
        f"{entropy.per_character_error:.4f} a character, {entropy.per_document:.2f} ± {entropy.per_document_error:.2f} a document "
        f"({entropy.documents:,} documents; ± is one standard error)"
    )
    print("entities: " + ", ".join(f"{category} {len(entities)}" for category, entities in world.entities.items()))
    for name in OTHERS:
        parts = tomllib.loads(data_path(name).read_text(encoding="utf-8"))
        print(f"data/{name}: " + ", ".join(f"{part} {items(value)}" for part, value in parts.items()))


if __name__ == "__main__":
    main()
