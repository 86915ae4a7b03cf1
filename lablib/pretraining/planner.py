"""What a training run costs before it begins: arithmetic, memory, hours of hardware, energy, money.

From a model's shape and the tokens it will read follow the FLOPs; from a device's peak and the share of it that one hopes to use, the
hours; from the hours, energy and money. Memory decides how many devices it takes at least. `published` holds the
runs that these rules are checked against.

Papers: Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (§2.1: 6·N·D); Chowdhery et al. 2022, "PaLM" (appendix B: with
attention); Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (§3.1, §5: who holds which
state); Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models" (§4: activations).

Axes: as in `lablib.architecture.decoder`. Left out: tensor and pipeline parallelism, temporary buffers, the data's own cost, failures.
"""

from dataclasses import dataclass

from lablib.architecture.decoder import DecoderConfig
from lablib.architecture.gpt2 import GPT2Config
from lablib.pretraining import flops

Config = DecoderConfig | GPT2Config
RECOMPUTE = ("none", "attention", "all")
HOUR = 3600  # seconds


# ---------------------------------------------------------------- arithmetic


def exact_flops(config: Config, tokens: int, T: int) -> int:
    """FLOPs of a run, attention included: tokens · (6·N + 12·L·D·T), N without the tables that are only looked up in.

    Source: Chowdhery et al. 2022, appendix B. T: tokens in a row. `flops.whole_run` is the usual estimate without attention.

    >>> exact_flops(GPT2Config(V=100, D=8, H=2, L=1, hidden=32, context=10), tokens=1, T=10)  # 6·(1768 − 80) + 12·1·8·10
    11088
    """
    if isinstance(config, DecoderConfig):
        return tokens * flops.per_token(config, T)
    looked_up = config.context * config.D  # positions; the table of the tokens is the head, too
    return tokens * (6 * (config.parameters - looked_up) + 12 * config.L * config.D * T)


def gpu_hours(flops: float, peak: float, mfu: float) -> float:
    """Hours of one device. flops: of the run. peak: of the device, FLOP/s. mfu: the share of it that does the model's own arithmetic.

    >>> gpu_hours(7.2e15, peak=1e13, mfu=0.5)  # 1440 seconds
    0.4
    """
    if not (flops > 0 and peak > 0 and 0 < mfu <= 1):
        raise ValueError(f"flops = {flops}, peak = {peak}, mfu = {mfu}: expected numbers > 0, and a share of at most 1")
    return flops / (peak * mfu) / HOUR


def utilisation(flops: float, peak: float, hours: float) -> float:
    """The model FLOPs utilisation of a run that took so many hours of a device: `gpu_hours` the other way round."""
    if not (flops > 0 and peak > 0 and hours > 0):
        raise ValueError(f"flops = {flops}, peak = {peak}, hours = {hours}: expected numbers > 0")
    return flops / (peak * hours * HOUR)


def energy(hours: float, watts: float, pue: float = 1.1) -> float:
    """Energy of a run, kWh. hours: of one device. watts: of one device at full load.

    pue: *power usage effectiveness*, what the whole data centre draws for each watt of its computers; 1.1 is what Touvron et al.
    2023 take for theirs (§6).

    >>> energy(1000.0, watts=400.0, pue=1.25)
    500.0
    """
    return hours * watts * pue / 1000


# ---------------------------------------------------------------- memory


def state_bytes(parameters: int, stage: int = 0, devices: int = 1) -> tuple[float, float, float]:
    """What each device keeps of weights, gradients and optimiser for the whole run, in bytes: AdamW in mixed precision.

    A parameter has a weight and a gradient of 2 bytes each (16-bit numbers), and for the optimiser three numbers of 4
    bytes: a weight of full precision, which the steps are added to, and AdamW's two averages. 16 bytes in all. Plain
    data parallelism keeps all on every device. ZeRO (Rajbhandari et al. 2020, §3.1, figure 1) spreads it, by stage:

        0: nothing      1: the optimiser's      2: and the gradients      3: and the weights (FSDP does that)

    Args: parameters: of the model. stage: 0 to 3. devices: that the state is spread over, at least 1.
    Returns: weights, gradients, optimiser: bytes on one device, as floats.
    Raises: ValueError: names `stage` or `devices` when it is out of range.

    >>> state_bytes(1000, stage=1, devices=4)
    (2000.0, 2000.0, 3000.0)
    """
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"stage = {stage!r}: expected 0, 1, 2 or 3")
    if devices < 1:
        raise ValueError(f"devices = {devices!r}: expected at least 1")
    weights, gradients, optimiser = 2.0 * parameters, 2.0 * parameters, 12.0 * parameters
    if stage >= 1:
        optimiser /= devices
    if stage >= 2:
        gradients /= devices
    if stage >= 3:
        weights /= devices
    return weights, gradients, optimiser


