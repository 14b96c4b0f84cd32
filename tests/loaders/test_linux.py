"""Linux Images: headers as in Documentation/arch/riscv/boot-image-header.rst, placement as on QEMU's board."""

import gzip
import io
import lzma
import struct

import pytest

from tests.loaders.conftest import load_linux
from vm.errors import LoadError
from vm.loaders import Range, place_device_tree

MIB = 1 << 20
BASE = 0x8000_0000


def image(body=b"\x13\0\0\0" * 64, image_size=None, text_offset=2 * MIB, flags=0, magic2=b"RSC\x05", pe=None):
    """An Image; with `pe`, an EFI header follows that claims a file of so many bytes."""
    pe_header = b""
    if pe is not None:
        section = struct.pack("<8sIIIIIIHHI", b".text", 0, 0x1000, pe - 0x100, 0x100, 0, 0, 0, 0, 0)
        pe_header = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x5064, 1, 0, 0, 0, 0, 0x206) + section
    size = 64 + len(pe_header) + len(body) if image_size is None else image_size
    code0 = b"MZ\x6f\x10\0\0\0\0" if pe is not None else b"\x6f\x10\0\0\0\0\0\0"
    return struct.pack("<8sQQQIIQ8s4sI", code0, text_offset, size, flags, 2, 0, 0, b"RISCV\0\0\0", magic2,
                       64) + pe_header + body


@pytest.fixture
def write(tmp_path):
    def write(data, name="Image"):
        path = tmp_path / name
        path.write_bytes(data)
        return path
    return write


def test_kernel_goes_to_its_offset_and_its_bss_is_zero(write, machine):
    ram, memory = machine(64)
    content = image(image_size=0x10000)
    boot = load_linux(write(content), memory, ram)
    assert boot.entry == BASE + 2 * MIB
    assert boot.kernel == Range(BASE + 2 * MIB, 0x10000)
    assert memory.read(boot.entry, 0x10010) == content.ljust(0x10000, b"\0") + b"\xa5" * 16


def test_kernel_without_an_image_size_claims_its_file(write, machine):
    """Headers before version 0.2 may leave image_size 0."""
    ram, memory = machine(64)
    assert load_linux(write(image(image_size=0)), memory, ram).kernel.size == len(image())


def zboot(payload, pe_magic=0x8182_23CD):
    """An EFI zboot image: drivers/firmware/efi/libstub/zboot-header.S of Linux."""
    header = struct.pack("<4s4sIIII24s8xII", b"MZ\0\0", b"zimg", 0x1000, len(payload), 0, 0, b"gzip", pe_magic, 64)
    return header.ljust(0x1000, b"\0") + payload + b"the rest of the PE file"


@pytest.mark.parametrize("wrap", [
    gzip.compress, lzma.compress, zboot, lambda data: zboot(gzip.compress(data)),
    lambda data: gzip.compress(zboot(lzma.compress(data))),
], ids=["gzip", "xz", "zboot", "zboot-gzip", "gzip-zboot-xz"])
def test_wrapped_kernel(write, machine, wrap):
    ram, memory = machine(64)
    boot = load_linux(write(wrap(image())), memory, ram)
    assert memory.read(boot.entry, len(image())) == image()


def test_kernel_that_is_an_elf_file(build, machine):
    """It goes where it is linked, and starts where it says."""
    ram, memory = machine(64)
    boot = load_linux(build(text=0x8020_0000, data=0x8020_2000), memory, ram, initrd=io.BytesIO(b"disk"))
    assert (boot.kernel.base, boot.entry) == (0x8020_0000, 0x8020_0000)
    assert boot.kernel.end == boot.symbols["tohost"].address + 8 <= boot.initrd.base
    assert memory.read(0x8020_2000, 8) == bytes.fromhex("8877665544332211")


def test_kernel_of_raw_bytes(write, machine):
    ram, memory = machine(64)
    boot = load_linux(write(b"\x13\0\0\0"), memory, ram, address=0x8040_0000)
    assert (boot.kernel, boot.entry) == (Range(0x8040_0000, 4), 0x8040_0000)
    assert memory.read(0x8040_0000, 5) == b"\x13\0\0\0\xa5"


