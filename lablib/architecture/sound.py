"""Sound for an encoder: notes are synthesised, their spectra in short frames are the "words".

Each note is a sum of harmonics (waves at whole multiples of the pitch) under an envelope (its loudness in time): it is struck,
rises fast and dies away. Half of the notes are then played backwards, so that they swell and stop. Two questions can be asked
about each: which instrument is it, which the mean spectrum nearly answers, and does it run forwards or backwards, about which
the mean spectrum knows nothing at all: a note and its reverse have the same one.

Papers: Gong et al. 2021, "AST: Audio Spectrogram Transformer" (a transformer on the patches of a spectrogram);
Allen 1977, "Short term spectral analysis, synthesis, and modification by discrete Fourier transform".

Axes: N notes, S frames, P frequencies.
Left out: the mel scale, phases, recordings. No two synthesised instruments are as hard to tell apart as real ones can be.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RATE = 8000  # samples a second
SIZE, HOP = 256, 128  # samples in a frame, and from one frame to the next: 32 and 16 ms


@dataclass(frozen=True)
class Instrument:
    """A sound's recipe.

    Args:
        harmonics: amplitude of the waves at 1, 2, 3 … times the pitch.
        attack, decay: seconds in which the loudness rises, and in which it then falls to 1/e.
    """

    harmonics: tuple[float, ...]
    attack: float
    decay: float

    def __post_init__(self) -> None:
        if not self.harmonics or max(self.harmonics) <= 0:
            raise ValueError(f"harmonics = {self.harmonics}: expected at least one amplitude above 0")
        if min(self.attack, self.decay) <= 0:
            raise ValueError(f"attack = {self.attack}, decay = {self.decay}: expected both above 0, in seconds")


INSTRUMENTS = {
    "flute": Instrument((1.0, 0.25, 0.08), 0.03, 0.20),  # nearly a pure wave
    "clarinet": Instrument((1.0, 0.05, 0.6, 0.04, 0.35, 0.03, 0.2), 0.02, 0.20),  # odd harmonics
    "string": Instrument(tuple(1 / n for n in range(1, 9)), 0.01, 0.15),  # a saw's 1/n
    "reed": Instrument((0.4, 0.6, 0.9, 1.0, 0.7, 0.5, 0.3, 0.2), 0.02, 0.18),  # loudest above its pitch
}


def note(instrument: Instrument, pitch: float, start: float, seconds: float, generator: torch.Generator) -> Tensor:
    """One struck note in silence: (samples,), samples = seconds · RATE, the loudest about 1.

    Args:
        pitch: frequency of the first harmonic in hertz; harmonics above RATE/2, which samples cannot hold, are left out.
        start: when it is struck, in seconds.
    Raises: ValueError: the pitch is not above 0 and below RATE/2.
    """
    if not 0 < pitch < RATE / 2:
        raise ValueError(f"pitch = {pitch}: expected more than 0 and less than RATE/2 = {RATE // 2} Hz")
    time = torch.arange(round(seconds * RATE)) / RATE - start  # (samples,), 0 when it is struck
    since_peak = (time - instrument.attack).clamp(min=0)
    loudness = (time / instrument.attack).clamp(0, 1) * torch.exp(-since_peak / instrument.decay)
    order = torch.arange(1, len(instrument.harmonics) + 1)[:, None]  # (harmonics, 1)
    amplitude = torch.tensor(instrument.harmonics)[:, None] * (order * pitch < RATE / 2)
    if not amplitude.any():
        raise ValueError(
            f"pitch = {pitch}: all harmonics of this instrument lie above {RATE // 2} Hz; expected a lower pitch"
        )
    phase = 2 * math.pi * torch.rand(len(order), 1, generator=generator)
    waves = amplitude * torch.sin(2 * math.pi * pitch * order * time + phase)  # (harmonics, samples)
    wave = waves.sum(dim=0)  # (harmonics, samples) -> (samples,)
    return loudness * wave / amplitude.norm()


def notes(
    n: int, generator: torch.Generator, seconds: float = 0.528, noise: float = 0.02
) -> tuple[Tensor, Tensor, Tensor]:
    """n notes of random instrument, pitch (110–440 Hz), moment and loudness, half of them backwards, in a little noise.

    Returns:
        waves (n, samples); the instrument (n,), its place in INSTRUMENTS; backwards (n,), 0 or 1.
    Raises: ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"n = {n}: expected at least 1 note")
    names = list(INSTRUMENTS)
    instrument = torch.randint(len(names), (n,), generator=generator)
    backwards = torch.randint(2, (n,), generator=generator)
    draws = torch.rand(n, 3, generator=generator)
    waves = []
    for which, turn, (height, moment, strength) in zip(instrument, backwards, draws.tolist(), strict=True):
        pitch, start = (
            110 * 4**height,
            0.6 * seconds * moment,
        )  # two octaves, each pitch step alike; the first 60 % of the time
        wave = (0.3 + 0.7 * strength) * note(INSTRUMENTS[names[int(which)]], pitch, start, seconds, generator)
        waves.append(wave.flip(0) if turn else wave)
    clean = torch.stack(waves)  # (n, samples)
    return clean + noise * torch.randn(clean.shape, generator=generator), instrument, backwards


def spectra(waves: Tensor, size: int = SIZE, hop: int = HOP) -> Tensor:
    """How strong each frequency is in each frame: the logarithm of the short-time Fourier transform's magnitude.

    A frame is multiplied by a Hann window that is the same from both ends, so a reversed wave has the same spectra, reversed
    (where the last frame ends with the wave).

    Args: waves (N, samples), samples ≥ size. size, hop: samples in a frame, and from one frame to the next.
    Returns: (N, S, P): S = 1 + (samples − size) // hop frames, P = size/2 + 1 frequencies, from 0 in steps of RATE/size Hz.
    Raises: ValueError: waves is not (N, samples), is empty, or shorter than a frame; size is odd or hop not from 1 to size.
    """
    if waves.dim() != 2 or not len(waves):
        raise ValueError(
            f"waves has shape {tuple(waves.shape)}: expected (N, samples) with N >= 1; one wave needs wave[None]"
        )
    if size < 2 or size % 2 or not 1 <= hop <= size:
        raise ValueError(f"size = {size}, hop = {hop}: expected an even size and a hop from 1 to size")
    if waves.shape[1] < size:
        raise ValueError(
            f"waves has {waves.shape[1]} samples: expected at least size = {size}, one frame; pad them with 0"
        )
    window = torch.hann_window(size, periodic=False, dtype=waves.dtype, device=waves.device)
    transformed = torch.stft(waves, size, hop, window=window, center=False, return_complex=True)  # (N, P, S)
    return torch.log(transformed.abs() + 1e-2).mT  # (N, S, P)


def baselines(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> dict[str, float]:
    """Held-out accuracy of scikit-learn's logistic regression on the mean spectrum, and on all frames in one long row.

    Args: x (N, S, P), from `spectra`; y (N,). The inputs are scaled by the mean and spread of train_x.
    """
    from sklearn.linear_model import LogisticRegression

    views = {"mean spectrum": lambda x: x.mean(dim=1), "all frames": lambda x: x.flatten(1)}  # (N, P), (N, S · P)
    scores = {}
    for name, view in views.items():
        model = LogisticRegression(C=0.1, max_iter=1000, tol=1e-2)
        model.fit(view((train_x - train_x.mean()) / train_x.std()).numpy(), train_y.numpy())
        scores[name] = float(model.score(view((test_x - train_x.mean()) / train_x.std()).numpy(), test_y.numpy()))
    return scores
