"""Memory anywhere: the bare board, and regions beside the RAM of virt."""

from pathlib import Path

import numpy as np
import pytest

import vm
from docs.examples.counter import Counter
from tests.assembler import assemble, compile_elf
from vm.boards.bare import TRAP_VECTOR
from vm.devices import UART, Entropy, VirtioConsole

CODE, DATA, FLASH, NOWHERE = 0x1_0000, 0x2000_0000, 0x0800_0000, 0x7777_0000
UART_AT = 0x4000_0000

# As newlib's linker scripts have it: code at 0x10000 and data behind it.
LOW = "ENTRY(_start) SECTIONS { . = 0x10000; .text : { *(.text*) } . = 0x12000; .data : { *(.data*) *(.bss*) } }"
SUM = """
    static unsigned long calls = 0;
    unsigned long sum(const unsigned *words, unsigned long count) {
        unsigned long total = 0;
        calls++;
        for (unsigned long i = 0; i < count; i++) total += words[i];
        return total;
    }
    unsigned long count_calls(void) { return calls; }
    void _start(void) { for (;;); }
"""


def bare(*regions, **options) -> vm.Machine:
    machine = vm.Machine(board="bare", **options)
    for region in regions or ((CODE, "64K"),):
        machine.map(*region)
    return machine


def put(machine: vm.Machine, source: str, address: int = CODE) -> None:
    machine.memory.write(address, assemble(source))


# --- Calling ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("engine", ["interpreter", "auto"])
def test_function_of_an_elf(engine):
    """The whole of it in fewer than twenty lines."""
    elf = compile_elf((("sum.c", SUM),), script=LOW)
    with vm.Machine(board="bare", engine=engine) as machine:
        machine.map(CODE, "64K")
        machine.map(DATA, "1M")
        program = machine.load(elf)
        words = np.arange(1000, dtype=np.uint32)
        machine.memory.write(DATA, words)
        hart = machine.harts[0]
        for calls in range(1, 4):
            hart.pc = program.symbols["sum"].address
            hart["a0"], hart["a1"], hart["sp"], hart["ra"] = DATA, len(words), DATA + 0x10_0000, NOWHERE
            stop = machine.run()
            assert stop.pc == NOWHERE and hart["a0"] == words.sum()
            hart.pc, hart["ra"] = program.symbols["count_calls"].address, NOWHERE
            assert machine.run().pc == NOWHERE and hart["a0"] == calls


@pytest.mark.parametrize("back", [0, NOWHERE])
def test_return_to_where_nothing_is_ends_the_run(back):
    with bare() as machine:
        put(machine, "add a0, a0, a1; ret")
        hart = machine.harts[0]
        hart["a0"], hart["a1"], hart["ra"], hart.pc = 3, 4, back, CODE
        stop = machine.run()
        assert (stop.reason, stop.pc, stop.cause, stop.value) == (vm.StopReason.TRAP_LOOP, back, 1, back)
        assert stop.steps == 2 + 2              # the trap, and the one at the handler that is not there
        assert hart["a0"] == 7 and hart["mepc"] == TRAP_VECTOR


@pytest.mark.parametrize("source, cause, value, at", [
    ("nop; lw a0, 16(zero)", 5, 16, 2), ("sw a0, 16(zero)", 7, 16, 0), ("ecall", 11, 0, 0),
    ("ebreak", 3, None, 0), (".word 0", 2, 0, 0),
])
def test_trap_that_nobody_handles_is_named(source, cause, value, at):
    """Privileged specification, table of mcause."""
    with bare() as machine:
        put(machine, source)
        machine.harts[0].pc = CODE
        stop = machine.run()
        assert (stop.reason, stop.cause, stop.pc) == (vm.StopReason.TRAP_LOOP, cause, CODE + at)
        assert value is None or stop.value == value
        assert hex(CODE + at) in stop.message


