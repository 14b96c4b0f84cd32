"""Vectors beyond what random programs show: faults in the middle, what is illegal, and the state in snapshots."""

import struct

import numpy as np
import pytest

import vm
from tests.assembler import BASE
from vm_native.riscv.instructions import encode
from vm_native.riscv.registers import CSR_NUMBERS as CSR

E8, E16, E32, E64 = (size << 3 for size in range(4))
M1, M2, M4, M8, MF8, MF4, MF2 = 0, 1, 2, 3, 5, 6, 7
END = BASE + (1 << 20)
CODE = BASE + 0x1000
ILLEGAL, LOAD_ACCESS, STORE_ACCESS = 2, 5, 7
VS, FS = 3 << 9, 3 << 13


class Bench:
    """A hart that runs one word at a time."""

    def __init__(self, isa="rv64gcv_zvfh", engine="interpreter"):
        self.machine = vm.Machine(memory="1M", isa=isa, engine=engine)
        self.machine.load(bytes(4), address=BASE)
        self.hart = self.machine.harts[0]
        self.hart.csr["mstatus"] = VS | FS
        self.hart.csr["mtvec"] = BASE

    def run(self, name, **operands):
        """Execute an instruction; the cause of its trap, or None."""
        word = encode(name, **operands)
        self.machine.memory.write(CODE, struct.pack("<I", word))
        self.hart.pc = CODE
        self.hart.csr["mcause"] = 0
        self.machine.run(instructions=1)
        return self.hart.csr["mcause"] or None

    def set_type(self, vtype, count):
        self.hart.x[10] = count
        assert self.run("vsetvli", imm=vtype, rs1=10, rd=11) is None
        return self.hart.x[11]

    def words(self, number, dtype="<u4"):
        return list(self.hart.v[number].view(dtype))


@pytest.fixture
def bench():
    return Bench()


def test_registers_are_arrays_of_bytes(bench):
    bench.hart.v[3] = np.arange(4, dtype="<u4")
    assert bench.words(3) == [0, 1, 2, 3]
    assert bench.hart.v["v3"].nbytes == 16
    with pytest.raises(ValueError, match="16 bytes"):
        bench.hart.v[3] = bytes(8)


def test_a_hart_without_vectors_has_no_such_registers():
    machine = vm.Machine(memory="1M", isa="rv64gc")
    assert machine.harts[0].v is None
    assert "vl" not in machine.harts[0].csr


@pytest.mark.parametrize("isa, bits", [
    ("rv64gcv", 128), ("rv64gcv_zvl256b", 256), ("rv64gcv_zvl1024b", 1024), ("rv64gc_zve32x", 32),
    ("rv64gc_zve64d", 64),
])  # fmt: skip
def test_the_isa_string_says_how_long_registers_are(isa, bits):
    hart = vm.Machine(memory="1M", isa=isa).harts[0]
    assert hart.csr["vlenb"] == bits // 8
    assert bool(hart.csr["misa"] >> 21 & 1) == isa.startswith("rv64gcv")


def test_more_than_1024_bits_are_refused():
    with pytest.raises(ValueError, match="zvl2048b"):
        vm.Machine(memory="1M", isa="rv64gcv_zvl2048b")


def test_tail_and_masked_elements_stay(bench):
    bench.set_type(E32 | M1, 3)
    for number in (1, 2, 3):
        bench.hart.v[number] = np.full(4, number * 10, "<u4")
    bench.hart.v[0] = bytes([0b101]) + bytes(15)
    assert bench.run("vadd.vv", vd=3, vs2=1, vs1=2, vm=0) is None
    assert bench.words(3) == [30, 30, 30, 30]
    bench.hart.v[2] = np.full(4, 5, "<u4")
    assert bench.run("vadd.vv", vd=3, vs2=1, vs1=2, vm=0) is None
    assert bench.words(3) == [15, 30, 15, 30]


def test_a_load_that_faults_in_the_middle_leaves_vstart_there(bench):
    bench.machine.memory.write(END - 8, struct.pack("<2I", 7, 8))
    bench.set_type(E32 | M1, 4)
    bench.hart.v[4] = np.full(4, 1, "<u4")
    bench.hart.x[12] = END - 8
    assert bench.run("vle32.v", vd=4, rs1=12, vm=1) == LOAD_ACCESS
    assert (bench.hart.csr["mtval"], bench.hart.csr["vstart"]) == (END, 2)
    assert bench.words(4) == [7, 8, 1, 1]
    bench.hart.x[12] = BASE + 0x2000            # it goes on from there
    bench.machine.memory.write(BASE + 0x2000, struct.pack("<4I", 20, 21, 22, 23))
    assert bench.run("vle32.v", vd=4, rs1=12, vm=1) is None
    assert bench.words(4) == [7, 8, 22, 23]
    assert bench.hart.csr["vstart"] == 0


