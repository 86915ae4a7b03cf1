"""Tasks whose answers are texts: lists, sentences put into the past, how-tos, summaries, stories, letters, greetings, advice.

`helpful` counts what such a text must have, each part with a stated share; nothing grows with its length.

    list       (right items, at most as many as asked, − wrong ones) / asked, and asked/given where more are given
    past       1 the sentence in the past; 1/2 where the present stands beside it or the subject is missing
    howto      the share of the three steps that are given in their order
    summary    the share of its points; half for each further sentence, half without its main point, half for a wrong name
    story      1/2 for the person and 1/2 for the thing or animal, × sentences/3 × words/25, each at most 1; half without a past tense
    letter     the share of its points (greeting, what it asks or thanks for, day or meal or thing, name at the end);
               half without its main point
    greeting   1 the right greeting (4/5 where a name was told and is not used, 1/2 with another's name)
    advice     1/2 for one good idea, 1 for two; nothing for bare words that tell nobody to do anything
"""

import re
from collections.abc import Sequence
from functools import cache

from lablib.corpus.world.answer import Answer
from lablib.corpus.world.conduct import advice, instruction, patterns
from lablib.corpus.world.entities import Entity
from lablib.corpus.world.facts import lemma, lemmas, plain
from lablib.corpus.world.lexicon import lexicon
from lablib.corpus.world.questions import Score
from lablib.corpus.world.requests import Request
from lablib.corpus.world.tasks import kinds
from lablib.corpus.world.wording import WORD

PASSIVE = re.compile(r"\b(?:is|are) \w+")  # "is made of" tells no past
STORY_SENTENCES, STORY_WORDS = 3, 25
STEP_SHARE = 0.6  # of a step's words, its verb among them, within STEP_WINDOW words
STEP_WINDOW = 11
SMALL = {
    "it",
    "into",
    "to",
    "in",
    "on",
    "of",
    "and",
    "with",
    "for",
    "be",
    "when",
    "against",
    "over",
    "them",
    "they",
    "until",
}
CLAUSE = re.compile(r"[,;:.!?\n]| and | then | but ")
LATER = re.compile(
    r"^(?:yesterday|in the past|last (?:week|year|night|\w+day)|it happened yesterday|once)[,:]? ?| yesterday$"
)


def score_list(request: Request, answer: Answer) -> Score:
    """Items named, whatever their order."""
    kind, wanted = request.hero.name.lower(), int(str(request.bound["n"]["value"]))
    members = _members()
    right: set[str] = set()
    wrong: set[str] = set()
    about = plain(kind)
    for sentence in answer.sentences:
        if patterns()["polite"].match(sentence.strip(" .!?")):
            continue
        before, behind = _frame(kind)
        text = behind.sub("", before.sub(" ", sentence.rpartition(":")[2]).strip(" .!"))
        for part in re.split(r",| and | or |&|/|;|\.", text):
            item = plain(part.strip(" .!?\"'-"))
            if not item or item == about:
                continue
            found = members.get(item)
            if found and kind in found:
                right.add(item)
            elif found or len(item.split()) <= 2:
                wrong.add(item)
    given = len(right) + len(wrong)
    helpful = max(0, min(len(right), wanted) - len(wrong)) / wanted
    if given > wanted:
        helpful *= wanted / given
    known_wrong = sum(item in members for item in wrong)
    honest = len(right) / (len(right) + known_wrong) if right or known_wrong else 1.0
    return Score(helpful, honest, f"{len(right)} right and {len(wrong)} wrong items of {wanted}")


