# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 01 · Before attention
#
# For thirty years a network that read text read it as we do: one word after another, with a memory that it carried along. These
# *recurrent* networks were replaced within a few years of 2017, and two reasons are usually given: they cannot be computed
# in parallel, and they forget, because their gradient vanishes. In this lab you build them, measure both, and find out where the
# usual account is right and where it is too simple.
#
# **You will be able to**
#
# - write an RNN step, an LSTM step and the loop around them, equal to PyTorch's own;
# - carry a gradient back through time by hand, and say when it vanishes or explodes, and why;
# - say what clipping does, and what it does not do;
# - read "attention solves long-range dependencies" with care, because you have measured what it costs.
#
# **You need** Python and a little linear algebra: the matrix product, the norm of a vector. The last exercise uses
# attention as a ready-made function; lab 02 is about how it works inside.
# **Time**: about 90 minutes with the seven exercises. Running every cell takes less than three minutes on two CPU cores, and
# about 1.1 GB of memory.
#
# An exercise that you leave blank, or have wrong, never stops you: the cell after it says so, and later cells use the
# course's own version until yours passes. Nothing leaves your machine.

# %%
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lablib.architecture import copy_task
from lablib.measure import median_seconds
from lablib.show.live import LiveChart
from lablib.show.sliders import Sliders
from lablib.show.style import COLOURS, Picture, figure

# %% tags=["varies"]
from lablib import course

lab = course.begin("01")

# %% [markdown]
# ## A state that is carried along
#
# A recurrent network has a **state**: a vector h of D numbers, all that it remembers. At each step it takes one input x and
# makes a new state from both. The weights are the same at every step, so it can read a sequence of any length.
#
# Letters: **B** sequences in a batch, **T** steps of a sequence, **I** width of an input, **D** width of the state.

# %%
# EXERCISE lablib.architecture.recurrent:rnn_step

# %%
State = TypeVar("State")  # what a cell hands on to the next step: a tensor, or several

# %%
# EXERCISE lablib.architecture.recurrent:unroll

# %% [markdown]
# That is a whole recurrent network (Elman 1990). PyTorch has one too. With its weights copied into yours, the two must agree. (PyTorch
# stores weights transposed, and has two biases where one would do.)

# %%
torch.manual_seed(0)
theirs = nn.RNN(4, 5, batch_first=True)
w_x, w_h, b = theirs.weight_ih_l0.T, theirs.weight_hh_l0.T, theirs.bias_ih_l0 + theirs.bias_hh_l0
sequence = torch.randn(2, 6, 4)  # (B, T, I)
mine = torch.stack(unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), sequence, torch.zeros(2, 5)), dim=1)
agree = torch.allclose(mine, theirs(sequence)[0], atol=1e-6)
print("states:", tuple(mine.shape), "  equal to PyTorch's:", agree)

# %% [markdown]
# **What to notice.** The loop is the network. Step 6 cannot begin before step 5 has ended, because it needs its state: no
# number of processors changes that. And whatever step 6 knows of step 1 has been through the same matrix five
# times. Both complaints about recurrence are in these lines already; now measure them, the second one first.

# %% [markdown]
# ## The way back
#
# To learn that the first word mattered, the error at the end must reach the weights *as they were used at the first step*. The
# chain rule takes it there, one step at a time: **backpropagation through time**.

# %%
# EXERCISE lablib.architecture.recurrent:backpropagate_through_time

# %% [markdown]
# Each step back multiplies the gradient by the slope of tanh, which is at most 1, and by the same matrix again. After k
# steps that is k times. Powers grow or shrink exponentially; only a number of exactly 1 stays.
#
# To see it for any network you need an instrument: change the input at distance k a little; how much does the loss at the end
# feel it?

# %%
# EXERCISE lablib.architecture.recurrent:gradient_by_distance

# %% [markdown]
# The network to be measured: D = 64, T = 100 steps, random inputs. Its recurrent matrix is an **orthogonal** matrix, one that
# turns a vector and keeps its length, times a number, the *scale*. So one step back through the matrix changes
# the length of the gradient by exactly the scale. (float64, so that tiny numbers are numbers and not zero.)

# %%
D, T, B = 64, 100, 16
generator = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


