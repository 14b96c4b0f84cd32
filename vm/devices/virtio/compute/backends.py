"""Who computes: a protocol, NumPy on the host's processor, and the choice among them.

No backend stands in for another: one that cannot be had raises when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vm.devices.virtio.compute.layout import NUMPY, Refused, Status
from vm.devices.virtio.compute.operations import Operation
from vm.errors import ConfigurationError


class Backend(Protocol):
    """Computes what has been checked. `number` is what the guest sees of it, `replay` how it is replayed by default."""

    name: str
    number: int
    replay: str

    def compute(self, operation: Operation, inputs: Sequence[NDArray[Any]], output: NDArray[Any],
                parameters: tuple[int, ...], queue: int) -> None:
        """Fill `output`. The arrays are the guest's memory, perhaps the same, and not to be kept. Raises Refused."""

    def close(self) -> None:
        """Let go of what it holds. Twice is harmless."""


class NumpyBackend:
    """On the host's processor, in the arrays themselves."""

    name = "numpy"
    number = NUMPY
    replay = "compute"

    def compute(self, operation: Operation, inputs: Sequence[NDArray[Any]], output: NDArray[Any],
                parameters: tuple[int, ...], queue: int) -> None:
        try:
            with np.errstate(all="ignore"):
                operation.compute(np, inputs, output, parameters)
        except MemoryError:
            raise Refused(Status.BACKEND) from None
        except (ValueError, ZeroDivisionError, OverflowError):      # as of an integer to the power of -1
            raise Refused(Status.VALUE) from None

    def close(self) -> None:
        pass


def cupy_backend() -> Backend:
    from vm.devices.virtio.compute.cupy_backend import CupyBackend

    return CupyBackend()


BACKENDS = {"numpy": NumpyBackend, "cupy": cupy_backend}


def backend_named(name: str) -> Backend:
    """Raises ConfigurationError for a name that is none, and for what this host has not."""
    if name not in BACKENDS:
        raise ConfigurationError(f"backend={name!r}: there is {', '.join(BACKENDS)}")
    return BACKENDS[name]()


def facts() -> list[tuple[str, str]]:
    """Each backend's name, and what there is of it here, or what is missing."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    rows = [("numpy", f"NumPy {np.__version__}, {blas.get('name')} {blas.get('version', '')}".rstrip())]
    if find_spec("cupy") is None:
        return [*rows, ("cupy", "not here: CuPy is not installed")]
    from vm.devices.virtio.compute.cupy_backend import described

    try:
        return [*rows, ("cupy", described())]
    except ConfigurationError as error:
        return [*rows, ("cupy", f"not here: {error}")]
