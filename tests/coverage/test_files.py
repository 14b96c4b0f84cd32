"""Files of coverage, read as their formats say."""

import io
import random
import struct
from types import SimpleNamespace

import pytest
from elftools.elf.elffile import ELFFile

import vm
from tests.assembler import FLAGS as ASSEMBLER_FLAGS
from tests.assembler import compile_elf
from tests.coverage.programs import FLAGS, SCRIPT, START, program
from vm.coverage.lcov import Executed, Function, Source, described


@pytest.fixture(params=[4, 5])
def covered(request):
    with vm.Machine(memory="2M") as machine:
        machine.load(program(request.param))
        with machine.coverage() as coverage:
            machine.run()
        yield machine, coverage


def records(text: str) -> dict[str, list[str]]:
    """The lines of a tracefile by the names of their sources."""
    found = {}
    for part in text.split("end_of_record\n")[:-1]:
        lines = part.splitlines()
        assert lines[0] == "TN:" and lines[1].startswith("SF:/")
        found[lines[1].rpartition("/")[2]] = lines[2:]
    return found


def test_lines_have_the_counts_of_the_program(covered, tmp_path):
    """By hand: the loop is entered for i from 0 to 6."""
    _, coverage = covered
    coverage.write_lcov(tmp_path / "info")
    lines = records((tmp_path / "info").read_text())["main.c"]
    counts = dict(map(int, line.removeprefix("DA:").split(",")) for line in lines if line.startswith("DA:"))
    assert {number: counts[number] for number in (2, 5, 8, 9, 10, 11, 13, 15, 16, 17)} == {
        2: 6, 5: 1, 8: 1, 9: 8, 10: 7, 11: 1, 13: 6, 15: 1, 16: 0, 17: 1}
    assert {line for line in lines if line.startswith("FN")} >= {
        "FN:1,twice", "FN:4,never", "FN:7,main", "FNDA:6,twice", "FNDA:1,never", "FNDA:1,main", "FNF:3", "FNH:3"}
    assert lines[-2:] == [f"LF:{len(counts)}", f"LH:{sum(count > 0 for count in counts.values())}"]


def test_blocks_of_drcov_are_those_of_the_coverage(covered, tmp_path):
    machine, coverage = covered
    coverage.write_drcov(tmp_path / "drcov")
    text, _, table = (tmp_path / "drcov").read_bytes().partition(b" bbs\n")
    version, flavor, modules, columns, module, count = text.decode().splitlines()
    assert (version, flavor) == ("DRCOV VERSION: 2", "DRCOV FLAVOR: drcov")
    assert (modules, columns) == ("Module Table: version 2, count 1", "Columns: id, base, end, entry, path")
    number, base, end, entry, path = (cell.strip() for cell in module.split(","))
    assert (number, path) == ("0", machine.program.path)
    assert int(base, 16) == 0x8000_0000 < int(end, 16)
    assert int(entry, 16) == machine.program.symbols["_start"].address
    entries = list(struct.iter_unpack("<IHH", table))
    assert count == f"BB Table: {len(entries)}"
    assert [(start + 0x8000_0000, size) for start, size, _ in entries] == [
        (start, size) for start, size, _ in coverage.blocks.tolist()]


def test_code_outside_of_the_program_is_another_module(tmp_path, guest):
    g = guest("j _start")
    other = g.address("_start") + 0x10_0000
    g.memory.write(other, bytes.fromhex("13000000") * 0x5000 + bytes.fromhex("73005010"))
    g.hart.pc = other
    with g.machine.coverage() as coverage:
        g.run()
    coverage.write_drcov(tmp_path / "drcov")
    text, _, table = (tmp_path / "drcov").read_bytes().partition(b" bbs\n")
    assert b", [anonymous]\n" in text
    entries = list(struct.iter_unpack("<IHH", table))
    assert sum(size for _, size, _ in entries) == sum(size for _, size, _ in coverage.blocks.tolist()) > 0x1_0000
    assert {module for _, _, module in entries} == {1}


