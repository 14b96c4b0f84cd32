"""Where the content comes from: paths, bytes, file objects; how much of it is read, and what that costs."""

import io
import mmap
import os
import threading
import tracemalloc
import zipfile

import pytest

from vm.errors import LoadError
from vm.loaders import read_file

ENDLESS = 1 << 40


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(b"content")
    return path


@pytest.mark.parametrize("source", [
    b"content", bytearray(b"content"), memoryview(b"content"), memoryview(b"c-o-n-t-e-n-t")[::2],
    io.BytesIO(b"content"),
], ids=["bytes", "bytearray", "memoryview", "strided", "BytesIO"])
def test_content_without_a_file_is_named_by_its_kind(source):
    assert read_file(source, 7) == (f"<{type(source).__name__}>", b"content")


def test_paths_of_every_kind(path):
    assert read_file(path, 7) == read_file(str(path), 7) == (str(path), b"content")


def test_a_file_object_is_read_from_where_it_stands(path):
    with path.open("rb") as file:
        file.seek(3)
        assert read_file(file, 7) == (str(path), b"tent")
    with open(os.open(path, os.O_RDONLY), "rb", buffering=0) as file:      # its name is a number
        assert read_file(file, 7) == ("<FileIO>", b"content")


def test_a_resource_of_a_package_in_an_archive(tmp_path):
    """importlib.resources.files() gives such."""
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("guests/firmware.elf", b"content")
    assert read_file(zipfile.Path(tmp_path / "package.zip") / "guests/firmware.elf", 7) == ("firmware.elf", b"content")


def test_a_mapping_is_content(path):
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        assert read_file(mapping, 7) == ("<mmap>", b"content")


def test_what_is_read_does_not_change_with_its_source():
    source = bytearray(b"content")
    file = read_file(source, 7)
    source[:] = b"changed"
    assert file.data == b"content"


@pytest.mark.parametrize("source", [5, None, ["content"], object()])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(LoadError, match="it is no path, no bytes and no binary file"):
        read_file(source, 7)


def test_a_text_file_is_refused(path):
    with path.open() as file, pytest.raises(LoadError, match="content: read.. gives str, not bytes"):
        read_file(file, 7)


def test_a_path_with_a_nul_is_refused():
    with pytest.raises(LoadError, match="a.x00b"):
        read_file("a\0b", 7)


@pytest.mark.parametrize("wrap", [lambda path: path, lambda path: path.read_bytes(), lambda path: path.open("rb")],
                         ids=["path", "bytes", "file"])
def test_more_than_the_limit_is_refused(path, wrap):
    with pytest.raises(LoadError, match="holds more than 6 bytes"):
        read_file(wrap(path), 6)


def test_a_small_file_takes_little_memory_whatever_the_limit(path):
    tracemalloc.start()
    try:
        read_file(path, ENDLESS)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_large_file_is_refused_by_its_size_alone(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(LoadError, match="large: holds more than"):
            read_file(path, 1 << 30)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_read_to_its_end(tmp_path):
    pipe, content = tmp_path / "pipe", bytes(range(256)) * 10_000
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert read_file(pipe, ENDLESS).data == content
    writer.join()


def test_files_that_say_that_they_are_empty_are_read():
    assert read_file("/proc/self/status", ENDLESS).data.startswith(b"Name:")
