"""Guest images: finding, downloading, verifying and caching what guests are booted from."""

from .archive import Archive
from .deb import extract
from .debian import INSTALLER_CMDLINE, SHELL_CMDLINE, debian_archive, debian_installer, debian_package
from .package import Package

__all__ = [
    "INSTALLER_CMDLINE",
    "SHELL_CMDLINE",
    "Archive",
    "Package",
    "debian_archive",
    "debian_installer",
    "debian_package",
    "extract",
]
