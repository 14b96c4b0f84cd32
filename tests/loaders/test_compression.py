"""Compressed files: what gzip(1), bzip2(1), xz(1), zstd(1) and lz4(1) make, and what of it is damaged or too large."""

import bz2
import gzip
import lzma
import struct
import subprocess
import zlib

import pytest

from tests.tools import require
from vm.errors import LoadError
from vm.loaders import File
from vm.loaders.compression import decompressed

CONTENT = bytes(range(256)) * 5000 + b"the end"
COMMANDS = {
    "gzip": "gzip -c", "bzip2": "bzip2 -c", "xz": "xz -c", "lzma": "xz --format=lzma -c", "zstd": "zstd -q -c",
    "lz4": "lz4 -q -c", "lz4-legacy": "lz4 -q -l -c",
}
PACKAGES = {"zstd": "backports.zstd", "lz4": "lz4", "lz4-legacy": "lz4"}
LIMIT = 1 << 24


@pytest.fixture(params=COMMANDS)
def kind(request):
    return request.param


@pytest.fixture
def compress(kind, tmp_path):
    """compress(content) -> as the program of the host does it."""
    if kind in PACKAGES and not (kind == "zstd" and has("compression.zstd")):
        pytest.importorskip(PACKAGES[kind])
    command = COMMANDS[kind].split()
    require(command[0])

    def compress(content):
        (tmp_path / "content").write_bytes(content)
        return subprocess.run([*command, tmp_path / "content"], check=True, capture_output=True).stdout
    return compress


def has(module):
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def undone(data, limit=LIMIT):
    return decompressed(File("file", data), limit).data


def test_content_comes_out(compress):
    assert undone(compress(CONTENT)) == CONTENT


def test_members_of_a_series_follow_each_other(compress):
    """RFC 1952 section 2.2; bzip2(1), xz(1), zstd(1) and the frame formats of lz4 say the same of theirs."""
    assert undone(compress(CONTENT) + compress(b"more") + compress(CONTENT)) == CONTENT + b"more" + CONTENT


def test_what_follows_is_left_alone(kind, compress):
    """The kernel's makefiles append the size, for those that unpack themselves; a signature may follow, too."""
    assert undone(compress(CONTENT) + struct.pack("<I", len(CONTENT))) == CONTENT


def test_many_small_members():
    """As of bgzip: 64 KiB each."""
    pieces = [CONTENT[at:at + 0x10000] for at in range(0, len(CONTENT), 0x10000)]
    assert undone(b"".join(map(gzip.compress, pieces))) == CONTENT


def test_padding_between_members_of_xz():
    assert undone(lzma.compress(b"one") + bytes(8) + lzma.compress(b"two")) == b"onetwo"


def test_every_truncation_is_found(kind, compress):
    whole = compress(CONTENT)
    for length in {*range(8, min(len(whole), 400), 13), len(whole) // 2, len(whole) - 1}:
        with pytest.raises(LoadError, match=f"file: (truncated|damaged) {kind.partition('-')[0]} file"):
            undone(whole[:length])


def test_damage_is_a_load_error(compress):
    """Any byte inverted: refused, or other content; never another exception."""
    whole = compress(CONTENT)
    for at in range(8, min(len(whole), 2000), 41):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        try:
            undone(bytes(damaged))
        except LoadError as error:
            assert str(error).startswith("file: ") and "\n" not in str(error)


def test_more_than_fits_is_refused_before_it_is_there(compress):
    bomb = compress(bytes(64 << 20))
    assert len(bomb) < 1 << 20
    with pytest.raises(LoadError, match="file: holds more than 65,536 bytes when decompressed"):
        undone(bomb, 0x10000)


def test_what_just_fits_comes_out(compress):
    assert undone(compress(CONTENT), len(CONTENT)) == CONTENT
    with pytest.raises(LoadError, match="holds more than"):
        undone(compress(CONTENT), len(CONTENT) - 1)


def test_a_dictionary_of_gigabytes_is_refused():
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(CONTENT, filters=filters, format=lzma.FORMAT_XZ))
    header = data[12:24]
    assert header[:4] == bytes([2, 0, 0x21, 1])         # block header of 12 bytes, LZMA2, one byte of properties
    header[4] = 39                                      # 3 GiB (xz file format, section 5.3.1)
    header[8:12] = struct.pack("<I", zlib.crc32(header[:8]))
    data[12:24] = header
    with pytest.raises(LoadError, match="damaged xz file .*[Mm]emory"):
        undone(bytes(data))


@pytest.mark.parametrize("magic, package", [
    (b"\x28\xb5\x2f\xfd", "backports.zstd"), (b"\x04\x22\x4d\x18", "lz4"), (b"\x02\x21\x4c\x18", "lz4"),
])
def test_a_package_that_is_missing_is_named(magic, package, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("vm.loaders.compression.import_module", missing)
    with pytest.raises(LoadError, match=f"file: compressed with .*pip install {package}"):
        undone(magic + bytes(100))


def test_lzo_is_not_undone():
    with pytest.raises(LoadError, match="file: compressed with lzop; decompress it first"):
        undone(b"\x89LZO\0\r\n\x1a\n" + bytes(100))


def test_anything_else_stays_as_it_is():
    assert undone(CONTENT) == CONTENT and undone(b"") == b""
    assert undone(bz2.compress(CONTENT)[1:]) == bz2.compress(CONTENT)[1:]
