"""Call stacks at each instruction, beside those that single steps through calls and returns give."""

import random
import shutil
from io import BytesIO

import pytest
from elftools.elf.elffile import ELFFile

import vm
from tests import tools
from tests.assembler import BASE
from tests.native.riscv.paging import ALL, PAGE, PageTables, U
from tests.profiling.programs import CALL_FRAMES, FRAME_POINTERS, built_by_gcc, moved_program, program, single_steps
from vm.profiling.cfi import CallFrames

ROUNDS = 2


def stacks(file, **options) -> list[tuple[str, ...]]:
    """At each step."""
    with vm.Machine(memory="2M") as machine:
        machine.load(file)
        with machine.profile(1, **options) as profile:
            machine.run()
        return [profile.names(int(row["stack"])) for row in profile.array]


@pytest.mark.parametrize("flags", [CALL_FRAMES, (*CALL_FRAMES, "-g", "-fno-asynchronous-unwind-tables")],
                         ids=["eh_frame", "debug_frame"])
def test_call_frames(flags):
    """Without frame pointers, and with s0 as any other register."""
    file = program(flags, ROUNDS)
    assert stacks(file)[:-1] == single_steps(file).stacks


def test_call_frames_of_a_program_that_was_moved(tmp_path):
    file = moved_program(tmp_path, CALL_FRAMES, ROUNDS)
    assert stacks(file)[:-1] == single_steps(file).stacks


@pytest.mark.parametrize("leaves", ["-mno-omit-leaf-frame-pointer", "-momit-leaf-frame-pointer"])
def test_frame_pointers(leaves):
    """One call is missing in the first and last instructions of a recursion, and nothing else anywhere."""
    file = program((*FRAME_POINTERS, leaves), ROUNDS)
    exact = single_steps(file).stacks
    found = stacks(file, call_frames=False)
    assert len(found) == len(exact) + 1
    different = [(one, other) for one, other in zip(found, exact, strict=False) if one != other]
    assert len(different) < len(exact) / 10
    assert all(("deep", *one) == other for one, other in different)


@tools.needs("riscv64-unknown-elf-gcc")
@pytest.mark.parametrize("flags, options", [(FRAME_POINTERS, {"call_frames": False}), (CALL_FRAMES, {})],
                         ids=["frame pointers", "call frames"])
def test_gcc(flags, options):
    """Which saves s0 alone in leaves that have a frame."""
    file = built_by_gcc(flags, ROUNDS)
    different = [(one, other) for one, other in zip(stacks(file, **options), single_steps(file).stacks, strict=False)
                 if one != other]
    assert all(options and ("deep", *one) == other for one, other in different)


def test_code_without_either_has_no_callers_that_are_none():
    """What s0 points to is then anything: no frame is made up."""
    file = program((*CALL_FRAMES, "-fno-asynchronous-unwind-tables"), ROUNDS)
    exact = single_steps(file).stacks
    for one, other in zip(stacks(file, call_frames=False), exact, strict=False):
        assert one == other[:len(one)]


def test_file_that_is_another_one_by_now(tmp_path):
    """Its call frame information is of no use; symbols are those of the program."""
    path = tmp_path / "program.elf"
    shutil.copy(program(CALL_FRAMES, ROUNDS), path)
    with vm.Machine(memory="2M") as machine:
        machine.load(path)
        path.write_bytes(program(FRAME_POINTERS, ROUNDS).read_bytes())
        with machine.profile(10) as profile:
            machine.run()
    assert {"spin", "leaf"} <= {line.name for line in profile.top()}


def test_depth():
    file = program(CALL_FRAMES, ROUNDS)
    expected = [stack[:3] for stack in single_steps(file).stacks]
    assert stacks(file, depth=3)[:-1] == expected


def test_damaged_call_frame_information():
    """Is an error that names the file, or leads to other rows."""
    whole = program(CALL_FRAMES, ROUNDS).read_bytes()
    section = ELFFile(BytesIO(whole)).get_section_by_name(".eh_frame")
    damaged = 0
    for seed in range(200):
        draw, data = random.Random(seed), bytearray(whole)
        data[section["sh_offset"] + draw.randrange(section["sh_size"])] = draw.choice([0, 1, 0x80, 0xFF])
        try:
            frames = CallFrames("it.elf", bytes(data))
            for pc in range(BASE, BASE + 0x400, 2):
                frames.row(pc)
        except vm.LoadError as error:
            assert str(error).startswith("it.elf: damaged call frame information (")
            damaged += 1
    assert 20 < damaged < 200


