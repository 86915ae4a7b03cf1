"""A real model of 135 million parameters learns about ships that do not exist: LoRA by `peft`, trained by the loop of lab 07.

    writer = load_writer()                                        # see `real_writer`
    model, batches = adapted(writer.model, SETTINGS), Pairs(writer.tokenizer, lessons(SHIPS), B=8)
    for step in train(model, batches, RECIPE, loss=real_nats): ...
    answers(model, writer.tokenizer, [pair.question for pair in asked_anew(SHIPS)])

The facts are those of `domains`, a few ships of it, asked and answered in the model's own chat format; only the answers count in the
loss. Asked in words that were not in the lessons, it shows what it learned; asked for what it knew before, what it forgot.
`model.disable_adapter()` is the model as it was, in the same memory.

Paper: Hu et al. 2021, "LoRA". Left out: quantised weights, and anything but answers in one sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lablib.adaptation.domains import ShipsLog
from lablib.adaptation.lora import Lora
from lablib.pretraining.batching import Batch, windows_of
from lablib.pretraining.loss import quick_nats
from lablib.pretraining.recipe import Recipe

SHIPS = ("Halcyra", "Windhover", "Thalassa")
SYSTEM = "Give short answers."  # the model's own default is longer, and every row of a batch would begin with it
SETTINGS = Lora(r=8, alpha=16.0, targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))
RECIPE = Recipe(
    steps=30,
    batch=8,
    context=128,
    optimiser="adamw",
    lr=1.5e-3,
    weight_decay=0.0,
    schedule="cosine",
    warmup=0.05,
    floor=0.0,
    dtype="auto",
)
# relation → questions of the lessons, and one in other words that is kept for judging; the answer to all of them
WORDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "captain": (
        ("Who is the captain of the {name}?", "Who commands the ship {name}?"),
        "Under which captain does the {name} sail?",
        "The captain of the {name} is {value}.",
    ),
    "port": (
        ("What is the home port of the {name}?", "Which port does the ship {name} come from?"),
        "Where is the {name} at home?",
        "The home port of the {name} is {value}.",
    ),
    "cargo": (
        ("What does the {name} carry?", "What is in the hold of the ship {name}?"),
        "Which cargo is on board the {name}?",
        "The {name} carries {value}.",
    ),
    "figurehead": (
        ("What is the figurehead of the {name}?", "What stands at the bow of the ship {name}?"),
        "What does the figurehead of the {name} show?",
        "The figurehead of the {name} is {value}.",
    ),
}
KNOWN_BEFORE = (  # asked before and after: question, a word of a right answer
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Italy?", "Rome"),
    ("Which planet do we live on?", "Earth"),
    ("How many days are in a week?", "seven|7"),
    ("What colour is the sky on a clear day?", "blue"),
    ("What is two plus two?", "four|4"),
    ("What do bees make?", "honey"),
    ("Which is the largest ocean?", "Pacific"),
    ("What is the opposite of hot?", "cold"),
    ("Which language is spoken in Spain?", "Spanish"),
)


@dataclass(frozen=True)
class Pair:
    """A question and its answer; `value` is what a right answer has in it, several possible ones divided by |."""

    question: str
    answer: str
    value: str

    def right(self, text: str) -> bool:
        """Whether a text has the value in it, as words of their own, in whatever case.

        >>> Pair("?", "The captain is Nance.", "Nance").right("It is captain nance, I think.")
        True
        >>> Pair("?", "Two and two are 4.", "four|4").right("About 41.")
        False
        """
        return any(re.search(rf"\b{re.escape(value)}\b", text, re.IGNORECASE) for value in self.value.split("|"))


def _pairs(ships: Sequence[str], kept_words: bool) -> list[Pair]:
    log = ShipsLog()
    known = {(fact.subject, fact.relation): fact.value for fact in log.facts}
    unknown = [name for name in ships if (name, "ship.captain") not in known]
    if unknown or not ships:
        some = ", ".join(fact.subject for fact in log.facts[:4])
        raise ValueError(f"ships = {list(ships)}: expected ships of the log, such as {some}")
    made = []
    for name in ships:
        for relation, (lessons_words, other_words, answer) in WORDS.items():
            value = known[name, f"ship.{relation}"]
            for words in [other_words] if kept_words else lessons_words:
                made.append(Pair(words.format(name=name), answer.format(name=name, value=value), value))
    return made


def lessons(ships: Sequence[str] = SHIPS) -> list[Pair]:
    """What the model is taught: every fact about these ships, in several words."""
    return _pairs(ships, kept_words=False)


def asked_anew(ships: Sequence[str] = SHIPS) -> list[Pair]:
    """The same facts in words that are in no lesson."""
    return _pairs(ships, kept_words=True)


def prompt_ids(tokenizer: Any, question: str) -> list[int]:
    """A question as the model expects it, up to where its answer begins."""
    talk = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encoded(tokenizer: Any, pair: Pair) -> tuple[list[int], int]:
    """The tokens of question and answer, and how many of them are the question's, which do not count in the loss."""
    before = prompt_ids(tokenizer, pair.question)
    after = tokenizer(pair.answer, add_special_tokens=False)["input_ids"]
    return [*before, *after, tokenizer.eos_token_id], len(before)


