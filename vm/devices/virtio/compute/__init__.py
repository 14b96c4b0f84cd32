"""The compute device: array work that a guest asks its host for. docs/devices/compute.md is its specification.

`layout.py` has requests as they lie in guest memory, `operations.py` what can be asked for, with the rules of shapes,
types and costs, `arrays.py` the guest's memory as arrays, `backends.py` who computes, `cupy_backend.py` a GPU that
does, `random_numbers.py` where random numbers come from, `device.py` the queues.
"""

from vm.devices.virtio.compute.device import ComputeDevice

__all__ = ["ComputeDevice"]