distance = torch.arange(T)
x, read, zero = normal(B, T, D), normal(D), torch.zeros(D, dtype=torch.float64)
w_in, turn = normal(D, D) / D**0.5, torch.linalg.qr(normal(D, D))[0]


# %%
def rnn_states(x: Tensor, scale: float, size: float = 1.0) -> list[Tensor]:
    """The states of an RNN with the recurrent matrix scale · turn; `size` makes its inputs smaller."""
    return unroll(lambda x, h: rnn_step(x, h, size * w_in, scale * turn, zero), x, x.new_zeros(len(x), D))


def linear_states(x: Tensor, scale: float) -> list[Tensor]:
    """The same without tanh."""
    return unroll(lambda x, h: x @ w_in + h @ (scale * turn), x, x.new_zeros(len(x), D))


# %% [markdown]
# First: does your way back agree with the instrument? The gradient at an input is the gradient at its state, through tanh and
# the input matrix.

# %%
states = torch.stack(rnn_states(x, 1.5), dim=1)  # (B, T, D)
at_states = backpropagate_through_time(states, 1.5 * turn, read.expand(B, D))
at_inputs = (at_states * (1 - states**2)) @ w_in.T
by_hand = at_inputs.norm(dim=-1).mean(0).flip(0)
by_autograd = gradient_by_distance(lambda x: (rnn_states(x, 1.5)[-1] @ read).sum(), x)
print("largest relative difference below 1e-9:", bool(((by_hand - by_autograd).abs() / by_autograd).max() < 1e-9))

# %% [markdown]
# **Before you run the next cell**, write down: at which scale does the gradient of the network *without* tanh neither vanish
# nor explode? And with tanh: will a scale of 1.5 explode?

# %%
fig, (left, right) = figure(cols=2, width=9.5, height=3.6, sharey=True)
for scale, colour in zip((0.8, 1.0, 1.5, 2.0), COLOURS, strict=False):
    for ax, states_of in ((left, linear_states), (right, rnn_states)):
        norms = gradient_by_distance(lambda x, f=states_of, s=scale: (f(x, s)[-1] @ read).sum(), x)
        ax.plot(distance, norms, color=colour, label=f"scale {scale}")
        ax.plot(distance[::4], norms[0] * scale ** distance[::4].double(), ".", color=colour, markersize=4)
left.set(title="without tanh", ylabel="‖∂ loss / ∂ input‖", yscale="log", ylim=(1e-14, 1e14))
right.set(title="with tanh")
for ax in (left, right):
    ax.set_xlabel("distance (steps)")
left.legend(loc="lower left")
Picture(
    fig,
    "Gradient against distance on a log scale. Left: straight lines on the dots. Right: all lie far below the dots.",
)

# %% [markdown]
# **What to notice.** The dots are the theory: scale to the power of the distance. Left, without tanh, the lines run through them:
# 0.8 vanishes, 2 explodes, and 1 stays where it is for all hundred steps. Right, with tanh, the dots are only an *upper bound*, since
# each slope is at most 1. At scale 1.5 the common rule ("larger than 1: it explodes") is wrong: the gradient
# vanishes, because the bound rises and the slopes take away more. At 2 it explodes, yet far less than the bound allows.
#
# That is what the theory says when it is quoted in full (Pascanu et al. 2013, §2.1): a largest singular value below 1 is
# *enough* for vanishing, and one above 1 is *needed* for exploding, not enough. How much tanh takes away depends on where
# the states are:

# %%
print(f"{'scale':>6}  {'inputs':>6}  {'mean slope of tanh':>18}  {'gradient at distance 99 / at distance 0':>40}")
for scale in (1.0, 1.5, 2.0):
    for size in (1.0, 0.1):
        slope = (1 - torch.stack(rnn_states(x, scale, size), dim=1) ** 2).mean()
        norms = gradient_by_distance(lambda x, s=scale, z=size: (rnn_states(x, s, z)[-1] @ read).sum(), x)
        print(f"{scale:>6}  {size:>6}  {slope:>18.2f}  {norms[99] / norms[0]:>40.0e}")

# %% [markdown]
# **What to notice.** The same matrix vanishes or explodes, depending on the *inputs*: large ones push tanh to its flat ends. So
# "spectral radius" (the largest size of an eigenvalue) alone decides nothing, once there is a tanh. Keep the first two
# rows in mind: at a scale of 1, small inputs let a few thousandths through over ninety-nine steps, and large ones leave nothing
# at all.

