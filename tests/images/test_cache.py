"""The cache: where it is, and that files in it are whole."""

import hashlib
import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from vm.errors import ImageError
from vm.images.cache import cache_directory, remember, replacing, sha256, unchanged


def test_places(monkeypatch, tmp_path):
    for name in ("VM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache/vm"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / ".cache/vm"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_directory() == Path("/x/vm")
    monkeypatch.setenv("VM_CACHE", "/y")
    assert cache_directory() == Path("/y")


def test_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _write_often(path, byte):
    for _ in range(50):
        with replacing(path) as file:
            file.write(byte * 100_000)


def test_processes_that_write_the_same_file(tmp_path):
    """A reader sees the whole file of one writer or the other."""
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"a" * 100_000)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(path, byte)) for byte in (b"a", b"b")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        assert content in (b"a" * 100_000, b"b" * 100_000)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_error_of_what_writes_comes_out_unchanged(tmp_path):
    """An OSError, too: it is not the cache's."""
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "file"):
        raise BrokenPipeError


def test_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "mkstemp", lambda **options: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "x")))
    with pytest.raises(ImageError, match=r"^cannot write to the cache .*: No space left on device; set VM_CACHE"), \
            replacing(tmp_path / "file") as file:
        file.write(b"content")


@pytest.fixture
def computed(monkeypatch):
    """The names of the files whose digest was computed."""
    names, file_digest = [], hashlib.file_digest

    def noted(file, algorithm):
        names.append(str(file.name))
        return file_digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    return names


def test_digest_is_computed_once(tmp_path, cache, computed):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert [sha256(path), sha256(path)] == [hashlib.sha256(b"content").hexdigest()] * 2
    assert computed == [str(path)]


def test_written_file_brings_its_digest(tmp_path, cache, computed):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    remember(path, hashlib.sha256(b"content").hexdigest())
    assert sha256(path) == hashlib.sha256(b"content").hexdigest() and not computed


def other_size(path):
    path.write_bytes(b"more content")


def other_date(path):
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(0, 1))


def same_size_and_date(path):
    status = path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def other_file(path):
    other = path.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [other_size, other_date, same_size_and_date, other_file])
def test_change_is_noticed(tmp_path, cache, change):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    sha256(path)
    assert unchanged(path)
    change(path)
    assert not unchanged(path)
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_that_is_not_there(tmp_path, cache):
    assert sha256(tmp_path / "none") is None and not unchanged(tmp_path / "none")
    sha256(Path(__file__))
    assert unchanged(Path(__file__)) and not unchanged(tmp_path)


def test_digest_where_no_stamp_can_be_kept(tmp_path, cache):
    cache.write_text("a file where the directory should be")
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert sha256(path) == hashlib.sha256(b"content").hexdigest() and not unchanged(path)
