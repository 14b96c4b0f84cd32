"""Initial RAM disks: cpio archives in the format "newc", of the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst. The same bytes for the same input.
"""

import stat
from collections.abc import Sequence

Entry = tuple[str, int, bytes, tuple[int, int]]     # name, mode, content, device major and minor


def cpio_newc(entries: Sequence[Entry]) -> bytes:
    """An archive of the entries; all owned by root, all times zero."""
    archive = bytearray()
    for inode, (name, mode, content, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))], start=1):
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
