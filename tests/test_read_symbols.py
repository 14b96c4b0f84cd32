"""Names from an ELF file that is not loaded: for what came of a snapshot's file, of a recording, or of raw bytes."""

import pytest

import vm
from tests.assembler import BASE, assemble, assemble_elf

SOURCE = "li a0, 7\nnop\n.globl place\nplace: addi a0, a0, 1\nj place\n"
PLACE = BASE + 4            # behind two compressed instructions


@pytest.fixture
def snapshot(tmp_path):
    with vm.Machine(memory="1M") as machine:
        machine.load(assemble_elf(SOURCE))
        machine.run(instructions=1)
        machine.snapshot().save(tmp_path / "snapshot")
    return vm.Snapshot.load(tmp_path / "snapshot")


def test_machine_of_a_file_learns_its_names(snapshot):
    with snapshot.machine() as machine:
        with pytest.raises(vm.ConfigurationError, match="read_symbols"):
            machine.breakpoint("place")
        program = machine.read_symbols(assemble_elf(SOURCE))
        assert machine.program is program and machine.equals(snapshot)
        machine.breakpoint("place")
        assert (machine.run(instructions=10).pc, machine.lookup(PLACE)) == (PLACE, "place")
        machine.restore(snapshot)
        assert machine.program is program
        with machine.fork() as fork:
            assert fork.program is program and fork.lookup(PLACE + 2) == "place+0x2"
        machine.load(b"\x13\0\0\0", BASE)
        assert machine.lookup(PLACE) is None


def test_replay_goes_on_with_names(snapshot):
    with snapshot.machine() as machine, machine.record() as recording:
        machine.run(instructions=10)
    with vm.replay(snapshot, recording.log) as machine:
        machine.run(instructions=1)
        machine.read_symbols(assemble_elf(SOURCE))
        machine.breakpoint("place")
        assert machine.run().pc == PLACE
        machine.probes[0].remove()
        assert machine.run().reason.value == "replayed"


def test_raw_code_has_the_names_of_its_elf_also_after_a_reset():
    with vm.Machine(memory="1M") as machine:
        machine.load(assemble(SOURCE), BASE)
        machine.read_symbols(assemble_elf(SOURCE))
        machine.reset()
        assert machine.lookup(PLACE) == "place" and machine.harts[0].pc == BASE


def test_what_has_no_symbols_is_refused(snapshot, tmp_path):
    with snapshot.machine() as machine, vm.Machine(memory="1M") as closed:
        with pytest.raises(vm.LoadError, match="no ELF|not an ELF"):
            machine.read_symbols(b"\x13\0\0\0")
        with pytest.raises(vm.LoadError, match="missing"):
            machine.read_symbols(tmp_path / "missing")
        assert machine.program is None
        closed.close()
        with pytest.raises(vm.MachineUnusable):
            closed.read_symbols(assemble_elf(SOURCE))