# A user program whose stack lies in other pages than its addresses say, and a kernel with a stack of its own.
FRAME = "addi sp, sp, -16; sd ra, 8(sp); sd s0, 0(sp); addi s0, sp, 16"
UNFRAME = "ld ra, 8(sp); ld s0, 0(sp); addi sp, sp, 16; ret"
SPACES = f"""
    wfi
user:
    call outer
    j    user
outer:
    {FRAME}
    call inner
    {UNFRAME}
inner:
    {FRAME}
    li   t0, 20
1:  addi t0, t0, -1; bnez t0, 1b
    ecall
    {UNFRAME}
    .balign 4
kernel:
    csrrw sp, sscratch, sp
    call serve
    csrrw sp, sscratch, sp
    csrr t0, sepc; addi t0, t0, 4; csrw sepc, t0
    sret
serve:
    {FRAME}
    li   t0, 20
1:  addi t0, t0, -1; bnez t0, 1b
    {UNFRAME}
"""
USER, USER_STACK = 0x4000_0000, 0x1000
SUM = 1 << 18


@pytest.mark.parametrize("kernel, status", [(0x5000_0000, 0), (0xFFFF_FFC0_0000_0000, SUM)], ids=["low", "high"])
def test_user_and_kernel_stacks_are_apart(kernel, status, guest, engine):
    """Through page tables, of each privilege its own."""
    g = guest(SPACES, engine=engine)
    g.open_pmp()
    tables = PageTables(g)
    tables.map(USER, BASE, ALL | U)
    tables.map(USER_STACK, BASE + 0x18000, ALL | U)
    tables.map(kernel, BASE)
    tables.map(kernel + PAGE, BASE + 0x19000)
    g["satp"], g["medeleg"], g["mstatus"] = tables.satp, 1 << 8, status
    g["stvec"] = g.address("kernel") - BASE + kernel
    g["sscratch"], g["sp"], g["s0"] = kernel + 2 * PAGE, USER_STACK + PAGE, 0
    g.hart.privilege, g.hart.pc = 0, g.address("user") - BASE + USER
    file = g.machine.program.path
    with g.machine.profile(1, symbols=[(file, USER - BASE), (file, kernel - BASE)]) as profile:
        g.run(instructions=1_000)
    rows = profile.array
    found = {(int(row["privilege"]), profile.names(int(row["stack"]))) for row in rows}
    assert found == {(0, ("user",)), (0, ("outer", "user")), (0, ("inner", "outer", "user")),
                     (1, ("kernel",)), (1, ("serve", "kernel"))}
    assert set(rows["satp"].tolist()) == {tables.satp}
    folded = profile.folded(by=("process", "privilege"))
    assert f"satp {tables.satp:#x};supervisor;kernel;serve " in folded
    assert f"satp {tables.satp:#x};user;user;outer;inner " in folded


def test_stack_that_leads_nowhere(guest):
    """To a device, out of RAM, over the end of a page, round in a circle."""
    g = guest("here: addi a0, a0, 1; call away; away: addi a0, a0, 1; j away")
    asked = []
    g.machine.board.uart.read = lambda *arguments: asked.append(arguments)
    for frame in (0x1000_0010, 1 << 40, (1 << 64) - 8, 3, 0, BASE, BASE + 8):
        g["s0"], g["sp"], g.hart.pc = frame, max(frame - 16, 0), g.address("here")
        with g.machine.profile(1) as profile:
            g.run(instructions=3)
        assert [len(stack) for stack in profile.stacks][-1] <= 2
    g["sp"], g["s0"] = BASE + 0x1000, BASE + 0x1010
    g.store(BASE + 0x1008, g.address("away"))
    g.store(BASE + 0x1000, BASE + 0x1010)
    with g.machine.profile(1) as profile:
        g.run(instructions=3)
    assert not asked and max(len(stack) for stack in profile.stacks) <= 3
