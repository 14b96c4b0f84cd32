"""The boot ROM's code, run by Unicorn: what the firmware starts with (OpenSBI docs/firmware/fw_dynamic.md)."""

import struct

import pytest
from unicorn import UC_ARCH_RISCV, UC_MODE_RISCV64, Uc
from unicorn.riscv_const import UC_RISCV_REG_A0, UC_RISCV_REG_A1, UC_RISCV_REG_A2, UC_RISCV_REG_PC

from vm.boards.reset import reset_vector

ROM, START, DTB, KERNEL = 0x1000, 0x8000_0000, 0x87E0_0000, 0x8020_0000


@pytest.fixture
def ran():
    """The machine when it is about to execute the first instruction of the firmware."""
    machine = Uc(UC_ARCH_RISCV, UC_MODE_RISCV64)
    machine.mem_map(ROM, 0x1000)
    machine.mem_map(START, 0x1000)
    machine.mem_write(ROM, reset_vector(START, DTB, KERNEL))
    machine.emu_start(ROM, START, count=100)
    return machine


def test_goes_to_the_start_with_hart_and_device_tree(ran):
    registers = (UC_RISCV_REG_PC, UC_RISCV_REG_A0, UC_RISCV_REG_A1)
    assert [ran.reg_read(register) for register in registers] == [START, 0, DTB]


def test_a2_points_to_fw_dynamic_info(ran):
    """magic "OSBI", version 2, next address, next mode S, no options, boot hart 0."""
    info = ran.mem_read(ran.reg_read(UC_RISCV_REG_A2), 48)
    assert struct.unpack("<6Q", info) == (0x4942534F, 2, KERNEL, 1, 0, 0)
