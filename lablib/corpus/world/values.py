"""Values: what a text names of all that could be said for a relation ("mice and grass" → mice, grass).

Both functions look words up by their base forms in `facts.domain`, or among the options of a question of its own.
"""

import re
from functools import cache, lru_cache

from lablib.corpus.world.facts import domain, lemmas
from lablib.corpus.world.statements import CUT, CUT_FREE, HE

FREE = (
    "skill",
    "use",
    "does",
    "known_for",
    "kept_in",
    "lives",
    "fear",
)  # values of several words, compared word by word
Options = tuple[tuple[str, str], ...]  # (lemmas, value)

# what may stand before and behind a value that is given alone
BEFORE = re.compile(
    r"^(?:(?:in|at|to|by|on|near|from|with|for|of|an?|the|his|her|its|their|some|just|only|called|two|many|made of|used to|it|they|"
    r"a young|exactly|maybe|word|somewhere|village of|number|about|always|young|next|equals|simply|animal|place|go to|day|month|season|"
    r"slice of|bowl of|cup of|piece of|spoonful of)\b ?)+"
)
TWICE = re.compile(r"\b(\w+) \1\b")
AFTER = re.compile(
    r"(?: called .*| named .*| legs?| things?| plums?| please|,? i hope| of course| best| more than anything(?: else)?| now| left|"
    r" altogether| in (?:all|total)| instead| too| is the answer| it is| and nothing else| and not .*|, not .*|,? near .*| by name|"
    r" are| is| in the list| loudly|,)$"
)


def named(relation: str, text: str, options: Options = ()) -> list[str]:
    """The values that a text names, in order, each once; the lexicon's, or those of the question.

    >>> named("eats", "mice, and now and then a frog")
    ['mice', 'frogs']
    """
    options = options or options_of(relation)
    if not options:
        return []
    table = dict(options)
    return list(dict.fromkeys(table[found] for found in expression(options).findall(" ".join(lemmas(text)))))


def of_statement(relation: str, text: str, right: frozenset[str], options: Options = ()) -> tuple[list[str], bool]:
    """What the value of a statement names, and whether they are alternatives ("or")."""
    text = text.strip(" .,!?:;\"'")
    if text in HE:
        return [], False
    if relation == "plural":
        parts = [part.strip(" \"'.") for part in re.split(r",| or | and ", text) if part.strip(" \"'.")]
        return [re.sub(r"^(?:two|many|the) ", "", part) for part in parts[:4]], " or " in text
    if relation != "opposite":  # "near" is an adjective there
        text = (CUT_FREE if relation in FREE else CUT).split(" " + text)[0].strip()
    found = named(relation, text, options)
    if relation in FREE and not found:
        said = set(lemmas(text))
        found = [value for value in sorted(right) if set(lemmas(value)) <= said]
    return found, " or " in text


def alone(relation: str, text: str, right: frozenset[str], options: Options, name: str, bare: bool) -> list[str]:
    """Values that are given alone as an answer: the whole text must consist of them.

    Args:
        right: the values that are right.
        options: of a question of its own.
        name: of the subject; a plural must begin like it to be one.
        bare: nothing announces the value.
    """
    text = text.strip(" .,!?:;\"'()")
    if TWICE.search(text):  # "the the cook" is noise
        return []
    if relation == "plural":
        return _plurals(text, right, name, bare)
    shorter = text
    while (cut := AFTER.sub("", shorter)) != shorter:
        shorter = cut
    options = options or options_of(relation)
    for candidate in dict.fromkeys((text, shorter, BEFORE.sub("", shorter))):
        found = _row(candidate, options)
        if found:
            return found
        if relation in FREE:
            said = lemmas(candidate)
            for value in sorted(right):
                wanted = lemmas(value)
                if wanted and set(wanted) <= set(said) and len(said) <= len(wanted) + 3:
                    return [value]
    return []


def _row(text: str, options: Options) -> list[str]:
    """The values of a text that is a row of values and nothing else."""
    table, expected = dict(options), expression(options)
    parts = re.split(r",? (?:and|or) |[,&/]|\n", text)
    found: list[str] = []
    for part in parts:
        if not part.strip():
            continue
        match = expected.fullmatch(" ".join(lemmas(BEFORE.sub("", part.strip()) or part)))
        if not match:
            whole = expected.fullmatch(" ".join(lemmas(text)))
            return [table[whole[0]]] if whole else []
        found.append(table[match[0]])
    return list(dict.fromkeys(found))


def _plurals(text: str, right: frozenset[str], name: str, bare: bool) -> list[str]:
    found = []
    for part in re.split(r",? or ", text):
        word = re.sub(r"^(?:two|many|the|some|several|are|one .*, (?:two|many)) ", "", part).strip("\"' ")
        if not re.fullmatch(r"[\w' -]+", word) or len(word.split()) > 3:
            return []
        if word not in right and bare and not word.startswith(name[:3]):
            return []
        found.append(word)
    return found


@lru_cache(maxsize=256)
def expression(options: Options) -> re.Pattern[str]:
    """An expression that finds any of the options, the longest first."""
    return re.compile(
        r"\b(?:" + "|".join(re.escape(text) for text, _ in sorted(options, key=lambda o: (-len(o[0]), o))) + r")\b"
    )


@cache
def options_of(relation: str) -> Options:
    """All that can be said for a relation of the world."""
    return () if relation == "plural" else tuple(domain(relation).items())
