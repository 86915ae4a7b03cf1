"""A yardstick from outside: how small everyday compressors make a text, in bits per byte.

Whoever predicts well can compress well: with *arithmetic coding* a symbol to which a model gives the probability P takes −log₂ P bits, and
back (Shannon 1948, "A Mathematical Theory of Communication", §9; Witten, Neal & Cleary 1987, "Arithmetic Coding for Data Compression").
So a model's bits per byte is the size of the file that it could make of the text, and gzip's output is the loss of a predictor that has
learned nothing beforehand (Delétang et al. 2024, "Language Modeling Is Compression").

A model has read a training text before it is measured. To be fair the compressor may read it, too: what the held-out text costs
*behind* it is C(training + held out) − C(training). How far back a compressor looks decides whether that helps: zlib sees the
last 32 KiB, bz2 blocks of 900 kB, lzma here 64 MiB.

Left out: the model's own size, which a file for somebody who has no model would have to hold (as Delétang et al. count in table 1).
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping

Compress = Callable[[bytes], bytes]


def _lzma(data: bytes) -> bytes:
    # raw: without the container's header and checksums, which are not about the text
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}])


COMPRESSORS: Mapping[str, Compress] = {
    "zlib": lambda data: zlib.compress(data, 9),
    "bz2": lambda data: bz2.compress(data, 9),
    "lzma": _lzma,
}  # each at its best


def bits_per_byte(compress: Compress, text: str | bytes, after: str | bytes = b"") -> float:
    """Bits that each byte of a text costs, behind another text that the compressor has read already.

    Args:
        text: what is measured. after: what comes before it, such as the training text; by default nothing.

    Raises:
        ValueError: an empty text.

    >>> double = lambda data: data + data
    >>> bits_per_byte(double, "any text"), bits_per_byte(double, "more", after="of it")
    (16.0, 16.0)
    """
    data, before = (part.encode() if isinstance(part, str) else part for part in (text, after))
    if not data:
        raise ValueError("text is empty: expected at least one byte to compress")
    alone = len(compress(before)) if before else 0
    return 8 * (len(compress(before + data)) - alone) / len(data)
