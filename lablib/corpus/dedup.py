"""The same text twice: exact copies, near copies, and paragraphs that many documents share; found in one pass, with the memory on disk.

A model that reads a text often learns it by heart, and a test text that stands in the training data too is no test (Lee et al.
2022, "Deduplicating Training Data Makes Language Models Better"). Of all copies **the first in the corpus's order is kept**. A near copy is
measured against the documents that were kept, never against one that was dropped: so each dropped document has a kept one that it
resembles, no two kept ones that were compared are alike, and a chain a ~ b ~ c does not take c with it when only b lay between.

What was seen lies in a SQLite file, so that memory does not grow with the corpus; ":memory:" holds it in memory instead.
Also in use: CCNet (Wenzek et al. 2020) drops repeated paragraphs by hash; Lee et al. repeated substrings, by suffix array (left out here).
Left out: languages written without spaces between words; cut them into characters before.
"""

import hashlib
import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from lablib.corpus.document import Document
from lablib.corpus.lsh import band_keys, best_bands, candidate_pairs, clusters
from lablib.corpus.minhash import Array, estimated_jaccard, minhash, random_orders, shingles

ORDERS_SEED = 1997  # of the random orders: the same signatures in every run; 1997 is Broder's paper


def normalised(text: str) -> str:
    """The text without what does not matter: in lower case, each run of white space one blank, look-alike characters made one (NFKC).

    >>> normalised("  The ﬁrst\\n\\nDAY ")
    'the first day'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def exact_key(text: str) -> bytes:
    """16 bytes that stand for the normalised text: equal for copies, the same in every run and on every machine.

    They are its BLAKE2b digest of 16 bytes; the text is written as UTF-8, where half a surrogate pair is let pass
    ("surrogatepass"). Two different texts share a key with probability 2⁻¹²⁸.

    >>> exact_key("The cat  sat.") == exact_key("the cat sat."), exact_key("the cat sat.") == exact_key("the cat sat")
    (True, False)
    """
    return hashlib.blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _database(path: Path | str, *tables: str) -> sqlite3.Connection:
    """A fresh file with these tables; never more than 2 MB of it are held in memory."""
    if str(path) != ":memory:":
        Path(path).unlink(missing_ok=True)
    database = sqlite3.connect(path)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000"):  # a crash loses it: made anew
        database.execute(f"PRAGMA {setting}")
    for table in tables:
        database.execute(f"CREATE TABLE {table}")
    return database


class SeenKeys:
    """Which keys have been seen, and in which document first."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._database = _database(path, "seen (key BLOB PRIMARY KEY, id TEXT) WITHOUT ROWID")

    def first(self, key: bytes, id: str) -> str:
        """The id of the first document with this key: `id` itself, which is then remembered, if none had it before.

        >>> seen = SeenKeys()
        >>> seen.first(b"k", "one"), seen.first(b"k", "two"), seen.first(b"other", "two")
        ('one', 'one', 'two')
        """
        found = self._database.execute("SELECT id FROM seen WHERE key = ?", (key,)).fetchone()
        if found:
            return str(found[0])
        self._database.execute("INSERT INTO seen VALUES (?, ?)", (key, id))
        return id

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


@dataclass(frozen=True)
class NearCopies:
    """When two documents count as near copies.

    Attributes:
        threshold: the estimated Jaccard similarity of their shingles from which on they do, in (0, 1). Web pages are long, and 0.7
            to 0.8 is usual for them; of a text of 40 words, two changed ones leave 0.7.
        shingle_words: words in a shingle.
        orders: length of a signature.
        found: the chance with which LSH must find a pair right at the threshold; pairs above it are found more often.
    """

    threshold: float = 0.6
    shingle_words: int = 3
    orders: int = 128
    found: float = 0.95
    bands: tuple[int, int] = field(init=False)  # b and r

    def __post_init__(self) -> None:
        if self.shingle_words < 1:
            raise ValueError(f"shingle_words = {self.shingle_words}: expected at least 1; 3 to 5 are usual")
        object.__setattr__(self, "bands", best_bands(self.orders, self.threshold, self.found))

    def signature(self, text: str) -> Array:
        """The signature of a text, (orders,), with orders drawn from a fixed seed, so that signatures of several runs can be compared."""
        return minhash(shingles(text, self.shingle_words), *_orders(self.orders))


