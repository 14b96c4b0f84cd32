"""The file of a snapshot: it holds what was written, or is refused; a save that is killed leaves the old or the new."""

import os
import random
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from vm.errors import SnapshotError
from vm.snapshots import layout
from vm.snapshots.encoding import EncodingError, encode
from vm.snapshots.file import SnapshotFile
from vm.snapshots.layout import CHUNK_BYTES, HEADER, HEADER_BYTES, LONGEST_CHAIN, Header, Region, Section, checksum
from vm.snapshots.writer import write

PAGE = 4096
RAM = Region("ram", 5 * CHUNK_BYTES + 3 * PAGE)
REGIONS = (RAM, Region("disk", 2 * PAGE))
REGIONS_AS_DATA = tuple(map(tuple, REGIONS))
METADATA = {"steps": 10**30, "harts": (b"\0" * 16, b"\1"), "console": None}


def random_memory(seed=0, written=0.3):
    """Memory of which some pages are zero, some compress, and some do not."""
    source = random.Random(seed)
    kinds = (bytes(PAGE), b"line\n" * 819 + b"\n", source.randbytes(PAGE))
    return b"".join(kinds[source.randint(1, 2) if source.random() < written else 0]
                    for _ in range(RAM.size // PAGE))


def content(file, region=0):
    """All of a region, chunk by chunk."""
    size = file.regions[region].size
    return b"".join(file.read_chunk(region, at // CHUNK_BYTES) or bytes(min(CHUNK_BYTES, size - at))
                    for at in range(0, size, CHUNK_BYTES))


def runs(memory):
    """All pages of RAM, in runs that end anywhere."""
    source, at, count = random.Random(1), 0, len(memory) // PAGE
    while at < count:
        end = min(at + source.randint(1, 40), count)
        yield 0, at, memoryview(memory)[at * PAGE:end * PAGE]
        at = end


@pytest.fixture
def path(tmp_path):
    return tmp_path / "one.vmsnap"


@pytest.fixture
def memory():
    return random_memory()


def test_round_trip(path, memory):
    write(path, METADATA, REGIONS, [*runs(memory), (1, 1, b"d" * PAGE)])
    with SnapshotFile(path) as file:
        file.verify()
        assert (file.regions, file.metadata, file.parent) == (REGIONS, METADATA, None)
        assert content(file) == memory and content(file, 1) == bytes(PAGE) + b"d" * PAGE
        assert file.held(0).tolist() == [any(memory[at:at + PAGE]) for at in range(0, RAM.size, PAGE)]
        assert file.pages == file.held(0).sum() + 1


def test_zeros_and_what_is_twice_cost_nothing(path):
    noise = random.Random(0).randbytes(CHUNK_BYTES)
    write(path, None, REGIONS, [(0, 0, noise + bytes(CHUNK_BYTES) + noise)])
    with SnapshotFile(path) as file:
        assert file.size < CHUNK_BYTES + 1000
        assert content(file) == (noise + bytes(CHUNK_BYTES) + noise).ljust(RAM.size, b"\0")
        assert file.read_chunk(0, 1) is None


def test_same_content_same_bytes(tmp_path, memory):
    for name in "ab":
        write(tmp_path / name, METADATA, REGIONS, runs(memory))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_holds_what_differs_from_its_parent(tmp_path, memory):
    write(tmp_path / "base", 0, REGIONS, runs(memory))
    model, source = bytearray(memory), random.Random(2)
    for name in ("first", "second", "third"):
        changed = sorted(source.sample(range(RAM.size // PAGE), 9))
        for place, page in enumerate(changed):
            model[page * PAGE:(page + 1) * PAGE] = source.randbytes(PAGE) if place % 3 else bytes(PAGE)
        with SnapshotFile(tmp_path / {"first": "base", "second": "first", "third": "second"}[name]) as parent:
            write(tmp_path / name, name, REGIONS,
                  [(0, page, model[page * PAGE:(page + 1) * PAGE]) for page in changed], parent)
        with SnapshotFile(tmp_path / name) as file:
            file.verify()
            assert content(file) == model and file.pages == 9
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    with SnapshotFile(tmp_path.with_name("elsewhere") / "third") as file:
        assert content(file) == model and file.depth == 4


def test_a_parent_is_what_it_was(tmp_path, memory):
    base, file = tmp_path / "base", tmp_path / "file"
    write(base, 0, REGIONS, runs(memory))
    with SnapshotFile(base) as parent:
        write(file, 1, REGIONS, [], parent)
        with pytest.raises(SnapshotError, match="from itself; save under another name"):
            write(base, 1, REGIONS, [], parent)
        with pytest.raises(SnapshotError, match="other regions of memory"):
            write(file, 1, REGIONS[:1], [], parent)
        identity = parent.identity.hex()
    write(base, 2, REGIONS, runs(memory))
    with pytest.raises(SnapshotError, match=f"where another is now; put the one of identity {identity}"):
        SnapshotFile(file)
    base.unlink()
    with pytest.raises(SnapshotError, match="base, which cannot be read .No such file or directory.; put that"):
        SnapshotFile(file)


def test_chains_are_bounded(tmp_path):
    write(tmp_path / "1", 1, REGIONS, [])
    for depth in range(2, LONGEST_CHAIN + 1):
        with SnapshotFile(tmp_path / str(depth - 1)) as parent:
            write(tmp_path / str(depth), depth, REGIONS, [], parent)
    with SnapshotFile(tmp_path / str(LONGEST_CHAIN)) as last:
        assert last.depth == LONGEST_CHAIN
        with pytest.raises(SnapshotError, match=f"chain of {LONGEST_CHAIN} files"):
            write(tmp_path / "more", None, REGIONS, [], last)


# --- What is no file of ours -----------------------------------------------------------------------------------------

def test_every_truncation_and_what_is_appended_is_refused(path):
    write(path, METADATA, REGIONS, [(0, 7, b"text" * 1024)])
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(SnapshotError, match=str(path)):
            SnapshotFile(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(SnapshotError, match="and should have"):
        SnapshotFile(path)


def test_every_flipped_bit_is_noticed(path, memory):
    """1,000 of them, and every byte of the header: each is under a checksum."""
    write(path, METADATA, REGIONS, runs(memory))
    whole, source = path.read_bytes(), random.Random(3)
    for at in [*range(HEADER_BYTES), *(source.randrange(len(whole)) for _ in range(1000))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << source.randrange(8)]) + whole[at + 1:])
        with pytest.raises(SnapshotError, match=str(path)), SnapshotFile(path) as file:
            file.verify()


def test_damage_of_a_chunk_is_noticed_when_it_is_read(path):
    write(path, METADATA, REGIONS, [(0, 0, b"text" * 1024), (0, 16, b"more" * 1024)])
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 5] ^= 1
    path.write_bytes(data)
    with SnapshotFile(path) as file:
        assert file.read_chunk(0, 1)[:4] == b"more"
        with pytest.raises(SnapshotError, match="damaged: the bytes of ram from 0x0 on"):
            file.read_chunk(0, 0)


def forge(path, *, metadata=None, entries=(), chunks=b"", frame=None):
    """A file whose checksums are right, as someone who means harm would make it."""
    if frame is None:
        frame = layout.zstd().compress(encode(metadata if metadata is not None else
                                              {"regions": REGIONS_AS_DATA, "parent": None, "data": None}))
    index = np.array(list(entries), layout.ENTRY).tobytes()
    at = HEADER_BYTES + len(chunks)
    header = Header(at + len(frame) + len(index), Section(at, len(frame), checksum(frame)),
                    Section(at + len(frame), len(index), checksum(index)))
    path.write_bytes(header.pack() + chunks + frame + index)


def entry(frame, region=0, chunk=0, offset=HEADER_BYTES, pages=1):
    return region, chunk, offset, len(frame), pages, checksum(frame)


def test_a_newer_version_and_a_foreign_file(path):
    body = HEADER.pack(layout.MAGIC, 2, *[0, 0, 0, b"", 0, 0, b""])
    path.write_bytes(body + checksum(body))
    with pytest.raises(SnapshotError, match="version 2 of the format, and this vm reads version 1"):
        SnapshotFile(path)
    for foreign in (b"", b"\x7fELF" + bytes(200), b"\x80\x04\x95"):
        path.write_bytes(foreign)
        with pytest.raises(SnapshotError, match="not a file with a snapshot"):
            SnapshotFile(path)
    with pytest.raises(SnapshotError, match="a folder or device"):
        SnapshotFile(path.parent)


@pytest.mark.parametrize("bad, message", [
    *(({"region": region}, "not in order") for region in (2, 0xFFFF_FFFF)),
    *((bad, "names pages") for bad in ({"chunk": 6}, {"chunk": 0xFFFF_FFFF}, {"pages": 0}, {"pages": 1 << 16},
                                       {"chunk": 5, "pages": 1 << 3})),
    *(({"offset": offset}, "names places") for offset in (0, 10**6, 1 << 63, (1 << 64) - 1)),
])
def test_an_index_that_leads_outside(path, bad, message):
    frame = layout.zstd().compress(bytes(PAGE))
    forge(path, entries=[entry(frame, **bad)], chunks=frame)
    with pytest.raises(SnapshotError, match=f"its index .*{message}"):
        SnapshotFile(path)


def test_an_index_with_a_chunk_twice(path):
    frame = layout.zstd().compress(bytes(PAGE))
    forge(path, entries=[entry(frame), entry(frame)], chunks=frame)
    with pytest.raises(SnapshotError, match="its index is not in order"):
        SnapshotFile(path)


@pytest.mark.parametrize("metadata", [
    1, {}, {"regions": 1, "parent": None, "data": 0}, {"regions": (("r", 1 << 41),), "parent": None, "data": 0},
    {"regions": (("r", 100),), "parent": None, "data": 0}, {"regions": (("r", "s"),), "parent": None, "data": 0},
    {"regions": (("r", -4096),), "parent": None, "data": 0}, {"regions": (), "parent": 3, "data": 0},
    {"regions": (), "parent": ("a\0", b""), "data": 0}, {"regions": (), "parent": ("a",), "data": 0},
    {"regions": (("r", 4096),) * 2000, "parent": None, "data": 0},
])
def test_metadata_that_is_none(path, metadata):
    forge(path, metadata=metadata)
    with pytest.raises(SnapshotError, match="damaged: its"):
        SnapshotFile(path)


def test_a_frame_that_holds_too_much(path):
    """A bomb is given up as soon as it holds more than it may."""
    bomb = layout.zstd().compress(bytes(1 << 30))
    forge(path, entries=[entry(bomb)], chunks=bomb)
    with pytest.raises(SnapshotError, match="cannot be read"), SnapshotFile(path) as file:
        file.read_chunk(0, 0)
    forge(path, frame=bomb)
    with pytest.raises(SnapshotError, match="metadata cannot be read"):
        SnapshotFile(path)


@pytest.mark.parametrize("frame", [b"", b"junk", layout.zstd().compress(bytes(PAGE - 1)),
                                   layout.zstd().compress(bytes(PAGE)) + b"x", layout.zstd().compress(bytes(PAGE))[:-1],
                                   b"\x28\xb5\x2f\xfd\0\xf8" + bytes(20)])
def test_a_frame_that_is_none(path, frame):
    forge(path, entries=[entry(frame)], chunks=frame)
    with pytest.raises(SnapshotError, match="the bytes of ram from 0x0 on"), SnapshotFile(path) as file:
        file.verify()


# --- Writing ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("pages", [
    [(0, 0, b"x")], [(0, 1, bytes(PAGE)), (0, 0, bytes(PAGE))], [(0, 0, bytes(PAGE)), (0, 0, bytes(PAGE))],
    [(2, 0, bytes(PAGE))], [(1, 1, bytes(2 * PAGE))],
])
def test_pages_that_do_not_fit_leave_the_old_file(path, memory, pages):
    write(path, METADATA, REGIONS, runs(memory))
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write(path, METADATA, REGIONS, pages)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


SAVER = """
import random, sys
from vm.snapshots.layout import Region
from vm.snapshots.writer import write
memory = random.Random(4).randbytes(1 << 20) * 8
print("ready", flush=True)
number = 0
while True:
    number += 1
    write(sys.argv[1], number, [Region("ram", len(memory))], [(0, 0, number.to_bytes(4096, "little") + memory[4096:])])
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_killed_save_leaves_the_old_or_the_new(path):
    """50 times; no moment is chosen, so that all are met over time."""
    source = random.Random()
    for _ in range(50):
        with subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE, text=True) as saver:
            saver.stdout.readline()
            saver.stdout.readline()
            time.sleep(source.random() * 0.1)
            saver.send_signal(signal.SIGKILL)
            said = [int(line) for line in saver.stdout.read().split()]
        with SnapshotFile(path) as file:
            file.verify()
            assert file.metadata >= max(said, default=1)
            assert int.from_bytes(file.read_chunk(0, 0)[:PAGE], "little") == file.metadata
    write(path, METADATA, REGIONS, [])
    assert os.listdir(path.parent) == [path.name]       # nothing is left of those that were killed


def test_numbers_of_a_file_are_little_endian(path):
    write(path, METADATA, REGIONS, [])
    assert struct.unpack_from("<8sI4xQ", path.read_bytes()) == (b"\x89vmsnap\n", 1, path.stat().st_size)


@pytest.mark.parametrize("unit", [bytes(1 << 20), random.Random(5).randbytes(1 << 20)], ids=["zeros", "noise"])
def test_metadata_of_any_size_that_is_written_is_read(path, unit):
    """zstd's window for it is within what the reader allows; what is larger than a file holds is refused at once."""
    large = (unit * (layout.LARGEST_METADATA // len(unit)))[:-100]          # the rest of the encoding is less
    write(path, large, REGIONS, [])
    with SnapshotFile(path) as file:
        assert file.metadata == large
    before = path.read_bytes()
    with pytest.raises(SnapshotError, match="bytes beside RAM, and a file holds"):
        write(path, large + unit, REGIONS, [])
    assert path.read_bytes() == before


def test_metadata_that_is_not_plain_leaves_the_old_file(path):
    write(path, METADATA, REGIONS, [])
    with pytest.raises(EncodingError, match="a object is not plain data"):
        write(path, object(), REGIONS, [])
    with SnapshotFile(path) as file:
        assert file.metadata == METADATA
