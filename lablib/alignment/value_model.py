"""The critic: before each token of an answer, how much reward does it expect to come?

It reads what the policy reads and says one number a token: a decoder's trunk and a linear head. At place t it has seen the prompt and
the answer's tokens before t, and not the one that is to be written there: so V_t belongs to the same place as log π(y_t). The head begins
at zero: the first guess is 0 everywhere, the mean of centred scores, and the first advantages are the rewards themselves.

Three ways to get a trunk: a copy of the reward model's (Ouyang et al. 2022, §3.5: it knows already what is good), a copy of the policy's,
or the policy's own, *shared*: then one pass makes both, half the work and half the memory, and the critic's gradient moves the policy, too
(Schulman et al. 2017, §5, where both share parameters).

Axes: N answers, T tokens, D model width, m places that are computed (see `log_probs.counted`).
Left out: a value head with a hidden layer; distributions over values.
"""

import copy

from torch import Tensor, nn

from lablib.alignment.log_probs import Answers, counted, spread
from lablib.architecture.decoder import CausalModel


class ValueModel(nn.Module):
    """A trunk with a head to one number.

    Args:
        trunk: whose last hidden states are read; `copied(policy)` for one of its own, or the policy itself to share it.
    """

    def __init__(self, trunk: CausalModel) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(trunk.sizes.D, 1, device=trunk.embedding.weight.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def of(self, hidden: Tensor) -> Tensor:
        """Values from the trunk's hidden states: (m, D) -> (m,), float32."""
        return self.head(hidden)[:, 0].float()

    def forward(self, answers: Answers) -> Tensor:
        """The values before each token of each answer: (N, T), in the rewards' unit; 0 where the mask is False."""
        hidden, _ = counted(self.trunk, answers)  # (N, T) -> (m, D)
        return spread(self.of(hidden), answers.mask)  # (m,) -> (N, T)

    def shares(self, policy: CausalModel) -> bool:
        """Is its trunk the policy itself?"""
        return self.trunk is policy


def copied(trunk: CausalModel) -> CausalModel:
    """A copy of a trunk that learns on its own, all of its weights set free."""
    return copy.deepcopy(trunk).requires_grad_(True)
