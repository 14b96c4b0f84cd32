"""What a guest finds where it looks first, here and on QEMU's `virt`: the same program reads both.

The values are those of QEMU 7.2; where a QEMU is here, it is asked too.
"""

import subprocess

import pytest

import vm
from tests.assembler import assemble_elf
from tests.tools import needs

QEMU = "qemu-system-riscv64"
LOADS = {1: "lbu", 4: "lwu", 8: "ld"}
FAULT = "fault"                                     # load access fault
MEMORY = "128M"

ROM = [
    (0x1000, 4, 0x0000_0297),                       # auipc t0, 0
    (0x1018, 8, 0x8000_0000), (0x1020, 8, 0x87E0_0000),         # where it goes on; the device tree
    (0x1028, 8, 0x4942_534F), (0x1030, 8, 2),       # fw_dynamic_info: magic, version
    (0x2000, 4, 0), (0xFFFC, 4, 0),
]  # fmt: skip
CONTROL = [
    (0x10_0000, 4, 0), (0x10_1010, 4, 0), (0x10_1018, 4, 0),
    (0x200_0000, 4, 0), (0x200_0004, 4, 0), (0x200_4000, 8, 0), (0x200_4008, 8, 0),
    (0xC00_0000, 4, 0), (0xC00_0028, 4, 0), (0xC00_1000, 4, 0), (0xC00_2000, 4, 0), (0xC20_0000, 4, 0),
    (0xC20_0004, 4, 0), (0xC5F_FFFC, 4, 0),
]  # fmt: skip
UART = [(0x1000_0000 + offset, 1, value) for offset, value in (
    (0, 0), (1, 0), (2, 0x01), (3, 0), (5, 0x60), (6, 0xB0), (7, 0))]
VIRTIO = [(0x1000_0000 + 0x1000 * slot + offset, 4, value) for slot in (1, 8) for offset, value in (
    (0x00, 0x7472_6976), (0x04, 2), (0x08, 0), (0x0C, 0x554D_4551), (0x10, 0), (0x34, 0), (0x60, 0), (0x70, 0))]
NOTHING = [(address, 4, FAULT) for address in (
    0x0, 0x1_0000, 0x10_2000, 0x201_0000, 0x2F0_0000, 0x400_0000, 0xC60_0000, 0x1000_0100, 0x1000_0FFC, 0x1000_9000,
    0x2400_0000, 0x8800_0000)]
# What QEMU has there is not here: I/O ports, fw_cfg, flash, and PCI's configuration and two windows of memory.
LACKING = [(address, 4, FAULT) for address in (
    0x300_0000, 0x1010_0000, 0x2000_0000, 0x2200_0000, 0x3000_0000, 0x4000_0000, 0x7FFF_FFFC, 0x4_0000_0000)]

# t6 is not 0 after a fault. A line of 16 digits for each load, or "fault".
PROBE = """
    li   t0, {address:#x}
    li   t6, 0
    {load} s0, 0(t0)
    call show
"""
PROGRAM = """
    la   t0, handler
    csrw mtvec, t0
    la   s2, text
{probes}
    sb   zero, 0(s2)
    la   s2, text
    li   t0, 0x10000000
1:  lbu  t1, 0(s2)
    beqz t1, 2f
    sb   t1, 0(t0)
    addi s2, s2, 1
    j    1b
2:  li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, 0(t0)
    j    .
show:
    li   t1, 60
    beqz t6, 3f
    la   t2, faulted
1:  lbu  t3, 0(t2)
    beqz t3, 5f
    sb   t3, 0(s2)
    addi s2, s2, 1
    addi t2, t2, 1
    j    1b
3:  srl  t2, s0, t1
    andi t2, t2, 15
    addi t2, t2, 48
    li   t3, 58
    blt  t2, t3, 4f
    addi t2, t2, 39
4:  sb   t2, 0(s2)
    addi s2, s2, 1
    addi t1, t1, -4
    bgez t1, 3b
5:  li   t2, 10
    sb   t2, 0(s2)
    addi s2, s2, 1
    ret
    .balign 4
handler:
    csrr t6, mcause
    addi t6, t6, -5
    bnez t6, .
    li   t6, 1
    csrr t2, mepc
    lhu  t3, 0(t2)
    andi t3, t3, 3
    addi t3, t3, -3
    addi t2, t2, 2
    bnez t3, 1f
    addi t2, t2, 2
1:  csrw mepc, t2
    mret
faulted: .asciz "fault"
    .balign 8
text: .space 4096
"""


