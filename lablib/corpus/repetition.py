"""Numbers that say how much a text repeats itself: lines, paragraphs, and runs of words.

Paper: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", table A1, which bounds all of
them; `lablib.corpus.quality` holds the bounds. A run of n words is called an n-gram.
"""

from collections import Counter


def duplicate_share(parts: list[str], of_characters: bool = False) -> float:
    """Share of the parts (lines or paragraphs) that have occurred before in the same text.

    Args:
        parts: lines or paragraphs of one text, in order.
        of_characters: measure each part by its length instead of counting it once.

    >>> duplicate_share(["home", "a tree", "home", "home"])
    0.5
    """
    seen: set[str] = set()
    repeated = total = 0
    for part in parts:
        size = len(part) if of_characters else 1
        total += size
        repeated += size if part in seen else 0
        seen.add(part)
    return repeated / max(total, 1)


def top_ngram_share(text: str, n: int, least: int = 2) -> float:
    """Share of the characters that lie in the most frequent run of n words (spaces between them included).

    0 where no run occurs `least` times. Of runs that are equally frequent the longest counts. Occurrences may overlap,
    therefore the share is cut at 1.

    >>> top_ngram_share("so it is so it is", 2)  # "so it" and "it is" twice each: 2 · 5 of 17 characters
    0.5882352941176471
    """
    found = text.split()
    counts = Counter(" ".join(found[i : i + n]) for i in range(len(found) - n + 1))
    most = max(counts.values(), default=0)
    if most < least:
        return 0.0
    longest = max(len(gram) for gram, count in counts.items() if count == most)
    return min(1.0, most * longest / len(text))


def duplicate_ngram_share(text: str, n: int) -> float:
    """Share of the characters that lie in runs of n words which have occurred before (no character counts twice).

    Read from left to right: after a run that was seen before, the next begins behind it. The characters are those of the
    words, without the spaces, over all characters of the text, as `datatrove` counts them.

    >>> duplicate_ngram_share("so it is so it is", 3)  # the second "so it is": 6 letters of 17 characters
    0.35294117647058826
    """
    found, seen = text.split(), set()
    repeated = i = 0
    while i + n <= len(found):
        gram = tuple(found[i : i + n])
        if gram in seen:
            repeated += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return repeated / max(len(text), 1)
