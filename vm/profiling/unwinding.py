"""Call stacks of a hart that stands still: by frame pointers, or by call frame information where there is some.

A frame pointer (s0) holds the stack pointer of before the function was entered; the return address lies 8 bytes below
it, and the caller's frame pointer 16 (RISC-V ELF psABI, "Frame Pointer Convention"). GCC lets a leaf that has a frame
save s0 alone, 8 bytes below, and ra is the register's. What is read are words of RAM through the hart's page tables as
they are, of which nothing changes; an address must lie behind a call to be taken for a return address.

By frame pointers, the pc in the first and last instructions of a function that another call of the same function has
called, one of these calls is missing: registers are then as in the middle of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vm.errors import BusError, PageFault
from vm.hart import Hart
from vm.memory import Memory
from vm.profiling.cfi import CallFrames
from vm.sizes import PAGE_SIZE

RA, SP, FP = 1, 2, 8
KEPT = (SP, FP, 9, *range(18, 28))          # registers that a call leaves as they are: sp, s0 to s11
LARGEST_FRAME = 1 << 20
MACHINE_MODE = 3
U64 = (1 << 64) - 1

Registers = dict[int, int]                  # of one frame, by number; what is not known is not there


class Words:
    """Guest memory as one hart sees it. Nothing but RAM is read."""

    def __init__(self, hart: Hart, memory: Memory):
        self._hart = hart
        self._memory = memory
        self._physical = hart.privilege == MACHINE_MODE
        self._pages: dict[int, memoryview | None] = {}

    def read(self, address: int, size: int) -> int | None:
        """`size` bytes at a multiple of it, little-endian; None where there is no RAM to be read."""
        if address % size:
            return None
        base = address & U64 & -PAGE_SIZE
        if base not in self._pages:
            self._pages[base] = self._page(base)
        page = self._pages[base]
        start = address % PAGE_SIZE
        return None if page is None else int.from_bytes(page[start:start + size], "little")

    def _page(self, base: int) -> memoryview | None:
        try:
            return self._memory.view(base if self._physical else self._hart.virtual.physical(base), PAGE_SIZE)
        except (BusError, PageFault):
            return None

    def is_behind_a_call(self, address: int) -> bool:
        """Whether a jump that links to ra ends there: jal and jalr, or c.jalr (unprivileged specification)."""
        if address % 2 or address < 4:
            return False
        last, before = self.read(address - 2, 2), self.read(address - 4, 2)
        if last is not None and last & 0xF07F == 0x9002 and last & 0x0F80:
            return True
        return before is not None and before & 0x0FFF in (0x0EF, 0x0E7)     # rd is ra; opcodes JAL and JALR


class Unwinder:
    """Walks stacks. `function` names the one that an address is in, or None; `call_frames` are looked through in order.
    """

    def __init__(self, memory: Memory, function: Callable[[int], str | None], call_frames: Sequence[CallFrames],
                 depth: int):
        self._memory = memory
        self._function = function
        self._call_frames = call_frames
        self._depth = depth

    def stack(self, hart: Hart) -> tuple[int, ...]:
        """The pc, and the return addresses from the innermost one on; at most as many as was said."""
        words = Words(hart, self._memory)
        pc = hart.pc
        registers = {number: hart.x[number] for number in (KEPT if self._call_frames else (SP, FP))}
        registers[RA] = hart.x[RA]
        addresses = [pc]
        while len(addresses) < self._depth:
            caller = self._caller(addresses[-1], len(addresses) == 1, registers, words)
            if caller is None:
                break
            address, registers = caller
            if (address ^ pc) >> 63 or not words.is_behind_a_call(address):    # a kernel's stack ends where it begins
                break
            addresses.append(address)
        return tuple(addresses)

    def _caller(self, pc: int, innermost: bool, registers: Registers, words: Words) -> tuple[int, Registers] | None:
        """The return address of a frame, and the registers that the caller had."""
        for frames in self._call_frames:
            row = frames.row(pc if innermost else pc - 1)
            if row is not None:
                return row.caller(registers, words.read)
        if innermost:
            return self._caller_of_innermost(pc, registers, words)
        return by_frame_pointer(registers, words)

    def _caller_of_innermost(self, pc: int, registers: Registers, words: Words) -> tuple[int, Registers] | None:
        """The function may not have its frame yet, or none at all: then s0 is its caller's."""
        ra, frame = registers[RA], registers[FP]
        by_frame = by_frame_pointer(registers, words)
        if not words.is_behind_a_call(ra) or (by_frame is not None and by_frame[0] == ra):
            return by_frame
        saved = words.read(frame - 8, 8)
        if by_frame is None and saved and is_frame(registers[SP], frame) and is_frame(frame, saved):     # a leaf's
            return ra, {SP: frame, FP: saved}
        inside, of_ra = self._function(pc), self._function(ra - 1)
        if inside == of_ra or (by_frame is not None and None in (inside, of_ra)):
            return by_frame                 # ra is of a call that the function has made, as far as can be told
        return ra, {number: value for number, value in registers.items() if number != RA}


def by_frame_pointer(registers: Registers, words: Words) -> tuple[int, Registers] | None:
    frame = registers.get(FP, 0)
    if not is_frame(registers[SP], frame):
        return None
    address, saved = words.read(frame - 8, 8), words.read(frame - 16, 8)
    if not address or saved is None or not words.is_behind_a_call(address):
        return None
    return address, {SP: frame, FP: saved}


def is_frame(stack: int, frame: int) -> bool:
    """Whether it can be a frame pointer where the stack pointer is that."""
    return frame % 8 == 0 and stack < frame <= stack + LARGEST_FRAME