@dataclass(frozen=True)
class Pairs:
    """The batches of a run: B pairs a step, all of them read before one is read again.

    Args: tokenizer: of `transformers`, with a chat template. pairs: from `lessons`. seed: of the order.
    """

    tokenizer: Any
    pairs: Sequence[Pair]
    B: int
    seed: int = 0

    def __call__(self, step: int) -> Batch:
        """The batch of a step (from 0): inputs, targets and mask (B, T)."""
        chosen = windows_of(step, len(self.pairs), self.B, self.seed)
        rows = [encoded(self.tokenizer, self.pairs[number]) for number in chosen]
        T = max(len(ids) for ids, _ in rows)
        end = self.tokenizer.eos_token_id
        ids = torch.tensor([[*row, *[end] * (T - len(row))] for row, _ in rows])  # (B, T)
        place = torch.arange(1, T)
        first = torch.tensor([before for _, before in rows])[:, None]
        length = torch.tensor([len(row) for row, _ in rows])[:, None]
        return Batch(ids[:, :-1], ids[:, 1:], (place >= first) & (place < length))  # (B, T − 1) each


def adapted(model: Any, settings: Lora = SETTINGS) -> Any:
    """A real model with LoRA by `peft` in it; all else is frozen. It shares the model's weights.

    Args: model: a causal model of `transformers`, such as a Llama. settings: targets by that model's names.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # a number; peft only divides by r
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        use_rslora=settings.rank_stabilised,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def real_nats(model: nn.Module, batch: Batch) -> Tensor:
    """`token_nats` for a model of `transformers`. Padding stands at the end.

    The head is a fifth of this model's weights, and most places are the questions', which do not count: so logits are computed only for
    the K places where a target counts in some row.
    """
    counts = torch.ones_like(batch.targets, dtype=torch.bool) if batch.mask is None else batch.mask  # (B, T)
    places = counts.any(dim=0).nonzero().flatten()  # (K,)
    logits = model(input_ids=batch.inputs, use_cache=False, logits_to_keep=places).logits  # (B, T) -> (B, K, V)
    targets = batch.targets.masked_fill(~counts, -1)[:, places]  # (B, K)
    return quick_nats(logits.flatten(0, 1), targets.flatten())


@torch.no_grad()
def answers(
    model: Any, tokenizer: Any, questions: Sequence[str], new_tokens: int = 24, at_a_time: int = 32
) -> list[str]:
    """What a model answers, always taking the likeliest token, some questions at a time."""
    model.eval()
    found: list[str] = []
    for start in range(0, len(questions), at_a_time):
        prompts = [prompt_ids(tokenizer, question) for question in questions[start : start + at_a_time]]
        T, end = max(map(len, prompts)), tokenizer.eos_token_id
        ids = torch.tensor([[*[end] * (T - len(prompt)), *prompt] for prompt in prompts])  # (B, T), padded in front
        real = torch.tensor([[0] * (T - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        written = model.generate(
            input_ids=ids, attention_mask=real, max_new_tokens=new_tokens, do_sample=False, pad_token_id=end
        )
        found += [text.strip() for text in tokenizer.batch_decode(written[:, T:], skip_special_tokens=True)]
    return found
