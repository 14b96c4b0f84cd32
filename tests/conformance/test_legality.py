"""Which words are legal, against Spike: all compressed ones and all function codes, random harts, SYSTEM above U-mode.

Unprivileged specification, "Instruction Set Listings", and the privileged one, chapter 2 and sections 3.1.6 to 3.1.18
for the enables. A difference prints the word and both causes. The seed is fixed; the long run:

    python -m pytest -m slow tests/conformance/test_legality.py
"""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.conformance import legality
from tests.conformance.compare import disassemble
from tests.conformance.legality import MACHINE, SUPERVISOR, USER, Setting, differences, explained

SEED = int(os.environ.get("VM_CONFORMANCE_SEED", "20240417"))
WHOLE = "default_zkr"
ISAS = (WHOLE, "rv64gc_zicntr", "rv64i_zifencei")
CI_ISAS, SLOW_ROUNDS, BATCH = 6, 10, 100_000
SETTINGS = {
    "user": Setting(USER),
    "user, nothing enabled": Setting(USER, 0, 0),
    "supervisor": Setting(SUPERVISOR),
    "supervisor, nothing enabled": Setting(SUPERVISOR, 0, 0),
    "supervisor, TVM TW TSR": Setting(SUPERVISOR, status=legality.FS | legality.GUARDS),
    "machine": Setting(MACHINE),
}


def check(words: list[int], isa: str, setting: Setting) -> None:
    found = [verdict for verdict in differences(words, isa, setting) if not explained(verdict)]
    assert not found, f"{isa}, {setting}: {len(found)} differ\n" + "\n".join(
        f"{word:08x} {disassemble(word, 0):<32} ours {ours:#x}, spike {spikes:#x}" for word, ours, spikes in found[:20]
    )


@pytest.mark.parametrize("isa", ISAS[:2])
def test_every_function_code_is_legal_where_it_is_on_spike(isa):
    check(legality.grid_words(Random(SEED)), isa, Setting(USER))


@pytest.mark.parametrize("isa", ISAS)
def test_every_compressed_word_is_legal_where_it_is_on_spike(isa):
    check(legality.compressed_words(), isa, Setting(USER))


@pytest.mark.parametrize("number", range(CI_ISAS))
def test_words_are_legal_by_the_extensions_that_are_on(number):
    random = Random(SEED + number)
    check(legality.mixed_words(random, 8000), legality.random_isa(random), Setting(USER))


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_system_words_are_legal_where_they_are_on_spike(setting):
    check(list(legality.system_words(Random(SEED))), WHOLE, setting)


@pytest.mark.parametrize("mode", (SUPERVISOR, MACHINE))
def test_system_words_are_legal_by_the_extensions_that_are_on(mode):
    random = Random(SEED + mode)
    check(list(legality.system_words(random)), legality.random_isa(random), Setting(mode))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_words_are_legal_where_they_are_on_spike():
    for number in range(SLOW_ROUNDS):
        random = Random(SEED + 1000 + number)
        isa = ISAS[number % 3] if number < 6 else legality.random_isa(random)
        check(legality.mixed_words(random, BATCH), isa, Setting(USER))
