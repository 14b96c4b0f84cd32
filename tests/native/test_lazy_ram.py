"""Pages that are fetched when they are first touched: by whatever touches them, and again where fetching failed."""

import pytest

import vm
from tests.assembler import assemble_elf
from vm_native.state.content import RegionContent
from vm_native.state.image import RamImage

RAM, SIZE, PAGE = 0x8000_0000, 1 << 20, 4096
FAR = 0x8_0000                              # of the page that is touched, from the start of RAM
CODE = b"\x13\x05\x15\x00\x67\x80\x00\x00"  # addi a0, a0, 1; ret

ACCESSES = {
    "load": "ld a1, 8(s0)", "store": "sd a0, 8(s0)", "float": "fld fa0, 8(s0)", "atomic": "amoadd.d a1, a0, (s1)",
    "reserved": "lr.d a1, (s1)", "conditional": "lr.d a1, (s1); sc.d a2, a0, (s1)",
    "misaligned": "ld a1, 9(s0)", "across pages": "ld a1, -4(s0)", "fetch": "jalr s0",
}
PROGRAM = """
    li   t0, 0x6000
    csrs mstatus, t0
    li   s0, 0x80080000
    addi s1, s0, 8
    li   a0, 5
    {access}
    li   a7, 77
1:  j    1b
"""


class Broken(Exception):
    pass