def program(probes):
    return assemble_elf(PROGRAM.format(probes="".join(
        PROBE.format(address=address, load=LOADS[size]) for address, size, _ in probes)))


def by_address(probes, text):
    read = [FAULT if line == "fault" else int(line, 16) for line in text.split()]
    return {hex(address): value for (address, _, _), value in zip(probes, read, strict=True)}


@pytest.mark.parametrize("probes", [ROM, CONTROL, UART, VIRTIO, NOTHING, LACKING],
                         ids=["rom", "control", "uart", "virtio", "nothing", "lacking"])
def test_guest_reads(probes):
    with vm.Machine(memory=MEMORY, harts=2) as machine:
        machine.load(program(probes))
        assert machine.run(instructions=1_000_000).reason is vm.StopReason.POWER_OFF
        assert by_address(probes, machine.console.text) == {hex(address): value for address, _, value in probes}


@needs(QEMU)
@pytest.mark.parametrize("probes", [ROM, CONTROL, UART, VIRTIO, NOTHING],
                         ids=["rom", "control", "uart", "virtio", "nothing"])
def test_guest_reads_the_same_on_qemu(probes):
    process = subprocess.run([
        QEMU, "-M", "virt", "-bios", "none", "-kernel", program(probes), "-m", MEMORY, "-display", "none", "-monitor",
        "none", "-serial", "stdio", "-global", "virtio-mmio.force-legacy=false",
    ], stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True, timeout=60)  # fmt: skip
    assert by_address(probes, process.stdout) == {hex(address): value for address, _, value in probes}


@pytest.mark.parametrize("memory, tree", [
    ("16M", 0x80E0_0000), ("128M", 0x87E0_0000), ("512M", 0x9FE0_0000), ("1G", 0xBFE0_0000), ("4G", 0xBFE0_0000),
])  # fmt: skip
def test_harts_find_number_and_device_tree_in_their_arguments(memory, tree):
    """As QEMU's boot ROM leaves them; the tree's address is QEMU 7.2's."""
    with vm.Machine(memory=memory, harts=2) as machine:
        machine.load(assemble_elf("wfi"))
        assert [(hart["a0"], hart["a1"], hart.pc) for hart in machine.harts] == [
            (number, tree, 0x8000_0000) for number in range(2)]
        assert machine.memory.read(tree, 4) == bytes.fromhex("d00dfeed")


TIMER = """
    la   t0, handler
    csrw mtvec, t0
    li   t0, 0x80
    csrs mie, t0
    csrsi mstatus, 8
1:  wfi
    j    1b
    .balign 4
handler:
    csrr t0, mcause
    li   t1, 0x100000
    li   t2, 0x5555
    sw   t2, 0(t1)
    j    .
"""


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_timer_that_was_never_set_interrupts_once_it_is_enabled(clock):
    """There are guests whose handler is where mtimecmp is first set."""
    with vm.Machine(memory="2M", clock=clock) as machine:
        machine.load(assemble_elf(TIMER))
        assert machine.run(timeout=30).reason is vm.StopReason.POWER_OFF
        assert machine.harts[0]["t0"] == 1 << 63 | 7


@needs(QEMU)
def test_timer_that_was_never_set_interrupts_on_qemu():
    subprocess.run([QEMU, "-M", "virt", "-bios", "none", "-kernel", assemble_elf(TIMER), "-display", "none"],
                   check=True, timeout=30)