@pytest.mark.parametrize("privilege, user", [(1, 0), (0, 1 << 4)])
def test_function_behind_page_tables(privilege, user):
    """As of a kernel, which is linked high: one gigapage at the top of Sv39's space; the return is a page fault."""
    high = (1 << 64) - (1 << 30)
    with bare((CODE, "64K"), (DATA, "4K")) as machine:
        put(machine, "add a0, a0, a1; ret")
        leaf = 0b1100_1111 | user               # V R W X, A D, at physical address 0
        machine.memory.write(DATA + 8 * 511, leaf.to_bytes(8, "little"))
        hart = machine.harts[0]
        hart["satp"], hart["pmpaddr0"], hart["pmpcfg0"] = 8 << 60 | DATA >> 12, (1 << 54) - 1, 0x1F
        for _ in range(2):
            hart.privilege, hart.pc = privilege, high + CODE
            hart["a0"], hart["a1"], hart["ra"] = 2, 3, NOWHERE
            stop = machine.run()
            assert (stop.reason, stop.pc, stop.cause) == (vm.StopReason.TRAP_LOOP, NOWHERE, 12)
            assert hart["a0"] == 5 and hart.privilege == 3


def test_trap_with_memory_at_zero_does_not_run_there():
    with bare((0, "4K"), (CODE, "64K")) as machine:
        put(machine, "lw a0, 0(a0)")
        machine.harts[0]["a0"], machine.harts[0].pc = NOWHERE, CODE
        stop = machine.run()
        assert (stop.pc, stop.cause) == (CODE, 5)


def test_handler_of_the_guest():
    with bare() as machine:
        put(machine, "la t0, handler; csrw mtvec, t0; ecall; wfi; .balign 4; handler: csrr a0, mcause; wfi")
        machine.harts[0].pc = CODE
        assert machine.run().reason is vm.StopReason.IDLE
        assert machine.harts[0]["a0"] == 11


def test_reset_brings_the_trap_vector_back(tmp_path):
    program = tmp_path / "program.bin"
    program.write_bytes(assemble("csrw mtvec, zero; wfi"))
    with bare() as machine:
        machine.load(program, address=CODE)
        machine.run()
        assert machine.harts[0]["mtvec"] == 0
        machine.reset()
        assert machine.harts[0]["mtvec"] == TRAP_VECTOR and machine.harts[0].pc == CODE


# --- Without a file --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"harts": 2}])
def test_machine_runs_what_was_written(options):
    with vm.Machine(memory="2M", **options) as machine:
        put(machine, "addi a0, a0, 1; wfi", 0x8000_1000)
        for hart in machine.harts:
            hart.pc = 0x8000_1000
        assert machine.run().reason is vm.StopReason.IDLE
        assert [hart["a0"] for hart in machine.harts] == [1] * len(machine.harts)


def test_device_answers_a_program_that_was_written():
    with vm.Machine(memory="2M") as machine:
        machine.attach(Counter(), 0x1001_0000)
        put(machine, "li t0, 0x10010000; lw a0, 4(t0); lw a0, 4(t0); wfi", 0x8000_0000)
        machine.harts[0].pc = 0x8000_0000
        machine.run()
        assert machine.harts[0]["a0"] == 2


def test_hart_that_is_nowhere_is_named():
    with bare(harts=2) as machine:
        machine.harts[0].pc = CODE
        with pytest.raises(vm.LoadError, match="nothing is loaded, and at pc 0x0 of hart 1 is no memory"):
            machine.run()
        assert machine.steps == 0


# --- Regions ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("regions, arguments, said", [
    ([(0x1000, 0x2000)], (0x2000, 0x1000), "RAM at 0x2000..0x3000 overlaps RAM at 0x1000..0x3000"),
    ([(0x1000, 0x1000, "rom")], (0, 0x2000), "RAM at 0x0..0x2000 overlaps ROM at 0x1000..0x2000"),
    ([], (0x1001, 0x1000), "address=0x1001: memory begins at a multiple of 4096, as 0x1000 is"),
    ([], (0x1000, 0x1001), "size 4097: not a multiple of 4096"), ([], (0x1000, 0), "nothing at all"),
    ([], (0x1000,), "a region at 0x1000: say its size"), ([], (0x1000, 0x1000, "flash"), "kind='flash'"),
    ([], ("0x1000", 0x1000), "address='0x1000': must be a whole number"), ([], (-4096, 4096), "have 56 bits"),
    ([], (1 << 56, 4096), "have 56 bits"), ([], ((1 << 64) - 4096, 4096), "have 56 bits"),
])
def test_regions_that_cannot_be(regions, arguments, said):
    with vm.Machine(board="bare") as machine:
        for region in regions:
            machine.map(*region)
        before = repr(machine.memory)
        with pytest.raises(vm.ConfigurationError, match=said):
            machine.map(*arguments)
        assert repr(machine.memory) == before


