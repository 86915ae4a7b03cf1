"""The loop: it learns, says what it did, stops in every way it can, and never leaves a ruined model."""

import math
import os
import signal
import threading

import pytest
import torch
from pretraining_helpers import CONFIG, T, V, recipe, same_weights, small_model, some_batches, some_shard

from lablib.pretraining import flops
from lablib.pretraining.batching import Batch
from lablib.pretraining.checkpoint import CheckpointError, latest
from lablib.pretraining.divergence import Diverged, likely_cause
from lablib.pretraining.interrupt import Interrupt
from lablib.pretraining.loss import token_nats
from lablib.pretraining.record import Step
from lablib.pretraining.training import train


@pytest.mark.parametrize(
    "changes", [{}, {"optimiser": "muon"}, {"dtype": "bfloat16"}, {"schedule": "wsd", "accumulation": 2}]
)
def test_it_learns(tmp_path, changes):
    steps = list(train(small_model(), some_batches(tmp_path), recipe(steps=150, lr=1e-2, **changes)))
    assert steps[0].loss == pytest.approx(math.log(V), abs=0.1)  # knows nothing yet
    assert steps[-1].loss < 0.8 * math.log(V)  # what the tokens' frequencies alone give is above 0.99


def test_what_a_step_says(tmp_path):
    config = recipe(steps=5)
    steps = list(train(small_model(), some_batches(tmp_path), config, flops=flops.per_token(CONFIG, T), peak=1e9))
    for i, step in enumerate(steps):
        assert (step.step, step.tokens, step.stopped) == (i + 1, (i + 1) * 8 * T, False)
        assert step.lr == pytest.approx(config.lr * config.factor(i))
        assert step.tokens_per_second == pytest.approx(8 * T / step.seconds)
        assert step.mfu == pytest.approx(step.tokens_per_second * flops.per_token(CONFIG, T) / 1e9)
    assert next(train(small_model(), some_batches(tmp_path), config)).mfu is None


