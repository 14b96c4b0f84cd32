"""A guest with mistakes, and mutators."""

from functools import cache
from pathlib import Path

import vm
from tests.assembler import compile_elf

ENTRY = """
    .globl _start
_start:
    la sp, stack_top
    la t0, trap
    csrw mtvec, t0
    li s0, 0
    call main
1:  wfi
    j 1b
    .balign 4
trap:
    csrr a0, mcause
    la sp, stack_top
    call fail
    .bss
    .balign 16
    .space 8192
stack_top:
"""
SOURCE = """
typedef unsigned char u8;
static volatile unsigned *const power = (unsigned *)0x100000;
u8 packet[64];
unsigned long packet_size;
unsigned long sum;

void fail(int code) { *power = (unsigned)(64 + code) << 16 | 0x3333; for (;;) { } }
__attribute__((noinline)) void panic(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) static void store(unsigned long where) { *(volatile u8 *)where = 1; }

__attribute__((noinline)) static void tick(const u8 *data, unsigned long size) {
    for (unsigned long i = 0; i < size; i++)
        sum += data[i];
}

__attribute__((noinline)) int parse(const u8 *data, unsigned long size) {
    if (size < 4)
        return -1;
    if (data[0] == 'M' && data[1] == 'A' && data[2] == 'G') {       /* behind a magic number: stores to nowhere */
        if (size >= 6 && (data[4] | data[5] << 8) == 0xbeef)
            store(0x40);
        return 1;
    }
    if (data[0] == 'H') {                                           /* does not end */
        while (data[1] == 'A')
            tick(data, size);
        return 2;
    }
    if (data[0] == 'P' && size == 9)                                /* says that something is wrong */
        panic();
    for (unsigned long i = 0; i < size; i++)
        sum += data[i];
    return 0;
}

int main(void) {
    for (;;) {
        __asm__ volatile("wfi");
        parse(packet, packet_size);
    }
}
"""
SCRIPT = ("ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *(.text) *(.text.*) *(.rodata*) } "
          ".data : { *(.data*) *(.bss*) } }")
FLAGS = ("-target", "riscv64-freestanding", "-mcpu=generic_rv64+m+a+c", "-mabi=lp64", "-mcmodel=medany", "-nostdlib",
         "-static", "-g0", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize=all", "-ffreestanding",
         "-fno-stack-protector", "-Wl,--build-id=none")


@cache
def firmware() -> Path:
    return compile_elf((("entry.S", ENTRY), ("main.c", SOURCE)), FLAGS, SCRIPT)


@cache
def at_main() -> vm.Snapshot:
    """It waits for ever."""
    with vm.Machine(memory="1M") as machine:
        machine.load(firmware())
        assert machine.run().reason is vm.StopReason.IDLE
        return machine.snapshot()


@cache
def at_parse() -> vm.Snapshot:
    """It is about to take a packet apart, of no bytes."""
    with vm.Machine(memory="1M") as machine:
        machine.load(firmware())
        machine.run()
        machine.breakpoint("parse")
        machine.harts[0].pc = machine.program.symbols["main"].address
        machine.harts[0].csr["mie"] = 0
        for _ in range(2):
            stop = machine.run(instructions=1000)
            if stop.hits:
                return machine.snapshot()
            machine.harts[0].pc = machine.harts[0].pc       # which ends a wfi
        raise AssertionError(stop)


def always_magic(data: bytes, longest: int, seed: int) -> bytes:
    """A mutator of the user's, as libFuzzer's are."""
    return b"MAGx" + seed.to_bytes(8, "little")[:2] + data[:2]


def write_packet(machine: vm.Machine, data: bytes) -> None:
    """A place of the user's: the packet and its size, by name."""
    symbols = machine.program.symbols
    machine.memory.write(symbols["packet"].address, data[:64])
    machine.harts[0]["a0"], machine.harts[0]["a1"] = symbols["packet"].address, min(len(data), 64)