@pytest.mark.parametrize("address, size, other", [
    (0x8000_0000, "4K", "RAM at 0x80000000..0x80200000"), (0x1000_0000, "64K", "uart at 0x10000000"),
    (0x0C00_0000, "4K", "plic at 0xc000000"),
])
def test_region_over_what_virt_has(address, size, other):
    with vm.Machine(memory="2M") as machine, pytest.raises(vm.ConfigurationError, match=f"overlaps {other}"):
        machine.map(address, size)


def test_device_over_a_region():
    for machine in (bare((0x4000_0000, "64K")), vm.Machine(memory="2M")):
        with machine:
            if len(machine.board.devices):
                machine.map(0x4000_0000, "64K")
            with pytest.raises(vm.ConfigurationError, match="RAM"):
                machine.attach(Counter(), 0x4000_8000)


def test_content(tmp_path):
    file = tmp_path / "flash.bin"
    file.write_bytes(b"from a file")
    with vm.Machine(board="bare") as machine:
        machine.map(FLASH, kind="rom", file=file)
        machine.map(DATA, "1M", data=np.arange(4, dtype="<u4"))
        assert machine.memory.read(FLASH, 4096) == b"from a file" + bytes(4085)
        assert machine.memory.array(DATA, 4, "<u4").tolist() == [0, 1, 2, 3]
        assert len(machine.memory.view(FLASH, 4096)) == 4096
        with pytest.raises(vm.BusError):
            machine.memory.read(FLASH + 4096, 1)


@pytest.mark.parametrize("options, error, said", [
    ({"data": bytes(4097), "size": 4096}, vm.ConfigurationError, "4,097 bytes do not go into 4,096"),
    ({"data": b"x", "file": "y"}, vm.ConfigurationError, "file= and data="),
    ({"data": b""}, vm.ConfigurationError, "say its size"),
    ({"data": "text"}, vm.ConfigurationError, "data= is a str that cannot be mapped"),
    ({"data": np.arange(8)[::2]}, vm.ConfigurationError, "without gaps"),
    ({"file": "/nonexistent/flash.bin"}, vm.LoadError, "/nonexistent/flash.bin: no such"),
])
def test_content_that_does_not_go_there(options, error, said):
    with vm.Machine(board="bare") as machine:
        with pytest.raises(error, match=said):
            machine.map(FLASH, **options)
        assert "nothing is mapped" in repr(machine.memory)


def test_as_many_regions_as_fit():
    with vm.Machine(board="bare") as machine:
        for number in range(64):
            machine.map(number << 20, 4096)
        with pytest.raises(vm.ConfigurationError, match="64 regions"):
            machine.map(1 << 30, 4096)
        put(machine, "li a0, 9; wfi", 63 << 20)
        machine.harts[0].pc = 63 << 20
        machine.run()
        assert machine.harts[0]["a0"] == 9


def test_mapped_between_two_runs():
    """Where nothing answered before, and nothing of that is remembered."""
    with bare() as machine:
        put(machine, "lw a0, 0(a1); jr a2")
        hart = machine.harts[0]
        for target in (DATA, DATA + 0x1000):
            hart["a1"], hart["a2"], hart.pc = target, target + 8, CODE
            assert machine.run().cause == 5
            machine.map(target, 4096)
            put(machine, ".word 5; nop; nop; li a0, 6; wfi", target)
            hart.pc = CODE
            assert machine.run().reason is vm.StopReason.IDLE and hart["a0"] == 6


def test_regions_that_touch_are_one_memory():
    """To Python and to the guest: an access, an instruction and a string of bytes may lie on both."""
    with bare((CODE, "4K"), (CODE + 0x1000, "8K", "rom"), (CODE + 0x3000, "4K")) as machine:
        content = np.random.default_rng(1).bytes(0x3000)
        machine.memory.write(CODE + 0x800, content)
        assert machine.memory.read(CODE + 0x800, 0x3000) == content
        with pytest.raises(vm.BusError):
            machine.memory.write(CODE + 0x3800, bytes(0x1000))
        assert machine.memory.read(CODE + 0x3000, 0x800) == content[0x2800:]
        put(machine, ".option norvc; ld a0, 0(a1); addi a2, a0, 1; wfi", CODE + 0xFFE)
        hart = machine.harts[0]
        hart["a1"], hart.pc = CODE + 0x2FFD, CODE + 0xFFE
        assert machine.run().reason is vm.StopReason.IDLE
        assert hart["a0"] == int.from_bytes(content[0x27FD:0x2805], "little") and hart["a2"] == hart["a0"] + 1


