"""Memory that compiled code can name, where the half of the first 2 GiB is full that the host looks in."""

import subprocess
import sys

import pytest

from vm_native.jit.compiler import unavailable

FILLED = """
import mmap

import vm

MAP_32BIT, MAP_NORESERVE = 0x40, 0x4000         # asm/mman.h of x86-64
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT | MAP_NORESERVE
kept, size = [], 1 << 28
while size >= 1 << 20:
    try:
        kept.append(mmap.mmap(-1, size, flags=flags))
    except OSError:
        size >>= 1
with vm.Machine(memory="4M", harts=2, threads=True) as machine:
    print(sum(map(len, kept)) >> 20, machine.stats()["threads"] is not None)
"""


@pytest.mark.skipif(unavailable() is not None, reason="nothing is compiled on this host")
def test_harts_get_threads_all_the_same():
    child = subprocess.run([sys.executable, "-c", FILLED], capture_output=True, text=True, check=True)
    filled, threads = child.stdout.split()
    assert int(filled) > 256 and threads == "True"
