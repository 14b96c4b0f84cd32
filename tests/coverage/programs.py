"""A program in C with its lines."""

from pathlib import Path

from tests.assembler import compile_elf

START = """
.globl _start
_start:
    la   sp, stack + 4096
    call main
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, 0(t0)
1:  j    1b
.bss
.balign 16
stack: .zero 4096
"""
# Lines count from 1.
SOURCE = """\
int twice(int value) {
    return value + value;
}
int never(int value) {
    return value * 3;
}
int main(void) {
    volatile int sum = 0;
    for (int i = 0; i < 7; i++) {
        if (i == 5)
            sum += never(i) * 0;
        else
            sum += twice(i);
    }
    if (sum < 0)
        sum = never(sum);
    return sum;
}
"""
SCRIPT = ("ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *(.text .text.*) } .data : { *(.data .data.*) } "
          ".bss : { *(.bss .bss.*) } }")
FLAGS = (
    "-target", "riscv64-freestanding", "-mcpu=generic_rv64+m+a+f+d+c+zicsr", "-mcmodel=medany", "-mno-relax",
    "-nostdlib", "-static", "-ffreestanding", "-O0", "-fno-sanitize=all", "-fno-stack-protector",
    "-Wl,--build-id=none",
)  # fmt: skip


def program(version: int = 5) -> Path:
    """Its ELF file, with DWARF of a version."""
    return compile_elf((("start.S", START), ("main.c", SOURCE)), (*FLAGS, f"-gdwarf-{version}"), SCRIPT)
