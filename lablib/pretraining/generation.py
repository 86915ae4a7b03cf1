"""Writing many texts at once: prompts of any length in, new tokens and their log-probabilities out.

    written = generate(model, prompts, new_tokens=64, sampling=Sampling(top_p=0.9), generator=generator, stop=[eos])
    texts = [tokenizer.decode(row) for row in written.rows]

What comes out for a prompt does not depend on which others are written beside it: padding is never looked at, each text has its
own numbers of chance, and a text that has ended leaves the batch as soon as that saves time. A prompt that is given several times is
read once. Later labs rest on this: samples for preferences and rewards, the rollouts of PPO, best-of-N, the chat.

Two log-probabilities are returned for each token, for they are two questions. `log_probs`: how likely does *the model* find the token
(temperature 1, nothing left out)? Ratios and KL penalties of RLHF are made of these. `drawn_log_probs`: how likely was it *to be
drawn*, after temperature, top-k and top-p? Weighting samples as if from elsewhere needs these. They are the same for the default
`Sampling()`; greedy choice draws nothing, so there the second is log 1 = 0.

Axes: B prompts, U different ones, b those still being written, T tokens of the longest prompt, n new tokens of the longest answer,
V vocabulary. Left out: beam search, stop phrases of several tokens (cut the text behind them), sharing what unequal prompts begin with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lablib.architecture.decoder import CausalModel
from lablib.architecture.generation import left_pad
from lablib.pretraining.fused_decoder import Attend, FusedDecoder, attend_cached
from lablib.pretraining.sampling import Sampling, check_logits, draw

KEEP = 0.5  # when so small a share of a batch's rows is still being written, the others leave it


@dataclass(frozen=True)
class Written:
    """What was written behind B prompts, padded on the right to the longest.

    Args:
        ids: (B, n), the stop token that ended a text included; 0 behind it.
        mask: bool (B, n), True = a token that was written, the stop token included.
        log_probs: (B, n), nats: log p(token | all before it) under the model itself; 0 where mask is False.
        drawn_log_probs: (B, n), nats, under the distribution that the token was drawn from; 0 where mask is False.
        ended: for each row "stop" (it wrote a stop token), "length" (new_tokens were written) or "context" (the model can read no more).
    """

    ids: Tensor
    mask: Tensor
    log_probs: Tensor
    drawn_log_probs: Tensor
    ended: tuple[str, ...]

    @property
    def rows(self) -> list[list[int]]:
        """The new tokens of each row without its stop token: what one decodes."""
        lengths = self.mask.sum(dim=1).tolist()
        cut = [n - (why == "stop") for n, why in zip(lengths, self.ended, strict=True)]
        return [row[:n] for row, n in zip(self.ids.tolist(), cut, strict=True)]


def generate(
    model: CausalModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
    stop: Sequence[int] = (),
    attend: Attend = attend_cached,
) -> Written:
    """Write behind each prompt until a stop token, `new_tokens` tokens, or the end of the model's context.

    Args:
        model: `Decoder`, `GPT2` or another `CausalModel`.
        prompts: B lists of token numbers, none empty, each shorter than the model's context.
        new_tokens: at most so many for each prompt. Prompt and answer together have at most `model.sizes.context` tokens:
            a model knows nothing of later positions, even where it could compute with them.
        sampling: how a token is drawn; None: the likeliest is taken (greedy).
        generator: of chance, on the CPU; for `sampling` only. Each prompt uses the next new_tokens numbers of it, so that writing
            for 8 prompts and then for 8 others gives what writing for all 16 gives. None: torch's own.
        stop: tokens that end a text.
        attend: as in `FusedDecoder`.

    Raises:
        ValueError: no prompt, an empty one or one that fills the context; a token that is not in the vocabulary; new_tokens < 1;
            logits that are not finite.
    """
    steps = list(_steps(model, prompts, new_tokens, sampling, generator, stop, attend))
    B, n = len(prompts), len(steps)
    device = model.embedding.weight.device
    ids, mask = torch.zeros(B, n, dtype=torch.long, device=device), torch.zeros(B, n, dtype=torch.bool, device=device)
    log_probs, drawn = torch.zeros(B, n, device=device), torch.zeros(B, n, device=device)
    for t, step in enumerate(steps):
        ids[step.rows, t], mask[step.rows, t] = step.ids, True
        log_probs[step.rows, t], drawn[step.rows, t] = step.log_probs, step.drawn_log_probs
    return Written(ids, mask, log_probs, drawn, _why(prompts, ids, mask, new_tokens, stop))


def stream(
    model: CausalModel,
    prompt: Sequence[int],
    new_tokens: int,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
    stop: Sequence[int] = (),
) -> Iterator[int]:
    """The tokens that `generate` writes behind one prompt, each as soon as it is chosen, without the stop token: for a chat."""
    for step in _steps(model, [prompt], new_tokens, sampling, generator, stop, attend_cached):
        if (token := int(step.ids)) in stop:
            return
        yield token


@dataclass(frozen=True)
class _Step:
    """One token for each of b rows that had not ended; rows: their numbers (b,); all the others (b,) as in `Written`."""

    rows: Tensor
    ids: Tensor
    log_probs: Tensor
    drawn_log_probs: Tensor


def _steps(
    model: CausalModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    sampling: Sampling | None,
    generator: torch.Generator | None,
    stop: Sequence[int],
    attend: Attend,
) -> Iterator[_Step]:
    """The writing itself, step by step; gradients are off inside only."""
    room = check_room(model, prompts, new_tokens)
    device = model.embedding.weight.device
    known = {text: number for number, text in enumerate(dict.fromkeys(map(tuple, prompts)))}  # U different prompts
    ids, real = (x.to(device) for x in left_pad(list(known)))  # (U, T), (U, T)
    model.check(ids, real, None)
    (U, T), B, steps = ids.shape, len(prompts), max(room)
    chance = torch.zeros(B, 0) if sampling is None else torch.rand(B, new_tokens, generator=generator)
    chance, left = chance.to(device), torch.tensor(room, device=device)  # (B, new_tokens), (B,): tokens still allowed
    stops = torch.tensor(list(stop), dtype=torch.long, device=device)
    rows, alive = torch.arange(B, device=device), torch.ones(B, dtype=torch.bool, device=device)  # (b,), (b,)
    with torch.inference_mode():
        decoder = FusedDecoder(
            model, U, T + steps - 1, attend, last=model.sizes.context - 1
        )  # rows that ended may stay
        logits = decoder.read(ids, None if bool(real.all()) else real).float()  # (U, V)
        if U < B:
            each = torch.tensor([known[tuple(prompt)] for prompt in prompts], device=device)  # (B,)
            decoder.keep(each)
            logits = logits[each]  # (U, V) -> (B, V)
    for t in range(steps):
        with torch.inference_mode():
            ids, log_probs, drawn = choose(logits, sampling, chance[rows, t] if sampling is not None else None)
        yield _Step(rows[alive], ids[alive], log_probs[alive], drawn[alive])
        alive = alive & (left[rows] > t + 1) & ~torch.isin(ids, stops)
        living = int(alive.sum())
        if living == 0:
            return
        with torch.inference_mode():
            if living <= KEEP * len(rows):
                decoder.keep(alive.nonzero()[:, 0])
                rows, ids, alive = rows[alive], ids[alive], alive[alive]
            logits = decoder.read(ids[:, None]).float()  # (b, 1) -> (b, V)


def choose(logits: Tensor, sampling: Sampling | None, chance: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The next token of each row, and its two log-probabilities: logits (b, V), chance (b,) -> ids (b,), (b,), (b,).

    >>> choose(torch.tensor([[0.25, 0.75]]).log(), Sampling(top_k=1), torch.tensor([0.5]))  # log 0.75, and certain to be drawn
    (tensor([1]), tensor([-0.2877]), tensor([0.]))
    """
    if sampling is None or chance is None:
        ids = logits.max(dim=-1).indices  # (b,); quicker than argmax
        log_probs = logits.log_softmax(dim=-1).amax(dim=-1)  # (b,), quicker than a log-sum and a difference
        if not bool(log_probs.isfinite().all()):
            check_logits(logits)
        return ids, log_probs, torch.zeros_like(log_probs)
    total = log_total(logits)
    shaped = logits if sampling.plain else sampling.logits(logits)  # (b, V)
    shaped_total = total if sampling.plain else log_total(shaped)
    ids = draw(shaped, chance)
    log_probs, drawn = (x.gather(1, ids[:, None])[:, 0] - t for x, t in ((logits, total), (shaped, shaped_total)))
    return ids, log_probs, drawn


