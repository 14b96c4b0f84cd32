"""What a machine starts with: where it comes from, that it is kept, and that what is refused changes nothing."""

import io
import re
import subprocess
import sys

import pytest

import vm
from tests.assembler import BASE, FLAGS, assemble, assemble_elf, compile_elf
from tests.tools import needs
from vm.errors import LoadError
from vm.loaders.linux import HEADER, MAGIC2

MIB = 1 << 20
SUPERVISOR = 1
HELLO = """
    li t0, 0x10000000
    la t1, text
1:  lbu t2, (t1)
    beqz t2, 2f
    sb t2, (t0)
    addi t1, t1, 1
    j 1b
2:  li t0, 0x100000
    li t1, 0x5555
    sw t1, (t0)
3:  j 3b
text: .asciz "hello\\n"
"""


@pytest.fixture
def machine():
    with vm.Machine(memory="64M") as machine:
        yield machine


def image(body=b"\x13\0\0\0", image_size=0):
    """A Linux Image that is no Linux."""
    size = max(HEADER.size + len(body), image_size)
    return HEADER.pack(bytes(8), 2 * MIB, size, 0, 2, 0, 0, b"RISCV\0\0\0", MAGIC2, 0) + body


def device_tree(machine):
    """The blob that the guest is given."""
    address = machine.harts[0]["a1"]
    return machine.memory.read(address, int.from_bytes(machine.memory.read(address + 4, 4), "big"))


# --- Where it comes from, and that it is kept -------------------------------------------------------------------------

@pytest.mark.parametrize("wrap", [
    str, lambda path: path, lambda path: path.read_bytes(), lambda path: io.BytesIO(path.read_bytes()),
    lambda path: path.open("rb"),
], ids=["str", "Path", "bytes", "BytesIO", "file"])
def test_a_program_comes_from_anywhere(machine, wrap):
    machine.load(wrap(assemble_elf(HELLO)))
    machine.run()
    assert machine.console.text == "hello\n"


def test_a_kernel_and_all_that_belongs_to_it_come_from_anywhere(machine):
    linux = machine.boot(image(), initrd=io.BytesIO(b"disk"), firmware=bytearray(assemble("j .")))
    assert machine.memory.read(linux.initrd.base, 4) == b"disk"
    assert (linux.path, machine.program.path) == ("<bytes>", "<bytearray>")


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"changed")])
def test_a_reset_needs_no_file(machine, tmp_path, change):
    path = tmp_path / "program.elf"
    path.write_bytes(assemble_elf(HELLO).read_bytes())
    machine.load(path)
    change(path)
    machine.memory.write(BASE, bytes(16))
    machine.reset()
    machine.run()
    assert machine.console.text == "hello\n"


def test_a_reset_restores_kernel_initrd_and_tree(machine):
    linux = machine.boot(image(), initrd=b"disk", cmdline="quiet")
    places = (linux.entry, linux.initrd.base, linux.dtb_address)
    before = [machine.memory.read(place, 4) for place in places]
    for place in places:
        machine.memory.write(place, b"gone")
    machine.reset()
    assert [machine.memory.read(place, 4) for place in places] == before
    assert b"quiet\0" in device_tree(machine)


# --- Kernels that are no Linux Image ----------------------------------------------------------------------------------

SUPERVISOR_SCRIPT = "ENTRY(_start) SECTIONS { . = 0x80200000; .text : { *(.text) *(.data) } }"


@pytest.mark.parametrize("form", ["ELF", "raw"])
def test_a_kernel_of_another_kind_starts_as_linux_does(machine, form):
    """In S-mode, a0 = hart, a1 = device tree (the kernel's Documentation/arch/riscv/boot.rst)."""
    source = ".globl _start\nnop\n_start: li a7, 1\nli a0, 65\necall\nli a7, 8\necall\n"
    elf = compile_elf((("kernel.S", source),), FLAGS, SUPERVISOR_SCRIPT)
    if form == "ELF":
        linux = machine.boot(elf)
        assert linux.symbols["_start"].address == linux.entry == 0x8020_0002
    else:
        linux = machine.boot(assemble("li a7, 1; li a0, 65; ecall; li a7, 8; ecall"), address=0x8020_0002)
    hart = machine.harts[0]
    assert (hart.pc, hart.privilege, hart["a0"], hart["a1"]) == (linux.entry, SUPERVISOR, 0, linux.dtb_address)
    assert machine.run().reason is vm.StopReason.POWER_OFF
    assert machine.console.text == "A"


