"""Lab 11, judging and answering: the metrics of a ranking, the prompt with passages, what a citation is worth."""

import copy
import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from lablib.adaptation.bm25 import Tokenise, singular_words
from lablib.adaptation.citations import FUNCTION_WORDS
from lablib.adaptation.grounded_prompt import INSTRUCTION, Count, grounded_prompt
from lablib.adaptation.ranking_metrics import Holds, ndcg_at_k, recall_at_k
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed, Setup

CHANGED = (
    "The caller still needs what it gave: leave lists and dictionaries as they are (`sorted(…)` in place of `.sort()`, a slice in "
    "place of `.pop()`)."
)


def refuses(name: str, *args: Any) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: with these arguments a ValueError is raised that names one of them."""

    def holds(implementation: Implementation) -> bool:
        try:
            implementation(*args)
        except ValueError as error:
            return re.search(rf"\b(all_)?{name}\b", str(error)) is not None
        return False

    return holds


def compare(attempt: Attempt, case: str, *args: Any, setup: Setup | None = None, **given: Any) -> None:
    """`Attempt.compare`, and lists and dictionaries among the arguments must be left as they were."""

    def keeping(implementation: Implementation) -> Callable[..., Any]:
        made = setup(implementation) if setup else implementation

        def call(*fresh: Any) -> Any:
            before = copy.deepcopy([x for x in fresh if isinstance(x, list | dict)])
            result = made(*fresh)
            if before != [x for x in fresh if isinstance(x, list | dict)]:
                raise NotPassed([f"Tried with {case}.", "Your code changed its argument in place."], CHANGED)
            return result

        return call

    attempt.compare(case, *args, setup=keeping, **given)


def rounded(implementation: Implementation) -> Callable[..., Any]:
    """Calls it and rounds the scores of its (item, score) pairs to 9 digits: sums in another order are the same to us."""

    def call(*args: Any) -> Any:
        result = implementation(*args)
        if not isinstance(result, list):
            return result
        return [
            (pair[0], round(pair[1], 9)) if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], float) else pair
            for pair in result
        ]  # fmt: skip

    return call


# ---------------------------------------------------------------- 1 recall_at_k


def check_recall_at_k(attempt: Attempt) -> None:
    mixed = [["a", "x", "y", "z"], ["a"], [], ["b"], ["c", "d"]]
    compare(attempt, "holds [a, x, y, z], [a], [], [b], [c, d], wanted a to g, k = 4", mixed, list("abcdefg"), 4)
    found = [["a"], [], ["a", "b"], ["c"]]
    compare(attempt, "holds [a], [], [a, b], [c], wanted a, b, c, k = 3", found, ["a", "b", "c"], 3)
    compare(attempt, "the same, k = 1", found, ["a", "b", "c"], 1)
    compare(attempt, "the same, k = 10: more than were found", found, ["a", "b", "c"], 10)
    compare(attempt, "a fact that nobody wanted, held by the first", [["x"], ["a"]], ["a", "b"], 2)
    compare(attempt, "a wanted fact that three passages hold", [["a"], ["a"], ["a"]], ["a", "b"], 3)
    compare(attempt, "nothing found", [], ["a"], 5)
    compare(attempt, "no passage holds a fact", [[], [], []], ["a", "b"], 2)
    compare(attempt, "holds as sets and tuples", [{"b"}, ("a", "b")], ("a", "b"), 1)
    compare(attempt, "all of it as tuples, k = 2", (("a",), (), ("b",)), ("b", "a"), 2)
    compare(attempt, "a fact that is named twice among the wanted ones", [["a"], ["b"]], ["a", "a", "b"], 1)
    lines = ["Tried with no wanted fact.", "Expected a ValueError whose message names wanted: 0 of 0 is no share."]
    attempt.require(
        refuses("wanted", [["a"]], [], 3), lines, "Nothing was wanted, and no ValueError that names `wanted` came."
    )
    for k in (0, -1):
        lines = [f"Tried with k = {k}.", "Expected a ValueError whose message names k."]
        attempt.require(refuses("k", [["a"]], ["a"], k), lines, f"k = {k} was taken: raise a ValueError that names k.")


def _recall(value: Callable[[list[list[str]], set[str], int], float], checked: bool = True) -> Callable[..., float]:
    """value: of the facts of the first k passages, of the wanted ones, and of k."""

    def recall(holds: Holds, wanted: Collection[str], k: int) -> float:
        if checked and (not wanted or k < 1):
            raise ValueError(f"wanted = {wanted}, k = {k}")
        return value([list(facts) for facts in holds[:k]], set(wanted), k)

    return recall


def _union(some: list[list[str]]) -> set[str]:
    return {fact for facts in some for fact in facts}


_recall_precision = _recall(lambda some, wanted, k: sum(bool(set(facts) & wanted) for facts in some) / k)
_recall_any = _recall(lambda some, wanted, k: float(bool(_union(some) & wanted)))
_recall_all = _recall(lambda some, wanted, k: float(wanted <= _union(some)))
_recall_counted = _recall(lambda some, wanted, k: sum(len(set(facts) & wanted) for facts in some) / len(wanted))
_recall_unwanted = _recall(lambda some, wanted, k: len(_union(some)) / len(wanted))
_recall_of_found = _recall(lambda some, wanted, k: len(_union(some) & wanted) / max(len(_union(some)), 1))
_recall_unchecked = _recall(lambda some, wanted, k: len(_union(some) & wanted) / max(len(wanted), 1), checked=False)


def _recall_whole_list(holds: Holds, wanted: Collection[str], k: int) -> float:
    recall_at_k(holds, wanted, k)
    return recall_at_k(holds, wanted, max(len(holds), 1))


def _recall_kth(holds: Holds, wanted: Collection[str], k: int) -> float:
    recall_at_k(holds, wanted, k)
    return recall_at_k(holds[k - 1 : k], wanted, 1)


# ---------------------------------------------------------------- 2 ndcg_at_k


def check_ndcg_at_k(attempt: Attempt) -> None:
    compare(attempt, "gains 0, 2, 1 of the corpus' 1, 0, 2, 3, 0, k = 3", [0, 2, 1], [1, 0, 2, 3, 0], 3)
    compare(attempt, "gains 0, 2, 1 of the corpus' 1, 0, 2, 0, k = 3", [0, 2, 1], [1, 0, 2, 0], 3)
    compare(attempt, "the best order: gains 2, 1", [2, 1], [0, 1, 2], 2)
    compare(attempt, "one gain, found at rank 2", [0, 1, 0], [0, 0, 0, 1], 3)
    compare(attempt, "a passage with a gain was not found", [1, 0], [1, 1, 1], 2)
    compare(attempt, "k = 1, and the second is better", [1, 3], [1, 3], 1)
    compare(attempt, "k = 5 and two found", [1, 0], [0, 1, 1, 1, 1, 1, 1], 5)
    compare(attempt, "five found, k = 2: the later ones do not count", [0, 1, 3, 3, 3], [3, 3, 3, 1, 0], 2)
    compare(attempt, "gains of 2, 3 and 1", [3, 1, 2], [1, 2, 3], 3)
    compare(attempt, "no passage of the corpus has a gain", [0, 0], [0, 0, 0], 3)
    compare(attempt, "k = 10, in a corpus of three passages", [0, 1.5], [0, 1.5, 0.5], 10)
    compare(attempt, "nothing found", [], [1, 2], 3)
    compare(attempt, "nothing found where nothing is", [], [], 3)
    compare(attempt, "the gains as tuples", (1, 0, 2), (0, 0, 2, 1), 2)
    for gains, every in (([1, -1], [1, 0]), ([1, 0], [1, 0, -1])):
        lines = [
            f"Tried with gains {gains}, all_gains {every}.",
            "Expected a ValueError whose message names the gains.",
        ]
        attempt.require(
            refuses("gains", gains, every, 2),
            lines,
            "A gain below 0 was taken: raise a ValueError that names the gains.",
        )
    for k in (0, -1):
        lines = [f"Tried with k = {k}.", "Expected a ValueError whose message names k."]
        attempt.require(refuses("k", [1], [1], k), lines, f"k = {k} was taken: raise a ValueError that names k.")


def _dcg(gains: Sequence[float], discount: Callable[[int], float] = lambda rank: math.log2(rank + 1)) -> float:
    return sum(gain / discount(rank) for rank, gain in enumerate(gains, 1))


def _ndcg(
    score: Callable[[Sequence[float]], float] = _dcg,
    ideal: Callable[[Sequence[float], Sequence[float], int], Sequence[float]] = lambda gains, every, k: sorted(
        every, reverse=True
    )[:k],
    cut: Callable[[Sequence[float], int], Sequence[float]] = lambda gains, k: gains[:k],
    checked: bool = True,
) -> Callable[..., float]:
    def ndcg(gains: Sequence[float], all_gains: Sequence[float], k: int) -> float:
        if checked and (k < 1 or min([*gains, *all_gains], default=0) < 0):
            raise ValueError(f"k = {k}, gains = {gains}")
        best = score(ideal(gains, all_gains, k))
        return score(cut(gains, k)) / best if best else 0.0

    return ndcg


_ndcg_only_dcg = _ndcg(ideal=lambda gains, every, k: [1.0] if any(every) else [])
_ndcg_found_ideal = _ndcg(ideal=lambda gains, every, k: sorted(gains, reverse=True)[:k])
_ndcg_unsorted = _ndcg(ideal=lambda gains, every, k: list(every)[:k])
_ndcg_ideal_uncut = _ndcg(ideal=lambda gains, every, k: sorted(every, reverse=True))
_ndcg_uncut = _ndcg(cut=lambda gains, k: gains)
_ndcg_natural = _ndcg(score=lambda gains: _dcg(gains, lambda rank: math.log2(rank + 2)))
_ndcg_by_rank = _ndcg(score=lambda gains: _dcg(gains, float))
_ndcg_original = _ndcg(score=lambda gains: _dcg(gains, lambda rank: max(math.log2(rank), 1.0)))
_ndcg_powers = _ndcg(score=lambda gains: _dcg([2**gain - 1 for gain in gains]))
_ndcg_ascending = _ndcg(ideal=lambda gains, every, k: sorted(every)[-k:])
_ndcg_unchecked = _ndcg(checked=False)


def _ndcg_sorts_in_place(gains: Sequence[float], all_gains: list[float], k: int) -> float:
    all_gains.sort(reverse=True)
    return ndcg_at_k(gains, all_gains, k)


def _ndcg_zero_by_zero(gains: Sequence[float], all_gains: Sequence[float], k: int) -> float:
    ndcg_at_k(gains, all_gains, k)
    return _dcg(gains[:k]) / _dcg(sorted(all_gains, reverse=True)[:k])


# ---------------------------------------------------------------- 3 grounded_prompt


def _tokens(text: str) -> int:
    return len(text.split())


def check_grounded_prompt(attempt: Attempt) -> None:
    names = ("the prompt", "how many passages are in it")
    three = ["Ada lives in Marrow.", "The mill is red and stands by the river.", "Bread rises."]

    def asked(case: str, *args: Any) -> None:
        compare(attempt, case, *args, outputs=names)

    asked("two passages that both have room", "Who?", three[:2], 60, _tokens, 5, "Say it.")
    asked("a second passage that is too long", "Who?", ["Ada.", "Bob " * 50], 20, _tokens, 5, "Say it.")
    asked("passages and a question with blanks around them", "  Who? \n", [" Ada.\n"], 60, _tokens, 5, "Say it.")
    asked("no passage at all", "Who?", [], 60, _tokens, 5, "Say it.")
    asked("a passage with a heading and lines of its own", "Who?", ["# Ada\n\nShe  bakes."], 60, _tokens, 5, "Say it.")
    asked("the course's own instruction and reserve", "Who bakes the bread?", three, 300, _tokens)
    full = _tokens("Say it. [1] Ada lives in Marrow. Question: Who? Answer:")
    asked("a context that the first passage fills exactly", "Who?", three, full + 7, _tokens, 7, "Say it.")
    asked("one token less than that", "Who?", three, full + 6, _tokens, 7, "Say it.")
    asked(
        "a long passage before a short one: the later ones are dropped first",
        "Who?",
        ["Bob " * 30, "Ada."],
        20,
        _tokens,
        5,
        "Say it.",
    )
    asked("tokens that are counted by letters", "Who?", three, 120, len, 5, "Say it.")
    asked("the passages in a tuple", "Who?", tuple(three), 25, _tokens, 5, "Say it.")
    asked("a passage with braces, % and [1] in it", "Who {x}?", ["{a} is 5 % [1].", "{0}"], 60, _tokens, 5, "Say it.")
    lines = [
        "Tried with a question of 40 words and a context of 20.",
        "Expected a ValueError whose message names the question.",
    ]
    no_room = "The question does not fit even without a passage, and no ValueError that names it came: the model would see it cut."
    attempt.require(refuses("question", "Who " * 40, three, 20, _tokens, 5, "Say it."), lines, no_room)
    lines = ["Tried with a question of blanks only.", "Expected a ValueError whose message names the question."]
    attempt.require(
        refuses("question", "  ", three, 99, _tokens),
        lines,
        "An empty question was taken: `check_question` refuses it.",
    )


def _prompting(
    number: Callable[[int, str], str] = lambda i, text: f"[{i + 1}] {text.strip()}",
    parts: Callable[[str, list[str], str], list[str]] = lambda instruction, shown, question: [
        instruction,
        *shown,
        f"Question: {question.strip()}",
        "Answer:",
    ],
    between: str = "\n\n",
    room: Callable[[int, int], int] = lambda context, reserve: context - reserve,
    counted: Callable[[Count, str], int] = lambda count, prompt: count(prompt),
    drop: Callable[[list[str], int], list[str]] = lambda shown, kept: shown[:kept],
    tight: bool = False,
) -> Callable[..., tuple[str, int]]:
    """`grounded_prompt` with one part replaced."""

    def prompt(
        question: str,
        passages: Sequence[str],
        context: int,
        count: Count,
        reserve: int = 48,
        instruction: str = INSTRUCTION,
    ) -> tuple[str, int]:
        if not question.strip():
            raise ValueError("question is empty")
        shown = [number(i, text) for i, text in enumerate(passages)]
        for kept in range(len(passages), -1, -1):
            text = between.join(parts(instruction, drop(shown, kept), question))
            tokens = counted(count, text)
            if tokens < room(context, reserve) or (tokens == room(context, reserve) and not tight):
                return text, kept
        raise ValueError(f"question {question[:40]!r} is too long")

    return prompt


_prompt_from_zero = _prompting(number=lambda i, text: f"[{i}] {text.strip()}")
_prompt_no_numbers = _prompting(number=lambda i, text: text.strip())
_prompt_not_stripped = _prompting(number=lambda i, text: f"[{i + 1}] {text}")
_prompt_no_reserve = _prompting(room=lambda context, reserve: context)
_prompt_reserve_twice = _prompting(room=lambda context, reserve: context - 2 * reserve)
_prompt_letters = _prompting(counted=lambda count, prompt: len(prompt))
_prompt_words = _prompting(counted=lambda count, prompt: len(prompt.split()))
_prompt_drops_first = _prompting(drop=lambda shown, kept: shown[len(shown) - kept :])
_prompt_tight = _prompting(tight=True)
_prompt_one_line = _prompting(between="\n")
_prompt_question_first = _prompting(
    parts=lambda instruction, shown, question: [instruction, f"Question: {question.strip()}", *shown, "Answer:"]
)
_prompt_no_answer = _prompting(
    parts=lambda instruction, shown, question: [instruction, *shown, f"Question: {question.strip()}"]
)
_prompt_no_instruction = _prompting(
    parts=lambda instruction, shown, question: [*shown, f"Question: {question.strip()}", "Answer:"]
)


def _prompt_skips(
    question: str,
    passages: Sequence[str],
    context: int,
    count: Count,
    reserve: int = 48,
    instruction: str = INSTRUCTION,
) -> tuple[str, int]:
    """Takes every passage that has room, also behind one that has none."""
    taken: list[str] = []
    for passage in passages:
        if grounded_prompt(question, [*taken, passage], context, count, reserve, instruction)[1] > len(taken):
            taken.append(passage)
    return grounded_prompt(question, taken, context, count, reserve, instruction)


def _prompt_only_text(
    question: str,
    passages: Sequence[str],
    context: int,
    count: Count,
    reserve: int = 48,
    instruction: str = INSTRUCTION,
) -> str:
    return grounded_prompt(question, passages, context, count, reserve, instruction)[0]


def _prompt_pops(
    question: str,
    passages: list[str],
    context: int,
    count: Count,
    reserve: int = 48,
    instruction: str = INSTRUCTION,
) -> tuple[str, int]:
    kept = grounded_prompt(question, passages, context, count, reserve, instruction)[1]
    while len(passages) > kept:
        passages.pop()
    return grounded_prompt(question, passages, context, count, reserve, instruction)


def _prompt_unchecked(
    question: str,
    passages: Sequence[str],
    context: int,
    count: Count,
    reserve: int = 48,
    instruction: str = INSTRUCTION,
) -> tuple[str, int]:
    try:
        return grounded_prompt(question, passages, context, count, reserve, instruction)
    except ValueError:
        return "\n\n".join([instruction, f"Question: {question.strip()}", "Answer:"]), 0


# ---------------------------------------------------------------- 4 support


def check_support(attempt: Attempt) -> None:
    attempt.compare(
        "a claim of four telling words, of which the passage has three",
        "The mill has 4096 red doors.",
        "Our mill has 4096 windows and a red roof.",
    )
    attempt.compare("every telling word is there", "Cats purr.", "A cat purrs when it is glad.")
    attempt.compare("none is there, but the small words are", "The mill is red.", "The cat is on the chair.")
    attempt.compare("a word that the claim has twice", "The cat chased the other cat home.", "A cat sleeps.")
    attempt.compare("a number", "It holds 384 numbers.", "Vectors of 384 dimensions.")
    attempt.compare("capitals", "MIRABE bakes.", "Mirabe, a baker, bakes bread.")
    attempt.compare("a claim of small words only", "It is so.", "They sleep.")
    attempt.compare("a small word before a question mark", "The river is wide, is it not?", "A wide river.")
    attempt.compare("an empty passage", "Cats purr.", "")
    attempt.compare("part of a word is not the word", "A cat.", "The catalogue is long.")
    attempt.compare("a tokenizer of another kind: it splits at blanks", "cats purr loudly", "cats purr.", str.split)
    attempt.compare("the same, which tells capitals apart", "Cats purr loudly", "cats purr loudly.", str.split)


def _telling(found: Sequence[str]) -> set[str]:
    return set(found) - FUNCTION_WORDS


def _support(
    words: Callable[[Sequence[str]], Any] = _telling,
    value: Callable[[Any, set[str]], float] = lambda telling, there: (
        len(telling & there) / len(telling) if telling else 0.0
    ),
    cut: Callable[[str, Tokenise], Sequence[str]] = lambda text, tokenise: tokenise(text),
) -> Callable[..., float]:
    def support(claim: str, passage: str, tokenise: Tokenise = singular_words) -> float:
        return value(words(cut(claim, tokenise)), set(cut(passage, tokenise)))

    return support


_support_all_words = _support(words=set)
_support_of_passage = _support(value=lambda telling, there: len(telling & there) / len(there) if there else 0.0)
_support_jaccard = _support(
    value=lambda telling, there: len(telling & there) / len(telling | there) if telling | there else 0.0
)
_support_any = _support(value=lambda telling, there: float(bool(telling & there)))
_support_counted = _support(
    words=lambda found: [word for word in found if word not in FUNCTION_WORDS],
    value=lambda telling, there: sum(word in there for word in telling) / len(telling) if telling else 0.0,
)
_support_split = _support(cut=lambda text, tokenise: text.lower().split())
_support_own_words = _support(cut=lambda text, tokenise: singular_words(text))
_support_one_if_none = _support(value=lambda telling, there: len(telling & there) / len(telling) if telling else 1.0)


def _support_zero_by_zero(claim: str, passage: str, tokenise: Tokenise = singular_words) -> float:
    telling = set(tokenise(claim)) - FUNCTION_WORDS
    return len(telling & set(tokenise(passage))) / len(telling)


def _support_substring(claim: str, passage: str, tokenise: Tokenise = singular_words) -> float:
    telling = set(tokenise(claim)) - FUNCTION_WORDS
    return sum(word in passage.lower() for word in telling) / len(telling) if telling else 0.0


EXERCISES = [
    Exercise(
        lab="11",
        target="lablib.adaptation.ranking_metrics:recall_at_k",
        title="What share was found?",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "Only the facts that somebody wants count, each once, however many passages hold it.",
            "Put the facts of the first k passages into one set: `{fact for facts in holds[:k] for fact in facts}`.",
            "`len(found & set(wanted)) / len(set(wanted))`, behind a check that something is wanted and that k ≥ 1.",
        ),
        reasoning="Everything behind the search works with what the first k passages hold, so recall@k is the ceiling of the "
        "whole system. "
        "Facts are counted, not passages: the same questions then judge every way to cut pages, and a passage that is found twice "
        "does not count twice. *Precision* would say what share of the passages found is useful; a reader that can skip cares less "
        "about that.",
        check=check_recall_at_k,
        mistakes=(
            Mistake(
                "precision",
                _recall_precision,
                "That is precision: the share of the k *passages* that are useful. Recall is the share of the wanted *facts* "
                "that were found.",
            ),
            Mistake("any", _recall_any, "It is 1 as soon as one wanted fact is found: expected the share of them."),
            Mistake(
                "all", _recall_all, "It is 1 only when all wanted facts are found, else 0: expected the share of them."
            ),
            Mistake(
                "counted",
                _recall_counted,
                "A fact that several passages hold was counted several times: put them into a set.",
            ),
            Mistake(
                "unwanted",
                _recall_unwanted,
                "Facts that nobody wanted were counted, too: take the ones that are in both sets (`&`).",
            ),
            Mistake(
                "of found",
                _recall_of_found,
                "It was divided by the number of facts that were found: divide by how many are wanted.",
            ),
            Mistake("whole list", _recall_whole_list, "All passages were looked at: only the first k count."),
            Mistake("kth", _recall_kth, "Only the k-th passage was looked at: the first k count together."),
            Mistake("unchecked", _recall_unchecked, "Nothing was wanted, and no ValueError that names `wanted` came."),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.ranking_metrics:ndcg_at_k",
        title="How good is the order?",
        difficulty=3,
        importance=3,
        minutes=12,
        hints=(
            "First the discounted gain of one list, as a sum over its first k places. Then the same sum for the best list that "
            "there could be.",
            "The best list has the largest gains of the *whole corpus* in falling order, cut at k. Ranks count from 1, so the first place "
            "is divided by log₂ 2 = 1.",
            "`sum(gain / math.log2(rank + 1) for rank, gain in enumerate(some[:k], 1))` for `gains` and for `sorted(all_gains, "
            "reverse=True)`; their quotient, or 0 where the second is 0.",
        ),
        reasoning="Recall@5 does not care whether the passage stands first or fifth; a model that reads a long prompt does. The logarithm "
        "is a convention, not a law: it says that a place counts less than the one before, and falls slowly. The ideal is taken from the "
        "corpus and not from what was found, or a search that found one of three passages would get full marks.",
        check=check_ndcg_at_k,
        mistakes=(
            Mistake("only dcg", _ndcg_only_dcg, "The discounted gain is not divided by that of the best order yet."),
            Mistake(
                "found ideal",
                _ndcg_found_ideal,
                "The best order was made of what was *found*: what was missed must cost something, so take `all_gains`.",
            ),
            Mistake("unsorted", _ndcg_unsorted, "`all_gains` come in any order: the best order has the largest first."),
            Mistake("ascending", _ndcg_ascending, "The best order has the largest gain *first*."),
            Mistake(
                "ideal uncut",
                _ndcg_ideal_uncut,
                "The best order is cut at k, too: no list of k passages can have more.",
            ),
            Mistake("uncut", _ndcg_uncut, "Passages behind the k-th were counted."),
            Mistake(
                "from two",
                _ndcg_natural,
                "Ranks count from 1: the first place is divided by log₂(1 + 1) = 1 (did `enumerate` begin at 0 or at 2?).",
            ),
            Mistake("by rank", _ndcg_by_rank, "The gains were divided by the rank: the discount is log₂(rank + 1)."),
            Mistake(
                "original",
                _ndcg_original,
                "That is the paper's own discount, by which ranks 1 and 2 count the same; here it is log₂(rank + 1).",
            ),
            Mistake("powers", _ndcg_powers, "2^gain − 1 is another convention: here the gain itself counts."),
            Mistake(
                "zero by zero",
                _ndcg_zero_by_zero,
                "No passage has a gain, so the best is 0, too: return 0 before dividing by it.",
            ),
            Mistake("unchecked", _ndcg_unchecked, "A gain below 0 was taken: raise a ValueError that names the gains."),
            Mistake("sorts in place", _ndcg_sorts_in_place, CHANGED),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.grounded_prompt:grounded_prompt",
        title="A prompt that fits",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "Build the whole prompt and count *it*. If it is too long, build it again with one passage less.",
            "`for kept in range(len(passages), -1, -1)`: instruction, the first `kept` passages as `[1] …`, `Question: …`, `Answer:`, "
            "joined by an empty line. It fits when `count(prompt) <= context - reserve`.",
            '`numbered = [f"[{number}] {passage.strip()}" for number, passage in enumerate(passages, 1)]`; in the loop `prompt = '
            '"\\n\\n".join([instruction, *numbered[:kept], f"Question: {question.strip()}", "Answer:"])`, return `prompt, kept` when it '
            "fits; behind the loop `raise too_long(question, tokens, context, reserve)`; at the very beginning "
            "`check_question(question)`.",
        ),
        reasoning="A model does not complain about a prompt that is too long: whoever calls it cuts it, mostly at the front, where the "
        "instruction stands, or at the end, where the question does. So count first, the whole prompt and with the model's own "
        "tokenizer, since tokens of parts do not add up exactly. Passages go from the last, which is the least fitting, and the "
        "numbers of "
        "the others stay what they were, so that [1] means the same to the model, the checker and the reader. And leave room "
        "for the answer.",
        check=check_grounded_prompt,
        mistakes=(
            Mistake("from zero", _prompt_from_zero, "The passages are numbered from 1: `enumerate(passages, 1)`."),
            Mistake(
                "no numbers", _prompt_no_numbers, "The passages have no numbers: the model could cite none. `[1] …`."
            ),
            Mistake(
                "not stripped",
                _prompt_not_stripped,
                "Blanks and line feeds around a passage stayed: `passage.strip()`.",
            ),
            Mistake(
                "no reserve",
                _prompt_no_reserve,
                "The prompt may fill the whole context: then the answer has no room; `context - reserve`.",
            ),
            Mistake(
                "reserve twice",
                _prompt_reserve_twice,
                "The reserve was taken off twice: passages were dropped that had room.",
            ),
            Mistake("letters", _prompt_letters, "Letters were counted: tokens are what `count(prompt)` gives."),
            Mistake("words", _prompt_words, "Words were counted: tokens are what `count(prompt)` gives."),
            Mistake(
                "drops first",
                _prompt_drops_first,
                "The first passages were dropped, and those are the best: drop from the end.",
            ),
            Mistake("tight", _prompt_tight, "A prompt that fits exactly was refused: `<=`."),
            Mistake(
                "one line", _prompt_one_line, "The parts are divided by one empty line: join them by two line feeds."
            ),
            Mistake(
                "question first",
                _prompt_question_first,
                "The question stands before the passages: they come first, and `Answer:` follows the question.",
            ),
            Mistake(
                "no answer",
                _prompt_no_answer,
                "`Answer:` is missing at the end: the model may otherwise go on with the question.",
            ),
            Mistake(
                "no instruction",
                _prompt_no_instruction,
                "The instruction is missing: nobody told the model to use the passages.",
            ),
            Mistake(
                "skips",
                _prompt_skips,
                "A passage without room was left out and a later one taken: then the numbers no longer say how good they are. "
                "Drop from the end only.",
            ),
            Mistake("pops", _prompt_pops, CHANGED),
            Mistake(
                "only text",
                _prompt_only_text,
                "Only the prompt came back: expected two results, the prompt and how many passages are in it.",
            ),
            Mistake(
                "unchecked",
                _prompt_unchecked,
                "The question does not fit even without a passage, and no ValueError that names it came: the model would see it cut.",
            ),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.citations:support",
        title="Does the passage say so?",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "Two sets of words. Which of the claim's words tell anything, and how many of those does the passage have?",
            "`FUNCTION_WORDS` are the words that tell nothing. Cut both texts by `tokenise`, which also takes the plural off.",
            "`telling = set(tokenise(claim)) - FUNCTION_WORDS`, then `len(telling & set(tokenise(passage))) / len(telling)`, "
            "and 0 where there is none.",
        ),
        reasoning="Divided by the claim's words, not by the passage's: a passage may say much more than what is cited from it. Words that "
        "every text has would make any citation look half right, so they are left out. What the number cannot see is *not*: a passage "
        "that says the opposite has nearly the same words. Nor does it see synonyms. A low number says where to look; no number proves "
        "anything.",
        check=check_support,
        mistakes=(
            Mistake(
                "all words",
                _support_all_words,
                "Small words such as *the* and *is* were counted: they stand in every passage. Take `FUNCTION_WORDS` out.",
            ),
            Mistake(
                "of passage",
                _support_of_passage,
                "It was divided by the passage's words: a long passage would support nothing. Divide by the claim's.",
            ),
            Mistake(
                "jaccard",
                _support_jaccard,
                "That is the overlap of both texts (Jaccard): what else stands in the passage should not matter.",
            ),
            Mistake("any", _support_any, "It is 1 as soon as one word is there: expected the share of them."),
            Mistake("counted", _support_counted, "A word that the claim has twice was counted twice: take sets."),
            Mistake(
                "split",
                _support_split,
                'The texts were cut at blanks: "tokens." is then another word than "tokens". Use `tokenise`.',
            ),
            Mistake(
                "own words",
                _support_own_words,
                "The texts were cut by a function of your own choice: use the argument `tokenise`.",
            ),
            Mistake(
                "substring",
                _support_substring,
                "A word was found inside another one (*cat* in *catalogue*): compare words, not letters.",
            ),
            Mistake(
                "one if none",
                _support_one_if_none,
                "A claim without a telling word says nothing that could be supported: 0.",
            ),
            Mistake(
                "zero by zero",
                _support_zero_by_zero,
                "The claim has no telling word: return 0 before dividing by their number.",
            ),
        ),
    ),
]
