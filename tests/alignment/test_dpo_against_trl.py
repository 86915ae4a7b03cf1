"""Loss and gradient of every weight equal to those of `trl`'s trainers, on the same weights, exported as a Llama."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from preference_helpers import CHOSEN, PROMPTS, REJECTED, tiny

from lablib.alignment import dpo as loop
from lablib.alignment.dpo_relatives import ipo_loss
from lablib.alignment.reference import preference_table
from lablib.architecture.llama_format import llama_names, save_llama

BETA, FLIPS = 0.3, 0.2
OUTPUTS = ("log_probs", "entropy", "mean_logits", "is_top1")


def llama(model, folder, outputs=OUTPUTS):
    from transformers import LlamaForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    theirs = LlamaForCausalLM.from_pretrained(save_llama(model, folder))
    add_fused_lm_head(theirs, outputs=outputs)
    return theirs


def trainer(**settings):
    """What a trainer's loss looks at, without a data set, an optimiser or a folder."""
    same = lambda x: x  # noqa: E731
    around = SimpleNamespace(device=torch.device("cpu"), gather_for_metrics=same, gather=same)
    one = {
        "accelerator": around, "aux_loss_enabled": False, "ld_alpha": None, "precompute_ref_logps": False, "beta": BETA,
        "f_divergence_type": "reverse_kl", "loss_weights": [1.0], "label_smoothing": FLIPS, "use_weighting": False,
        "_metrics": defaultdict(lambda: defaultdict(list)), "_total_train_tokens": 0, "_tp_size": 1,
        "args": SimpleNamespace(gradient_checkpointing=False, gradient_checkpointing_kwargs=None),
    }  # fmt: skip
    return SimpleNamespace(**{**one, **settings})


def padded(prompts, responses):
    T = max(len(x) + len(y) for x, y in zip(prompts, responses, strict=True))
    ids, real, counts = (torch.zeros(len(prompts), T, dtype=torch.int64) for _ in range(3))
    for row, (x, y) in enumerate(zip(prompts, responses, strict=True)):
        ids[row, : len(x) + len(y)] = torch.tensor([*x, *y])
        real[row, : len(x) + len(y)] = 1
        counts[row, len(x) : len(x) + len(y)] = 1
    return ids, real, counts


def their_inputs(prompts, chosen, rejected):
    ids, real, counts = padded([*prompts, *prompts], [*chosen, *rejected])
    return {"input_ids": ids, "attention_mask": real, "completion_mask": counts}


def compare(policy, theirs, ours_loss, their_loss):
    """Both losses and the gradients of all weights that they leave behind."""
    their_loss.backward()
    ours_loss.backward()
    assert ours_loss.item() == pytest.approx(their_loss.item(), rel=1e-5)
    named = dict(theirs.named_parameters())
    for ours, their_name in llama_names(policy.config).items():
        mine, other = policy.get_parameter(ours).grad, named[their_name].grad
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()))
        assert float(other.abs().max()) > 1e-6


def mean_of_means(pairs):
    """IPO as `trl` has it: log-probabilities per token."""
    c, r = pairs.chosen_lengths, pairs.rejected_lengths
    four = (pairs.chosen / c, pairs.rejected / r, pairs.ref_chosen / c, pairs.ref_rejected / r)
    return ipo_loss(*four, tau=BETA)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("sigmoid", loop.dpo(BETA)),
        ("robust", loop.robust_dpo(BETA, FLIPS)),
        ("ipo", mean_of_means),
    ],
)
def test_pair_losses_and_their_gradients(kind, ours, tmp_path):
    from trl import DPOTrainer

    policy, reference = tiny(1), tiny(2)
    theirs, ref = llama(policy, tmp_path / "policy"), llama(reference, tmp_path / "reference")
    self = trainer(model=theirs, ref_model=ref, loss_types=[kind])
    their_loss = DPOTrainer._compute_loss(self, theirs, their_inputs(PROMPTS, CHOSEN, REJECTED), False)
    table = preference_table(reference, PROMPTS, CHOSEN, REJECTED, pad=0)
    pairs = loop.pair_log_probs(policy, table)
    compare(policy, theirs, ours(pairs).mean(), their_loss)
    metrics = self._metrics["train"] or self._metrics["eval"]
    assert metrics["logps/chosen"][0] == pytest.approx(pairs.chosen.mean().item(), rel=1e-5)
    gap = (pairs.chosen - pairs.ref_chosen - pairs.rejected + pairs.ref_rejected).mean().item()
    assert metrics["rewards/margins"][0] == pytest.approx(BETA * gap, rel=1e-4)


