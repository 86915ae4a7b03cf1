"""Probes: tasks so small that each can fail for one reason only.

PPO with a bug in it learns *something*, and the reward even rises for a while. So one does not look for bugs in a language model. One
takes the same arithmetic (`ppo_step`) to tasks of one or two states and actions, whose right answer is known beforehand, in an order in
which each adds one thing: what the first failing probe adds is what is broken.

    for probe in PROBES:
        print(probe.name, run(probe, Pieces(gae=mine), torch.Generator().manual_seed(0)).complaint or "passed")

A table stands in for policy and critic: a row of logits and one value for each state and token. A *state* is a prompt, an episode is an
answer of one to three tokens, and the score comes at its end. What stands in the padding is deliberately wrong.

Sources: Jones 2021, "Debugging RL, Without the Agonizing Pain" (andyljones.com/posts/rl-debugging.html: probe environments); Huang et al.
2022, "The 37 Implementation Details of Proximal Policy Optimization".

Axes: S states, T tokens, A actions, N episodes. Left out: anything that only a network can get wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lablib.alignment.ppo_step import Objective, Pieces, learning_signal, step_loss

PLAIN = Objective(beta=0.0, lam=1.0, scale="raw", whiten=False)
N, EPOCHS, MINIBATCH = 64, 2, 32  # episodes of a step, how often they are used, and how many at a time
LR = 1.0  # of the first step; it falls to 0
JUNK = 50.0  # the critic's opinion of padding, which nobody may hear


@dataclass(frozen=True)
class Probe:
    """A task and its right answer.

    Args:
        name: what it adds. breaks: what is likely broken where it is the first to fail.
        score: (states (N,), actions (N, T)) -> scores (N,). actions: how many there are.
        lengths: of the episodes, for each state. values: what the critic should come to, for each state a list of T numbers; None: any.
        policy: probabilities of the first token's actions, for each state a list of A numbers; None: any.
        objective: what is made large. reference: probabilities (A,) of the reference; None: all alike.
        tolerance: of values and probabilities. steps: rollouts.
        largest: where given, only one rollout is made and used so often that an objective that is not clipped runs away; no
            probability of a drawn action may change by more than this factor.
    """

    name: str
    breaks: str
    score: Callable[[Tensor, Tensor], Tensor]
    actions: int = 1
    lengths: tuple[int, ...] = (1,)
    values: tuple[tuple[float, ...], ...] | None = None
    policy: tuple[tuple[float, ...], ...] | None = None
    objective: Objective = PLAIN
    reference: tuple[float, ...] | None = None
    tolerance: float = 0.1
    steps: int = 60
    largest: float | None = None

    @property
    def T(self) -> int:
        """Tokens of the longest episode."""
        return max(self.lengths)


class Table(nn.Module):
    """Policy and critic as tables: logits (S, T, A) and values (S, T)."""

    def __init__(self, S: int, T: int, A: int) -> None:
        super().__init__()
        self.logits, self.values = nn.Parameter(torch.zeros(S, T, A)), nn.Parameter(torch.zeros(S, T))

    def policy(self, states: Tensor) -> Tensor:
        """Log-probabilities of all actions: states (N,) -> (N, T, A), nats."""
        return self.logits[states].log_softmax(dim=-1)  # (S, T, A) -> (N, T, A)

    def critic(self, states: Tensor) -> Tensor:
        """states (N,) -> values (N, T)."""
        return self.values[states]

    def log_probs(self, states: Tensor, actions: Tensor) -> Tensor:
        """Of the actions that were taken: states (N,), actions (N, T) -> (N, T), nats."""
        return self.policy(states).gather(-1, actions[..., None])[..., 0]  # (N, T, A) -> (N, T)


@dataclass(frozen=True)
class Outcome:
    """What a probe came to.

    Attributes:
        values: the critic's, (S, T). policy: probabilities (S, T, A). ratio: the largest change of a drawn action's probability in
            the last rollout, as a factor ≥ 1. complaint: what is not as it should be and the likely cause; "" where all is right.
    """

    values: Tensor
    policy: Tensor
    ratio: float
    complaint: str


def run(
    probe: Probe, pieces: Pieces, generator: torch.Generator, make: Callable[[int, int, int], Table] = Table
) -> Outcome:
    """Train a table on a probe with the given functions, and look at what it learned. make: (S, T, A) -> a table, or yours."""
    S, T, A = len(probe.lengths), probe.T, probe.actions
    table = make(S, T, A)
    steps, epochs, lr = (1, 100, LR / 10) if probe.largest is not None else (probe.steps, EPOCHS, LR)
    states = torch.arange(N) % S  # (N,)
    mask = torch.arange(T) < torch.tensor(probe.lengths)[states][:, None]  # (N, T)
    reference = torch.full((A,), 1.0 / A) if probe.reference is None else torch.tensor(probe.reference)
    optimiser = torch.optim.SGD(table.parameters(), lr=lr)  # without momentum: it stands still where the gradient is 0
    ratio = 1.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * (1 - step / probe.steps)  # so that what is learned last is not noise
        with torch.no_grad():
            chances = table.policy(states).exp().flatten(0, 1)  # (N, T, A) -> (N·T, A)
            actions = torch.multinomial(chances, 1, generator=generator).view(N, T)
            old = table.log_probs(states, actions).where(mask, 0.0)
            values = table.critic(states).where(mask, JUNK)
            of_reference = reference.log()[actions].where(mask, 0.0)
            scores = probe.score(states, actions).float()
        signal = learning_signal(scores, old, of_reference, values, mask, probe.objective.beta, probe.objective, pieces)
        for _ in range(epochs):
            for rows in torch.randperm(N, generator=generator).split(MINIBATCH):
                few = type(signal)(signal.rewards[rows], signal.advantages[rows], signal.returns[rows])
                new, guesses = table.log_probs(states[rows], actions[rows]), table.critic(states[rows])
                terms = step_loss(new, guesses, None, old[rows], values[rows], few, mask[rows], probe.objective, pieces)
                optimiser.zero_grad()
                terms.loss.backward()
                optimiser.step()
        with torch.no_grad():
            moved = (table.log_probs(states, actions) - old).where(mask, 0.0).abs().max()
        ratio = float(moved.exp())
    with torch.no_grad():
        policy, guesses = table.policy(torch.arange(S)).exp(), table.critic(torch.arange(S))  # (S, T, A), (S, T)
    return Outcome(guesses, policy, ratio, _complaint(probe, guesses, policy, ratio))


def _complaint(probe: Probe, values: Tensor, policy: Tensor, ratio: float) -> str:
    """What is wrong, or ""."""
    wrong = ""
    if probe.values is not None:
        for state, wanted in enumerate(probe.values):
            found = values[state, : len(wanted)]
            if not bool(((found - torch.tensor(wanted)).abs() <= probe.tolerance).all()):
                wrong = f"values of state {state} are {_numbers(found)}, expected {_numbers(torch.tensor(wanted))}"
    if probe.policy is not None and not wrong:
        for state, wanted in enumerate(probe.policy):
            found = policy[state, 0]
            if not bool(((found - torch.tensor(wanted)).abs() <= probe.tolerance).all()):
                wrong = f"the policy of state {state} is {_numbers(found)}, expected {_numbers(torch.tensor(wanted))}"
    if probe.largest is not None and not 1.0 < ratio <= probe.largest:
        wrong = f"one rollout changed a probability by a factor of {ratio:.2f}, expected above 1 and at most {probe.largest}"
    return f"{probe.name}: {wrong}. {probe.breaks}" if wrong else ""


def _numbers(found: Tensor) -> str:
    return "[" + ", ".join(f"{number:.2f}" for number in found.tolist()) + "]"


def _always(states: Tensor, actions: Tensor) -> Tensor:
    return torch.ones(len(states))


def _by_state(states: Tensor, actions: Tensor) -> Tensor:
    return 2.0 * states - 1.0


def _by_action(states: Tensor, actions: Tensor) -> Tensor:
    return actions[:, 0].float()


def _by_both(states: Tensor, actions: Tensor) -> Tensor:
    return (actions[:, 0] == states).float()


PROBES: tuple[Probe, ...] = (
    Probe(
        "value only",
        "One state, one action, always 1. Look at the value loss: its sign, and what the critic is told to come to.",
        _always,
        values=((1.0,),),
    ),
    Probe(
        "one-step reward",
        "The score is −1 or 1, as the state says. Does the critic look at the state? Do rewards stand in the rows of their own answers?",
        _by_state,
        lengths=(1, 1),
        values=((-1.0,), (1.0,)),
    ),
    Probe(
        "discounting",
        "The score comes three tokens later, at γ = 1/2. Look at GAE: γ times the next value, and at the last token none.",
        _always,
        lengths=(3,),
        values=((0.25, 0.5, 1.0),),
        objective=Objective(beta=0.0, gamma=0.5, lam=0.5, scale="raw", whiten=False),
    ),
    Probe(
        "padding",
        "Answers of one and of three tokens. Something looks behind the end of the short one: a mean, GAE, or the place of the score.",
        _always,
        lengths=(1, 3),
        values=((1.0,), (0.25, 0.5, 1.0)),
        objective=Objective(beta=0.0, gamma=0.5, lam=0.5, scale="raw", whiten=False),
    ),
    Probe(
        "two actions",
        "One of two actions is better. Look at the sign of the policy's loss, and at the ratio: new over old.",
        _by_action,
        actions=2,
        policy=((0.0, 1.0),),
    ),
    Probe(
        "action by state",
        "Which action is right depends on the state. Does the policy look at it? Are states mixed up between rollout and update?",
        _by_both,
        actions=2,
        lengths=(1, 1),
        policy=((1.0, 0.0), (0.0, 1.0)),
    ),
    Probe(
        "late score",
        "The first of three tokens decides, the score comes at the end. With λ = 1 its advantage must reach back to the first.",
        _by_action,
        actions=2,
        lengths=(3,),
        policy=((0.0, 1.0),),
    ),
    Probe(
        "near the reference",
        "With a KL penalty the best policy is ρ e^(score/β), normalised. Look at the penalty: its sign, β, and which is policy and which "
        "reference.",
        _by_action,
        actions=2,
        # 0.8 and 0.2 e, over their sum
        policy=((0.5954, 0.4046),),
        objective=Objective(beta=1.0, lam=1.0, scale="raw", whiten=False),
        reference=(0.8, 0.2),
        tolerance=0.05,
    ),
    Probe(
        "a step at a time",
        "A rollout used a hundred times must not move the policy far. Look at the clipping: the smaller of the two, and both sides.",
        _by_action,
        actions=2,
        objective=Objective(beta=0.0, lam=1.0, whiten=True),
        largest=1.35,
    ),
)


def first_failure(
    pieces: Pieces,
    generator: torch.Generator,
    probes: Sequence[Probe] = PROBES,
    make: Callable[[int, int, int], Table] = Table,
) -> str:
    """The complaint of the first probe that fails, "" if none does: the probes stand in the order of what they need."""
    return next((complaint for probe in probes if (complaint := run(probe, pieces, generator, make).complaint)), "")
