"""A Linux that runs in a machine, seen from outside: what it is, what it does, and what it has said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vm.arguments import integer, refuse_other
from vm.errors import GuestError, LinuxError, MachineUnusable
from vm.hart import Hart
from vm.linux.kernel import Kernel, Known, Structure, find_kernel
from vm.linux.mappings import Mapping, mappings
from vm.linux.modules import Module, find_in_module, modules
from vm.linux.names import Listed, read_system_map
from vm.linux.paging import KERNEL_HALF
from vm.linux.printk import LogRecord, read_log
from vm.linux.programs import Programs
from vm.linux.resident import lookup_resident
from vm.linux.tasks import Task, current_task, processes, task_at, threads
from vm.loaders.symbols import Symbols, with_offset
from vm.memory import Memory


class LinuxGuest:
    """The Linux in a machine, by its own tables in guest memory; also of one that hangs. Nothing of the guest changes.

    The kernel must have its symbols in it (CONFIG_KALLSYMS and CONFIG_KALLSYMS_ALL), else `read_symbols` gives them;
    and a description of its types (CONFIG_DEBUG_INFO_BTF) for all but `symbols`, `version`, `read` and `lookup` outside
    modules. Debian's have both. The kernel is found at first use, and again when another one runs.

    Every method raises LinuxError where what it needs is not there, as before the kernel has paging on; PageFault or
    BusError where the kernel's tables are damaged. What a method returns is as it was then.
    """

    def __init__(self, memory: Memory, harts: Sequence[Hart]):
        self._memory = memory
        self._harts = harts
        self._system_map: list[Listed] = []
        self._programs: Programs | None = None
        self._known: Known | None = None

    # --- The kernel --------------------------------------------------------------------------------------------------

    def read_symbols(self, path: str | os.PathLike[str]) -> None:
        """Take the kernel's symbols from its System.map, not from guest memory. Raises LoadError."""
        self._system_map = read_system_map(path)
        self._known = None

    def read_programs(self, folder: str | os.PathLike[str]) -> None:
        """Take the symbols of programs and libraries from a folder that has the guest's files under their paths.

        Debug packages and unstripped builds have more of them than what the guest runs. Raises LoadError.
        """
        self._programs = Programs(Path(folder))

    @property
    def found(self) -> bool:
        """Whether a kernel has been found already, so that to ask for a name takes no search."""
        return self._known is not None

    @property
    def version(self) -> str:
        """What the kernel says of itself, as /proc/version has it."""
        return self._kernel().known.banner.decode(errors="replace").rstrip("\n")

    @property
    def symbols(self) -> Symbols:
        """The kernel's symbols by name, without those of modules. Addresses are virtual, where it runs."""
        return self._kernel().known.symbols

    def lookup(self, address: int, task: Task | None = None) -> str | None:
        """The name of a virtual address, as "schedule+0x1c" or, in a module, "virtio_blk:virtblk_probe".

        With a task also that of one of its program and libraries: "busybox:main+0x10" by the files that `read_programs`
        named, or what is in memory of the symbols for dynamic linking; else "busybox+0x1f00", where 0x1f00 is the
        offset in the file. None for what has no name.
        """
        kernel, address = self._kernel(), integer("address", address)
        if address & KERNEL_HALF:
            found = find_in_kernel(kernel, address)
            return None if found is None else with_offset(*found)
        if task is None or task.page_table is None:
            return None
        areas = mappings(kernel, self._memory_of(kernel, task))
        mapping = next((one for one in areas if one.start <= address < one.end), None)
        if mapping is None or mapping.path is None:
            return None
        name = mapping.path.rpartition("/")[2]
        symbol = self._programs and self._programs.lookup(mapping, address)
        # A file may be mapped more than once: its start is the nearest one below.
        starts = [one.start for one in areas if one.path == mapping.path and not one.offset and one.start <= address]
        if symbol is None and starts:
            symbol = lookup_resident(kernel.tables.twin(task.page_table), starts[-1], address)
        return f"{name}:{symbol}" if symbol else f"{name}+{address - mapping.start + mapping.offset:#x}"

    def name_of(self, address: int) -> str | None:
        """The function of the kernel or a module that a virtual address is in, as `Machine.profile(symbols=)` asks.

        None also where there is no Linux yet, or what it says of itself is damaged.
        """
        found = self.find(address)
        return None if found is None else found[0]

    def find(self, address: int) -> tuple[str, int] | None:
        """The same, and how many bytes behind its start. Of a closed machine, what was found of the kernel before."""
        if not address & KERNEL_HALF:
            return None
        try:
            return find_in_kernel(self._kernel(), address)
        except GuestError:
            return None
        except MachineUnusable:
            return None if self._known is None else self._known.symbols.find(address)

    def read(self, address: int, size: int, task: Task | None = None) -> bytes:
        """Memory as a task has it mapped, or the kernel, whatever a hart does now. Raises PageFault and BusError."""
        kernel, address = self._kernel(), integer("address", address)
        if integer("size", size) < 0:
            raise ValueError(f"size={size}: must not be negative")
        if task is None or task.page_table is None:
            return kernel.tables.read(address, size)
        self._memory_of(kernel, task)
        return kernel.tables.twin(task.page_table).read(address, size)

    def _kernel(self) -> Kernel:
        """The kernel that is there now."""
        kernel = None if self._known is None else Kernel(self._memory, self._known)
        if kernel is None or not kernel.is_there:
            self._known = None
            self._known = find_kernel(self._memory, self._harts, self._system_map)
            kernel = Kernel(self._memory, self._known)
        return kernel

    def _memory_of(self, kernel: Kernel, task: Task) -> Structure:
        """The mm_struct of a task that is there still."""
        refuse_other("a task is one of those that processes() and threads() gave", task, Task)
        if task.page_table is None:
            raise LinuxError(f"{task!r} is a thread of the kernel's: it has no memory of its own")
        if not any(one.at == task.address and one.number("pid") == task.pid for one in threads(kernel)):
            raise LinuxError(f"{task!r} has ended")
        memory = kernel.structure("task_struct", task.address).pointed("mm", "mm_struct")
        if memory is None or kernel.tables.physical(memory.number("pgd")) != task.page_table:
            raise LinuxError(f"{task!r} has ended, or runs another program by now: ask for it again")
        return memory

    # --- What it does ------------------------------------------------------------------------------------------------

    def processes(self) -> list[Task]:
        """All processes, the kernel's own threads among them, in the order of their creation."""
        kernel = self._kernel()
        return [task_at(kernel, process.at) for process in processes(kernel)]

    def threads(self) -> list[Task]:
        """All threads of all processes."""
        kernel = self._kernel()
        return [task_at(kernel, thread.at) for thread in threads(kernel)]

    def current(self, hart: Hart) -> Task | None:
        """What a hart runs: a thread, or the idle task, whose pid is 0. None while it is in firmware."""
        address = current_task(hart)
        return None if address is None else task_at(self._kernel(), address)

    def mappings(self, task: Task) -> list[Mapping]:
        """What a task has mapped, by address, as /proc/PID/maps lists it."""
        kernel = self._kernel()
        return mappings(kernel, self._memory_of(kernel, task))

    def modules(self) -> list[Module]:
        """The modules that are loaded, the last one first, as in /proc/modules."""
        return modules(self._kernel())

    def dmesg(self) -> list[LogRecord]:
        """The kernel's log: `print(*machine.linux.dmesg(), sep="\\n")` shows it as dmesg(1) does."""
        return read_log(self._kernel())


def find_in_kernel(kernel: Kernel, address: int) -> tuple[str, int] | None:
    """As `Symbols.find`, in modules too."""
    return kernel.known.symbols.find(address) or find_in_module(kernel, address)
