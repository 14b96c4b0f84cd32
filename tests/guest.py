"""A small program in assembly on a bare machine."""

from typing import NamedTuple

import vm
from tests.assembler import assemble_elf
from vm.stop import StopReason

# Behind every program: where traps go. A hart that waits with no interrupt enabled ends the run with reason `idle`.
EPILOGUE = """
    .balign 4
trap_m:
    wfi
    j    trap_m
    .balign 4
trap_s:
    wfi
    j    trap_s
"""
# What these tests are about, whatever else a machine has by default.
ISA = "rv64gc_zicntr_sstc_svade_svadu_sv57"
FAR = (1 << 64) - 1                     # a time that does not come
ENOUGH = 1_000_000                      # steps: a test program that takes more hangs


class Trap(NamedTuple):
    """What a handler finds in its cause, epc and tval registers."""

    cause: int
    pc: int
    value: int


class Guest:
    """A machine with a program at the start of RAM. Registers by name: guest["a0"], guest["mstatus"].

    `devices` are arguments of `Machine.attach`. A program ends with `wfi`. M-mode traps go to the label trap_m, S-mode
    ones to trap_s, which wait for ever.
    """

    def __init__(self, source: str, devices=(), **options):
        self.machine = vm.Machine(**{"memory": "2M", "isa": ISA, **options})
        for place in devices:
            self.machine.attach(*place)
        self.machine.load(assemble_elf(source + EPILOGUE))
        self.hart = self.machine.harts[0]
        self.native = self.machine._natives[0]      # what devices and firmware have of the hart: lines, timer, SBI
        self.memory = self.machine.memory
        for hart in self.machine.harts:
            hart.csr["mtvec"] = self.address("trap_m")
            hart.csr["stvec"] = self.address("trap_s")
        for native in self.machine._natives:
            native.mtimecmp = FAR           # from reset on the machine timer is due

    def address(self, label: str) -> int:
        return self.machine.program.symbols[label].address

    def __getitem__(self, name: str) -> int:
        return self.hart[name]

    def __setitem__(self, name: str, value: int) -> None:
        self.hart[name] = value

    def run(self, instructions: int = ENOUGH, **limits) -> vm.Stop:
        return self.machine.run(instructions=instructions, **limits)

    def finish(self) -> vm.Stop:
        """Run to the `wfi` at the end of the program, or of a trap handler."""
        stop = self.run()
        assert stop.reason is StopReason.IDLE, stop
        return stop

    def trap(self) -> Trap:
        """Run until an exception is taken into M-mode; what the handler sees."""
        self.finish()
        assert self.hart.pc == self.address("trap_m") + 4, hex(self.hart.pc)
        return Trap(self["mcause"], self["mepc"], self["mtval"])

    def trap_in_supervisor(self) -> Trap:
        self.finish()
        assert self.hart.pc == self.address("trap_s") + 4, hex(self.hart.pc)
        return Trap(self["scause"], self["sepc"], self["stval"])

    def word(self, address: int | str, size: int = 8) -> int:
        """A little-endian number in RAM, by address or label."""
        where = self.address(address) if isinstance(address, str) else address
        return int.from_bytes(self.memory.read(where, size), "little")

    def store(self, address: int | str, value: int, size: int = 8) -> None:
        where = self.address(address) if isinstance(address, str) else address
        self.memory.write(where, value.to_bytes(size, "little"))

    def open_pmp(self) -> None:
        """Let S- and U-mode reach everything: entry 15 is NAPOT over the whole address space."""
        self["pmpaddr15"] = (1 << 54) - 1
        self["pmpcfg2"] = 0x1F << 56
