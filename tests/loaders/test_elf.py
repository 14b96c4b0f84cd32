"""ELF loading: real executables, made by the GNU assembler and linker; expected values: conftest.py."""

import struct
import subprocess
import sys

import pytest

from tests.loaders.conftest import load
from vm.errors import LoadError
from vm.loaders import Range

E_TYPE, E_MACHINE, E_PHOFF = 16, 18, 32


def test_segments_are_in_memory(build, memory, ram):
    program = load(build(), memory, ram)
    assert program.entry == 0x8000_0000
    assert memory.read(program.symbols["counter"].address, 8) == bytes.fromhex("8877665544332211")
    assert [segment.base for segment in program.segments] == [0x8000_0000, 0x8000_1000]
    assert program.end == program.symbols["tohost"].address + 8


def test_bss_is_zeroed_and_nothing_beyond(build, memory, ram):
    program = load(build(), memory, ram)
    assert memory.read(program.symbols["buffer"].address, 0x3008) == bytes(0x3008)
    assert memory.read(program.end, 16) == b"\xa5" * 16


def test_data_goes_to_its_physical_address(build, memory, ram):
    """A program that copies its data to where it runs: p_paddr differs from p_vaddr."""
    program = load(build(data=0x8010_0000, lma=0x8000_2000), memory, ram)
    assert program.symbols["counter"].address == 0x8010_0000
    assert memory.read(0x8000_2000, 8) == bytes.fromhex("8877665544332211")
    assert memory.read(0x8010_0000, 8) == b"\xa5" * 8


def test_virtual_entry_becomes_physical(build, memory, ram):
    """A kernel linked high with a low load address starts where it is loaded."""
    high = 0xFFFF_FFFF_8000_0000
    path = build(text=high, data=high + 0x1000)
    data = bytearray(path.read_bytes())
    phoff, = struct.unpack_from("<Q", data, E_PHOFF)
    for index in range(2):
        struct.pack_into("<Q", data, phoff + 56 * index + 24, 0x8020_0000 + 0x1000 * index)      # p_paddr
    moved = path.with_suffix(".moved")
    moved.write_bytes(data)
    assert load(moved, memory, ram).entry == 0x8020_0000


def zig_cc(tmp_path, *options):
    """An executable made by clang and lld, as a package of the test extra brings them."""
    source = tmp_path / "main.c"
    source.write_text("volatile int counter = 0x1234; void _start(void) { for (;;) counter++; }")
    subprocess.run([sys.executable, "-m", "ziglang", "cc", "-target", "riscv64-freestanding", "-nostdlib", "-O1",
                    "-fno-sanitize=all", *options, source, "-o", tmp_path / "zig.elf"], check=True, capture_output=True)
    return tmp_path / "zig.elf"


def test_position_independent_executable_goes_to_the_start_of_ram(tmp_path, memory, ram):
    """Linked at 0, as OpenSBI's ELF files are; everything moves by the base of RAM, symbols too."""
    program = load(zig_cc(tmp_path, "-fPIE", "-pie"), memory, ram)
    assert program.segments[0].base == ram.base
    assert program.symbols.lookup(program.entry) == "_start"
    assert memory.read(program.symbols["counter"].address, 4) == bytes.fromhex("34120000")


def test_other_compilers_executable_loads(tmp_path, memory, ram):
    program = load(zig_cc(tmp_path, "-mcmodel=medany", "-Wl,--image-base=0x80000000"), memory, ram)
    assert program.symbols.lookup(program.entry) == "_start"


# --- Symbols ----------------------------------------------------------------------------------------------------------

def test_lookup_names_an_address(build, memory, ram):
    symbols = load(build(), memory, ram).symbols
    assert symbols.lookup(0x8000_0000) == "_start"
    assert symbols.lookup(0x8000_0004) == "_start+0x4"
    assert symbols.lookup(symbols["local_helper"].address) == "local_helper"


def test_lookup_ends_with_the_symbol(build, memory, ram):
    symbols = load(build(), memory, ram).symbols
    address, size = symbols["buffer"]
    assert symbols.lookup(address + size - 1) == "buffer+0x2fff"
    assert symbols.lookup(address + size) == "tohost"
    assert symbols.lookup(symbols["counter"].address + 8) is None
    assert symbols.lookup(0x7FFF_FFFF) is None


