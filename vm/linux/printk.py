"""The kernel's log, as dmesg(1) prints it, from its ring buffer.

kernel/printk/printk_ringbuffer.c describes it: a ring of descriptors, each with a state and a place in a ring of text;
beside each descriptor stands what is known of the record. Positions only grow; their low bits are the place.
"""

from __future__ import annotations

from typing import NamedTuple

from vm.errors import LinuxError
from vm.linux.kernel import Kernel, Structure

STATE_SHIFT, ID_MASK = 62, (1 << 62) - 1
COMMITTED, FINALIZED = 1, 2         # states of a record that can be read
NO_DATA = 1                         # is set in a position of a record without text
MOST_BITS = 40
ID_SIZE = 8                         # of the descriptor's number in front of the text


class LogRecord(NamedTuple):
    """A record of the kernel's log. Its text may have several lines; `str()` of it is what dmesg prints."""

    nanoseconds: int        # of the kernel's clock
    level: int              # 0 emergency to 7 debug
    text: str

    @property
    def seconds(self) -> float:
        """Of the kernel's clock, which counts from its start."""
        return self.nanoseconds / 10**9

    def __str__(self) -> str:
        seconds, rest = divmod(self.nanoseconds, 10**9)
        stamp = f"[{seconds:5}.{rest // 1000:06}] "
        return "\n".join(stamp + line for line in self.text.split("\n"))


def read_log(kernel: Kernel) -> list[LogRecord]:
    """What is in the ring, the oldest first."""
    ring = kernel.structure("printk_ringbuffer", kernel.tables.integer(kernel.address("prb")))
    bits = ring.number("desc_ring.count_bits")
    if bits > MOST_BITS or ring.number("text_data_ring.size_bits") > MOST_BITS:
        raise LinuxError("the kernel's log is damaged: its ring is larger than any memory")
    count = 1 << bits
    at, last = (ring.number(f"desc_ring.{end}_id.counter") & ID_MASK for end in ("tail", "head"))
    if (last - at & ID_MASK) >= count:
        raise LinuxError("the kernel's log is damaged: its ring has more records than places")
    if state_of(descriptor_of(ring, at, count)) & ID_MASK != at:
        raise LinuxError("the kernel's log is damaged: its oldest record is not where its ring says")
    found = []
    for number in range((last - at & ID_MASK) + 1):
        record = read_record(ring, at + number & ID_MASK, count)
        if record is not None:
            found.append(record)
    return found


def descriptor_of(ring: Structure, identity: int, count: int) -> Structure:
    """Of the record of a number."""
    size = ring.kernel.types.size("prb_desc")
    return ring.kernel.structure("prb_desc", ring.number("desc_ring.descs") + identity % count * size)


def state_of(descriptor: Structure) -> int:
    return descriptor.number("state_var.counter") & (1 << 64) - 1


def read_record(ring: Structure, identity: int, count: int) -> LogRecord | None:
    """The record of a number; None where it is not written yet, was given up, or has lost its text."""
    kernel, place = ring.kernel, identity % count
    descriptor = descriptor_of(ring, identity, count)
    state = state_of(descriptor)
    if state & ID_MASK != identity or state >> STATE_SHIFT not in (COMMITTED, FINALIZED):
        return None
    info = kernel.structure("printk_info", ring.number("desc_ring.infos") + place * kernel.types.size("printk_info"))
    begin, after = (descriptor.number(f"text_blk_lpos.{end}") for end in ("begin", "next"))
    text = b""
    if not (begin & NO_DATA and after & NO_DATA):
        size = 1 << ring.number("text_data_ring.size_bits")
        # A text that does not fit before the end of the ring is at its start.
        block = begin % size if begin // size == (after - 1) // size else 0
        data = ring.number("text_data_ring.data") + block
        if kernel.tables.integer(data) & ID_MASK != identity:
            return None
        text = kernel.tables.read(data + ID_SIZE, min(info.number("text_len"), size - block - ID_SIZE))
    return LogRecord(info.number("ts_nsec"), info.number("level"), text.decode(errors="replace").rstrip("\n"))
