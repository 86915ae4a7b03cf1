"""Greedy and beam search against brute force over every sequence, against re-scoring by the model, and transformers' own."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lablib.architecture.decoding import beam_search, beam_step, greedy, length_penalty, next_log_probs
from lablib.architecture.encoder_decoder import END, PAD, START, Transformer, TransformerConfig

V = 6
SOURCE = torch.tensor([[3, 4, 5, 4], [5, 5, PAD, PAD], [4, PAD, PAD, PAD]])


def model_of(seed: int = 0, V: int = V, sharpness: float = 3.0) -> Transformer:
    """An untrained model with opinions of its own: its random embeddings are stretched, so that the choices differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Transformer(TransformerConfig(V=V, D=8, H=2, L=1, hidden=16, dropout=0.0)).eval()
        with torch.no_grad():
            model.embedding.weight.mul_(sharpness)
        return model


def rescore(model: Transformer, source: Tensor, targets: list[list[int]]) -> Tensor:
    """The log-probabilities that the model gives to written targets, each from one pass over all of it."""
    target = pad_sequence([torch.tensor([START, *written]) for written in targets], batch_first=True, padding_value=PAD)
    with torch.no_grad():
        log_probs = model(source.expand(len(targets), -1), target[:, :-1]).log_softmax(-1)  # (B, T, V)
    each = log_probs.gather(2, target[:, 1:, None])[..., 0]  # (B, T)
    return each.where(target[:, 1:] != PAD, 0.0).sum(1)


def real(ids: Tensor) -> list[int]:
    return [token for token in ids.tolist() if token != PAD]


def up_to_end(ids: Tensor) -> list[int]:
    """Without what follows the first END: transformers pads beams with END where PAD is token 0."""
    written = ids.tolist()
    return written[: written.index(END) + 1] if END in written else written


def every_target(longest: int, V: int = V) -> list[list[int]]:
    """All that END closes within `longest` tokens, and all of that length which nothing closes."""
    tokens = range(END + 1, V)
    closed = [[*body, END] for T in range(longest) for body in itertools.product(tokens, repeat=T)]
    return closed + [list(body) for body in itertools.product(tokens, repeat=longest)]


# ------------------------------------------------------------------ oracles


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(seed, alpha):
    model, longest = model_of(seed), 4
    everything = every_target(longest)
    assert len(everything) == sum(3**T for T in range(longest)) + 3**longest
    ids, log_probs = beam_search(model, SOURCE, len(everything), longest, alpha)
    for b, source in enumerate(SOURCE):
        scored = dict(zip(map(tuple, everything), rescore(model, source, everything).tolist(), strict=True))
        ranked = sorted(scored, key=lambda target: scored[target] / ((5 + len(target)) / 6) ** alpha, reverse=True)
        assert [tuple(real(row)) for row in ids[b]] == ranked
        expected = torch.tensor([scored[target] for target in ranked])
        torch.testing.assert_close(log_probs[b], expected, rtol=1e-4, atol=1e-4)


def test_the_oracle_is_not_blind_greedy_and_alpha_matter():
    """Seeds 0 to 19 hold sources where greedy misses the best, and where the penalty changes the winner."""
    missed = changed = 0
    for seed in range(20):
        model = model_of(seed)
        one, _ = greedy(model, SOURCE, 4)
        best, _ = beam_search(model, SOURCE, 121, 4, alpha=0.0)
        longer, _ = beam_search(model, SOURCE, 121, 4, alpha=2.0)
        missed += sum(real(a) != real(b[0]) for a, b in zip(one, best, strict=True))
        changed += sum(real(a[0]) != real(b[0]) for a, b in zip(best, longer, strict=True))
    assert missed >= 2
    assert changed >= 2


def test_the_sequences_of_one_length_share_out_the_probability():
    model = model_of()
    ids, log_probs = beam_search(model, SOURCE[:1], 121, 4, alpha=0.0)
    never = 1 - rescore(model, SOURCE[0], [real(row) for row in ids[0]]).exp().sum().item()
    with torch.no_grad():
        first = model(SOURCE[:1], torch.tensor([[START]])).softmax(-1)[0, 0]
    assert 0 <= never < 1
    assert never >= first[[PAD, START]].sum() - 1e-6, "what is missing went to PAD and START, which are never written"
    assert log_probs.exp().sum() == pytest.approx(1 - never, rel=1e-4)


