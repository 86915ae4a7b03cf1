"""How much arithmetic a token of training costs, and so which share of the hardware's peak goes into it.

*Model FLOPs utilisation* (Chowdhery et al. 2022, "PaLM", appendix B) counts the additions and multiplications that the model
needs, whatever else the program does, and compares them per second with the peak. Every weight of a matrix takes part in one
multiplication and one addition per token, and in twice as many for the gradient: 6 in all. Attention adds, per layer, the products
of T queries and keys.
"""

from lablib.architecture.decoder import DecoderConfig


def per_token(config: DecoderConfig, T: int) -> int:
    """FLOPs of one token, forwards and backwards: 6·N + 12·L·D·T (Chowdhery et al. 2022, appendix B).

    N is the number of parameters, without the embedding's table where the head has one of its own (a look-up is no arithmetic).
    As in the paper, attention counts as if every token looked at all T, though half of them lie in its future.

    >>> per_token(DecoderConfig(V=100, D=8, H=2, L=1, hidden=16), T=10)  # 6 · 1,464 + 12 · 1 · 8 · 10
    9744
    """
    N = config.parameters - (0 if config.tied else config.V * config.D)
    return 6 * N + 12 * config.L * config.D * T


def whole_run(parameters: int, tokens: int) -> int:
    """The usual estimate for a run, 6 · parameters · tokens (Kaplan et al. 2020, "Scaling Laws", §2.1).

    >>> whole_run(3_000_000, 60_000_000)
    1080000000000000
    """
    return 6 * parameters * tokens
