"""Token shards from text, as a command:

    lab shards --world 20000 --out train.bin --held-out held_out.bin
    lab shards --texts stories.txt more/*.txt --out train.bin
    lab shards --source tinystories --limit 100000 --out train.bin --held-out held_out.bin

The text is the world's, that of files of your own, of this Python install (`--crawl`), or of a public source (`text_source`). A token
stands between two documents: `<|bos|>` of the course's tokenizer, or the one of `--end`.

What is held out must not be in the training text. A document of a text goes to the one side or the other by its SHA-256, so that equal
documents go the same way, and the next run decides alike. The world is drawn twice, with two seeds; it has no end, and
the loss of its true grammar is printed, the floor that no model goes below.

Left out: cleaning and mixing (`lablib.corpus.pipeline`, `lablib.corpus.mixing`), several processes.
"""

import argparse
import hashlib
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

from lablib.corpus.sources import SourceUnavailable
from lablib.corpus.world import World
from lablib.pretraining.shards import Shard, write_texts
from lablib.pretraining.text_source import SEPARATOR, texts_of
from lablib.pretraining.world_loss import END
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer


def parser(prog: str = "python -m lablib.pretraining.shard_command") -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(prog=prog, description="Turn text into token shards, which `lab pretrain` reads.")
    made.add_argument("--out", type=Path, required=True, metavar="SHARD", help="the shard to write")
    made.add_argument("--held-out", type=Path, metavar="SHARD", help="a second shard, of documents that are kept back")
    made.add_argument("--share", type=float, default=0.05, help="of the documents that are kept back (0.05)")
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--world", type=int, metavar="N", help="so many documents of the course's world")
    what.add_argument(
        "--texts", nargs="+", metavar="FILE", help=f"text files, cut at {SEPARATOR} or else between paragraphs"
    )
    what.add_argument("--crawl", action="store_true", help="the text that this Python carries")
    what.add_argument("--source", metavar="NAME", help="a public source, such as tinystories, c4 or fineweb-edu")
    made.add_argument("--files", nargs="+", metavar="FILE", help="files of --source, if not from where it lies")
    made.add_argument("--limit", type=int, help="documents to read at most, of --texts, --crawl and --source")
    made.add_argument(
        "--between", default="<|endoftext|>", metavar="TEXT", help="stands between two documents of a file"
    )
    made.add_argument("--seed", type=int, default=0, help="of the world's documents (0)")
    made.add_argument("--tokenizer", type=Path, metavar="FILE", help="a tokenizer.json; if not given, the course's")
    made.add_argument("--end", default=END, metavar="NAME", help=f"the special token between two documents ({END})")
    return made


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.pretraining.shard_command") -> int:
    """The command: 0 when all is written, 2 for wrong input, 130 after Ctrl-C, when no shard is left half written."""
    given = parser(prog).parse_args(arguments)
    try:
        return make(given)
    except (OSError, ValueError, SourceUnavailable) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped; a shard that was not finished is not there", file=sys.stderr)
        return 130


def make(given: argparse.Namespace) -> int:
    """Write one shard or two, and say what is in them."""
    tokenizer = course_tokenizer.load() if given.tokenizer is None else Tokenizer.load(given.tokenizer)
    if given.end not in tokenizer.special:
        raise ValueError(
            f"--end {given.end}: expected a special token of the tokenizer, one of {', '.join(tokenizer.special) or 'none'}"
        )
    if not 0 < given.share < 1:
        raise ValueError(f"--share {given.share}: expected a share of the documents, above 0 and below 1")
    if given.files and not given.source:
        raise ValueError("--files is for --source: expected it only there; files of plain text are --texts")
    if given.limit is not None and given.limit < 1:
        raise ValueError(f"--limit {given.limit}: expected at least 1 document")
    if given.held_out is not None and given.held_out.resolve() == given.out.resolve():
        raise ValueError(f"--held-out {given.held_out}: expected another file than --out")
    if given.world is not None:
        return _world(given, tokenizer)
    kept_back: list[str] = []
    texts = documents(given)
    chosen = texts if given.held_out is None else _not_held_out(texts, given.share, kept_back)
    _write(given.out, chosen, tokenizer, given.end)
    if given.held_out is not None:
        if not kept_back:
            raise ValueError(
                f"--share {given.share}: {given.out} is written, but no document was kept back for {given.held_out}: "
                "expected more documents, or a larger share"
            )
        _write(given.held_out, kept_back, tokenizer, given.end)
    return 0


def documents(given: argparse.Namespace) -> Iterator[str]:
    """The texts that the arguments name, one by one; none is blank.

    Raises:
        ValueError: no such source, or a text that is none. OSError: a file is not there. SourceUnavailable: no network, or a
            package is missing.
    """
    source = "text" if given.texts else "crawl" if given.crawl else given.source
    for text in islice(filter(str.strip, texts_of(source, given.texts or given.files or ())), given.limit):
        if "\0" in text:
            raise ValueError("a document holds zero bytes: expected text; is one of the files a program or an archive?")
        yield text


def held_out(text: str, share: float) -> bool:
    """Is a document kept back? Its SHA-256 decides, a number that is as good as drawn evenly from [0, 1).

    >>> [held_out(text, 0.5) for text in ("a", "b", "a")]
    [False, True, False]
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64 < share


def _not_held_out(texts: Iterable[str], share: float, kept_back: list[str]) -> Iterator[str]:
    for text in texts:
        if held_out(text, share):
            kept_back.append(text)
        else:
            yield text


def _world(given: argparse.Namespace, tokenizer: Tokenizer) -> int:
    if given.world < 1:
        raise ValueError(f"--world {given.world}: expected at least 1 document")
    drawn = World().documents(Random(f"training {given.seed}"))
    _write(given.out, (document.text for document in islice(drawn, given.world)), tokenizer, given.end)
    if given.held_out is not None:
        others = World().documents(Random(f"held out {given.seed}"))
        judged = list(islice(others, max(1, round(given.share * given.world))))
        shard = _write(given.held_out, [document.text for document in judged], tokenizer, given.end)
        nats = -sum(document.log_prob for document in judged)
        assert shard.text_bytes is not None, "write_texts counts them"
        per_byte = nats / math.log(2) / shard.text_bytes
        print(
            f"no model does better there than {nats / (len(shard) - 1):.4f} nats per token, {per_byte:.4f} bits per byte"
        )
    return 0


def _write(path: Path, texts: Iterable[str], tokenizer: Tokenizer, end: str) -> Shard:
    path.parent.mkdir(parents=True, exist_ok=True)
    counted = [0]

    def count() -> Iterator[str]:
        for text in texts:
            counted[0] += 1
            yield text
        if not counted[0]:  # here, so that what stood at the path stays
            raise ValueError("no text was found: expected at least one document that is not blank")

    shard = write_texts(path, count(), tokenizer.encode, tokenizer.V, tokenizer.special[end])
    size = f"{shard.text_bytes or 0:,} bytes of text"
    print(f"{path}: {counted[0]:,} documents, {len(shard):,} tokens, {size}, vocabulary {shard.V:,}")
    return shard


if __name__ == "__main__":
    sys.exit(main())
