"""Bulk memory operations on anything with the buffer protocol, at the speed of the CPU's widest vectors.

    vm.copy.memcpy_fast(target, source)         # bytearray, mmap, memoryview, NumPy array, vm memory ...

One source is compiled for AVX-512, AVX2, SSE2 and NEON; `instruction_set` names the one that this process uses (the
widest that the CPU runs, or what VM_COPY in the environment names), `simd_features()` what there is to choose from.

The rules are the same for all:

- Both buffers have the same number of bytes, whatever their shapes and types: otherwise `ValueError`.
- A buffer that is not C-contiguous, and a destination that is read-only, is a `BufferError`; an object without the
  buffer protocol a `TypeError`.
- The `memcpy` functions refuse buffers that overlap (`ValueError`); `memmove` is for those.
- From 256 KiB on other Python threads run meanwhile.
"""

from vm_native.memory.copy import (
    adaptive_threshold,
    compare,
    fill,
    instruction_set,
    memcpy_adaptive,
    memcpy_adaptive_with_threshold,
    memcpy_fast,
    memmove,
    simd_features,
)

__all__ = [
    "adaptive_threshold", "compare", "fill", "instruction_set", "memcpy_adaptive", "memcpy_adaptive_with_threshold",
    "memcpy_fast", "memmove", "simd_features",
]
