"""Adapting a model of `transformers` by `peft`: on a tiny random Llama, and, where it is installed, the real one is left alone."""

import pytest
import torch
from torch import nn

from lablib.adaptation import real_adaptation as real
from lablib.adaptation.domains import ShipsLog
from lablib.adaptation.trainable import changed, copies, trainable
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer of words, with a chat template and special tokens such as real ones have."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    texts = [text for pair in real.lessons() + real.asked_anew() for text in (pair.question, pair.answer)]
    splitter = pre_tokenizers.BertPreTokenizer()
    words = sorted({word for text in [*texts, "user assistant"] for word, _ in splitter.pre_tokenize_str(text)})
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "<|im_start|>", "<|im_end|>", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = splitter
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    made.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
    )
    return made


def llama(tokenizer, seed: int = 0) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 96}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.2, **sizes, **ends)
    return LlamaForCausalLM(config).eval()


def test_lessons_and_questions_are_about_the_same_facts_in_other_words():
    taught, asked = real.lessons(), real.asked_anew()
    assert len(asked) == len(real.SHIPS) * len(real.WORDS) == len(taught) / 2
    assert {pair.answer for pair in taught} == {pair.answer for pair in asked}
    assert not {pair.question for pair in taught} & {pair.question for pair in asked}
    facts = {(fact.subject, fact.relation): fact.value for fact in ShipsLog().facts}
    for pair in taught + asked:
        assert pair.right(pair.answer)
        assert any(pair.value == facts[name, f"ship.{relation}"] for name in real.SHIPS for relation in real.WORDS)
    with pytest.raises(ValueError, match=r"ships = \['Titanic'\]: expected ships of the log"):
        real.lessons(["Titanic"])


def test_only_answers_and_their_end_count(tokenizer):
    pairs = real.lessons()[:6]
    batch = real.Pairs(tokenizer, pairs, B=6)(0)
    said = {tuple(targets[mask].tolist()) for targets, mask in zip(batch.targets, batch.mask, strict=True)}
    assert said == {(*tokenizer(pair.answer)["input_ids"], tokenizer.eos_token_id) for pair in pairs}
    for ids, mask in zip(batch.inputs, batch.mask, strict=True):
        assert "assistant" in tokenizer.decode(ids[: int(mask.int().argmax()) + 1])


def test_a_loss_is_the_mean_that_transformers_computes(tokenizer):
    model, batch = llama(tokenizer), real.Pairs(tokenizer, real.lessons(), B=5)(0)
    ids = torch.cat((batch.inputs, batch.targets[:, -1:]), dim=1)
    labels = torch.cat((torch.full((5, 1), -100), batch.targets.masked_fill(~batch.mask, -100)), dim=1)
    expected = model(input_ids=ids, labels=labels).loss
    theirs = torch.autograd.grad(expected, list(model.parameters()))
    nats = real.real_nats(model, batch) / batch.tokens
    assert nats.item() == pytest.approx(expected.item(), rel=1e-5)
    for mine, other in zip(torch.autograd.grad(nats, list(model.parameters())), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_questions_asked_together_get_the_answers_they_get_alone(tokenizer):
    model, questions = llama(tokenizer), [pair.question for pair in real.lessons()]
    assert len({len(real.prompt_ids(tokenizer, question)) for question in questions}) > 1  # so some are padded
    alone = real.answers(model, tokenizer, questions, new_tokens=6, at_a_time=1)
    assert len(set(alone)) > 3
    for at_a_time in (5, 100):
        assert real.answers(model, tokenizer, questions, new_tokens=6, at_a_time=at_a_time) == alone


def test_it_learns_the_facts_with_frozen_weights_and_can_be_switched_off(tokenizer):
    model = llama(tokenizer, seed=1)  # one that does not say a value by chance
    before, questions = copies(model.named_parameters()), [pair.question for pair in real.lessons()[:2]]
    answered = real.answers(model, tokenizer, questions)
    adapted = real.adapted(model)
    frozen = copies((name, w) for name, w in adapted.named_parameters() if not w.requires_grad)
    assert len(frozen) == len(before)
    linear = 2 * (4 * 128 + 3 * 160)  # L · Σ (in + out)
    assert trainable(adapted) == 8 * linear
    recipe = Recipe(steps=150, batch=2, context=64, lr=5e-3, weight_decay=0.0)
    batches = real.Pairs(tokenizer, real.lessons()[:2], B=2)
    losses = [step.loss for step in train(adapted, batches, recipe, loss=real.real_nats)]
    assert losses[-1] < 0.2 * losses[0]
    assert changed(frozen, dict(adapted.named_parameters())) == []
    learned = real.answers(adapted, tokenizer, questions)
    assert all(pair.right(text) for pair, text in zip(real.lessons()[:2], learned, strict=True))
    with adapted.disable_adapter():
        assert real.answers(adapted, tokenizer, questions) == answered
    assert not any(pair.right(text) for pair, text in zip(real.lessons()[:2], answered, strict=True))