def test_a_store_that_faults_in_the_middle_has_stored_what_was_before(bench):
    bench.set_type(E64 | M1, 2)
    bench.hart.v[4] = np.array([5, 6], "<u8")
    bench.hart.x[12] = END - 8
    assert bench.run("vse64.v", vs3=4, rs1=12, vm=1) == STORE_ACCESS
    assert (bench.hart.csr["mtval"], bench.hart.csr["vstart"]) == (END, 1)
    assert bench.machine.memory.read(END - 8, 8) == struct.pack("<Q", 5)


def test_fault_only_first(bench):
    bench.set_type(E32 | M1, 4)
    bench.hart.x[12] = END - 8
    assert bench.run("vle32ff.v", vd=4, rs1=12, vm=1) is None
    assert (bench.hart.csr["vl"], bench.hart.csr["vstart"]) == (2, 0)
    bench.set_type(E32 | M1, 4)
    bench.hart.x[12] = END
    assert bench.run("vle32ff.v", vd=4, rs1=12, vm=1) == LOAD_ACCESS
    assert bench.hart.csr["vl"] == 4


def test_arithmetic_is_illegal_with_a_vstart(bench):
    bench.set_type(E32 | M1, 4)
    bench.hart.csr["vstart"] = 1
    assert bench.run("vadd.vv", vd=3, vs2=1, vs1=2, vm=1) == ILLEGAL


def test_everything_is_illegal_while_the_unit_is_off(bench):
    bench.set_type(E32 | M1, 4)
    bench.hart.csr["mstatus"] = FS
    assert bench.run("vadd.vv", vd=3, vs2=1, vs1=2, vm=1) == ILLEGAL
    assert bench.run("vsetvli", imm=0, rs1=10, rd=11) == ILLEGAL
    assert bench.run("vl1re8.v", vd=3, rs1=10) == ILLEGAL
    for name in ("vl", "vtype", "vlenb", "vstart", "vcsr", "vxrm", "vxsat"):
        assert bench.run("csrrs", csr=CSR[name], rs1=0, rd=5) == ILLEGAL


def test_floating_point_needs_its_own_state_and_a_rounding_mode(bench):
    bench.set_type(E32 | M1, 4)
    bench.hart.csr["mstatus"] = VS
    assert bench.run("vfadd.vv", vd=3, vs2=1, vs1=2, vm=1) == ILLEGAL
    bench.hart.csr["mstatus"] = VS | FS
    bench.hart.csr["frm"] = 5
    assert bench.run("vfmv.v.f", vd=3, rs1=2) == ILLEGAL


@pytest.mark.parametrize("name, vtype, operands", [
    ("vadd.vv", E32 | M2, {"vd": 3, "vs2": 4, "vs1": 6}),                   # groups are aligned
    ("vadd.vv", E32 | M1, {"vd": 0, "vs2": 4, "vs1": 6, "vm": 0}),          # over the mask
    ("vwadd.vv", E64 | M1, {"vd": 4, "vs2": 8, "vs1": 9}),                  # 128 bits
    ("vwadd.vv", E32 | M8, {"vd": 0, "vs2": 8, "vs1": 16}),                 # 16 registers
    ("vwadd.vv", E32 | M1, {"vd": 4, "vs2": 4, "vs1": 8}),                  # a source at the wrong end
    ("vnsrl.wv", E32 | M1, {"vd": 5, "vs2": 4, "vs1": 8}),
    ("vzext.vf8", E32 | M1, {"vd": 4, "vs2": 8}),                           # of 4 bits
    ("vrgather.vv", E32 | M1, {"vd": 4, "vs2": 4, "vs1": 8}),
    ("vslideup.vx", E32 | M1, {"vd": 4, "vs2": 4, "rs1": 8}),
    ("vfadd.vv", E8 | M1, {"vd": 4, "vs2": 5, "vs1": 8}),
    ("vlseg8e32.v", E32 | M2, {"vd": 0, "rs1": 8}),                         # 16 registers
    ("vlseg4e32.v", E32 | M1, {"vd": 30, "rs1": 8}),                        # beyond the last one
    ("vle64.v", E8 | M2, {"vd": 0, "rs1": 8}),                              # a group of 16
])  # fmt: skip
def test_reserved_operands_trap(bench, name, vtype, operands):
    bench.set_type(vtype, 1)
    row_has_mask = {"vm": 1} if name not in ("vcompress.vm",) else {}
    assert bench.run(name, **row_has_mask | operands) == ILLEGAL


