"""Guest images: finding, downloading, verifying and caching what guests are booted from."""

from vm.images.archive import Archive
from vm.images.deb import extract
from vm.images.debian import INSTALLER_CMDLINE, SHELL_CMDLINE, debian_archive, debian_installer, debian_package
from vm.images.package import Package

__all__ = [
    "INSTALLER_CMDLINE", "SHELL_CMDLINE", "Archive", "Package", "debian_archive", "debian_installer", "debian_package",
    "extract",
]