class Pages:
    """What a file would be: it gives pages, and fails while `error` is set."""

    def __init__(self, content):
        self.content = content
        self.error = None
        self.broken = (FAR // PAGE - 1, FAR // PAGE)
        self.asked = []

    def load(self, page):
        self.asked.append(page)
        if self.error is not None and page in self.broken:
            raise self.error
        return page, self.content[page * PAGE:(page + 1) * PAGE]


@pytest.fixture(params=["interpreter", "jit"])
def lazy(request):
    """A machine with a program, of which every page of RAM is still to be fetched; and where from."""
    machines = []

    def make(text):
        machine = vm.Machine(memory=SIZE, engine=request.param, settings=vm.Settings(hot=0))
        machines.append(machine)
        machine.load(assemble_elf(text))
        machine.memory.write(RAM + FAR, CODE + (41).to_bytes(8, "little") + bytes(range(16)))
        pages = Pages(bytes(machine.memory.view(RAM, SIZE)))
        image = RamImage(SIZE, b"\1" * (SIZE // PAGE), pages.load)
        machine._native.restore((RegionContent(image, RAM),), [native.save() for native in machine._natives])
        return machine, pages

    yield make
    for machine in machines:
        machine.close()


@pytest.mark.parametrize("access", ACCESSES)
def test_failure_comes_out_unchanged_and_the_access_is_repeated(lazy, access):
    machine, pages = lazy(PROGRAM.format(access=ACCESSES[access]))
    pages.error = Broken(access)
    with pytest.raises(Broken) as raised:
        machine.run(instructions=100)
    assert raised.value is pages.error
    assert sum(page in pages.broken for page in pages.asked) == 1, "nothing is tried again behind a failure"
    before, pc = machine.steps, machine.harts[0].pc
    with pytest.raises(Broken):
        machine.run(instructions=100)
    assert (machine.steps, machine.harts[0].pc) == (before, pc)
    pages.error = None
    machine.run(instructions=100)
    hart = machine.harts[0]
    assert hart["a7"] == 77 and hart.csr["mcause"] == 0
    expected = {"load": ("a1", 41), "atomic": ("a1", 41), "reserved": ("a1", 41), "conditional": ("a2", 0),
                "fetch": ("a0", 6)}
    if access in expected:
        name, value = expected[access]
        assert hart[name] == value
    assert len(set(pages.asked)) < SIZE // PAGE / 4         # the others were never needed


@pytest.mark.parametrize("touch", [
    lambda machine: machine.memory.read(RAM + FAR, 8), lambda machine: machine.memory.view(RAM + FAR, 8),
    lambda machine: machine.memory.write(RAM + FAR + 1, b"x"), lambda machine: machine.memory.array(RAM + FAR, 8),
    lambda machine: machine.memory.writable(RAM + FAR, 8).__enter__(),
], ids=["read", "view", "write", "array", "writable"])
def test_python_fetches_as_well(lazy, touch):
    machine, pages = lazy(PROGRAM.format(access="nop"))
    pages.error = Broken()
    with pytest.raises(Broken):
        touch(machine)
    pages.error = None
    touch(machine)
    assert machine.memory.read(RAM + FAR + 2, 6) == CODE[2:]


def test_a_page_that_is_written_first_keeps_the_rest_of_its_bytes(lazy):
    machine, _ = lazy(PROGRAM.format(access="sb a0, 3(s0)"))
    machine.run(instructions=100)
    assert machine.memory.read(RAM + FAR, 8) == CODE[:3] + b"\5" + CODE[4:]


def test_tables_of_pages_are_fetched(lazy):
    """A megapage of Sv39 at 0x80000000, in a table that only the walk looks at."""
    machine, pages = lazy("""
        li   t0, 0x80081000         # the root, in another page of its own
        li   t1, 0x200000ef         # maps the gigabyte at 0x80000000: V R W X A D G
        sd   t1, 16(t0)
        li   s0, 0x80080000
        li   t1, 8 << 60 | 0x80081
        csrw satp, t1
        li   t1, 0x21800
        csrs mstatus, t1            # MPRV, and MPP: S
        li   t1, 0x1000
        csrc mstatus, t1
        li   t1, -1
        csrw pmpaddr0, t1
        li   t1, 0x1f
        csrw pmpcfg0, t1
        ld   a1, 8(s0)
        li   a7, 77
    1:  j    1b
    """)
    pages.error = Broken()
    with pytest.raises(Broken):
        machine.run(instructions=100)
    pages.error = None
    machine.run(instructions=100)
    assert (machine.harts[0]["a1"], machine.harts[0]["a7"]) == (41, 77)


def test_an_instruction_that_is_not_reached_needs_no_page(lazy):
    """It crosses into a page that cannot be had, behind a load that traps."""
    machine, pages = lazy("""
        .option norvc
        la   t0, handler
        csrw mtvec, t0
        li   s0, 0x8007fffa
        jr   s0
        .balign 4
    handler:
        li   a7, 77
    1:  j    1b
        .org 0x7fffa
        .half 0x2503, 0x0000            # lw a0, 0(zero): nothing is there
        .half 0x0513                    # the first half of addi a0, a0, ...
    """)
    pages.error, pages.broken = Broken(), (FAR // PAGE,)
    machine.run(instructions=100)
    assert machine.harts[0]["a7"] == 77
    assert FAR // PAGE not in pages.asked


def test_a_restore_that_a_view_looks_at_fails_before_anything_changes(lazy):
    """What a view shows is fetched by nobody, so all of it must be there."""
    machine, pages = lazy(PROGRAM.format(access="nop"))
    machine.run(instructions=100)
    harts = [native.save() for native in machine._natives]
    contents = machine._native.capture()
    machine.memory.write(RAM + 64, b"later")
    machine.harts[0]["a7"] = 5
    view = machine.memory.view(RAM + 64, 5)
    pages.error = Broken()
    with pytest.raises(Broken):
        machine._native.restore(contents, harts)
    assert (bytes(view), machine.harts[0]["a7"]) == (b"later", 5)
    pages.error = None
    machine._native.restore(contents, harts)
    assert (bytes(view), machine.harts[0]["a7"]) == (bytes(5), 77)


def test_a_translation_raises_what_fetching_a_table_raises(lazy):
    machine, pages = lazy("1: j 1b")
    pages.error = Broken()
    hart = machine.harts[0]
    hart.csr["pmpaddr0"], hart.csr["pmpcfg0"] = (1 << 54) - 1, 0x1F
    hart.csr["satp"] = 8 << 60 | RAM + FAR >> 12
    hart.privilege = 1
    with pytest.raises(Broken):
        hart.virtual.physical(0x1000, "read")
    pages.error = None
    with pytest.raises(vm.PageFault):
        hart.virtual.physical(0x1000, "read")


def test_translations_of_a_machine_that_is_restored_are_left_alone():
    """Another machine's run that ends meanwhile gives those of machines up that do not run."""
    from vm_native.execution.allowance import allow

    jumps = b"".join((0x0000_106F).to_bytes(4, "little") + bytes(PAGE - 4) for _ in range(40))     # to the next page
    machines = [vm.Machine(memory=SIZE, engine="interpreter") for _ in range(2)]
    for machine in machines:
        machine.memory.write(RAM, jumps + (0x0000_006F).to_bytes(4, "little"))
        machine.harts[0].pc = RAM
        machine.run(instructions=1000)
    restored, other = machines
    held = []

    def load(page):
        other.run(instructions=10)
        held.append(restored.stats()["bytes"])
        return page, bytes(PAGE)

    image = RamImage(SIZE, b"\1" * (SIZE // PAGE), load)
    allow(1, 0)
    try:
        restored._native.restore((RegionContent(image, RAM),), [native.save() for native in restored._natives])
    finally:
        allow()
    assert held and all(held)
    assert restored.stats()["bytes"] == 0           # of other bytes: now they are gone
    for machine in machines:
        machine.close()
