"""The prompt that puts what was found before the model: numbered passages, the question, and what to do where they do not say.

A language model that is asked plainly answers from its weights, and as fluently where they hold nothing. Given passages it can copy the
answer, name the passage that it took it from, and say that it does not know (Lewis et al. 2020, "Retrieval-Augmented Generation", put
retrieved passages before a generator, and trained it together with the encoder of the questions; that a model which was taught to follow
instructions needs no more training came later). New knowledge is then a new page, and not a new training.

A context has room for so many tokens, the answer's among them, and passages are dropped from the last, the least fitting, until all
fits. How tokens are counted comes in as a function, for every model counts its own way.

Left out: summaries of what has no room; where in a long context a model looks best (Liu et al. 2024, "Lost in the Middle").
"""

import re
from collections.abc import Callable, Sequence

Count = Callable[[str], int]  # a text -> how many tokens it takes

INSTRUCTION = (
    "Answer the question from the passages below, in one short sentence. Behind it write the number of the passage that says it, "
    "such as [1]. If no passage says it, write: I do not know."
)
ABSTENTION = "I do not know"
NO_ANSWER = re.compile(
    r"\bi (?:do not|don't) know\b|\b(?:do|does)(?: not|n't) (?:say|mention|state|specify)\b"
    r"|(?:\bnot|n't) (?:mentioned|provided|stated|specified)\b|\bno information\b|\b(?:cannot|can not|can't) answer\b"
)


def grounded_prompt(
    question: str,
    passages: Sequence[str],
    context: int,
    count: Count,
    reserve: int = 48,
    instruction: str = INSTRUCTION,
) -> tuple[str, int]:
    """The instruction, the passages that have room as `[1] …`, `[2] …`, `Question: …`, `Answer:`; empty lines between.

    Args:
        question: what is asked. passages: the best first; the last ones are dropped where not all fit.
        context: tokens that the model can hold. reserve: of these are left free for the answer.
        count: how many tokens a text takes. instruction: what to do.
    Returns: the prompt, and how many passages are in it, maybe 0.
    Raises: ValueError: even without a passage it is too long, or the question is empty.

    >>> grounded_prompt("Who?", ["Ada.", "Bob " * 50], 20, lambda text: len(text.split()), 5, "Say it.")
    ('Say it.\\n\\n[1] Ada.\\n\\nQuestion: Who?\\n\\nAnswer:', 1)
    """
    check_question(question)
    numbered = [f"[{number}] {passage.strip()}" for number, passage in enumerate(passages, 1)]
    for kept in range(len(passages), -1, -1):
        prompt = "\n\n".join([instruction, *numbered[:kept], f"Question: {question.strip()}", "Answer:"])
        if (tokens := count(prompt)) <= context - reserve:
            return prompt, kept
    raise too_long(question, tokens, context, reserve)


def plain_prompt(question: str) -> str:
    """The question alone: what a model says from its weights (closed book).

    >>> plain_prompt("Who?")
    'Answer the question in one short sentence. If you do not know, write: I do not know.\\n\\nQuestion: Who?\\n\\nAnswer:'
    """
    check_question(question)
    instruction = f"Answer the question in one short sentence. If you do not know, write: {ABSTENTION}."
    return f"{instruction}\n\nQuestion: {question.strip()}\n\nAnswer:"


def check_question(question: str) -> None:
    """Raises: ValueError: nothing is asked. TypeError: it is not str."""
    if not isinstance(question, str):
        raise TypeError(f"question = {question!r:.60} is {type(question).__name__}: expected str")
    if not question.strip():
        raise ValueError(f"question = {question!r:.40} is empty: expected something to answer")


def too_long(question: str, tokens: int, context: int, reserve: int) -> ValueError:
    """The error for a question that does not fit."""
    return ValueError(
        f"question {question.strip()[:40]!r}…: {tokens} tokens with the instruction and no passage, expected at most {context} − {reserve} "
        "(context less what is reserved for the answer); shorten it, or take a model with a longer context"
    )


def abstains(answer: str) -> bool:
    """Does an answer say that it does not know? Told by its words; one that says so in other words is missed.

    >>> abstains("I don’t know."), abstains("The passage does not mention it."), abstains("I do know: 4.")
    (True, True, False)
    """
    return NO_ANSWER.search(" ".join(answer.lower().replace("’", "'").split())) is not None
