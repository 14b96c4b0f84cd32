"""A hart from Python: registers, CSRs, privilege, lines."""

import math
from typing import get_args

import numpy as np
import pytest

from tests.assembler import BASE
from vm import Machine
from vm.registers import FloatName
from vm_native.riscv.registers import CSR_NUMBERS, F_NAMES, F_NUMBERS, X_NAMES


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
    assert g.hart.state == "waiting"


def test_reset_state(guest):
    """Privileged specification, section 3.4: M-mode, MIE and MPRV 0, PMP off; here the rest is zero as well."""
    g = guest("wfi")
    g["mstatus"], g["satp"], g["mie"], g["medeleg"] = (1 << 64) - 1, 8 << 60, 0xAAA, 0xFFFF
    g["x5"], g.hart.f_bits[3], g["pmpcfg0"] = 1, 2, 0x1F
    g.hart.privilege = 0
    g.native.set_interrupt(11, True)
    g.native.reset()
    assert g.hart.privilege == 3 and g.hart.pc == 0 and not any(g.hart.x) and not any(g.hart.f_bits)
    for name in ("satp", "mie", "mip", "medeleg", "pmpcfg0", "mcause"):
        assert g[name] == 0, name
    assert g["mstatus"] == 0xA << 32


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


# --- By name ---------------------------------------------------------------------------------------------------------

def test_register_files_by_name_and_slice(hart):
    hart.x["a0"], hart.x["X11"] = 7, 8
    assert hart.x[10:13] == [7, 8, 0] and hart.x["A0"] == 7
    hart.x[12:15] = [1, 2, 3]
    hart.x["zero"] = 5
    assert hart.x[10:15] == [7, 8, 1, 2, 3] and hart.x[0] == 0
    assert hart.x[-2:] == [hart["t5"], hart["t6"]] and len(hart.x[::2]) == 16
    hart.f["fa0"] = 2.5
    assert hart.f[10:12] == [2.5, 0.0] and hart.f_bits["fa0"] == 0x4004_0000_0000_0000
    with pytest.raises(ValueError, match="2 values for 3 registers"):
        hart.x[10:13] = [1, 2]


def test_names_are_in_either_case(hart):
    hart["A0"], hart["FA0"], hart["MScratch"], hart["PC"] = 1, 2.0, 3, BASE + 4
    assert (hart["a0"], hart["fa0"], hart.csr["MSCRATCH"], hart.pc) == (1, 2.0, 3, BASE + 4)


@pytest.mark.parametrize("name, said", [
    ("a00", "no register is called 'a00'; did you mean a0"), ("mcuase", "did you mean mcause"),
    ("nonsense", "'nonsense'; there are pc, zero, ra"),
])
def test_unknown_register(name, said, hart):
    with pytest.raises(KeyError, match=said):
        hart[name]
    with pytest.raises(KeyError, match=said):
        hart[name] = 0


@pytest.mark.parametrize("file, name, said", [
    ("x", "fa0", "no integer register is called 'fa0'; did you mean a0"), ("f", "fa9", "no floating-point register"),
    ("csr", "mcuase", "no CSR is called 'mcuase'; did you mean mcause"), ("csr", 0x5C0, "no CSR 0x5c0"),
])
def test_unknown_register_of_a_file(file, name, said, hart):
    with pytest.raises(KeyError, match=said):
        getattr(hart, file)[name]


def test_register_by_number_is_of_a_file(hart):
    with pytest.raises(TypeError, match=r"hart.x, f and csr"):
        hart[10]


def test_csr_of_an_extension_that_is_not_there(guest):
    hart = guest("wfi", isa="rv64gc").hart
    with pytest.raises(KeyError, match="this hart has no CSR 'stimecmp', which comes with Sstc"):
        hart["stimecmp"]
    with pytest.raises(KeyError, match="CSR 'mhartid' is read-only"):
        hart["mhartid"] = 1


def test_hart_as_a_dict(hart):
    hart["a0"] = 5
    registers = dict(hart)
    assert list(registers) == ["pc", *X_NAMES]
    assert (registers["pc"], registers["a0"]) == (BASE, 5)