# %% [markdown]
# ## Too much: clipping
#
# An exploding gradient is a dangerous step: the weights jump far away, and what was learned is gone. The remedy is blunt, and large
# models are trained with it to this day: if the gradient is longer than a limit, shorten it.

# %%
# EXERCISE lablib.architecture.recurrent:clip_by_global_norm

# %% [markdown]
# Does clipping repair the explosion? The gradient of the recurrent matrix is a sum with one term for each distance. Here
# are the terms of an exploding network, and the same after clipping to a length of 1.

# %%
states = torch.stack(rnn_states(x, 2.0, 0.1), dim=1)
back = backpropagate_through_time(states, 2.0 * turn, read.expand(B, D)) * (1 - states**2)
before = torch.cat((torch.zeros(B, 1, D), states[:, :-1]), dim=1)  # the state that each step started from
terms = torch.einsum("btd,bte->tde", before, back).flip(0)  # (T, D, D), by distance
whole = terms.sum(0)
(clipped,) = clip_by_global_norm(1.0, whole)
shrink = (clipped.norm() / whole.norm()).item()
share = (terms[90:].sum(0).norm() / whole.norm()).item()
print(f"norm before {whole.norm():.1e}, after {clipped.norm():.1f}: every term was multiplied by {shrink:.1e}")
print(f"distances 90 and more against the whole, as lengths: {share:.3f} before, and after")

# %%
fig, ax = figure(width=7)
sizes = terms.flatten(1).norm(dim=1)[:-1]  # the last term is zero: the first step started from nothing
ax.semilogy(sizes, color=COLOURS[1], label="as it is")
ax.semilogy(shrink * sizes, color=COLOURS[0], label="clipped to a norm of 1")
ax.set(xlabel="distance (steps)", ylabel="‖term of the gradient‖")
ax.legend()
Picture(fig, "Size of each distance's part of the gradient, before and after clipping: two parallel curves.")

# %% [markdown]
# **What to notice.** Two parallel curves. Clipping bounds the *step*; every distance keeps its share, so the far past
# still drowns the near one. It repairs no profile, and it can do nothing at all for a gradient that vanishes: there is nothing to
# shorten.

# %% [markdown]
# ## Too little: the LSTM
#
# The "long short-term memory" (Hochreiter and Schmidhuber 1997) gives the network a second state, the **cell** c, that no matrix
# ever touches. It is multiplied, entry by entry, by a number between 0 and 1, the **forget gate** f, and something is added to it. The
# forget gate came three years later (Gers et al. 2000); before that, f was 1.

# %%
# EXERCISE lablib.architecture.recurrent:lstm_step

# %% [markdown]
# Follow the gradient back along the cell, and along nothing else: each step multiplies it by f. With f = 1 it comes through unchanged. What
# f is at the start of training depends on one number, the gate's bias: f is about σ(bias), the sigmoid of it.

# %%
w_x4, w_h4 = normal(D, 4 * D) / D**0.5, normal(D, 4 * D) / D**0.5


def lstm_loss(x: Tensor, forget_bias: float, size: float = 1.0) -> Tensor:
    """The sum of what `read` makes of the last h; `size` makes the inputs smaller."""
    bias = torch.zeros(4 * D, dtype=torch.float64)
    bias[D : 2 * D] = forget_bias  # the second block of i, f, g, o
    start = x.new_zeros(len(x), D)
    h, _ = unroll(lambda x, s: lstm_step(x, *s, size * w_x4, w_h4, bias), x, (start, start))[-1]
    return (h @ read).sum()


# %%
fig, ax = figure(width=8, height=3.8)
for bias, colour in zip((0, 1, 3, 5), COLOURS, strict=False):
    norms = gradient_by_distance(lambda x, b=bias: lstm_loss(x, b), x)
    f = torch.tensor(float(bias)).sigmoid().item()
    ax.semilogy(norms, color=colour, label=f"bias {bias}: σ = {f:.3f}")
    ax.semilogy(distance[1::4], norms[1] * f ** (distance[1::4] - 1.0), ".", color=colour, markersize=4)
