"""The memcpy family against the semantics of bytes: each instruction set that this CPU runs, any size and alignment."""

import ctypes
import mmap
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vm.copy
from vm_native.memory.copy import implementation, implementations

GUARD = 64
GIL_SIZE = 1 << 18              # where the buffers are large enough to let other threads run
PAGE = mmap.PAGESIZE
PATTERN = np.random.default_rng(1).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()

sizes = st.one_of(
    st.integers(0, 1100),       # every path of a short copy: eight of the widest vectors are 512 bytes
    st.integers(1100, 70_000),
    st.sampled_from([GIL_SIZE - 1, GIL_SIZE, GIL_SIZE + 77]),
)
offsets = st.integers(0, GUARD)


@pytest.fixture(scope="module", params=implementations())
def family(request):
    return implementation(request.param)


def streaming(family):
    return lambda dst, src: family.memcpy_adaptive_with_threshold(dst, src, 0)


def cached(family):
    return lambda dst, src: family.memcpy_adaptive_with_threshold(dst, src, sys.maxsize)


COPIES = {
    "memcpy_fast": lambda family: family.memcpy_fast,
    "memcpy_adaptive": lambda family: family.memcpy_adaptive,
    "streaming": streaming,
    "cached": cached,
    "memmove": lambda family: family.memmove,
}


@pytest.mark.parametrize("name", COPIES)
@settings(max_examples=80, deadline=None)
@given(size=sizes, to=offsets, of=offsets)
def test_copies_exactly_those_bytes(family, name, size, to, of):
    target = bytearray(b"\xA5" * (size + 2 * GUARD))
    COPIES[name](family)(memoryview(target)[to:to + size], memoryview(PATTERN)[of:of + size])
    assert target[to:to + size] == PATTERN[of:of + size]
    assert target[:to] == b"\xA5" * to
    assert target[to + size:] == b"\xA5" * (2 * GUARD - to)


@pytest.mark.parametrize("name", COPIES)
def test_every_short_size(family, name):
    copy = COPIES[name](family)
    for size in range(600):
        target = bytearray(size + 1)
        copy(memoryview(target)[:size], memoryview(PATTERN)[3:3 + size])
        assert target == PATTERN[3:3 + size] + b"\0", size


@settings(max_examples=200, deadline=None)
@given(size=sizes, start=offsets, shift=st.one_of(st.integers(-GUARD, GUARD), st.integers(-5000, 5000)))
def test_memmove_of_overlapping_bytes(family, size, start, shift):
    buffer = bytearray(PATTERN[:size + abs(shift) + 2 * GUARD])
    of, to = (start, start + shift) if shift >= 0 else (start - shift, start)
    expected = bytearray(buffer)
    expected[to:to + size] = buffer[of:of + size]
    view = memoryview(buffer)
    family.memmove(view[to:to + size], view[of:of + size])
    assert buffer == expected


@settings(max_examples=200, deadline=None)
@given(size=sizes, to=offsets, value=st.integers(0, 255))
def test_fill_sets_exactly_those_bytes(family, size, to, value):
    target = bytearray(PATTERN[:size + 2 * GUARD])
    family.fill(memoryview(target)[to:to + size], value)
    assert target == PATTERN[:to] + bytes([value]) * size + PATTERN[to + size:size + 2 * GUARD]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), size=sizes, left=offsets, right=offsets)
def test_compare_finds_the_first_difference(family, data, size, left, right):
    a = bytearray(left) + PATTERN[:size]
    b = bytearray(right) + PATTERN[:size]
    views = memoryview(a)[left:], memoryview(b)[right:]
    assert family.compare(*views) is None
    different = data.draw(st.lists(st.integers(0, size - 1), max_size=3)) if size else []
    for at in different:
        b[right + at] ^= 1 << at % 8
    first = next((at for at in range(size) if a[left + at] != b[right + at]), None) if different else None
    assert family.compare(*views) == first


def walled(size: int) -> memoryview:
    """A buffer whose last byte is the last before a page that may not be touched."""
    pages = -(-max(size, 1) // PAGE)
    room = mmap.mmap(-1, (pages + 1) * PAGE)
    end = ctypes.addressof(ctypes.c_char.from_buffer(room)) + pages * PAGE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(end), PAGE, 0) == 0      # PROT_NONE
    return memoryview(room)[pages * PAGE - size:pages * PAGE]


@pytest.mark.parametrize("size", [*range(1, 70), 127, 255, 257, 511, 513, 1023, 4096, 5000])
def test_nothing_is_read_past_the_end(family, size):
    """A read of one byte too many would end the process here."""
    target, source = walled(size), walled(size)
    for copy in COPIES.values():
        source[:] = PATTERN[:size]
        family.fill(target, 0)
        copy(family)(target, source)
        assert target == PATTERN[:size]
        assert family.compare(target, source) is None
    family.fill(target, 7)
    assert target == bytes([7]) * size


def test_a_copy_large_enough_to_stream(family):
    """Above 1 MiB the threshold of this machine is asked for, and measured."""
    source = PATTERN * 9
    target = bytearray(len(source))
    family.memcpy_adaptive(target, source)
    assert target == source
    family.fill(target, 3)
    assert target.count(3) == len(target)
    threshold = family.adaptive_threshold()
    assert threshold >= 1 << 20 and threshold == family.adaptive_threshold()


