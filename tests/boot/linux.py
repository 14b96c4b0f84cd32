"""Debian's kernel in a machine, for tests: run a script in it to the end, or talk to a shell in it."""

import re
from contextlib import contextmanager
from typing import NamedTuple

import vm
from tests.guest_images import debian_kernel, opensbi, userspace_initrd

# Two thirds of a boot to userspace are self-tests and certificates: leave them out. tests/boot/test_command_line.py
# boots with all of it.
SKIPPED = (
    "bpf_tcp_ca_kfunc_init", "check_unaligned_access_all_cpus", "crypto_algapi_init", "genpd_debug_init",
    "init_kprobe_trace", "jent_mod_init", "load_system_certificate_list", "lockup_detector_check", "slab_sysfs_init",
)
CMDLINE = f"console=ttyS0 quiet initcall_blacklist={','.join(SKIPPED)}"
PROMPT = "guest> "
# The terminal of an interactive shell shows what is typed; without that, all it prints is what commands print.
SHELL = f"stty -echo; export PS1='{PROMPT}'; exec sh"
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
    machine.boot(kernel or debian_kernel(), initrd=userspace_initrd(commands), cmdline=CMDLINE,
                 firmware=firmware and opensbi()[firmware])


def run_to_end(machine: vm.Machine) -> Record:
    stop = machine.run(seconds=30)
    return Record(stop, machine.steps, machine.clock.now_ns(), machine.console.output)


class Shell:
    """A shell in a guest that was booted to `SHELL`."""

    def __init__(self, machine: vm.Machine):
        self.machine = machine
        machine.console.expect(PROMPT)

    def run(self, command: str) -> str:
        """What a command prints, the last newline left out."""
        self.machine.console.send(command + "\n")
        self.machine.console.expect(PROMPT)
        return self.machine.console.before.replace("\r\n", "\n").removesuffix("\n")


@contextmanager
def closing(machine: vm.Machine, *devices):
    """The machine with these devices attached, closed afterwards."""
    with machine:
        for device in devices:
            machine.attach(device)
        yield machine


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]
