"""A Linux that runs in a machine, seen from outside: what it is, what it does, and what it has said."""

from __future__ import annotations

import os
from collections.abc import Sequence

from vm.hart import Hart
from vm.linux.kernel import Kernel, Known, find_kernel
from vm.linux.modules import Module, modules, name_in_module
from vm.linux.names import Listed, read_system_map
from vm.linux.paging import KERNEL_HALF
from vm.linux.printk import LogRecord, read_log
from vm.linux.tasks import Task, current_task, processes, task_at, threads
from vm.loaders.symbols import Symbols
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
        self._known: Known | None = None

    # --- The kernel --------------------------------------------------------------------------------------------------

    def read_symbols(self, path: str | os.PathLike[str]) -> None:
        """Take the kernel's symbols from its System.map, not from guest memory. Raises LoadError."""
        self._system_map = read_system_map(path)
        self._known = None

    @property
    def version(self) -> str:
        """What the kernel says of itself, as /proc/version has it."""
        return self._kernel().known.banner.decode(errors="replace").rstrip("\n")

    @property
    def symbols(self) -> Symbols:
        """The kernel's symbols by name, without those of modules. Addresses are virtual, where it runs."""
        return self._kernel().known.symbols

    def lookup(self, address: int) -> str | None:
        """The name of a virtual address of the kernel, as "schedule+0x1c" or "virtio_blk:virtblk_probe", else None."""
        if not address & KERNEL_HALF:
            return None
        kernel = self._kernel()
        if name := kernel.known.symbols.lookup(address):
            return name
        return name_in_module(kernel, address)

    def read(self, address: int, size: int) -> bytes:
        """Memory as the kernel has it mapped, whatever a hart does now. Raises PageFault and BusError."""
        return self._kernel().tables.read(address, size)

    def _kernel(self) -> Kernel:
        """The kernel that is there now."""
        kernel = None if self._known is None else Kernel(self._memory, self._known)
        if kernel is None or not kernel.is_there:
            self._known = None
            self._known = find_kernel(self._memory, self._harts, self._system_map)
            kernel = Kernel(self._memory, self._known)
        return kernel

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

    def modules(self) -> list[Module]:
        """The modules that are loaded, the last one first, as in /proc/modules."""
        return modules(self._kernel())

    def dmesg(self) -> list[LogRecord]:
        """The kernel's log: `print(*machine.linux.dmesg(), sep="\\n")` shows it as dmesg(1) does."""
        return read_log(self._kernel())
