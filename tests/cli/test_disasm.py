"""`vm disasm` beside what the guest's source says."""

import pytest

from tests.cli.conftest import assert_fails_with_one_line
from vm.guests.demo.build import ROOT


def disassemble(vm, *arguments):
    process = vm("disasm", *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout.decode().splitlines()


def test_labels_encodings_and_operands(vm, guest):
    lines = disassemble(vm, guest("exit-3"))
    assert lines[0] == "0000000080000000 <_start>:"
    assert lines[1].split() == ["80000000:", "10000437", "lui", "s0,", "0x10000"]


def test_jumps_show_where_they_go(vm, guest):
    call = next(line for line in disassemble(vm, guest("echo")) if " jal " in line)
    assert "<put>" in call
    line, = disassemble(vm, guest("loop"), "--start", "0x80000008", "--count", "1")
    assert line.endswith("# 80000008 <_start+0x8>")


def test_csrs_have_names(vm, guest):
    assert any("csrw" in line and "mie, zero" in line for line in disassemble(vm, guest("idle")))


def test_symbol_and_count(vm, guest):
    lines = disassemble(vm, guest("echo"), "--symbol", "put", "--count", "2")
    assert len(lines) == 3 and lines[0].endswith("<put>:") and " lbu " in lines[1] and " andi " in lines[2]


def test_start_by_name(vm, guest):
    lines = disassemble(vm, guest("echo"), "--start", "put", "--count", "1")
    assert len(lines) == 2 and lines[0].endswith("<put>:")


def test_start_that_is_no_label(vm, guest):
    lines = disassemble(vm, guest("exit-3"), "--start", "0x80000004")
    assert lines[0].split()[:2] == ["80000004:", "001004b7"]


@pytest.mark.parametrize("options, message", [
    (("--symbol", "none"), "no symbol 'none'"),
    (("--start", "0x90000000"), "no code there"),
    (("--start", "nowhere"), "'nowhere' is neither an address, as 0x80000000, nor one of its symbols"),
])
def test_nothing_to_show(vm, guest, options, message):
    assert message in assert_fails_with_one_line(vm("disasm", guest("loop"), *options))


def test_executable_of_another_architecture(vm):
    assert "/bin/true: an executable for" in assert_fails_with_one_line(vm("disasm", "/bin/true"))


def test_every_instruction_of_the_demo_is_decoded(vm):
    """What is no instruction is the read-only data that the demo links behind its code."""
    lines = disassemble(vm, ROOT / "demo.elf")
    code = lines[:next(i for i, line in enumerate(lines) if line.endswith("<user_code>:") or "..." in line)]
    assert len(code) > 1000 and not any(".insn" in line for line in code)
