"""Spectra against a closed form and numpy's FFT; notes against their recipe; a note and its reverse."""

import math

import numpy as np
import pytest
import torch

from lablib.architecture.sound import HOP, INSTRUMENTS, RATE, SIZE, Instrument, baselines, note, notes, spectra


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("bin", [1, 10, 64, 127])
def test_a_pure_wave_peaks_in_its_bin(bin):
    time = torch.arange(1024) / RATE
    wave = torch.sin(2 * math.pi * bin * RATE / SIZE * time)
    frames = spectra(wave[None])[0]
    assert (frames.argmax(dim=-1) == bin).all()
    expected = math.log(torch.hann_window(SIZE, periodic=False).sum().item() / 2 + 1e-2)  # half the window's sum
    torch.testing.assert_close(frames[:, bin], torch.full((len(frames),), expected), rtol=0.02, atol=0)


@pytest.mark.parametrize(("size", "hop"), [(SIZE, HOP), (64, 16), (64, 64)])
def test_each_frame_is_numpys_fft(size, hop):
    wave = torch.randn(2, 1000, generator=seeded(), dtype=torch.float64)
    frames = spectra(wave, size, hop)
    assert frames.shape == (2, 1 + (1000 - size) // hop, size // 2 + 1)
    for frame in (0, 3, frames.shape[1] - 1):
        piece = wave[1, frame * hop : frame * hop + size].numpy() * np.hanning(size)
        np.testing.assert_allclose(frames[1, frame], np.log(np.abs(np.fft.rfft(piece)) + 1e-2), rtol=1e-6, atol=1e-9)


def test_a_note_and_its_reverse_have_the_same_frames_in_reverse_so_the_same_mean():
    waves, _, _ = notes(8, seeded())
    assert (waves.shape[1] - SIZE) % HOP == 0
    forward, backward = spectra(waves), spectra(waves.flip(1))
    torch.testing.assert_close(backward, forward.flip(1), rtol=0, atol=1e-3)
    torch.testing.assert_close(backward.mean(dim=1), forward.mean(dim=1), rtol=0, atol=1e-4)
    assert (backward - forward).abs().max() > 1


def test_a_note_is_its_recipe():
    plain = note(Instrument((0.0, 1.0), 0.05, 0.1), pitch=500, start=0.2, seconds=0.6, generator=seeded())
    assert plain.shape == (4800,)
    assert plain[:1600].abs().max() == 0  # silent before it is struck
    loudest = plain.view(-1, 40).abs().amax(dim=1)  # each 5 ms hold 5 periods of 1000 Hz
    assert loudest.argmax().item() * 40 / RATE == pytest.approx(0.25, abs=0.02)
    after_attack = loudest[50:]  # from 0.25 s on
    assert (after_attack[20] / after_attack[0]).item() == pytest.approx(math.exp(-1), rel=0.08)  # 0.1 s later
    assert spectra(plain[None, 2000:]).mean(dim=(0, 1)).argmax().item() == 1000 * SIZE // RATE


def test_harmonics_that_samples_cannot_hold_are_left_out():
    high = note(Instrument((1.0, 1.0), 0.01, 9.0), pitch=2500, start=0, seconds=0.5, generator=seeded())
    strength = spectra(high[None]).mean(dim=(0, 1)).exp()
    assert strength.argmax().item() == 2500 * SIZE // RATE
    assert strength[3000 * SIZE // RATE] < 0.02 * strength.max()  # where 5000 Hz would fold back to


@pytest.mark.parametrize("pitch", [0, 4000])
def test_a_pitch_out_of_range_is_refused(pitch):
    with pytest.raises(ValueError, match=f"pitch = {pitch}: expected more than 0 and less than RATE/2 = 4000"):
        note(INSTRUMENTS["flute"], pitch, 0, 0.5, seeded())


def test_a_note_of_nothing_is_refused():
    with pytest.raises(ValueError, match="pitch = 2500: all harmonics of this instrument lie above 4000 Hz"):
        note(Instrument((0.0, 1.0), 0.1, 0.1), 2500, 0, 0.5, seeded())
    with pytest.raises(ValueError, match=r"harmonics = \(0.0,\): expected at least one amplitude above 0"):
        Instrument((0.0,), 0.1, 0.1)
    with pytest.raises(ValueError, match=r"attack = 0, decay = 0.1: expected both above 0, in seconds"):
        Instrument((1.0,), 0, 0.1)


def test_notes_are_seeded_and_every_kind_occurs():
    waves, instrument, backwards = notes(200, seeded())
    again, *_ = notes(200, seeded())
    assert torch.equal(waves, again)
    assert not torch.equal(waves, notes(200, seeded(1))[0])
    assert set(instrument.tolist()) == set(range(len(INSTRUMENTS)))
    assert 0.35 < backwards.float().mean() < 0.65
    assert spectra(waves).shape == (200, 32, 129)
    with pytest.raises(ValueError, match="n = 0: expected at least 1 note"):
        notes(0, seeded())


@pytest.mark.parametrize(
    ("shape", "size", "hop", "message"),
    [
        ((1000,), 256, 128, r"waves has shape \(1000,\): expected \(N, samples\).*wave\[None\]"),
        ((0, 1000), 256, 128, r"waves has shape \(0, 1000\)"),
        ((1, 200), 256, 128, "waves has 200 samples: expected at least size = 256"),
        ((1, 1000), 255, 128, "size = 255, hop = 128: expected an even size"),
        ((1, 1000), 256, 0, "size = 256, hop = 0: expected an even size and a hop from 1"),
    ],
)
def test_what_has_no_spectrum_is_refused(shape, size, hop, message):
    with pytest.raises(ValueError, match=message):
        spectra(torch.zeros(shape), size, hop)


def test_the_mean_spectrum_tells_instruments_but_not_direction():
    waves, instrument, backwards = notes(400, seeded())
    x = spectra(waves)
    kinds = baselines(x[:300], instrument[:300], x[300:], instrument[300:])
    assert kinds["mean spectrum"] > 0.6  # chance: 0.25
    waves = torch.cat((waves, waves.flip(1)))  # each note both ways
    x, turned = spectra(waves), torch.cat((backwards, 1 - backwards))
    both = [*range(300), *range(400, 700)], [*range(300, 400), *range(700, 800)]
    way = baselines(x[both[0]], turned[both[0]], x[both[1]], turned[both[1]])
    assert 0.4 < way["mean spectrum"] < 0.6
    assert way["all frames"] > 0.7
