"""What tests call of the host's programs and files, and the Debian package that brings each: `python tests/tools.py`.

A test that needs one where it is missing is skipped, with one line that names the package. CI installs all packages and
sets VM_REQUIRE_TOOLS=1: there, such a skip is a failure (`tests/conftest.py`).
"""

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "aomenc": "aom-tools",
    "apt-config": "apt",
    "bzip2": "bzip2",
    "chromium": "chromium",
    "cpio": "cpio",
    "dav1d": "dav1d",
    "dpkg-deb": "dpkg",
    "dtc": "device-tree-compiler",
    "edid-decode": "edid-decode",
    "gdb-multiarch": "gdb-multiarch",
    "gpg": "gnupg",
    "gpgv": "gpgv",
    "gzip": "gzip",
    "lz4": "lz4",
    "make": "make",
    "mke2fs": "e2fsprogs",
    "openssl": "openssl",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "qemu-system-riscv64": "qemu-system-misc",
    "riscv64-linux-gnu-gcc": "gcc-riscv64-linux-gnu",
    "riscv64-unknown-elf-as": "binutils-riscv64-unknown-elf",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "riscv64-unknown-elf-ld": "binutils-riscv64-unknown-elf",
    "ssh": "openssh-client",
    "xz": "xz-utils",
    "zstd": "zstd",
    "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin": "qemu-system-data",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
REQUIRED = os.environ.get("VM_REQUIRE_TOOLS") == "1"


def there(tool: str) -> bool:
    return Path(tool).exists() if tool.startswith("/") else shutil.which(tool) is not None


def lack(tools: tuple[str, ...]) -> str:
    """What is missing of them, as the reason of a skip; empty where nothing is."""
    missing = [tool for tool in tools if not there(tool)]
    packages = dict.fromkeys(PACKAGES[tool] for tool in missing)
    return f"needs {', '.join(missing)}: apt install {' '.join(packages)}" if missing else ""


def needs(*tools: str) -> pytest.MarkDecorator:
    """The test is skipped without these."""
    return pytest.mark.skipif(bool(lack(tools)), reason=lack(tools) or "nothing is missing")


def require(*tools: str) -> None:
    """For fixtures and helpers: skip the test that calls without these."""
    if reason := lack(tools):
        pytest.skip(reason)


if __name__ == "__main__":
    print(*sorted(set(PACKAGES.values())))
