"""The tokenizer of the course's own model, made by one command that gives the same file, byte for byte, on every machine:

    python -m lablib.tokens.course_tokenizer --out data/tokenizer.json

It learns from two sources: documents of the world, drawn with a fixed seed, and English prose (the language reference and the
standard library's docstrings). The prose differs from one Python version to the next, so it is pinned: of a corpus BPE only needs to
know how often each word occurs, and that table is carried as data/tokenizer_words.tsv. This makes it anew, from the Python that runs it:

    python -m lablib.tokens.course_tokenizer --count-prose data/tokenizer_words.tsv

The special tokens come last. Those for chat are used from lab 09 on; `<|mask|>` and the spare ones (sentinels) in lab 08.
"""

import argparse
import hashlib
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random

from lablib.corpus.crawl import crawl
from lablib.corpus.world import World
from lablib.paths import data_path
from lablib.tokens import bpe_indexed
from lablib.tokens.pretokens import BYTES, PATTERNS, byte_ids, printable, unprintable, word_counts
from lablib.tokens.tokenizer import Tokenizer

SPECIAL = (
    "<|bos|>",  # a document begins
    "<|eos|>",  # a document, or a whole answer, ends
    "<|pad|>",  # nothing: fills a batch
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",  # a turn ends
    "<|mask|>",
    *(f"<|spare_{i}|>" for i in range(8)),
)
PATTERN = PATTERNS["llama3"]  # numbers in groups of at most three digits
SIZE = 4096  # tokens in all, special ones included
DOCUMENTS = 20_000  # of the world
LEAST = 3  # a word of the prose that occurs less often is not carried
PROSE = ("language reference", "standard library")  # parts of the crawl, both under the licence PSF-2.0

WordCounts = Mapping[tuple[int, ...], int]


def world_texts(documents: int = DOCUMENTS, seed: int = 0) -> list[str]:
    """The texts of so many documents of the world's training split."""
    return [document.text for document in islice(World().documents(Random(seed), "train"), documents)]


def train(*counts: WordCounts, V: int = SIZE) -> Tokenizer:
    """The course's tokenizer from the words of one or several sources, from `word_counts`; V counts the special tokens.

    Raises:
        ValueError: V is too small for the bytes and the special tokens.
    """
    merges = V - 256 - len(SPECIAL)
    if merges < 0:
        raise ValueError(
            f"V = {V}: expected at least {256 + len(SPECIAL)}, for 256 bytes and {len(SPECIAL)} special tokens"
        )
    together: Counter[tuple[int, ...]] = Counter()
    for words in counts:
        together.update(words)
    return Tokenizer.from_merges(bpe_indexed.train_merges(together, merges), SPECIAL, PATTERN)


def load() -> Tokenizer:
    """The course's tokenizer, as it is carried in data/tokenizer.json."""
    return Tokenizer.load(data_path("tokenizer.json"))


# ---------------------------------------------------------------- the pinned prose


def write_words(words: WordCounts, note: str, least: int = LEAST) -> str:
    """Word counts as a text: a note, then count and word, the frequent first; bytes are shown as in `tokenizer.json`.

    >>> print(write_words(word_counts(["no no no, yes"]), "an example", least=1), end="")
    # an example
    2	Ġno
    1	,
    1	no
    1	Ġyes
    """
    spelled = {printable(b"".join(BYTES[number] for number in word)): count for word, count in words.items()}
    rows = sorted(
        ((count, word) for word, count in spelled.items() if count >= least), key=lambda row: (-row[0], row[1])
    )
    return "".join([f"# {note}\n", *(f"{count}\t{word}\n" for count, word in rows)])


def read_words(text: str) -> dict[tuple[int, ...], int]:
    """The counts that `write_words` wrote.

    Raises:
        ValueError: a line that is no count and word.
    """
    words = {}
    for number, line in enumerate(text.splitlines()[1:], 2):
        count, _, word = line.partition("\t")
        if not count.isdecimal() or not word:
            raise ValueError(f"line {number} is {line!r:.60}: expected a count, a tab and a word")
        words[tuple(byte_ids(unprintable(word)))] = int(count)
    return words


def prose_words(texts: Iterable[str] | None = None) -> dict[tuple[int, ...], int]:
    """The words of the English prose of the Python that runs this, or of the given texts."""
    return word_counts((document.text for document in crawl(PROSE)) if texts is None else texts, PATTERN)


# ---------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the file was written."""
    parser = argparse.ArgumentParser(
        prog="python -m lablib.tokens.course_tokenizer", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the tokenizer.json to write")
    what.add_argument("--count-prose", type=Path, help="write the word counts of this Python's prose instead")
    parser.add_argument("--size", type=int, default=SIZE, help=f"tokens in all, special ones included ({SIZE})")
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help=f"of the world ({DOCUMENTS})")
    parser.add_argument("--seed", type=int, default=0, help="of the world's documents (0)")
    given = parser.parse_args(arguments)
    try:
        if given.count_prose:
            return _count_prose(given.count_prose)
        texts = world_texts(given.documents, given.seed)
        prose = read_words(data_path("tokenizer_words.tsv").read_text(encoding="utf-8"))
        tokenizer = train(word_counts(texts, PATTERN), prose, V=given.size)
        tokenizer.save(given.out)
    except (OSError, ValueError) as error:
        print(f"no tokenizer was made: {error}", file=sys.stderr)
        return 2
    for name, size, tokens in (
        ("the world", sum(len(text.encode()) for text in texts), sum(len(tokenizer.encode(text)) for text in texts)),
        ("English prose", *_size(tokenizer, prose)),
    ):
        print(f"{name:<16}{size:>12,} bytes{tokens:>12,} tokens{size / max(tokens, 1):>8.2f} bytes per token")
    digest = hashlib.sha256(given.out.read_bytes()).hexdigest()
    print(f"{given.out}: {tokenizer.V:,} tokens, {len(tokenizer.merges):,} merges, sha256 {digest}")
    return 0


def _size(tokenizer: Tokenizer, words: WordCounts) -> tuple[int, int]:
    """Bytes and tokens of a corpus that is known by its word counts only."""
    encode = bpe_indexed.WordEncoder.from_merges(tokenizer.merges)
    spelled = {b"".join(BYTES[number] for number in word): count for word, count in words.items()}
    return (
        sum(len(word) * count for word, count in spelled.items()),
        sum(len(encode(word)) * count for word, count in spelled.items()),
    )


def _count_prose(path: Path) -> int:
    note = (
        f"Words of the language reference and the standard library's docstrings of Python {platform.python_version()} (PSF-2.0), cut "
        f"as Llama 3 cuts text, that occur at least {LEAST} times: count, word"
    )
    path.write_text(write_words(prose_words(), note), encoding="utf-8", newline="\n")
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
