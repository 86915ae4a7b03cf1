"""GRPO's advantages and loss: trl's formulas, brute force, finite differences; its two biases, and the form without them."""

import itertools

import pytest
import torch
import trl_formulas as trl
from hypothesis import assume, given
from hypothesis import strategies as st
from rl_helpers import finite_difference, generator, gradient, junk, normal, seeds, tokens, widened

from lablib.alignment.grpo import (
    BASELINES,
    difficulty_weight,
    group_advantages,
    grpo_loss,
    per_answer,
    token_weights,
)

NAMES = {"answer": "grpo", "constant": "dr_grpo"}
pers = st.sampled_from(["answer", "constant"])


def some(seed):
    """new, old, reference, advantages (N,), mask."""
    chance, mask = tokens(seed)
    old = -normal(mask.shape, chance).abs()
    new, reference = (old + 0.3 * normal(mask.shape, chance) for _ in range(2))
    return new, old, reference, normal((len(mask),), chance), mask


@given(seed=seeds, G=st.integers(2, 6), P=st.integers(1, 4))
def test_advantages_are_trls(seed, G, P):
    scores = normal((P * G,), generator(seed))
    assert torch.allclose(group_advantages(scores, G), trl.group_advantages(scores, G), rtol=1e-9)
    assert torch.allclose(group_advantages(scores, G, "group"), trl.group_advantages(scores, G, scale=False))
    assert torch.allclose(group_advantages(scores, G, "leave-one-out"), trl.leave_one_out(scores, G))


@given(seed=seeds, G=st.integers(2, 6), shift=st.floats(-9, 9))
def test_advantages_of_a_group_sum_to_zero_and_a_constant_for_a_prompt_changes_nothing(seed, G, shift):
    scores = normal((2, G), generator(seed))
    moved = scores + torch.tensor([[shift], [0.0]])
    for baseline in BASELINES:
        found = group_advantages(scores.flatten(), G, baseline)
        assert float(found.view(2, G).sum(dim=1).abs().max()) < 1e-9
        assert float(found.abs().max()) > 1e-3
        assert torch.allclose(group_advantages(moved.flatten(), G, baseline), found, atol=1e-6)


@given(value=st.floats(-1e3, 1e3, width=32), G=st.integers(2, 9), baseline=st.sampled_from(BASELINES))
def test_a_group_whose_scores_are_all_alike_teaches_nothing(value, G, baseline):
    assert not group_advantages(torch.full((G,), value), G, baseline).any()


def test_leave_one_out_is_unbiased_and_the_groups_own_mean_is_not_quite():
    """Policy gradient of a coin with chance p of reward 1, exactly, over all outcomes of G throws."""
    p, G = 0.3, 3
    true = p * (1 - p)  # d/dz of p(z) = σ(z)
    outcomes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * G)
    chances = (p**outcomes * (1 - p) ** (1 - outcomes)).prod(dim=1)
    for baseline, factor in (("leave-one-out", 1.0), ("group", (G - 1) / G)):
        found = sum(
            chance
            * ((scores - p) * group_advantages(scores, G, baseline)).mean()  # d log P(outcome) / dz = outcome − p
            for chance, scores in zip(chances, outcomes, strict=True)
        )
        assert float(found) == pytest.approx(factor * true)


@given(seed=seeds, beta=st.floats(0, 1), clip=st.floats(0.05, 0.5), per=pers)
def test_the_loss_is_trls(seed, beta, clip, per):
    new, old, reference, advantages, mask = some(seed)
    ours = grpo_loss(new, old, reference, advantages, mask, beta, clip, per, longest=11)
    theirs = trl.grpo_loss(new, old, reference, advantages, mask.double(), beta, clip, NAMES[per], 11)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)


@given(seed=seeds, per=pers)
def test_its_gradient_is_that_of_finite_differences(seed, per):
    new, old, reference, advantages, mask = some(seed)
    ratio = (new - old).exp()
    assume(float(((ratio - 1).abs() - 0.2).abs().min()) > 1e-4)

    def loss(x):
        return grpo_loss(x, old, reference, advantages, mask, 0.3, 0.2, per, longest=11)

    assert torch.allclose(gradient(loss, new), finite_difference(loss, new), atol=1e-7)


