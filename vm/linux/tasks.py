"""Processes and threads: the kernel's task_struct (include/linux/sched.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vm.hart import Hart
from vm.linux.kernel import Kernel, Structure
from vm.linux.paging import KERNEL_HALF
from vm.privilege import Privilege

# As /proc/PID/stat and ps(1) have it (fs/proc/array.c), by the highest bit of the state, 0 for none.
LETTERS = "RSDTtXZPI"
REPORTED, UNINTERRUPTIBLE, NO_LOAD, LOCK_WAIT, FROZEN = 0x7F, 0x2, 0x400, 0x1000, 0x8000
IDLE, IDLE_INDEX = UNINTERRUPTIBLE | NO_LOAD, 8


@dataclass(frozen=True)
class Task:
    """A thread of the guest, or a process, which is the first of its threads; as it was when it was asked for."""

    address: int                # virtual, of its task_struct
    pid: int                    # the thread's number
    tgid: int                   # the process's number
    ppid: int                   # its parent's
    name: str                   # at most 15 characters, as in /proc/PID/comm
    state: str                  # a letter, as ps shows it: R, S, D, T, t, X, Z, P or I
    cpu: int                    # where it runs, or ran last, as Linux counts them
    page_table: int | None      # physical address of the root, which satp has while it runs; None for kernel threads

    def __repr__(self) -> str:
        return f"<task {self.pid}: {self.name!r}, {self.state}, of process {self.tgid}>"


def task_at(kernel: Kernel, address: int) -> Task:
    task = kernel.structure("task_struct", address)
    parent, memory = task.pointed("real_parent", "task_struct"), task.pointed("mm", "mm_struct")
    return Task(
        address=address,
        pid=task.number("pid"),
        tgid=task.number("tgid"),
        ppid=parent.number("tgid") if parent else 0,
        name=task.text("comm"),
        state=letter(task.number("__state"), task.number("exit_state")),
        cpu=task.number("thread_info.cpu"),
        page_table=kernel.tables.physical(memory.number("pgd")) if memory else None,
    )


def letter(state: int, exit_state: int) -> str:
    """__task_state_index() of include/linux/sched.h."""
    if state & (LOCK_WAIT | FROZEN):
        return LETTERS[UNINTERRUPTIBLE.bit_length()]
    if state & IDLE == IDLE:
        return LETTERS[IDLE_INDEX]
    return LETTERS[((state | exit_state) & REPORTED).bit_length()]


def processes(kernel: Kernel) -> Iterator[Structure]:
    """The first threads of all processes, in the order of their creation; not the idle tasks."""
    head = kernel.structure("task_struct", kernel.address("init_task")).address("tasks")
    return kernel.members(head, "task_struct", "tasks")


def threads(kernel: Kernel) -> Iterator[Structure]:
    """All threads, those of a process together, the first of them first."""
    for process in processes(kernel):
        signals = process.pointed("signal", "signal_struct")
        if signals is not None:
            yield from kernel.members(signals.address("thread_head"), "task_struct", "thread_node")


def current_task(hart: Hart) -> int | None:
    """The address of the task_struct that a hart runs; None in firmware, and before Linux has one there.

    arch/riscv/kernel/entry.S: in the kernel tp has it and sscratch is 0; in user mode sscratch has it. A trap swaps the
    two first, so the one that is a kernel's address is it at any instruction.
    """
    if hart.privilege == Privilege.MACHINE:
        return None
    return next((value for value in (hart.csr["sscratch"], hart["tp"]) if value & KERNEL_HALF), None)
