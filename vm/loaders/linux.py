"""The kernel of a start in S-mode, its initial RAM disk, and where both and the device tree go.

The Linux `Image` for RISC-V is as in the kernel's Documentation/arch/riscv/boot-image-header.rst; it may be compressed,
or in an EFI zboot image (header: drivers/firmware/efi/libstub/zboot-header.S there). Places follow boot.rst there: the
kernel at a 2 MiB boundary, the device tree below 3 GiB so that every kernel can map it early. Other kernels, as U-Boot
or an RTOS, come as ELF files or as raw bytes to an address.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from vm.errors import LoadError
from vm.loaders.common import File, Range, Segment
from vm.loaders.compression import decompressed
from vm.loaders.elf import MAGIC, plan_elf, refuse_address
from vm.loaders.places import place_device_tree, place_initrd
from vm.loaders.raw import plan_raw
from vm.loaders.symbols import Symbols
from vm.sizes import PAGE_SIZE

KERNEL_ALIGNMENT = 2 << 20

# code0 code1, text_offset, image_size, flags, version, res1, res2, magic, magic2, res3 (PE header offset)
HEADER = struct.Struct("<8s Q Q Q I I Q 8s 4s I")
MAGIC2 = b"RSC\x05"
HEADER_MAGIC2 = 0x38                    # where it stands
BIG_ENDIAN = 1 << 0                     # bit of flags

# MZ, zimg, payload offset, payload size, two reserved words, name of the compression, Linux's magic number of a PE file
ZBOOT_HEADER = struct.Struct("<4s 4s II 8x 32x I")
ZBOOT_MAGIC = b"zimg"
LINUX_PE_MAGIC = 0x818223CD

# Every kernel is compiled for rv64ima, and fences instructions when it patches itself (its arch/riscv/Makefile).
LINUX_NEEDS = ("M", "A", "Zifencei")


@dataclass(frozen=True)
class LinuxBoot:
    """A kernel in guest memory, and where its companions are. Addresses are physical.

    - path: of the kernel's file; "<bytes>" or the like where it came from no file.
    - kernel: all that it claims, its bss included.
    - entry: its first instruction, where it starts in S-mode.
    - initrd: the initial RAM disk; None without.
    - dtb_address: the device tree, which the kernel has in a1.
    - symbols: of a kernel that is an ELF file.
    """

    path: str
    kernel: Range
    entry: int
    initrd: Range | None
    dtb_address: int
    symbols: Symbols = field(default_factory=Symbols)

    def __repr__(self) -> str:
        return (f"<LinuxBoot {self.path}: entry {self.entry:#x}, kernel at {self.kernel}, initrd "
                f"{f'at {self.initrd}' if self.initrd else 'none'}, device tree at {self.dtb_address:#x}>")


def plan_linux(
    file: File,
    ram: Range,
    initrd: File | None = None,
    reserved: Sequence[Range] = (),
    dtb_size: int = PAGE_SIZE,
    address: int | None = None,
    extensions: Collection[str] = LINUX_NEEDS,
) -> tuple[LinuxBoot, list[Segment]]:
    """What of a kernel and its initrd goes where, and the place of a device tree of `dtb_size` bytes.

    `reserved` are the ranges that firmware holds: nothing is put there. A kernel that is no Linux `Image` goes to
    `address`. `extensions` are what the harts have. Raises LoadError.
    """
    file = decompressed(_payload(decompressed(file, ram.size)), ram.size)
    segments, entry, symbols = _plan_kernel(file, ram, address, extensions)
    for segment in segments:
        for taken in reserved:
            if segment.place.overlaps(taken):
                raise LoadError(f"{file.name}: the kernel ({segment.place}) would overwrite memory of the firmware "
                                f"({taken})")
    start = min(segment.place.base for segment in segments)
    kernel = Range(start, max(segment.place.end for segment in segments) - start)
    tree = Range(place_device_tree(ram, [kernel, *reserved], dtb_size), dtb_size)
    disk = None
    if initrd is not None:
        if not initrd.data:
            raise LoadError(f"{initrd.name}: the file is empty")
        disk = place_initrd(initrd, ram, kernel, [tree, *reserved])
        segments.append(Segment(disk, initrd.data))
    return LinuxBoot(file.name, kernel, entry, disk, tree.base, symbols), segments


def _plan_kernel(file: File, ram: Range, address: int | None,
                 extensions: Collection[str]) -> tuple[list[Segment], int, Symbols]:
    """Segments, entry and symbols of a kernel of any kind."""
    if file.data.startswith(MAGIC):
        refuse_address(file, address)
        try:
            program, segments = plan_elf(file, ram)
        except LoadError as error:
            if b"Linux version " in file.data:
                raise LoadError(f"{error}; of Linux, boot the Image made from it (arch/riscv/boot/Image)") from None
            raise
        return segments, program.entry, program.symbols
    if address is not None:
        if file.data[HEADER_MAGIC2:HEADER_MAGIC2 + len(MAGIC2)] == MAGIC2:
            raise LoadError(f"{file.name}: a Linux Image, which says itself where it goes; leave out the address "
                            f"{address:#x}")
        program, segments = plan_raw(file, ram, address)
        return segments, program.entry, program.symbols
    text_offset, image_size = _header(file)
    _check_extensions(file, extensions)
    place = Range(ram.base + text_offset, max(image_size, len(file.data)))
    if not ram.contains(place):
        raise LoadError(f"{file.name}: the kernel ({place}) does not fit in RAM ({ram}); give the machine more memory")
    return [Segment(place, file.data)], place.base, Symbols()


def _check_extensions(file: File, extensions: Collection[str]) -> None:
    """Raise LoadError where no Linux can run: it would hang before it has a console to say so."""
    missing = [name.lower() for name in LINUX_NEEDS if name not in extensions]
    if missing:
        raise LoadError(f"{file.name}: Linux needs {', '.join(missing)}, which the machine has not: name what is "
                        "missing in isa=, or --isa, as in rv64imac_zifencei")


def _payload(file: File) -> File:
    """What an EFI zboot image carries; any other file as it is."""
    name, data = file
    if data[4:8] != ZBOOT_MAGIC or len(data) < ZBOOT_HEADER.size:
        return file
    _, _, offset, size, magic = ZBOOT_HEADER.unpack_from(data)
    if magic != LINUX_PE_MAGIC:
        return file
    if offset + size > len(data):
        raise LoadError(f"{name}: truncated EFI zboot image: {len(data)} bytes of {offset + size}")
    return File(name, data[offset:offset + size])


def _header(file: File) -> tuple[int, int]:
    """(text_offset, image_size) of a header that was found good."""
    name, image = file
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
    if data[0x202:0x206] == b"HdrS":
        return "an x86 kernel (bzImage), not a RISC-V Image"
    if data[0x38:0x3C] == b"ARM\x64":
        return "an AArch64 kernel Image, not a RISC-V one"
    if data.startswith(b"MZ"):
        return "an EFI application, not a RISC-V Image"
    return ("neither a Linux kernel Image for RISC-V (no RSC\\x05 at offset 0x38) nor an ELF file; to load a kernel of "
            "another kind as raw bytes say at which address")
