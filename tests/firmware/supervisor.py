"""A supervisor that calls the firmware of a real machine: what it answers, and what becomes of the harts."""

import vm
from vm.firmware import prepare_for_supervisor
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.instructions import encode

A0, A1, A6, A7 = 10, 11, 16, 17
ISA = "rv64gc_zicntr_zihpm_sscofpmf_sstc_svadu_svade_sv57"
SUCCESS = 0
RAM, ECALL = 0x8000_0000, encode("ecall").to_bytes(4, "little")


class Supervisor:
    """One on each hart of a machine; hart 0 calls if nobody else is said to."""

    def __init__(self, isa: str = ISA, harts: int = 1):
        self.machine = vm.Machine(memory="2M", isa=isa, harts=harts)
        self.natives = self.machine._natives
        for hart, native in zip(self.machine.harts, self.natives, strict=True):
            prepare_for_supervisor(hart)
            native.sbi = True
            native.privilege = 1
        self.hart = self.machine.harts[0]

    def call(self, extension: int, function: int, *arguments: int, hart: int = 0) -> tuple[int, int]:
        """Signed error and unsigned value."""
        self._prepare(self.natives[hart], extension, function, arguments)
        self.machine._runner.firmware.handle(self.natives[hart])
        return self._answer(self.natives[hart])

    def ecall(self, extension: int, function: int, *arguments: int) -> tuple[int, int]:
        """The same by an instruction of the guest's, so that the core may serve it."""
        self._prepare(self.natives[0], extension, function, arguments)
        self.hart.pc = RAM
        self.machine.memory.write(RAM, ECALL)
        self.machine.run(instructions=1)
        return self._answer(self.natives[0])

    def _prepare(self, native: NativeHart, extension: int, function: int, arguments: tuple[int, ...]) -> None:
        native.write_x(A7, extension)
        native.write_x(A6, function)
        for index in range(5):
            native.write_x(A0 + index, (*arguments, 0, 0, 0, 0, 0)[index] % (1 << 64))

    def _answer(self, native: NativeHart) -> tuple[int, int]:
        error = native.read_x(A0)
        return error - (1 << 64 if error >> 63 else 0), native.read_x(A1)

    def value(self, *call: int, hart: int = 0) -> int:
        """Of a call that succeeds."""
        error, value = self.call(*call, hart=hart)
        assert error == SUCCESS, error
        return value
