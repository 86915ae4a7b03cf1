"""Compressors as predictors: bits per byte against entropy, losslessness, and what each remembers."""

import bz2
import lzma
import math
import random
import zlib

import pytest

from lablib.pretraining.compressors import COMPRESSORS, bits_per_byte

BACK = {
    "zlib": zlib.decompress,
    "bz2": bz2.decompress,
    "lzma": lambda data: lzma.decompress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9}]),
}


def noise(n: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(n)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_what_was_made_small_comes_back(name):
    text = ("So it goes, and so it went. " * 50).encode() + noise(100)
    assert BACK[name](COMPRESSORS[name](text)) == text


@pytest.mark.parametrize("name", COMPRESSORS)
def test_noise_costs_eight_bits_a_byte(name):
    assert 8 < bits_per_byte(COMPRESSORS[name], noise(50_000)) < 8.1  # and a little for saying so


@pytest.mark.parametrize("name", COMPRESSORS)
def test_no_compressor_is_below_the_entropy_of_independent_letters(name):
    letters, weights = b"abcd", (0.5, 0.25, 0.15, 0.10)
    entropy = -sum(p * math.log2(p) for p in weights)
    text = bytes(random.Random(0).choices(letters, weights, k=200_000))
    assert entropy < bits_per_byte(COMPRESSORS[name], text) < 1.3 * entropy


def test_only_one_that_looks_far_back_profits_from_what_it_has_read():
    text = noise(5_000)
    seen = {
        name: bits_per_byte(compress, text, after=text + noise(60_000, 1)) for name, compress in COMPRESSORS.items()
    }
    assert seen["zlib"] == pytest.approx(8, rel=0.02)  # 32 KiB
    assert seen["lzma"] < 0.8  # a tenth of what it costs alone


def test_letters_are_counted_as_the_bytes_that_they_are():
    compress = COMPRESSORS["zlib"]
    assert bits_per_byte(compress, "ü" * 100) == bits_per_byte(compress, ("ü" * 100).encode())


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="text is empty"):
        bits_per_byte(COMPRESSORS["zlib"], "")