def test_large_copies_let_other_threads_run(family):
    """With a switch interval longer than the test this thread only gets a turn where the copies give it one."""
    target, source = bytearray(len(PATTERN)), bytes(PATTERN)
    done = threading.Event()
    left = 100_000                      # copies that the worker makes while nobody tells it to stop

    def work():
        nonlocal left
        while left and not done.is_set():
            family.memcpy_fast(target, source)
            left -= 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        done.set()
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert left


def test_any_object_with_the_buffer_protocol(family):
    array = np.zeros((4, 25), dtype=np.float32)
    with mmap.mmap(-1, 400) as source:
        source[:] = PATTERN[:400]
        family.memcpy_fast(array, source)
        assert family.compare(source, array) is None
    assert array.tobytes() == PATTERN[:400]


TWO = ("memcpy_fast", "memcpy_adaptive", "memmove", "compare")


@pytest.mark.parametrize("name", TWO)
def test_lengths_must_agree(family, name):
    with pytest.raises(ValueError, match=f"{name}: 3 bytes and 4 bytes"):
        getattr(family, name)(bytearray(3), bytearray(4))


@pytest.mark.parametrize("name", TWO[:-1])
@pytest.mark.parametrize("target", [bytes(4), memoryview(bytes(4)), np.frombuffer(bytes(4), np.uint8)])
def test_a_read_only_destination_is_refused(family, name, target):
    with pytest.raises(BufferError, match=f"{name}: the destination is read-only"):
        getattr(family, name)(target, bytearray(4))
    with pytest.raises(BufferError, match="fill: the destination is read-only"):
        family.fill(target, 0)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("gaps", [np.zeros(16, np.uint8)[::2], memoryview(bytearray(16))[::2],
                                  np.zeros((8, 2), np.uint8)[:, 0]])
def test_buffers_with_gaps_are_refused(family, name, gaps):
    for pair in ((gaps, bytearray(8)), (bytearray(8), gaps)):
        with pytest.raises(BufferError, match=f"{name}: a buffer is not contiguous"):
            getattr(family, name)(*pair)


@pytest.mark.parametrize("name", TWO)
def test_other_objects_are_refused(family, name):
    for pair in ((8, bytearray(8)), (bytearray(8), "12345678")):
        with pytest.raises(TypeError, match="bytes-like object"):
            getattr(family, name)(*pair)


def test_refused_buffers_are_free_again(family):
    """A bytearray cannot change its size while somebody holds its buffer."""
    target = bytearray(3)
    for source in (bytearray(4), 5, np.zeros(6, np.uint8)[::2], memoryview(target)):
        with pytest.raises((BufferError, TypeError, ValueError)):
            family.memcpy_fast(target, source)
    del source
    target.append(1)


@pytest.mark.parametrize("name", ["memcpy_fast", "memcpy_adaptive"])
def test_memcpy_refuses_overlap(family, name):
    view = memoryview(bytearray(100))
    for of in (1, 30, 59):
        with pytest.raises(ValueError, match="overlap"):
            getattr(family, name)(view[30:60], view[of:of + 30])
        with pytest.raises(ValueError, match="overlap"):
            family.memcpy_adaptive_with_threshold(view[30:60], view[of:of + 30], 0)
    getattr(family, name)(view[30:60], view[0:30])
    getattr(family, name)(view[30:60], view[60:90])
    getattr(family, name)(view[30:30], view[20:20])


def test_values_out_of_range(family):
    for value in (-1, 256):
        with pytest.raises(ValueError, match="not a byte"):
            family.fill(bytearray(1), value)
    with pytest.raises(ValueError, match="must not be negative"):
        family.memcpy_adaptive_with_threshold(bytearray(1), bytes(1), -1)


# --- Which of them is used --------------------------------------------------------------------------------------------

def test_the_best_that_runs_is_used():
    assert vm.copy.instruction_set == os.environ.get("VM_COPY", implementations()[0])
    assert list(vm.copy.simd_features()) == ["avx512", "avx2", "sse2", "neon"]
    assert implementations() == [name for name, there in vm.copy.simd_features().items() if there] + ["libc"]


def test_features_are_what_the_kernel_says():
    """/proc/cpuinfo lists what the CPU has and Linux lets programs use."""
    with open("/proc/cpuinfo") as file:
        line = next(line for line in file if line.startswith(("flags", "Features")))
    flags = set(line.split())
    features = vm.copy.simd_features()
    assert features["avx512"] == ({"avx512f", "avx512bw", "avx512vl"} <= flags)
    assert features["avx2"] == ("avx2" in flags)
    assert features["sse2"] == ("sse2" in flags)
    assert features["neon"] == ("asimd" in flags)


@pytest.mark.parametrize("name", implementations())
def test_each_can_be_forced(name):
    code = "import vm.copy; vm.copy.memcpy_fast(bytearray(99), bytes(99)); print(vm.copy.instruction_set)"
    environment = dict(os.environ, VM_COPY=name)
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == name


def test_what_the_cpu_lacks_is_not_loaded():
    missing = [name for name, there in vm.copy.simd_features().items() if not there]
    assert missing                              # no CPU is both x86-64 and AArch64
    for name in [*missing, "mmx"]:
        with pytest.raises(ImportError, match=f"no '{name}' here"):
            implementation(name)
        assert f"vm_native.memory.copy.{name}" not in sys.modules
