"""The initrd that boot tests use: the cpio archive is one that cpio(1) reads."""

import stat
import subprocess

from tests.tools import needs
from vm.images.cpio import cpio_newc

ENTRIES = [
    ("dev", stat.S_IFDIR | 0o755, b"", (0, 0)),
    ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
    ("init", stat.S_IFREG | 0o755, b"#!/bin/sh\n", (0, 0)),
    ("sh", stat.S_IFLNK | 0o777, b"init", (0, 0)),
]


@needs("cpio")
def test_cpio_lists_what_was_put_in():
    command = ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"]
    listing = subprocess.run(command, input=cpio_newc(ENTRIES), capture_output=True, check=True).stdout.decode()
    rows = [line.split() for line in listing.splitlines()]
    assert [(row[0], row[-1]) for row in rows] == [
        ("drwxr-xr-x", "dev"),
        ("crw-------", "dev/console"),
        ("-rwxr-xr-x", "init"),
        ("lrwxrwxrwx", "init"),
    ]
    assert rows[1][4:6] == ["5,", "1"]
    assert rows[2][4] == "10"
