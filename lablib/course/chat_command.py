"""Talk to the course's models in the terminal, several side by side:

    lab chat sft base
    echo "Where does Mirabe live?" | lab chat sft --temperature 0

Under each answer stand its gold scores, where the world can judge the prompt. What a model wrote is shown as text and nothing else:
characters that would act on the terminal are spelled out (`show.visible`).
"""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from random import Random

from lablib.alignment.chat_with import MOST, Answer, Exchange, Partner, ask, partners
from lablib.corpus.world import World
from lablib.pretraining.command import INTERRUPTED
from lablib.show.visible import lines, visible

NARROW = 28  # letters; a column is not made narrower, the answers then stand below each other
GAP = "  "


def parser(prog: str = "python -m lablib.course.chat_command") -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Talk to the course's models. A prompt on the standard input is answered once; else you are asked for prompts.",
    )
    made.add_argument("models", nargs="*", metavar="MODEL", help="such as sft or base (all that are there)")
    made.add_argument("--prompt", metavar="TEXT", help="answer this one, and end")
    made.add_argument(
        "--temperature", type=float, default=1.0, help="0: the likeliest token; 1: as likely as the model has it (1)"
    )
    made.add_argument("--seed", type=int, default=0, help="of chance; each further prompt has the next one (0)")
    made.add_argument("--most", type=int, default=MOST, metavar="N", help=f"tokens of an answer, at most ({MOST})")
    made.add_argument("--width", type=int, help="letters in a line (those of the terminal)")
    return made


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.course.chat_command") -> int:
    """The command: 0 when it ended well, 2 for wrong input, 130 after Ctrl-C."""
    given = parser(prog).parse_args(arguments)
    width = given.width or shutil.get_terminal_size().columns
    try:
        models = partners(given.models)
        if given.prompt is None and sys.stdin.isatty():
            return talk(models, given, width)
        prompt = sys.stdin.read() if given.prompt is None else given.prompt
        print("\n".join(said(ask(models, prompt, given.temperature, given.seed, given.most), width)))
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def talk(models: Mapping[str, Partner], given: argparse.Namespace, width: int) -> int:
    """Ask for prompts until there is none: an empty line or Ctrl-D ends it. What is wrong with a prompt is said, and the talk goes on."""
    for name, partner in models.items():
        print(f"{name}: {visible(partner.origin)}")
    print("Gold scores are there for prompts such as these; an empty line ends.")
    for instruction in islice(World().instructions(Random(f"examples {given.seed}"), "held_out"), 3):
        print(f"  {instruction.prompt}")
    for number, prompt in enumerate(typed()):
        try:
            exchange = ask(models, prompt, given.temperature, given.seed + number, given.most)
        except ValueError as error:
            print(error, file=sys.stderr)
            continue
        print("\n".join(said(exchange, width)))
    return 0


def typed() -> Iterator[str]:
    """Lines from the terminal, which can be edited where Python can."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (importing it is what lets `input` edit)
    while True:
        try:
            line = input("\n> ")
        except EOFError:
            print()
            return
        if not line.strip():
            return
        yield line


# ---------------------------------------------------------------- as lines of text


def said(exchange: Exchange, width: int) -> list[str]:
    """An exchange as lines of at most `width` letters: columns side by side where there is room, else below each other."""
    n = len(exchange.answers)
    column = (width - len(GAP) * (n - 1)) // n
    if column < NARROW:
        column = max(width, NARROW)
        body = [
            line for answer in exchange.answers for line in [*text_of(answer, column), *gold_of(answer, column), ""]
        ]
    else:
        texts = [text_of(answer, column) for answer in exchange.answers]
        scores = [gold_of(answer, column) for answer in exchange.answers]
        body = [*beside(texts, column), *beside(scores, column), *([""] if any(scores) else [])]
    return [*body, *lines(f"({exchange.note})", max(width, NARROW))]


def beside(blocks: Sequence[list[str]], column: int) -> list[str]:
    """Blocks of lines side by side."""
    rows = zip_longest(*blocks, fillvalue="")
    return [GAP.join(f"{part:<{column}}" for part in row).rstrip() for row in rows]


def text_of(answer: Answer, width: int) -> list[str]:
    """Who says what, and a blank line."""
    text = (answer.text or "(it says nothing)") + ("" if answer.finished else " …(cut off)")
    return [*lines(answer.name, width), "-" * min(width, NARROW), *lines(text, width), ""]


def gold_of(answer: Answer, width: int) -> list[str]:
    """The gold scores, and what took something away from them; nothing where there are none."""
    if answer.scores is None:
        return []
    scores = "gold: " + ", ".join(f"{name} {score:.2f}" for name, score in answer.scores.items())
    return [*lines(scores, width), *(line for reason in answer.reasons for line in lines(f"· {reason}", width))]


if __name__ == "__main__":
    sys.exit(main())
