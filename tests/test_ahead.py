"""Programs that are compiled before they run: nothing is left to compile, and steps and results are the same."""

import pytest

import vm
from tests.assembler import assemble_elf
from vm.ahead import compile_program, take_compiled
from vm.errors import ConfigurationError
from vm.privilege import Privilege
from vm_native.jit.compiler import unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="nothing is compiled on this host")

# Loops, calls, a branch that never jumps, a trap that comes back, and a store into the program itself.
PROGRAM = """
    la   t0, handler
    csrw mtvec, t0
    li   s0, 200
outer:
    li   a0, 0
    li   s1, 50
inner:
    call add
    addi s1, s1, -1
    bnez s1, inner
    beqz a0, never
    ecall
    la   t1, patched
    lw   t2, 0(t1)
    li   t3, 1 << 20
    add  t2, t2, t3
    sw   t2, 0(t1)
    fence.i
patched:
    addi a1, zero, 0
    add  a2, a2, a1
    addi s0, s0, -1
    bnez s0, outer
    wfi
never:
    j    never
    .type add, @function
add:
    addi a0, a0, 3
    ret
    .balign 4
handler:
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    addi a3, a3, 1
    mret
"""
REGISTERS = ("a0", "a1", "a2", "a3", "s0")


def run(elf: bytes, image=None, **options):
    with vm.Machine(memory="4M", **options) as machine:
        machine.load(elf)
        if image is not None:
            take_compiled(machine, image)
        stop = machine.run(instructions=1_000_000)
        return stop.reason, machine.steps, [machine.harts[0][name] for name in REGISTERS], machine.stats()


def compiled(elf: bytes, path, privileges=(Privilege.MACHINE,), training=0, **options):
    with vm.Machine(memory="4M", engine="jit", **options) as machine:
        machine.load(elf)
        assert compile_program(machine, path, privileges, training) == path.stat().st_size
    return path


@pytest.mark.parametrize("training", [0, 3_000, 1_000_000])
def test_it_does_the_same(training, tmp_path):
    elf = assemble_elf(".option norvc\n" + PROGRAM)
    image = compiled(elf, tmp_path / "image", training=training)
    *cold, _ = run(elf, engine="interpreter")
    *warm, _ = run(elf, image, engine="jit")
    assert warm == cold
    assert warm[2][3] == 200


@pytest.mark.parametrize("call", ["jal 2f", "1: auipc ra, %pcrel_hi(2f); jalr ra, %pcrel_lo(1b)(ra)"])
def test_nothing_is_left_to_compile(call, tmp_path):
    """The function has no symbol, and nothing leads to it but the call."""
    elf = assemble_elf(f"""
        li   s0, 5000
    again:
        {call}
        addi s0, s0, -1
        bnez s0, again
    0:  wfi
        j    0b
    2:  addi a0, a0, 1
        ret
    """)
    image = compiled(elf, tmp_path / "image")
    _, _, registers, stats = run(elf, image, engine="jit")
    assert registers[0] == 5000
    assert stats["jit"]["traces"] == 0
    assert stats["jit"]["interpreted"] < 100


def test_too_little_room(tmp_path):
    """More code than code memory holds: an error, and no file."""
    body = "\n".join(f"ld a{n % 6}, {8 * n % 2000}(s{2 + n % 9})\nbeqz a0, .+8" for n in range(9000))
    elf = assemble_elf(f"{body}\nwfi")
    with pytest.raises(ConfigurationError, match="VM_JIT_BYTES"):
        compiled(elf, tmp_path / "image", settings=vm.Settings(code_bytes=512 << 10))
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("training", [0, 20, 1000])
def test_large_programs_are_compiled_into_traces(training, tmp_path):
    """Not block by block first, as while they run: an image never changes."""
    elf = assemble_elf("loop: addi a0, a0, -1\nbeqz a0, end\nj loop\nend: wfi")
    with vm.Machine(memory="64M", engine="jit", settings=vm.Settings(hot=8, draft_bytes=0)) as machine:
        machine.compiler.marking = True
        machine.load(elf)
        compile_program(machine, tmp_path / "image", (Privilege.MACHINE,), training)
        traces = [{pc for pc, _ in marks if pc} for *_, marks in machine.compiler.traces()]
    assert max(map(len, traces)) >= 3           # the two blocks of the loop have 2 and 1


def test_memory_behind_the_program_is_not_compiled(tmp_path):
    """Zeroes are no instructions."""
    with vm.Machine(memory="64M", engine="jit") as machine:
        machine.load(assemble_elf("ecall; csrr a0, mepc; wfi"))
        compile_program(machine, tmp_path / "image", (Privilege.MACHINE,))
        assert machine.stats()["jit"]["instructions"] < 50


def test_an_engine_that_compiles_nothing(tmp_path):
    with vm.Machine(memory="4M", engine="interpreter") as machine:
        machine.load(assemble_elf("wfi"))
        with pytest.raises(ConfigurationError, match="engine='jit'"):
            compile_program(machine, tmp_path / "image", (Privilege.MACHINE,))


def test_other_parts_of_the_compiler(tmp_path):
    elf = assemble_elf(PROGRAM)
    image = compiled(elf, tmp_path / "image")
    with pytest.raises(vm.VmError, match="other parts of the compiler"):
        run(elf, image, engine="jit", settings=vm.Settings(switches={"windows": False}))
