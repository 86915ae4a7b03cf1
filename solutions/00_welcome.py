# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Welcome to *From Data to Dialogue*
#
# In this course you make a language model: you read its data, cut its text into tokens, train it, teach it to
# follow instructions, and align it with what people want. **The core of every technique is written by you**, in about
# ten lines at a time, and every lab shows you what your lines do: a curve that falls, a picture that moves,
# a number you can argue with. It runs on your own machine. No GPU, no account and no network are needed.
#
# You need some Python and a little linear algebra (what a matrix product is). Everything else is explained where it first appears.
#
# This page takes ten minutes. Select a cell with a click, run it with **Shift + Enter**; or run them all from the
# menu **Run → Run All Cells**.

# %% [markdown]
# ## 1. Your machine
#
# The next cell looks at this computer. It tries things rather than guessing: it times a matrix product in two
# number formats and picks the one that is faster *here*. A `✗` must be mended first, and the arrow beside it says how;
# a `·` is only worth knowing.

# %% tags=["varies"]
from lablib.course import doctor

doctor.examine(("Python", "PyTorch", "Training", "Memory", "JupyterLab", "Real models", "Profile"))

# %% [markdown]
# **What to notice.** The line *Training* carries its measurements. On many processors `bfloat16`, a number with 16 bits in place
# of 32, is slower than `float32`, on some it is several times faster; only measuring tells. The *profile* sets
# how much each lab computes: `laptop` is the lab as it is meant, in at most 3 minutes.

# %% [markdown]
# ## 2. The map
#
# The labs follow a model's life in order: how it is built, what it reads, how it learns, how it becomes an assistant, and how it is served.
# The first part, labs 01 to 04, is ready: how a model is built. A link opens **your own copy** in the
# folder `work/` once you have one (section 4 makes it), and the untouched lab until then.

# %% tags=["varies"]
from lablib.course import workspace

workspace.overview()

# %% [markdown]
# ## 3. How an exercise works
#
# Each exercise is a function with its description and an empty body. Below it stands a cell that checks it. Here is a small one to see how that
# goes: turn counts of words into shares, so that each row sums to 1. (That is already a language model, the simplest
# there is: the share of a word is the probability that it comes next.)
#
# There are three outcomes. **Not attempted:** nothing is wrong. The lab goes on with the course's own code, the *reference*, so you
# are never stuck and can come back later.

# %%
from lablib.course import tour


def shares(counts):
    raise NotImplementedError  # your lines replace this one


tour.try_out(shares)

# %% [markdown]
# **Not passed:** the check says what it tried, what your code gave, what was expected, and the likely cause. A hint is folded below it:
# click on it when you want it.


# %%
def shares(counts):
    return counts / counts.sum(dim=0, keepdim=True)


tour.try_out(shares)

# %% [markdown]
# **Passed:** from here on the lab runs on *your* function. It is also kept on your machine, so that a later lab can use it: by
# lab 07 you can train a model in which every exercised part is your own.


# %%
def shares(counts):
    return counts / counts.sum(dim=-1, keepdim=True)


tour.try_out(shares)

# %% [markdown]
# **Your turn.** Change the last cell: divide by the largest count, return a list, leave out the `return`, or write `while True: pass`. Run
# it again and read what the check says. You cannot break anything.

# %% [markdown]
# ## 4. Begin
#
# The next cell makes your copy of lab 01. It never overwrites a copy that is there, so you can run it as often as you like, and
# updating the course cannot touch your work. (In a terminal the same is `lab start 01`; `lab start 01 --fresh` begins again and keeps
# what you wrote under another name.)

# %% tags=["varies"]
workspace.start("01")

# %% [markdown]
# ## 5. What you have done
#
# One bar for each lab that has exercises. The same stands in a terminal: `lab progress`.

# %% tags=["varies"]
from lablib.course import progress

progress.widget()

# %% [markdown]
# ## Where help is
#
# - **In the lab:** three hints for each exercise, from a nudge to almost the line itself, and below them the solution with its reasoning.
# - **Solved notebooks:** the folder `solutions/` holds every lab done, with its pictures.
# - **Something does not work:** `lab doctor` in a terminal (**File → New → Terminal**) looks at everything and says how to mend it.
#
# Open your copy of lab 01 with the link above, and enjoy it. (If you know recurrent networks well, begin with lab 02: attention is
# the idea that everything else stands on.)
