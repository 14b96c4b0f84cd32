"""Guest memory that remembers, and programs built for the tests."""

import subprocess

import pytest

from tests.tools import require
from vm.errors import BusError
from vm.loaders import FILE_OVERHEAD, Range, plan_program, read_file
from vm.loaders.linux import plan_linux

RAM = Range(0x8000_0000, 16 << 20)

SOURCE = """
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    la   t0, counter
    ld   a0, 0(t0)
    j    .
    .size _start, . - _start
local_helper:
    ret
    .data
    .globl counter
    .type counter, @object
    .size counter, 8
counter: .dword 0x1122334455667788
    .bss
    .globl buffer
    .type buffer, @object
    .size buffer, 0x3000
    .balign 16
buffer: .space 0x3000
    .globl tohost
tohost: .dword 0
    .globl answer
    .set answer, 42
"""
SCRIPT = """
ENTRY(_start)
PHDRS { text PT_LOAD; data PT_LOAD; }
SECTIONS {
  . = TEXT;
  .text : { *(.text.start) *(.text) } :text
  . = DATA;
  .data : AT(DATA_LMA) { *(.data) } :data
  .bss : { *(.bss) } :data
  /DISCARD/ : { *(.riscv.attributes) }
}
"""


class Memory:
    """RAM filled with a pattern, so that a byte that nobody wrote shows."""

    def __init__(self, ram):
        self.ram = ram
        self.data = bytearray(b"\xa5" * ram.size)

    def write(self, address, data):
        if not self.ram.contains(Range(address, len(data))):
            raise BusError(address, "write")
        self.data[address - self.ram.base:address - self.ram.base + len(data)] = data

    def clear(self, address, size):
        self.write(address, bytes(size))

    def read(self, address, size):
        return bytes(self.data[address - self.ram.base:address - self.ram.base + size])

    @property
    def untouched(self):
        return self.data == b"\xa5" * self.ram.size


def load(source, memory, ram, address=None):
    """Read, plan and write a program."""
    program, segments = plan_program(read_file(source, ram.size + FILE_OVERHEAD), ram, address)
    for segment in segments:
        segment.write(memory)
    return program


def load_linux(source, memory, ram, initrd=None, reserved=(), dtb_size=0x10000, address=None):
    """Read, plan and write a kernel."""
    kernel = read_file(source, ram.size + FILE_OVERHEAD)
    disk = None if initrd is None else read_file(initrd, ram.size)
    linux, segments = plan_linux(kernel, ram, disk, reserved, dtb_size, address)
    for segment in segments:
        segment.write(memory)
    return linux


@pytest.fixture
def ram():
    return RAM


@pytest.fixture
def memory():
    return Memory(RAM)


@pytest.fixture
def machine():
    """machine(mib) -> its RAM and memory; of a large RAM only the first `backed` MiB are there to write to."""
    def machine(mib, backed=64):
        ram = Range(RAM.base, mib << 20)
        return ram, Memory(Range(RAM.base, min(mib, backed) << 20))
    return machine


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """build(text=, data=, lma=, flags=) -> path of an executable, linked at these addresses."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "program.s").write_text(SOURCE)
    made = {}

    def run(*command):
        require(command[0])
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    def build(text=0x8000_0000, data=0x8000_1000, lma=None, bits=64, link=(), name="program.elf"):
        key = (text, data, lma, bits, tuple(link))
        if key not in made:
            path = folder / f"{len(made)}-{name}"
            arch, emulation = {64: ("-march=rv64gc", "elf64lriscv"), 32: ("-march=rv32gc", "elf32lriscv")}[bits]
            abi = "-mabi=lp64d" if bits == 64 else "-mabi=ilp32d"
            source = folder / "program.s"
            if bits == 32:
                source = folder / "program32.s"
                source.write_text(SOURCE.replace("ld   a0", "lw   a0"))
            script = folder / "script.ld"
            script.write_text(SCRIPT.replace("DATA_LMA", hex(data if lma is None else lma))
                              .replace("TEXT", hex(text)).replace("DATA;", f"{data:#x};"))
            run("riscv64-unknown-elf-as", arch, abi, source, "-o", path.with_suffix(".o"))
            run("riscv64-unknown-elf-ld", "-m", emulation, "-T", script, *link, path.with_suffix(".o"), "-o", path)
            made[key] = path
        return made[key]

    return build
