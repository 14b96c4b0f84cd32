"""What every file that this package writes has in common: the old or the new one is there, whatever happens."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import vm
from tests.assembler import assemble_elf
from tests.recorded import session_log
from vm import disks
from vm.snapshots import writer
from vm.whole_file import whole_file


def save_snapshot(path):
    with vm.Machine(memory="1M") as machine:
        machine.load(assemble_elf("1: j 1b"))
        machine.snapshot().save(path)


def convert(path):
    source = path.parent / "source.img"
    source.write_bytes(b"data" * 1024)
    try:
        disks.convert(source, path, format="qcow2", force=True)
    finally:
        source.unlink()


WRITERS = {
    "snapshot": save_snapshot,
    "log": lambda path: session_log().save(path),
    "new disk": lambda path: disks.create(path, "1M", force=True),
    "converted disk": convert,
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def names(path):
    return sorted(os.listdir(path.parent))


def test_the_file_and_its_name_are_on_the_disk(write, path, monkeypatch):
    """Its content before it has the name, and its folder after that."""
    synced, sync = [], os.fsync

    def look(descriptor):
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write(path)
    (part, before), (folder, after) = synced[-2:]
    assert part.name.startswith(".file.bin.") and (before, folder, after) == (False, path.parent, True)
    assert names(path) == ["file.bin"]


@pytest.mark.parametrize("write", [WRITERS["snapshot"], WRITERS["log"], WRITERS["new disk"]])
@pytest.mark.parametrize("place, said", [
    ("gone/file.bin", "No such file or directory"), (".", "Is a directory"), ("file/file.bin", "Not a directory"),
])
def test_an_error_names_what_was_asked_for(write, tmp_path, place, said):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((OSError, vm.ConfigurationError), match=said) as raised:
        write(tmp_path / place)
    assert str(tmp_path / place) in str(raised.value) and ".part" not in str(raised.value)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [lambda path: writer.write(path, {}, [], []), WRITERS["log"], WRITERS["new disk"],
                                   convert], ids=WRITERS)
def test_a_file_without_room_is_named(write, path):
    """As a limit of the process has it: no file is longer."""
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if write is convert else 100, limits[1]))
    try:
        with pytest.raises((OSError, vm.ConfigurationError), match="File too large") as raised:
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(raised.value) and ".part" not in str(raised.value)
    assert path.read_bytes() == b"old" and names(path) == ["file.bin"]


WRITER = """
import sys
from vm.whole_file import whole_file
with whole_file(sys.argv[1]) as file:
    file.write(b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_writer_left_is_taken_away(write, path):
    """And nothing else: not what is being written, nor what is of another file."""
    others = [".file.bin.0123456.part", ".file.bin.01234567.part.old", ".else.bin.01234567.part", "file.bin.part"]
    for name in others:
        (path.parent / name).write_bytes(b"")
    arguments = [sys.executable, "-c", WRITER, path]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    left, = set(names(path)) - {*others}
    assert left.startswith(".file.bin.") and left.endswith(".part")
    with whole_file(path) as file:
        file.write(b"alive")
        write(path)
        alive, = set(names(path)) - {*others, "file.bin"}
        assert alive != left
    assert path.read_bytes() == b"alive"
    assert names(path) == sorted([*others, "file.bin"])


def test_a_part_that_is_taken_away_before_it_is_locked_is_made_again(path, monkeypatch):
    parts = []

    def late(descriptor, how, lock=fcntl.flock):
        parts.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if len(parts) == 1:
            os.unlink(parts[0])
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with whole_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and len(parts) == 2


def test_a_name_that_was_taken_meanwhile(path):
    with pytest.raises(FileExistsError, match=str(path)), whole_file(path, replace=False) as file:
        file.write(b"mine")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs" and names(path) == ["file.bin"]


def test_the_longest_name_that_a_file_can_have(tmp_path):
    path = tmp_path / ("ä" * 127)
    with whole_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


def test_what_is_no_file_stays_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file") as raised:
        save_snapshot(tmp_path / "pipe")
    assert raised.value.filename == str(tmp_path / "pipe")
    with pytest.raises(vm.ConfigurationError, match="no file"):
        disks.create(tmp_path / "pipe", "1M", force=True)
    assert (tmp_path / "pipe").is_fifo()


def test_permissions_stay_and_links_are_followed(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
