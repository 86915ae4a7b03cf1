"""The account book against counting by hand and by torch's own counter, and lines of code against a plain count."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lablib.alignment import code_size
from lablib.alignment.compute_ledger import Cost, Ledger, affordable, ledger_of, pass_flops
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining.flops import per_token

CONFIG = DecoderConfig(V=50, D=16, H=2, L=2, hidden=24, context=64)


def test_a_pass_costs_what_torch_counts():
    """torch counts the matrix products; the norms' weights, which are in N, are the difference."""
    model, T = Decoder(CONFIG, generator=torch.Generator().manual_seed(0)), 32
    ids = torch.randint(0, 50, (1, T), generator=torch.Generator().manual_seed(1))
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():  # the fused kernel's products are hidden from the counter
        with FlopCounterMode(display=False) as forward:
            model(ids)
        with FlopCounterMode(display=False) as trunk:
            model.hidden(ids)
    assert pass_flops(CONFIG, [T]) == pytest.approx(forward.get_total_flops(), rel=0.03)
    assert pass_flops(CONFIG, [T], head=False) == pytest.approx(trunk.get_total_flops(), rel=0.03)
    assert forward.get_total_flops() - trunk.get_total_flops() == 2 * T * 50 * 16


@given(st.lists(st.integers(0, 60), max_size=6), st.booleans(), st.booleans())
def test_rows_add_up_and_learning_is_three_times_reading(lengths, learned, head):
    by_row = [pass_flops(CONFIG, [T], learned, head) for T in lengths]
    assert pass_flops(CONFIG, lengths, learned, head) == sum(by_row)
    assert pass_flops(CONFIG, lengths, True, head) == 3 * pass_flops(CONFIG, lengths, False, head)
    tokens = sum(lengths)
    assert pass_flops(CONFIG, lengths) - pass_flops(CONFIG, lengths, head=False) == 2 * tokens * 50 * 16
    assert pass_flops(CONFIG, lengths, learned=True) == sum(T * per_token(CONFIG, T) for T in lengths)


def test_one_long_row_costs_more_than_two_short_ones():
    assert pass_flops(CONFIG, [40]) > 2 * pass_flops(CONFIG, [20])
    with pytest.raises(ValueError, match=r"lengths = \[3, -1\]: expected numbers of tokens >= 0"):
        pass_flops(CONFIG, [3, -1])


def test_what_a_budget_buys():
    assert affordable(100, 40, 20) == 3
    assert affordable(100, 40, 60) == 1
    with pytest.raises(ValueError, match="budget = 100 with 50 spent leaves no 60: expected a budget"):
        affordable(100, 50, 60)


def test_a_ledger_adds_up_and_survives_the_record():
    one = Ledger((Cost("pairs", 10, 1.5, ("policy",), human=7),))
    two = one + Ledger(
        (Cost("PPO", 20, 2.5, ("policy", "critic", "reference", "reward")), Cost("AI", 5, 0.25, ("judge",), ai=3))
    )
    assert (two.flops, two.seconds, two.human, two.ai) == (35, 4.25, 7, 3)
    assert two.models == ("policy", "critic", "reference", "reward")
    assert (one.flops, Ledger().flops, Ledger().models) == (10, 0, ())
    assert ledger_of(two.rows()) == two


# ---------------------------------------------------------------- lines of code


SOURCE = '''"""Two
lines."""

# a comment
import os  # behind code it does not matter


class A:
    """One."""

    x = """no
    docstring"""

    def f(self):
        "Doc."
        return os.path.join(
            "a",

            "b",
        )
'''


def test_lines_are_counted_as_by_hand():
    counted = ["import os", "class A:", 'x = """no', 'docstring"""', "def f", "return", '"a",', '"b",', ")"]
    assert code_size.code_lines(SOURCE) == len(counted)
    assert code_size.code_lines("") == 0
    assert code_size.code_lines('"""Only a docstring."""\n') == 0
    assert code_size.code_lines('x = 1\n"a string later is code"\n') == 2


def test_what_a_module_needs():
    dpo = code_size.needed(["lablib.alignment.dpo"])
    assert {"lablib.alignment.dpo", "lablib.alignment.dpo_loss", "lablib.alignment.log_probs"} <= set(dpo)
    assert all(name.startswith("lablib.alignment.") for name in dpo)
    assert not {"lablib.alignment.ppo", "lablib.alignment.reward_model"} & set(dpo)
    ppo = code_size.needed(["lablib.alignment.ppo"])
    assert "lablib.alignment.kl" in ppo, "imported as a name of the folder"
    assert not set(code_size.PEOPLE) & set(code_size.needed(["lablib.alignment.preference_pairs"]))
    assert set(code_size.needed(["lablib.alignment.kl"])) < set(ppo)
    assert code_size.total_lines(ppo) == sum(code_size.code_lines(code_size.source_of(name)) for name in ppo)
    assert 0 < code_size.total_lines(dpo) < sum(len(code_size.source_of(name).splitlines()) for name in dpo)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"module = 'lablib.alignment.nothing': expected one with a source"):
        code_size.needed(["lablib.alignment.nothing"])