@cache
def _orders(n: int) -> tuple[Array, Array]:
    return random_orders(n, np.random.default_rng(ORDERS_SEED))


class KeptSignatures:
    """The signatures of the documents that were kept, by band."""

    def __init__(self, rule: NearCopies, path: Path | str = ":memory:") -> None:
        self.rule = rule
        self._database = _database(
            path,
            "kept (number INTEGER PRIMARY KEY, id TEXT, signature BLOB)",
            "bands (key BLOB, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID",
        )

    def nearest(self, signature: Array) -> tuple[str, float] | None:
        """The kept document most like this one, with the estimate, if LSH finds one from the threshold on; of equals the first."""
        keys = band_keys(signature, *self.rule.bands)
        marks = ", ".join("?" * len(keys))
        query = f"SELECT DISTINCT kept.number, id, signature FROM bands JOIN kept USING (number) WHERE key IN ({marks})"
        best: tuple[float, int, str] | None = None
        for number, id, other in self._database.execute(query, keys):
            similarity = estimated_jaccard(signature, np.frombuffer(other, dtype="<u4").astype(np.uint64))
            if similarity >= self.rule.threshold and (best is None or (similarity, -number) > best[:2]):
                best = similarity, -number, id
        return (best[2], best[0]) if best else None

    def keep(self, id: str, signature: Array) -> None:
        """Remembers a document that is kept."""
        row = self._database.execute(
            "INSERT INTO kept (id, signature) VALUES (?, ?)", (id, signature.astype("<u4").tobytes())
        )
        keys = [(key, row.lastrowid) for key in band_keys(signature, *self.rule.bands)]
        self._database.executemany("INSERT INTO bands VALUES (?, ?)", keys)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


def near_clusters(documents: Iterable[Document], rule: NearCopies | None = None) -> list[list[str]]:
    """The documents in groups that are linked by near copies, ids in the corpus's order; a document alone is a group of one.

    The view from above, for a look at what belongs together (all in memory). One link is enough to join two groups, so a chain
    becomes one group, of which the one-pass rule keeps more than one document if its ends are unlike.
    """
    rule = rule or NearCopies()
    ids, signatures = [], []
    for document in documents:
        ids.append(document.id)
        signatures.append(rule.signature(document.text))
    pairs = candidate_pairs(signatures, *rule.bands)
    alike = [(i, j) for i, j in pairs if estimated_jaccard(signatures[i], signatures[j]) >= rule.threshold]
    return [[ids[number] for number in group] for group in clusters(len(ids), alike)]


def without_seen_paragraphs(
    text: str, id: str, seen: SeenKeys, min_words: int = 10
) -> tuple[str, list[tuple[str, str]]]:
    """The text without the paragraphs that stood in an earlier document, or earlier in this one.

    A paragraph ends at a blank line. One of fewer than `min_words` words always stays: "Yes, please." is no boilerplate.

    Args:
        seen: the paragraphs so far; those of this text are remembered in it.
    Returns:
        what is left of the text, and for each paragraph taken away its text and the id of the document that had it first.

    >>> seen = SeenKeys()
    >>> without_seen_paragraphs("We use cookies on this page.\\n\\nA cat sat on a mat.", "one", seen, min_words=5)
    ('We use cookies on this page.\\n\\nA cat sat on a mat.', [])
    >>> without_seen_paragraphs("Good evening.\\n\\nWe use cookies on this page.", "two", seen, min_words=5)
    ('Good evening.', [('We use cookies on this page.', 'one')])
    """
    if min_words < 1:
        raise ValueError(f"min_words = {min_words}: expected at least 1; 10 spares headings and greetings")
    kept, taken, here = [], [], set()
    for paragraph in re.split(r"\n[ \t]*\n\s*", text):
        key = exact_key(paragraph)
        first = seen.first(key, id) if len(paragraph.split()) >= min_words else id
        if first != id or key in here:
            taken.append((paragraph, first))
        else:
            kept.append(paragraph)
        if len(paragraph.split()) >= min_words:
            here.add(key)
    return ("\n\n".join(kept), taken) if taken else (text, [])