def test_program_that_is_another_by_now_is_refused(tmp_path):
    path = tmp_path / "program.elf"
    path.write_bytes(program().read_bytes())
    with vm.Machine(memory="2M") as machine:
        machine.load(path)
        path.write_bytes(b"something else")
        with machine.coverage() as coverage:
            machine.run()
    with pytest.raises(vm.LoadError, match="not the one that was loaded"):
        coverage.write_lcov(tmp_path / "info")


def test_without_a_program_there_is_no_file(tmp_path):
    with vm.Machine(memory="2M") as machine, machine.coverage() as coverage:
        for write in (coverage.write_drcov, coverage.write_lcov):
            with pytest.raises(vm.ConfigurationError, match="no program was loaded"):
                write(tmp_path / "file")


OVERLOADED = """\
int over(int x) { return x; }
int over(long x) { return (int)x + 1; }
template <typename T> int made(T x) { return over(x); }
static inline int own(int x) { return x; }
extern "C" int other(void);
extern "C" int main() { return over(1) + over(2L) + over(3L) + made(1) + own(4) + other(); }
"""

def functions_of(tracefile: str, source: str) -> tuple[dict[str, int], dict[str, int]]:
    """Lines and counts by the names of a source's functions, each of which is there once."""
    record, = (one for one in tracefile.split("end_of_record\n") if f"/{source}\n" in one)
    rows = [line.partition(":")[::2] for line in record.splitlines()]
    lines = [(name, int(line)) for kind, row in rows if kind == "FN" for line, _, name in [row.partition(",")]]
    counts = [(name, int(count)) for kind, row in rows if kind == "FNDA" for count, _, name in [row.partition(",")]]
    assert len(dict(lines)) == len(lines) and len(dict(counts)) == len(counts) == len(lines)
    return dict(lines), dict(counts)


def test_functions_of_one_name_are_told_apart(tmp_path):
    """By their symbols where they overload each other (Itanium C++ ABI); a tracefile has nothing but their names."""
    sources = (("start.S", START), ("main.cpp", OVERLOADED), ("other.c", "int other(void) { return 5; }"))
    with vm.Machine(memory="2M") as machine:
        machine.load(compile_elf(sources, (*FLAGS, "-gdwarf-5"), SCRIPT))
        with machine.coverage() as coverage:
            machine.run()
    coverage.write_lcov(tmp_path / "lcov")
    lines, counts = functions_of((tmp_path / "lcov").read_text(), "main.cpp")
    assert lines == {"_Z4overi": 1, "_Z4overl": 2, "made<int>": 3, "own": 4, "main": 6}
    assert counts == {"_Z4overi": 2, "_Z4overl": 2, "made<int>": 1, "own": 1, "main": 1}


def test_copies_of_a_function_are_one():
    """Of what two units include, unless it stands at two lines."""
    source = Source()
    for name, symbol, line, count in (("f", "", 4, 2), ("f", "", 4, 3), ("g", "", 7, 1), ("g", "", 9, 1),
                                      ("h", "_h1", 2, 0), ("h", "_h2", 2, 5)):
        source.functions[Function(name, symbol, line, len(source.functions))] = count
    lines, counts = functions_of("\n".join([*source.record("/x.c"), ""]), "x.c")
    assert lines == {"_h1": 2, "_h2": 2, "f": 4, "g:7": 7, "g:9": 9}
    assert counts == {"_h1": 0, "_h2": 5, "f": 5, "g:7": 1, "g:9": 1}


def test_a_line_that_reaches_through_all_memory_is_counted_at_once():
    """As a damaged table may say."""
    assert Executed({0x10: 3, 0x20: 5, 1 << 40: 7}).most(0x11, 1 << 39) == 5
    assert Executed({0x10: 3}).most(0x11, 1 << 63) == 0


def test_an_entry_that_is_of_itself_has_what_it_says():
    die = SimpleNamespace(offset=4, attributes={"DW_AT_name": SimpleNamespace(value=b"f"), "DW_AT_specification": None})
    die.get_DIE_from_attribute = lambda reference: die
    assert described(die) == ("f", "", -1, 0)


