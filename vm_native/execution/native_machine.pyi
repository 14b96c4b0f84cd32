from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

from vm_native.clock import NativeClock
from vm_native.jit.compiler import JitCompiler
from vm_native.memory.bus import Bus

class NativeMachine:
    bus: Bus
    clock: NativeClock
    compiler: JitCompiler | None
    closed: bool
    def __init__(
        self,
        bus: Bus,
        clock: NativeClock,
        *,
        compiler: JitCompiler | None = None,
        linking: bool = True,
        data_tlb: bool = True,
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def usable(self) -> bool: ...
    def reschedule(self) -> None: ...
    def write(self, address: int, data: Buffer | NDArray[Any]) -> bool: ...
    def invalidate(self, address: int, size: int) -> None: ...
    def watch(self, address: int, size: int) -> None: ...
    @property
    def watched_size(self) -> int: ...
    def statistics(self) -> dict[str, Any]: ...
