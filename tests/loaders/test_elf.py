"""ELF loading: real executables, made by the GNU assembler and linker; expected values: conftest.py."""

import struct
import subprocess
import sys

import pytest
from elftools.elf.elffile import ELFFile

from tests.loaders.conftest import SOURCE, load
from tests.tools import require
from vm.errors import LoadError
from vm.loaders import Range, Symbols

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


# --- What linkers do --------------------------------------------------------------------------------------------------

@pytest.fixture
def link(build, tmp_path):
    """link(*options) -> the same program, linked without a script of its own"""
    require("riscv64-unknown-elf-ld")

    def link(*options, source=SOURCE):
        (tmp_path / "program.s").write_text(source)
        for command in (["as", "-march=rv64gc", tmp_path / "program.s", "-o", tmp_path / "program.o"],
                        ["ld", *options, tmp_path / "program.o", "-o", tmp_path / "program.elf"]):
            subprocess.run([f"riscv64-unknown-elf-{command[0]}", *command[1:]], check=True, capture_output=True)
        return tmp_path / "program.elf"
    return link


@pytest.mark.parametrize("options", [("-Ttext=0x80000000",), ("-Ttext=0x80000000", "--build-id"),
                                     ("-Ttext=0x80000000", "--build-id", "-n"), ("-Ttext=0x80000000", "-N"),
                                     ("-Ttext-segment=0x80000000",)], ids=" ".join)
def test_headers_that_the_linker_put_below_the_code_are_left_out(link, memory, ram, options):
    """QEMU loads them to where no RAM is, which does nothing."""
    program = load(link(*options), memory, ram)
    assert program.entry == program.symbols["_start"].address
    assert memory.read(program.symbols["counter"].address, 8) == bytes.fromhex("8877665544332211")
    assert all(ram.contains(segment) for segment in program.segments)


@pytest.mark.parametrize("section", [".rodata", ".data"])
def test_data_below_ram_is_not_left_out(link, memory, ram, section):
    """Beside the code, the linker puts read-only data into the segment with the headers."""
    refused(link("-Ttext=0x80000000", f"--section-start={section}=0x10200",
                 source=SOURCE + '\n.section .rodata, "a"\n.word 5'), memory, ram, "outside RAM", "link it there")


def test_data_of_zeroes_below_ram_is_not_left_out(link, memory, ram):
    refused(link("-Ttext=0x80000000", "--section-start=.data=0x7f000000", source=SOURCE.replace("0x11223344", "0 #")),
            memory, ram, "outside RAM")


def test_empty_segments_are_no_segments(build, tmp_path, memory, ram):
    """p_memsz 0, wherever it would be."""
    data = bytearray(build().read_bytes())
    phoff, = struct.unpack_from("<Q", data, E_PHOFF)
    struct.pack_into("<QQQQQ", data, phoff + 56 + 16, 0, 0, 0, 0, 0x1000)       # vaddr, paddr, filesz, memsz, align
    program = load(bytes(data), memory, ram)
    assert [segment.base for segment in program.segments] == [0x8000_0000]


def test_segments_that_overlap_are_refused(build, tmp_path, memory, ram):
    """QEMU: "Some ROM regions are overlapping"."""
    data = bytearray(build().read_bytes())
    phoff, = struct.unpack_from("<Q", data, E_PHOFF)
    struct.pack_into("<Q", data, phoff + 56 + 24, 0x8000_0004)                  # p_paddr
    refused(patched(build(), tmp_path, 0, data), memory, ram, "segments 0 (0x80000000..", "1 (0x80000004..", "overlap")


@pytest.mark.parametrize("paddr", [(1 << 64) - 0x1000, (1 << 64) - 1, (1 << 63), 0])
def test_segments_at_the_ends_of_the_address_space_are_refused(build, tmp_path, memory, ram, paddr):
    data = bytearray(build().read_bytes())
    phoff, = struct.unpack_from("<Q", data, E_PHOFF)
    struct.pack_into("<Q", data, phoff + 56 + 24, paddr)
    refused(patched(build(), tmp_path, 0, data), memory, ram, "segment 1", "outside RAM")


def test_position_independent_program_whose_text_was_moved(build, tmp_path, memory, ram):
    """As of `-pie -Ttext=0x80000000`, whose relocations stay at 0: QEMU starts it, and it finds nothing."""
    data = bytearray(build().read_bytes())
    phoff, = struct.unpack_from("<Q", data, E_PHOFF)
    struct.pack_into("<H", data, E_TYPE, 3)                                     # ET_DYN
    struct.pack_into("<Q", data, phoff + 24, 0)                                 # p_paddr
    refused(patched(build(), tmp_path, 0, data), memory, ram, "segment 1", "position-independent", "-no-pie")