@given(seed=seeds, per=pers, value=st.sampled_from([2.0, float("nan"), float("inf")]), right=st.integers(0, 4))
def test_padding_changes_nothing(seed, per, value, right):
    new, old, reference, advantages, mask = some(seed)
    wide_mask = widened(mask, 1, right, False)
    wide = [widened(junk(x, mask, value), 1, right, value) for x in (new, old, reference)]
    alone = grpo_loss(new, old, reference, advantages, mask, 0.3, 0.2, per, longest=11).item()
    assert grpo_loss(*wide, advantages, wide_mask, 0.3, 0.2, per, longest=11).item() == pytest.approx(alone)
    pushed = gradient(lambda x: grpo_loss(x, *wide[1:], advantages, wide_mask, 0.3, 0.2, per, longest=11), wide[0])
    assert pushed.isfinite().all()
    assert not pushed[~wide_mask].any()


@given(seed=seeds, per=pers)
def test_token_weights_are_the_gradient(seed, per):
    new, _, _, advantages, mask = some(seed)
    found = gradient(lambda x: -grpo_loss(x, new, new, advantages, mask, 0.0, 0.2, per, longest=11), new)
    assert torch.allclose(token_weights(advantages, mask, per, 11), found)


def test_a_long_wrong_answer_is_blamed_less_a_token_by_grpo_and_not_by_its_corrected_form():
    mask = torch.arange(40) < torch.tensor([[10], [40]])
    wrong = torch.tensor([-1.0, -1.0])
    biased, even = (token_weights(wrong, mask, per, longest=40) for per in ("answer", "constant"))
    assert (biased[0, 0] / biased[1, 0]).item() == pytest.approx(4)
    assert biased.sum(dim=1).tolist() == pytest.approx([-0.5, -0.5])
    assert even[mask].unique().numel() == 1
    assert (even.sum(dim=1)[1] / even.sum(dim=1)[0]).item() == pytest.approx(4)


def test_easy_and_hard_prompts_count_more_by_the_standard_deviation():
    """The weight of a prompt is how strongly one right answer in it is praised, compared with the corrected form."""
    G = 1000
    for right in (500, 900, 990):
        scores = (torch.arange(G) < right).double()
        factor = (group_advantages(scores, G)[0] / group_advantages(scores, G, "group")[0]).item()
        assert factor == pytest.approx(difficulty_weight(torch.tensor(right / G)).item(), rel=2e-3)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("G", [2, 3, 6])
def test_the_weight_of_a_prompt_with_few_answers_is_that_of_all_groups_that_may_be_drawn(p, G):
    """The gradient in p, ∇ log P(score) times advantage summed over every group, divided by that of the corrected form."""
    pushes = {"group-std": 0.0, "group": 0.0}
    for group in itertools.product((0.0, 1.0), repeat=G):
        scores = torch.tensor(group, dtype=torch.float64)
        chance = torch.where(scores == 1, p, 1 - p).prod()
        direction = torch.where(scores == 1, 1 / p, -1 / (1 - p))
        for baseline in pushes:
            pushes[baseline] += (chance * direction * group_advantages(scores, G, baseline)).sum().item()
    factor = difficulty_weight(torch.tensor(p, dtype=torch.float64), G).item()
    assert pushes["group-std"] / pushes["group"] == pytest.approx(factor, rel=1e-3)  # SMALL is added to the deviation


def test_an_answer_without_tokens_is_no_nan():
    mask = torch.tensor([[True, True], [False, False]])
    new = torch.zeros(2, 2, requires_grad=True)
    for per in ("answer", "constant"):
        loss = grpo_loss(new, new.detach(), new.detach(), torch.tensor([1.0, -1.0]), mask, 0.1, 0.2, per, longest=4)
        assert loss.isfinite()
    assert per_answer(torch.ones(2, 2), mask, "answer", 4).item() == 0.5


def test_errors_name_what_is_wrong():
    for G in (1, 3, 0):
        with pytest.raises(ValueError, match=f"G = {G} with 4 scores"):
            group_advantages(torch.zeros(4), G)
    with pytest.raises(ValueError, match="baseline = 'mean': expected one of group, group-std, leave-one-out"):
        group_advantages(torch.zeros(4), 2, "mean")
    with pytest.raises(ValueError, match=r"scores\[2\] = nan"):
        group_advantages(torch.tensor([0.0, 1.0, float("nan"), 1.0]), 2)
    x, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"advantages has shape \(2, 3\): expected \(2,\)"):
        grpo_loss(x, x, x, x, mask, 0.1)
    with pytest.raises(ValueError, match="per = 'token'"):
        grpo_loss(x, x, x, x[:, 0], mask, 0.1, per="token")
