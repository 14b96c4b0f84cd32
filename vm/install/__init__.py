"""A Debian on a disk: `install_debian("disk.qcow2")`, as debootstrap(8) makes one.

    selection.py    which packages
    settings.py     what the system is told: names, keys, files of its own
    medium.py       the disk that it is installed from: the most needed files, and the packages
    installation.py a machine that partitions the disk, fills it and lets the packages set themselves up

Packages are chosen, fetched, verified and decompressed on the host, which is quick; their scripts run in the guest, as
they must. Nothing needs a privilege or a program of the host.
"""

from vm.install.installation import Installed, Report, install_debian
from vm.install.settings import Settings

__all__ = ["Installed", "Report", "Settings", "install_debian"]
