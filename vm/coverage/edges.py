"""The map of edges that fuzzers of AFL's kind look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vm.arguments import whole_number
from vm.errors import ConfigurationError
from vm.scope import start_recorder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vm.scope import Scope
    from vm_native.execution.native_machine import NativeMachine

LEAST_BITS, MOST_BITS = 8, 30


class EdgeMap:
    """Counters of edges, by a hash of two blocks, until `stop()`, or to the end of a `with` block.

    - array: a NumPy array of bytes that the engines count in, without a copy. A byte goes from 255 to 0. It can be
      written, and copied to a fuzzer's shared memory. It is exact between runs, and for hooks and devices; another
      thread that looks into it during a run may find the turns of a loop missing, until that is left.
    """

    def __init__(self, native: NativeMachine, bits: int, addresses: range, scope: Scope, refuse: Callable[[str], None]):
        """As `Machine.edge_map` has it; `refuse(what)` raises where it cannot be changed. Raises ConfigurationError."""
        bits = whole_number("bits", bits)
        if not LEAST_BITS <= bits <= MOST_BITS:
            raise ConfigurationError(f"bits={bits}: from {LEAST_BITS} to {MOST_BITS}")
        self._native = start_recorder("edge_map", native, "edges", addresses, scope, capacity=bits)
        self._refuse = refuse
        self.array: NDArray[np.uint8] = np.frombuffer(self._native, np.uint8)

    def clear(self) -> None:
        """Let all counters be 0. Raises MachineBusy while the machine runs."""
        self._refuse("clear")
        self.array[:] = 0

    def stop(self) -> None:
        """Count no more; the array stays. Twice is harmless. Raises MachineBusy while the machine runs."""
        self._refuse("stop")
        self._native.stop()

    def __len__(self) -> int:
        return len(self.array)

    def __enter__(self) -> EdgeMap:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EdgeMap: {np.count_nonzero(self.array):,} of {len(self.array):,} bytes set>"