# --- Symbols ----------------------------------------------------------------------------------------------------------

def test_lookup_names_an_address(build, memory, ram):
    symbols = load(build(), memory, ram).symbols
    assert symbols.lookup(0x8000_0000) == "_start"
    assert symbols.lookup(0x8000_0004) == "_start+0x4" and symbols.find(0x8000_0004) == ("_start", 4)
    assert symbols.lookup(symbols["local_helper"].address) == "local_helper"


def test_lookup_ends_with_the_symbol(build, memory, ram):
    symbols = load(build(), memory, ram).symbols
    address, size = symbols["buffer"]
    assert symbols.lookup(address + size - 1) == "buffer+0x2fff"
    assert symbols.lookup(address + size) == "tohost"
    assert symbols.lookup(symbols["counter"].address + 8) is None
    assert symbols.lookup(0x7FFF_FFFF) is None and symbols.find(0x7FFF_FFFF) is None


def test_absolute_symbols_have_a_value_but_name_no_address(build, memory, ram):
    symbols = load(build(), memory, ram).symbols
    assert symbols["answer"].address == 42
    assert symbols.lookup(42) is None


@pytest.mark.parametrize("read_first", [False, True])
def test_symbols_are_those_of_pyelftools(tmp_path, memory, ram, read_first):
    """Single names, looked for in the bytes of the table, and the whole table, against another reader."""
    path = zig_cc(tmp_path, "-mcmodel=medany", "-Wl,--image-base=0x80000000")
    symbols = load(path, memory, ram).symbols
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        expected = {symbol.name: (symbol["st_value"], symbol["st_size"]) for symbol in table.iter_symbols()
                    if symbol.name and symbol["st_info"]["type"] not in ("STT_FILE", "STT_SECTION")
                    and not symbol.name.startswith(("$", ".L"))}
    if read_first:
        assert set(symbols) == set(expected) and len(symbols) == len(expected)
    assert {name: tuple(symbols[name]) for name in expected} == expected
    assert symbols.get("nothing") is None and "" not in symbols


def test_a_name_that_is_the_end_of_another(link, memory, ram):
    """Linkers keep such a pair once: st_name of the short one points into the long one."""
    source = SOURCE + "\n.globl long_tohost\nlong_tohost: .dword 0"
    path = link("-Ttext=0x80000000", source=source)
    assert path.read_bytes().count(b"tohost\0") == 1
    symbols = load(path, memory, ram).symbols
    assert symbols["long_tohost"].address == symbols["tohost"].address + 8


def test_a_program_starts_without_its_symbols_being_read(build, memory, ram, monkeypatch):
    monkeypatch.delattr(Symbols, "_read")
    symbols = load(build(), memory, ram).symbols
    assert symbols["tohost"].address and symbols.get("fromhost") is None
    with pytest.raises(AttributeError):
        symbols.lookup(0x8000_0000)


def test_functions_and_objects_name_an_address_before_labels(link, memory, ram):
    source = "_start:\nlabel: nop\n.globl global\nglobal:\n.type function, @function\nfunction: nop"
    symbols = load(link("-Ttext=0x80000000", "-e0x80000000", source=source), memory, ram).symbols
    assert symbols.lookup(symbols["label"].address) == "_start"        # the first of two alike
    assert symbols.lookup(symbols["global"].address + 1) == "function+0x1"
    assert symbols["global"] == symbols["function"]


def test_tables_that_lead_nowhere_are_load_errors(build, tmp_path, memory, ram):
    """sh_offset and sh_link of .symtab."""
    data = build().read_bytes()
    shoff, = struct.unpack_from("<Q", data, 40)
    number = next(n for n in range(20) if struct.unpack_from("<I", data, shoff + 64 * n + 4) == (2,))
    refused(patched(build(), tmp_path, shoff + 64 * number + 24, b"\xff" * 8), memory, ram, "truncated ELF")
    refused(patched(build(), tmp_path, shoff + 64 * number + 40, b"\xff" * 4), memory, ram, "damaged ELF")


def test_what_users_see(build, memory, ram):
    program = load(build(), memory, ram)
    assert repr(program).startswith(f"<Program {build()}: entry 0x80000000, at 0x80000000..0x80000010, 0x80001000..")
    assert "counter 0x80001000" in repr(program.symbols)
    assert repr(program.symbols["counter"]) == "Symbol(address=0x80001000, size=0x8)"


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
