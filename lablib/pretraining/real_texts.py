"""From a source of text to a tokenizer and token shards in a folder, so that nothing that is made there is ever made twice.

    run/texts.json       what was read so far, and what came of it; written last, so that what it names is whole
        tokenizer.json   byte-level BPE, learned from the first part of the text
        held_out.bin     every 20th document of the first part: no weight and no merge is learned from it
        train-00000.bin  the rest of the first part; then a shard for every `SHARD` bytes of text that follow

A stream that breaks off half-way ends the text there: what came before it is kept and used, and `ended` says why. Killed and called
again, it goes on behind the last shard; only the text of the shard that was under way is read (and, from a server, sent) anew.

Left out: shuffling documents (batches are drawn from everywhere, see `batching`), removing near copies, reading while training.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

from lablib.corpus.sources import SourceUnavailable
from lablib.pretraining.atomic import new_file
from lablib.pretraining.shards import Shard, ShardError, open_shard, write_texts
from lablib.pretraining.text_source import Reading, texts_of
from lablib.pretraining.world_loss import END
from lablib.tokens import tokenizer_json
from lablib.tokens.course_tokenizer import PATTERN, SPECIAL
from lablib.tokens.tokenizer import Tokenizer

FORMAT, VERSION = "data-to-dialogue texts", 1
STATE, TOKENIZER, HELD_OUT = "texts.json", "tokenizer.json", "held_out.bin"
EVERY = 20  # of so many documents one is held out
SHARD = 16_000_000  # bytes of text


@dataclass(frozen=True)
class State:
    """What `texts.json` holds.

    Attributes:
        asked: the source that was asked for. source: the one that was read; "crawl" where the other could not be had.
        files: of the source, if they are not the usual ones. V: size of the vocabulary. first: bytes of the first part.
        documents: taken from the source so far. shards: name -> SHA-256. ended: as in `Reading`.
    """

    asked: str
    source: str
    files: tuple[str, ...]
    V: int
    first: int
    documents: int = 0
    shards: dict[str, str] = field(default_factory=dict)
    ended: str = ""


@dataclass(frozen=True)
class Texts:
    """A folder's texts as tokens.

    Attributes:
        state: see `State`. tokenizer: theirs. train: shards. held_out: a shard.
    """

    folder: Path
    state: State
    tokenizer: Tokenizer
    train: tuple[Shard, ...]
    held_out: Shard

    @property
    def tokens(self) -> int:
        """Tokens to learn from, each counted once."""
        return sum(map(len, self.train))


def begin(
    folder: str | Path,
    source: str,
    files: Sequence[str | Path] = (),
    V: int = 8192,
    first: int = 20_000_000,
    say: Callable[[str], None] = print,
) -> tuple[Texts, Reading]:
    """The folder's texts, from its beginning or from where they were left, and the source to read on from.

    A public source that cannot be had is replaced by the crawl, said in a line, unless `files` were given.

    Args:
        folder: made when missing. source, files: see `texts_of`. V: most tokens of the vocabulary, the special ones included.
        first: bytes of text from which the tokenizer learns.

    Raises:
        ValueError: see `texts_of`; a V too small; too little text; or the folder has texts of another source, V or first part.
        OSError: the folder cannot be written; what is whole in it stays.
    """
    folder, names = Path(folder), tuple(str(file) for file in files)
    found = read_state(folder)
    if found is not None:
        wanted = replace(found, asked=source, files=names, V=V, first=first)
        differ = [
            f"{name} = {there!r} and {getattr(wanted, name)!r}"
            for name, there in vars(found).items()
            if there != getattr(wanted, name)
        ]
        if differ:
            raise ValueError(
                f"folder = {str(folder)!r} has texts that were read otherwise (there and here): {'; '.join(differ)}. "
                "Go on with its settings, or begin in another folder"
            )
        texts = open_texts(folder, found)
        if found.ended:
            return texts, Reading(iter(()), found.documents, found.ended)
        rest = islice(texts_of(found.source, names), found.documents, None)
        return texts, Reading(rest, found.documents)

    if 256 + len(SPECIAL) > V:
        raise ValueError(f"V = {V}: expected at least {256 + len(SPECIAL)}, for the bytes and the special tokens")
    folder.mkdir(parents=True, exist_ok=True)  # before anything is fetched that could not be kept
    state = State(source, source, names, V, first)
    try:
        reading = Reading(texts_of(source, files))
        part = reading.take(first)
    except SourceUnavailable as error:
        if files:
            raise
        say(str(error))
        state, reading = replace(state, source="crawl"), Reading(texts_of("crawl"))
        part = reading.take(first)
    if len(part) < 2:
        raise ValueError(
            f"source = {source!r} gives {len(part)} documents in its first {first:,} bytes: expected at least 2, one to hold out; "
            "take a larger first part, or more text"
        )
    return _first_part(folder, state, reading, part), reading


def _first_part(folder: Path, state: State, reading: Reading, part: Sequence[str]) -> Texts:
    """Learn the tokenizer and write the first shards."""
    held_out, rest = part[::EVERY], [text for i, text in enumerate(part) if i % EVERY]
    tokenizer = Tokenizer.train(rest, state.V, SPECIAL, PATTERN)
    with new_file(folder / TOKENIZER) as file:
        spelled = tokenizer_json.dumps(tokenizer.tokens, tokenizer.merges, tokenizer.special, tokenizer.pattern)
        file.write(spelled.encode())
    names = {}
    for name, texts in ((HELD_OUT, held_out), (_name(0), rest)):
        shard = write_texts(folder / name, texts, tokenizer.encode, tokenizer.V, tokenizer.special[END])
        names[name] = shard.sha256
    _write_state(folder, replace(state, documents=reading.documents, shards=names, ended=reading.ended))
    return open_texts(folder)


def gather(texts: Texts, reading: Reading, tokens: int, seconds: float) -> Texts:
    """Read on, shard by shard, until there are so many tokens to learn from, the source ends, or the time is over.

    Args:
        tokens: that are wanted, with those that are there. seconds: in which no new shard is begun any more.

    Raises:
        OSError: a shard cannot be written; those before it stay, and the next call goes on behind them.
    """
    end, state, tokenizer = time.monotonic() + seconds, texts.state, texts.tokenizer
    count, size = texts.tokens, sum(shard.text_bytes or 0 for shard in texts.train)
    while count < tokens and not reading.ended and time.monotonic() < end:
        wanted = int((tokens - count) * size / count) + 1  # bytes
        part = reading.take(min(SHARD, wanted))
        if part:
            name = _name(len(state.shards) - 1)
            shard = write_texts(texts.folder / name, part, tokenizer.encode, tokenizer.V, tokenizer.special[END])
            state = replace(state, shards={**state.shards, name: shard.sha256})
            count, size = count + len(shard), size + (shard.text_bytes or 0)
        state = replace(state, documents=reading.documents, ended=reading.ended)
        _write_state(texts.folder, state)
    return open_texts(texts.folder, state)


def _name(number: int) -> str:
    return f"train-{number:05}.bin"


def _write_state(folder: Path, state: State) -> None:
    about = {"format": FORMAT, "version": VERSION, **asdict(state)}
    with new_file(folder / STATE) as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())


def read_state(folder: str | Path) -> State | None:
    """What a folder's `texts.json` says, or None where there is none.

    Raises:
        ValueError: it is something else, or of a later version.
    """
    path = Path(folder) / STATE
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about.pop("format") != FORMAT or about.pop("version") != VERSION:
            raise ValueError(f"expected the format {FORMAT!r}, version {VERSION}")
        return State(**{**about, "files": tuple(about["files"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be used ({error}): begin in another folder") from None


def open_texts(folder: str | Path, state: State | None = None) -> Texts:
    """The texts of a folder, each shard checked to its last byte.

    Raises:
        ValueError: there are none, or a shard was changed.
    """
    folder = Path(folder)
    state = state or read_state(folder)
    if state is None:
        raise ValueError(f"folder = {str(folder)!r} has no {STATE}: expected one in which `begin` was called")
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    shards = {name: open_shard(folder / name, tokenizer.V) for name in state.shards}
    for name, shard in shards.items():
        if shard.sha256 != state.shards[name]:
            raise ShardError(f"{shard.path} is not the shard that {STATE} names: begin in another folder")
    return Texts(folder, state, tokenizer, tuple(shards[name] for name in shards if name != HELD_OUT), shards[HELD_OUT])