@pytest.mark.parametrize("isa", ["rv64gc", "rv64ima", "rva22s64_zkr_smstateen_sscofpmf_sstc"])
def test_csrs_are_listed(isa, guest):
    """Those that there are, no others; and looking changes nothing, of which the entropy is a part."""
    hart = guest("wfi", isa=isa).hart
    before = hart._native.save()
    values = dict(hart.csr)
    assert hart._native.save() == before
    assert list(values) == list(hart.csr) and len(values) == len(hart.csr)
    assert {"mstatus", "satp", "pmpaddr0"} <= set(values)
    for name, number in CSR_NUMBERS.items():
        assert (name in hart.csr) == (hart._native.read_csr(number) is not None), name
        assert name == "seed" or (name in values) == (name in hart.csr)


def test_hart_prints_its_registers(hart):
    hart["a0"] = 0x1234
    first, *rows = str(hart).splitlines()
    assert first == f"hart 0: started, pc {BASE:#x}, privilege M"
    assert len(rows) == 8 and "  a0 0000000000001234" in rows[2]
    assert [word for row in rows for word in row.split()[::2]] == list(X_NAMES)


def test_files_show_what_is_not_zero(hart):
    hart["sp"], hart["fa0"] = 0x8000_1000, 2.5
    for number in range(32):
        if number not in (2, 10):
            hart.x[number] = 0
    hart["a0"] = 0
    assert repr(hart.x) == "<integer registers: sp 0x80001000, the others 0>"
    assert repr(hart.f) == "<floating-point registers: fa0 2.5, the others 0>"
    hart["fa0"] = 0.0
    assert repr(hart.f_bits) == "<floating-point registers: all 0>"
    assert "satp 0x0" in repr(hart.csr)


def test_completion_of_names(hart):
    assert set(dir(hart)) == {
        "csr", "f", "f_bits", "id", "isa", "keys", "pc", "privilege", "state", "steps", "v", "virtual", "x"}
    for names in (hart._ipython_key_completions_(), hart.csr._ipython_key_completions_()):
        assert "mstatus" in names
        assert all(name in hart.csr or name == "pc" or name in (*X_NAMES, *F_NAMES) for name in names)
    assert hart.x._ipython_key_completions_() == list(X_NAMES)


def test_literal_names_of_floats():
    assert set(get_args(FloatName)) == set(F_NUMBERS)


def test_access_is_one_of_three(hart):
    with pytest.raises(ValueError, match="access='x': there is 'read', 'write', 'execute'"):
        hart.virtual.physical(BASE, "x")


@pytest.mark.parametrize("name, value", [
    ("a0", "5"), ("a0", 1.5), ("mscratch", None), ("pc", "main"), ("pc", 1.5), ("fa0", "2.5"), ("fa0", None),
])
def test_values_that_are_no_numbers(name, value, hart):
    before = hart[name]
    with pytest.raises(TypeError, match=f"value={value!r}: must be a"):
        hart[name] = value
    assert hart[name] == before


def test_numpy_integers_are_numbers(hart):
    hart["a0"], hart[np.str_("a1")], hart.pc = np.uint64((1 << 64) - 1), np.int8(-1), np.uint32(BASE)
    assert hart["a0"] == hart["a1"] == (1 << 64) - 1 and hart.pc == BASE


@pytest.mark.parametrize("call, argument", [
    (lambda hart: hart.virtual.read("a", 1), "address='a'"), (lambda hart: hart.virtual.read(BASE, "a"), "size='a'"),
    (lambda hart: hart.virtual.physical(1.5), "address=1.5"),
    (lambda hart: hart.virtual.write(None, b"x"), "address=None"),
    (lambda hart: hart.x[1.5], "register=1.5"), (lambda hart: hart.csr[None], "csr=None"),
    (lambda hart: setattr(hart, "privilege", "M"), "privilege='M'"),
])
def test_arguments_are_named(call, argument, hart):
    with pytest.raises(TypeError, match=f"^{argument}: must be a whole number"):
        call(hart)
