"""The cache: where it is, and that files in it are whole."""

import multiprocessing
from pathlib import Path

import pytest

from vm.images.cache import cache_directory, replacing


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
