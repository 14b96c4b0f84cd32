"""The Linux `Image` for RISC-V, its initial RAM disk, and where both and the device tree go.

Header as in the kernel's Documentation/arch/riscv/boot-image-header.rst, placement rules as in boot.rst there (the
kernel at a 2 MiB boundary, the device tree below 3 GiB so that every kernel can map it early).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from vm.errors import LoadError
from vm.loaders.common import Range, Writable, fill_zero, read_file
from vm.sizes import PAGE_SIZE

MIB = 1 << 20
KERNEL_ALIGNMENT = 2 * MIB
DEVICE_TREE_ALIGNMENT = 2 * MIB
DEVICE_TREE_SIZE = 64 * 1024            # room that is kept; the tree of a board with 8 harts takes 8 KiB
DEVICE_TREE_LIMIT = 3 << 30
INITRD_DISTANCE = 128 * MIB             # above the start of the kernel, which may unpack itself meanwhile

# code0 code1, text_offset, image_size, flags, version, res1, res2, magic, magic2, res3 (PE header offset)
HEADER = struct.Struct("<8s Q Q Q I I Q 8s 4s I")
MAGIC2 = b"RSC\x05"
BIG_ENDIAN = 1 << 0                     # bit of flags

GZIP = b"\x1f\x8b\x08"
COMPRESSED = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\x02\x21\x4c\x18": "lz4",
              b"\x04\x22\x4d\x18": "lz4", b"\x89LZO": "lzop"}


@dataclass(frozen=True)
class LinuxBoot:
    """A kernel in memory and where its companions are; the device tree itself is still to be written."""

    path: str
    kernel: Range                   # all that the kernel claims, its bss included
    initrd: Range | None
    dtb_address: int

    @property
    def entry(self) -> int:
        return self.kernel.base


def load_linux(
    path: str | os.PathLike[str],
    memory: Writable,
    ram: Range,
    initrd: str | os.PathLike[str] | None = None,
    reserved: Sequence[Range] = (),
    dtb_size: int = DEVICE_TREE_SIZE,
) -> LinuxBoot:
    """Load a kernel and its initrd, and choose the place of a device tree of at most `dtb_size` bytes.

    `reserved` are the ranges that firmware holds: nothing is put there. Nothing is written unless all of it fits.
    """
    name = os.fspath(path)
    image = _decompressed(name, read_file(path, ram.size), ram.size)
    text_offset, image_size = _header(name, image)

    kernel = Range(ram.base + text_offset, max(image_size, len(image)))
    if not ram.contains(kernel):
        raise LoadError(f"{name}: the kernel ({kernel}) does not fit in RAM ({ram}); give the machine more memory")
    for taken in reserved:
        if kernel.overlaps(taken):
            raise LoadError(f"{name}: the kernel ({kernel}) would overwrite memory of the firmware ({taken})")

    dtb_address = place_device_tree(ram, [kernel, *reserved], dtb_size)
    disk = None
    if initrd is not None:
        content = read_file(initrd, ram.size)
        if not content:
            raise LoadError(f"{os.fspath(initrd)}: the file is empty")
        disk = _place_initrd(os.fspath(initrd), len(content), ram, kernel, [Range(dtb_address, dtb_size), *reserved])
        memory.write(disk.base, content)
    memory.write(kernel.base, image)
    fill_zero(memory, kernel.base + len(image), kernel.size - len(image))
    return LinuxBoot(name, kernel, disk, dtb_address)


def place_device_tree(ram: Range, occupied: Sequence[Range], size: int = DEVICE_TREE_SIZE) -> int:
    """An address near the end of RAM and below 3 GiB, on a 2 MiB boundary if that leaves `occupied` alone."""
    top = min(ram.end, DEVICE_TREE_LIMIT) if ram.base < DEVICE_TREE_LIMIT else ram.end
    for alignment in (DEVICE_TREE_ALIGNMENT, PAGE_SIZE):
        place = Range((top - size) // alignment * alignment, size)
        if ram.contains(place) and not any(place.overlaps(taken) for taken in occupied):
            return place.base
    raise LoadError(f"no room for the device tree ({size // 1024} KiB) at the end of RAM ({ram}); "
                    "give the machine more memory")


def _place_initrd(name: str, size: int, ram: Range, kernel: Range, obstacles: Sequence[Range]) -> Range:
    """As QEMU does: half of RAM or 128 MiB above the kernel's start, and past its end. Else the first gap that fits."""
    preferred = max(kernel.end, kernel.base + min(ram.size // 2, INITRD_DISTANCE))
    gaps = sorted(taken.end for taken in (kernel, *obstacles))
    for start in (preferred, *gaps):
        place = Range(-(-start // PAGE_SIZE) * PAGE_SIZE, size)
        if ram.contains(place) and not any(place.overlaps(taken) for taken in (kernel, *obstacles)):
            return place
    raise LoadError(f"{name}: the initrd ({size:,} bytes) does not fit in RAM ({ram}) beside the kernel ({kernel}); "
                    "give the machine more memory")


def _decompressed(name: str, data: bytes, limit: int) -> bytes:
    if not data.startswith(GZIP):
        return data
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        image = decompressor.decompress(data, limit)
    except zlib.error as error:
        raise LoadError(f"{name}: damaged gzip file ({error})") from error
    if len(image) == limit:
        raise LoadError(f"{name}: does not fit in RAM when decompressed; give the machine more memory")
    if not decompressor.eof:
        raise LoadError(f"{name}: truncated gzip file")
    return image


def _header(name: str, image: bytes) -> tuple[int, int]:
    """(text_offset, image_size) of a header that was found good."""
    if len(image) < HEADER.size:
        raise LoadError(f"{name}: truncated: {len(image)} bytes do not hold the {HEADER.size}-byte header of an Image")
    _, text_offset, image_size, flags, _, _, _, _, magic2, pe_offset = HEADER.unpack_from(image)
    if magic2 != MAGIC2:
        raise LoadError(f"{name}: {_what_is_it(image)}")
    if flags & BIG_ENDIAN:
        raise LoadError(f"{name}: a big-endian kernel; this machine is little-endian")
    if text_offset % KERNEL_ALIGNMENT:
        raise LoadError(f"{name}: damaged Image: load offset {text_offset:#x} is not a multiple of 2 MiB")
    expected = _pe_file_size(image, pe_offset)
    if len(image) < expected:
        raise LoadError(f"{name}: truncated Image: {len(image)} bytes of {expected}")
    return text_offset, image_size


def _pe_file_size(image: bytes, pe_offset: int) -> int:
    """Bytes that a complete file has as its EFI header tells (PE/COFF sections); 0 without such a header."""
    if not image.startswith(b"MZ") or image[pe_offset:pe_offset + 4] != b"PE\0\0" or len(image) < pe_offset + 24:
        return 0
    sections = int.from_bytes(image[pe_offset + 6:pe_offset + 8], "little")
    optional_header = int.from_bytes(image[pe_offset + 20:pe_offset + 22], "little")
    table = pe_offset + 24 + optional_header
    if len(image) < table + 40 * sections:
        return table + 40 * sections
    extents = (struct.unpack_from("<II", image, table + 40 * index + 16) for index in range(sections))
    return max((size + offset for size, offset in extents), default=0)


def _what_is_it(data: bytes) -> str:
    """Says what a file is that is no RISC-V Image, and what to do."""
    if data[4:8] == b"zimg":
        kind = data[24:56].split(b"\0")[0].decode("ascii", "replace")
        return (f"an EFI zboot image ({kind}-compressed); only UEFI firmware can start it: "
                "use the plain Image (arch/riscv/boot/Image) of the same kernel")
    if data[0x202:0x206] == b"HdrS":
        return "an x86 kernel (bzImage), not a RISC-V Image"
    if data[0x38:0x3C] == b"ARM\x64":
        return "an AArch64 kernel Image, not a RISC-V one"
    if data.startswith(b"\x7fELF"):
        return "an ELF file; boot takes the Image made from it (arch/riscv/boot/Image), run takes bare-metal ELF files"
    if data.startswith(b"MZ"):
        return "an EFI application, not a RISC-V Image"
    for magic, kind in COMPRESSED.items():
        if data.startswith(magic):
            return f"compressed with {kind}; decompress it first (only gzip is read directly)"
    return "not a Linux kernel Image for RISC-V (no RSC\\x05 at offset 0x38)"
