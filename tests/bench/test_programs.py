"""The benchmark programs print on QEMU what the same C prints on the host, and what others arrive at by other ways."""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.tools import needs
from vm.bench.contenders import QEMU, contender
from vm.bench.guests.build import BESIDE_CODE, EMPTY, LINKED_TWICE, PROGRAMS, build, elf

pytest.importorskip("ziglang")


def random_words(start: int, count: int) -> np.ndarray:
    """splitmix64 from seed 0, values `start` onwards (random_at() of bench.h)."""
    z = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def checksum(words: np.ndarray) -> int:
    places = np.arange(1, words.size + 1, dtype=np.uint64)
    return int((words.ravel().astype(np.uint64) * places).sum(dtype=np.uint64))


def sort_result() -> int:
    quick, heap = (np.sort(random_words(*span).astype(np.uint32)) for span in ((0, 4_000_000), (4_000_000, 1_000_000)))
    return checksum(quick) ^ checksum(heap)


def crc_result() -> int:
    data = random_words(0, (1 << 20) // 8).tobytes()
    fnv1a = 0xCBF29CE484222325
    for byte in data * 4:
        fnv1a = (fnv1a ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return (zlib.crc32(data * 150) << 32 | zlib.crc32(data * 20)) ^ fnv1a


def matmul_result() -> int:
    a, b = (random_words(start, 160_000).astype(np.uint32).reshape(400, 400) for start in (0, 160_000))
    return checksum(a @ b) ^ checksum(a @ b * np.uint32(2))


def sha256_result() -> int:
    data = random_words(0, (1 << 20) // 8).tobytes()
    return int(hashlib.sha256(data * 40).hexdigest()[:16], 16)


@pytest.mark.parametrize("name, result", [("sort", sort_result), ("crc", crc_result), ("matmul", matmul_result),
                                          ("sha256", sha256_result)])
def test_result_is_the_independent_one(name: str, result):
    assert contender("native").run(name).output.split() == [name, f"{result():016x}", "ok"]


@pytest.mark.parametrize("name", [EMPTY, *PROGRAMS, *(name + BESIDE_CODE for name in LINKED_TWICE)])
def test_shipped_elf_is_what_the_source_builds(name: str, tmp_path: Path):
    assert build(name, tmp_path / "program.elf").read_bytes() == elf(name).read_bytes()


@pytest.mark.parametrize("name", LINKED_TWICE)
def test_programs_do_the_same_with_their_data_beside_their_code(name: str):
    assert contender("jit").run(name + BESIDE_CODE).output == contender("jit").run(name).output


@needs(QEMU)
@pytest.mark.parametrize("name", [EMPTY, *PROGRAMS])
def test_guest_agrees_with_the_host(name: str):
    assert contender("qemu").run(name).output == contender("native").run(name).output


@pytest.mark.parametrize("package", ["unicorn", "icicle"])
def test_programs_run_in_other_packages_too(package):
    pytest.importorskip(package)
    assert contender(package).run(EMPTY).output == "empty 0000000000000000 ok\n"
