"""Patches against torch's own unfold and against their inverse; the digits and their split."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.architecture.vision import baselines, digits, patches, shuffle_each, unpatch

SIZES = {"B": st.integers(1, 3), "C": st.integers(1, 3), "down": st.integers(1, 4), "across": st.integers(1, 4)}


@given(**SIZES, size=st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_patches_are_torchs_unfold_and_unpatch_undoes_them(B, C, down, across, size):
    images = torch.arange(B * C * down * across * size**2, dtype=torch.float32).view(B, C, down * size, across * size)
    pieces = patches(images, size)
    assert torch.equal(pieces, F.unfold(images, size, stride=size).mT)
    assert torch.equal(unpatch(pieces, size, down * size), images)


def test_a_linear_layer_on_patches_is_a_convolution_with_stride():
    images, weight = torch.randn(2, 3, 8, 12), torch.randn(5, 3, 4, 4)
    expected = F.conv2d(images, weight, stride=4).flatten(2).mT  # (B, D, 2, 3) -> (B, 6, D)
    torch.testing.assert_close(patches(images, 4) @ weight.flatten(1).T, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8), (0, 1, 8, 8)])
def test_what_is_no_batch_of_images_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"images has shape .*expected \(B, C, height, width\).*images\[:, None\]"
    ) as error:
        patches(torch.zeros(shape), 2)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(("size", "near"), [(3, 2), (0, 1), (5, 4)])
def test_a_size_that_does_not_divide_the_image_is_refused_and_one_that_does_is_named(size, near):
    with pytest.raises(ValueError, match=rf"size = {size} does not cut .* 8 × 12 .*such as {near}; or pad"):
        patches(torch.zeros(1, 1, 8, 12), size)


@pytest.mark.parametrize(("shape", "size", "height"), [((1, 6, 4), 2, 5), ((1, 5, 4), 2, 4), ((1, 6, 5), 2, 4)])
def test_pieces_that_fill_no_image_are_refused(shape, size, height):
    with pytest.raises(
        ValueError, match=rf"S = {shape[1]} patches of P = {shape[2]} .*height = {height}.*size = {size}"
    ):
        unpatch(torch.zeros(shape), size, height)


def test_unpatch_wants_three_axes():
    with pytest.raises(ValueError, match=r"pieces has shape \(6, 4\): expected \(B, S, P\)"):
        unpatch(torch.zeros(6, 4), 2, 4)


def test_each_image_is_shuffled_in_an_order_of_its_own():
    pieces = torch.arange(12.0).view(1, 6, 2).repeat(50, 1, 1)
    shuffled = shuffle_each(pieces, torch.Generator().manual_seed(0))
    order = shuffled[:, :, 0].argsort(dim=1)
    back = shuffled.gather(1, order[..., None].expand_as(shuffled))
    assert torch.equal(back, pieces)  # nothing is lost, and the numbers of a piece stay together
    assert len({tuple(row.tolist()) for row in order}) > 40
    assert torch.equal(shuffled, shuffle_each(pieces, torch.Generator().manual_seed(0)))


def test_the_split_of_the_digits_is_stratified_seeded_and_apart():
    data, again, other = digits(0), digits(0), digits(1)
    assert data.train_x.shape == (1347, 1, 8, 8)
    assert data.test_x.shape == (450, 1, 8, 8)
    assert torch.equal(data.train_x, again.train_x)
    assert not torch.equal(data.train_x, other.train_x)
    assert data.train_x.min() == 0
    assert data.train_x.max() == 1
    share = [torch.bincount(y, minlength=10) / len(y) for y in (data.train_y, data.test_y)]
    assert (share[0] - share[1]).abs().max() < 0.002
    seen = {bytes(image.numpy().tobytes()) for image in data.train_x}
    assert not any(bytes(image.numpy().tobytes()) in seen for image in data.test_x)


def test_the_baselines_read_digits():
    scores = baselines(digits(0))
    assert set(scores) == {"logistic regression", "3 nearest neighbours", "support-vector machine"}
    assert all(0.95 < score < 1 for score in scores.values())
