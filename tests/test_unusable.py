"""Machines that are of no use any more: closed, or of the process that this one is a fork of."""

import os
import threading

import pytest

import vm
from tests.assembler import BASE, assemble, assemble_elf
from tests.recorded import session_log
from vm.devices import Device, reads
from vm.errors import MachineUnusable
from vm.stop import StopReason

SPIN = ".option norvc\n1: addi a0, a0, 1\n j 1b"


def test_closed_machine_does_not_run(guest):
    g = guest("wfi")
    g.machine.close()
    g.machine.close()
    with pytest.raises(MachineUnusable, match="closed"):
        g.machine.run()


USES = {
    "run": lambda g: g.machine.run(instructions=1),
    "reset": lambda g: g.machine.reset(),
    "load": lambda g: g.machine.load(assemble_elf("wfi")),
    "boot": lambda g: g.machine.boot("Image"),
    "attach": lambda g: g.machine.attach(Device(), 0x4000_0000),
    "write": lambda g: g.memory.write(BASE, b"x"),
    "writable": lambda g: g.memory.writable(BASE, 8).__enter__(),
    "virtual.write": lambda g: g.hart.virtual.write(BASE, b"x"),
    "snapshot": lambda g: g.machine.snapshot(),
    "restore": lambda g: g.machine.restore(g.machine._stands_on),
    "equals": lambda g: g.machine.equals(g.machine._stands_on),
    "fork": lambda g: g.machine.fork(),
    "record": lambda g: g.machine.record(),
    "replay": lambda g: g.machine.replay(session_log()),
    "keep_history": lambda g: g.machine.keep_history(),
    "step_back": lambda g: g.machine.step_back(),
    "run_back": lambda g: g.machine.run_back(),
    "gdb": lambda g: g.machine.gdb(0),
}
LOOKS = {
    "read": lambda g: g.memory.read(BASE, 8),
    "read-device": lambda g: g.memory.read(0x1000_0005, 1),
    "view": lambda g: g.memory.view(BASE, 8),
    "array": lambda g: g.memory.array(BASE, 8),
    "virtual.read": lambda g: g.hart.virtual.read(BASE, 8),
    "virtual.physical": lambda g: g.hart.virtual.physical(BASE),
}


@pytest.mark.parametrize("use", [*USES, *LOOKS])
def test_closed_machine_says_so(use, guest):
    g = guest("li a0, 7; wfi")
    g.finish()
    g.machine.snapshot()
    g["satp"], g.hart.privilege = 8 << 60 | BASE >> 12, 1       # a translation would walk through RAM
    g.machine.close()
    with pytest.raises(MachineUnusable, match="closed"):
        (USES | LOOKS)[use](g)


def test_closed_machine_can_still_be_asked_what_it_was(guest):
    g = guest("li a0, 7; li t0, 0x10000000; sb a0, (t0); wfi")
    g.finish()
    steps, translations = g.machine.steps, g.machine.stats()["translations"]
    g.machine.close()
    assert g["a0"] == 7 and g["misa"] and g.machine.console.output == b"\7"
    assert (g.machine.steps, g.machine.stats()["translations"]) == (steps, translations)
    g["a0"], g["satp"], g["mstatus"] = 8, 8 << 60, 0
    g.native.load(g.native.save())
    g.native.reset()
    assert g["a0"] == 0


def test_view_outlives_the_machine(guest):
    g = guest("wfi")
    g.memory.write(BASE + 8192, b"seen")
    view, array = g.memory.view(BASE + 8192, 4), g.memory.array(BASE + 8192, 4)
    with g.memory.writable(BASE + 8192, 4) as writable:
        g.machine.close()
        writable[0] = ord("m")
    assert bytes(view) == array.tobytes() == b"meen"
    part = view[1:]
    del view, array
    assert bytes(part) == b"een"
    del part


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the host has no fork()")
def test_fork_of_a_process_looks_at_its_machines_only(guest):
    """RAM and code memory are the same pages on both sides: a run in one would be seen in the other."""
    g = guest(SPIN)
    g.run(instructions=11)
    g.machine.snapshot()
    child = os.fork()
    if child == 0:
        os._exit(wrong_in_a_fork(g))
    assert os.waitpid(child, 0)[1] == 0
    g.run(instructions=10)
    assert g["a0"] == 11 and g.memory.read(BASE + 0x10000, 1) == b"\0"


class Forking(Device):
    """The first read of its register leaves two processes behind, each of which goes on with the run."""

    child = None

    @reads(0)
    def read_value(self):
        if self.child is None:
            self.child = os.fork()
        return 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the host has no fork()")
@pytest.mark.parametrize("engine", ["interpreter", "auto"])
def test_fork_in_a_device_ends_the_run_of_the_child(engine):
    """After the access: RAM is the parent's, and not another instruction may store to it."""
    device = Forking()
    with vm.Machine(memory="1M", engine=engine) as machine:
        machine.attach(device, address=0x1001_0000)
        machine.load(assemble("li t0, 0x10010000; lw a0, (t0); la t1, 1f; 1: sd a0, 64(t1); li a2, 1; j ."), BASE)
        try:
            machine.run(instructions=100_000)
        except MachineUnusable:
            os._exit(machine.harts[0]["a2"] if device.child == 0 else 99)
        if device.child == 0:
            os._exit(98)                    # it ran on
        assert os.waitpid(device.child, 0)[1] == 0
        assert (machine.harts[0]["a0"], machine.harts[0]["a2"]) == (7, 1)


class ForkingInThread(Device):
    """Tells who reads its register in which process that is."""

    @reads(0)
    def read_value(self):
        self.child = os.fork()
        return PARENT if self.child else CHILD


PARENT, CHILD = 7, 13


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the host has no fork()")
@pytest.mark.parametrize("engine", ["interpreter", "auto"])
def test_fork_in_a_device_ends_the_child_where_harts_have_threads(engine, monkeypatch):
    """There is only the thread of that hart in the other process: it says so, and ends."""
    device = ForkingInThread()
    reading, writing = os.pipe()
    monkeypatch.setattr(threading, "excepthook", lambda raised: os.write(writing, str(raised.exc_value).encode()))
    with vm.Machine(memory="1M", engine=engine, harts=3, threads=True) as machine:
        machine.attach(device, address=0x1001_0000)
        machine.load(assemble(f"""
            csrr t1, mhartid
            bnez t1, 1f
            li t0, 0x10010000
            lw a0, (t0)
            li t1, {CHILD}
            bne a0, t1, 1f
            la t2, 1f
            sd a0, 64(t2)
        1:  wfi
            j 1b
        """), BASE)
        for hart in machine.harts:
            hart.pc = BASE
        assert machine.run().reason is StopReason.IDLE
        assert os.waitpid(device.child, 0)[1] == 0
        assert machine.harts[0]["a0"] == PARENT
        assert CHILD not in machine.memory.read(BASE, 256)[64:]
    os.close(writing)
    with open(reading) as told:
        assert told.read().startswith("hart 0 ends here: a device has forked this process")


def wrong_in_a_fork(g) -> int:
    """How many of the things that a fork must not do with a machine it can do, or the other way round."""
    wrong = 0
    for use in USES.values():
        try:
            use(g)
            wrong += 1
        except MachineUnusable as error:
            wrong += "fork" not in str(error)
    for look in LOOKS.values():
        look(g)
    assert g["a0"] == 6
    g.machine.close()
    with vm.Machine(memory="1M") as own:
        own.load(assemble_elf("wfi"))
        wrong += own.run().reason is not StopReason.IDLE
    return wrong