# --- The command line -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("given, expected", [
    ("motd=grüße", "motd=grüße".encode()), (b"a=\xff\xfe", b"a=\xff\xfe"), ("a=\udcff", b"a=\xff"),
])
def test_a_command_line_is_bytes(machine, given, expected):
    machine.boot(image(), cmdline=given)
    assert expected + b"\0" in device_tree(machine)


@pytest.mark.parametrize("given, words", [("a\0b", "cmdline: a NUL at byte 1"), (b"\0", "cmdline: a NUL at byte 0"),
                                          ("\ud800", "cmdline: .*surrogates"), (5, "cmdline=5: .* str or bytes"),
                                          (None, "cmdline=None: ")])
def test_a_command_line_that_cannot_be_is_refused(machine, given, words):
    with pytest.raises(LoadError, match=words):
        machine.boot(image(), cmdline=given)


def test_a_long_command_line_has_room(machine, caplog):
    """Linux takes 1023 bytes of it and drops the rest: that is said. Others take more."""
    linux = machine.boot(image(), initrd=bytes(20 * MIB), cmdline="x" * 3 * MIB)
    assert b"x" * 3 * MIB + b"\0" in device_tree(machine)
    assert linux.dtb_address + 3 * MIB < BASE + 64 * MIB
    assert linux.initrd.end <= linux.dtb_address or linux.initrd.base >= linux.dtb_address + 3 * MIB
    assert "the command line has 3145728 bytes; Linux takes the first 1023" in caplog.text


# --- What is refused: nothing has changed -----------------------------------------------------------------------------

def starting_at(entry):
    """An ELF file that says so."""
    data = bytearray(assemble_elf("nop").read_bytes())
    data[24:32] = entry.to_bytes(8, "little")       # e_entry
    return bytes(data)


