"""What can be asked of an encoder that `lablib.models.load` returned: embeddings, attention, vectors, cut heads.

Everything here also stands in `lablib.models`. Left out: training, and models that read only to the left.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from lablib.models import Loaded


def embed(loaded: "Loaded", sentences: str | Sequence[str], batch_size: int = 32) -> "torch.Tensor":
    """Sentence embeddings: the mean of the last layer over real tokens, scaled to length 1.

    This is the definition that the model was trained with (Reimers & Gurevych 2019, "Sentence-BERT", §3), so
    the dot product of two embeddings is their cosine similarity.

    Args:
        loaded: from `load`.
        sentences: one sentence or N of them; longer than `max_tokens` word pieces are cut there.
        batch_size: sentences per forward pass.

    Returns:
        (N, D) float32, each row of Euclidean length 1.

    Raises:
        ValueError: no sentence at all, or something that is not a string.
    """
    import torch
    from torch.nn.functional import normalize

    texts = [sentences] if isinstance(sentences, str) else list(sentences)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"sentences is {sentences!r}; expected a string or a non-empty list of strings")
    rows = []
    for start in range(0, len(texts), batch_size):
        batch = _tokenized(loaded, texts[start : start + batch_size])
        with torch.inference_mode():
            hidden = loaded.model(**batch).last_hidden_state  # (B, T, D)
        real = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        mean = (hidden * real).sum(dim=1) / real.sum(dim=1)  # (B, D); [CLS] and [SEP] are always real
        rows.append(normalize(mean, dim=-1))
    return torch.cat(rows)  # (N, D)


def attentions(loaded: "Loaded", sentence: str) -> tuple[list[str], "np.ndarray"]:
    """Every attention weight of one forward pass over one sentence.

    Returns:
        the T tokens as the model sees them ([CLS], word pieces, [SEP]), and an array (L, H, T, T) float32
        whose entry [l, h, t, s] is how much, in layer l, head h, token t takes from token s. Rows sum to 1.

    Raises:
        ValueError: `sentence` is empty or not a string.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"sentence is {sentence!r}; expected one non-empty string")
    return attentions_of(loaded, [sentence])[0]


def attentions_of(loaded: "Loaded", sentences: Sequence[str]) -> list[tuple[list[str], "np.ndarray"]]:
    """`attentions` of several sentences in one forward pass, many times faster than one by one.

    Returns:
        for each sentence its T tokens and its array (L, H, T, T); padding is cut off, and gets no attention.
    """
    import numpy as np
    import torch

    batch = _tokenized(loaded, sentences)
    with torch.inference_mode():
        layers = loaded.model(**batch, output_attentions=True).attentions  # L tensors (B, H, T, T)
    if not layers:
        raise RuntimeError(
            "the model returned no attention weights; expected it loaded with attn_implementation='eager', "
            "as lablib.models.load does"
        )
    return [
        (tokens, np.stack([layer[row, :, : len(tokens), : len(tokens)].numpy() for layer in layers]))
        for row, tokens in enumerate(_tokens(loaded, batch))
    ]


def word_vectors(loaded: "Loaded", sentences: Sequence[str]) -> list[tuple[list[str], "np.ndarray"]]:
    """The last layer's vector of every token, for each sentence, in one forward pass.

    Returns:
        for each sentence its T tokens and an array (T, D) float32; padding is cut off.
    """
    import torch

    batch = _tokenized(loaded, sentences)
    with torch.inference_mode():
        hidden = loaded.model(**batch).last_hidden_state  # (B, T, D)
    return [(tokens, hidden[row, : len(tokens)].numpy()) for row, tokens in enumerate(_tokens(loaded, batch))]


def _tokenized(loaded: "Loaded", sentences: Sequence[str]) -> Any:
    return loaded.tokenizer(
        list(sentences),
        padding=True,
        truncation=True,
        max_length=loaded.known.max_tokens,
        return_tensors="pt",
    )


def _tokens(loaded: "Loaded", batch: Any) -> list[list[str]]:
    """Each sentence's tokens, without the padding."""
    return [
        loaded.tokenizer.convert_ids_to_tokens(ids[mask.bool()].tolist())
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]


@contextlib.contextmanager
def without_heads(loaded: "Loaded", heads: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Cut heads out of the model for as long as the `with` block lasts.

    What a head found is set to 0 where the heads' results stand side by side, before the output projection W_O
    mixes them; so nothing that the head wrote reaches the rest of the model.

    Args:
        heads: (layer, head) pairs, counted from 0.

    Raises:
        ValueError: a layer or a head that the model does not have.
    """
    known, hooks = loaded.known, []
    for layer, head in heads:
        if not (0 <= layer < known.layers and 0 <= head < known.heads):
            raise ValueError(
                f"heads has ({layer}, {head}); expected a layer below {known.layers} and a head below {known.heads}"
            )
    head_width = known.width // known.heads
    try:
        for layer, head in heads:
            columns = slice(head * head_width, (head + 1) * head_width)

            def silence(_: Any, inputs: tuple, columns: slice = columns) -> tuple:
                merged = inputs[0].clone()  # (B, T, D): the H heads side by side
                merged[..., columns] = 0
                return (merged,)

            w_o = loaded.model.encoder.layer[layer].attention.output.dense
            hooks.append(w_o.register_forward_pre_hook(silence))
        yield
    finally:
        for hook in hooks:
            hook.remove()
