"""Random instruction words are illegal for us exactly where they are for Spike."""

from __future__ import annotations

from random import Random

import pytest

from tests.conformance.compare import disassemble
from tests.conformance.illegal_space import image, on_ours, on_spike, random_words
from vm_native.riscv import isa as isa_strings

ISAS = (
    isa_strings.DEFAULT, "rva22s64", "rv64gc_zicntr", "rv64ima_zicntr_zifencei", "rv64imafc_zicntr_zifencei",
    "rv64imac_zicntr_zifencei_zba_zbb_zcb_zicond", "rv64gc_zicntr_zfhmin_zcmop_zimop", "rv64gc_zicntr_zkn_zks_zacas",
)  # fmt: skip
SEED = 20240417
CI_WORDS, SLOW_WORDS = 100_000, 1_000_000


def compare(isa: str, count: int, seed: int) -> None:
    words = random_words(Random(seed), count)
    program = image(words, "F" in isa_strings.parse(isa).extensions)
    outcomes = zip(words, on_spike(program, isa), on_ours(program, isa), strict=False)
    different = [
        f"{word:#010x} {disassemble(word, 0)}: cause {theirs} on Spike, {ours} here"
        for word, theirs, ours in outcomes
        if theirs != ours
    ]
    assert not different, f"{len(different)} differences: " + "\n".join(different[:20])


@pytest.mark.parametrize("isa", ISAS)
def test_random_words_are_illegal_where_they_are_on_spike(isa):
    compare(isa, CI_WORDS // len(ISAS), SEED)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
def test_a_million_words_are_illegal_where_they_are_on_spike(isa):
    for part in range(4):
        compare(isa, SLOW_WORDS // 4, SEED + 1 + part)