def test_flops_by_counting_them():
    from torch.utils.flop_counter import FlopCounterMode

    from lablib.architecture.decoder import PLAIN, Decoder

    model, ids = Decoder(CONFIG, PLAIN), torch.zeros(4, T, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        token_nats(model, Batch(ids, ids)).backward()
    # PaLM's formula counts vectors (the norms' weights) as matrices, and a gradient of the embeddings that is no product
    vectors = sum(weight.numel() for weight in model.parameters() if weight.dim() == 1)
    assert counter.get_total_flops() / (4 * T) == flops.per_token(CONFIG, T) - 6 * vectors


def test_only_masked_targets_count(tmp_path):
    ids = torch.randint(V, (4, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(8) < torch.tensor([8, 1, 0, 3])[:, None]
    step = next(train(small_model(), lambda step: Batch(ids[:, :-1], ids[:, 1:], mask), recipe(batch=4)))
    logp = small_model()(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    assert step.loss == pytest.approx(-logp[mask].mean().item(), rel=1e-5)
    assert step.tokens == 12
    nothing = Batch(ids[:, :-1], ids[:, 1:], torch.zeros_like(mask))
    with pytest.raises(ValueError, match=r"batches\(0\) has no prediction that counts"):
        next(train(small_model(), lambda step: nothing, recipe(batch=4)))


def test_the_model_is_trained_in_training_mode_and_old_gradients_do_no_harm(tmp_path):
    a, b = small_model(), small_model().eval()
    token_nats(b, some_batches(tmp_path)(7)).backward()
    list(train(a, some_batches(tmp_path), recipe(steps=3)))
    list(train(b, some_batches(tmp_path), recipe(steps=3)))
    assert b.training
    assert same_weights(a, b)


def test_compiled_by_whatever_backend_it_learns_the_same(tmp_path, monkeypatch):
    compiled = []

    def compiler(model):
        compiled.append(model)
        return torch._dynamo.optimize("eager")(model)  # no C++ compiler, the same graphs

    monkeypatch.setattr(torch, "compile", compiler)
    a, b = small_model(), small_model()
    one = [step.loss for step in train(a, some_batches(tmp_path), recipe(steps=3))]
    two = [step.loss for step in train(b, some_batches(tmp_path), recipe(steps=3, compile=True))]
    assert compiled == [b]
    assert two == pytest.approx(one, rel=1e-5)
    assert a.state_dict().keys() == b.state_dict().keys()


# ---------------------------------------------------------------- leaving, and going on


@pytest.mark.parametrize("changes", [{}, {"optimiser": "muon"}])
def test_left_and_resumed_it_is_bit_equal(tmp_path, changes):
    batches, config = some_batches(tmp_path), recipe(**changes)
    whole = small_model()
    losses = [step.loss for step in train(whole, batches, config)]
    found = []
    for leave_at in (3, 4, 9, 99):
        model = small_model(seed=99)  # a resumed run's own start does not matter…
        if not found:
            model = small_model()  # …but the first one's does
        for step in train(model, batches, config, folder=tmp_path / "run", every=5):
            found.append(step)
            if step.step == leave_at:
                break
    assert [step.step for step in found] == list(range(1, 13))
    assert [step.loss for step in found] == losses
    assert [step.tokens for step in found] == [8 * T * step.step for step in found]
    assert same_weights(model, whole)
    assert list(train(small_model(), batches, config, folder=tmp_path / "run")) == []  # it is finished
    assert latest(tmp_path / "run").step == 12


def test_another_recipe_or_model_is_not_resumed(tmp_path):
    batches = some_batches(tmp_path)
    about = {"model": {"D": 16, "sizes": (1, 2)}}
    list(train(small_model(), batches, recipe(steps=2), folder=tmp_path / "run", settings=about))
    again = train(small_model(), batches, recipe(steps=2, accumulation=2), folder=tmp_path / "run", settings=about)
    assert list(again) == []
    for other, settings, message in (
        (recipe(steps=3, lr=0.5), about, "steps = 2 and 3; lr = 0.003 and 0.5"),
        (recipe(steps=2), {"model": {"D": 24}}, r"model = \{'D': 16, 'sizes': \[1, 2\]\} and \{'D': 24\}"),
        (recipe(steps=2), {}, "model = .* and None"),
    ):
        with pytest.raises(CheckpointError, match=message):
            next(train(small_model(), batches, other, folder=tmp_path / "run", settings=settings))


@pytest.mark.parametrize("press_in", ["batches", "loss", "update"])
def test_ctrl_c_finishes_the_step_saves_and_ends_quietly(tmp_path, monkeypatch, press_in):
    batches, config, folder = some_batches(tmp_path), recipe(), tmp_path / "run"
    whole = small_model()
    list(train(whole, batches, config))
    pressed = []

    def press():
        if not pressed and calls["n"] >= 4:
            pressed.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    calls = {"n": 0}

    def watched(function, name):
        def call(*arguments, **keywords):
            calls["n"] += press_in == name
            if press_in == name:
                press()
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(torch.optim.AdamW, "step", watched(torch.optim.AdamW.step, "update"))
    model = small_model()
    before = signal.getsignal(signal.SIGINT)
    steps = list(train(model, watched(batches, "batches"), config, loss=watched(token_nats, "loss"), folder=folder))
    assert pressed
    assert signal.getsignal(signal.SIGINT) is before
    assert [step.stopped for step in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) in (4, 5)  # the step of the press, or the one after it
    assert latest(folder).step == len(steps)
    assert math.isfinite(token_nats(model, batches(0)).item())
    list(train(model, batches, config, folder=folder))
    assert same_weights(model, whole)


def test_ctrl_c_while_somebody_looks_at_a_step_saves_and_is_an_exception(tmp_path):
    batches, folder = some_batches(tmp_path), tmp_path / "run"
    model, before = small_model(), signal.getsignal(signal.SIGINT)
    steps = train(model, batches, recipe(), folder=folder, every=100)

    def look():
        for step in steps:
            if step.step == 4:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        look()
    assert latest(folder).step == 4  # though nobody has closed the generator, as in a notebook
    whole = small_model()
    list(zip(range(4), train(whole, batches, recipe()), strict=False))
    assert same_weights(model, whole)
    steps.close()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_between_steps_is_one_even_when_nothing_can_be_saved():
    def full():
        raise OSError("No space left on device")

    with pytest.raises(KeyboardInterrupt), Interrupt().after(full):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_press_is_an_exception_at_once(monkeypatch):
    monkeypatch.setattr("lablib.pretraining.interrupt.TOGETHER", 0.0)
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)


def test_two_presses_at_once_are_one():
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert interrupt.asked


def test_it_trains_in_a_thread_too(tmp_path):
    found = []
    batches = some_batches(tmp_path)
    thread = threading.Thread(target=lambda: found.extend(train(small_model(), batches, recipe(steps=2))))
    thread.start()
    thread.join()
    assert len(found) == 2


# ---------------------------------------------------------------- divergence


def ruined(at: int, value: float):
    """A loss that is fine until its `at`-th call."""
    calls = []

    def loss(model, batch):
        calls.append(1)
        return token_nats(model, batch) * (value if len(calls) == at else 1.0)

    return loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_of_nan_stops_with_the_last_good_model(tmp_path, value):
    batches, folder = some_batches(tmp_path), tmp_path / "run"
    model, good = small_model(), small_model()
    list(zip(range(4), train(good, batches, recipe()), strict=False))  # the model that had the loss of step 5
    seen = []
    steps = train(model, batches, recipe(), loss=ruined(6, value), folder=folder, every=2)
    with pytest.raises(Diverged, match=r"step 6 has the loss .*Its batch is batches\(5\)") as caught:
        seen.extend(steps)
    error = caught.value
    assert error.step == 6
    assert error.lr == pytest.approx(recipe().lr * recipe().factor(5))
    assert error.last == seen[-1]
    assert f"the last finite loss was {seen[-1].loss:.4f}, in step 5" in str(error)
    assert "this batch alone" in str(error)
    assert same_weights(model, good)
    assert math.isfinite(token_nats(model, batches(5)).item())
    assert latest(folder).step == 4  # and the checkpoints are as they were


def test_without_rescue_the_weights_are_those_before_the_bad_step(tmp_path):
    batches = some_batches(tmp_path)
    model, before = small_model(), small_model()
    list(zip(range(5), train(before, batches, recipe()), strict=False))
    with pytest.raises(Diverged):
        list(train(model, batches, recipe(rescue=False), loss=ruined(6, math.nan)))
    assert same_weights(model, before)


def test_a_learning_rate_over_the_cliff_is_named(tmp_path):
    model = small_model()
    config = recipe(steps=400, lr=1e37, warmup=0.0, clip=math.inf, weight_decay=0.0)
    message = r"the learning rate of 1e\+37 is too high: before this, weights have grown to \S+e\+37.*Try a third of it.*clip = 1.0"
    with pytest.raises(Diverged, match=message) as caught:
        list(train(model, some_batches(tmp_path), config))
    assert caught.value.step == 2
    assert all(bool(weight.isfinite().all()) for weight in model.parameters())


def steps_like(*pairs: tuple[float, float]) -> list[Step]:
    return [Step(i + 1, loss, norm, 0.1, 0, 1.0, 1.0) for i, (loss, norm) in enumerate(pairs)]


CALM = [(3.0, 1.0), (2.9, 1.1), (2.8, 0.9)]


@pytest.mark.parametrize(
    ("loss", "history", "bad", "largest", "changes", "expected"),
    [
        (math.nan, [], ["a.weight"], 1.0, {}, "1 weights were no finite numbers before this step"),
        (math.nan, [], [], 1.0, {}, "no finite loss before any training"),
        (math.nan, [*CALM, (2.9, 14.0)], [], 1.0, {}, "too high: before this, the gradient norm went up to 14 (usual: 1.1). Try"),
        (math.nan, [*CALM, (4.9, 1.0)], [], 1.0, {}, "too high: before this, the loss went from 2.800 to 4.900. Try"),
        (math.nan, CALM, ["a"], 5e3, {"clip": math.inf}, "grown to 5e+03 and 1 beyond. Try a third of it, or a longer warm-up, and clip"),
        (2.7, CALM, [], 1.0, {"dtype": "bfloat16"}, "overflowed in bfloat16, while the loss is finite: try dtype = 'float32'"),
        (2.7, CALM, [], 1.0, {}, "overflowed in float32, while the loss is finite: look for"),
        (math.nan, CALM, [], 1.0, {}, "this batch alone"),
    ],
)  # fmt: skip
def test_each_cause_has_its_own_words(loss, history, bad, largest, changes, expected):
    assert expected in likely_cause(loss, 0.1, recipe(**changes), steps_like(*history), bad, largest)


def test_weights_that_are_no_numbers_from_the_start_are_named(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.layers[1].norm_2.weight[3] = math.nan
    with pytest.raises(Diverged, match=r"1 weights were no finite numbers before this step \(layers.1.norm_2.weight\)"):
        next(train(model, some_batches(tmp_path), recipe()))


def test_a_gradient_that_overflows_is_named(tmp_path):
    def loss(model, batch):
        nats = token_nats(model, batch)
        return nats + (nats - nats.detach()).abs().sqrt()  # √ has the slope 0 · ∞ at 0

    with pytest.raises(Diverged, match=r"there was no step before it.*no finite loss before any training"):
        next(train(small_model(), some_batches(tmp_path), recipe(), loss=loss))
    calls = []

    def later(model, batch):
        calls.append(1)
        return (loss if len(calls) > 3 else token_nats)(model, batch)

    with pytest.raises(Diverged, match=r"step 4.*the gradient overflowed in float32, while the loss is finite"):
        list(train(small_model(), some_batches(tmp_path), recipe(), loss=later))


def test_shard_of_the_helper_is_learnable(tmp_path):
    assert some_shard(tmp_path).V == V
