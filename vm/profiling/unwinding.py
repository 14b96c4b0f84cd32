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
from struct import Struct

from vm.errors import BusError, PageFault
from vm.hart import Hart
from vm.memory import Memory
from vm.privilege import Privilege
from vm.profiling.cfi import CallFrames
from vm.sizes import PAGE_SIZE

RA, SP, FP = 1, 2, 8
KEPT = (SP, FP, 9, *range(18, 28))          # registers that a call leaves as they are: sp, s0 to s11
LARGEST_FRAME = 1 << 20
OFFSET, U64 = PAGE_SIZE - 1, (1 << 64) - 1
WORD, HALF = Struct("<Q"), Struct("<H")

Registers = dict[int, int]                  # of one frame, by number; what is not known is not there


class Words:
    """Guest memory as one hart sees it. Nothing but RAM is read."""

    def __init__(self, hart: Hart, memory: Memory):
        self._hart = hart
        self._memory = memory
        self._physical = hart.privilege == Privilege.MACHINE
        self._pages: dict[int, memoryview | None] = {}

    def word(self, address: int) -> int | None:
        """64 bits; None where they cross two words or there is no RAM to be read."""
        page = self._page(address)
        if page is None or address & 7:
            return None
        word: int = WORD.unpack_from(page, address & OFFSET)[0]
        return word

    def is_behind_a_call(self, address: int) -> bool:
        """Whether a jump that links to ra ends there: jal and jalr, or c.jalr (unprivileged specification)."""
        if address & 1:
            return False
        last = self._half(address - 2)
        if last is not None and last & 0xF07F == 0x9002 and last & 0x0F80:
            return True
        before = self._half(address - 4)
        return before is not None and before & 0x0FFF in (0x0EF, 0x0E7)     # rd is ra; opcodes JAL and JALR

    def _half(self, address: int) -> int | None:
        page = self._page(address)
        return None if page is None else HALF.unpack_from(page, address & OFFSET)[0]

    def _page(self, address: int) -> memoryview | None:
        base = address & U64 & -PAGE_SIZE
        try:
            return self._pages[base]
        except KeyError:
            pass
        try:
            page = self._memory.view(base if self._physical else self._hart.virtual.physical(base), PAGE_SIZE)
        except (BusError, PageFault):
            page = None
        self._pages[base] = page
        return page


class Unwinder:
    """Walks stacks. `function` names the one that an address is in, or None; `call_frames` are looked through in order.
    """

    def __init__(self, memory: Memory, function: Callable[[int], str | None], call_frames: Sequence[CallFrames],
                 depth: int):
        self._memory = memory
        self._function = function
        self._call_frames = call_frames
        self._depth = depth

    def stack(self, hart: Hart, pc: int | None = None) -> tuple[int, ...]:
        """The pc, and the return addresses from the innermost one on; at most as many as was said.

        `pc`: of an instruction that has just trapped, instead of that of the handler, in which the hart is.
        """
        words = Words(hart, self._memory)
        pc = hart.pc if pc is None else pc
        registers = {number: hart.x[number] for number in (KEPT if self._call_frames else (SP, FP))}
        registers[RA] = hart.x[RA]
        addresses = [pc]
        while len(addresses) < self._depth:
            caller = self._caller(addresses[-1], len(addresses) == 1, registers, words)
            if caller is None:
                break
            address, registers = caller
            if (address ^ pc) >> 63:        # a kernel's stack ends where it begins
                break
            addresses.append(address)
        return tuple(addresses)

    def _caller(self, pc: int, innermost: bool, registers: Registers, words: Words) -> tuple[int, Registers] | None:
        """The return address of a frame, and the registers that the caller had."""
        for frames in self._call_frames:
            row = frames.row(pc if innermost else pc - 1)
            if row is not None:
                caller = row.caller(registers, words.word)
                return caller if caller is not None and words.is_behind_a_call(caller[0]) else None
        if innermost:
            return self._caller_of_innermost(pc, registers, words)
        return by_frame_pointer(registers, words)

    def _caller_of_innermost(self, pc: int, registers: Registers, words: Words) -> tuple[int, Registers] | None:
        """The function may not have its frame yet, or none at all: then s0 is its caller's."""
        ra, frame = registers[RA], registers[FP]
        by_frame = by_frame_pointer(registers, words)
        if not words.is_behind_a_call(ra) or (by_frame is not None and by_frame[0] == ra):
            return by_frame
        saved = words.word(frame - 8)
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
    address, saved = words.word(frame - 8), words.word(frame - 16)
    if not address or saved is None or not words.is_behind_a_call(address):
        return None
    return address, {SP: frame, FP: saved}


def is_frame(stack: int, frame: int) -> bool:
    """Whether it can be a frame pointer where the stack pointer is that."""
    return frame % 8 == 0 and stack < frame <= stack + LARGEST_FRAME