TOHOST = "nop\n.globl tohost\n .equ tohost, {}\n"
FROMHOST = "nop\n.globl tohost, fromhost\n .equ tohost, 0x80001000\n .equ fromhost, {}\n"
REFUSED = {
    "missing": (lambda m: m.load("missing.elf"), "missing.elf: no such file"),
    "odd-entry": (lambda m: m.load(starting_at(BASE + 1)), "starts at 0x80000001, which is not aligned"),
    "odd-address": (lambda m: m.load(bytes(8), address=BASE + 1), "starts at 0x80000001, which is not aligned"),
    "entry-outside": (lambda m: m.load(starting_at(0)), "starts at 0x0, outside RAM"),
    "entry-at-the-end": (lambda m: m.load(starting_at((1 << 64) - 2)), "starts at 0xfffffffffffffffe, outside RAM"),
    "end-of-space": (lambda m: m.load(bytes(8), address=(1 << 64) - 8), "outside RAM"),
    "past-the-end": (lambda m: m.load(bytes(8), address=1 << 64), "outside RAM"),
    "negative": (lambda m: m.load(bytes(8), address=-8), "outside RAM"),
    "tohost-outside": (lambda m: m.load(assemble_elf(TOHOST.format("0x1000"))), "symbol tohost .0x1000..0x1008"),
    "tohost-high": (lambda m: m.load(assemble_elf(TOHOST.format("0xffffffffffffffff"))), "symbol tohost"),
    "tohost-across": (lambda m: m.load(assemble_elf(TOHOST.format("0x80000ffc"))), "symbol tohost .*one page"),
    "fromhost-outside": (lambda m: m.load(assemble_elf(FROMHOST.format("0x1000"))), "symbol fromhost"),
    "elf-address": (lambda m: m.load(assemble_elf("nop"), address=BASE), "an ELF file, .* leave out the address 0x8"),
    "elf-kernel-address": (lambda m: m.boot(assemble_elf("nop"), address=BASE), "an ELF file, .* leave out the"),
    "image-address": (lambda m: m.boot(image(), address=BASE), "a Linux Image, .* leave out the address 0x80000000"),
    "no-room-for-tree": (lambda m: m.load(bytes(64 * MIB), address=BASE), "no room for the device tree"),
    "kernel": (lambda m: m.boot(b"\x13\0\0\0" * 100), "neither a Linux kernel Image .* nor an ELF file"),
    "odd-kernel": (lambda m: m.boot(b"\x13\0\0\0", address=0x8020_0001), "starts at 0x80200001, which is not aligned"),
    "initrd": (lambda m: m.boot(image(), initrd="missing.gz"), "missing.gz: no such file"),
    "long-cmdline": (lambda m: m.boot(image(image_size=61 * MIB), cmdline="x" * 4 * MIB), "with the command line"),
    "long-firmware": (lambda m: m.boot(image(), firmware=bytes(3 * MIB)),
                      "the kernel .0x80200000.* would overwrite memory of the firmware .0x80000000..0x80300000"),
    "firmware-elf": (lambda m: m.boot(image(), firmware=assemble_elf("nop; .data; .space 0x200000")),
                     "memory of the firmware"),
    "tree-of-fw_jump": (lambda m: m.boot(image(image_size=40 * MIB), firmware=assemble("j .")),
                        "memory of the firmware .0x82200000.."),
    "firmware": (lambda m: m.boot(image(), firmware="missing.bin"), "missing.bin: no such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_start_that_is_refused_changes_nothing(machine, name):
    start, words = REFUSED[name]
    machine.load(assemble_elf("li s0, 0x10000000; li t0, 3; sb t0, 7(s0); 1: addi a0, a0, 1; j 1b"))     # UART scratch
    machine.run(instructions=1000)

    def state():
        hart = machine.harts[0]
        return (hart.pc, list(hart.x), machine.steps, machine.memory.read(BASE, 64 * MIB), machine.program,
                machine.board.uart.read(7, 1), machine.board.rom.data)

    before = state()
    with pytest.raises(LoadError, match=words) as caught:
        start(machine)
    assert "\n" not in str(caught.value)
    assert state() == before
    machine.reset()
    machine.run(instructions=1000)
    assert machine.harts[0].pc == before[0]


def test_an_entry_between_words_needs_compressed_instructions():
    with vm.Machine(memory="64M", isa="rv64ima") as machine:
        with pytest.raises(LoadError, match="not aligned .* 4 bytes, without compressed instructions"):
            machine.load(bytes(8), address=BASE + 2)
        machine.load(bytes(8), address=BASE + 4)


# --- What it costs ----------------------------------------------------------------------------------------------------

def resident():
    with open("/proc/self/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) << 10


def test_memory_that_is_named_is_not_taken():
    """Far more RAM than the host has, and a bss of 2 GiB in it."""
    script = "ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *(.text) } .bss : { *(.bss) } }"
    path = compile_elf((("program.S", f".globl _start\n_start:\n{HELLO}\n.bss\n.space 0x80000000"),), FLAGS, script)
    with vm.Machine(memory="1T") as machine:
        before = resident()
        program = machine.load(path)
        assert program.end > BASE + (2 << 30)
        machine.run()
        machine.reset()
        assert machine.console.text == "hello\n"
        assert resident() - before < 64 * MIB


def test_a_reset_gives_back_what_the_bss_took():
    script = "ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *(.text) } .bss : { *(.bss) } }"
    path = compile_elf((("program.S", ".globl _start\n_start: wfi\n.bss\n.space 0x8000000"),), FLAGS, script)
    with vm.Machine(memory="512M") as machine:
        program = machine.load(path)
        end = program.segments[-1].end
        machine.memory.write(end - 100 * MIB, b"x" * (100 * MIB))
        machine.memory.write(end, b"kept")
        before = resident()
        machine.reset()
        assert before - resident() > 90 * MIB
        assert machine.memory.read(end - 8, 12) == bytes(8) + b"kept"


def test_a_plain_run_imports_no_library_for_files():
    """Each takes as long to import as a small program to run."""
    script = f"import sys; from vm.cli import main\ntry: main(['run', {str(assemble_elf(HELLO))!r}])\n" \
             "finally: print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    loaded = process.stdout.split()
    assert loaded[0] == "hello" and "vm.machine" in loaded, process.stderr
    assert not {"elftools", "vm.loaders.linux", "vm.loaders.compression"} & {*loaded}


# --- Beside QEMU ------------------------------------------------------------------------------------------------------

@needs("qemu-system-riscv64", "riscv64-unknown-elf-ld")
@pytest.mark.parametrize("options", ["", "--build-id", "-n", "-N"])
def test_programs_of_the_plain_link_run_as_on_qemu(machine, tmp_path, options):
    (tmp_path / "hello.S").write_text(f".globl _start\n_start:\n{HELLO}")
    path = tmp_path / "hello.elf"
    for command in ("as hello.S -o hello.o", f"ld -Ttext=0x80000000 {options} hello.o -o hello.elf"):
        subprocess.run(f"riscv64-unknown-elf-{command}".split(), cwd=tmp_path, check=True, capture_output=True)
    qemu = subprocess.run(["qemu-system-riscv64", "-M", "virt", "-bios", "none", "-nographic", "-kernel", path],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    machine.load(path)
    assert machine.run().reason is vm.StopReason.POWER_OFF
    assert machine.console.text == qemu.stdout.decode() == "hello\n"
