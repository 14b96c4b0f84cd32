"""The RVA23 profiles, version 1.0: every extension that their text names, and what of it there is here.

`isa.py` takes the two profiles from these rows, and `vm info --isa --markdown` writes them into docs/isa.md.
"""

from typing import NamedTuple

MANDATORY, LOCALIZED, DEVELOPMENT, EXPANSION = "mandatory", "localized option", "development option", "expansion option"
CONFORMANCE = "tests/conformance"
LOCKSTEP = f"{CONFORMANCE}/test_lockstep.py"
VECTORS = f"{CONFORMANCE}/test_vectors.py"
PAGING = "tests/native/riscv/test_mmu.py"
REGISTERS = "tests/native/riscv/test_csr_table.py"
EVENTS = "tests/native/riscv/test_counters.py, tests/boot/test_perf.py"
GUESTS = f"{CONFORMANCE}/test_guest_memory.py, test_guest_csrs.py"


class Row(NamedTuple):
    profile: str                            # "U": of RVA23U64 and so of RVA23S64, "S": of the latter alone
    name: str
    status: str
    tested: str                             # the tests that hold it to the specification; empty: there is no such thing


def rows(profile: str, status: str, tested: dict[str, str]) -> list[Row]:
    return [Row(profile, name, status, where) for names, where in tested.items() for name in names.split()]


ROWS = [
    *rows("U", MANDATORY, {
        "M A F D C B": LOCKSTEP,
        "Zicsr Zicntr": REGISTERS,
        "Zihpm": EVENTS,
        "Ziccif Ziccrse": "tests/native/riscv/test_atomics.py",
        "Ziccamoa Zicclsm": LOCKSTEP,
        "Za64rs": "tests/native/test_reservations.py",
        "Zihintpause": LOCKSTEP,
        "Zic64b Zicbom Zicbop Zicboz": LOCKSTEP,
        "Zfhmin": LOCKSTEP,
        "Zkt": "tests/native/execution/test_budget.py",
        "V Zvfhmin Zvbb": VECTORS,
        "Zvkt": "tests/native/execution/test_budget.py",
        "Zihintntl Zicond Zimop Zcmop Zcb Zfa Zawrs": LOCKSTEP,
        "Supm": "tests/native/riscv/test_masking.py",
    }),
    *rows("U", LOCALIZED, {"Zvkng Zvksg": VECTORS}),
    *rows("U", DEVELOPMENT, {"Zabha Zacas Ziccamoc": LOCKSTEP, "Zvbc": VECTORS, "Zama16b": ""}),
    *rows("U", EXPANSION, {
        "Zfh Zbc": LOCKSTEP,
        "Zicfilp Zicfiss": f"tests/native/riscv/test_integrity.py, {GUESTS}",
        "Zvfh": VECTORS,
        "Zfbfmin Zvfbfmin Zvfbfwma": "",
    }),
    *rows("S", MANDATORY, {
        "Zifencei": "tests/native/test_code_beside_data.py",
        "Svbare Sv39 Svade": PAGING,
        "Ssccptr": PAGING,
        "Sstvecd Sscounterenw Ssu64xl": REGISTERS,
        "Sstvala": LOCKSTEP,
        "Svpbmt Svinval Svnapot": PAGING,
        "Sstc": "tests/native/riscv/test_traps.py",
        "Sscofpmf": EVENTS,
        "Ssnpm": f"tests/native/riscv/test_masking.py, {GUESTS}",
        "Sha H Ssstateen Shcounterenw Shvstvala Shtvala Shvstvecd Shvsatpa Shgatpa": GUESTS,
    }),
    *rows("S", EXPANSION, {
        "Sv48 Sv57": PAGING,
        "Zkr": REGISTERS,
        "Svadu": PAGING,
        "Sdtrig": "tests/native/riscv/test_triggers.py",
        "Ssstrict": f"{CONFORMANCE}/test_legality.py",
        "Svvptc": PAGING,
        "Sspm": "tests/native/riscv/test_masking.py",
    }),
]


def string(profiles: str) -> str:
    """The ISA string of what these demand, "U" or "US": a hart with nothing else."""
    names = [row.name for row in ROWS if row.status == MANDATORY and row.profile in profiles]
    letters = "".join(name.lower() for name in names if len(name) == 1)
    return "_".join([f"rv64i{letters}", *(name.lower() for name in names if len(name) > 1)])