@pytest.mark.parametrize("decode", ["greedy", "beam"])
@pytest.mark.parametrize("seed", range(5))
def test_log_probabilities_are_those_of_the_model(decode, seed):
    model = model_of(seed, V=12)
    source = torch.tensor([[3, 9, 11, 6, 5], [7, 8, PAD, PAD, PAD]])
    ids, log_probs = greedy(model, source, 7) if decode == "greedy" else beam_search(model, source, 3, 7)
    for b in range(2):
        expected = rescore(model, source[b], [real(row) for row in ids[b].view(-1, ids.shape[-1])])
        torch.testing.assert_close(log_probs[b].flatten(), expected, rtol=1e-4, atol=0)
        assert (expected < -1e-3).all(), "a certain answer would hide a wrong sum"


def test_transformers_finds_the_same():
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    special = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END, "decoder_start_token_id": START}
    bart = BartForConditionalGeneration(
        BartConfig(vocab_size=9, d_model=16, encoder_attention_heads=2, decoder_attention_heads=2, init_std=0.8,
                   forced_eos_token_id=None, dropout=0.0, max_position_embeddings=32, **sizes, **special)
    ).eval()  # fmt: skip

    class Bart(torch.nn.Module):
        """The two methods that decoding asks for, answered by another library's model."""

        def encode(self, source):
            mask = source != PAD
            return bart.model.encoder(source, mask).last_hidden_state, mask

        def decode(self, target, memory, memory_mask):
            state = bart.model.decoder(target, encoder_hidden_states=memory, encoder_attention_mask=memory_mask)
            return bart.lm_head(state.last_hidden_state) + bart.final_logits_bias

    source = torch.tensor([[3, 7, 8, 4, 6], [5, 4, 3, 3, 8], [6, 6, 7, PAD, PAD]])
    common = {
        "attention_mask": source != PAD,
        "max_new_tokens": 8,
        "do_sample": False,
        "bad_words_ids": [[PAD], [START]],
    }
    found, _ = greedy(Bart(), source, 8)
    assert len({tuple(row.tolist()) for row in found}) == 3
    theirs = bart.generate(source, num_beams=1, **common)[:, 1:]
    for mine, other in zip(found, theirs, strict=True):
        assert real(mine) == up_to_end(other)
    # With alpha 0 both rank by plain log-probability; their penalty has another form than equation 14.
    found, log_probs = beam_search(Bart(), source, 5, 8, alpha=0.0)
    theirs = bart.generate(source, num_beams=5, length_penalty=0.0, early_stopping="never", **common,
                           output_scores=True, return_dict_in_generate=True)  # fmt: skip
    for b in range(3):
        assert real(found[b, 0]) == up_to_end(theirs.sequences[b, 1:])
    torch.testing.assert_close(log_probs[:, 0], theirs.sequences_scores, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ properties


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 2.0), st.integers(1, 6))
def test_one_beam_is_greedy(seed, alpha, max_length):
    model = model_of(seed, V=10)
    source = torch.randint(3, 10, (3, 6), generator=torch.Generator().manual_seed(seed))
    ids, log_probs = greedy(model, source, max_length)
    beam_ids, beam_log_probs = beam_search(model, source, 1, max_length, alpha)
    assert torch.equal(ids, beam_ids[:, 0])
    torch.testing.assert_close(log_probs, beam_log_probs[:, 0], rtol=1e-5, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_a_source_is_decoded_alike_alone_in_company_and_with_padding(seed, beams):
    model = model_of(seed, V=10)
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(3, 10, (3, 6), generator=generator)
    source[1, 4:], source[2, 1:] = PAD, PAD
    wider = torch.cat([source, torch.full((3, 5), PAD)], dim=1)
    ids, log_probs = beam_search(model, source, beams, 5)
    same, same_log_probs = beam_search(model, wider, beams, 5)
    assert torch.equal(ids, same)
    torch.testing.assert_close(log_probs, same_log_probs, rtol=1e-4, atol=1e-5)
    for b, length in enumerate((6, 4, 1)):
        alone, _ = beam_search(model, source[b : b + 1, :length], beams, 5)
        assert [real(row) for row in alone[0]] == [real(row) for row in ids[b]]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(0.0, 1.5))
