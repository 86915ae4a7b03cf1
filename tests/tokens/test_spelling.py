"""The spelling probe against scikit-learn, and what it must find: letters where there are letters, nothing where there are none."""

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from lablib.tokens.spelling import ALPHABET, balanced_accuracy, letters_of, spelled_right, teach

WORDS = sorted(
    {a + b + c for a in ("ba", "ne", "to", "mi", "su") for b in ("r", "l", "dd") for c in ("on", "et", "ark")}
)


def rows(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_letters_of_by_hand():
    letters = letters_of(["Aba", " z1é", ""])
    assert letters.shape == (3, 26)
    assert [ALPHABET[i] for i in letters[0].nonzero().flatten()] == ["a", "b"]
    assert [ALPHABET[i] for i in letters[1].nonzero().flatten()] == ["z"]
    assert not letters[2].any()


def test_the_probe_is_logistic_regression():
    x, y = rows(200, 5, 0), (rows(200, 2, 1) + rows(200, 5, 0)[:, :2] > 0).float()
    weight, same = teach(x, y, steps=2000)
    assert torch.equal(same, x)
    for letter in range(2):
        theirs = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000, class_weight="balanced").fit(
            x.numpy(), y[:, letter].numpy()
        )
        torch.testing.assert_close(weight[letter, :-1], torch.tensor(theirs.coef_[0]), rtol=0.02, atol=0.01)
        assert abs(weight[letter, -1] - theirs.intercept_[0]) < 0.02


def test_balanced_accuracy_is_scikit_learns_averaged_over_letters_that_can_be_asked():
    x, y = rows(80, 6, 2), (rows(80, 4, 3) > 0.7).float()
    y[:, 3] = 0  # a letter that no token holds
    weight = rows(4, 7, 4)
    said = (x @ weight[:, :-1].T + weight[:, -1]) > 0
    theirs = [balanced_accuracy_score(y[:, i].numpy(), said[:, i].numpy()) for i in range(3)]
    assert abs(balanced_accuracy(x, y, weight) - sum(theirs) / 3) < 1e-6
    right = (said == y.bool()).all(1).double().mean().item()
    assert spelled_right(x, y, weight) == right


def test_who_sees_the_letters_spells_words_it_was_never_taught():
    letters = letters_of(WORDS)
    weight, _ = teach(letters[::2], letters[::2])
    assert spelled_right(letters[1::2], letters[1::2], weight) == 1.0


def test_who_sees_a_row_of_its_own_spells_what_it_was_taught_and_guesses_the_rest():
    """Six seeds: learned by heart in every one, and on words not taught no better than guessing on average."""
    letters, found = letters_of(WORDS), []
    for seed in range(6):
        table = rows(len(WORDS), 32, seed)
        weight, moved = teach(table[::2], letters[::2], own=True)
        assert spelled_right(moved, letters[::2], weight) == 1.0
        assert not torch.equal(moved, table[::2])
        found.append(balanced_accuracy(table[1::2], letters[1::2], weight))
    assert abs(sum(found) / len(found) - 0.5) < 0.08


def test_decay_keeps_weights_small():
    x, y = rows(60, 20, 5), (rows(60, 3, 6) > 0).float()
    free, _ = teach(x, y)
    held, _ = teach(x, y, decay=1.0)
    assert held[:, :-1].norm() < 0.5 * free[:, :-1].norm()