ax.set(xlabel="distance (steps)", ylabel="‖∂ loss / ∂ input‖", ylim=(1e-14, 1e3))
ax.legend(loc="lower left")
Picture(fig, "Gradient of an LSTM against distance for four forget biases; dots show the path along the cell alone.")

# %% [markdown]
# **What to notice.** The dots are the path along the cell alone, σ(bias) to the power of the distance. An LSTM whose gates start
# half open (bias 0, PyTorch's default up to small random numbers) **vanishes like any other network**. The cell does not abolish the
# exponential; it puts its base into the network's own hands, and 0.99 to the power of 100 is still something. In the long
# run the lines lie above the dots, since there are other ways back too, through h and the gates. With a bias of 5 they even
# make it *grow*: an LSTM can explode.

# %% [markdown]
# ## No steps at all: attention
#
# Why hand anything from step to step? Let the last position **look at every input directly**. In attention, a position that wants to know
# something makes a *query*, each position offers a *key* and a *value*, and the answer is the sum of the values, weighted by how
# well their keys match the query. The weights are positive and sum to 1. That is all you need to know for now; lab 02
# takes it apart. If you have done it, your own function is used.

# %% tags=["varies"]
scaled_dot_product_attention = lab.mine("lablib.architecture.attention:scaled_dot_product_attention")

# %%
# EXERCISE lablib.architecture.recurrent:look_back

# %%
w_q, w_k, w_v = (normal(D, D) / D**0.5 for _ in range(3))


def attention_loss(x: Tensor, size: float = 1.0) -> Tensor:
    return (look_back(size * x, w_q, w_k, w_v)[0] @ read).sum()


def all_three(recurrent_scale: int, input_size: int, forget_bias: int) -> Picture:
    scale, size = recurrent_scale / 100, input_size / 100
    fig, ax = figure(width=8, height=3.8)
    ax.semilogy(gradient_by_distance(lambda x: (rnn_states(x, scale, size)[-1] @ read).sum(), x), label="RNN")
    ax.semilogy(gradient_by_distance(lambda x: lstm_loss(x, forget_bias, size), x), label="LSTM")
    ax.semilogy(gradient_by_distance(lambda x: attention_loss(x, size), x), label="attention")
    ax.set(xlabel="distance (steps)", ylabel="‖∂ loss / ∂ input‖", ylim=(1e-14, 1e6))
    ax.legend(loc="lower left")
    return Picture(fig, "Gradient against distance of an RNN, an LSTM and attention, with the sliders' settings.")


# %% [markdown]
# Three sliders: the recurrent scale and the size of the inputs in per cent, and the bias of the LSTM's forget gate. Can you make the RNN
# as flat as attention? And the LSTM?

# %% tags=["varies"]
Sliders(all_three, recurrent_scale=(150, 50, 300), input_size=(100, 5, 100), forget_bias=(1, -2, 8))

# %% [markdown]
# **What to notice.** Attention's line is flat whatever you do: each input is one weighted sum away, at any distance. (Distance 0 stands
# out because the last position is also the one that asks.) But flat is not large. An untrained attention shares its
# weight among all T positions, and so the gradient of each falls as 1/T:

# %%
for length in (10, 100, 1000):
    norms = gradient_by_distance(attention_loss, normal(4, length, D))[1:]
    spread = norms.std() / norms.mean()
    print(f"T = {length:>4}: mean {norms.mean():.4f}, T · mean {length * norms.mean():>4.1f}, spread/mean {spread:.1f}")

# %% [markdown]
# **What to notice.** T times the mean hardly changes: 1/T, not an exponential. Compare 1/1000 with 0.9 to the power of
# 1000. (What varies from one input to the next is chance, not distance: some keys match better than others.)

# %% [markdown]
# ## Seconds against length
#
# Now the first complaint: recurrence cannot be computed in parallel. What has to be done, exactly, to read T inputs of width D
# and give an output at each position, in multiplications:

# %%
D = 64
titles = ("RNN: 2·T·D²", "attention: 4·T·D² + 2·T²·D", "chain, RNN", "chain, attention")
print(f"{'T':>6}  {titles[0]:>12}  {titles[1]:>27}  {titles[2]:>10}  {titles[3]:>16}")
for length in (16, 256, 4096):
    rnn, attention = 2 * length * D**2, 4 * length * D**2 + 2 * length**2 * D
    print(f"{length:>6}  {rnn:>12,}  {attention:>27,}  {length:>10}  {1:>16}")

