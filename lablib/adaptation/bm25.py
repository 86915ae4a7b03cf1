"""BM25: how well a text fits a query, from the words that both have.

A passage is a bag of words: how often each stands in it, and nothing of their order. A query's word counts for a passage

- the more, the *rarer* it is in the corpus (idf, *inverse document frequency*): "the" says nothing, "sinusoidal" nearly all;
- the more *often* it stands in the passage, but less and less: the tenth time adds hardly anything (k1 says how soon that is);
- the less, the *longer* the passage, for in a long one any word is likely to turn up (b says how much that matters).

The score is the sum over the query's words; a word that stands in the query twice counts twice. Nothing is learned, no model is asked, and
yet it is the baseline that dense vectors often fail to beat on texts unlike those that they were trained on (Thakur et al. 2021, "BEIR").

Papers: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3; Kamphuis, de Vries, Boytsov and
Lin 2020, "Which BM25 Do You Mean?" (the variants); Harman 1991, "How effective is suffixing?" (the S stemmer). Scores equal those
of the package `bm25s` with its method "lucene" or "robertson". Many texts multiply by k1 + 1; that changes no order, and we leave it out
as these two do. Left out: fields (BM25F), positions of words, more of stemming, compressed lists.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lablib.adaptation.search import Hit, check_search, check_texts

Tokenise = Callable[[str], list[str]]

VARIANTS = ("lucene", "robertson")


# ---------------------------------------------------------------- words


def words(text: str) -> list[str]:
    """The words and numbers of a text in lower case, without punctuation.

    >>> words("RoPE's base is 10,000!")
    ['rope', 's', 'base', 'is', '10', '000']
    """
    return re.findall(r"\w+", text.lower())


def singular_words(text: str) -> list[str]:
    """`words` with English plurals taken off by Harman's three rules (1991), so that "layers" finds "layer". It makes mistakes.

    >>> singular_words("Queries, sizes and layers of the loss")
    ['query', 'size', 'and', 'layer', 'of', 'the', 'loss']
    """
    return [_singular(word) for word in words(text)]


def _singular(word: str) -> str:
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1]
    return word


# ---------------------------------------------------------------- the formula


def bm25_idf(df: int, N: int, variant: str = "lucene") -> float:
    """How much a word tells that stands in df of N passages.

    Robertson and Zaragoza 2009, section 3: the logarithm of (N − df + ½) / (df + ½), the odds against a passage having
    the word. It is negative for a word in more than half of the passages: having it would cost points. Two ways out, by
    the names that `bm25s` has for them: "robertson" takes 0 in that case, so that such a word counts nothing; "lucene"
    (as in the search engine of that name) adds 1 inside the logarithm, ln(1 + (N − df + ½) / (df + ½)), which is always
    above 0.

    Args:
        df: passages with the word, from 0 to N. N: passages.
        variant: one of the two.
    Raises:
        ValueError: df is not between 0 and N, or there is no such variant.

    >>> bm25_idf(1, N=2), round(bm25_idf(1, N=4), 4), round(bm25_idf(1, N=4, variant="robertson"), 4)
    (0.6931471805599453, 1.204, 0.8473)
    """
    if not 0 <= df <= N or variant not in VARIANTS:
        raise ValueError(f"df = {df}, N = {N}, variant = {variant!r}: expected 0 ≤ df ≤ N and one of {VARIANTS}")
    odds = (N - df + 0.5) / (df + 0.5)
    return math.log(1 + odds) if variant == "lucene" else math.log(max(odds, 1.0))


def saturation(tf: float, length: float, mean_length: float, k1: float = 1.5, b: float = 0.75) -> float:
    """The share of a word's idf that a passage gets for having it tf times.

    It is tf / (tf + k1 · (1 − b + b · length / mean_length)): 0 where tf = 0, then toward 1; ½ where tf is k1, in a
    passage of mean length. With b = 0 the length does not matter, with b = 1 a passage of twice the length needs the
    word twice as often; with k1 = 0 only whether the word is there.

    Args:
        tf: times that the word stands in the passage. length: words of the passage. mean_length: of all, above 0.
        k1: at least 0, and usually 1.2 to 2. b: from 0 to 1, usually 0.75.

    >>> saturation(3, length=10, mean_length=10, k1=1.5), saturation(3, length=20, mean_length=10, k1=1.5, b=1)
    (0.6666666666666666, 0.5)
    """
    return tf / (tf + k1 * (1 - b + b * length / mean_length)) if tf else 0.0


def bm25_score(
    query: Sequence[str],
    passage: Sequence[str],
    idf: Mapping[str, float],
    mean_length: float,
    k1: float = 1.5,
    b: float = 0.75,
) -> float:
    """The score of one passage: for each word of the query its idf times its `saturation` in the passage, summed.

    Args:
        query: its words in order; a word that stands there twice counts twice. An empty one has the score 0.
        passage: its words.
        idf: of each word of the corpus; a word that is not in it counts 0.
        mean_length: of the corpus' passages, in words. k1, b: see `saturation`.

    >>> bm25_score(["cat", "unknown"], ["a", "cat", "a", "cat"], {"a": 0.1, "cat": 2.0}, mean_length=4, k1=2.0)
    1.0
    >>> bm25_score(["cat", "cat", "a"], ["a", "cat"], {"a": 0.1, "cat": 2.0}, mean_length=2, k1=1.0)
    2.05
    """
    times = Counter(passage)
    parts = (idf.get(word, 0.0) * saturation(times[word], len(passage), mean_length, k1, b) for word in query)
    return sum(parts, 0.0)


# ---------------------------------------------------------------- the index


class BM25:
    """All passages of a corpus, ready to be searched: for each word the passages that have it, and what it adds to the score of each.

    It is the *inverted index* of every search engine: a query looks only at the passages that share a word with it.

    Args:
        texts: the passages.
        tokenise: cuts a text or a query into words.
        k1, b, variant: see `saturation` and `bm25_idf`.
    Raises:
        ValueError: no passage, no word in any of them, k1 or b out of range. TypeError: a passage is not str.

    >>> index = BM25(["the cat purrs", "the dog barks", "the cat and the dog"])
    >>> [(hit.number, round(hit.score, 3)) for hit in index.search("a cat that purrs", k=3)]
    [(0, 0.632), (2, 0.162)]
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokenise: Tokenise = words,
        k1: float = 1.5,
        b: float = 0.75,
        variant: str = "lucene",
    ) -> None:
        check_texts(texts)
        if not (k1 >= 0 and 0 <= b <= 1):
            raise ValueError(f"k1 = {k1}, b = {b}: expected k1 ≥ 0 and b from 0 to 1; 1.5 and 0.75 are usual")
        passages = [tokenise(text) for text in texts]
        lengths = [len(passage) for passage in passages]
        if not any(lengths):
            raise ValueError(f"texts: none of the {len(texts)} has a word in it; is `tokenise` right?")
        self.size, self.tokenise = len(texts), tokenise
        mean_length = sum(lengths) / len(lengths)
        places: dict[str, list[tuple[int, int]]] = {}  # word -> (passage, times that it stands there)
        for number, passage in enumerate(passages):
            for word, tf in Counter(passage).items():
                places.setdefault(word, []).append((number, tf))
        self.idf = {word: bm25_idf(len(found), self.size, variant) for word, found in places.items()}
        self._places = {word: np.array([number for number, _ in found]) for word, found in places.items()}
        self._adds = {
            word: self.idf[word] * np.array([saturation(tf, lengths[i], mean_length, k1, b) for i, tf in found])
            for word, found in places.items()
        }

    def scores(self, query: str) -> np.ndarray:
        """The score of every passage, (N,) float64."""
        total = np.zeros(self.size)
        for word in self.tokenise(query):
            if word in self._places:
                total[self._places[word]] += self._adds[word]  # each passage stands in a word's list once
        return total

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best passages, the best first, of equal ones the earlier; only those with a score above 0, so maybe fewer.

        Raises:
            ValueError: k < 1, or a query without a word.
        """
        check_search(query, k)
        if not self.tokenise(query):
            raise ValueError(f"query = {query!r:.80} has no word in it: expected a question")
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:k]
        return [Hit(int(i), float(scores[i])) for i in order if scores[i] > 0]
