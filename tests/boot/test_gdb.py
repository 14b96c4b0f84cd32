"""Sessions of GDB with Debian's kernel, and with a program inside it: what it shows is checked.

The guest writes 5 and 6 to /proc/sys/kernel/panic, which is the kernel's variable `panic_timeout`, and runs a program,
for ever.
"""

import os
import threading
from contextlib import contextmanager

import pytest

import vm
from tests import tools
from tests.assembler import FLAGS, compile_elf
from tests.boot.kernel_symbols import read_kallsyms, write_elf
from vm.devices import BlockDevice
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, userspace_initrd
from vm.images.cpio import cpio_newc

pytestmark = [pytest.mark.network, tools.needs("gdb-multiarch")]

SECONDS = 120
PANIC = "/proc/sys/kernel/panic"
COMMANDS = f"""
cat /proc/kallsyms >/dev/vda
echo here we are
while true; do
    echo 5 >{PANIC}; echo 6 >{PANIC}; cat {PANIC}
    /program
done
"""
# Asks for its process number and ends with its counter, which is in memory, at an address of its own.
PROGRAM = """
.globl _start
_start:
    la   t0, counter
    ld   a0, 0(t0)
    addi a0, a0, 7
.globl counted
counted:
    sd   a0, 0(t0)
    li   a7, 172                # getpid
    ecall
.globl asked
asked:
    ld   a0, 0(t0)
    li   a7, 93                 # exit
    ecall
    .data
    .balign 8
.globl counter
counter: .dword 0
"""
AT_THE_USERS = "ENTRY(_start) SECTIONS { . = 0x10000; .text : { *(.text) } . = ALIGN(0x1000); .data : { *(.data) } }"


@pytest.fixture(scope="module")
def program():
    return compile_elf((("program.S", PROGRAM),), FLAGS, AT_THE_USERS)


@pytest.fixture(scope="module", params=[1, 2], ids="{} harts".format)
def linux(request, program, tmp_path_factory):
    """A snapshot of the guest that has just written the kernel's symbols, and the file with these."""
    folder = tmp_path_factory.mktemp("linux")
    disk = folder / "kallsyms"
    os.truncate(os.open(disk, os.O_CREAT | os.O_RDWR), 16 << 20)
    initrd = folder / "initrd"
    more = cpio_newc([("program", 0o100755, program.read_bytes(), (0, 0))])
    initrd.write_bytes(userspace_initrd(COMMANDS).read_bytes() + more)
    with vm.Machine(harts=request.param) as machine:
        machine.attach(BlockDevice(disk))
        machine.boot(debian_kernel(), initrd=initrd, cmdline=QUICK_CMDLINE)
        machine.console.expect("here we are")
        write_elf(folder / "vmlinux", read_kallsyms(disk.read_bytes().rstrip(b"\0").decode()))
        yield machine.snapshot(), folder / "vmlinux", BlockDevice(disk)


@contextmanager
def served(linux, tmp_path):
    """The machine, and where GDB finds it."""
    snapshot, _, disk = linux
    with snapshot.machine(devices={"block0": disk}) as machine, machine.gdb(str(tmp_path / "gdb")) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield machine, server.address
        thread.join(SECONDS)
        assert not thread.is_alive()
