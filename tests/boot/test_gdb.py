"""GDB looks at Debian's kernel on two harts: from its first instruction, and again when it runs programs."""

import subprocess
import threading
import time

import pytest

import vm
from tests import tools
from tests.boot.linux import load_linux

pytestmark = [pytest.mark.network, tools.needs("gdb-multiarch")]

SECONDS = 120


def attached(address: str, *commands: str) -> str:
    """What GDB says of these commands."""
    commands = ("set confirm off", "set arch riscv:rv64", f"target remote {address}", *commands)
    arguments = [argument for command in commands for argument in ("-ex", command)]
    return subprocess.run(["gdb-multiarch", "-nx", "-q", "-batch", *arguments], capture_output=True, text=True,
                          timeout=SECONDS, check=True).stdout


def test_kernel_and_a_program_inside_it(tmp_path):
    with vm.Machine(harts=2) as machine, machine.gdb(str(tmp_path / "gdb")) as server:
        load_linux(machine, "echo here we are; while true; do :; done")
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        told = attached(server.address, "info threads", "stepi", "print $priv", "print $satp", "detach")
        assert '"hart 0" (started, S) 0x0000000080200000' in told and '"hart 1" (stopped, M)' in told
        assert "$1 = 1" in told and "$2 = 0" in told and "detached" in told
        while b"here we are" not in machine.console.output and thread.is_alive():
            time.sleep(0.05)
        told = ""
        while "(started, U)" not in told:               # until it comes while the shell runs, not the kernel
            told = attached(server.address, "info threads", "detach")
        told = attached(server.address, "info threads", "print/x $satp >> 60", "x/2i $pc", "kill")
        assert "$1 = 0xa" in told or "$1 = 0xffff" in told      # Sv57; GDB takes the register for signed
        assert "=> 0x" in told
        thread.join(SECONDS)
        assert not thread.is_alive()