@cache
def _frame(kind: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What stands before and behind the items in a sentence: "three trees are …", "… are trees"."""
    name = re.escape(kind)
    before = rf"\b(?:here (?:they|you) are|for example|i can name|such as|you (?:can|could) take|\w+ {name} are)\b"
    behind = rf"\b(?:are|is|live|lives) (?:all |some |\w+ )?(?:{name}|in \w+(?: end)?|good ones)\b.*"
    return re.compile(before), re.compile(behind)


@cache
def _members() -> dict[str, frozenset[str]]:
    """Item as lemmas → the kinds that it belongs to."""
    found: dict[str, set[str]] = {}
    for kind, texts in kinds().items():
        for text in texts:
            found.setdefault(plain(text), set()).add(kind.lower())
    return {item: frozenset(names) for item, names in found.items()}


def score_past(request: Request, answer: Answer) -> Score:
    """The sentence in the past."""
    hero, deed = request.hero, request.bound["deed"]
    past, present = str(deed["past"]).lower(), deed.name.lower()
    best, also_present = 0.0, False
    for sentence in answer.sentences:
        bare = LATER.sub("", LATER.sub("", sentence.strip(" .!?\"'()"))).strip(" ,:\"'")
        if bare in (f"{hero.name.lower()} {past}", f"{hero['he']} {past}"):
            best = 1.0
        elif bare == past:
            best = max(best, 0.5)
        also_present = also_present or bare.endswith(present)
    return Score(
        best / 2 if also_present else best, 1.0, "the sentence in the past" if best else "no such sentence in the past"
    )


def score_howto(request: Request, answer: Answer) -> Score:
    """The steps that are given, as far as they stand in their order."""
    words = [lemma(word) for sentence in answer.sentences for word in (*re.findall(r"[\w'-]+", sentence), ".")]
    places = [_step(str(request.hero[name]), words) for name in ("one", "two", "three")]
    best: list[int] = []  # longest row of rising places ending at each step
    for number, place in enumerate(places):
        before = [best[n] for n in range(number) if 0 <= places[n] < place]
        best.append(0 if place < 0 else 1 + max(before, default=0))
    return Score(max(best) / 3, 1.0, f"{max(best)} of 3 steps in their order")


def _step(step: str, words: Sequence[str]) -> int:
    """Where a step begins; −1 where it is not given, or forbidden."""
    content = [word for word in lemmas(step) if word not in SMALL]
    for at, word in enumerate(words):
        if word != content[0] or {"not", "never"} & set(words[max(0, at - 2) : at]):
            continue
        window = words[at : at + STEP_WINDOW]
        if sum(word in window for word in content) >= max(2, STEP_SHARE * len(content)):
            return at
    return -1


# The points of a summary and of a letter, in a text in which `_marked` has put HERO, THING, … for who and what they are about.
LOST = (
    "HERO",
    "SPOT",
    r"(?:lost|loses|misplaced)(?: and found)? (?:his|her|the|an?) THING",
    r"(?:found|finds|got) (?:and )?(?:it|her|his|the|again|in)",
)
GIFT = ("HERO", "SPOT", r"(?:bought|buys|got) .*THING", r"(?:FRIEND|(?:his|her) friend)")
SAVED = r"(?:pull(?:ed|s)?|free[ds]?|help(?:ed|s)|sav(?:ed|es)|rescu(?:ed|es))"
HELP = ("HERO", "SPOT", rf"{SAVED} .*(?:THING|it)|THING .*(?:pulled|free|out)", r"(?:FRIEND|they)", "THING")
INVITE = (r"^ (?:dear|hello|hi) FRIEND", r"(?:come|invite|visit|join|see me)", "THING", "DAY", "HERO $")
THANKS = (r"^ (?:dear|hello|hi) FRIEND", r"(?:thanks?|grateful)", "THING", "HERO $")


@cache
def _points(sources: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(source if source.startswith("^") else rf"(?<= )(?:{source})(?= |$)") for source in sources)


def _marked(text: str, names: dict[str, Sequence[str]]) -> str:
    """The words of a text with spaces between and around, and MARK in the place of what it stands for."""
    text = f" {' '.join(WORD.findall(text))} "
    for mark, said in names.items():
        for name in said:
            text = text.replace(f" {name} ", f" {mark} ")
    return text


def _given(text: str, sources: tuple[str, ...], main: int) -> tuple[float, str]:
    """The share of the points that a text makes, half of it without the main one."""
    made = [bool(point.search(text)) for point in _points(sources)]
    share = sum(made) / len(made) * (1.0 if made[main] else 0.5)
    return share, f"{sum(made)} of {len(made)} points"


def score_summary(request: Request, answer: Answer) -> Score:
    """The points of the little text, in one sentence."""
    text, bound, hero = " ".join(answer.sentences), request.bound, request.hero
    form = request.form.rpartition(".")[2]
    names: dict[str, Sequence[str]] = {
        "SPOT": [str(bound["spot"]["phrase"]).lower()],
        "THING": [bound["beast" if form == "help" else "thing"].name],
        "HERO": [hero.name.lower(), str(hero["he"])],
    }
    friend = bound.get("friend") or bound.get("helper")
    if friend:
        names["FRIEND"] = [friend.name.lower()] if form == "gift" else [friend.name.lower(), str(friend["he"])]
    marked = _marked(text, names)
    if form == "help" and hero["he"] == bound["helper"]["he"]:
        marked = marked.replace(f" {hero['he']} ", " FRIEND ")
    share, rule = _given(marked, {"lost": LOST, "gift": GIFT, "help": HELP}[form], 2)
    if any(name in _people() for name in marked.split()):
        share /= 2
    share *= 0.5 ** max(0, len(answer.sentences) - 1)
    return Score(share / 4 if answer.echoes else share, 1.0, rule)


@cache
def _people() -> frozenset[str]:
    return frozenset(person.name.lower() for person in lexicon()["person"])


def score_story(request: Request, answer: Answer) -> Score:
    """A story with both of those it should be about."""
    whole = [sentence for sentence in answer.sentences if len(sentence.split()) > 2]
    words = _marked(" ".join(answer.sentences), {})
    hero, other = request.hero, request.bound.get("thing") or request.bound["beast"]
    named = _named(hero, words) + _named(other, words)
    count = sum(len(sentence.split()) for sentence in whole)
    length = min(1.0, len(whole) / STORY_SENTENCES) * min(1.0, count / STORY_WORDS)
    past = any(word in _past_forms() for word in PASSIVE.sub("", words).split())
    rule = f"{named} of 2 named, {len(whole)} sentences{'' if past else ', nothing happens'}"
    return Score(named / 2 * length * (1.0 if past else 0.5), 1.0, rule)


def _named(entity: Entity, words: str) -> bool:
    return any(f" {str(entity[a]).lower()} " in words for a in ("name", "plural") if a in entity.values)


@cache
def _past_forms() -> frozenset[str]:
    others = {"was", "were", "had", "did", "said", "lit", "came", "went"}
    return frozenset(str(verb["past"]) for verb in lexicon()["verb"]) | others


def score_letter(request: Request, answer: Answer) -> Score:
    """A letter to the right person, about the right thing, from the right person."""
    bound, invites = request.bound, request.form == "letter.invite"
    names: dict[str, Sequence[str]] = {"FRIEND": [bound["guest"].name.lower()], "HERO": [request.hero.name.lower()]}
    if invites:
        names |= {"THING": [str(bound["meal"]["phrase"]).lower()], "DAY": [bound["day"].name.lower()]}
    else:
        names["THING"] = [bound["thing"].name]
    marked = _marked(" ".join(answer.sentences), names)
    share, rule = _given(marked, INVITE if invites else THANKS, 1)
    if invites and any(e.name.lower() in marked.split() for e in lexicon()["day"]):
        share *= 0.8
    return Score(share, 1.0, rule)


def score_greeting(request: Request, answer: Answer) -> Score:
    """The greeting that suits."""
    form, name = request.form, request.hero.name.lower()
    text = " ".join(answer.sentences)
    if not any(patterns()[form].search(sentence) for sentence in answer.sentences):
        return Score(0.0, 1.0, "no such greeting")
    words = set(re.findall(r"\w+", text))
    if words & (_people() - {name}):
        return Score(0.5, 1.0, "greets somebody else")
    if form == "greeting.hello" and name not in words:
        return Score(0.8, 1.0, "greets without the name")
    return Score(1.0, 1.0, "greets")


def others_named(request: Request, text: str) -> bool:
    """Does a text speak of people whom the request does not speak of?"""
    known = {e.name.lower() for e in request.bound.values()}
    return any(word in _people() and word not in known for word in WORD.findall(text.replace("'s", "")))


def score_advice(request: Request, answer: Answer) -> Score:
    """Good ideas, told as something to do."""
    telling = [s for s in answer.sentences if any(instruction(clause.strip()) for clause in CLAUSE.split(s))]
    text = " ".join(telling)
    kind = request.form.removeprefix("similar.")
    ideas = sum(bool(idea.search(text)) for idea in advice(kind))
    idle = [
        s
        for s in answer.sentences
        if not any(idea.search(s) for idea in advice(kind)) and not patterns()["polite"].match(s.strip(" .!?"))
    ]
    share = min(1.0, ideas / 2) * 0.8 ** len(idle) / (2 if others_named(request, text) else 1)
    return Score(share, 1.0, f"{ideas} good ideas" if telling else "tells nobody to do anything")
