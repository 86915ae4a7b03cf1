"""Memory that is freed stays with the process: counted in page faults, in processes of their own."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys, torch
from lablib.pretraining.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()

def work():
    for _ in range(5):
        torch.ones(12_000_000).exp().sum()  # two tensors of 48 MB

work()
work()  # by now every size that is asked for has its place in the heap
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux only")
def test_freed_memory_is_used_again_without_page_faults():
    assert faults("keep") < faults("leave") / 10


def test_elsewhere_nothing_is_done(monkeypatch):
    from lablib.pretraining import memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert memory.keep_freed_memory() is False
