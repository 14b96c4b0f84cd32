"""Zicond, Zimop, Zcmop, Zcb, bit manipulation and scalar cryptography: who has them, results.

Unprivileged specification, chapters 8, 11, 27, 28 and 31. The names stand here as the specification lists them.
"""

import pytest

from tests.conformance.encoding import encode_on
from tests.native.riscv.single import PAIRS, REGISTERS, SingleSteps, immediates, program, signature, signature_on_spike
from vm_native.riscv.instructions import BY_NAME
from vm_native.riscv.isa import parse

ZBB_AND_ZBKB = "andn orn xnor rol rolw ror rori roriw rorw rev8"
ZBA = "add.uw sh1add sh1add.uw sh2add sh2add.uw sh3add sh3add.uw slli.uw"
ZBB = f"{ZBB_AND_ZBKB} clz clzw ctz ctzw cpop cpopw max maxu min minu sext.b sext.h zext.h orc.b"
ZCB = "c.lbu c.lhu c.lh c.sb c.sh c.zext.b c.not"
INSTRUCTIONS = {
    "rv64i_zicond": "czero.eqz czero.nez",
    "rv64i_zimop": " ".join([f"mop.r.{n}" for n in range(32)] + [f"mop.rr.{n}" for n in range(8)]),
    "rv64i_zba": ZBA,
    "rv64i_zbb": ZBB,
    "rv64i_zbc": "clmul clmulh clmulr",
    "rv64i_zbs": "bclr bclri bext bexti binv binvi bset bseti",
    "rv64i_zbkb": f"{ZBB_AND_ZBKB} pack packh packw brev8 zext.h",      # zext.h being packw of x0
    "rv64i_zbkc": "clmul clmulh",
    "rv64i_zbkx": "xperm4 xperm8",
    "rv64i_zkne": "aes64es aes64esm aes64ks1i aes64ks2",
    "rv64i_zknd": "aes64ds aes64dsm aes64im aes64ks1i aes64ks2",
    "rv64i_zknh": "sha256sig0 sha256sig1 sha256sum0 sha256sum1 sha512sig0 sha512sig1 sha512sum0 sha512sum1",
    "rv64i_zksed": "sm4ed sm4ks",
    "rv64i_zksh": "sm3p0 sm3p1",
    "rv64i_zcb": ZCB,
    "rv64im_zcb": f"{ZCB} c.mul",
    "rv64i_zcb_zba": f"{ZCB} {ZBA} c.zext.w",
    "rv64i_zcb_zbb": f"{ZCB} {ZBB} c.sext.b c.sext.h c.zext.h",
    "rv64i_zcmop": " ".join(f"c.mop.{n}" for n in range(1, 16, 2)),
}
NAMES = sorted({name for names in INSTRUCTIONS.values() for name in names.split()})
EVERYTHING = "rv64gcb_zicond_zimop_zcmop_zcb_zbc_zkn_zks"
INSTRUCTIONS[EVERYTHING] = " ".join(NAMES)
INSTRUCTIONS["rv64gc_zicntr_zawrs_zabha_zacas_zfa_zfh_zihintpause_zihintntl_zkt"] = ""


@pytest.mark.parametrize("isa", INSTRUCTIONS)
def test_extension_turns_on_its_instructions_and_no_others(isa):
    steps = SingleSteps(isa=isa)
    legal = {name for name in NAMES if steps.is_legal(encode_on(REGISTERS, name))}
    assert legal == set(INSTRUCTIONS[isa].split())


@pytest.mark.parametrize("round_number", range(16))
def test_key_schedule_has_eleven_rounds(round_number):
    """Cryptography specification 3.8: rnum above 0xA is reserved."""
    steps = SingleSteps(isa="rv64i_zkn")
    word = encode_on(REGISTERS, "aes64ks1i", round_number)
    assert steps.is_legal(word) == (round_number <= 10)


@pytest.mark.parametrize("isa, implied", [
    ("rv64i_zcb", "zca"), ("rv64i_zcmop", "zca"), ("rv64imac", "zca"), ("rv64gc", "zca zcd"), ("rv64ib", "zba zbb zbs"),
    ("rv64i_zkn", "zbkb zbkc zbkx zkne zknd zknh"), ("rv64i_zks", "zbkb zbkc zbkx zksed zksh"),
    ("rv64i_zk", "zkn zkr zkt zbkb zbkc zbkx zkne zknd zknh"),
])  # fmt: skip
def test_name_implies_others(isa, implied):
    assert set(implied.split()) <= set(parse(isa).string.split("_"))


@pytest.mark.parametrize("isa, letters", [
    ("rv64i_zba_zbb_zbs", "ib"), ("rv64i_zba_zbb", "i"), ("rv64i_zca", "ic"), ("rv64gd_zca", "imafd"),
    ("rv64gd_zca_zcd", "imafdc"), ("rv64if_zcb", "ifc"),
])  # fmt: skip
def test_letter_stands_for_all_of_its_parts(isa, letters):
    """B: Zba, Zbb and Zbs; C: Zca, and Zcd where there is D. So it is in misa."""
    misa = parse(isa).misa
    assert parse(isa).string.partition("_")[0] == f"rv64{letters}"
    assert {chr(ord("a") + bit) for bit in range(26) if misa >> bit & 1} == {*letters, "s", "u"}


@pytest.mark.parametrize("isa, alignment", [("rv64g", 4), ("rv64g_zca", 2), ("rv64gc", 2)])
def test_compressed_instructions_need_no_letter(guest, isa, alignment):
    """IALIGN is 16 with Zca, even where misa.C is 0 for want of Zcd: mepc holds such an address."""
    g = guest("wfi", isa=isa)
    g["mepc"] = 6
    assert g["mepc"] == 6 & -alignment


# --- What they do, by Spike -------------------------------------------------------------------------------------------

@pytest.mark.usefixtures("dispatch")
def test_results_are_those_of_spike(tmp_path):
    """Every instruction, with every immediate, on corner and random operands."""
    rows = [BY_NAME[name] for name in NAMES]
    elf = program(rows)
    ours, spikes = signature(elf, EVERYTHING), signature_on_spike(elf, EVERYTHING, tmp_path)
    cases = [(row.name, immediate) for row in rows for immediate in immediates(row)]
    assert len(ours) == len(spikes) == PAIRS * len(cases)
    for number, case in enumerate(cases):
        part = slice(number * PAIRS, (number + 1) * PAIRS)
        assert ours[part] == spikes[part], case


@pytest.mark.parametrize("name", ["pause", "ntl.p1", "ntl.pall", "ntl.s1", "ntl.all"])
def test_hint_changes_nothing(guest, name):
    """Zihintpause, Zihintntl: encodings of fence and of add to x0, on every hart."""
    g = guest(f".option arch, +zihintpause, +zihintntl\n {name}\n wfi", isa="rv64gc")
    before = list(g.hart.x)
    g.finish()
    assert list(g.hart.x) == before