def test_hypotheses_are_distinct_ranked_and_well_formed(seed, beams, alpha):
    ids, log_probs = beam_search(model_of(seed, V=12), torch.tensor([[3, 5, 7]]), beams, 6, alpha)
    rows = [tuple(row.tolist()) for row in ids[0]]
    assert ids.shape[1] == beams == len(set(rows))
    assert ids.shape[2] <= 6
    lengths = (ids[0] != PAD).sum(-1)
    scores = log_probs[0] / length_penalty(lengths, alpha)
    assert (scores.diff() <= 1e-6).all()
    assert (log_probs < 0).all()
    for row in rows:
        assert START not in row
        if END in row:
            end = row.index(END)
            assert set(row[end + 1 :]) <= {PAD}
            assert PAD not in row[:end]
        else:
            assert PAD not in row


def test_greedy_stops_when_all_have_ended_and_pads_those_that_ended_before():
    class Scripted:
        """Writes 5 as often as its source says, then END."""

        def encode(self, source):
            return source[:, :1, None].float(), source != PAD

        def decode(self, target, memory, memory_mask):
            wanted = memory[:, 0, 0]
            token = torch.where(target.shape[1] - 1 < wanted, 5, END)
            return torch.nn.functional.one_hot(token, V)[:, None].float() * 50

    ids, log_probs = greedy(Scripted(), torch.tensor([[1], [3], [2]]), 100)
    assert ids.tolist() == [[5, END, PAD, PAD], [5, 5, 5, END], [5, 5, END, PAD]]
    assert log_probs.abs().max() < 1e-3
    assert greedy(Scripted(), torch.tensor([[9]]), 4)[0].tolist() == [[5, 5, 5, 5]]


def test_a_step_worked_out_by_hand():
    """Two beams, one finished; V = 4: PAD, START, END and 3."""
    half = math.log(0.5)
    ids = torch.tensor([[[START, END], [START, 3]]])
    total = torch.tensor([[-1.0, -0.5]])
    log_probs = torch.tensor([[[-9.0, -9.0, -9.0, 0.0], [float("-inf"), float("-inf"), half, half - 0.1]]])
    found, new_total = beam_step(ids, total, log_probs, alpha=0.0)
    assert found.tolist() == [[[START, END, PAD], [START, 3, END]]]
    torch.testing.assert_close(new_total, torch.tensor([[-1.0, -0.5 + half]]))
    found, new_total = beam_step(
        ids, total, log_probs, alpha=2.0
    )  # length 1 against 2: -1 against -1.1931 / (7/6)² = -0.877
    assert found.tolist() == [[[START, 3, END], [START, 3, 3]]]
    torch.testing.assert_close(new_total, torch.tensor([[-0.5 + half, -0.6 + half]]))


def test_the_penalty_is_equation_14():
    for length in (1, 2, 10, 50):
        for alpha in (0.0, 0.2, 0.6, 1.0):
            expected = (5 + length) ** alpha / (5 + 1) ** alpha
            assert length_penalty(torch.tensor([length]), alpha).item() == pytest.approx(expected, rel=1e-6)


def test_next_log_probs_are_the_models_but_for_what_is_never_written():
    model = model_of()
    with torch.no_grad():
        memory, mask = model.encode(SOURCE)
        target = torch.tensor([[START, 3], [START, 4], [START, 5]])
        expected = torch.log_softmax(model.decode(target, memory, mask)[:, -1], -1)
        got = next_log_probs(model, target, memory, mask)
    torch.testing.assert_close(got[:, END:], expected[:, END:])
    assert (got[:, [PAD, START]] == float("-inf")).all()


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beams": 0}, ["beams = 0", "at least 1 hypothesis", "greedy"]),
        ({"max_length": 0}, ["max_length = 0", "at least 1 token"]),
        ({"alpha": -0.5}, ["alpha = -0.5", "0 or more"]),
        ({"source": torch.zeros(0, 4, dtype=torch.long)}, ["source has shape (0, 4)", "B >= 1"]),
        ({"source": torch.zeros(2, 0, dtype=torch.long)}, ["source has shape (2, 0)", "S >= 1"]),
        ({"source": torch.tensor([3, 4])}, ["source has shape (2,)", "source[None]"]),
    ],
)
def test_errors_name_the_argument_its_value_and_the_fix(change, words):
    arguments = {"source": SOURCE, "beams": 2, "max_length": 5, "alpha": 0.6} | change
    with pytest.raises(ValueError, match="expected") as error:
        beam_search(model_of(), **arguments)
    for word in words:
        assert word in str(error.value)
    if not {"beams", "alpha"} & set(change):
        with pytest.raises(ValueError, match="expected"):
            greedy(model_of(), arguments["source"], arguments["max_length"])
