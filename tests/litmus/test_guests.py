"""Programs of several harts that find out themselves whether memory keeps its promises: guests/, in C.

    python -m pytest -m slow tests/litmus/test_guests.py        # a thousand million operations of each
"""

import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.assembler import compile_elf
from tests.litmus.machines import ENGINES, MODES, finish, made

GUESTS = Path(__file__).parent / "guests"
FLAGS = (
    "-target", "riscv64-freestanding", "-mcpu=generic_rv64+m+a+f+d+c+zacas+zabha+zicboz+zicsr", "-mcmodel=medany",
    "-std=gnu17", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-ffreestanding",
    "-fno-sanitize=all", "-fno-stack-protector", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables",
    "-mno-relax", "-nostdlib", "-static", "-Wl,--build-id=none",
)  # fmt: skip
SCRIPT = """ENTRY(_start) SECTIONS {
    . = 0x80000000;
    .all : { *(.entry) *(.text .text.*) *(.rodata .rodata.* .srodata .srodata.*) *(.data .data.* .sdata .sdata.*)
             *(.sbss .sbss.* .bss .bss.* COMMON) . = ALIGN(4096); BYTE(0) }
    /DISCARD/ : { *(.comment) *(.eh_frame) *(.note.*) *(.riscv.attributes) } }
"""
HARTS = 4
PAIRED = ("pages", "ticket")    # guests in which harts wait for each other: two, as hosts have no fewer processors
DOUBLE, WORD = 0, 1 << 32                       # what is reserved
CONFIGURATION = struct.Struct("<3Q")            # parameters: harts, operations, choice
REPORT = struct.Struct("<8Q")                   # operations, failures, the first failure, what was seen
# Operations of a hart, by how often it meets others: a ticket lock is handed on once in a turn.
QUICK = {"stack": 20_000, "ticket": 2_000, "seqlock": 20_000, "list": 20_000, "counter": 20_000,
         "code": 2_000, "pages": 200, "wake": 2_000}
# Of all harts a thousand million; fewer where an operation waits for others.
MANY = dict.fromkeys(("stack", "seqlock", "list", "counter"), 10**9 // HARTS) | dict.fromkeys(
    ("ticket", "code", "pages", "wake"), 10**6)
SHARE_OF_TURNS = 10             # there is less to find where harts take turns
STORES = ("byte", "half", "word", "upper word", "double", "float", "misaligned", "from before", "amo", "amo of a byte",
          "there and back", "cas", "conditional", "vector", "zero")             # as reserved.c numbers them
PASSED = 30                     # stores that fell between LR and SC
BESIDE = ("upper word", "misaligned")           # what leaves the lower word alone


class Report(NamedTuple):
    """What a hart says at the end."""

    operations: int
    failures: int
    first_failure: int
    seen: tuple[int, ...]


def built(name: str, broken: bool) -> Path:
    source = (GUESTS / f"{name}.c").read_text().replace('#include "harts.h"', (GUESTS / "harts.h").read_text())
    return compile_elf((("start.S", (GUESTS / "start.S").read_text()), (f"{name}.c", source)),
                       (*FLAGS, *["-DBROKEN"] * broken), SCRIPT)


def run(name: str, mode: str, engine: str, operations: int, choice: int = 0, broken: bool = False) -> list[Report]:
    """The reports of all harts."""
    harts = 2 if name in PAIRED and mode == "threads" else HARTS
    with made(mode, built(name, broken), harts=harts, isa="default_v", memory="2M", engine=engine) as machine:
        symbols, memory = machine.program.symbols, machine.memory
        memory.write(symbols["parameters"].address, CONFIGURATION.pack(harts, operations, choice))
        finish(machine)
        data = memory.read(symbols["reports"].address, harts * REPORT.size)
    return [Report(*numbers[:3], numbers[3:]) for numbers in REPORT.iter_unpack(data)]


def failures(reports: list[Report]) -> list[tuple[int, int]]:
    """Of each hart that has some: how many, and which was the first."""
    return [(report.failures, report.first_failure) for report in reports if report.failures]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost(mode, engine, name):
    reports = run(name, mode, engine, QUICK[name])
    assert not failures(reports)
    assert sum(report.operations for report in reports) >= QUICK[name]


@pytest.mark.parametrize("width, store", [
    (width, store) for width in (DOUBLE, WORD) for store in STORES if width == DOUBLE or store not in BESIDE
], ids=lambda value: value if isinstance(value, str) else "lr.w" if value else "lr.d")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_a_store_in_between_is_noticed(mode, engine, width, store):
    """Nobody stores the word with another value: that it is the same says nothing."""
    reports = run("reserved", mode, engine, PASSED, width | STORES.index(store))
    kept, passed = reports[0].seen[:2]
    assert not failures(reports)
    assert kept >= 10 * PASSED and passed >= PASSED


@pytest.mark.parametrize("name", [*(name for name in QUICK if name != "wake"), "reserved"])
def test_a_guest_notices_what_is_broken(name):
    """Of each there is a form that lacks what makes it right: compare-and-swap for LR/SC, no lock, no second look."""
    assert failures(run(name, "turns", "jit", QUICK.get(name, PASSED), broken=True))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_lost_in_many_operations(mode, engine, name):
    many = MANY[name] // (SHARE_OF_TURNS if mode == "turns" else 1)
    assert not failures(run(name, mode, engine, many))
