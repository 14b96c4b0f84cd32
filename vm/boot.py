"""What a start is, as data, and how it comes into a machine.

There are three. A bare-metal program: all harts begin in it, in M-mode. A kernel on the machine's own firmware: the
first hart begins in it, in S-mode, and the others wait to be started. A kernel on OpenSBI: all harts begin in the boot
ROM, which hands over to the firmware, and that to the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vm.boards import Virt
from vm.boards.virt import RESET_VECTOR
from vm.errors import LoadError
from vm.firmware import prepare_for_supervisor
from vm.hart import Hart
from vm.loaders import LinuxBoot, Program, Range, load_linux, place_device_tree, place_program, read_program
from vm.memory import Memory
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.isa import Isa

OPENSBI_SIZE = 0x20_0000                # what OpenSBI takes at the start of RAM
FW_JUMP_TREE = Range(0x220_0000, 0x1_0000)      # where its fw_jump copies the device tree to, from the start of RAM

# Every kernel is compiled for rv64ima, and fences instructions when it patches itself (its arch/riscv/Makefile).
LINUX_NEEDS = ("M", "A", "Zifencei")

# `li` of any register with 0x4942534f, the magic number of fw_dynamic_info: lui, then addi or addiw.
LOAD_MAGIC = re.compile(rb"[\x37\xb7][\x50-\x5f]\x42\x49" rb"[\x13\x93\x1b\x9b][\x00-\x0f\x80-\x8f][\xf0-\xff]\x34")


@dataclass(frozen=True)
class Start:
    """What a machine starts with: a program, a kernel on the machine's own firmware, or a kernel on a program.

    Files are named, not held: a reset reads them again.
    """

    program: str | None = None          # in M-mode: bare-metal, or the kernel's firmware
    address: int | None = None          # of the program, where it is raw bytes
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""


@dataclass(frozen=True)
class Loaded:
    """A start whose files are in memory."""

    program: Program | None
    linux: LinuxBoot | None
    tree: int                           # where the device tree goes
    cmdline: str

    @property
    def initrd(self) -> Range | None:
        return self.linux.initrd if self.linux else None


def load_files(start: Start, memory: Memory, ram: Range, isa: Isa) -> Loaded:
    """Put the files into memory. Raises LoadError."""
    if start.kernel is None:
        assert start.program is not None
        program = place_program(start.program, read_program(start.program, ram), memory, ram, start.address)
        return Loaded(program, None, place_device_tree(ram, program.segments), start.cmdline)
    check_isa(start.kernel, isa)
    image = None if start.program is None else read_program(start.program, ram)
    reserved = () if image is None else held_by_firmware(image, ram)
    linux = load_linux(start.kernel, memory, ram, initrd=start.initrd, reserved=reserved)
    firmware = None
    if image is not None:
        assert start.program is not None
        firmware = place_program(start.program, image, memory, ram, start.address)
    return Loaded(firmware, linux, linux.dtb_address, start.cmdline)


def check_isa(kernel: str, isa: Isa) -> None:
    """Raise LoadError where no Linux can run: it would hang before it has a console to say so."""
    missing = [name.lower() for name in LINUX_NEEDS if name not in isa.extensions]
    if missing:
        raise LoadError(f"{kernel}: Linux needs {', '.join(missing)}, which the machine has not: name what is missing "
                        "in isa=, or --isa, as in rv64imac_zifencei")


def held_by_firmware(image: bytes, ram: Range) -> tuple[Range, ...]:
    """The memory that OpenSBI needs for itself.

    fw_dynamic takes all addresses from the stage before it, and so compares the magic number of what it is handed: that
    code is in the image, stripped or not, whatever the file is called. A firmware without it goes by addresses that
    were fixed when it was built, as fw_jump does, which copies the device tree to one.
    """
    firmware = Range(ram.base, OPENSBI_SIZE)
    if LOAD_MAGIC.search(image):
        return (firmware,)
    return (firmware, Range(ram.base + FW_JUMP_TREE.base, FW_JUMP_TREE.size))


def hand_over(loaded: Loaded, board: Virt, memory: Memory, harts: Sequence[Hart],
              natives: Sequence[NativeHart]) -> None:
    """Bring harts that are in their reset state to the first instruction."""
    memory.write(loaded.tree, board.device_tree(loaded.cmdline, loaded.initrd))
    if loaded.program is None:
        assert loaded.linux is not None
        for hart, native in zip(harts, natives, strict=True):
            native.sbi = True
            prepare_for_supervisor(hart)
            native.stop()
        natives[0].start(loaded.linux.entry, loaded.tree)
    elif loaded.linux is not None:
        board.set_reset_vector(loaded.program.entry, loaded.tree, loaded.linux.entry)
        for hart in harts:
            hart.pc = RESET_VECTOR
    else:
        board.set_reset_vector(loaded.program.entry, loaded.tree)
        for hart in harts:
            hart.pc = loaded.program.entry
            hart.x[10] = hart.id
            hart.x[11] = loaded.tree


def host_interface(loaded: Loaded) -> tuple[int, int | None] | None:
    """The addresses of `tohost` and `fromhost` in a bare-metal program that talks as under Spike.

    OpenSBI has the symbols too, for machines without a console; this one has a UART.
    """
    if loaded.program is None or loaded.linux is not None or "tohost" not in loaded.program.symbols:
        return None
    symbols = loaded.program.symbols
    return symbols["tohost"].address, symbols["fromhost"].address if "fromhost" in symbols else None
