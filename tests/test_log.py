"""The file of a log: all of it or nothing, and damaged ones are refused."""

import os
import random

import pytest

import vm
from tests.recorded import key_number, session_log
from vm.log import MAGIC, VERSION, Entry, Kind


@pytest.fixture
def session() -> vm.Log:
    return session_log()


def test_a_file_has_all_of_it(session, tmp_path):
    path = tmp_path / "session.vmlog"
    path.write_text("what was there before")
    session.save(path)
    assert vm.Log.load(path) == session
    assert [file.name for file in tmp_path.iterdir()] == ["session.vmlog"]


def test_a_file_that_cannot_be_written_leaves_what_was_there(session, tmp_path, monkeypatch):
    path = tmp_path / "session.vmlog"
    path.write_text("what was there before")
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.close(-1))
    with pytest.raises(OSError):
        session.save(path)
    assert path.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 1


def test_every_flipped_byte_is_refused(session, tmp_path):
    path = tmp_path / "session.vmlog"
    session.save(path)
    content = path.read_bytes()
    choice = random.Random(0)
    for place in [*range(40), *choice.sample(range(len(content)), 500)]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << choice.randrange(8)]) + content[place + 1:])
        with pytest.raises(vm.LogError, match="session.vmlog: "):
            vm.Log.load(path)


def test_every_truncation_is_refused(session, tmp_path):
    path = tmp_path / "session.vmlog"
    session.save(path)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(vm.LogError, match="session.vmlog: "):
            vm.Log.load(path)


def test_the_damaged_entry_is_named(session, tmp_path):
    path = tmp_path / "session.vmlog"
    session.save(path)
    content = path.read_bytes()
    number = key_number(session, "c")
    record = session.entries[number].packed()
    assert content.count(record) == 1
    step = f"entry {number}, behind {session.entries[number - 1].stamp}, is damaged"
    path.write_bytes(content.replace(record, record[:-1] + b"x"))
    with pytest.raises(vm.LogError, match=step):
        vm.Log.load(path)
    at = content.index(record)
    path.write_bytes(content[:at - 4] + content[at + len(record) + 16:])        # length and checksum as well
    with pytest.raises(vm.LogError, match=f"entry {number}, .* one was taken away"):
        vm.Log.load(path)
    path.write_bytes(content + b"more")
    with pytest.raises(vm.LogError, match="something follows"):
        vm.Log.load(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "session.vmlog"
    for content, told in ((b"", "no log"), (b"\x7fELF" * 100, "no log"),
                          (MAGIC + (VERSION + 1).to_bytes(4, "little"), "version 2, .* knows 1: update")):
        path.write_bytes(content)
        with pytest.raises(vm.LogError, match=told):
            vm.Log.load(path)


@pytest.mark.parametrize("kind, data", [
    (Kind.DEVICE, b"__import__('os')"), (Kind.DEVICE, b"[1]"), (Kind.DEVICE, b"{1: 2}"), (Kind.DEVICE, b"(" * 100_000),
    (Kind.DEVICE, b"\xff"), (Kind.HART, b"x" * 11), (Kind.WRITE, b"x" * 7), (Kind.CLOCK, b""), (Kind.LINE, b"x" * 9),
])
def test_what_no_recording_wrote_is_refused(session, tmp_path, kind, data):
    """Also with checksums that are right; nothing in a log is run."""
    forged = vm.Log((session.entries[0], Entry(kind, session.start, "uart", data), session.entries[-1]))
    forged.save(tmp_path / "forged.vmlog")
    with pytest.raises(vm.LogError, match="entry 1, .* is of no kind that this release of vm knows"):
        vm.Log.load(tmp_path / "forged.vmlog")
