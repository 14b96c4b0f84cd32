"""What a start is, as data, and how it comes into a machine.

There are three. A bare-metal program: all harts begin in it, in M-mode. A kernel on the machine's own firmware: the
first hart begins in it, in S-mode, and the others wait to be started. A kernel on OpenSBI: all harts begin in the boot
ROM, which hands over to the firmware, and that to the kernel.

A start is planned before anything of the machine is touched: files are read, decompressed and placed, the device tree
is built, and what does not fit is refused. Then it is written, which cannot fail; a reset writes it again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vm.boards import Board, Virt
from vm.boards.virt import RESET_VECTOR
from vm.errors import LoadError
from vm.firmware import prepare_for_supervisor
from vm.hart import Hart
from vm.loaders import FILE_OVERHEAD, Program, Range, Segment, place_device_tree, plan_program, read_file
from vm.loaders.elf import MAGIC
from vm.memory import Memory
from vm.sizes import PAGE_SIZE
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.isa import Isa

if TYPE_CHECKING:
    from vm.loaders.common import File, Source
    from vm.loaders.linux import LinuxBoot

logger = logging.getLogger("vm.loaders")

OPENSBI_SIZE = 0x20_0000                # what OpenSBI takes at the start of RAM, its heap and stacks included
FW_JUMP_TREE = 0x220_0000               # where its fw_jump copies the device tree to, from the start of RAM
TREE_GROWTH = 0x1_0000                  # what firmware may add to the device tree where it lies, as OpenSBI does
COMMAND_LINE_SIZE = 1024                # Linux, arch/riscv/include/uapi/asm/setup.h; with the NUL
WORD = 8                                # bytes, of tohost and fromhost

# `li` of any register with 0x4942534f, the magic number of fw_dynamic_info: lui, then addi or addiw.
LOAD_MAGIC = re.compile(rb"[\x37\xb7][\x50-\x5f]\x42\x49" rb"[\x13\x93\x1b\x9b][\x00-\x0f\x80-\x8f][\xf0-\xff]\x34")


@dataclass(frozen=True)
class Start:
    """All that a machine starts with. It holds the content of the files, so that a reset needs none of them.

    - program: in M-mode: bare-metal, or the kernel's firmware.
    - linux: the kernel.
    - segments: what is written to memory, the device tree included.
    - tree: the address of the device tree; 0 where there is none.
    - host_words: the addresses of `tohost` and `fromhost` in a program that talks as under Spike.
    """

    program: Program | None
    linux: LinuxBoot | None
    segments: tuple[Segment, ...]
    tree: int
    host_words: tuple[int, int | None] | None = None


# --- Planned ---------------------------------------------------------------------------------------------------------

def start_of_program(source: Source, address: int | None, board: Board, isa: Isa) -> Start:
    """Read and check a bare-metal program. Raises LoadError."""
    file = read_file(source, board.ram.size + FILE_OVERHEAD)
    program, segments = plan_program(file, board.ram, address)
    check_entry(program.path, program.entry, board.ram, isa)
    words = host_words(program, board.ram)
    tree = 0
    if blob := board.device_tree():             # a board may have none
        tree = place_device_tree(board.ram, program.segments, len(blob))
        segments.append(Segment(Range(tree, len(blob)), blob))
    return Start(program, None, tuple(segments), tree, words)


def start_of_kernel(kernel: Source, initrd: Source | None, cmdline: str | bytes, firmware: Source | None,
                    address: int | None, board: Virt, isa: Isa) -> Start:
    """Read and check a kernel and what belongs to it. Raises LoadError."""
    from vm.loaders.linux import plan_linux  # here: a program starts without it

    ram = board.ram
    arguments = command_line(cmdline)
    image = read_file(kernel, ram.size + FILE_OVERHEAD)
    disk = None if initrd is None else read_file(initrd, ram.size)
    # How long the tree is does not depend on where the initrd goes.
    of_machine = firmware is not None       # which hides from the kernel what is none of its business
    tree_size = len(board.device_tree(arguments, Range(0, 0) if disk else None, of_machine)) + TREE_GROWTH
    program: Program | None = None
    segments: list[Segment] = []
    reserved: list[Range] = []
    if firmware is not None:
        file = read_file(firmware, ram.size + FILE_OVERHEAD)
        program, segments = plan_program(file, ram, None if file.data.startswith(MAGIC) else ram.base)
        check_entry(program.path, program.entry, ram, isa)
        reserved = [*program.segments, *held_by_firmware(file, ram, tree_size)]
    linux, others = plan_linux(image, ram, disk, reserved, tree_size, address, isa.extensions)
    check_entry(linux.path, linux.entry, ram, isa)
    blob = board.device_tree(arguments, linux.initrd, of_machine)
    tree = Segment(Range(linux.dtb_address, len(blob)), blob)
    return Start(program, linux, (*segments, *others, tree), linux.dtb_address)


def command_line(text: str | bytes) -> bytes:
    """As the guest has it. Of a str, UTF-8; what os.fsdecode could not make out comes back as the bytes it was."""
    try:
        line = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(memoryview(text))
    except UnicodeEncodeError as error:
        raise LoadError(f"cmdline: {error}; give bytes") from error
    except TypeError as error:
        raise LoadError(f"cmdline={text!r}: a command line is str or bytes") from error
    if b"\0" in line:
        raise LoadError(f"cmdline: a NUL at byte {line.index(0)} would end it there")
    if len(line) >= COMMAND_LINE_SIZE:
        logger.warning("the command line has %d bytes; Linux takes the first %d", len(line), COMMAND_LINE_SIZE - 1)
    return line


def held_by_firmware(file: File, ram: Range, tree_size: int) -> tuple[Range, ...]:
    """The memory that OpenSBI needs for itself, beside what its file fills; `tree_size` is that of the device tree.

    fw_dynamic takes all addresses from the stage before it, and so compares the magic number of what it is handed: that
    code is in the image, stripped or not, whatever the file is called. A firmware without it goes by addresses that
    were fixed when it was built, as fw_jump does, which copies the device tree to one.
    """
    firmware = Range(ram.base, OPENSBI_SIZE)
    if LOAD_MAGIC.search(file.data):
        return (firmware,)
    return (firmware, Range(ram.base + FW_JUMP_TREE, tree_size))


def check_entry(name: str, entry: int, ram: Range, isa: Isa) -> None:
    """Raise LoadError where no hart can start."""
    size = 2 if "Zca" in isa.extensions else 4
    if not ram.contains(Range(entry, size)):
        raise LoadError(f"{name}: starts at {entry:#x}, outside RAM ({ram}); say at link time where, as with -e _start")
    if entry % size:
        raise LoadError(f"{name}: starts at {entry:#x}, which is not aligned to an instruction; that is {size} bytes, "
                        f"{'with' if size == 2 else 'without'} compressed instructions")


def host_words(program: Program, ram: Range) -> tuple[int, int | None] | None:
    """Where a bare-metal program has `tohost` and, perhaps, `fromhost`; None where it talks otherwise.

    OpenSBI has the symbols too, for machines without a console; this one has a UART.
    """
    found: list[int | None] = []
    for name in ("tohost", "fromhost"):
        symbol = program.symbols.get(name)
        if symbol is not None:
            place = Range(symbol.address, WORD)
            if not ram.contains(place) or place.base // PAGE_SIZE != (place.end - 1) // PAGE_SIZE:
                raise LoadError(f"{program.path}: the symbol {name} ({place}) is not inside one page of RAM ({ram}); "
                                "link it there, aligned to 8 bytes")
        found.append(None if symbol is None else symbol.address)
    tohost, fromhost = found
    return None if tohost is None else (tohost, fromhost)


# --- Carried out -----------------------------------------------------------------------------------------------------

def hand_over(start: Start, board: Board, memory: Memory, harts: Sequence[Hart],
              natives: Sequence[NativeHart]) -> None:
    """Fill memory, and bring harts that are in their reset state to the first instruction."""
    for segment in start.segments:
        segment.write(memory)
    if start.program is None:
        assert start.linux is not None
        for hart, native in zip(harts, natives, strict=True):
            native.sbi = True
            prepare_for_supervisor(hart)
            native.stop()
        natives[0].start(start.linux.entry, start.tree)
    elif start.linux is not None:
        board.set_reset_vector(start.program.entry, start.tree, start.linux.entry)
        for hart in harts:
            hart.pc = RESET_VECTOR
    else:
        board.set_reset_vector(start.program.entry, start.tree)
        for hart in harts:
            hart.pc = start.program.entry
            hart.x[10] = hart.id
            hart.x[11] = start.tree
