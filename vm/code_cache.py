"""Compiled code that outlives its process: a second run of a program, a second boot of a kernel begins with what the
first has compiled.

A file in the folder `code` of the cache is for one guest on one kind of machine: its name is a digest of the
instruction set, the settings, this build of the core, what the host's processor has, and a sample of what the guest's
files hold. It holds images of layers (vm_native/jit/image.pyx), which bring along the bytes of the pages that they were
made of. Each machine compares these with its memory before it runs any of their code; so another guest of the same name
costs time and no more, and the guest does the same, step by step, with a full cache and an empty one.

In real time no boot is like another: a Linux puts its processes elsewhere each time, as random numbers have it. Their
code is not kept then, that of the kernel is.

Code is run as it stands in the file. So a file, and the folder, must belong to the user and be writable by nobody
else; whatever is damaged, foreign or of another format is left alone and said in the log. A file appears when it is
whole, and none is ever changed, so that processes do not disturb each other. When all take more than LIMIT, those go
that were used longest ago.

    magic 8, version u32, images u32, digest of the key 32, per image: size u64, checksum u32, 0 u32 | checksum of all
    that u32, 0 u32 | images, each from a multiple of 64 on
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import logging
import mmap
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet, WeakValueDictionary

import vm_native
from vm.errors import VmError
from vm.images.cache import CacheNotWritable, cache_directory, replacing
from vm_native.jit.compiler import JitCompiler, host_features
from vm_native.jit.image import checksum, image_of, layer_of

if TYPE_CHECKING:
    from vm.boot import Start
    from vm.settings import Settings
    from vm_native.execution.native_machine import NativeMachine
    from vm_native.riscv.isa import Isa
    from vm_native.shared_code import SharedCode

log = logging.getLogger("vm.code_cache")

MAGIC = b"\x89VMCODE\n"
VERSION = 1
HEAD = struct.Struct("<8sII32s")
ENTRY = struct.Struct("<QII")
SUM = struct.Struct("<II")
ALIGNMENT = 64
LIMIT = 256 << 20               # bytes of all files
MOST_BYTES = LIMIT // 2         # of one
MOST_IMAGES = 4                 # in one: a machine runs 8 layers
WORTH_NS = 5_000_000            # what took less to compile is compiled again
SAMPLE = 4096                   # bytes of a guest's file that its name depends on, here and there
SAMPLES = 16
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Unusable(VmError):
    """A file or the folder is not what it should be. The text says what it is."""


class Image(NamedTuple):
    """In a file that is mapped."""

    content: memoryview
    checksum: int


class CodeCache:
    """What one machine takes from the cache, and gives; without `processes` nothing of what runs in address spaces.

    Nothing here fails for the machine: what went wrong is in `stats` and in the log.
    """

    def __init__(self, native: NativeMachine, compiler: JitCompiler, isa: Isa, settings: Settings, processes: bool):
        self.native = native
        self.compiler = compiler
        self.processes = processes
        # What compiled code depends on but the guest, and what is kept of it
        self.kind = (isa.string, sorted(settings.switches.items()), processes)
        self.path: Path | None = None                       # of the file, once there is a guest
        self.taken: dict[int, SharedCode] = {}              # from the file, by the checksum of its image
        self.stats: dict[str, Any] = {"outcome": "no guest", "bytes": 0, "read_ns": 0, "written": 0, "write_ns": 0}
        remember(self)

    def begin(self, start: Start) -> None:
        """A guest begins: take what there is for it."""
        began = time.perf_counter_ns()
        with self._telling():
            path = cache_directory().absolute() / "code" / digest_of(self.kind, start).hex()
            if path == self.path:
                return
            self.path = path
            try:
                images = mapped(path, bytes.fromhex(path.name))
            except FileNotFoundError:
                self.stats["outcome"] = "cold"
                return
            self.taken = {image.checksum: loaded(path, image, self.compiler) for image in images}
            self.stats["bytes"] = sum(image.content.nbytes for image in images)
            self.native.take_shared(self.taken.values())
            self.stats["outcome"] = "warm"
        self.stats["read_ns"] = time.perf_counter_ns() - began

    def keep(self) -> None:
        """The machine goes: write what it has compiled, if that is worth it."""
        if self.path is None or not self.native.usable or self.compiler.statistics()["compile_ns"] < WORTH_NS:
            return
        began = time.perf_counter_ns()
        with self._telling():
            self.native.share_code()
            own = [shared for shared in self.native.shared_code if shared not in self.taken.values()]
            images = [image_of(shared, self.compiler, self.processes) for shared in own]
            if found := [image for image in images if image is not None]:
                self._write(found)
        self.stats["write_ns"] = time.perf_counter_ns() - began

    def _write(self, own: list[bytes]) -> None:
        """Beside what was taken and has been of use. A file that came meanwhile is another process's, and stays."""
        assert self.path is not None
        make_folder(self.path.parent)
        images: list[Image] = []
        with suppress(FileNotFoundError, Unusable):
            images = mapped(self.path, bytes.fromhex(self.path.name))
            if {image.checksum for image in images} != self.taken.keys():
                return
        useful = [image.content for image in images if self.native.holds(self.taken[image.checksum])]
        contents = [*useful, *(memoryview(image) for image in own)]
        size = sum(content.nbytes for content in contents)
        if len(contents) > MOST_IMAGES or size > MOST_BYTES:
            log.info("%s: full, what this machine has compiled is not kept", self.path)
            return
        write(self.path, bytes.fromhex(self.path.name), contents)
        self.stats["written"] = size
        make_room(self.path.parent)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What goes wrong inside becomes the outcome."""
        try:
            yield
        except (OSError, Unusable, CacheNotWritable, MemoryError) as error:
            self.stats["outcome"] = str(error)
            log.warning("%s", error)


# --- Names -----------------------------------------------------------------------------------------------------------

def digest_of(kind: tuple[Any, ...], start: Start) -> bytes:
    """What a file is called for. The device tree, which holds random numbers, is left out."""
    digest = hashlib.sha256(repr((VERSION, build(), host_features(), kind)).encode())
    for segment in start.segments:
        if segment.place.base != start.tree:
            digest.update(repr(segment.place).encode())
            for piece in sample(segment.data):
                digest.update(piece)
    return digest.digest()


def sample(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    step = max(len(data) // SAMPLES, SAMPLE)
    for first in range(0, len(data), step):
        yield view[first:first + SAMPLE]


@functools.cache
def build() -> bytes:
    """What stands for the compiled modules: a file that was built or installed anew has another time of change."""
    found = []
    for folder, _, names in os.walk(os.path.dirname(vm_native.__file__)):
        for name in names:
            if name.endswith((".so", ".pyd")):
                status = os.stat(os.path.join(folder, name))
                found.append((folder, name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns,
                              status.st_ctime_ns))
    return hashlib.sha256(repr(sorted(found)).encode()).digest()


# --- Reading ---------------------------------------------------------------------------------------------------------

_layers: WeakValueDictionary[tuple[str, int, int], SharedCode] = WeakValueDictionary()       # machines here share them


def loaded(path: Path, image: Image, compiler: JitCompiler) -> SharedCode:
    """The layer of an image. Raises Unusable."""
    name = (path.name, image.content.nbytes, image.checksum)
    layer = _layers.get(name)
    if layer is None:
        try:
            layer = _layers[name] = layer_of(image.content, compiler)
        except ValueError as error:
            raise Unusable(f"{path}: {error}") from error
    return layer


def mapped(path: Path, name: bytes) -> list[Image]:
    """The images of a file of the cache, which is mapped for as long as somebody has one. `name` is whose they have to
    be. Raises FileNotFoundError, OSError, Unusable.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        check_owner(path.parent, os.fstat(folder), stat.S_ISDIR)
        # In that folder, though somebody has moved it away and put another in its place.
        descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    return images_of(path, descriptor, name)


