"""The small Linux of tests and benchmarks: what is made of packages is kept, and made again when it was damaged."""

import gzip

import pytest

from vm.images import busybox


@pytest.fixture
def initrd(cache, monkeypatch):
    monkeypatch.setattr(busybox, "busybox", lambda: b"a program")
    return lambda: busybox.busybox_initrd("#!/bin/sh\n", modules=())


def test_initrd_is_made_once(initrd):
    first = initrd()
    inode = first.stat().st_ino
    assert (initrd(), initrd().stat().st_ino) == (first, inode)
    assert b"a program" in gzip.decompress(first.read_bytes())


def test_damaged_initrd_is_made_again(initrd):
    path = initrd()
    content = path.read_bytes()
    for damage in (content[:-1], bytes(len(content)), b""):
        path.write_bytes(damage)
        assert initrd().read_bytes() == content
    path.unlink()
    assert initrd().read_bytes() == content