def test_program_that_lies_on_two_regions():
    with bare((CODE + 0x1000, "4K", "rom"), (DATA, "4K"), (CODE, "4K")) as machine:
        program = assemble("nop\n" * 16 + "li a0, 7; wfi")
        start = CODE + 0x1000 - 16
        assert machine.load(program, address=start).segments[0].base == start
        assert machine.run().reason is vm.StopReason.IDLE and machine.harts[0]["a0"] == 7
        with pytest.raises(vm.LoadError, match="outside RAM"):
            machine.load(program, address=CODE + 0x2000 - 16)
        with pytest.raises(vm.ConfigurationError, match="address='x': must be a whole number"):
            machine.load(program, address="x")


@pytest.mark.parametrize("first", [CODE, DATA])
def test_headers_below_a_region_are_left_out(first):
    """As those that -Ttext brings, whichever region was mapped first."""
    script = (f"ENTRY(_start) PHDRS {{ all PT_LOAD FILEHDR PHDRS; }} "
              f"SECTIONS {{ .text {CODE:#x} : {{ *(.text) }} :all }}")
    elf = compile_elf((("start.s", ".globl _start; _start: li a0, 7; wfi"),), script=script)
    with bare((first, "64K"), (CODE + DATA - first, "64K")) as machine:
        machine.load(elf)
        assert machine.run().reason is vm.StopReason.IDLE and machine.harts[0]["a0"] == 7


def test_region_beside_the_memory_of_virt(tmp_path):
    """A program in flash, as that of a microcontroller; RAM is where it always is."""
    program = tmp_path / "program.bin"
    program.write_bytes(assemble("li t0, 0x80000000; lw a0, 0(t0); wfi"))
    with vm.Machine(memory="16M") as machine:
        machine.map(0x2000_0000, "4M", "rom")
        machine.memory.write(0x8000_0000, b"\7")
        machine.load(program, address=0x2000_0000)
        assert machine.run().reason is vm.StopReason.IDLE
        assert machine.harts[0]["a0"] == 7 and machine.harts[0]["a1"] >= 0x8000_0000


# --- ROM -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("store", [
    "sb a1, 0(a0)", "sd a1, 0(a0)", "sd a1, 3(a0)", "sd a1, -4(a0)", "amoadd.w a1, a1, (a0)",
    "lr.w a2, (a0); sc.w a1, a1, (a0)", "fsd fa0, 0(a0)", ".word 0x0045200f",
], ids=["byte", "double", "misaligned", "across", "atomic", "conditional", "float", "cbo.zero"])
def test_store_to_rom_is_an_access_fault(store, dispatch):
    """After loads, so that the page is in the TLB, and after Python has written to it."""
    with bare((CODE, "64K"), (DATA - 4096, "4K"), (DATA, "64K", "rom")) as machine:
        machine.memory.write(DATA, b"content!")
        put(machine, f"mv s0, a0; ld a4, 0(a0); lw a5, 4(a0); {store}; j .")
        hart = machine.harts[0]
        hart["mstatus"], hart["menvcfg"] = 0x6000, 0
        for _ in range(3):
            hart["a0"], hart["a1"], hart.pc = DATA, 1, CODE
            stop = machine.run(instructions=100)
            assert (stop.cause, machine.memory.read(DATA, 8)) == (7, b"content!"), stop
            assert hart["a4"] == int.from_bytes(b"content!", "little")
        assert machine.memory.read(DATA - 4, 4) == bytes(4)


def test_code_in_rom_runs_and_python_changes_it(dispatch):
    with bare((FLASH, "64K", "rom")) as machine:
        hart = machine.harts[0]
        for number in (1, 2):
            put(machine, f"li a0, {number}; wfi", FLASH)
            hart.pc = FLASH
            machine.run()
            assert hart["a0"] == number


