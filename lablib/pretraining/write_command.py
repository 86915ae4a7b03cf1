"""Let a model write, on the command line: `lab write run/model`, or one of the course's models by its name, `lab write base`.

Each token is drawn from the probabilities that the model gives, changed by a temperature and top-p if asked (`sampling`). Left out: chat
(lab 09).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lablib import checkpoints
from lablib.architecture.decoder import Decoder
from lablib.architecture.llama_format import load_llama
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling
from lablib.pretraining.world_loss import END
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer


def parser(prog: str = "python -m lablib.pretraining.write_command") -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(prog=prog, description="Let a model write texts, or go on with one of yours.")
    made.add_argument("model", help="the folder of a run or of a saved model, or a name, such as base")
    made.add_argument("--prompt", default="", metavar="TEXT", help="how each text begins")
    made.add_argument("--texts", type=int, default=3, help="how many (3)")
    made.add_argument("--tokens", type=int, default=200, help="of each text, at most (200)")
    made.add_argument(
        "--temperature", type=float, default=1.0, help="below 1: only what is likely; 1: as it has learned (1)"
    )
    made.add_argument(
        "--top-p", type=float, help="draw only from the likeliest tokens, so many that they have this share"
    )
    made.add_argument("--seed", type=int, default=0, help="of the drawing (0)")
    made.add_argument("--tokenizer", type=Path, metavar="FILE", help="a tokenizer.json; if not given, the course's")
    made.add_argument("--end", default=END, metavar="NAME", help=f"the special token between two documents ({END})")
    return made


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.pretraining.write_command") -> int:
    """The command: 0 when the texts are written, 2 for wrong input."""
    given = parser(prog).parse_args(arguments)
    try:
        tokenizer = course_tokenizer.load() if given.tokenizer is None else Tokenizer.load(given.tokenizer)
        model = find(given.model)
        for number, text in enumerate(texts(model, tokenizer, given), 1):
            print(f"--- {number}\n{text}")
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def find(name: str) -> Decoder:
    """The model in a folder, in the folder `model` of a run, or of that name in the course.

    Raises:
        FileNotFoundError: there is none. ValueError: it is another kind of model.
    """
    for folder in (Path(name), Path(name) / "model"):
        if (folder / "config.json").is_file():
            return load_llama(folder)
    if Path(name).is_dir():
        raise FileNotFoundError(
            f"{name} holds no finished model: expected config.json in it, or in {Path(name) / 'model'}"
        )
    return load_llama(checkpoints.find(name)[0])


def texts(model: Decoder, tokenizer: Tokenizer, given: argparse.Namespace) -> list[str]:
    """What the model writes, prompts included.

    Raises:
        ValueError: a number that makes no sense, or a tokenizer of another vocabulary.
    """
    if given.texts < 1:
        raise ValueError(f"--texts {given.texts}: expected at least 1")
    if given.end not in tokenizer.special or tokenizer.V != model.config.V:
        raise ValueError(
            f"the tokenizer has V = {tokenizer.V} and the special tokens {', '.join(tokenizer.special) or 'none'}: expected "
            f"{given.end} among them, and the model's V = {model.config.V}; name the model's own with --tokenizer"
        )
    end = tokenizer.special[given.end]
    prompt = [end, *tokenizer.encode(given.prompt)]
    room = max(1, min(given.tokens, model.config.context - len(prompt))) if given.tokens > 0 else given.tokens
    written = generate(
        model.eval(),
        [prompt] * given.texts,
        room,
        Sampling(given.temperature, top_p=given.top_p),
        torch.Generator().manual_seed(given.seed),
        stop=[end],
    )
    return [tokenizer.decode([*prompt[1:], *row]) for row in written.rows]


if __name__ == "__main__":
    sys.exit(main())