def test_elf_of_linux_itself_is_refused_with_a_hint(build, memory, ram):
    """vmlinux is linked to its virtual addresses, and its physical ones begin at 0."""
    data = build(text=0x40_0000, data=0x40_1000).read_bytes() + b"Linux version 6.12"
    with pytest.raises(LoadError, match="outside RAM .*; of Linux, boot the Image made from it"):
        load_linux(data, memory, ram)
    assert memory.untouched


@pytest.mark.parametrize("mib, distance", [(64, 32), (256, 128), (1024, 128), (64 * 32, 128)])
def test_initrd_is_half_of_ram_or_128_mib_above_the_kernel(write, mib, distance, machine):
    """As QEMU's riscv_load_initrd places it."""
    ram, memory = machine(mib, backed=160)
    boot = load_linux(write(image()), memory, ram, initrd=write(b"070701" * 1000, "initrd"))
    assert boot.initrd.base == BASE + 2 * MIB + distance * MIB
    assert boot.initrd.end == boot.initrd.base + 6000
    assert memory.read(boot.initrd.base, 6001) == b"070701" * 1000 + b"\xa5"


def test_no_initrd(write, machine):
    ram, memory = machine(64)
    boot = load_linux(write(image()), memory, ram)
    assert boot.initrd is None


def test_initrd_starts_past_a_kernel_larger_than_half_of_ram(write, machine):
    ram, memory = machine(64)
    boot = load_linux(write(image(image_size=40 * MIB + 1)), memory, ram, initrd=write(b"x", "initrd"))
    assert boot.initrd.base == BASE + 42 * MIB + 0x1000


def test_large_initrd_moves_down_to_fit(write, machine):
    ram, memory = machine(64)
    boot = load_linux(write(image()), memory, ram, initrd=write(bytes(50 * MIB), "initrd"))
    assert boot.initrd.base == BASE + 2 * MIB + 0x1000
    assert boot.initrd.end <= boot.dtb_address


@pytest.mark.parametrize("mib", [4, 8, 64, 65, 150])
def test_nothing_overlaps(write, mib, machine):
    ram, memory = machine(mib, backed=160)
    boot = load_linux(write(image()), memory, ram, initrd=write(bytes(MIB), "initrd"), dtb_size=0x10000)
    tree = Range(boot.dtb_address, 0x10000)
    assert not any(a.overlaps(b) for a, b in [(boot.kernel, boot.initrd), (boot.kernel, tree), (boot.initrd, tree)])
    assert all(ram.contains(part) for part in (boot.kernel, boot.initrd, tree))


def test_firmware_memory_is_left_alone(write, machine):
    """fw_jump of OpenSBI copies the device tree to 34 MiB above its start, where the initrd would go in 64 MiB."""
    ram, memory = machine(64)
    reserved = [Range(BASE, 0x80000), Range(BASE + 34 * MIB, 0x10000)]
    boot = load_linux(write(image()), memory, ram, initrd=write(bytes(MIB), "initrd"), reserved=reserved)
    assert not any(boot.initrd.overlaps(taken) for taken in reserved)


def test_kernel_that_would_overwrite_firmware_is_refused(write, machine):
    ram, memory = machine(64)
    with pytest.raises(LoadError, match="overwrite memory of the firmware"):
        load_linux(write(image(text_offset=0)), memory, ram, reserved=[Range(BASE, 0x80000)])
    assert memory.untouched


@pytest.mark.parametrize("mib, address", [
    (128, BASE + 126 * MIB),
    (512, BASE + 510 * MIB),
    (1024, 0xBFE0_0000),
    (4096, 0xBFE0_0000),                            # below 3 GiB, whatever the size of RAM
])
def test_device_tree_is_at_the_last_2_mib_boundary(mib, address):
    assert place_device_tree(Range(BASE, mib * MIB), [], 0x10000) == address