def log_total(logits: Tensor) -> Tensor:
    """log Σ exp of each row, (b, V) -> (b,), by which logits become log-probabilities; it is finite only if they make sense."""
    total = logits.logsumexp(dim=-1)
    if not bool(total.isfinite().all()):
        check_logits(logits)
    return total


def check_room(model: CausalModel, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[int]:
    """How many tokens each prompt may get: new_tokens, or fewer where the context ends before.

    Raises: ValueError: see `generate`.
    """
    context = model.sizes.context
    if new_tokens < 1:
        raise ValueError(f"new_tokens = {new_tokens}: expected at least 1")
    if not prompts:
        raise ValueError("prompts is empty: expected at least one list of token numbers")
    for row, prompt in enumerate(prompts):
        if isinstance(prompt, int | str):
            raise ValueError(
                f"prompts[{row}] is {prompt!r:.40}: expected a list of token numbers; one prompt is [[1, 2, 3]]"
            )
        if len(prompt) == 0:
            raise ValueError(
                f"prompts[{row}] is empty: expected at least one token, such as the one that begins a text"
            )
        if len(prompt) >= context:
            raise ValueError(
                f"prompts[{row}] has {len(prompt)} tokens: expected fewer than the model's context of {context}, so that there "
                f"is room to write; give its end, prompt[-{context - min(new_tokens, context - 1)}:]"
            )
    return [min(new_tokens, context - len(prompt)) for prompt in prompts]


def _why(
    prompts: Sequence[Sequence[int]], ids: Tensor, mask: Tensor, new_tokens: int, stop: Sequence[int]
) -> tuple[str, ...]:
    lengths = mask.sum(dim=1).tolist()
    last = [row[n - 1] for row, n in zip(ids.tolist(), lengths, strict=True)]
    return tuple(
        "stop" if token in stop else "length" if n == new_tokens else "context"
        for token, n in zip(last, lengths, strict=True)
    )
