"""Debian's kernel in a machine, for tests: run a script in it to the end, and look at what it printed.

Most boots leave out the kernel's self-tests; test_command_line.py boots with all of it.
"""

import re
from contextlib import contextmanager
from typing import NamedTuple

import vm
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, opensbi, userspace_initrd

MIB = 1 << 20


class Record(NamedTuple):
    """What can be compared of a boot."""

    stop: vm.Stop
    steps: int
    now_ns: int
    output: bytes

    @property
    def lines(self) -> list[str]:
        return self.output.decode().replace("\r\n", "\n").splitlines()

    def section(self, title: str) -> list[str]:
        """The lines that a script printed between `section(title)` and the next section."""
        start = self.lines.index(f"== {title}")
        end = next(index for index, line in enumerate(self.lines) if index > start and line.startswith("== "))
        return self.lines[start + 1:end]


def script(**sections: str) -> str:
    """Commands for `userspace_initrd`, whose output `Record.section` finds by name."""
    parts = [f"echo '== {title}'\n{commands}" for title, commands in sections.items()]
    return "\n".join([*parts, "echo '== end'"])


def load_linux(machine: vm.Machine, commands: str, firmware: str | None = None, kernel=None) -> None:
    """Make the machine ready to boot to these commands; `firmware` is the name of a file of OpenSBI."""
    machine.boot(kernel or debian_kernel(), initrd=userspace_initrd(commands), cmdline=QUICK_CMDLINE,
                 firmware=firmware and opensbi()[firmware])


def run_to_end(machine: vm.Machine, seconds: float = 30) -> Record:
    stop = machine.run(seconds=seconds)
    return Record(stop, machine.steps, machine.clock.now_ns(), machine.console.output)


@contextmanager
def closing(machine: vm.Machine, *devices):
    """The machine with these devices attached, closed afterwards."""
    with machine:
        for device in devices:
            machine.attach(device)
        yield machine


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]
