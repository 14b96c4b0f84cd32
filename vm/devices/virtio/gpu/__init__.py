"""Virtio GPU device, of which this is the part without 3D: virtio 1.2, section 5.7.

`picture.py` has the formats of pixels and what holds some, `backing.py` the guest's side of them, `edid.py` how the
screen describes itself, `device.py` the commands.
"""

from vm.devices.virtio.gpu.device import Screen

__all__ = ["Screen"]
