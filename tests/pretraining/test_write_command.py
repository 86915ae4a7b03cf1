"""`lab write`: a model that knows one text writes it; what it draws is what the model says."""

from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama
from lablib.pretraining import write_command
from lablib.tokens.tokenizer import Tokenizer

SIZES = DecoderConfig(V=257, D=16, H=2, L=1, hidden=16, context=32)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    found = Tokenizer.from_merges([], ["<|bos|>"])
    found.save(tmp_path_factory.mktemp("write") / "tokenizer.json")
    return found


@pytest.fixture
def folder(tmp_path, tokenizer):
    """A run whose model is certain that "a" follows the beginning, "b" an "a", and the end a "b"."""
    model = Decoder(SIZES, generator=torch.Generator().manual_seed(0))
    bos, (a, b) = tokenizer.special["<|bos|>"], tokenizer.encode("ab")
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        F.cross_entropy(model(torch.tensor([[bos, a, b]]))[0], torch.tensor([a, b, bos])).backward()
        optimiser.step()
    save_llama(model, tmp_path / "run" / "model")
    tokenizer.save(tmp_path / "tokenizer.json")
    return tmp_path


def run(folder, *arguments):
    return write_command.main([*arguments, "--tokenizer", str(folder / "tokenizer.json")], prog="lab write")


@pytest.mark.parametrize("name", ["run", "run/model"])
def test_it_writes_what_the_model_knows_up_to_the_end(folder, capsys, name):
    assert run(folder, str(folder / name), "--texts", "2", "--temperature", "0.1") == 0
    assert capsys.readouterr().out == "--- 1\nab\n--- 2\nab\n"
    assert run(folder, str(folder / name), "--texts", "1", "--prompt", "a", "--temperature", "0.1") == 0
    assert capsys.readouterr().out == "--- 1\nab\n"
    assert run(folder, str(folder / name), "--texts", "1", "--tokens", "1", "--temperature", "0.1") == 0
    assert capsys.readouterr().out == "--- 1\na\n"


def test_it_draws_from_the_model_at_a_temperature(tokenizer):
    model = Decoder(SIZES, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        model.embedding.weight.mul_(20)
        logits = model(torch.tensor([[tokenizer.special["<|bos|>"]]]))[0, -1]
    given = write_command.parser().parse_args(["-", "--texts", "4000", "--tokens", "1", "--temperature", "2"])
    seen = Counter(write_command.texts(model, tokenizer, given))
    P = torch.softmax(logits / 2, dim=-1)
    for token in P[:256].topk(5).indices.tolist():
        letter = tokenizer.decode([token])
        if letter != "\N{REPLACEMENT CHARACTER}":
            assert seen[letter] / 4000 == pytest.approx(P[token].item(), abs=4 * (P[token].item() / 4000) ** 0.5)
    given.seed = 1
    assert Counter(write_command.texts(model, tokenizer, given)) != seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "name = 'nowhere': no such model"),
        (["."], ". holds no finished model: expected config.json in it, or in model"),
        (["run", "--texts", "0"], "--texts 0: expected at least 1"),
        (["run", "--tokens", "0"], "new_tokens = 0"),
        (["run", "--temperature", "0"], "temperature = 0: expected a number > 0"),
        (["run", "--top-p", "2"], "p = 2.0: expected above 0 and at most 1"),
        (["run", "--prompt", "a" * 40], "context"),
        (["run", "--end", "<|eos|>"], "the special tokens <|bos|>: expected <|eos|> among them"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder)
    assert run(folder, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("lab write: ")
    assert error.count("\n") == 1


def test_another_models_tokenizer_is_refused(folder, capsys):
    assert write_command.main([str(folder / "run")]) == 2  # the course's, of 4,096 tokens
    assert "the model's V = 257; name the model's own with --tokenizer" in capsys.readouterr().err
