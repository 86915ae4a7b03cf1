"""Writing in batches: the tokens of `transformers`, the log-probabilities of one full pass, and nothing that depends on the batch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.architecture.decoder import FAST, PLAIN, CausalModel, Decoder, DecoderConfig
from lablib.architecture.gpt2 import GPT2, GPT2Config
from lablib.architecture.llama_format import save_llama
from lablib.pretraining import generation
from lablib.pretraining.fused_decoder import FusedDecoder, attend_cached, attend_one
from lablib.pretraining.generation import generate, stream
from lablib.pretraining.sampling import Sampling

SIZES = {"V": 60, "D": 24, "H": 6, "L": 3, "hidden": 40, "context": 40}
KINDS = ["llama", "grouped", "plain", "gpt2"]
PROMPTS = [[5, 9, 3, 3, 20, 41, 7], [7], [1, 2, 3], [8, 8, 30, 2]]
SAMPLINGS = [None, Sampling(), Sampling(0.7, top_k=20, top_p=0.9), Sampling(1.3, min_p=0.05)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_model(kind: str, seed: int = 0) -> CausalModel:
    """A small model whose every weight matters: norms away from 1, biases away from 0, confident logits."""
    if kind == "gpt2":
        model: CausalModel = GPT2(GPT2Config(**SIZES), generator=seeded(seed))
    else:
        grouped = {"kv_heads": 2, "tied": False} if kind != "llama" else {}
        parts = PLAIN if kind == "plain" else FAST
        model = Decoder(DecoderConfig(**SIZES, **grouped), parts, generator=seeded(seed))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=seeded(seed + 1)) * (0.3 if weight.dim() > 1 else 0.5))
    return model


def full_log_probs(model, prompt, answer):
    """log p of each token of the answer, by one pass over everything without a cache: (n,)."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer]))[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1), logits


# ---------------------------------------------------------------- oracles


@pytest.mark.parametrize("kind", ["llama", "grouped"])
@pytest.mark.parametrize("stops", [0, 1, 2])
def test_it_writes_what_transformers_writes(kind, stops, tmp_path):
    from transformers import LlamaForCausalLM

    model = some_model(kind)
    save_llama(model, tmp_path)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path).eval()
    free = generate(model, PROMPTS, 20)
    stop = [int(free.ids[1, 5]), int(free.ids[2, 9])][:stops]  # tokens that really come, in the middle of rows
    T = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (T - len(p)) + p for p in PROMPTS])
    mask = torch.tensor([[0] * (T - len(p)) + [1] * len(p) for p in PROMPTS])
    expected = theirs.generate(
        ids, attention_mask=mask, max_new_tokens=20, do_sample=False, eos_token_id=stop or None, pad_token_id=0
    )[:, T:]
    written = generate(model, PROMPTS, 20, stop=stop)
    n = written.ids.shape[1]
    assert n == expected.shape[1]
    assert torch.equal(written.ids, expected)
    assert len(free.ids.unique()) > 5  # not one token again and again
    if stops:
        assert "stop" in written.ended
        assert written.mask.sum() < free.mask.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_log_probs_are_those_of_a_full_pass(kind, sampling):
    model = some_model(kind)
    written = generate(model, PROMPTS, 15, sampling, seeded(3), stop=[11, 17])
    assert written.mask.sum() > 20
    for row, prompt in enumerate(PROMPTS):
        n = int(written.mask[row].sum())
        answer = written.ids[row, :n].tolist()
        log_p, logits = full_log_probs(model, prompt, answer)
        index = torch.tensor(answer)[:, None]
        torch.testing.assert_close(written.log_probs[row, :n], log_p.gather(1, index)[:, 0], rtol=0, atol=1e-5)
        if sampling is None:
            assert torch.equal(index[:, 0], logits.argmax(-1))
            assert not written.drawn_log_probs[row].any()
        else:
            drawn = sampling.logits(logits).log_softmax(-1).gather(1, index)[:, 0]
            torch.testing.assert_close(written.drawn_log_probs[row, :n], drawn, rtol=0, atol=1e-5)
        assert not written.mask[row, n:].any()
        assert not written.log_probs[row, n:].any()
        assert not written.ids[row, n:].any()