def test_device_tree_goes_into_the_highest_gap():
    """A bss that covers 3 GiB leaves room above it; a program to the end of RAM, below it."""
    ram = Range(BASE, 4096 * MIB)
    assert place_device_tree(ram, [Range(BASE, 3072 * MIB)], 4096) == ram.end - 2 * MIB
    assert place_device_tree(ram, [Range(BASE + 4 * MIB, 4092 * MIB)], 4096) == BASE + 2 * MIB
    assert place_device_tree(ram, [Range(BASE + 4096, 4096 * MIB - 4096)], 4096) == BASE


def test_device_tree_in_ram_above_3_gib():
    ram = Range(0xFFFF_FFFF_FFFF_0000, 0x1_0000)
    assert place_device_tree(ram, [Range(ram.end - 4096, 4096)], 4096) == ram.end - 8192


def test_device_tree_gives_up_alignment_before_it_overlaps():
    ram = Range(BASE, 4 * MIB)
    assert place_device_tree(ram, [Range(BASE, 3 * MIB)], 0x10000) == BASE + 4 * MIB - 0x10000


def test_device_tree_without_room():
    with pytest.raises(LoadError, match="no room for the device tree"):
        place_device_tree(Range(BASE, 4 * MIB), [Range(BASE, 4 * MIB)], 0x10000)


# --- Bad files --------------------------------------------------------------------------------------------------------

@pytest.fixture
def refused(memory, ram):
    def refused(path, words, **options):
        with pytest.raises(LoadError, match=words) as caught:
            load_linux(path, memory, ram, **options)
        assert "\n" not in str(caught.value)
        assert memory.untouched
    return refused


def bzimage():
    data = bytearray(0x1000)
    data[0:2], data[0x1FE:0x206] = b"MZ", b"\x55\xaa\xeb\x66HdrS"
    return bytes(data)


@pytest.mark.parametrize("content, words", [
    (b"", "truncated"),
    (image()[:63], "truncated"),
    (image(pe=0x1000, body=bytes(0x200)), "truncated Image: .* bytes of 4096"),
    (bzimage(), "x86 kernel"),
    (image(magic2=b"ARM\x64"), "AArch64"),
    (b"\x7fELF".ljust(100, b"\0"), "not for RISC-V"),
    (bytes(100), "neither a Linux kernel"),
    (zboot(image())[:0x1010], "truncated EFI zboot image: 4112 bytes of"),
    (zboot(image(), pe_magic=0), "an EFI application"),
    (zboot(b"\x89LZO" + bytes(100)), "compressed with lzop"),
    (image(flags=1), "big-endian"),
    (image(text_offset=0x80000), "multiple of 2 MiB"),
    (image(text_offset=1 << 63), "does not fit in RAM"),
    (image(image_size=15 * MIB), "does not fit in RAM"),
    (image(text_offset=0, image_size=16 * MIB), "no room for the device tree"),
])
def test_bad_kernel(write, content, words, refused):
    refused(write(content), words)


def test_complete_efi_image_is_accepted(write, machine):
    ram, memory = machine(16)
    body = bytes(0x1000 - 64 - 24 - 40)
    assert load_linux(write(image(pe=0x1000, body=body)), memory, ram).entry == BASE + 2 * MIB


def test_missing_kernel(tmp_path, refused):
    refused(tmp_path / "none", "none: no such file")


def test_directory_as_kernel(tmp_path, refused):
    refused(tmp_path, "is a directory")


def test_missing_initrd(write, tmp_path, refused):
    refused(write(image()), "none: no such file", initrd=tmp_path / "none")


def test_empty_initrd(write, refused):
    refused(write(image()), "initrd: the file is empty", initrd=write(b"", "initrd"))


def test_initrd_that_does_not_fit(write, refused):
    words = r"initrd: the initrd \(14,\d+,\d+ bytes\) does not fit in RAM \(0x80000000..0x81000000\)"
    refused(write(image()), words, initrd=write(bytes(14 * MIB), "initrd"))


def test_initrd_larger_than_ram(write, refused):
    refused(write(image()), "initrd: holds more", initrd=write(bytes(17 * MIB), "initrd"))
