"""What a process has mapped, as /proc/PID/maps lists it: areas of memory (struct vm_area_struct) in a maple tree.

The tree: Documentation/core-api/maple_tree.rst and include/linux/maple_tree.h of the kernel, since Linux 6.1. A
pointer to a node has its kind in bits 3 to 6; nodes lie at multiples of 256. A node has slots, and between them pivots:
the last index of each slot. The last pivot of a node that is not full is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vm.errors import LinuxError
from vm.linux.kernel import Kernel, Structure
from vm.sizes import PAGE_SIZE

NODE_MASK, KIND_SHIFT, KIND_MASK = ~0xFF, 3, 0xF
LEAF = 1
NODES = {LEAF: "mr64", 2: "mr64", 3: "ma64"}        # the members of struct maple_node, by kind
INTERNAL, INTERNAL_MASK = 2, 3                      # of an entry: nothing of the user's
READ, WRITE, EXECUTE, MAY_SHARE = 0x1, 0x2, 0x4, 0x80
LONGEST_PATH = 4096
LAST = (1 << 64) - 1
HIGHEST = 31                                        # levels of a tree (MAPLE_HEIGHT_MAX)


@dataclass(frozen=True)
class Mapping:
    """An area of a process: the virtual addresses `start` up to, not including, `end`."""

    start: int
    end: int
    permissions: str        # as in /proc/PID/maps: "r-xp"
    offset: int             # in the file, of `start`, bytes
    path: str | None        # of the file, in the guest; None for other memory

    def __repr__(self) -> str:
        return f"<mapping {self.start:#x}-{self.end:#x} {self.permissions} {self.offset:#x} {self.path or ''}>"


def mappings(kernel: Kernel, memory: Structure) -> list[Mapping]:
    """Of an mm_struct, by address. Raises LinuxError for a kernel before 6.1, which keeps no such tree."""
    if not memory.has("mm_mt"):
        raise LinuxError("what processes have mapped can be read of Linux 6.1 and later; this is "
                         f"{kernel.known.banner.split()[2].decode(errors='replace')}")
    root = memory.number("mm_mt.ma_root")
    if root & INTERNAL_MASK != INTERNAL:
        return []                           # no node: nothing is mapped
    return [mapping_of(kernel.structure("vm_area_struct", area)) for area in entries(kernel, root, LAST, HIGHEST)]


def entries(kernel: Kernel, pointer: int, last: int, height: int) -> Iterator[int]:
    """The entries below a node, whose last index and greatest height are known from above."""
    kind = pointer >> KIND_SHIFT & KIND_MASK
    if kind not in NODES or not height:
        raise LinuxError(f"a process's tree of what it has mapped is damaged at {pointer & NODE_MASK & LAST:#x}")
    node = kernel.structure("maple_node", pointer & NODE_MASK)
    pivots = node.numbers(f"{NODES[kind]}.pivot")
    for place, entry in enumerate(node.numbers(f"{NODES[kind]}.slot")):
        end = (pivots[place] if place < len(pivots) else 0) or last
        if kind != LEAF and entry:
            yield from entries(kernel, entry, end, height - 1)
        elif entry and entry & INTERNAL_MASK != INTERNAL:
            yield entry
        if end >= last:
            return


def mapping_of(area: Structure) -> Mapping:
    flags = area.number("vm_flags")
    letters = zip("rwx", (READ, WRITE, EXECUTE), strict=True)
    file = area.pointed("vm_file", "file")
    return Mapping(
        start=area.number("vm_start"),
        end=area.number("vm_end"),
        permissions="".join(letter if flags & bit else "-" for letter, bit in letters) + "ps"[bool(flags & MAY_SHARE)],
        offset=area.number("vm_pgoff") * PAGE_SIZE if file else 0,
        path=path_of(file) if file else None,
    )


def path_of(file: Structure) -> str:
    """The path of an open file from the root of all file systems (fs/d_path.c)."""
    kernel = file.kernel
    dentry = file.pointed("f_path.dentry", "dentry")
    mounted = file.number("f_path.mnt") - kernel.types.field("mount", "mnt").offset
    parts: list[str] = []
    while dentry is not None and len(parts) < LONGEST_PATH:
        mount = kernel.structure("mount", mounted)
        if dentry.at == mount.number("mnt.mnt_root"):
            mounted = mount.number("mnt_parent")
            if mounted == mount.at:
                break
            dentry = mount.pointed("mnt_mountpoint", "dentry")
            continue
        parts.append(kernel.tables.text(dentry.number("d_name.name")))
        if dentry.number("d_parent") == dentry.at:
            break                           # a file without a place, as of memfd_create
        dentry = dentry.pointed("d_parent", "dentry")
    return "/" + "/".join(reversed(parts))
