"""Files of coverage, read as their formats say."""

import struct

import pytest

import vm
from tests.coverage.programs import program


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
