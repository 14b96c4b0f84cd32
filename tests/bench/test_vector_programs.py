"""The programs of vm/bench/guests/vectors give the same on all machines that they are compiled for."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.bench.test_programs import random_words
from vm.bench.guests.build import FORMS, ROOT, VECTORS, build_hosted, build_vectors, elf
from vm.bench.kernels import best_engine
from vm.bench.processes import timed
from vm.bench.rows.vectors import run_ours
from vm_native.jit.compiler import instruction_sets

pytest.importorskip("ziglang")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", VECTORS)
def test_shipped_elf_is_what_the_source_builds(name: str, form: str, tmp_path: Path):
    assert build_vectors(form, name, tmp_path / "program.elf").read_bytes() == elf(f"{form}_{name}").read_bytes()


def test_the_hash_that_is_expected_is_the_independent_one():
    data = random_words(0, (1 << 16) // 4).astype(np.uint32).tobytes()
    assert f"EXPECTED 0x{hashlib.sha256(data * 150).hexdigest()[:16]}" in (ROOT / "vectors/sha256.c").read_text()


@pytest.mark.parametrize("name", VECTORS)
def test_the_host_computes_what_is_expected(name: str):
    if not instruction_sets()["AVX2"]:
        pytest.skip("the host has no AVX2")
    assert timed([build_hosted(name, "avx2", "vectors")]).output.endswith(" ok\n")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["sha256", "mandelbrot", "utf8"])
def test_our_machine_computes_what_is_expected(name: str, form: str):
    assert run_ours(best_engine(), f"{form}_{name}") > 0        # or it raises: the exit code would not be 0
