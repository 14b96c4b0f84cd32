"""Disk images: raw files and qcow2, with overlays above a base that stays as it is.

    vm.disks.create("work.qcow2", backing="base.img")       # what a guest writes goes here
    vm.disks.commit("work.qcow2")                           # ... and into the base, if it is asked for

`tools.py` is what people do with images, `image.py` what each offers, `raw.py` and `qcow2` the formats, `chain.py` how
one is opened with those below it, `disk.py` the disk of a machine, `state.py` its state, which is a layer (`layer.py`).
"""

from typing import TYPE_CHECKING

from vm.lazy import from_modules

if TYPE_CHECKING:
    from vm.disks.tools import ImageInfo, commit, convert, create, info, rebase

__all__ = ["ImageInfo", "commit", "convert", "create", "info", "rebase"]

__getattr__ = from_modules(__name__, dict.fromkeys(__all__, "vm.disks.tools"))


def __dir__() -> list[str]:
    return __all__
