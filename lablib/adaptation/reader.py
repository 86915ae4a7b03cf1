"""A reader: a language model that answers a question from passages, or from memory alone.

`best_reader()` takes the real model of 135 million parameters where this computer has it, else the model that the course carries, which
knows a small valley and nothing else: then every cell still runs, and says that its answers mean nothing.

And a reader that is no model at all, `copied_sentence`: it prints the sentence of the passages that has most of the question's words. It
makes up nothing, and whatever a model does must be compared with it.

Answers are greedy: each time the likeliest token, so that a question has one answer. Left out: sampling, conversations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from lablib.adaptation.bm25 import singular_words
from lablib.adaptation.chunking import sentence_spans
from lablib.adaptation.citations import FUNCTION_WORDS
from lablib.adaptation.grounded_prompt import (
    ABSTENTION,
    INSTRUCTION,
    Count,
    check_question,
    grounded_prompt,
    plain_prompt,
    too_long,
)
from lablib.adaptation.page_orders import DATA_INSTRUCTION, marked
from lablib.adaptation.real_writer import Writer, load_writer
from lablib.checkpoints import load
from lablib.models import ModelNotFound
from lablib.pretraining.generation import generate
from lablib.pretraining.in_context import answered

Write = Callable[[Sequence[str], int], list[str]]  # prompts, tokens at most -> what was written behind each
Score = Callable[
    [Sequence[str], Sequence[str]], list[float]
]  # prompts, answers -> mean ln p of an answer's tokens, nats
MOST = 48  # tokens of an answer
CONTEXT = 2048  # the real model could hold 8,192 tokens; so many are enough, and quick


@dataclass(frozen=True)
class Answer:
    """What a reader answered, to which prompt, with how many of the passages in it."""

    text: str
    prompt: str
    kept: int


@dataclass(frozen=True)
class Reader:
    """A model that answers.

    Attributes:
        write: prompts and a number of tokens -> answers. count: the tokens of a prompt, template included.
        score: prompts and an answer for each -> the mean log-probability of the answer's tokens, its end among them, in nats.
        context: tokens that prompt and answer may have together.
        source: what it is, in one line. real: whether it is the model that read the web.
    """

    write: Write
    score: Score
    count: Count
    context: int
    source: str
    real: bool

    def prompt(self, question: str, passages: Sequence[str] | None, mark: bool = False) -> tuple[str, int]:
        """What the model is asked, and how many passages had room; see `answers`."""
        if passages is None:
            if (tokens := self.count(plain := plain_prompt(question))) > self.context - MOST:
                raise too_long(question, tokens, self.context, MOST)
            return plain, 0
        instruction = f"{DATA_INSTRUCTION} {INSTRUCTION}" if mark else INSTRUCTION
        shown = marked(passages) if mark else passages
        return grounded_prompt(question, shown, self.context, self.count, MOST, instruction)

    def answers(
        self, asked: Sequence[tuple[str, Sequence[str] | None]], mark: bool = False, batch: int = 4
    ) -> list[Answer]:
        """Answers to questions, each with its passages, the best first; None instead of passages: from memory (closed book).

        Args:
            asked: (question, passages) pairs. mark: put markers around the passages, see `page_orders`.
            batch: prompts that are read at once; those of like length together.
        Raises:
            ValueError: an empty question, or one that has no room even without a passage.
        """
        prompts = [self.prompt(question, passages, mark) for question, passages in asked]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i][0]))
        written: dict[int, str] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            written |= zip(some, self.write([prompts[i][0] for i in some], MOST), strict=True)
        return [Answer(written[i].strip(), *prompts[i]) for i in range(len(prompts))]

    def certainty(self, asked: Sequence[tuple[str, Sequence[str] | None]], answers: Sequence[str]) -> list[float]:
        """How likely the reader finds answers, its own or others: the mean log-probability of a token, in nats; 0 at most.

        Args:
            asked: as in `answers`. answers: one for each.
        """
        return self.score([self.prompt(*one)[0] for one in asked], answers) if len(asked) else []

    def answer(self, question: str, passages: Sequence[str] | None = None, mark: bool = False) -> Answer:
        """The answer to one question; see `answers`."""
        return self.answers([(question, passages)], mark)[0]


def best_reader(*, hub: bool = True) -> Reader:
    """The real model if this computer has it, else the carried one; `source` says which and why."""
    try:
        return real_reader(load_writer(hub=hub))
    except ModelNotFound as missing:
        return carried_reader(str(missing))


def real_reader(writer: Writer) -> Reader:
    """A reader from a chat model of `transformers`, asked in its own template."""
    model, tokenizer = writer.model, writer.tokenizer

    def rendered(prompt: str) -> str:
        return tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )

    def write(prompts: Sequence[str], most: int) -> list[str]:
        tokenizer.padding_side = "left"
        batch = tokenizer(
            [rendered(one) for one in prompts], padding=True, add_special_tokens=False, return_tensors="pt"
        )
        given: dict[str, Any] = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            rows = model.generate(
                **given, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )  # (B, T) -> (B, T + most)
        return tokenizer.batch_decode(rows[:, given["input_ids"].shape[1] :], skip_special_tokens=True)

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def score(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        found = []
        for prompt, answer in zip(prompts, answers, strict=True):
            written = [*ids(answer)[:MOST], tokenizer.eos_token_id]  # n tokens
            row = torch.tensor([[*ids(rendered(prompt)), *written]])  # (1, T)
            with torch.inference_mode():
                logits = model(row, logits_to_keep=len(written) + 1).logits[0, :-1]  # (1, n + 1, V) -> (n, V)
            found.append(-F.cross_entropy(logits.float(), torch.tensor(written)).item())
        return found

    def count(prompt: str) -> int:
        return len(ids(rendered(prompt)))

    context = min(CONTEXT, model.config.max_position_embeddings)
    return Reader(write, score, count, context, writer.source, True)


def carried_reader(why: str) -> Reader:
    """The course's base model as a reader: it runs, and that is all that can be said for its answers."""
    base = load("base")
    bos = base.tokenizer.special["<|bos|>"]

    def ids(prompt: str) -> list[int]:
        return [bos, *base.tokenizer.encode(prompt)]

    def write(prompts: Sequence[str], most: int) -> list[str]:
        rows = generate(base.model, [ids(one) for one in prompts], most, stop=[bos]).rows
        return [base.tokenizer.decode(row) for row in rows]

    def score(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        ends = [[*base.tokenizer.encode(one)[:MOST], bos] for one in answers]  # <|bos|> ends a document, too
        nats = answered(base.model, [ids(one) for one in prompts], ends).nats.tolist()
        return [-total / len(end) for total, end in zip(nats, ends, strict=True)]

    source = (
        f"no real model ({why.splitlines()[0]}); the course's base model instead, which knows nothing of this handbook"
    )
    return Reader(write, score, lambda prompt: len(ids(prompt)), base.model.config.context, source, False)


def copied_sentence(question: str, passages: Sequence[str]) -> str:
    """The sentence that has most of the question's telling words, with the number of its passage; no model.

    Of equal ones the first; if none has a word of the question, it abstains.

    >>> copied_sentence("What do cats eat?", ["Dogs bark. Dogs eat bones.", "# Cats\\n\\nA cat purrs. Cats eat fish."])
    'Cats eat fish. [2]'
    >>> copied_sentence("Who painted the mill?", ["Dogs bark."])
    'I do not know.'
    """
    check_question(question)
    wanted = set(singular_words(question)) - FUNCTION_WORDS
    best, found = 0, f"{ABSTENTION}."
    for number, passage in enumerate(passages, 1):
        prose = "\n".join(line for line in passage.split("\n") if not line.startswith("#") and "›" not in line)
        for start, stop in sentence_spans(prose):
            sentence = " ".join(prose[start:stop].split())
            shared = len(wanted & set(singular_words(sentence)))
            if shared > best:
                best, found = shared, f"{sentence} [{number}]"
    return found