# %% [markdown]
# Attention does **more** work at every length, 2 + T/D times as much. But its *chain*, the number of steps of which each must wait for
# the one before, is 1, and the RNN's is T. (That counts a matrix product as one step.) Which of the two wins is a question to
# the machine. Four candidates, forward and backward: your loop; PyTorch's `nn.RNN`, the same loop in C++; attention as in
# lab 02, which writes down all T × T weights; and PyTorch's fused kernel, which computes the same without ever holding them.
#
# **Before you run it:** who is fastest at 64? At 4096?

# %%
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
weights = [(torch.randn(D, D) / D**0.5).to(device).requires_grad_() for _ in range(4)]
bias, library_rnn = torch.zeros(D, device=device), nn.RNN(D, D, batch_first=True).to(device)


def loop(x: Tensor) -> Tensor:
    start = x.new_zeros(len(x), D)
    return torch.stack(unroll(lambda x, h: rnn_step(x, h, *weights[:2], bias), x, start), dim=1)


def attend(x: Tensor) -> Tensor:
    past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()  # who may look at whom
    return scaled_dot_product_attention(x @ weights[0], x @ weights[1], x @ weights[2], past)[0] @ weights[3]


def attend_fused(x: Tensor) -> Tensor:
    q, k, v = (x[:, None] @ w for w in weights[:3])  # (B, 1, T, D): the kernel wants an axis for heads
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0] @ weights[3]