@pytest.mark.parametrize("vtype", [4, 4 << 3, E64 | MF2, 1 << 8, 1 << 63])
def test_an_illegal_type_is_vill_and_makes_everything_illegal(bench, vtype):
    bench.hart.x[10], bench.hart.x[12] = 4, vtype
    assert bench.run("vsetvl", rs1=10, rs2=12, rd=11) is None
    assert (bench.hart.csr["vtype"], bench.hart.csr["vl"], bench.hart.x[11]) == (1 << 63, 0, 0)
    assert bench.run("vadd.vv", vd=3, vs2=1, vs1=2, vm=1) == ILLEGAL
    bench.hart.x[12] = BASE
    assert bench.run("vl1re8.v", vd=3, rs1=12) is None


def test_keeping_vl_needs_room_for_as_many_elements(bench):
    bench.set_type(E32 | M1, 4)
    assert bench.run("vsetvli", imm=E64 | M2, rs1=0, rd=0) is None
    assert (bench.hart.csr["vl"], bench.hart.csr["vtype"]) == (4, E64 | M2)
    assert bench.run("vsetvli", imm=E64 | M1, rs1=0, rd=0) is None
    assert (bench.hart.csr["vl"], bench.hart.csr["vtype"]) == (0, 1 << 63)


def test_a_write_makes_the_state_dirty(bench):
    bench.set_type(E32 | M1, 4)
    bench.hart.csr["mstatus"] = 1 << 9
    assert bench.run("vid.v", vd=3, vm=1) is None
    assert bench.hart.csr["mstatus"] & VS == VS
    assert bench.hart.csr["mstatus"] >> 63 == 1
    assert bench.run("csrrs", csr=CSR["sstatus"], rs1=0, rd=5) is None
    assert bench.hart.x[5] >> 63 == 1 and bench.hart.x[5] & VS == VS


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_snapshots_and_forks_have_vectors(engine):
    bench = Bench(engine=engine)
    bench.set_type(E32 | M1, 4)
    bench.hart.v[7] = np.arange(4, dtype="<u4")
    snapshot = bench.machine.snapshot()
    with bench.machine.fork() as twin:
        assert list(twin.harts[0].v[7].view("<u4")) == [0, 1, 2, 3]
        assert twin.harts[0].csr["vl"] == 4
    bench.hart.v[7] = bytes(16)
    bench.set_type(E8 | M8, 100)
    bench.machine.restore(snapshot)
    assert bench.words(7) == [0, 1, 2, 3]
    assert (bench.hart.csr["vl"], bench.hart.csr["vtype"]) == (4, E32 | M1)


def test_a_saved_snapshot_has_vectors(bench, tmp_path):
    bench.set_type(E32 | M1, 4)
    bench.hart.v[31] = np.arange(4, dtype="<u4")
    bench.machine.snapshot().save(tmp_path / "state.vmsnap")
    other = Bench()
    other.machine.restore(vm.Snapshot.load(tmp_path / "state.vmsnap"))
    assert other.words(31) == [0, 1, 2, 3]


def test_a_state_with_more_elements_than_there_is_room_for_is_refused(bench):
    bench.set_type(E32 | M1, 4)
    native = bench.machine._natives[0]
    state = native.save()
    where = state.index(struct.pack("<3Q", 0, 4, E32 | M1))      # vstart, vl, vtype
    with pytest.raises(ValueError, match="vl 5"):
        native.load(state[:where] + struct.pack("<2Q", 0, 5) + state[where + 16 :])


def test_a_device_is_accessed_by_elements(bench):
    """The CLINT's mtimecmp, as two words."""
    bench.set_type(E32 | M1, 2)
    bench.hart.v[4] = np.array([0x89ABCDEF, 0x01234567, 0, 0], "<u4")
    bench.hart.x[12] = 0x200_4000
    assert bench.run("vse32.v", vs3=4, rs1=12, vm=1) is None
    assert bench.run("vle32.v", vd=5, rs1=12, vm=1) is None
    assert bench.words(5)[:2] == [0x89ABCDEF, 0x01234567]


