"""Documents that a debugger reads beside the target description: the memory map and the list of threads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vm.gdb.registers import HEAD
from vm.gdb.stops import thread_of
from vm.hart import Hart
from vm.memory import Memory
from vm.privilege import Privilege

END = 1 << 64


def memory_map(memory: Memory) -> str:
    """The whole address space: ROM as such, and all the rest as RAM, so that the debugger refuses no address.

    GDB manual, E.14. What it holds for physical memory is as well devices, and virtual addresses where paging is on.
    """
    lines = []
    at = 0
    for base, size in sorted([*memory.roms, (END // 2, 0), (END, 0)]):     # no length of 2**64, which is too long
        if at < base:
            lines.append(f'<memory type="ram" start="{at:#x}" length="{base - at:#x}"/>')
        if size:
            lines.append(f'<memory type="rom" start="{base:#x}" length="{size:#x}"/>')
        at = base + size
    body = "\n".join(lines)
    return (f'{HEAD}<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
            f'"http://sourceware.org/gdb/gdb-memory-map.dtd">\n<memory-map>\n{body}\n</memory-map>\n')


def thread_list(harts: Sequence[Hart]) -> str:
    """GDB manual, E.17: a thread for each hart."""
    lines = (f'<thread id="{thread_of(hart):x}" core="{hart.id}" name="hart {hart.id}">'
             f"{escape(f'{hart.state}, {Privilege(hart.privilege).letter}')}</thread>\n" for hart in harts)
    return f"{HEAD}<threads>\n{''.join(lines)}</threads>\n"
