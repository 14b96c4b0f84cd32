"""Small guests for the command line, and the command line itself."""

import os
import subprocess
import sys

import pytest

from vm.guests.compiler import compile_guest

SCRIPT = "ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *(.text) } }"

# s0: UART, s1: test device. `put` prints a0.
PROLOGUE = """
    .option norvc
    .globl _start, put
    .type _start, @function
_start:
    li   s0, 0x10000000
    li   s1, 0x100000
"""
EPILOGUE = """
    .type put, @function
put:
    lbu  t0, 5(s0)
    andi t0, t0, 0x20
    beqz t0, put
    sb   a0, 0(s0)
    ret
power_off:
    li   t0, 0x5555
    sw   t0, 0(s1)
    j    .
"""
GUESTS = {
    # Prints "> ", then what it gets; at a `q` it powers off.
    "echo": """
    li   a0, '>'
    call put
    li   a0, ' '
    call put
1:  lbu  t0, 5(s0)
    andi t0, t0, 1
    beqz t0, 1b
    lbu  a0, 0(s0)
    call put
    li   t0, 'q'
    bne  a0, t0, 1b
    j    power_off
""",
    # The same, and waits for the UART's interrupt.
    "waiting-echo": """
    li   t0, 0xc000028          # priority of source 10
    li   t1, 1
    sw   t1, 0(t0)
    li   t0, 0xc002000          # enabled for M-mode of hart 0
    li   t1, 1 << 10
    sw   t1, 0(t0)
    li   t0, 1 << 11
    csrw mie, t0
    li   t0, 1
    sb   t0, 1(s0)
    li   s2, 0xc200004
1:  wfi
    lw   s3, 0(s2)
2:  lbu  t0, 5(s0)
    andi t0, t0, 1
    beqz t0, 3f
    lbu  a0, 0(s0)
    call put
    li   t0, 'q'
    beq  a0, t0, power_off
    j    2b
3:  sw   s3, 0(s2)
    j    1b
""",
    "power-off": "j power_off",
    "exit-3": "li t0, 3 << 16 | 0x3333; sw t0, 0(s1); j .",
    "exit-256": "li t0, 256 << 16 | 0x3333; sw t0, 0(s1); j .",
    "loop": "j .",
    "loop-of-two": "1: addi a0, a0, 1; addi a1, a1, 1; j 1b",
    # Prints one letter and resets; the second time, told by a word of RAM behind the program, another, and powers off.
    "reset-once": """
    li   s2, 0x80100000
    lw   t0, 0(s2)
    addi t1, t0, 1
    sw   t1, 0(s2)
    addi a0, t0, 'a'
    call put
    lw   t0, 0(s2)
    li   t1, 2
    beq  t0, t1, power_off
    li   t0, 0x7777
    sw   t0, 0(s1)
    j    .
""",
    "idle": "csrw mie, zero; 1: wfi; j 1b",
    "jump-to-nowhere": "li t0, 0x40; jr t0",
    # Prints 16 letters; exit code 3 if that has changed its code, 4 if anything was typed meanwhile.
    "whole": """
    li   s2, 16
1:  li   a0, 'A'
    call put
    addi s2, s2, -1
    bnez s2, 1b
    lbu  t1, 5(s0)
    andi t1, t1, 1
    li   t0, 4 << 16 | 0x3333
    bnez t1, 2f
    li   t0, 3 << 16 | 0x3333
    la   t1, _start
    lw   t1, 0(t1)
    li   t2, 0x10000437             # lui s0, 0x10000
    bne  t1, t2, 2f
    j    power_off
2:  sw   t0, 0(s1)
    j    .
""",
    # The same by way of the word that HTIF watches.
    "print-by-tohost": """
    la   s2, tohost
    li   s3, 0x0101000000000000 + 'x'
1:  sd   s3, 0(s2)
2:  ld   t0, 0(s2)
    bnez t0, 2b
    j    1b
    .balign 64
    .globl tohost
tohost:
    .dword 0
""",
    "print-much": "li s2, 300000; 1: li a0, 'x'; call put; addi s2, s2, -1; bnez s2, 1b; j power_off",
    "print-for-ever": "1: li a0, 'x'; call put; j 1b",
}


@pytest.fixture(scope="session")
def guest(tmp_path_factory):
    """guest(name) -> path of one of GUESTS as an ELF file"""
    folder = tmp_path_factory.mktemp("guests")
    (folder / "link.ld").write_text(SCRIPT)

    def build(name):
        path = folder / f"{name}.elf"
        if not path.exists():
            (folder / f"{name}.S").write_text(PROLOGUE + GUESTS[name] + EPILOGUE)
            compile_guest(folder, (f"{name}.S",), "link.ld", path)
        return str(path)

    return build


COMMAND = [sys.executable, "-c", "from vm.cli import main; main()"]


@pytest.fixture
def vm():
    """vm(*arguments, input=b"") -> the finished process"""
    def run(*arguments, input=b"", environment=()):
        return subprocess.run([*COMMAND, *map(str, arguments)], input=input, capture_output=True, timeout=120,
                              env=os.environ | dict(environment))
    return run


def assert_fails_with_one_line(process, code=1):
    """The process ended with this code and one line of our own on standard error; returns the line."""
    line = process.stderr.decode()
    assert process.returncode == code, line
    assert line.startswith("vm: ") and line.count("\n") == 1 and line.endswith("\n")
    return line