def test_a_store_into_code_is_noticed():
    """The loop's body is overwritten by a vector store of the loop itself."""
    bench = Bench(engine="jit")
    bench.set_type(E32 | M1, 1)
    bench.hart.x[12] = CODE + 4
    new = encode("addi", rd=5, rs1=5, imm=2)
    bench.hart.v[4] = np.array([new, 0, 0, 0], "<u4")
    words = [encode("vse32.v", vs3=4, rs1=12, vm=1), encode("addi", rd=5, rs1=5, imm=1)]
    bench.machine.memory.write(CODE, struct.pack("<2I", *words))
    bench.hart.x[5] = 0
    bench.hart.pc = CODE
    bench.machine.run(instructions=2)
    assert bench.hart.x[5] == 2


def test_what_does_not_count_raises_no_flag(bench):
    """A narrowing conversion of one number, after one of numbers that do not fit."""
    bench.set_type(E32 | M1, 4)
    for number in (4, 5):
        bench.hart.v[number] = np.array([1e300, 1e300], "<f8")
    bench.hart.v[0] = b"\xff" * 16
    assert bench.run("vfncvt.x.f.w", vd=8, vs2=4, vm=0) is None
    assert bench.hart.csr["fflags"] == 0x10
    bench.hart.csr["fflags"] = 0
    bench.set_type(E32 | M1, 1)
    bench.hart.v[4] = np.array([0.25, 1e300], "<f8")
    assert bench.run("vfncvt.x.f.w", vd=8, vs2=4, vm=0) is None
    assert bench.hart.csr["fflags"] == 0x01
    assert bench.words(8)[0] == 0


PAGE_END = BASE + 0x3000


@pytest.mark.parametrize("before", ["vredsum.vs", "vredmaxu.vs", "vwredsum.vs"])
def test_sum_raises_no_flag_for_what_another_reduction_has_left(bench, before):
    """Their elements had the bits of signaling NaNs."""
    bench.set_type(E32 | M1, 3)
    for number in range(8, 12):
        bench.hart.v[number] = np.full(4, 0x7F80_0001, "<u4")
    words = [encode(before, vd=20, vs2=8, vs1=10, vm=1), encode("vfredosum.vs", vd=14, vs2=24, vs1=28, vm=1)]
    bench.machine.memory.write(CODE, struct.pack("<2I", *words))
    bench.hart.pc = CODE
    bench.machine.run(instructions=2)
    assert bench.hart.csr["mcause"] == 0
    assert bench.hart.csr["fflags"] == 0 and bench.words(14)[0] == 0


def test_accesses_over_the_end_of_a_page(bench):
    """Elements in a row, an element that lies on both pages, segments, and strides over it."""
    data = bytes(range(256))
    bench.machine.memory.write(PAGE_END - 128, data)
    bench.set_type(E32 | M4, 16)
    for offset in (-32, -30, -1):
        bench.hart.x[12] = PAGE_END + offset
        assert bench.run("vle32.v", vd=4, rs1=12, vm=1) is None
        assert b"".join(bytes(bench.hart.v[n]) for n in range(4, 8)) == data[128 + offset :][:64]
        bench.machine.memory.write(PAGE_END - 128, bytes(256))
        assert bench.run("vse32.v", vs3=4, rs1=12, vm=1) is None
        assert bench.machine.memory.read(PAGE_END + offset, 64) == data[128 + offset :][:64]
        bench.machine.memory.write(PAGE_END - 128, data)
    bench.set_type(E16 | M1, 8)
    bench.hart.x[12], bench.hart.x[13] = PAGE_END - 13, 6
    assert bench.run("vlseg3e16.v", vd=4, rs1=12, vm=1) is None
    assert bench.run("vlse16.v", vd=7, rs1=12, rs2=13, vm=1) is None
    segments = np.frombuffer(data[115 : 115 + 48], "<u2").reshape(8, 3)
    for field in range(3):
        assert bench.words(4 + field, "<u2") == segments[:, field].tolist()
    assert bench.words(7, "<u2") == segments[:, 0].tolist()


def test_accesses_are_seen_by_those_who_watch(bench):
    """Of the elements that are accessed, those that somebody watches; and the same before and after."""
    seen = []
    bench.set_type(E32 | M1, 4)
    bench.hart.v[4] = np.arange(1, 5, dtype="<u4")
    bench.hart.x[12] = PAGE_END
    assert bench.run("vse32.v", vs3=4, rs1=12, vm=1) is None
    with bench.machine.on_write(PAGE_END + 8, lambda access: seen.append((access.address, access.value)), size=4):
        assert bench.run("vse32.v", vs3=4, rs1=12, vm=1) is None
        assert bench.run("vse32.v", vs3=4, rs1=12, vm=1) is None
    assert bench.run("vse32.v", vs3=4, rs1=12, vm=1) is None
    assert seen == [(PAGE_END + 8, 3)] * 2
