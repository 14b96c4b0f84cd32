"""Raw loading: all of the file, at the address, inside RAM."""

import pytest

from tests.loaders.conftest import load
from vm.errors import LoadError


def test_bytes_are_copied_and_nothing_more(tmp_path, memory, ram):
    path = tmp_path / "blob"
    path.write_bytes(bytes(range(256)))
    program = load(path, memory, ram, 0x8000_0100)
    assert memory.read(0x8000_00FF, 258) == b"\xa5" + bytes(range(256)) + b"\xa5"
    assert program.entry == 0x8000_0100 and program.end == 0x8000_0200


def test_a_file_may_fill_ram(tmp_path, memory, ram):
    path = tmp_path / "blob"
    path.write_bytes(bytes(ram.size))
    load(path, memory, ram, ram.base)
    assert memory.data == bytes(ram.size)


@pytest.mark.parametrize("size, address", [
    (1, 0x7FFF_FFFF), (2, 0x80FF_FFFF), ((16 << 20) + 1, 0x8000_0000), (0, 0x8000_0000),
])
def test_what_does_not_fit_is_refused(tmp_path, memory, ram, size, address):
    path = tmp_path / "blob"
    path.write_bytes(bytes(size))
    with pytest.raises(LoadError, match="blob: "):
        load(path, memory, ram, address)
    assert memory.untouched


def test_endless_file_is_refused(memory, ram):
    with pytest.raises(LoadError, match="/dev/zero: does not say how much it holds, .* 268,435,456 bytes"):
        load("/dev/zero", memory, ram, ram.base)
