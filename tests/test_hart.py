"""A hart from Python: registers, CSRs, privilege, lines."""

import math

import pytest

from tests.assembler import BASE
from vm import Machine
from vm_native.riscv.registers import F_NAMES, X_NAMES


@pytest.fixture
def hart(guest):
    return guest("wfi").hart


def test_registers_by_number_and_by_name(hart):
    for number in range(1, 32):
        hart.x[number] = number * 3
        assert hart[f"x{number}"] == hart[X_NAMES[number]] == number * 3
        hart[X_NAMES[number]] = number + 1
        assert hart.x[number] == number + 1
    assert len(hart.x) == 32 and list(hart.x)[1:] == list(range(2, 33))


def test_frame_pointer_is_s0(hart):
    hart["fp"] = 5
    assert hart["s0"] == hart["x8"] == 5


def test_x0_cannot_be_set(hart):
    hart.x[0] = 5
    hart["zero"] = 5
    assert hart.x[0] == 0


@pytest.mark.parametrize("value, read", [(-1, (1 << 64) - 1), (-(1 << 63), 1 << 63), ((1 << 64) - 1, (1 << 64) - 1)])
def test_negative_values_are_in_twos_complement(value, read, hart):
    hart.x[10] = hart["mscratch"] = hart.f_bits[1] = value
    assert hart.x[10] == hart["mscratch"] == hart.f_bits[1] == read


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1])
def test_value_that_does_not_fit(value, hart):
    for registers, name in ((hart, "a0"), (hart, "mscratch"), (hart.x, 10), (hart.f_bits, 1)):
        registers[name] = 5
        with pytest.raises(ValueError, match="does not fit"):
            registers[name] = value
        assert registers[name] == 5


@pytest.mark.parametrize("number", [-1, 32])
def test_register_that_is_not_there(number, hart):
    with pytest.raises(IndexError):
        hart.x[number]
    with pytest.raises(IndexError):
        hart.f[number] = 1.0


def test_floating_point_registers(hart):
    for number, name in enumerate(F_NAMES):
        hart.f[number] = number + 0.5
        assert hart[name] == hart[f"f{number}"] == number + 0.5
    hart.f_bits[10] = 0x4000_0000_0000_0000
    assert hart["fa0"] == 2.0
    hart["fa0"] = -0.0
    assert hart.f_bits[10] == 1 << 63


def test_boxed_single_reads_as_nan(hart):
    hart.f_bits[0] = 0xFFFF_FFFF_3F80_0000
    assert math.isnan(hart.f[0])


def test_csrs_by_name_and_number(hart):
    hart.csr["mscratch"] = 7
    assert hart.csr[0x340] == hart.csr["MSCRATCH"] == hart["mscratch"] == 7


@pytest.mark.parametrize("name", ["nonsense", 0x5C0, "pmpcfg1"])
def test_csr_that_is_not_there(name, hart):
    with pytest.raises(KeyError):
        hart.csr[name]
    with pytest.raises(KeyError):
        hart.csr[name] = 0


@pytest.mark.parametrize("name", ["mhartid", "cycle", "mvendorid"])
def test_read_only_csr(name, hart):
    assert hart.csr[name] >= 0
    with pytest.raises(KeyError):
        hart.csr[name] = 0


def test_csrs_are_open_whatever_the_privilege(hart):
    hart.privilege = 0
    hart["mscratch"] = 3
    assert hart["mscratch"] == 3


def test_csr_write_follows_its_rules(hart):
    hart["mepc"] = BASE + 1
    assert hart["mepc"] == BASE
    hart["mip"] = (1 << 64) - 1
    assert hart["mip"] == 0x222


def test_pc(hart):
    assert hart.pc == hart["pc"] == BASE
    hart["pc"] = BASE + 2
    assert hart.pc == BASE + 2
    with pytest.raises(ValueError, match="not aligned"):
        hart.pc = BASE + 1


def test_pc_without_compressed_instructions(guest):
    hart = guest(".option norvc\n wfi", isa="rv64i").hart
    with pytest.raises(ValueError, match="not aligned"):
        hart.pc = BASE + 2


@pytest.mark.parametrize("value", [-1, 2, 4])
def test_privilege_that_is_not_there(value, hart):
    with pytest.raises(ValueError, match="privilege"):
        hart.privilege = value


def test_setting_pc_ends_a_wfi(guest):
    g = guest("wfi; target: addi a0, zero, 9; wfi")
    g.finish()
    g.hart.pc = g.address("target")
    g.finish()
    assert g["a0"] == 9


def test_state(guest):
    g = guest("wfi")
    assert g.hart.state == "started"
    g.finish()
    assert g.hart.state == "suspended"


def test_reset_state(guest):
    """Privileged specification, section 3.4: M-mode, MIE and MPRV 0, PMP off; here the rest is zero as well.

    But for MTIP: the timer is due.
    """
    g = guest("wfi")
    g["mstatus"], g["satp"], g["mie"], g["medeleg"] = (1 << 64) - 1, 8 << 60, 0xAAA, 0xFFFF
    g["x5"], g.hart.f_bits[3], g["pmpcfg0"] = 1, 2, 0x1F
    g.hart.privilege = 0
    g.native.set_interrupt(11, True)
    g.native.reset()
    assert g.hart.privilege == 3 and g.hart.pc == 0 and not any(g.hart.x) and not any(g.hart.f_bits)
    for name in ("satp", "mie", "medeleg", "pmpcfg0", "mcause"):
        assert g[name] == 0, name
    assert (g["mstatus"], g["mip"]) == (0xA << 32, 1 << 7)


def test_lines(guest):
    g = guest("wfi")
    for bit in (3, 9, 11):
        g.native.set_interrupt(bit, True)
        assert g["mip"] == 1 << bit
        g.native.set_interrupt(bit, False)
    with pytest.raises(ValueError, match="not a line"):
        g.native.set_interrupt(5, True)


def test_machine_timer_is_due_from_reset():
    """mtimecmp has no reset value in the manual; QEMU's and Spike's is 0, and kernels wait for that first interrupt."""
    with Machine(memory="1M") as machine:
        assert (machine.harts[0]["mip"], machine.harts[0]["mie"]) == (1 << 7, 0)


def test_mtimecmp_drives_mtip(guest):
    """Privileged specification, section 3.2.1: pending while mtime >= mtimecmp."""
    g = guest("wfi")
    assert g["mip"] == 0
    g.native.mtimecmp = 0
    assert g["mip"] == 1 << 7
    g.native.mtimecmp = 1
    assert g["mip"] == 0


@pytest.mark.parametrize("name", ["mtimecmp", "sbi", "set_interrupt", "start", "stop", "suspend", "reset", "connect"])
def test_what_devices_and_firmware_do_to_a_hart_is_not_the_users(name, hart):
    assert not hasattr(hart, name)
    with pytest.raises(AttributeError):
        setattr(hart, name, None)


def test_repr(hart):
    assert repr(hart) == f"<hart 0: started, pc {BASE:#x}, privilege M>"