def activation_bytes(sizes: Config, B: int, T: int, recompute: str = "none") -> int:
    """What the forward pass keeps for the backward pass, bytes: B rows of T tokens in 16-bit numbers, of all layers.

    A layer keeps T·B·D·(34 + 5·H·T/D) bytes. The second part is the attention's (T, T) matrices; "attention" computes those again
    when they are needed, or never stores them (fused attention), which leaves 34. "all" keeps the layer's input, 2, and computes
    everything again.

    Source: Korthikanti et al. 2022, equation 1, §5. It is for GPT-2's layer with dropout and hidden = 4·D, so for Llama's it is a
    rough guide; embedding and head, which it leaves out, count in small models.

    >>> activation_bytes(GPT2Config(V=9, D=8, H=2, L=3, hidden=32, context=4), B=1, T=4)  # 3 layers · 4·8·(34 + 5)
    3744
    """
    if recompute not in RECOMPUTE:
        raise ValueError(f"recompute = {recompute!r}: expected one of {', '.join(RECOMPUTE)}")
    if recompute == "all":
        return sizes.L * 2 * T * B * sizes.D
    matrices = 5 * sizes.H * T * T * B if recompute == "none" else 0
    return sizes.L * (34 * T * B * sizes.D + matrices)


def cache_bytes(config: Config, B: int, T: int, number: int = 2) -> int:
    """The KV cache while text is written, bytes: a key and a value for each layer, each of B rows, each of T tokens, each head of keys.

    number: bytes of one number.

    >>> cache_bytes(DecoderConfig(V=9, D=8, H=4, L=3, hidden=16, kv_heads=2), B=2, T=10)  # 2·3·2·10·(2 heads of 2)·2
    960
    """
    heads = config.kv if isinstance(config, DecoderConfig) else config.H
    return 2 * config.L * B * T * heads * config.K * number


# ---------------------------------------------------------------- a whole plan


@dataclass(frozen=True)
class Device:
    """One accelerator. flops: its dense peak in 16-bit numbers, FLOP/s. memory: bytes. watts: at full load."""

    name: str
    flops: float
    memory: float
    watts: float


@dataclass(frozen=True)
class Budget:
    """What a run comes to.

    Args:
        parameters, tokens: of the run. device, devices: what it runs on, and how many. mfu: model FLOPs utilisation, a share.
        price: of an hour of one device, in any currency. pue: see `energy`. stage: of ZeRO, see `state_bytes`.
    """

    parameters: int
    tokens: int
    device: Device
    devices: int = 1
    mfu: float = 0.4
    price: float = 0.0
    pue: float = 1.1
    stage: int = 3

    @property
    def flops(self) -> int:
        """6 · parameters · tokens."""
        return flops.whole_run(self.parameters, self.tokens)

    @property
    def hours(self) -> float:
        """Of one device, all devices added up."""
        return gpu_hours(self.flops, self.device.flops, self.mfu)

    @property
    def days(self) -> float:
        """From start to end."""
        return self.hours / self.devices / 24

    @property
    def cost(self) -> float:
        """In the price's currency."""
        return self.hours * self.price

    @property
    def kilowatt_hours(self) -> float:
        """Energy."""
        return energy(self.hours, self.device.watts, self.pue)

    @property
    def state(self) -> float:
        """Bytes on one device for weights, gradients and optimiser; activations come on top."""
        return sum(state_bytes(self.parameters, self.stage, self.devices))

    @property
    def fits(self) -> bool:
        """Whether the state leaves any memory for activations. Where it does not, the run needs more devices."""
        return self.state < self.device.memory