def test_absolute_symbols_have_a_value_but_name_no_address(build, memory, ram):
    symbols = load(build(), memory, ram).symbols
    assert symbols["answer"].address == 42
    assert symbols.lookup(42) is None


def test_stripped_executable_has_no_symbols(build, memory, ram):
    assert len(load(build(link=("-s",)), memory, ram).symbols) == 0


# --- Bad files: one line that names the file; memory stays as it was --------------------------------------------------

def refused(path, memory, ram, *words):
    with pytest.raises(LoadError) as caught:
        load(path, memory, ram)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for word in words:
        assert word in message
    assert memory.untouched


def patched(path, tmp_path, offset, data):
    content = bytearray(path.read_bytes())
    content[offset:offset + len(data)] = data
    changed = tmp_path / "changed.elf"
    changed.write_bytes(content)
    return changed


def test_missing_file(tmp_path, memory, ram):
    refused(tmp_path / "none.elf", memory, ram, "no such file")


def test_directory(tmp_path, memory, ram):
    refused(tmp_path, memory, ram, "is a directory")


def test_not_an_elf(tmp_path, memory, ram):
    path = tmp_path / "text"
    path.write_text("hello")
    refused(path, memory, ram, "not an ELF")


def test_empty_file(tmp_path, memory, ram):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    refused(path, memory, ram, "empty")


@pytest.mark.parametrize("machine, label", [(62, "x86-64"), (183, "AArch64"), (243 + 5, "for")])
def test_other_architecture(build, tmp_path, memory, ram, machine, label):
    refused(patched(build(), tmp_path, E_MACHINE, struct.pack("<H", machine)), memory, ram, label, "RISC-V")


def test_executable_of_the_host(memory, ram):
    refused(sys.executable, memory, ram, "not for RISC-V")


def test_32_bit(build, memory, ram):
    refused(build(bits=32), memory, ram, "32-bit")


def test_big_endian(tmp_path, memory, ram):
    header = struct.pack(">HHIQQQIHHHHHH", 2, 243, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    path = tmp_path / "big.elf"
    path.write_bytes(b"\x7fELF\x02\x02\x01" + bytes(9) + header)
    refused(path, memory, ram, "big-endian")


def test_object_file(build, memory, ram):
    refused(build().with_suffix(".o"), memory, ram, "object file")


def test_segment_below_ram(build, memory, ram):
    refused(build(text=0x4000_0000, data=0x4000_1000), memory, ram,
            "segment 0 (0x40000000..", "outside RAM (0x80000000..0x81000000)", "link it there")


def test_segment_past_the_end_of_ram(build, memory, ram):
    refused(build(data=0x80FF_F000), memory, ram, "segment 1 (0x80fff000..0x81002", "more memory")


def test_every_truncation_is_found(build, tmp_path, memory, ram):
    """Wherever the file ends too early, the answer is a LoadError and memory untouched."""
    whole = build().read_bytes()
    path = tmp_path / "short.elf"
    for length in [*range(0, 300, 7), *range(300, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, memory, ram)


def test_damaged_headers_are_load_errors(build, tmp_path, memory, ram):
    """Any byte of the ELF and program headers set to 0xFF: loads or is refused, never another exception."""
    for offset in range(4, 64 + 2 * 56):
        try:
            load(patched(build(), tmp_path, offset, b"\xff"), memory, ram)
        except LoadError as error:
            assert "\n" not in str(error)


def test_section_table_beyond_any_file_is_a_load_error(build, tmp_path, memory, ram):
    refused(patched(build(), tmp_path, 40, b"\xff" * 8), memory, ram)         # e_shoff


# load(): whatever the file is

def test_load_tells_elf_from_raw(build, tmp_path, memory, ram):
    assert load(build(), memory, ram).symbols
    raw = tmp_path / "fw.bin"
    raw.write_bytes(b"\x13\0\0\0")
    program = load(raw, memory, ram, address=0x8000_4000)
    assert (program.entry, program.segments) == (0x8000_4000, (Range(0x8000_4000, 4),))
    assert memory.read(0x8000_4000, 4) == b"\x13\0\0\0"


def test_raw_without_an_address_is_refused(tmp_path, memory, ram):
    raw = tmp_path / "fw.bin"
    raw.write_bytes(b"\x13\0\0\0")
    with pytest.raises(LoadError, match="say at which address"):
        load(raw, memory, ram)
