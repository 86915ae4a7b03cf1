"""What the tests of reinforcement learning share: padded tensors, finite differences, a tiny policy."""

import copy
from functools import cache

import torch
from hypothesis import strategies as st

from lablib.adaptation.chat import STOP
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.tokens import course_tokenizer

seeds = st.integers(0, 10_000)


@cache
def tokenizer():
    return course_tokenizer.load()


def live():
    """The tokens that the tiny policy writes: 63 letters and the end, so that it has something to learn in seconds."""
    return [*range(63), tokenizer().special[STOP]]


def policy(seed=0, scale=2.0):
    """A decoder of one layer with random weights that hardly ever writes a token that is not `live`; scale: how sure it is."""
    config = DecoderConfig(V=tokenizer().V, D=16, H=2, L=1, hidden=24, context=96, tied=False)
    chance = torch.Generator().manual_seed(seed)
    model = Decoder(config, generator=chance).eval()
    with torch.no_grad():
        for weight in model.layers.parameters():
            if weight.dim() > 1:
                weight.mul_(3)
        model.embedding.weight.normal_(generator=chance)
        model.embedding.weight[:, 0] = 5.0  # every hidden state is far from 0 in this direction
        model.head.weight.zero_()
        model.head.weight[:, 0] = -8.0
        model.head.weight[live()] = 0.1 * scale * torch.randn(64, 16, generator=chance)
    return model


def twin(model):
    """A frozen copy: the reference."""
    return copy.deepcopy(model).requires_grad_(False)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tokens(seed, N=4, T=7, dtype=torch.float64):
    """Answers of different lengths, none empty, at different places of their rows: a generator and a mask (N, T)."""
    chance = generator(seed)
    start = torch.randint(0, T - 1, (N, 1), generator=chance)
    length = 1 + torch.randint(0, T, (N, 1), generator=chance)
    places = torch.arange(T)
    return chance, (places >= start) & (places < start + length)


def normal(shape, chance, dtype=torch.float64):
    return torch.randn(*shape, generator=chance, dtype=dtype)


def junk(x, mask, value):
    """x with something else in every place that does not count."""
    return x.where(mask, torch.tensor(value, dtype=x.dtype))


def widened(x, left, right, value):
    """x (N, T) with columns of padding on both sides."""
    N = len(x)
    fill = [torch.full((N, n), value, dtype=x.dtype) for n in (left, right)]
    return torch.cat((fill[0], x, fill[1]), dim=1)


def finite_difference(loss, x, step=1e-6):
    """The gradient of a scalar function by central differences, in float64."""
    found = torch.zeros_like(x)
    for i in range(x.numel()):
        up, down = x.clone(), x.clone()
        up.view(-1)[i] += step
        down.view(-1)[i] -= step
        found.view(-1)[i] = (loss(up) - loss(down)) / (2 * step)
    return found


def gradient(loss, x):
    leaf = x.clone().requires_grad_(True)
    loss(leaf).backward()
    return leaf.grad
