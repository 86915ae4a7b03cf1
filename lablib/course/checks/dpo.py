"""Lab 13: the exercises on direct preference optimisation, from `lablib.alignment`."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.alignment.dpo_loss import implicit_reward, log_ratio_gap, robust_dpo_loss
from lablib.alignment.dpo_relatives import kto_reference_point, simpo_loss
from lablib.alignment.log_probs import sequence_log_probs
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake

PACKAGE = "lablib.alignment"
Four = tuple[Tensor, Tensor, Tensor, Tensor]


def _four(attempt: Attempt, n: int = 6, scale: float = 4.0) -> Four:
    """Log-probabilities of n pairs: chosen and rejected under the policy, then under the reference."""
    one, two, three, four = (attempt.normal(n, scale=scale) - 20 for _ in range(4))
    return one, two, three, four


def _far(attempt: Attempt, nats: float) -> Four:
    """Pairs whose gap h is about so many nats, once on the right and once on the wrong side."""
    chosen, rejected, ref_chosen, ref_rejected = _four(attempt, 2)
    return chosen, rejected + torch.tensor([-nats, nats]), ref_chosen, ref_rejected


# Wrong gaps h, which three losses share: each is a slip in (chosen − ref_chosen) − (rejected − ref_rejected).
def _gap_turned(c: Tensor, r: Tensor, ref_c: Tensor, ref_r: Tensor) -> Tensor:
    return -log_ratio_gap(c, r, ref_c, ref_r)


def _gap_no_reference(c: Tensor, r: Tensor, ref_c: Tensor, ref_r: Tensor) -> Tensor:
    return c - r


def _gap_added(c: Tensor, r: Tensor, ref_c: Tensor, ref_r: Tensor) -> Tensor:
    return (c - ref_c) + (r - ref_r)


def _gap_reference_added(c: Tensor, r: Tensor, ref_c: Tensor, ref_r: Tensor) -> Tensor:
    return (c - r) + (ref_c - ref_r)


def _gap_chosen_only(c: Tensor, r: Tensor, ref_c: Tensor, ref_r: Tensor) -> Tensor:
    return c - ref_c


TURNED = (
    "Chosen and rejected are exchanged, or policy and reference: h grows when the policy makes the *chosen* response likelier than the "
    "reference did."
)
NO_REFERENCE = (
    "The reference is missing: what counts is how far the policy has *moved*, log π − log π_ref, for both responses."
)
ADDED = "The two log-ratios were added: h is that of the chosen response *less* that of the rejected one."
REFERENCE_ADDED = (
    "The reference has the wrong sign: h = (log π(w) − log π(l)) − (log π_ref(w) − log π_ref(l)); its difference "
    "is taken off."
)
CHOSEN_ONLY = (
    "Only the chosen response was looked at: h has the log-ratio of the rejected one in it, too, with a minus."
)
AVERAGED = "The mean over the pairs was taken: expected a loss for each pair, (N,); the loop takes the mean."


# ---------------------------------------------------------------- 7 the log-probability of a response


def check_sequence_log_probs(attempt: Attempt) -> None:
    token = -attempt.normal(3, 6).abs() - 0.1  # the result is (N,): it has no mT
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]).bool()
    attempt.compare("responses of 3, 1 and 2 tokens", token, mask, gradients=True)
    attempt.compare("a row of which every token counts", token[:1], torch.ones(1, 6, dtype=torch.bool))
    gap = torch.tensor([[1, 1, 0, 0, 1, 0]]).bool()
    attempt.compare("a mask with a gap: an answer, a question, an answer", token[:1], gap)
    attempt.compare("an empty response: 0", token[:2], torch.tensor([[False] * 6, [True] * 6]))
    attempt.compare("−∞ where nothing counts", token.masked_fill(~mask, -torch.inf), mask, gradients=True)
    attempt.compare("NaN where nothing counts", token.masked_fill(~mask, torch.nan), mask)
    for what, value in (
        ("an impossible token in a response: −∞", -torch.inf),
        ("NaN in a response: it must show", torch.nan),
    ):
        attempt.compare(what, token.masked_fill(torch.arange(6) == 3, value), mask)
    attempt.compare("float64 arguments", token.double(), mask, rtol=1e-9)


def _sum_multiplied(token: Tensor, mask: Tensor) -> Tensor:
    return (token * mask).sum(-1)


def _sum_all(token: Tensor, mask: Tensor) -> Tensor:
    return token.sum(-1)


def _sum_turned(token: Tensor, mask: Tensor) -> Tensor:
    return sequence_log_probs(token, ~mask)


def _sum_mean(token: Tensor, mask: Tensor) -> Tensor:
    return sequence_log_probs(token, mask) / mask.sum(-1)


def _sum_mean_of_row(token: Tensor, mask: Tensor) -> Tensor:
    return token.masked_fill(~mask, 0.0).mean(-1)


def _sum_negative(token: Tensor, mask: Tensor) -> Tensor:
    return -sequence_log_probs(token, mask)


def _sum_total(token: Tensor, mask: Tensor) -> Tensor:
    return token[mask].sum()


def _sum_over_rows(token: Tensor, mask: Tensor) -> Tensor:
    return token.masked_fill(~mask, 0.0).sum(0)


def _sum_probability(token: Tensor, mask: Tensor) -> Tensor:
    return sequence_log_probs(token, mask).exp()


def _sum_of_probabilities(token: Tensor, mask: Tensor) -> Tensor:
    return token.exp().masked_fill(~mask, 0.0).sum(-1)


def _sum_minus_infinity(token: Tensor, mask: Tensor) -> Tensor:
    return token.masked_fill(~mask, -torch.inf).sum(-1)


def _sum_from_the_left(token: Tensor, mask: Tensor) -> Tensor:
    first = torch.arange(token.shape[1], device=token.device) < mask.sum(-1, keepdim=True)
    return sequence_log_probs(token, first)


def _sum_shifted(token: Tensor, mask: Tensor) -> Tensor:
    return sequence_log_probs(token[:, :-1], mask[:, 1:])


def _sum_each(token: Tensor, mask: Tensor) -> Tensor:
    return token.masked_fill(~mask, 0.0)


# ---------------------------------------------------------------- 1 the closed-form optimum


def check_optimal_policy(attempt: Attempt) -> None:
    reference = attempt.normal(5).softmax(0).double()  # the result is (K,), in float64: it has no mT
    reward = attempt.normal(5, scale=2.0).double()
    two = torch.tensor([0.5, 0.5])
    attempt.require(
        lambda f: getattr(f(two.clone(), torch.tensor([0.0, 1.0]), 1.0), "dtype", torch.float64) == torch.float64,
        ["Tried with float32 arguments.", "The result has the wrong dtype: expected float64, whatever came in."],
        "Where π_ref is tiny or r/β is large single precision is soon used up: begin with `.double()` on both.",
    )
    attempt.compare("two responses, [½, ½], rewards [0, 1], β = 1: 1 to e", two, torch.tensor([0.0, 1.0]), 1.0)
    attempt.compare("five responses, β = 0.5", reference, reward, 0.5)
    attempt.compare("five responses, β = 3", reference, reward, beta=3.0)
    attempt.compare("five equal rewards: the reference", reference, torch.full_like(reward, 7.0), 0.5)
    attempt.compare("a response that the reference never gives", torch.tensor([0.6, 0.4, 0.0]), reward[:3], 1.0)
    attempt.compare("the same, and 50 for it", torch.tensor([0.6, 0.4, 0.0]), torch.tensor([0.0, 1.0, 50.0]), 1.0)
    attempt.compare("rewards of −50 to 50 and β = 0.05", reference, 25 * torch.arange(-2.0, 3.0), 0.05)


def _optimum(scores: Callable[[Tensor, Tensor, float], Tensor]) -> Implementation:
    """A softmax of something else than log π_ref + r/β."""

    def made(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
        return scores(reference.double(), reward.double(), beta).softmax(dim=0)

    return made


_optimum_times_beta = _optimum(lambda p, r, beta: p.log() + r * beta)
_optimum_no_reference = _optimum(lambda p, r, beta: r / beta)
_optimum_no_beta = _optimum(lambda p, r, beta: p.log() + r)
_optimum_no_log = _optimum(lambda p, r, beta: p + r / beta)
_optimum_turned = _optimum(lambda p, r, beta: p.log() - r / beta)
_optimum_all_divided = _optimum(lambda p, r, beta: (p.log() + r) / beta)
_optimum_reference_turned = _optimum(lambda p, r, beta: r / beta - p.log())


def _optimum_exp(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    weights = reference.double() * (reward.double() / beta).exp()
    return weights / weights.sum()


def _optimum_not_normalised(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return reference.double() * (reward.double() / beta).exp()


def _optimum_other_sum(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return reference.double() * (reward.double() / beta).softmax(dim=0)


def _optimum_best(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return F.one_hot(reward.argmax(), len(reward)).double()


def _optimum_log(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return (reference.double().log() + reward.double() / beta).log_softmax(dim=0)


def _optimum_mixed(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    weights = reference.double() + (reward.double() / beta).softmax(dim=0)
    return weights / 2


# ---------------------------------------------------------------- 2 the implicit reward


def check_implicit_reward(attempt: Attempt) -> None:
    policy, reference = attempt.normal(5, scale=4.0) - 20, attempt.normal(5, scale=4.0) - 20  # (N,): it has no mT
    attempt.compare("five responses, β = 0.1", policy, reference, 0.1, gradients=True)
    attempt.compare("five responses, β = 2", policy, reference, beta=2.0)
    attempt.compare("a policy that is the reference: 0", policy, policy.clone(), 0.1)
    attempt.compare("long responses, of −1,000 nats and less", policy - 1000, reference - 1000, 0.5)
    attempt.keeps_type_and_device(policy, reference, 0.1)


def _reward_no_beta(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return policy - reference


def _reward_turned(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * (reference - policy)


def _reward_divided(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return (policy - reference) / beta


def _reward_no_reference(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * policy


def _reward_beta_once(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * policy - reference


def _reward_quotient(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * policy / reference


def _reward_ratio(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * (policy - reference).exp()


def _reward_through_probabilities(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * (policy.exp() / reference.exp()).log()


def _reward_difference(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return beta * (policy.exp() - reference.exp())


def _reward_centred(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    found = implicit_reward(policy, reference, beta)
    return found - found.mean()


def _reward_normalised(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return implicit_reward(policy, reference, beta).softmax(0)


def _reward_mean(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return implicit_reward(policy, reference, beta).mean()


# ---------------------------------------------------------------- 3 the loss, and its conservative form


def check_dpo_loss(attempt: Attempt) -> None:
    pairs = _four(attempt)  # the result is (N,): it has no mT
    attempt.compare("six pairs, β = 0.1", *pairs, beta=0.1, gradients=True)
    attempt.compare("six pairs, β = 1", *pairs, beta=1.0, gradients=True)
    attempt.compare("six pairs, without a β: the default", *pairs)
    chosen, rejected, *_ = pairs
    attempt.compare("a policy that is the reference: log 2", chosen, rejected, chosen.clone(), rejected.clone())
    attempt.compare("pairs 1,000 nats on the right and on the wrong side, β = 1", *_far(attempt, 1000), beta=1.0)
    attempt.compare("six pairs, smoothing = 0.2", *pairs, beta=0.5, smoothing=0.2, gradients=True)
    attempt.compare("pairs far on either side, smoothing = 0.2", *_far(attempt, 1000), beta=1.0, smoothing=0.2)
    attempt.keeps_type_and_device(*pairs, smoothing=0.1)


Each = Callable[[Tensor, float, float], Tensor]


def _plain(h: Tensor, beta: float, smoothing: float) -> Tensor:
    z = beta * h
    return -(1 - smoothing) * F.logsigmoid(z) - smoothing * F.logsigmoid(-z)


def _dpo(each: Each = _plain, gap: Callable[..., Tensor] = log_ratio_gap) -> Implementation:
    """The loss with one part replaced: what is made of h, or h itself."""

    def made(
        chosen: Tensor,
        rejected: Tensor,
        ref_chosen: Tensor,
        ref_rejected: Tensor,
        beta: float = 0.1,
        smoothing: float = 0.0,
    ) -> Tensor:
        return each(gap(chosen, rejected, ref_chosen, ref_rejected), beta, smoothing)

    return made


def _through_log(h: Tensor, beta: float, smoothing: float) -> Tensor:
    right = (beta * h).sigmoid()
    return -(1 - smoothing) * right.log() - (smoothing * (1 - right).log() if smoothing else 0)


def _smoothed_second_plus(h: Tensor, beta: float, smoothing: float) -> Tensor:
    z = beta * h
    return -(1 - smoothing) * F.logsigmoid(z) + smoothing * F.logsigmoid(-z)


_dpo_turned = _dpo(gap=_gap_turned)
_dpo_no_reference = _dpo(gap=_gap_no_reference)
_dpo_added = _dpo(gap=_gap_added)
_dpo_reference_added = _dpo(gap=_gap_reference_added)
_dpo_chosen_only = _dpo(gap=_gap_chosen_only)
_dpo_no_beta = _dpo(lambda h, beta, e: _plain(h, 1.0, e))
_dpo_beta_outside = _dpo(lambda h, beta, e: beta * _plain(h, 1.0, e))
_dpo_divided = _dpo(lambda h, beta, e: _plain(h, 1 / beta, e))
_dpo_sign = _dpo(lambda h, beta, e: -_plain(h, beta, e))
_dpo_no_log = _dpo(lambda h, beta, e: -(beta * h).sigmoid())
_dpo_no_sigmoid = _dpo(lambda h, beta, e: -beta * h)
_dpo_bits = _dpo(lambda h, beta, e: _plain(h, beta, e) / 0.6931471805599453)
_dpo_mean = _dpo(lambda h, beta, e: _plain(h, beta, e).mean())
_dpo_log_of_sigmoid = _dpo(_through_log)
_dpo_unsmoothed = _dpo(lambda h, beta, e: _plain(h, beta, 0.0))
_dpo_smoothing_exchanged = _dpo(lambda h, beta, e: _plain(h, beta, 1 - e) if e else _plain(h, beta, 0.0))
_dpo_smoothing_plus = _dpo(_smoothed_second_plus)
_dpo_smoothing_halved = _dpo(lambda h, beta, e: _plain(h, beta, e / 2))
_dpo_smoothing_on_h = _dpo(lambda h, beta, e: _plain((1 - 2 * e) * h, beta, 0.0))
_dpo_smoothing_not_taken_off = _dpo(lambda h, beta, e: _plain(h, beta, 0.0) - e * F.logsigmoid(-beta * h))


def _dpo_robust(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    smoothing: float = 0.0,
) -> Tensor:
    return robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, smoothing)


# ---------------------------------------------------------------- 4 the weight of the gradient


def check_dpo_gradient_weight(attempt: Attempt) -> None:
    pairs = _four(attempt)  # the result is (N,): it has no mT
    attempt.compare("six pairs, β = 0.1", *pairs, beta=0.1)
    attempt.compare("six pairs, β = 1", *pairs, beta=1.0)
    attempt.compare("six pairs, without a β: the default", *pairs)
    chosen, rejected, *_ = pairs
    attempt.compare("a policy that is the reference: ½", chosen, rejected, chosen.clone(), rejected.clone())
    attempt.compare("pairs 1,000 nats on the right and on the wrong side, β = 1", *_far(attempt, 1000), beta=1.0)
    attempt.keeps_type_and_device(*pairs)


def _weight(each: Callable[[Tensor, float], Tensor], gap: Callable[..., Tensor] = log_ratio_gap) -> Implementation:
    """The weight with one part replaced."""

    def made(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1) -> Tensor:
        return each(gap(chosen, rejected, ref_chosen, ref_rejected), beta)

    return made


def _right_weight(h: Tensor, beta: float) -> Tensor:
    return (-beta * h).sigmoid()


def _exponential_weight(h: Tensor, beta: float) -> Tensor:
    return (-beta * h).exp() / (1 + (-beta * h).exp())


_weight_turned = _weight(lambda h, beta: (beta * h).sigmoid())
_weight_no_reference = _weight(_right_weight, _gap_no_reference)
_weight_added = _weight(_right_weight, _gap_added)
_weight_reference_added = _weight(_right_weight, _gap_reference_added)
_weight_no_beta = _weight(lambda h, beta: (-h).sigmoid())
_weight_times_beta = _weight(lambda h, beta: beta * _right_weight(h, beta))
_weight_whole_gradient = _weight(lambda h, beta: -beta * _right_weight(h, beta))
_weight_negative = _weight(lambda h, beta: -_right_weight(h, beta))
_weight_slope = _weight(lambda h, beta: _right_weight(h, beta) * (beta * h).sigmoid())
_weight_loss = _weight(lambda h, beta: -F.logsigmoid(beta * h))
_weight_wrong_share = _weight(lambda h, beta: (h < 0).to(h.dtype))
_weight_exp = _weight(_exponential_weight)
_weight_mean = _weight(lambda h, beta: _right_weight(h, beta).mean())


# ---------------------------------------------------------------- 5 labels that are wrong now and then


def check_robust_dpo_loss(attempt: Attempt) -> None:
    pairs = _four(attempt)  # the result is (N,): it has no mT
    attempt.compare("six pairs, flips = 0.25, β = 1", *pairs, beta=1.0, flips=0.25, gradients=True)
    attempt.compare("six pairs, flips = 0.4, β = 0.1", *pairs, beta=0.1, flips=0.4, gradients=True)
    attempt.compare("six pairs, flips = 0: plain DPO", *pairs, beta=0.5, flips=0.0)
    attempt.compare("six pairs, without β and flips: the defaults", *pairs)
    attempt.compare("pairs far on either side, flips = 0.1", *_far(attempt, 1000), beta=1.0, flips=0.1)
    attempt.keeps_type_and_device(*pairs)


def _robust(each: Each) -> Implementation:
    """The robust loss with one part replaced; e is `flips`."""

    def made(
        chosen: Tensor,
        rejected: Tensor,
        ref_chosen: Tensor,
        ref_rejected: Tensor,
        beta: float = 0.1,
        flips: float = 0.1,
    ) -> Tensor:
        return each(log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected), beta, flips)

    return made


def _right_robust(h: Tensor, beta: float, e: float) -> Tensor:
    return _smoothed_second_plus(h, beta, e) / (1 - 2 * e)


def _robust_through_log(h: Tensor, beta: float, e: float) -> Tensor:
    right = (beta * h).sigmoid()
    return (-(1 - e) * right.log() + e * (1 - right).log()) / (1 - 2 * e)


def _robust_first_divided(h: Tensor, beta: float, e: float) -> Tensor:
    return -(1 - e) / (1 - 2 * e) * F.logsigmoid(beta * h) + e * F.logsigmoid(-beta * h)


_robust_conservative = _robust(_plain)
_robust_not_divided = _robust(_smoothed_second_plus)
_robust_divided_wrongly = _robust(lambda h, beta, e: _smoothed_second_plus(h, beta, e) / (1 - e))
_robust_multiplied = _robust(lambda h, beta, e: _smoothed_second_plus(h, beta, e) * (1 - 2 * e))
_robust_plus_divided = _robust(lambda h, beta, e: _plain(h, beta, e) / (1 - 2 * e))
_robust_ignored = _robust(lambda h, beta, e: _plain(h, beta, 0.0))
_robust_exchanged = _robust(lambda h, beta, e: _smoothed_second_plus(h, beta, 1 - e) / (1 - 2 * e))
_robust_clamped = _robust(lambda h, beta, e: _right_robust(h, beta, e).clamp(min=0))
_robust_no_beta = _robust(lambda h, beta, e: _right_robust(h, 1.0, e))
_robust_turned = _robust(lambda h, beta, e: _right_robust(-h, beta, e))
_robust_mean = _robust(lambda h, beta, e: _right_robust(h, beta, e).mean())
_robust_log_of_sigmoid = _robust(_robust_through_log)
_robust_one_term_divided = _robust(_robust_first_divided)


# ---------------------------------------------------------------- 6 IPO


def check_ipo_loss(attempt: Attempt) -> None:
    pairs = _four(attempt)  # the result is (N,): it has no mT
    attempt.compare("six pairs, τ = 0.25", *pairs, tau=0.25, gradients=True)
    attempt.compare("six pairs, τ = 0.1", *pairs, 0.1, gradients=True)
    attempt.compare("six pairs, without a τ: the default", *pairs)
    chosen, rejected, *_ = pairs
    attempt.compare("a policy that is the reference, τ = 1", chosen, rejected, chosen.clone(), rejected.clone(), 1.0)
    attempt.compare("pairs 100 nats on the right and on the wrong side", *_far(attempt, 100), tau=0.5)
    attempt.keeps_type_and_device(*pairs)


def _ipo(each: Callable[[Tensor, float], Tensor], gap: Callable[..., Tensor] = log_ratio_gap) -> Implementation:
    """IPO with one part replaced."""

    def made(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, tau: float = 0.1) -> Tensor:
        return each(gap(chosen, rejected, ref_chosen, ref_rejected), tau)

    return made


def _square(h: Tensor, tau: float) -> Tensor:
    return (h - 1 / (2 * tau)) ** 2


_ipo_no_half = _ipo(lambda h, tau: (h - 1 / tau) ** 2)
_ipo_half_tau = _ipo(lambda h, tau: (h - tau / 2) ** 2)
_ipo_two_tau = _ipo(lambda h, tau: (h - 2 * tau) ** 2)
_ipo_half = _ipo(lambda h, tau: (tau * h - 0.5) ** 2)
_ipo_no_target = _ipo(lambda h, tau: h**2)
_ipo_plus = _ipo(lambda h, tau: (h + 1 / (2 * tau)) ** 2)
_ipo_not_squared = _ipo(lambda h, tau: (h - 1 / (2 * tau)).abs())
_ipo_halved = _ipo(lambda h, tau: _square(h, tau) / 2)
_ipo_one_sided = _ipo(lambda h, tau: (1 / (2 * tau) - h).clamp(min=0) ** 2)
_ipo_logistic = _ipo(lambda h, tau: -F.logsigmoid(tau * h))
_ipo_no_reference = _ipo(_square, _gap_no_reference)
_ipo_added = _ipo(_square, _gap_added)
_ipo_reference_added = _ipo(_square, _gap_reference_added)
_ipo_mean = _ipo(lambda h, tau: _square(h, tau).mean())


# ---------------------------------------------------------------- 8 KTO's reference point

WITH_GRADIENT = (
    "A gradient reaches the policy through z₀: then a step could also lower the loss by moving the reference "
    "point. Take it with `.detach()`."
)
ALL_GONE = (
    "Nothing is left of it. Is it log π − log π_ref, neither turned round nor without the reference? And is it cut off *below* 0, by "
    "`clamp(min=0)`?"
)


def check_kto_reference_point(attempt: Attempt) -> None:
    policy, reference = attempt.normal(6, scale=0.3) - 2, attempt.normal(6, scale=0.3) - 3  # a scalar: it has no mT
    attempt.compare("six responses that have become likelier, on the whole", policy, reference)
    attempt.compare("six responses that have become less likely: 0", policy - 5, reference)
    attempt.compare("one response", policy[:1] + 2, reference[:1])
    mixed = policy + torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0, -2.0])
    attempt.compare("six responses, three of which have become less likely", mixed, reference)
    attempt.compare("responses of −50 nats", policy - 48, reference - 50)
    attempt.keeps_type_and_device(policy, reference)
    tracked = policy.clone().requires_grad_()
    attempt.require(
        lambda implementation: not implementation(tracked, reference).requires_grad,
        ["Tried with a policy that has a gradient: the values are right, but z₀ has a gradient, too."],
        WITH_GRADIENT,
    )


def _point_not_clamped(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().mean()


def _point_clamped_each(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().clamp(min=0).mean()


def _point_with_gradient(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).mean().clamp(min=0)


def _point_turned(policy: Tensor, reference: Tensor) -> Tensor:
    return kto_reference_point(reference, policy)


def _point_absolute(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().mean().abs()


def _point_sum(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().sum().clamp(min=0)


def _point_each(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().clamp(min=0)


def _point_weighted(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy.exp() * (policy - reference)).detach().sum().clamp(min=0)


def _point_no_reference(policy: Tensor, reference: Tensor) -> Tensor:
    return policy.detach().mean().clamp(min=0)


def _point_k3(policy: Tensor, reference: Tensor) -> Tensor:
    moved = (reference - policy).detach()
    return (moved.exp() - 1 - moved).mean()


def _point_clamped_above(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().mean().clamp(max=0)


def _point_ratio(policy: Tensor, reference: Tensor) -> Tensor:
    return (policy - reference).detach().exp().mean()


# ---------------------------------------------------------------- 9 SimPO


def check_simpo_loss(attempt: Attempt) -> None:
    chosen, rejected, *_ = _four(attempt)  # the result is (N,): it has no mT
    longer, shorter = torch.tensor([12, 9, 30, 7, 15, 22]), torch.tensor([6, 11, 8, 5, 20, 3])
    attempt.compare("six pairs, β = 2, γ = 1", chosen, rejected, longer, shorter, 2.0, 1.0, gradients=True)
    attempt.compare("six pairs, β = 3, γ = 0.5", chosen, rejected, shorter, longer, beta=3.0, gamma=0.5, gradients=True)
    attempt.compare("six pairs, γ = 0", chosen, rejected, longer, shorter, beta=2.0, gamma=0.0)
    attempt.compare("six pairs, without β and γ: the defaults", chosen, rejected, longer, shorter)
    far = torch.tensor([0.0, -3000.0, -10.0, -3000.0, 0.0, -10.0])
    attempt.compare("tokens of −500 nats", far, far.flip(0), shorter, shorter)
    empty = torch.tensor([0, 9, 30, 7, 15, 22])
    attempt.compare("an empty response: its mean is 0", torch.where(empty == 0, 0.0, chosen), rejected, empty, shorter)
    attempt.keeps_type_and_device(chosen, rejected, longer, shorter)


Margin = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], Tensor]


def _simpo(margin: Margin) -> Implementation:
    """−log σ of something else than β (mean − mean) − γ; the arguments are chosen, rejected, their lengths, β, γ."""

    def made(
        chosen: Tensor,
        rejected: Tensor,
        chosen_lengths: Tensor,
        rejected_lengths: Tensor,
        beta: float = 2.0,
        gamma: float = 1.0,
    ) -> Tensor:
        return -F.logsigmoid(
            margin(chosen, rejected, chosen_lengths.clamp(min=1), rejected_lengths.clamp(min=1), beta, gamma)
        )

    return made


_simpo_sums = _simpo(lambda c, r, n, m, beta, gamma: beta * (c - r) - gamma)
_simpo_gamma_added = _simpo(lambda c, r, n, m, beta, gamma: beta * (c / n - r / m) + gamma)
_simpo_gamma_inside = _simpo(lambda c, r, n, m, beta, gamma: beta * (c / n - r / m - gamma))
_simpo_no_gamma = _simpo(lambda c, r, n, m, beta, gamma: beta * (c / n - r / m))
_simpo_no_beta = _simpo(lambda c, r, n, m, beta, gamma: c / n - r / m - gamma)
_simpo_lengths_exchanged = _simpo(lambda c, r, n, m, beta, gamma: beta * (c / m - r / n) - gamma)
_simpo_one_length = _simpo(lambda c, r, n, m, beta, gamma: beta * (c - r) / n - gamma)
_simpo_mean_length = _simpo(lambda c, r, n, m, beta, gamma: beta * (c - r) / ((n + m) / 2) - gamma)
_simpo_turned = _simpo(lambda c, r, n, m, beta, gamma: beta * (r / m - c / n) - gamma)
_simpo_multiplied = _simpo(lambda c, r, n, m, beta, gamma: beta * (c * n - r * m) - gamma)


def _simpo_not_guarded(
    chosen: Tensor,
    rejected: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Tensor:
    return -F.logsigmoid(beta * (chosen / chosen_lengths - rejected / rejected_lengths) - gamma)


def _simpo_log_of_sigmoid(
    chosen: Tensor,
    rejected: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Tensor:
    n, m = chosen_lengths.clamp(min=1), rejected_lengths.clamp(min=1)
    return -(beta * (chosen / n - rejected / m) - gamma).sigmoid().log()


def _simpo_mean(
    chosen: Tensor,
    rejected: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Tensor:
    return simpo_loss(chosen, rejected, chosen_lengths, rejected_lengths, beta, gamma).mean()


def _simpo_positive(
    chosen: Tensor,
    rejected: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Tensor:
    return -simpo_loss(chosen, rejected, chosen_lengths, rejected_lengths, beta, gamma)


STABLE = (
    "`sigmoid` and then `log`, or `log(1 + exp(−z))` spelled out: where the pair is far on the wrong side, it is infinite. `F.logsigmoid` "
    "never leaves the logarithms."
)


EXERCISES = [
    Exercise(
        lab="13",
        target=f"{PACKAGE}.bandit:optimal_policy",
        title="The best policy, written down",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "π*(k) is proportional to π_ref(k) · exp(r(k)/β). *Proportional* means: divide by whatever makes the sum 1. Which "
            "function that "
            "you know well takes exponentials and divides them by their sum?",
            "A softmax of x is exp(x) divided by its sum. For which x is exp(x) = π_ref · exp(r/β)? Take the logarithm of the right side. "
            "And compute in float64: `.double()`.",
            "`(reference.double().log() + reward.double() / beta).softmax(dim=0)`.",
        ),
        reasoning="One step of algebra turns J into β log Z − β KL(π ‖ π*), and a divergence is smallest, 0, where both are equal: so this "
        "*is* the maximum, with no training. As a softmax it can be computed for any β: the largest number is taken off before the "
        "exponentials, and exp(1000) never occurs. A response with π_ref = 0 has the logarithm −∞ and keeps the probability 0, "
        "whatever its reward is: the KL penalty for it would be infinite. With K responses this is one line; with all that a "
        "model could write, the sum in Z has more terms than there are atoms. That is why one trains at all.",
        check=check_optimal_policy,
        mistakes=(
            Mistake(
                "times beta",
                _optimum_times_beta,
                "The reward was multiplied by β: it is divided. A small β means a cheap KL, so the reward counts for more.",
            ),
            Mistake(
                "no reference",
                _optimum_no_reference,
                "The reference is missing: that is the best policy for a reference that gives every response the same chance.",
            ),
            Mistake("no beta", _optimum_no_beta, "β is missing: the exponent is r/β."),
            Mistake(
                "no logarithm",
                _optimum_no_log,
                "π_ref itself was added to r/β: inside a softmax it must be its logarithm, since exp(log π_ref + r/β) = π_ref · exp(r/β).",
            ),
            Mistake(
                "turned",
                _optimum_turned,
                "The sign of the reward is turned: responses with *more* reward become likelier.",
            ),
            Mistake(
                "all divided",
                _optimum_all_divided,
                "The reference was divided by β, too, π_ref to the power of 1/β: only the reward is.",
            ),
            Mistake(
                "reference turned",
                _optimum_reference_turned,
                "The reference was divided by, not multiplied: log π_ref is *added* to r/β.",
            ),
            Mistake(
                "overflow",
                _optimum_exp,
                "`exp(r/β)` was computed by itself: at a small β it overflows, and ∞/∞ is NaN. A softmax of log π_ref + r/β is the same "
                "number, and cannot.",
            ),
            Mistake(
                "not normalised",
                _optimum_not_normalised,
                "The probabilities do not sum to 1: divide by Z, the sum of π_ref · exp(r/β).",
            ),
            Mistake(
                "other sum",
                _optimum_other_sum,
                "It was divided by the sum of exp(r/β): Z has π_ref in it, Z = Σ π_ref · exp(r/β).",
            ),
            Mistake(
                "the best only",
                _optimum_best,
                "The response with the most reward got everything: that is the limit β → 0, where the KL costs nothing.",
            ),
            Mistake("logarithms", _optimum_log, "Those are log-probabilities: expected probabilities, `softmax`."),
            Mistake(
                "mixed",
                _optimum_mixed,
                "Reference and reward were averaged: they are multiplied, π_ref · exp(r/β), and then normalised.",
            ),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_loss:implicit_reward",
        title="The reward that is in a policy",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "Solve π* = π_ref · exp(r/β) / Z for r. Which of the terms depends on the response, and which on the prompt alone?",
            "Take logarithms on both sides: log π* = log π_ref + r/β − log Z. Multiply by β, and leave β log Z out, which is "
            "the same for all "
            "responses to a prompt. The arguments are logarithms already.",
            "`beta * (policy - reference)`.",
        ),
        reasoning="Any policy is the best answer to *some* reward: to β log π/π_ref. So a trained policy can be read as a "
        "reward model, and "
        "its accuracy can be measured like one's. The term β log Z(x) is left out, so two rewards may be compared only if they are for the "
        "same prompt. The quotient is never formed: a response of 200 tokens has a probability of exp(−400), which is 0 in "
        "floating point, while the difference of two logarithms has no trouble.",
        check=check_implicit_reward,
        mistakes=(
            Mistake("no beta", _reward_no_beta, "β is missing: it turns nats into units of reward."),
            Mistake(
                "turned",
                _reward_turned,
                "The sign is turned: what the policy makes likelier than the reference has a *high* reward.",
            ),
            Mistake("divided", _reward_divided, "It was divided by β: r = β · (log π − log π_ref)."),
            Mistake(
                "no reference",
                _reward_no_reference,
                "The reference is missing: a response is not good because it is common.",
            ),
            Mistake(
                "beta once", _reward_beta_once, "β multiplies the whole difference: `beta * (policy - reference)`."
            ),
            Mistake(
                "quotient of logarithms",
                _reward_quotient,
                "The log-probabilities were divided: log(π/π_ref) is their *difference*.",
            ),
            Mistake("ratio", _reward_ratio, "That is β · π/π_ref: the logarithm of the ratio is asked for."),
            Mistake(
                "through probabilities",
                _reward_through_probabilities,
                "The log-probabilities were turned into probabilities first: those of long responses are 0, and log(0/0) is NaN. Subtract.",
            ),
            Mistake(
                "probabilities",
                _reward_difference,
                "The probabilities were subtracted: subtract the log-probabilities, as they come.",
            ),
            Mistake(
                "centred",
                _reward_centred,
                "A mean was taken off: these responses may belong to different prompts, so their rewards have nothing to do "
                "with each other.",
            ),
            Mistake(
                "softmax", _reward_normalised, "A softmax was taken: a reward is any number, and need not sum to 1."
            ),
            Mistake("mean", _reward_mean, "The mean was taken: expected a reward for each response, (N,)."),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_loss:dpo_loss",
        title="DPO",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "A reward model's loss is −log σ(r(w) − r(l)) (lab 12). Put the implicit reward of both responses in. What is left of the "
            "difference? `log_ratio_gap` gives h.",
            "z = β h, and the loss is −log σ(z), by `F.logsigmoid`, which is exact where σ(z) would be rounded to 0. With "
            "`smoothing` ε the label "
            "is believed with 1 − ε, and with ε the opposite one, whose loss is −log σ(−z).",
            "`-(1 - smoothing) * F.logsigmoid(z) - smoothing * F.logsigmoid(-z)` with "
            "`z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)`.",
        ),
        reasoning="It is the Bradley–Terry loss of lab 12 with β log π/π_ref in the reward's place; β log Z(x) is in both rewards and "
        "cancels. The loss is per pair, so that whoever trains can weigh or drop pairs. `F.logsigmoid` never forms σ(z), so that a pair "
        "that is far on the wrong side has a large loss and a gradient, and not an infinite one. Without smoothing a larger h is always "
        "better; with ε the best h is finite, (1/β) log((1 − ε)/ε): a single label is never worth an infinite move.",
        check=check_dpo_loss,
        mistakes=(
            Mistake(
                "smoothing exchanged",
                _dpo_smoothing_exchanged,
                "ε and 1 − ε are exchanged: the label that was given is believed with 1 − ε.",
            ),
            Mistake("turned", _dpo_turned, TURNED),
            Mistake("no reference", _dpo_no_reference, NO_REFERENCE),
            Mistake("added", _dpo_added, ADDED),
            Mistake("reference added", _dpo_reference_added, REFERENCE_ADDED),
            Mistake("chosen only", _dpo_chosen_only, CHOSEN_ONLY),
            Mistake("no beta", _dpo_no_beta, "β is missing: the loss is −log σ(β h)."),
            Mistake("beta outside", _dpo_beta_outside, "β multiplies the loss: it belongs inside the sigmoid, σ(β h)."),
            Mistake("divided", _dpo_divided, "h was divided by β: it is multiplied, σ(β h)."),
            Mistake(
                "sign",
                _dpo_sign,
                "The sign is turned: a loss of −log σ(β h) is never below 0, and training makes it small.",
            ),
            Mistake("no logarithm", _dpo_no_log, "The logarithm is missing: −log σ(β h), not −σ(β h)."),
            Mistake(
                "no sigmoid",
                _dpo_no_sigmoid,
                "The sigmoid is missing: −β h falls without end, so a pair that is learned long since would be pushed as hard "
                "as any other.",
            ),
            Mistake("bits", _dpo_bits, "That is in bits: nats are natural logarithms."),
            Mistake("mean", _dpo_mean, AVERAGED),
            Mistake("log of sigmoid", _dpo_log_of_sigmoid, STABLE),
            Mistake(
                "not smoothed",
                _dpo_unsmoothed,
                "`smoothing` makes no difference: with ε, a share of ε of the loss is that of the opposite label, −log σ(−β h).",
            ),
            Mistake(
                "smoothing plus",
                _dpo_smoothing_plus,
                "The opposite label's loss was taken off: that is on the way to the *robust* loss. Here both losses are added.",
            ),
            Mistake(
                "smoothing halved",
                _dpo_smoothing_halved,
                "ε was halved, as in a smoothing over classes: here ε is the share of labels that are the wrong way round.",
            ),
            Mistake(
                "smoothing on h",
                _dpo_smoothing_on_h,
                "h was made smaller by ε: mix the two *losses*, −log σ(β h) and −log σ(−β h).",
            ),
            Mistake(
                "not taken off",
                _dpo_smoothing_not_taken_off,
                "The first loss has the weight 1: with ε it is 1 − ε, so that both weights sum to 1.",
            ),
            Mistake(
                "robust",
                _dpo_robust,
                "That is the robust loss, which takes the opposite label's loss *off*; the conservative one adds it.",
            ),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_loss:dpo_gradient_weight",
        title="How hard is a pair pushed?",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "The loss is f(h) = −log σ(β h). What is f′(h)? The derivative of log σ(z) is 1 − σ(z), and 1 − σ(z) = σ(−z).",
            "f′(h) = −β σ(−β h). The weight is what stands behind −β: near 1 where h is far below 0, ½ at h = 0, near 0 where the pair is "
            "learned.",
            "`(-beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)).sigmoid()`.",
        ),
        reasoning="All pairs push the same way, their chosen response up and their rejected one down; the weight says how hard. It is the "
        "chance that the policy, read as a reward model, gives to the *wrong* order: a pair that is sure already is left in peace. A loss "
        "without it (−h) keeps pushing rejected responses down, and with them all that shares their weights; Rafailov et al. (2023, "
        "appendix) show what such a model writes.",
        check=check_dpo_gradient_weight,
        mistakes=(
            Mistake(
                "turned",
                _weight_turned,
                "The weight is turned: it must be *small* where the pair is on the right side, σ(−β h).",
            ),
            Mistake("no reference", _weight_no_reference, NO_REFERENCE),
            Mistake("added", _weight_added, ADDED),
            Mistake("reference added", _weight_reference_added, REFERENCE_ADDED),
            Mistake("no beta", _weight_no_beta, "β is missing inside the sigmoid: σ(−β h)."),
            Mistake(
                "times beta", _weight_times_beta, "β stands before the weight in the gradient, and is no part of it."
            ),
            Mistake(
                "the derivative",
                _weight_whole_gradient,
                "That is the whole derivative, −β σ(−β h): the weight is only what stands behind −β.",
            ),
            Mistake("sign", _weight_negative, "The sign is turned: a weight lies between 0 and 1."),
            Mistake(
                "slope of the sigmoid",
                _weight_slope,
                "σ(z) σ(−z) is the derivative of the sigmoid: asked for is that of its *logarithm*, where σ(z) cancels.",
            ),
            Mistake("the loss", _weight_loss, "That is the loss: asked for is its derivative, but for −β."),
            Mistake(
                "right or wrong",
                _weight_wrong_share,
                "A pair counts as either wrong or right: the weight passes smoothly from 1 to 0.",
            ),
            Mistake(
                "overflow",
                _weight_exp,
                "`exp(z) / (1 + exp(z))` was spelled out: far on the wrong side it is ∞/∞, NaN. `.sigmoid()` is safe.",
            ),
            Mistake("mean", _weight_mean, "The mean was taken: expected a weight for each pair, (N,)."),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_loss:robust_dpo_loss",
        title="Labels that are wrong now and then",
        difficulty=3,
        importance=3,
        minutes=10,
        hints=(
            "A pair comes with its true label in 1 − ε of the cases, and turned round in ε. Write the mean of a loss L over "
            "both. You look for "
            "an L whose mean is the DPO loss of the *true* label.",
            "With a = −log σ(z) for the label as given and b = −log σ(−z) for the opposite: try L = ((1 − ε) a − ε b) / c. Over the "
            "flips its mean is ((1 − ε)² − ε²) a / c for the true label, and b falls out. So c = (1 − ε)² − ε² = 1 − 2ε.",
            "`(-(1 - flips) * F.logsigmoid(z) + flips * F.logsigmoid(-z)) / (1 - 2 * flips)`.",
        ),
        reasoning="The conservative loss, `smoothing` in your `dpo_loss`, *expects* wrong labels and moves less; its mean over the "
        "flips is still that "
        "of noisy labels. This one is unbiased: with enough pairs its minimum is where true labels would have put it, as though "
        "nobody had pressed a wrong key. The price is scatter, about 1/(1 − 2ε) times as much, and that it has no lower bound: for a pair "
        "that is far on the "
        "right side it falls on, by ε/(1 − 2ε) for each unit of z. And ε must be known.",
        check=check_robust_dpo_loss,
        mistakes=(
            Mistake(
                "conservative",
                _robust_conservative,
                "That is the conservative loss: here the opposite label's loss is taken *off*, and all is divided by 1 − 2ε.",
            ),
            Mistake(
                "not divided",
                _robust_not_divided,
                "It is to be divided by 1 − 2ε, or its mean is too small by that factor.",
            ),
            Mistake(
                "divided wrongly",
                _robust_divided_wrongly,
                "It was divided by 1 − ε: the factor is (1 − ε)² − ε² = 1 − 2ε.",
            ),
            Mistake("multiplied", _robust_multiplied, "It was multiplied by 1 − 2ε: divide."),
            Mistake(
                "plus, divided",
                _robust_plus_divided,
                "The opposite label's loss was added: it is taken off, so that in the mean it cancels.",
            ),
            Mistake(
                "ignored",
                _robust_ignored,
                "`flips` makes no difference. In the second term the label is turned, so it holds log σ(−β h), not log σ(β h).",
            ),
            Mistake(
                "exchanged",
                _robust_exchanged,
                "ε and 1 − ε are exchanged: the label that was given has the weight 1 − ε.",
            ),
            Mistake(
                "cut off",
                _robust_clamped,
                "What fell below 0 was cut off: then the mean over the flips is no longer that of the true labels. It may be negative.",
            ),
            Mistake("no beta", _robust_no_beta, "β is missing: z = β h."),
            Mistake("turned", _robust_turned, TURNED),
            Mistake("mean", _robust_mean, AVERAGED),
            Mistake("log of sigmoid", _robust_log_of_sigmoid, STABLE),
            Mistake(
                "one term divided",
                _robust_one_term_divided,
                "Only the first term was divided by 1 − 2ε: the whole difference is.",
            ),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_relatives:ipo_loss",
        title="IPO: a gap with a target",
        difficulty=2,
        importance=3,
        minutes=5,
        hints=(
            "DPO always wants a larger h. IPO says how large h should be, and what lies beyond costs as much as what falls short of it. "
            "What is the simplest loss with a minimum at a given number?",
            "The distance of h from 1/(2τ), squared. A larger τ is a stronger pull to the reference: the target is smaller.",
            "`(log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected) - 1 / (2 * tau)) ** 2`.",
        ),
        reasoning="Where all labels of a pair agree, the chance that the rejected response is ever better is estimated as 0, and "
        "Bradley–Terry's reward difference as infinite: no β can hold the policy. IPO maximises the chance of winning itself, "
        "which is at most 1, so its best policy stays at a finite distance (`ipo_optimum`). The square is what that comes to for "
        "single labels: it differs by a constant from regressing h on I/τ, where I is 1 or 0 as the first was preferred or not, each "
        "pair taken both ways round.",
        check=check_ipo_loss,
        mistakes=(
            Mistake("no half", _ipo_no_half, "The target is 1/(2τ), half of 1/τ."),
            Mistake(
                "half of tau",
                _ipo_half_tau,
                "`1 / 2 * tau` is τ/2: Python divides from left to right. Write `1 / (2 * tau)`.",
            ),
            Mistake("two tau", _ipo_two_tau, "The target is 1/(2τ), not 2τ: a larger τ means a smaller gap."),
            Mistake(
                "half",
                _ipo_half,
                "h was multiplied by τ: (τ h − ½)² has the same minimum, and is smaller by τ². Expected (h − 1/(2τ))², in nats².",
            ),
            Mistake(
                "no target",
                _ipo_no_target,
                "The target is missing: that is smallest where nothing was learned, at h = 0.",
            ),
            Mistake("plus", _ipo_plus, "The target has the wrong sign: h is to become 1/(2τ), so subtract it."),
            Mistake("not squared", _ipo_not_squared, "The distance is to be squared."),
            Mistake("halved", _ipo_halved, "There is no ½ before the square in this paper."),
            Mistake(
                "one-sided",
                _ipo_one_sided,
                "A gap beyond the target costs nothing: it does, that is what holds the policy near the reference.",
            ),
            Mistake("DPO", _ipo_logistic, "That is DPO with β = τ: IPO has a square in its place."),
            Mistake("no reference", _ipo_no_reference, NO_REFERENCE),
            Mistake("added", _ipo_added, ADDED),
            Mistake("reference added", _ipo_reference_added, REFERENCE_ADDED),
            Mistake("mean", _ipo_mean, AVERAGED),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.log_probs:sequence_log_probs",
        title="How likely is a whole answer?",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "The probability of an answer is a product over its tokens, one factor for each. What becomes of a product when you take "
            "logarithms? And what should a token of the prompt, or of the padding, contribute?",
            "A sum over the last axis, of the tokens where `mask` is True. Do not multiply by the mask: 0 · (−∞) is NaN. Replace what does "
            "not count by 0 instead.",
            "`token.masked_fill(~mask, 0.0).sum(dim=-1)`.",
        ),
        reasoning="log π(y | x) = Σ log π(y_t | x, y_<t): the chain rule of probability, and nothing else. It is a sum and no mean, so a "
        "longer answer has a lower one; DPO compares it with the reference's sum over the *same* tokens, so that most of the length drops "
        "out. `masked_fill` and not `*`, so that a place that does not count has no influence, even if its number is infinite or NaN, and "
        "its gradient is exactly 0.",
        check=check_sequence_log_probs,
        mistakes=(
            Mistake(
                "multiplied",
                _sum_multiplied,
                "The log-probabilities were multiplied by the mask: where nothing counts they may be −∞ or NaN, and 0 times that is NaN. "
                "Use `masked_fill(~mask, 0.0)`.",
            ),
            Mistake(
                "all", _sum_all, "Every token counts: only those of the response, where `mask` is True, belong to it."
            ),
            Mistake("turned", _sum_turned, "The mask is turned round: True marks the tokens of the *response*."),
            Mistake(
                "mean",
                _sum_mean,
                "The mean over the response's tokens was taken: the papers' π(y | x) is that of the whole response, a sum of logarithms. "
                "(SimPO takes the mean, on purpose.)",
            ),
            Mistake(
                "mean of the row",
                _sum_mean_of_row,
                "The sum was divided by T: then the padding of *other* rows changes the number. Expected the sum.",
            ),
            Mistake("sign", _sum_negative, "The sign is turned: a log-probability is never above 0."),
            Mistake("total", _sum_total, "All rows were added up: expected one number for each response, (N,)."),
            Mistake("over the rows", _sum_over_rows, "The sum runs over the rows: expected one over time, `dim=-1`."),
            Mistake(
                "a probability",
                _sum_probability,
                "That is the probability, not its logarithm: for a long response it is 0 in floating point. Stay in logarithms.",
            ),
            Mistake(
                "probabilities added",
                _sum_of_probabilities,
                "The tokens' probabilities were added: they are to be multiplied, so add their logarithms, which `token` holds.",
            ),
            Mistake(
                "minus infinity",
                _sum_minus_infinity,
                "What does not count was filled with −∞: that belongs into a softmax. In a sum, what does not count is 0.",
            ),
            Mistake(
                "from the left",
                _sum_from_the_left,
                "The right *number* of tokens was added, but from the left: the prompt stands there. Take those that `mask` marks.",
            ),
            Mistake(
                "shifted",
                _sum_shifted,
                "The mask was shifted: `mask[n, t]` is about `token[n, t]` already.",
            ),
            Mistake("each", _sum_each, "The tokens' log-probabilities came back: expected their sum for each row."),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_relatives:kto_reference_point",
        title="KTO: gain or loss, seen from where?",
        difficulty=2,
        importance=2,
        minutes=5,
        hints=(
            "How far has the policy moved on the whole? The mean of log π/π_ref over the responses. A divergence is never "
            "below 0; this cheap "
            "stand-in can be. What to do about that?",
            "The mean first, then the largest of it and 0. And no gradient may flow through it: it is the point that one sees from.",
            "`(policy - reference).detach().mean().clamp(min=0)`.",
        ),
        reasoning="KTO asks of a single response: is it likelier than before *by more than responses are on the whole*? z₀ is that "
        "whole. An honest estimate of KL(π ‖ π_ref) would need responses of the policy; responses that belong to other "
        "prompts are at hand. "
        "Without `detach` the loss could be lowered by making everything else likelier or less likely; that is not what the labels say.",
        check=check_kto_reference_point,
        mistakes=(
            Mistake(
                "not clamped",
                _point_not_clamped,
                "It fell below 0: a divergence never does, so take at least 0, `.clamp(min=0)`.",
            ),
            Mistake(
                "clamped each",
                _point_clamped_each,
                "Each response was cut off at 0: take the mean first, then the larger of it and 0.",
            ),
            Mistake("gradient", _point_with_gradient, WITH_GRADIENT),
            Mistake("absolute", _point_absolute, "The absolute value was taken: below 0 the reference point is 0."),
            Mistake("sum", _point_sum, "The log-ratios were added: expected their mean."),
            Mistake("each", _point_each, "There is one reference point for the whole batch, a scalar: take the mean."),
            Mistake(
                "weighted",
                _point_weighted,
                "The log-ratios were weighted by π: that is for a sum over everything that could be said. Here it is a plain mean.",
            ),
            Mistake("turned", _point_turned, ALL_GONE),
            Mistake("no reference", _point_no_reference, ALL_GONE),
            Mistake(
                "k3",
                _point_k3,
                "That is the estimator k3 of lab 12: it is for responses that the policy wrote itself. KTO takes the plain mean.",
            ),
            Mistake("clamped above", _point_clamped_above, ALL_GONE),
            Mistake("ratio", _point_ratio, "The ratios π/π_ref were averaged: expected their logarithms."),
        ),
    ),
    Exercise(
        lab="13",
        target=f"{PACKAGE}.dpo_relatives:simpo_loss",
        title="SimPO: no reference at all",
        difficulty=2,
        importance=2,
        minutes=5,
        hints=(
            "The reward is now the mean log-probability of a *token*, times β. By how much must the chosen response win?",
            "Divide each response's sum by its own length, and an empty one by 1. The margin γ comes off β times the difference, "
            "inside the logarithm of the sigmoid.",
            "`means = chosen / chosen_lengths.clamp(min=1) - rejected / rejected_lengths.clamp(min=1)` and "
            "`-F.logsigmoid(beta * means - gamma)`.",
        ),
        reasoning="Generation picks likely tokens, so SimPO rewards likely tokens, whatever the reference thinks of them: one "
        "model less. The mean "
        "takes out what a sum has from its length alone; without a reference nothing else would. γ says: by more than a hair. "
        "What holds the policy near where it began is gone, too: only the learning rate and the number of steps are left.",
        check=check_simpo_loss,
        mistakes=(
            Mistake(
                "sums",
                _simpo_sums,
                "The lengths were not used: SimPO compares nats per *token*, so divide each sum by its length.",
            ),
            Mistake("gamma added", _simpo_gamma_added, "γ was added: it is a margin to win by, so it comes off."),
            Mistake(
                "gamma inside",
                _simpo_gamma_inside,
                "γ was multiplied by β: it comes off afterwards, β · difference − γ.",
            ),
            Mistake("no gamma", _simpo_no_gamma, "γ is missing: −log σ(β · difference − γ)."),
            Mistake("no beta", _simpo_no_beta, "β is missing: −log σ(β · difference − γ)."),
            Mistake(
                "lengths exchanged", _simpo_lengths_exchanged, "The lengths are exchanged: divide each sum by its own."
            ),
            Mistake(
                "one length",
                _simpo_one_length,
                "Both sums were divided by the chosen response's length: each has its own.",
            ),
            Mistake(
                "mean length", _simpo_mean_length, "Both sums were divided by the same mean length: each has its own."
            ),
            Mistake("turned", _simpo_turned, "Chosen and rejected are exchanged: the chosen response is to win."),
            Mistake("multiplied", _simpo_multiplied, "The sums were multiplied by the lengths: divide."),
            Mistake(
                "an empty response",
                _simpo_not_guarded,
                "An empty response has the length 0, and 0/0 is NaN: divide by at least 1, `lengths.clamp(min=1)`.",
            ),
            Mistake("log of sigmoid", _simpo_log_of_sigmoid, STABLE),
            Mistake("mean", _simpo_mean, AVERAGED),
            Mistake("sign", _simpo_positive, "The sign is turned: −log σ is never below 0."),
        ),
    ),
]
