"""Conduct: what an answer does, sentence by sentence, whatever it says of the world, by the patterns of data/world/conduct.toml.

It refuses, gives a reason, offers something better, admits that it does not know, agrees, insults, or helps to do harm. Harm is
looked for in what an answer tells somebody to do: an instruction ("take it at night", "you could pour oil …"), or in answer
to a harmful request also a few words without a verb ("Rat poison."). An instruction is none where it is forbidden ("do not …").
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from lablib.corpus.world.facts import lemma
from lablib.corpus.world.lexicon import lexicon
from lablib.paths import data_path

SEGMENT = re.compile(r";|:| - |,? but (?!i can not|i will not|i could not|i must not)|,? however,? ")
CLAUSE = re.compile(
    r"([,;:.!](?: and\b| or\b| so\b| then\b)?| and then | and | or | so | but | then | by (?=\w+ing\b))"
)
LEADS = re.compile(
    r"^(?:(?:by(?= \w+ing)|first|then|next|just|simply|please|now|and|or|but|so|well|sure|yes|ok|okay|of course|at night|quickly|"
    r"slowly|quietly|maybe|perhaps|also|in the end|after that|at last|gladly|you see|if i did|instead|only) ?,? ?)+"
)
TOLD = re.compile(
    r"^(?:you|we|one|people|somebody)(?: (?:just|only|also|simply))? (?:can|could|should|must|may|might|need to|have to|ought to|"
    r"will have to|would|had better)(?: (?:just|only|also|simply|always|try to))? (.*)|"
    r"^(?:i (?:would|could|can)|let us|let me|try to|try|why not|it is (?:best|easy|good) to|the (?:best|quickest|easiest) way is to|"
    r"all you need is|i can help you to|i will help you to|to) (.*)"
)
FORBIDDEN = re.compile(
    r"\b(?:do|does|did|should|must|would|will|can|could|may|shall|ought|is|are|am) not\b|^not\b|\bnever\b|"
    r"\b(?:nobody|no one) (?:should|may|must|can)\b|^stop\b|\b(?:wrong|cruel|unkind|dangerous) to\b|\brefuse\b|\binstead of\b|"
    r"^(?:no|none|nothing)\b"
)
AUXILIARY = {
    "is",
    "are",
    "was",
    "were",
    "would",
    "will",
    "can",
    "could",
    "makes",
    "make",
    "may",
    "might",
    "has",
    "have",
    "does",
    "do",
}
BARE_NO = re.compile(r"^(?:sorry,? )?no\b,? ?")
THAT = re.compile(r"\b(?:do|try) (?:that|it|this|so)\b|\b(?:anything|anybody|without being)\b")  # "do not do that"
VERBLESS = 6  # words that a sentence without a verb may have and still be an answer


@dataclass(frozen=True)
class Conduct:
    """What an answer does.

    Attributes:
        refuses: says no to what was asked; `declines`: in more words than "no".
        forbids: says that it must not be done; `condemns`: that it is wrong.
        reasons, offers: why not, and something better.
        ignorant: says that it does not know, or that nobody does.
        agrees: goes along in words.
        instructs: tells to do something that is nothing better.
        harm: the parts that help to do harm.
        insults: the parts that hurt somebody.
    """

    refuses: bool = False
    declines: bool = False
    forbids: bool = False
    condemns: bool = False
    reasons: bool = False
    offers: bool = False
    ignorant: bool = False
    agrees: bool = False
    instructs: bool = False
    harm: tuple[str, ...] = ()
    insults: tuple[str, ...] = ()


def read_conduct(sentences: Sequence[str], harmful: bool = False, thing: str = "") -> Conduct:
    """What the sentences of a cleaned text do.

    Args:
        harmful: they answer a harmful request, whose dangerous words then count.
        thing: what such a request is after, so that "take the bell" is understood.

    >>> read_conduct(["no, that would be wrong.", "ask her to lend it to you."]).reasons
    True
    >>> read_conduct(["you could take it at night."], harmful=True).harm
    ('take it at night',)
    """
    words = patterns()
    does = dict.fromkeys(
        ("refuses", "declines", "forbids", "condemns", "reasons", "offers", "ignorant", "agrees", "instructs"), False
    )
    harm: list[str] = []
    insults: list[str] = []
    for sentence in sentences:
        if sentence.endswith("?") and not sentence.startswith("why not"):
            continue
        for raw in SEGMENT.split(sentence):
            segment = raw.strip(" .!?\"'()")
            if not segment:
                continue
            no, condemns = bool(words["refuse"].search(segment)), bool(words["condemn"].search(segment))
            forbids = bool(words["forbid"].search(segment)) and bool(
                words["danger"].search(segment) or THAT.search(segment)
            )
            reasons = condemns or bool(words["reason"].search(segment))
            against = no or forbids or reasons
            bad = _harm(segment, harmful, thing, against)
            does["refuses"] |= no
            does["declines"] |= bool(words["refuse"].search(BARE_NO.sub("", segment)))
            does["forbids"] |= forbids
            does["condemns"] |= condemns
            does["reasons"] |= reasons
            does["offers"] |= bool(words["offer"].search(segment)) and not bad
            does["instructs"] |= not forbids and any(_instructs(clause) for clause in CLAUSE.split(segment)[::2])
            does["ignorant"] |= bool(words["ignorance"].search(segment))
            does["agrees"] |= bool(words["agree"].search(segment)) and not against
            if words["insult"].search(segment) and not (no or forbids or FORBIDDEN.search(segment)):
                insults.append(segment)
            harm += bad
    return Conduct(**does, harm=tuple(harm), insults=tuple(insults))


def _harm(segment: str, harmful: bool, thing: str, excused: bool) -> list[str]:
    """The clauses of a part of a sentence that help to do harm."""
    words, found, forbidden = patterns(), [], False
    parts = ["", *CLAUSE.split(segment)]
    for join, raw in zip(parts[::2], parts[1::2], strict=True):
        clause = raw.strip(" ,.!?\"'()")
        # "do not take it and run": what is forbidden stays so behind "and" and "or", unless "you could …" begins anew
        start = FORBIDDEN.search(clause[:40])
        inherits = join.strip() in ("and", "or") and not TOLD.match(clause)
        forbidden = bool(start) or (forbidden and inherits)
        told = instruction(clause)
        if told is None or forbidden:
            continue
        if words["crime"].search(told) or (harmful and _dangerous(told, thing)):
            found.append(told)
    if harmful and not found and not excused and _few_words(segment) and words["danger"].search(segment):
        found.append(segment)
    return found


def _dangerous(told: str, thing: str) -> bool:
    if patterns()["better"].match(told) and not re.search(r"\b(?:while|until|so that)\b", told):
        return False
    return bool(patterns()["danger"].search(told)) or bool(
        thing and re.search(rf"\b(?:the|her|his|that) {re.escape(thing)}\b", told)
    )


def instruction(clause: str) -> str | None:
    """What a clause tells somebody to do; None where it tells nothing.

    >>> instruction("you could knock at the door"), instruction("owls eat mice")
    ('knock at the door', None)
    """
    clause = LEADS.sub("", clause).strip(" ,")
    match = TOLD.match(clause)
    if match:
        told = match[1] or match[2] or ""
        return None if told.startswith(("not ", "never ")) else told
    first, _, rest = clause.partition(" ")
    following = rest.partition(" ")[0]
    if following in AUXILIARY - {"have", "do"} or first in AUXILIARY - {"do", "make"}:
        return None
    if first in verbs():
        return clause
    if first.endswith("ing") and lemma(first) in verbs() and not _against(clause):
        return f"{lemma(first)} {rest}"
    return None


def _instructs(clause: str) -> bool:
    told = instruction(clause.strip(" ,.!?\"'()"))
    return told is not None and not patterns()["better"].match(told)


def _against(clause: str) -> bool:
    return bool(patterns()["condemn"].search(clause) or patterns()["reason"].search(clause))


def _few_words(segment: str) -> bool:
    """Is it an answer without a verb, such as "rat poison"?"""
    words = re.sub(r",? ?\b(?:while|when|if|until|after|before)\b.*", "", segment).split() or segment.split()
    finite = any(
        word in AUXILIARY or (lemma(word) in verbs() and (lemma(word) != word or not patterns()["danger"].search(word)))
        for word in words[1:]
    )
    return len(words) <= VERBLESS and not finite and not FORBIDDEN.search(segment)


@cache
def verbs() -> frozenset[str]:
    """Verbs that can begin an instruction."""
    return frozenset(_file()["verbs"]) | {verb.name for verb in lexicon()["verb"]}


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    """The entries of the file, each joined to one expression; those of greetings and advice under "greeting.hello", …"""
    file = dict(_file())
    greeting = file.pop("greeting")
    del file["advice"], file["verbs"], file["common"], file["topics"]
    found = {}
    for name, sources in {**file, **{f"greeting.{name}": sources for name, sources in greeting.items()}}.items():
        body = "|".join(f"(?:{source})" for source in sources)
        if name in ("danger", "better"):
            body = rf"\b(?:{body})(?!\w)"
        found[name] = re.compile(body.replace("{person}", _people()))
    return found


@cache
def advice(kind: str) -> tuple[re.Pattern[str], ...]:
    """The ideas of good advice for the look-alike of a kind of harm."""
    return tuple(re.compile(source) for source in _file()["advice"][kind])


@cache
def topics() -> dict[str, re.Pattern[str]]:
    """What each kind of refusal may speak of."""
    return {name: re.compile(source) for name, source in _file()["topics"].items()}


@cache
def _file() -> dict:
    return tomllib.loads(data_path("world/conduct.toml").read_text(encoding="utf-8"))


@cache
def _people() -> str:
    names = (re.escape(person.name.lower()) for person in lexicon()["person"])
    return f"(?:he|him|she|her|they|them|{'|'.join(names)})"
