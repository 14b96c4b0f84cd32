"""Guest images: finding, downloading, verifying and caching what guests are booted from."""

from vm.images.archive import Archive
from vm.images.deb import extract
from vm.images.linux import Linux, debian
from vm.images.loader import boot_loader
from vm.images.package import Package
from vm.images.suite import INSTALLER_CMDLINE, SHELL_CMDLINE, debian_archive, debian_installer, debian_package

__all__ = [
    "INSTALLER_CMDLINE", "SHELL_CMDLINE", "Archive", "Linux", "Package", "boot_loader", "debian", "debian_archive",
    "debian_installer", "debian_package", "extract",
]