def test_the_conservative_loss_pair_by_pair(tmp_path):
    """`trl` has it under the name aot, where with a single pair there is nothing to sort."""
    from trl import DPOTrainer

    for pair in range(len(PROMPTS)):
        policy, reference = tiny(1), tiny(2)
        theirs, ref = llama(policy, tmp_path / f"p{pair}"), llama(reference, tmp_path / f"r{pair}")
        one = [PROMPTS[pair]], [CHOSEN[pair]], [REJECTED[pair]]
        self = trainer(model=theirs, ref_model=ref, loss_types=["aot"])
        their_loss = DPOTrainer._compute_loss(self, theirs, their_inputs(*one), False)
        pairs = loop.pair_log_probs(policy, preference_table(reference, *one, pad=0))
        compare(policy, theirs, loop.dpo(BETA, smoothing=FLIPS)(pairs).mean(), their_loss)


def test_kto_and_its_gradient(tmp_path):
    from trl import KTOTrainer

    policy, reference = tiny(2), tiny(1)
    theirs, ref = llama(policy, tmp_path / "policy"), llama(reference, tmp_path / "reference")
    ids, real, counts = padded([*PROMPTS, *PROMPTS], [*CHOSEN, *REJECTED])
    stray_ids, stray_real, stray_counts = padded(PROMPTS, [*CHOSEN[1:], CHOSEN[0]])
    inputs = {
        "input_ids": ids, "attention_mask": real, "completion_mask": counts,
        "KL_input_ids": stray_ids, "KL_attention_mask": stray_real, "KL_completion_mask": stray_counts,
        "label": torch.tensor([True] * len(PROMPTS) + [False] * len(PROMPTS)),
    }  # fmt: skip
    self = trainer(
        model=theirs, ref_model=ref, loss_type="kto", calculate_KL=True, desirable_weight=1.0, undesirable_weight=1.0
    )
    self._compute_kl_logps = lambda model, batch: KTOTrainer._compute_kl_logps(self, model, batch)
    their_loss = KTOTrainer._compute_loss(self, theirs, inputs, False)
    table = preference_table(reference, PROMPTS, CHOSEN, REJECTED, pad=0, mismatched=True)
    pairs = loop.pair_log_probs(policy, table)
    assert float((pairs.stray - pairs.ref_stray).mean()) > 0, "a reference point that is cut at 0 would test little"
    compare(policy, theirs, loop.kto(BETA)(pairs).mean(), their_loss)


def test_simpo_and_its_gradient():
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    policy = tiny(1)
    pairs = loop.pair_log_probs(policy, preference_table(tiny(2), PROMPTS, CHOSEN, REJECTED, pad=0))
    means = [(pairs.chosen / pairs.chosen_lengths), (pairs.rejected / pairs.rejected_lengths)]
    theirs = [mean.detach().clone().requires_grad_() for mean in means]
    self = trainer(alpha=0.0, loss_type="simpo", simpo_gamma=0.7, beta=2.0, label_smoothing=0.0)
    expected = CPOTrainer.cpo_loss(self, *theirs)[0]
    expected.mean().backward()
    found = loop.simpo(beta=2.0, gamma=0.7)(pairs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    gradients = torch.autograd.grad(found.mean(), [pairs.chosen, pairs.rejected])
    for mine, other, lengths in zip(gradients, theirs, (pairs.chosen_lengths, pairs.rejected_lengths), strict=True):
        torch.testing.assert_close(mine, other.grad / lengths, rtol=1e-4, atol=0)
