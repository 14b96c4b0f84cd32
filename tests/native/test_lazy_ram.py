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
        self.asked = []

    def load(self, page):
        self.asked.append(page)
        if self.error is not None and page in (FAR // PAGE, FAR // PAGE - 1):
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
