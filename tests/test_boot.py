"""What a start is, and what OpenSBI needs of memory. Debian's own files boot in tests/boot."""

import pytest

from tests.assembler import assemble
from vm.boot import OPENSBI_SIZE, held_by_firmware
from vm.loaders import File, Range

RAM = Range(0x8000_0000, 512 << 20)
OWN = Range(RAM.base, OPENSBI_SIZE)
TREE = Range(RAM.base + 0x220_0000, 0x1_2345)
CHECK = "li {register}, 0x4942534f; ld a0, (a2); bne a0, {register}, .; ret"


def held_by(code):
    return held_by_firmware(File("firmware", code), RAM, TREE.size)


@pytest.mark.parametrize("register", ["a1", "a4", "t6", "s0"])
@pytest.mark.parametrize("before", ["", "nop;", ".option rvc; c.nop; .option norvc;"])
def test_firmware_that_compares_the_magic_number_takes_its_addresses_from_us(register, before):
    """OpenSBI firmware/fw_dynamic.S: FW_DYNAMIC_INFO_MAGIC_VALUE, in whatever register and at whatever alignment."""
    assert held_by(assemble(before + CHECK.format(register=register))) == (OWN,)


@pytest.mark.parametrize("source", ["li a0, 0x82200000; ret", "li a4, 0x49425350; ret", "lui a4, 0x49425; ret"])
def test_other_firmware_goes_by_fixed_addresses(source):
    assert held_by(assemble(source)) == (OWN, TREE)
