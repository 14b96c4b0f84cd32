"""`vm disasm --jit`: what it shows beside what the guest's source says, and what it says when there is nothing."""

import re
import sys

import pytest

from tests.cli.conftest import assert_fails_with_one_line
from vm import Machine, code_cache
from vm.cli import main


def compiled(vm, *arguments):
    process = vm("disasm", "--jit", *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout.decode().splitlines()


@pytest.fixture
def printing(guest):
    """Prints for ever: nearly all of its instructions are those of `put`."""
    return guest("print-for-ever")


def test_hottest_trace_has_guest_and_host_code(vm, printing):
    """Every instruction of the trace once, in order, each with host code; the trace starts by paying for its steps."""
    title, *lines = compiled(vm, printing, "--instructions", "100000")
    start, count, size = re.match(r"trace at ([0-9a-f]+).*: (\d+) instructions, (\d+) bytes", title).groups()
    assert lines[0].startswith("way in ")
    assert any(re.search(r" sub +r15, ", line) for line in lines[:4])
    shown = [match[1] for line in lines if (match := re.match(r" +([0-9a-f]{8,}):  [0-9a-f]{4,8} ", line))]
    assert shown[0] == start and len(shown) == int(count) and len(set(shown)) == len(shown)
    offsets = [int(match[1], 16) for line in lines if (match := re.search(r" ([0-9a-f]+):  [a-z]+(?: |$)[^:]*$", line))]
    assert offsets == sorted(offsets) and offsets[0] == 0 and offsets[-1] < int(size)


def test_trace_at_a_symbol(vm, printing):
    title, *lines = compiled(vm, printing, "--at", "put", "--instructions", "100000")
    assert "<put>" in title
    assert " lbu " in lines[lines.index(next(line for line in lines if "way in" not in line and ":  " in line[:30]))]


def test_code_that_another_process_has_kept_is_not_what_is_shown(vm, printing, tmp_path, monkeypatch):
    """It does not say which host code is which instruction's."""
    monkeypatch.setenv("VM_CACHE", str(tmp_path))
    monkeypatch.setenv("VM_JIT_CACHE", "1")
    monkeypatch.setattr(code_cache, "WORTH_NS", 0)
    for outcome in ("cold", "warm"):
        with Machine(memory="128M", engine="jit") as machine:
            machine.load(printing)
            machine.run(instructions=100_000)
            assert machine.stats()["code_cache"]["outcome"] == outcome
    assert "<put>" in compiled(vm, printing, "--at", "put", "--instructions", "100000")[0]


def test_code_out_of_line_on_request(vm, printing):
    options = ("--at", "put", "--instructions", "100000")
    hot, all_of_it = compiled(vm, printing, *options), compiled(vm, printing, *options, "--cold")
    assert not any(line.startswith("out of line") for line in hot)
    assert any(line.startswith("out of line") for line in all_of_it) and len(all_of_it) > len(hot)


def test_as_many_traces_as_asked_for(vm, printing):
    titles = [line for line in compiled(vm, printing, "--traces", "2", "--instructions", "100000")
              if line.startswith("trace at ")]
    shares = [float(re.search(r"([0-9.]+)% of", title)[1]) for title in titles]
    assert len(titles) == 2 and shares == sorted(shares, reverse=True) and shares[0] > 10


@pytest.mark.parametrize("options, message", [
    (("--at", "nowhere"), "'nowhere' is neither an address"),
    (("--at", "0x80100000"), "nothing at 0x80100000 was compiled"),
    (("--instructions", "3"), "nothing was compiled in 3 instructions"),
])
def test_nothing_to_show(vm, printing, options, message):
    line = assert_fails_with_one_line(vm("disasm", "--jit", printing, "--timeout", "5", *options))
    assert message in line


@pytest.mark.parametrize("options", [("--at", "put"), ("--cold",), ("--jit", "--symbol", "put")])
def test_options_that_do_not_go_together(vm, printing, options):
    assert_fails_with_one_line(vm("disasm", printing, *options), code=2)


def test_without_capstone_it_says_what_to_install(guest, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(SystemExit) as end:
        main(["disasm", "--jit", guest("loop")])
    assert end.value.code == 1
    assert "pip install capstone" in capsys.readouterr().err


def test_host_that_cannot_compile_says_so(guest, monkeypatch, capsys):
    monkeypatch.setattr("vm.engine.unavailable", lambda: "the host refuses executable memory")
    with pytest.raises(SystemExit) as end:
        main(["disasm", "--jit", guest("loop")])
    assert end.value.code == 2
    assert "the host refuses executable memory" in capsys.readouterr().err


def test_environment_that_names_another_engine(vm, printing):
    process = vm("disasm", "--jit", printing, environment={"VM_ENGINE": "interpreter"})
    assert "VM_ENGINE=interpreter: " in assert_fails_with_one_line(process)