def test_damaged_lines_are_one_error(tmp_path):
    """Whatever the library that reads them makes of it."""
    data, chance = program().read_bytes(), random.Random(1)
    places = [(section["sh_offset"], section["sh_size"]) for section in ELFFile(io.BytesIO(data)).iter_sections()
              if section.name.startswith(".debug")]
    errors = 0
    for _ in range(150):
        damaged = bytearray(data)
        for start, size in chance.choices(places, k=6):
            damaged[start + chance.randrange(size)] = chance.choice((0, 0x80, 0xFF))
        (tmp_path / "damaged.elf").write_bytes(damaged)
        with vm.Machine(memory="2M") as machine:
            machine.load(tmp_path / "damaged.elf")
            with machine.coverage() as coverage:
                machine.run(instructions=10)
            try:
                coverage.write_lcov(tmp_path / "lcov")
            except vm.LoadError as error:
                assert "damaged debug information" in str(error) or "no lines" in str(error)
                errors += 1
    assert errors > 10


def test_names_that_are_no_text_can_be_printed(tmp_path):
    """As a symbol with a byte that is no UTF-8."""
    data = program().read_bytes()
    (tmp_path / "x.elf").write_bytes(data.replace(b"\0twice\0", b"\0tw\xe9ce\0"))
    with vm.Machine(memory="2M") as machine:
        machine.load(tmp_path / "x.elf")
        with machine.coverage() as coverage:
            machine.run()
    assert "tw?ce" in str(coverage).encode().decode() and "tw?ce" in coverage._repr_html_().encode().decode()


SPIN = """
    li   t0, 8 << 60 | 0x80100
    csrw satp, t0           # which machine mode does not use
    li   a0, 100
1:  addi a0, a0, -1
    bnez a0, 1b
    la   t0, later
    jr   t0
.balign 64
later:
    li   a0, 100
2:  addi a0, a0, -1
    bnez a0, 2b
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, 0(t0)
3:  j    3b
"""


def taken_together(**options):
    """Coverage and profile of a program without symbols, its machine, and the name of its file."""
    file = compile_elf((("spin.S", f".globl _start\n_start:\n{SPIN}"),), (*ASSEMBLER_FLAGS, "-s"))
    machine = vm.Machine(memory="2M")
    machine.load(file)
    with machine.coverage(**options) as coverage, machine.profile(1, **options) as profile:
        machine.run()
    return coverage, profile, machine, file


def test_who_knows_no_names_says_so():
    coverage, profile, machine, file = taken_together()
    with machine:
        for text in (str(coverage), str(profile)):
            assert f"no symbols: {file} is stripped; " in text
        assert "no symbols" not in coverage.table(0)


def test_symbols_beside_the_program():
    named = compile_elf((("spin.S", f".globl _start\n_start:\n{SPIN}"),), ASSEMBLER_FLAGS)
    coverage, profile, machine, _ = taken_together(symbols=named)
    with machine, vm.Machine(memory="2M") as other:
        other.load(named)
        with other.coverage() as expected:
            other.run()
        assert coverage.functions() == expected.functions() and coverage.functions()[0].calls
        assert "no symbols" not in str(coverage) and "later" in str(profile)
    both = coverage | coverage
    assert [line.instructions for line in both.functions()] == [2 * line.instructions for line in expected.functions()]


def test_a_linux_that_is_looked_at_later_knows_names():
    """Where a function begins, too; and processes."""
    coverage, profile, machine, _ = taken_together()
    task = SimpleNamespace(pid=7, name="sh", page_table=0x8010_0000)
    with machine:
        assert coverage.functions() == [] and "satp 0x8000000000080100;" in profile.folded("process")
        machine._linux = SimpleNamespace(found=True, find=lambda address: ("spin", address - 0x8000_0000),
                                         processes=lambda: [task])
        (line,) = coverage.functions()
        assert (line.name, line.address, line.calls) == ("spin", 0x8000_0000, 1)
        assert {text.rpartition(" ")[0] for text in profile.folded("process").splitlines()} == {
            "7 sh;spin", "no paging;spin"}