def test_drawn_tokens_have_the_frequencies_of_the_model():
    model, n = some_model("llama"), 4000
    written = generate(model, [[4, 2]] * n, 1, Sampling(top_k=8), seeded(0))
    with torch.no_grad():
        expected = Sampling(top_k=8).logits(model(torch.tensor([[4, 2]]))[:, -1]).softmax(-1)[0]
    found = written.ids[:, 0].bincount(minlength=60) / n
    assert ((found - expected).abs() <= 4 * (expected * (1 - expected) / n).sqrt() + 1e-9).all()
    assert (expected > 0).sum() == 8


# ---------------------------------------------------------------- what must not matter

prompts_of = st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    prompts=prompts_of,
    new=st.integers(1, 12),
    sampling=st.sampled_from(SAMPLINGS),
    seed=st.integers(0, 9),
)
def test_a_row_is_written_as_if_alone(kind, prompts, new, sampling, seed):
    model, stop = some_model(kind), [3, 17, 21, 40]
    together = generate(model, prompts, new, sampling, seeded(seed), stop)
    one_by_one = seeded(seed)
    for row, prompt in enumerate(prompts):
        alone = generate(model, [prompt], new, sampling, one_by_one, stop)
        n = alone.ids.shape[1]
        assert together.ids[row, :n].tolist() == alone.ids[0].tolist()
        assert int(together.mask[row].sum()) == n
        assert together.ended[row] == alone.ended[0]
        torch.testing.assert_close(together.log_probs[row, :n], alone.log_probs[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.drawn_log_probs[row, :n], alone.drawn_log_probs[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", [None, Sampling(), Sampling(0.7, top_p=0.9)])
def test_a_prompt_that_is_given_several_times_is_read_once(kind, sampling, monkeypatch):
    model, read = some_model(kind), []
    real_read = FusedDecoder.read

    def noted(self, ids, *rest):
        read.append(tuple(ids.shape))
        return real_read(self, ids, *rest)

    monkeypatch.setattr(FusedDecoder, "read", noted)
    prompts = [PROMPTS[n] for n in (2, 0, 2, 2, 1, 0)]
    written = generate(model, prompts, 9, sampling, seeded(5), stop=[11])
    assert read[0] == (3, 7), "three different ones, as long as the longest"
    chance = seeded(5)
    for row, prompt in enumerate(prompts):
        alone = generate(model, [prompt], 9, sampling, chance, stop=[11])
        n = alone.ids.shape[1]
        assert torch.equal(written.ids[row, :n], alone.ids[0])
        assert int(written.mask[row].sum()) == n
        torch.testing.assert_close(written.log_probs[row, :n], alone.log_probs[0], rtol=0, atol=1e-5)
    if sampling is not None:
        assert len({tuple(written.ids[row].tolist()) for row in (0, 2, 3)}) > 1, "each has chance of its own"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_rows_that_leave_the_batch_change_nothing(kind, keep, monkeypatch):
    model = some_model(kind)
    prompts = [[i, 2 * i] if i % 2 else [i] for i in range(1, 13)]
    expected = generate(model, prompts, 20, Sampling(), seeded(1), stop=[1, 2, 3, 4])
    sizes = []
    read = FusedDecoder.read

    def counted(self, ids, real=None):
        sizes.append(len(ids))
        return read(self, ids, real)

    monkeypatch.setattr(generation, "KEEP", keep)
    monkeypatch.setattr(FusedDecoder, "read", counted)
    found = generate(model, prompts, 20, Sampling(), seeded(1), stop=[1, 2, 3, 4])
    assert torch.equal(found.ids, expected.ids)
    assert found.ended == expected.ended
    assert "stop" in found.ended
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=0, atol=1e-5)
    if keep == 0:
        assert set(sizes) == {12}
    if keep == 1:  # nobody who has ended is carried on
        assert sizes == [12, *found.mask[:, 1:].sum(dim=0).tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_stream_is_generate_without_the_stop_token(kind):
    model = some_model(kind)
    for sampling in SAMPLINGS:
        written = generate(model, [[5, 6]], 20, sampling, seeded(2), stop=[3, 9])
        assert list(stream(model, [5, 6], 20, sampling, seeded(2), stop=[3, 9])) == written.rows[0]


def test_a_stream_gives_each_token_at_once_and_leaves_gradients_as_they_are():
    tokens = stream(some_model("llama"), [5, 6], 20)
    next(tokens)
    assert torch.is_grad_enabled()
    next(tokens)
    tokens.close()
    assert torch.is_grad_enabled()


def test_what_comes_out_can_be_trained_on():
    model = some_model("llama")
    written = generate(model, PROMPTS, 6, Sampling(), seeded(0))
    ratio = (F.embedding(written.ids, model.embedding.weight).sum(-1) * written.log_probs.exp() * written.mask).sum()
    ratio.backward()
    assert model.embedding.weight.grad.abs().sum() > 0


def test_the_stop_token_is_in_ids_and_not_in_rows():
    model = some_model("llama")
    free = generate(model, PROMPTS, 10)
    stop = int(free.ids[0, 4])
    written = generate(model, PROMPTS, 10, stop=[stop])
    first = free.ids[0].tolist().index(stop)
    assert written.rows[0] == free.ids[0, :first].tolist()
    assert written.ids[0, first] == stop
    assert written.mask[0].sum() == first + 1
    assert written.ended[0] == "stop"


# ---------------------------------------------------------------- the end of the context


@pytest.mark.parametrize("kind", KINDS)
def test_the_context_ends_each_row_for_itself(kind):
    model = some_model(kind)
    prompts = [list(range(1, 36)), [1], list(range(1, 40))]
    written = generate(model, prompts, 12)
    assert written.mask.sum(dim=1).tolist() == [5, 12, 1]  # 40 − 35, new_tokens, 40 − 39
    assert written.ended == ("context", "length", "context")
    assert generate(model, [[1]], 12).ids[0].tolist() == written.ids[1].tolist()


@pytest.mark.parametrize(
    ("prompts", "new", "words"),
    [
        ([], 5, ["prompts is empty", "at least one"]),
        ([[1], []], 5, ["prompts[1] is empty", "begins a text"]),
        ([1, 2, 3], 5, ["prompts[0] is 1", "[[1, 2, 3]]"]),
        (["text"], 5, ["prompts[0] is 'text'", "token numbers"]),
        ([[1], [2] * 40], 5, ["prompts[1] has 40 tokens", "context of 40", "prompt[-35:]"]),
        ([[1] * 41], 100, ["41 tokens", "prompt[-1:]"]),
        ([[1]], 0, ["new_tokens = 0"]),
        ([[1, 60]], 5, ["60"]),
        ([[-1]], 5, ["-1"]),
    ],
)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_errors_say_what_is_wrong_and_what_to_do(kind, prompts, new, words):
    with pytest.raises(ValueError, match=r".") as caught:
        generate(some_model(kind), prompts, new)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("sampling", [None, Sampling(), Sampling(top_p=0.9)])
def test_a_broken_model_is_told(sampling):
    model = some_model("llama")
    with torch.no_grad():
        model.norm.weight[0] = math.nan
    with pytest.raises(ValueError, match=r"row 0, has nan in it: .* weights finite"):
        generate(model, [[1, 2]], 3, sampling, seeded(0))
    with pytest.raises(ValueError, match=r"row 0, has nan in it: .* weights finite"):
        list(stream(model, [1, 2], 3, sampling, seeded(0)))


def test_a_temperature_that_overflows_is_told():
    with pytest.raises(ValueError, match=r"row 0, has (nan|inf) in it"):
        generate(some_model("llama"), [[1, 2]], 3, Sampling(temperature=1e-40), seeded(0))


# ---------------------------------------------------------------- the decoder inside


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    pieces=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    pads=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    keep=st.sampled_from([[0, 1], [1], [1, 0]]),
)
def test_read_piece_by_piece_is_the_model_in_one_go(kind, pieces, pads, keep):
    model, first, T = some_model(kind), pieces[0], sum(pieces)
    ids = torch.randint(60, (2, T), generator=seeded(T))
    real = torch.arange(T) >= torch.tensor(pads).clamp(max=first - 1)[:, None]
    with torch.no_grad():
        decoder = FusedDecoder(model, 2, T + 2)
        found = decoder.read(ids[:, :first], None if bool(real.all()) else real[:, :first])
        torch.testing.assert_close(found, model(ids[:, :first], real[:, :first])[:, -1], rtol=1e-5, atol=1e-4)
        decoder.keep(keep)
        start = first
        for piece in pieces[1:]:
            found = decoder.read(ids[keep, start : start + piece])
            start += piece
            expected = model(ids[:, :start], real[:, :start])[keep, -1]
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
        assert found.abs().max() > 1


def test_attend_cached_is_attention_over_everything():
    generator = seeded(0)
    q, k, v = (torch.randn(2, 4, 9, 6, generator=generator) for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    keys, values = torch.full((2, 4, 12, 6), 99.0), torch.full((2, 4, 12, 6), 99.0)
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        found = attend_cached(q[:, :, start:stop], k[:, :, start:stop], v[:, :, start:stop], keys, values, start)
        torch.testing.assert_close(found, expected[:, :, start:stop], rtol=1e-5, atol=1e-6)
    assert torch.equal(keys[:, :, :9], k)
    assert (values[:, :, 9:] == 99).all()


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_attend_one_is_the_fused_function(kv_heads, kind):
    generator = seeded(kv_heads)
    q = torch.randn(3, 4, 1, 6, generator=generator)
    k, v = torch.randn(2, 3, kv_heads, 8, 6, generator=generator)
    real = torch.arange(8) >= torch.tensor([0, 3, 7])[:, None]
    mask = {"none": None, "bool": real, "float": torch.zeros(3, 8).masked_fill(~real, -torch.inf)}[kind]
    mask = None if mask is None else mask[:, None, None]
    expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    torch.testing.assert_close(attend_one(q, k, v, mask), expected, rtol=1e-5, atol=1e-6)


def test_your_own_attention_is_used():
    calls = []

    def attend(*arguments):
        calls.append(arguments[5])
        return attend_cached(*arguments)

    model = some_model("llama")
    expected = generate(model, PROMPTS, 5)
    assert torch.equal(generate(model, PROMPTS, 5, attend=attend).ids, expected.ids)
    assert calls == [start for start in (0, 7, 8, 9, 10) for _ in range(3)]  # three layers


class Behind(torch.nn.Module):
    """A linear layer and what adapters put beside or behind it: "beside" is one more matrix, "behind" is no matrix at all."""

    def __init__(self, base, where):
        super().__init__()
        self.base, self.where = base, where

    def forward(self, x):
        y = self.base(x)
        return y + 0.1 * x.sum(-1, keepdim=True) + 1 if self.where == "beside" else y + torch.relu(3 * y - 0.2)


@pytest.mark.parametrize("where", ["beside", "behind"])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_are_more_than_a_matrix(kind, where):
    model = some_model(kind)
    plain = generate(model, PROMPTS, 6).ids
    for block in model.layers:
        attention = block.attention
        attention.v_proj, attention.out_proj = Behind(attention.v_proj, where), Behind(attention.out_proj, where)
    if kind != "gpt2":
        model.layers[0].feed_forward.down = Behind(model.layers[0].feed_forward.down, where)
        model.layers[1].feed_forward.gate = Behind(model.layers[1].feed_forward.gate, where)
    written = generate(model, PROMPTS, 6)
    assert not torch.equal(written.ids, plain)
    for prompt, row, found in zip(PROMPTS, written.rows, written.log_probs, strict=True):
        log_probs, _ = full_log_probs(model, prompt, row)
        assert log_probs.argmax(-1).tolist() == row
        torch.testing.assert_close(found[: len(row)], log_probs.amax(-1), rtol=1e-4, atol=1e-4)


class Prefaced(Decoder):
    """A decoder with two tokens of its own in front of every text, as learned prompts are."""

    front = (11, 4)

    def new_cache(self, B, max_T):
        cache = super().new_cache(B, len(self.front) + max_T)
        if B and not getattr(self, "filling", False):
            self.filling = True
            with torch.no_grad():
                self.hidden(torch.tensor([list(self.front)]).expand(B, -1), cache=cache)
            self.filling = False
        return cache


def test_what_stands_in_front_of_every_text():
    plain = some_model("llama")
    model = Prefaced(plain.config)
    model.load_state_dict(plain.state_dict())
    written = generate(model, PROMPTS, 6)
    for prompt, row, found in zip(PROMPTS, written.rows, written.log_probs, strict=True):
        log_probs, _ = full_log_probs(plain, [*model.front, *prompt], row)
        assert log_probs.argmax(-1).tolist() == row
        torch.testing.assert_close(found[: len(row)], log_probs.amax(-1), rtol=1e-4, atol=1e-4)
    alone = [generate(model, [prompt], 6).rows[0] for prompt in PROMPTS]
    assert alone == written.rows
    assert written.rows != generate(plain, PROMPTS, 6).rows
