"""How far a model is from the truth: its loss on documents of the world, beside the lowest loss that is possible on them.

The world knows the probability p(d) of each of its documents exactly. A model that gives d the probability q(d) has on average the
loss E[−log q(d)] = E[−log p(d)] + KL(p‖q): what no model can avoid, and what this one has yet to learn. Both are measured
here on the *same* documents, so that the luck of the draw (some documents are rarer than others) falls out of the difference.

A document's tokens are those of its text and the token that ends it: when a text is over is a choice of the grammar, too.

Cover & Thomas 2006, "Elements of Information Theory", theorem 5.4.3 (the wrong code costs KL(p‖q) more).
Left out: what a model makes of a document that follows others: each is read from its beginning, behind one `<|bos|>`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lablib.architecture.decoder import CausalModel
from lablib.corpus.ablation import nats
from lablib.corpus.world import WorldDocument
from lablib.corpus.world.entropy import ratio
from lablib.tokens.tokenizer import Tokenizer

END = "<|bos|>"  # stands between two documents, and so begins and ends each


@dataclass(frozen=True)
class Gap:
    """A model's loss beside the floor, on the same documents.

    Attributes:
        loss, floor: nats per token, mean over all tokens, ends included.
        excess: loss − floor, the KL divergence per token; excess_error: its standard error, over documents.
        documents, tokens: how many.
    """

    loss: float
    floor: float
    excess: float
    excess_error: float
    documents: int
    tokens: int

    @property
    def share(self) -> float:
        """The excess as a share of the floor: 0.05 is a loss 5 % above the floor."""
        return self.excess / self.floor if self.floor else math.inf


def gap(model: CausalModel, documents: Sequence[WorldDocument], tokenizer: Tokenizer, T: int = 256, B: int = 16) -> Gap:
    """The model's loss on documents of the world and the floor under it.

    Args:
        documents: as `World().documents` draws them; their `log_prob` is the truth. T: window, an even number of tokens.
        B: windows at a time.

    Raises:
        ValueError: fewer than two documents, or a tokenizer without `<|bos|>` or of another vocabulary than the model's.
    """
    if len(documents) < 2:
        raise ValueError(
            f"documents has {len(documents)}: expected at least 2, for an error needs a spread; 500 give about 1 %"
        )
    if END not in tokenizer.special or tokenizer.V > model.sizes.V:
        raise ValueError(
            f"tokenizer has V = {tokenizer.V} and the special tokens {sorted(tokenizer.special)[:3]}…: expected {END!r} among "
            f"them, and at most the model's V = {model.sizes.V}; is it the tokenizer that the model was trained with?"
        )
    texts = [document.text for document in documents]
    lengths = [float(len(tokenizer.encode(text)) + 1) for text in texts]
    losses = nats(model, texts, tokenizer.encode, T, tokenizer.special[END], B).tolist()
    floors = [-document.log_prob for document in documents]
    excess, error = ratio([loss - floor for loss, floor in zip(losses, floors, strict=True)], lengths)
    tokens = sum(lengths)
    return Gap(sum(losses) / tokens, sum(floors) / tokens, excess, error, len(texts), int(tokens))


def by_kind(
    model: CausalModel, documents: Sequence[WorldDocument], tokenizer: Tokenizer, T: int = 256, B: int = 16
) -> dict[str, Gap]:
    """`gap` for each kind of document, kinds in alphabetical order; kinds with fewer than two documents are left out."""
    kinds = sorted({document.kind for document in documents})
    groups = {kind: [document for document in documents if document.kind == kind] for kind in kinds}
    return {kind: gap(model, group, tokenizer, T, B) for kind, group in groups.items() if len(group) > 1}