def images_of(path: Path, descriptor: int, name: bytes) -> list[Image]:
    """The same of a file that is open, and is closed here."""
    try:
        check_owner(path, os.fstat(descriptor), stat.S_ISREG)
        with suppress(OSError):                 # for `make_room`; a file system that is read only serves as well
            os.utime(descriptor)
        if os.fstat(descriptor).st_size < HEAD.size + SUM.size:
            raise Unusable(f"{path}: is cut off")
        mapping = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    finally:
        os.close(descriptor)
    return images_in(path, memoryview(mapping), name)


def check_owner(path: Path, status: os.stat_result, is_kind: Any) -> None:
    if not is_kind(status.st_mode):
        raise Unusable(f"{path}: is no {'folder' if is_kind is stat.S_ISDIR else 'file'}")
    if status.st_uid != os.geteuid() or status.st_mode & OTHERS_MAY_WRITE:
        raise Unusable(f"{path}: belongs to another user, or others may write to it: code of its is not run")


def images_in(path: Path, view: memoryview, wanted: bytes) -> list[Image]:
    """Raises Unusable."""
    magic, version, count, name = HEAD.unpack_from(view)
    if magic != MAGIC or version != VERSION:
        raise Unusable(f"{path}: has another format")
    end = HEAD.size + count * ENTRY.size
    if count > MOST_IMAGES or end + SUM.size > view.nbytes or SUM.unpack_from(view, end)[0] != checksum(view[:end]):
        raise Unusable(f"{path}: is damaged")
    if name != wanted:
        raise Unusable(f"{path}: is the file of another guest, or for another processor, ISA or build of vm")
    images = []
    at = end + SUM.size
    for size, expected, _ in ENTRY.iter_unpack(view[HEAD.size:end]):
        at = aligned(at)
        content = view[at:at + size]
        if content.nbytes != size or checksum(content) != expected:
            raise Unusable(f"{path}: is damaged")
        images.append(Image(content, expected))
        at += size
    return images


# --- Writing ---------------------------------------------------------------------------------------------------------

def aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def make_folder(folder: Path) -> None:
    """For this user alone. Raises Unusable, OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_owner(folder, os.lstat(folder), stat.S_ISDIR)


def write(path: Path, name: bytes, images: list[memoryview]) -> None:
    """Raises CacheNotWritable."""
    entries = b"".join(ENTRY.pack(image.nbytes, checksum(image), 0) for image in images)
    head = HEAD.pack(MAGIC, VERSION, len(images), name) + entries
    with replacing(path) as file:
        at = file.write(head) + file.write(SUM.pack(checksum(head), 0))
        for image in images:
            at += file.write(bytes(aligned(at) - at))
            at += file.write(image)


def make_room(folder: Path) -> None:
    """Remove what was used longest ago until the rest is at most LIMIT. Raises OSError."""
    files = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):       # another process makes room as well
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                files.append((status.st_mtime_ns, status.st_size, entry.path))
    excess = sum(size for _, size, _ in files) - LIMIT
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        with suppress(FileNotFoundError):
            os.unlink(path)
        excess -= size


# --- The end ---------------------------------------------------------------------------------------------------------

_caches: WeakSet[CodeCache] = WeakSet()


def remember(cache: CodeCache) -> None:
    """Machines that nobody closes give what they have when the process ends."""
    if not _caches:
        atexit.unregister(keep_all)
        atexit.register(keep_all)
    _caches.add(cache)


def keep_all() -> None:
    for cache in list(_caches):
        cache.keep()
