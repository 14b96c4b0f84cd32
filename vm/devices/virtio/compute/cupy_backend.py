"""The compute device's arrays on a GPU, by CuPy: NVIDIA's with CUDA, AMD's with ROCm.

Guest memory is copied to the GPU and back through pinned host memory, which the GPU's DMA reaches; guest memory itself
is not registered with the driver, since a snapshot maps it anew. Each queue of the device has a stream of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vm.devices.virtio.compute.layout import CUPY, Refused, Status
from vm.devices.virtio.compute.operations import Operation
from vm.errors import ConfigurationError

INSTEAD = "or say backend='numpy'"


def loaded() -> Any:
    """The module cupy, where it finds a GPU. Raises ConfigurationError, with what is missing."""
    try:
        import cupy
    except ImportError as error:
        raise ConfigurationError(f"backend='cupy': CuPy cannot be loaded ({error}): pip install 'vm-emulator[cupy]' "
                                 f"for CUDA 12, or the package of CuPy that fits the GPU's driver, {INSTEAD}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ConfigurationError(f"backend='cupy': CuPy reaches no GPU ({error}): see that its driver is there, as by "
                                 f"nvidia-smi or rocm-smi, {INSTEAD}") from None
    if not count:
        raise ConfigurationError(f"backend='cupy': this host has no GPU that CuPy sees; {INSTEAD}")
    return cupy


def described() -> str:
    """CuPy's version and the GPU. Raises ConfigurationError."""
    cupy = loaded()
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    kind = "ROCm" if cupy.cuda.runtime.is_hip else "CUDA"
    return (f"CuPy {cupy.__version__} on {properties['name'].decode()}, {properties['totalGlobalMem'] >> 20} MiB, "
            f"{kind} runtime {cupy.cuda.runtime.runtimeGetVersion()}")


class CupyBackend:
    """On the GPU that is CuPy's current device. What it gives need not be NumPy's to the last bit: so a run with it is
    replayed from its log."""

    name = "cupy"
    number = CUPY
    replay = "log"

    def __init__(self) -> None:
        self._cupy = loaded()
        self._streams: dict[int, Any] = {}

    def compute(self, operation: Operation, inputs: Sequence[NDArray[Any]], output: NDArray[Any],
                parameters: tuple[int, ...], queue: int) -> None:
        cupy = self._cupy
        if queue not in self._streams:
            self._streams[queue] = cupy.cuda.Stream(non_blocking=True)
        stream = self._streams[queue]
        try:
            with stream:
                pinned = [self._pinned(array) for array in inputs]      # there until the stream is through with them
                there = [self._sent(array, by, stream) for array, by in zip(inputs, pinned, strict=True)]
                back = self._pinned(output)
                result = (self._sent(output, back, stream) if operation.reads_output
                          else cupy.empty(output.shape, output.dtype))
                operation.compute(cupy, there, result, parameters)
                result.get(stream=stream, out=back)
                stream.synchronize()
        except (MemoryError, cupy.cuda.runtime.CUDARuntimeError):       # CuPy's own for the GPU is a MemoryError
            raise Refused(Status.BACKEND) from None
        except TypeError:               # CuPy has fewer types than NumPy for some operations
            raise Refused(Status.TYPE) from None
        except (ValueError, ZeroDivisionError, OverflowError):
            raise Refused(Status.VALUE) from None
        output[...] = back

    def _pinned(self, like: NDArray[Any]) -> NDArray[Any]:
        """Host memory that the GPU's DMA reaches, for an array of that shape and type in C order."""
        if like.size == 0:
            return np.empty(like.shape, like.dtype)
        memory = self._cupy.cuda.alloc_pinned_memory(like.size * like.itemsize)
        return np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)

    def _sent(self, array: NDArray[Any], pinned: NDArray[Any], stream: Any) -> Any:
        """The array on the GPU, by way of pinned memory that stays as it is until the stream has come to there."""
        pinned[...] = array
        there = self._cupy.empty(array.shape, array.dtype)
        there.set(pinned, stream=stream)
        return there

    def close(self) -> None:
        self._streams.clear()
