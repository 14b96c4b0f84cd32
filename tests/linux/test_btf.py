"""BTF as GCC writes it for C, whose offsets and sizes the same compiler says."""

import struct
import subprocess

import pytest
from elftools.elf.elffile import ELFFile

import vm
from tests import tools
from vm.linux.btf import Btf

SOURCE = """
typedef unsigned int word;
struct link { struct link *next, *prev; };
struct thing {
    char name[16];
    const word flags;
    unsigned low : 5, high : 3;
    struct { signed char small; union { long number; struct link link; }; };
    volatile short table[6];
    struct link links[4];
} thing;
"""
PATHS = ("name", "flags", "small", "number", "link.prev", "table", "table.2", "links.3.prev", "links.1")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The BTF of SOURCE, and the offset and size of each field."""
    tools.require("riscv64-linux-gnu-gcc")
    folder = tmp_path_factory.mktemp("btf")
    asked = "".join(f"{said}, " for path in PATHS for said in (
        f"__builtin_offsetof(struct thing, {indexed(path)})", f"sizeof(thing.{indexed(path)})"))
    (folder / "thing.c").write_text(f"{SOURCE}const long said[] __attribute__((section(\".said\"))) = {{{asked}}};\n")
    subprocess.run(["riscv64-linux-gnu-gcc", "-gbtf", "-c", "thing.c", "-o", "thing.o"], cwd=folder, check=True)
    with open(folder / "thing.o", "rb") as file:
        elf = ELFFile(file)
        said = struct.iter_unpack("<2q", elf.get_section_by_name(".said").data())
        return Btf(elf.get_section_by_name(".BTF").data()), dict(zip(PATHS, said, strict=True))


def indexed(path):
    """links.3.prev -> links[3].prev"""
    return "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in path.split("."))[1:]


@pytest.mark.parametrize("path", PATHS)
def test_fields_are_where_the_compiler_has_them(compiled, path):
    types, said = compiled
    field = types.field("thing", path)
    assert (field.offset, field.size) == said[path]


def test_bit_fields_and_signs(compiled):
    types, said = compiled
    start = 8 * sum(said["flags"])              # they follow it
    low, high = types.field("thing", "low"), types.field("thing", "high")
    assert [(field.bit, field.bits) for field in (low, high)] == [(start, 5), (start + 5, 3)]
    assert types.field("thing", "small").signed and not types.field("thing", "flags").signed
    assert types.field("thing", "links").elements == 4


@pytest.mark.parametrize("structure, path, message", [
    ("other", "name", "no struct other"), ("thing", "nothing", "struct thing of this kernel has no field nothing"),
    ("thing", "links.4", "beyond 4 elements"), ("thing", "flags.0", "no array"), ("thing", "flags.bit", "no field"),
])
def test_what_is_not_there_is_an_error(compiled, structure, path, message):
    types, _ = compiled
    with pytest.raises(vm.LinuxError, match=message):
        types.field(structure, path)
    assert not types.has(structure, path)


@pytest.mark.parametrize("data, message", [
    (b"", "cut short"), (bytes(24), "no BTF of version 1"),
    (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1), "cut short"),
])
def test_what_is_none_is_refused(data, message):
    with pytest.raises(vm.LinuxError, match=message):
        Btf(data)


def test_damaged_types_are_one_error(compiled):
    """Each byte changed in turn: what is found, is found, and all else is a LinuxError."""
    types, _ = compiled
    for place in range(len(types._data)):
        data = bytearray(types._data)
        data[place] ^= 0xA5
        try:
            damaged = Btf(bytes(data))
            for path in PATHS:
                damaged.field("thing", path)
        except vm.LinuxError:
            pass
