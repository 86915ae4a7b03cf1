"""Memory that training frees stays at hand: on a CPU under Linux, that alone can save a fifth of a step.

Each step makes tensors of tens of megabytes (the logits above all) and frees them. By its defaults the C library asks the operating system
for each of them and hands it back, and the system fills every new page with zeros before it may be used: tens of thousands of page faults a
step. Told to keep what is freed, it asks once. The price: the process stays as large as it has ever been.

`man 3 mallopt` (GNU C library). Left out: other systems and C libraries, where nothing is done, and GPUs, for which PyTorch itself
keeps what is freed.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


def keep_freed_memory() -> bool:
    """Tell this process's C library to keep the memory that is freed, for its whole life; False where that is not possible."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    never_back = mallopt(M_TRIM_THRESHOLD, -1)  # nothing at the end of the heap is handed back
    all_in_heap = mallopt(M_MMAP_MAX, 0)  # no piece is asked for by itself
    return bool(never_back and all_in_heap)
