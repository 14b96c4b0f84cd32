"""Every instruction compiled alone gives what the interpreter gives, whichever registers it names.

Registers are drawn from those that live in host registers, those that do not and x0, so that all cases of equal
operands come up; values are corners and random ones. The code of a variant is the instruction and a jump to itself.
"""

from random import Random

import pytest

import vm
from tests.conformance import operands
from tests.conformance.encoding import register_fields
from tests.conformance.generator import kind_of, word_of
from tests.conformance.image import BASE, Image
from tests.conformance.ours import F_NAMES, X_NAMES, Ours
from tests.native.arithmetic.ieee754 import MODES
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import ROWS, Row, encode

CODE, DATA, HANDLER = 0x1000, 0x10_0000, 0x20_0000      # offsets
VARIANT = 16                    # bytes: the instruction, and jumps to themselves at 4, 8 and 12
X = (10, 15, 9, 0, 20, 21)      # three that live in host registers, x0, two that do not
SHORT = (10, 15, 9)
F = (15, 0, 16, 20, 21)
RESERVED_MODE = 5               # of frm
VARIANTS, FEWER, VALUES = 40, 12, 3       # with all parts turned on; with one turned off; of each variant
KINDS = ("plain", "memory", "branch", "jump", "indirect")
EXTENSIONS = isa_strings.parse(isa_strings.DEFAULT).extensions
TESTED = [row for row in ROWS if row.is_on(EXTENSIONS) and kind_of(row) in KINDS]
SETTINGS = {
    "all": {}, "no registers": {"registers": False}, "no allocation": {"allocation": False},
    "no neighbours": {"neighbours": False},
    "no floats": {"floats": False}, "no rounding": {"rounding": False}, "no crypto": {"crypto": False},
    "no vectors": {"vectors": False}, "no AVX-512": {"avx512": False},
    "no combining": {"combining": False}, "no windows": {"windows": False}, "no trials": {"trials": False},
    "no page entries": {"page_entries": False}, "no jump cache": {"jump_cache": False},
    # Where the name begins with "drafts", blocks do as such.
    "drafts": {}, "drafts, no windows": {"windows": False},
    "drafts, not compact": {"windows": False, "compact": False},
}  # fmt: skip


def random_registers(row: Row, random: Random) -> dict[str, int]:
    chosen = {}
    for operand, (is_float, short, _) in register_fields(row).items():
        pool = tuple(number for number in F if not short or 8 <= number < 16) if is_float else SHORT if short else X
        number = random.choice(pool)
        while number in row.excluded.get(operand, ()):
            number = random.choice((10, 15, 20))
        chosen[operand] = number
    return chosen


def variants(row: Row, random: Random, count: int) -> list[tuple[int, dict[str, int]]]:
    """Words with the registers they name. A branch leads 8 bytes on."""
    found = []
    for _ in range(count):
        chosen = random_registers(row, random)
        immediate = 8 if kind_of(row) in ("branch", "jump") else 0 if kind_of(row) == "indirect" else None
        found.append((word_of(row, random, immediate, **chosen), chosen))
    return found


def program(tested: dict[str, list[tuple[int, dict[str, int]]]]) -> Image:
    data = bytearray(HANDLER + 0x1000)
    stay = encode("jal", rd=0).to_bytes(4, "little")
    data[HANDLER : HANDLER + 4] = stay
    at = CODE
    for words in tested.values():
        for word, _ in words:
            size = 4 if word & 3 == 3 else 2
            code = word.to_bytes(size, "little") + (b"\1\0" if size == 2 else b"")       # c.nop
            data[at : at + VARIANT] = code + 3 * stay
            at += VARIANT
    assert at < DATA
    data[DATA : DATA + 0x4000] = Random(0).randbytes(0x4000)
    return Image(bytes(data), {"tohost": BASE + HANDLER + 0x800})


def base_address(row: Row, random: Random) -> int:
    """For a memory access: mostly aligned, else at the end of a page or anywhere; now and then there is no RAM."""
    kind = random.random()
    if kind < 0.05:
        return random.choice((0, 8, BASE - 4, 2**64 - 8))
    address = BASE + DATA + 0x1000 + random.randrange(0, 0x1000, 16)
    if kind < 0.2:
        address = BASE + DATA + 0x2000 + random.randrange(-20, 20)
    return address if kind < 0.8 else address + random.randrange(16)


def prepare(ours: Ours, row: Row, chosen: dict[str, int], here: int, seed: int) -> None:
    """All registers that are named get values; pc is at the variant."""
    random = Random(seed)
    hart = ours.hart
    for operand, (is_float, _, _) in register_fields(row).items():
        number = chosen[operand]
        if is_float:
            hart.f_bits[number] = operands.floating(random)
        elif kind_of(row) == "indirect":
            hart.x[number] = here + random.choice((8, 8, 12)) + random.choice((0, 1))
        elif kind_of(row) == "memory" and operand == "rs1":
            hart.x[number] = base_address(row, random)
        else:
            hart.x[number] = operands.integer(random)
    hart.csr["fcsr"] = random.choice((0, 0, 31, *(mode << 5 for mode in (*MODES, RESERVED_MODE))))
    hart.pc = here


@pytest.mark.parametrize("setting", SETTINGS)
def test_single_instructions(setting):
    random = Random(setting)
    count = FEWER if SETTINGS[setting] else VARIANTS
    tested = {row.name: variants(row, random, count) for row in TESTED}
    image = program(tested)
    draft_bytes = 0 if setting.startswith("drafts") else None
    settings = vm.Settings(hot=0, switches=SETTINGS[setting], draft_bytes=draft_bytes)
    both = [Ours(isa_strings.DEFAULT, engine=engine, settings=settings) for engine in ("interpreter", "jit")]
    for ours in both:
        ours.load(image)
        ours.hart.csr["mtvec"] = BASE + HANDLER
        ours.hart.csr["mstatus"] = mask("mstatus", "FS")
    here, wrong = BASE + CODE, {}
    for row in TESTED:
        for word, chosen in tested[row.name]:
            for _ in range(VALUES):
                seed = random.getrandbits(32)
                results = []
                for ours in both:
                    prepare(ours, row, chosen, here, seed)
                    ours.machine.run(instructions=3)
                    hart = ours.hart
                    results.append([hart.pc, hart.csr["fcsr"], hart.csr["mcause"], *ours.registers()])
                    hart.csr["mstatus"] = mask("mstatus", "FS")
                if results[0] != results[1]:
                    names = ("pc", "fcsr", "mcause", *X_NAMES, *F_NAMES)
                    wrong.setdefault(row.name, f"{word:#x} {chosen} seed {seed}: " + ", ".join(
                        f"{name} is {found:#x}, not {wanted:#x}"
                        for name, wanted, found in zip(names, *results, strict=True) if wanted != found))
            here += VARIANT
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    memories = [ours.machine.memory.read(BASE + DATA, 0x4000) for ours in both]
    assert memories[0] == memories[1]
    machine = both[1].machine
    assert machine.stats()["jit"]["interpreted"] < 0.05 * machine.steps
