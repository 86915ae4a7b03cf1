"""Training and measuring, against plain counts: every token predicted once, and the loss of a text what its probabilities say."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.ablation import batches, nats, rows, train, write

END, T = 0, 8


def encode(text: str) -> list[int]:
    return [ord(letter) - 96 for letter in text]


def decode(ids: list[int]) -> str:
    return "".join(chr(96 + token) for token in ids)


def small(seed: int = 0) -> Decoder:
    sizes = DecoderConfig(V=5, D=16, H=2, L=2, hidden=32, context=T)
    return Decoder(sizes, generator=torch.Generator().manual_seed(seed))


texts = st.lists(st.text("abcd", max_size=30), min_size=1, max_size=6)


@given(texts.filter(lambda found: sum(map(len, found)) + len(found) >= T))
def test_rows_hold_every_token_in_order(found):
    data = rows(found, encode, T, END)
    stream = [END, *itertools.chain.from_iterable([*encode(text), END] for text in found)]
    n = (len(stream) - 1) // T
    assert data.shape == (n, T + 1)
    assert data[:, :-1].flatten().tolist() == stream[: n * T]  # what predicts
    assert data[:, 1:].flatten().tolist() == stream[1 : n * T + 1]  # what is predicted, each once


def test_too_little_text_is_an_error():
    with pytest.raises(ValueError, match="expected at least T \\+ 1 = 9"):
        rows(["abc"], encode, T, END)


def test_batches_read_every_row_once_before_any_twice():
    data = torch.arange(10)[:, None].expand(10, T + 1)
    drawn = batches(data, 5, torch.Generator().manual_seed(0))
    for _ in range(3):
        seen = torch.cat([next(drawn)[:, 0], next(drawn)[:, 0]])
        assert sorted(seen.tolist()) == list(range(10))


@given(st.lists(st.text("abcd", max_size=20), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_nats_are_the_log_probabilities_of_the_tokens_one_by_one(found):
    model = small()
    expected = []
    for text in found:
        ids, total = [END, *encode(text), END], 0.0
        for i in range(1, len(ids)):  # a token behind the first window sees the window that begins at a multiple of T/2
            start = 0 if i <= T else (i - T // 2 - 1) // (T // 2) * (T // 2)
            with torch.no_grad():
                logits = model(torch.tensor([ids[start:i]]))[0, -1]
            total -= logits.log_softmax(dim=-1)[ids[i]].item()
        expected.append(total)
    assert nats(model, found, encode, T, END, B=2).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_text_longer_than_a_window_is_predicted_from_half_a_window_at_least():
    text = "abcd" * 10
    loss = nats(small(), [text, text[:3]], encode, T, END)
    assert loss[0] > loss[1] > 0
    assert loss[0].item() == pytest.approx(41 * math.log(5), rel=0.1)  # a fresh model guesses evenly


def test_probabilities_of_all_short_texts_sum_to_at_most_one():
    every = ["".join(letters) for n in range(4) for letters in itertools.product("abcd", repeat=n)]
    total = (-nats(small(), every, encode, T, END)).exp().sum().item()
    assert (
        0.4 < total <= 1
    )  # ends come with probability near 1/5: 1 − (4/5)⁴ = 0.59 of all texts have at most 3 letters


def test_odd_windows_are_refused():
    with pytest.raises(ValueError, match="T = 7: expected an even number"):
        nats(small(), ["ab"], encode, 7, END)


def test_training_learns_a_pattern_and_writes_it():
    data = rows(["abcd"] * 200, encode, T, END)
    model = small()
    before = nats(model, ["abcd", "dcba"], encode, T, END)
    losses = list(train(model, data, 150, 8, torch.Generator().manual_seed(0)))
    after = nats(model, ["abcd", "dcba"], encode, T, END)
    assert len(losses) == 150
    assert losses[-1] < 0.1 < 1.4 < losses[0]
    assert after[0] < 0.5 < before[0]
    assert after[1] > before[1]
    written = write(model, 20, decode, 12, END, torch.Generator().manual_seed(1))
    assert len(written) == 20
    assert written.count("abcd") >= 17


def test_the_same_seed_trains_the_same_model():
    data = rows(["abcd", "bb", "cab"] * 20, encode, T, END)
    runs = [list(train(small(1), data, 5, 4, torch.Generator().manual_seed(3))) for _ in range(2)]
    assert runs[0] == runs[1]