def test_walk_does_not_set_bits_in_rom():
    """A page table entry in ROM with A clear: an access fault, because hardware cannot write it (section 12.3.2)."""
    with bare((CODE, "64K"), (DATA, "4K", "rom"), isa="rv64gc_svadu") as machine:
        put(machine, "lw a0, 0(a1)")
        leaf, accessed = 0b1111, 1 << 6         # V R W X, one to one: a gigapage
        hart = machine.harts[0]
        for entry, cause in ((leaf | accessed, None), (leaf, 1)):
            machine.memory.write(DATA, entry.to_bytes(8, "little"))
            hart["menvcfg"], hart["pmpaddr0"], hart["pmpcfg0"] = 1 << 61, (1 << 54) - 1, 0x1F
            hart["satp"], hart.privilege, hart.pc, hart["a1"] = 8 << 60 | DATA >> 12, 1, CODE, CODE
            stop = machine.run(instructions=1)
            if cause is None:
                assert hart.pc == CODE + 4 or hart.pc == CODE + 2
            else:
                assert hart["mcause"] == cause and machine.memory.read(DATA, 1)[0] == leaf
            assert stop.steps == 1


# --- The board -------------------------------------------------------------------------------------------------------

def test_console_is_the_first_uart():
    with bare() as machine:
        with pytest.raises(vm.ConfigurationError, match="attach a vm.devices.UART"):
            machine.console.send("x")
        machine.attach(UART(), UART_AT)
        put(machine, "li t0, 0x40000000; 1: lb t1, 5(t0); andi t1, t1, 1; beqz t1, 1b; lb a0, 0(t0); addi a0, a0, 1; "
                     "sb a0, 0(t0); ret")
        machine.harts[0].pc = CODE
        machine.console.send("A")
        assert machine.run(instructions=10_000).pc == 0
        assert machine.console.text == "B"


@pytest.mark.parametrize("device", [UART, VirtioConsole])
def test_program_that_asks_the_host_for_a_key_gets_it(device):
    """HTIF's console reads what is typed, of whichever console device that is."""
    source = """
        .globl _start, tohost, fromhost
        _start: la s0, tohost; la s1, fromhost; li t0, 0x0100000000000000; sd t0, 0(s0)
        1: ld a0, 0(s1); beqz a0, 1b; slli a0, a0, 1; ori a0, a0, 1; andi a0, a0, 0xff; sd a0, 0(s0); 2: j 2b
        .data; .balign 64; tohost: .dword 0; .balign 64; fromhost: .dword 0
    """
    with bare() as machine:
        machine.attach(device(), UART_AT)
        machine.load(compile_elf((("ask.S", source.replace(";", "\n")),), script=LOW))
        assert machine.run(instructions=10_000).reason is vm.StopReason.BUDGET
        machine.console.send("k")
        stop = machine.run(instructions=100_000)
        assert (stop.reason, stop.exit_code) == (vm.StopReason.EXIT, ord("k"))


@pytest.mark.parametrize("device, place, said", [
    (Entropy(), (), "no virtio slots"), (Counter(), (0x1000_0000, 3), "irq=3: a bare board has no interrupt"),
    (Counter(), (0x1000_0001,), "aligned"), (Counter(), ("x",), "address='x'"),
    (Counter(), (-0x1000,), "have 56 bits"), (Counter(), ((1 << 56) - 8,), "have 56 bits"),
])
def test_devices_that_have_no_place(device, place, said):
    with bare() as machine, pytest.raises(vm.ConfigurationError, match=said):
        machine.attach(device, *place)


def test_what_a_bare_board_has_not():
    with pytest.raises(vm.ConfigurationError, match="memory='1G': a bare board"):
        vm.Machine("1G", board="bare")
    with pytest.raises(vm.ConfigurationError, match="board='naked': there is 'virt' and 'bare'"):
        vm.Machine(board="naked")
    with vm.Machine(board="bare") as machine:
        with pytest.raises(vm.LoadError, match=r"no memory yet: machine.map"):
            machine.load(Path(__file__), address=0)
        with pytest.raises(vm.ConfigurationError, match="boots no kernel"):
            machine.boot("Image")
    with pytest.raises(vm.MachineUnusable, match="closed"):
        machine.map(0, 4096)


def test_time_passes():
    """The counter and the supervisor's timer are the hart's own."""
    with bare(isa="rv64gc_zicntr_sstc") as machine:
        put(machine, "csrr a0, time; 1: wfi; csrr a1, time; ret")
        hart = machine.harts[0]
        hart["menvcfg"], hart["stimecmp"], hart["mie"], hart.pc = 1 << 63, 10_000, 1 << 5, CODE
        assert machine.run().pc == 0
        assert hart["a0"] < 10_000 <= hart["a1"]