# %%
longest = lab.profile.pick(smoke=128, laptop=8192)
lengths = [2**i for i in range(4, 14) if 2**i <= longest]
contenders = {
    "your loop": (loop, longest // 4),
    "nn.RNN": (lambda x: library_rnn(x)[0], longest),
    "attention": (attend, longest // 2),
    "attention, fused": (attend_fused, longest),
}


def forward_and_backward(read: Callable[[Tensor], Tensor], x: Tensor) -> float:
    (gradient,) = torch.autograd.grad(read(x).sum(), x)
    return gradient.sum().item()


# %% tags=["varies"]
seconds = {name: {} for name in contenders}
for name, (read_all, limit) in contenders.items():
    for length in (n for n in lengths if n <= limit):
        inputs = torch.randn(1, length, D, device=device, requires_grad=True)
        call = lambda f=read_all, x=inputs: forward_and_backward(f, x)  # noqa: E731
        seconds[name][length] = median_seconds(call, repeats=3)

# %% tags=["varies"]
fig, ax = figure(width=8, height=3.8)
for (name, times), colour in zip(seconds.items(), COLOURS, strict=False):
    ax.loglog(list(times), [1000 * s for s in times.values()], "o-", color=colour, label=name, markersize=4)
ax.set(xlabel="length T", ylabel=f"milliseconds on {device}", xticks=lengths, xticklabels=lengths)
ax.minorticks_off()
ax.legend()
Picture(
    fig,
    "Time against length, both on log scales: straight lines for the loops, steeper and steeper ones for attention.",
)

# %% tags=["varies"]
for name in ("attention", "attention, fused"):
    last_win = max((n for n in seconds[name] if seconds[name][n] < seconds["nn.RNN"][n]), default=0)
    said = f"is faster than nn.RNN up to T = {last_win}, of {max(seconds[name])} tried"
    print(f"{name:<17} {said}")
print(f"{torch.get_num_threads()} CPU threads; device {device}")

# %% [markdown]
# **What to notice.** Both loops are straight lines of slope 1: twice the length, twice the time. Attention begins far below, though it has more
# to compute: it gives the processor large matrix products instead of T tiny ones. Then its T² shows, the line bends upwards and
# **crosses**: from there on, the old network is the faster one. The fused kernel moves the crossing further out, and does not remove it:
# it saves memory and traffic, and by skipping what the mask hides up to half of the T² multiplications, but not the square.
#
# Where the lines cross is a property of the machine. Two CPU cores have little to do in parallel. A GPU has thousands of units and can
# shorten everything but the chain; so expect attention's lines to drop far, the loops' little, and the crossing to move to longer
# texts. (Check it: where there is a GPU, these cells use it.) The chain lengths in the table above are true on any machine.
#
# And a thing that is easily forgotten: to *generate* the next word, an RNN needs its state, D numbers, however long the text
# was. Attention needs the keys and values of all that came before, 2·T·D numbers, and looks at each. That is why networks
# with a state of constant size have come back (lab 17), in a form whose chain is short.

# %% [markdown]
# ## What can each of them learn?
#
# Gradients of untrained networks are an omen, not a result. So let them learn: **see a marked symbol, read noise, then say which symbol
# it was.** Eight symbols, so chance is 1/8. The noise is made of the same symbols without the mark. A model that answers better than
# by chance has carried the symbol over the whole distance.

# %%
from lablib.architecture.copy_task import AttentionReader, CopyModel, LSTMReader, RNNReader

V = 8
ids, symbol = copy_task.copy_batch(3, V, distance=9, generator=torch.Generator().manual_seed(1))
for row, answer in zip(ids.tolist(), symbol.tolist(), strict=True):
    print(" ".join(f"[{i - V}]" if V <= i < 2 * V else "?" if i == 2 * V else str(i) for i in row), "  answer:", answer)

# %% [markdown]
# Is it fair? Attention as you wrote it is blind to positions (lab 03), so it could not obey "name the *first* symbol". The mark is
# something that all three can see. All three get the same embedding, sequences, optimiser and number of steps, and about as many parameters. They call
# *your* functions. The LSTM's forget bias starts at 1, as is often advised (Jozefowicz et al. 2015).

# %%
makers = {
    "RNN": lambda: CopyModel(V, 64, RNNReader(64, rnn_step)),
    "LSTM": lambda: CopyModel(V, 32, LSTMReader(32, 1.0, lstm_step)),
    "attention": lambda: CopyModel(V, 53, AttentionReader(53, look_back)),
}
for name, make in makers.items():
    print(f"{name:<10}{sum(p.numel() for p in make().parameters()):>7,} parameters")

# %%
steps, seeds = lab.profile.pick(smoke=8, laptop=300, gpu=1000), lab.profile.pick(smoke=1, laptop=3)
torch.set_num_threads(1)  # these matrices are so small that sharing them out takes longer than computing them


def learn(make: Callable[[], CopyModel], distance: int, seed: int, max_norm: float | None = 1.0) -> float:
    """Train a new model at one distance; its accuracy on fresh sequences."""
    torch.manual_seed(seed)
    model, draw = make(), torch.Generator().manual_seed(seed)
    for _ in copy_task.train_copy(model, V, distance, steps, draw, max_norm=max_norm):
        pass
    return copy_task.copy_accuracy(model, V, distance, draw)


# %% [markdown]
# **Before you run it, write down** for each of the three the distance up to which it will learn the task in 300 steps.

# %% tags=["varies"]
distances = lab.profile.pick(smoke=(2, 4), laptop=(5, 10, 20, 40), gpu=(5, 10, 20, 40, 80))
results = {name: {} for name in makers}
alt = "Accuracy on the copy task against distance for RNN, LSTM and attention, bands over seeds, with chance level."
chance = {"chance": 1 / V}
with LiveChart(
    list(makers), x="distance (steps)", y="accuracy", levels=chance, y_range=(0, 1.05), bands=True, alt=alt
) as chart:
    for distance in distances:
        for name, make in makers.items():
            results[name][distance] = [learn(make, distance, seed) for seed in range(seeds)]
            chart.add(distance, **{name: results[name][distance]})

# %% tags=["varies"]
print(f"{'accuracy, each seed':<22}" + "".join(f"distance {d:<14}" for d in distances))
for name, by in results.items():
    print(f"{name:<22}" + "".join(f"{'  '.join(f'{a:.2f}' for a in by[d]):<23}" for d in distances))

# %% [markdown]
# **What to notice.** Attention does not care about the distance. The RNN learns the task at 5, at 10 it depends on the seed, and from 20 on it
# answers by chance. The LSTM reaches further, and at 40 it answers by chance as well: "LSTMs have no trouble with long
# distances" is not what you see. Where a band is wide, the luck of the start decides: a gradient that is nearly too small. (300
# steps and one learning rate, 0.003, for all: set `steps` to 1000 and see whether the edges move.)

# %% [markdown]
# ## Can the recurrent ones be rescued?
#
# Take the longest distance. Which of these changes would help? They cost nothing: the same network, the same steps, another start.
#
# - **no clipping**: perhaps clipping holds the RNN back;
# - **orthogonal**: the recurrent matrix starts as a rotation (scale 1) instead of small random numbers;
# - **small inputs**: the embeddings start ten times smaller, so that tanh stays where it is steep;
# - **both** of these;
# - **forget bias** 0 or 3 instead of 1, for the LSTM.
#
# **Before you run it**, mark the ones that you expect to reach 100 %. You have seen all that is needed to predict it.


# %%
def changed_rnn(orthogonal: bool, small: bool) -> CopyModel:
    model = makers["RNN"]()
    with torch.no_grad():
        if orthogonal:
            nn.init.orthogonal_(model.reader.w_h)
        if small:
            model.embedding.weight *= 0.1
    return model


# %%
variants = {
    "RNN": (makers["RNN"], 1.0),
    "RNN, no clipping": (makers["RNN"], None),
    "RNN, orthogonal": (lambda: changed_rnn(True, False), 1.0),
    "RNN, small inputs": (lambda: changed_rnn(False, True), 1.0),
    "RNN, both": (lambda: changed_rnn(True, True), 1.0),
    **{f"LSTM, forget bias {b}": (lambda b=b: CopyModel(V, 32, LSTMReader(32, b, lstm_step)), 1.0) for b in (0, 1, 3)},
}


# %%
def omen(make: Callable[[], CopyModel], distance: int) -> float:
    """Before training: the gradient at the marked symbol over the one at the input just before the question."""
    torch.manual_seed(0)
    model = make()
    ids, symbol = copy_task.copy_batch(64, V, distance, torch.Generator().manual_seed(0))

    def loss_of(x: Tensor) -> Tensor:
        return F.cross_entropy(model.head(model.reader(x)), symbol, reduction="sum")

    norms = gradient_by_distance(loss_of, model.embedding(ids))
    return (norms[-1] / norms[1]).item()


# %% tags=["varies"]
far = distances[-1] if lab.profile.name != "gpu" else 40
rescued = {"RNN": results["RNN"][far], "LSTM, forget bias 1": results["LSTM"][far]}
for name, (make, max_norm) in variants.items():
    if name not in rescued:
        rescued[name] = [learn(make, far, seed, max_norm) for seed in range(seeds)]

# %% tags=["varies"]
print(f"distance {far:<17}{'gradient before training':>26}   accuracy, each seed")
for name, (make, _) in variants.items():
    print(f"{name:<26}{omen(make, far):>26.0e}   {'  '.join(f'{a:.2f}' for a in rescued[name])}")
print(f"{'chance':<26}{'':>26}   {1 / V:.2f}")

# %% [markdown]
# **What to notice.** Hold the two columns side by side. Where the gradient at the start was near 1, the task is learned, or nearly; where it
# was tiny, hardly ever, and between 1e-14 and 1e-3 there is little to choose. So the instrument, read *before* the
# first step of training, tells you who will succeed.
#
# - **Clipping** changes nothing: what it shortens was never the part that is missing.
# - **Orthogonal** alone does not help: the inputs push tanh to its flat ends. **Small inputs** alone hardly do: the matrix shrinks.
#   **Both** together turn the plain RNN into one that beats the usual LSTM: the same equations, the same size, another start.
# - A **forget bias** of 1, the usual advice, is too little for this distance; 3 is enough. The advice is a number, and the right number
#   depends on how far you want to remember.
#
# It is an omen and no law: look for a seed that learned, or failed, against it. Training moves the weights, and the gradient with them. And holding
# on to one symbol is the easy half of memory. Text asks for the other half too: to let go, at every word, of what is no longer
# needed. That is what gates, and attention's weights, are for.

# %% [markdown]
# ## The common account, checked
#
# | it is said | you measured |
# |---|---|
# | Recurrence cannot be computed in parallel. | True of the RNN and the LSTM: a chain of T steps on any machine. Recurrences that are *linear* in the state can be computed in a short chain (lab 17). |
# | RNNs are slow on long texts. | Per text, attention does more work at every length, and past some length it is slower. What it saves is waiting. |
# | Their gradient vanishes. | It depends on the start: scale, inputs, biases. The same RNN vanishes, holds or explodes. |
# | They "fail to keep the context": that is the vanishing gradient. | Two things. A network may be *able* to keep something and never *learn* to, because no gradient tells it. The rescued RNN has the same equations. |
# | The LSTM solved it. | It made the base of the power learnable. With half-open gates it vanishes as well, and it can explode. |
# | Attention solved it. | Yes: 1/T instead of an exponential. It pays with T² work and a memory that grows with the text. |
#
# ## Questions to think about
#
# <details><summary>1. The scale was that of an orthogonal matrix. What changes for any other matrix?</summary>
#
# A general matrix stretches some directions more than others. Its largest singular value bounds one step; its spectral radius rules
# the *long run* (the norm of the k-th power, to the power 1/k, tends to it). In between anything can happen: the powers of
# [[0.9, 5], [0, 0.9]] first grow, to far above 1, and then vanish.
#
# </details>
#
# <details><summary>2. Why not choose the recurrent scale such that the gradient neither grows nor shrinks?</summary>
#
# One can at the start; orthogonal matrices do that. But training moves the weights, and the right scale depends on the inputs, through tanh. And a
# network that forgets nothing cannot make room: holding on and taking in are at odds when one matrix must do both. The LSTM's gates are
# a way to decide it anew at each step.
#
# </details>
#
# <details><summary>3. Clipping by global norm, or each entry by itself: which keeps the direction of the step?</summary>
#
# The global norm: all entries are multiplied by one number. Clipping each entry bends the step towards the small entries. Both are in use;
# the norm is usual for language models (lab 07).
#
# </details>
#
# <details><summary>4. Truncated backpropagation stops the gradient after, say, 20 steps. What can such a network still learn?</summary>
#
# Only what shows within 20 steps of its cause: the longer dependency gets a gradient of exactly zero. The state itself is still carried on, so
# it may *use* older things if keeping them was worth learning for shorter distances. It makes long texts affordable: the way back
# needs every state of the way forward.
#
# </details>
#
# <details><summary>5. A residual connection, h' = h + g(x, h), is in every modern network. Which part of this lab is it?</summary>
#
# The cell with f = 1: c' = c + i · g. The path straight through has a slope of exactly 1, and the gradient takes it back
# through any number of steps, or of layers. Lab 04 measures it by depth.
#
# </details>
#
# <details><summary>6. The LSTM needs a forget gate near 1 to remember. How could one choose its bias for a task of length T?</summary>
#
# A gate of f forgets within about 1/(1 − f) steps. So make 1/(1 − σ(bias)) about T, which gives a bias of about log(T − 1): 3.7 for T = 40.
# Tallec and Ollivier (2018) draw the biases so that the units cover all times up to T.
#
# </details>
#
# ## What you did

# %% tags=["varies"]
lab.summary()

# %% [markdown]
# ## Papers
#
# - Elman 1990, *Finding Structure in Time*: the simple recurrent network.
# - Hochreiter 1991 (diploma thesis, in German), and Bengio, Simard and Frasconi 1994, *Learning Long-Term Dependencies with
#   Gradient Descent is Difficult*: the vanishing gradient.
# - Hochreiter and Schmidhuber 1997, *Long Short-Term Memory*; Gers, Schmidhuber and Cummins 2000, *Learning to Forget*.
# - Pascanu, Mikolov and Bengio 2013, *On the difficulty of training recurrent neural networks*: the product of Jacobians, and clipping.
# - Jozefowicz, Zaremba and Sutskever 2015, *An Empirical Exploration of Recurrent Network Architectures*: a forget bias of 1.
# - Le, Jaitly and Hinton 2015, *A Simple Way to Initialize Recurrent Networks of Rectified Linear Units*: a start at the identity rescues an RNN.
# - Arjovsky, Shah and Bengio 2016, *Unitary Evolution Recurrent Neural Networks*: rotations, and the copying task.
# - Tallec and Ollivier 2018, *Can recurrent neural networks warp time?*
# - Vaswani et al. 2017, *Attention Is All You Need*: table 1 compares work, chain and path length of recurrence and attention.
