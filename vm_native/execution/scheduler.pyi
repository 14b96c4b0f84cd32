from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

from vm_native.clock import NativeClock
from vm_native.jit.compiler import JitCompiler
from vm_native.memory.bus import Bus

STOP_CODES: dict[str, int]

class Scheduler:
    bus: Bus
    clock: NativeClock
    form: str
    compiler: JitCompiler | None
    def __init__(
        self,
        bus: Bus,
        clock: NativeClock,
        *,
        form: str,
        compiler: JitCompiler | None = None,
        quantum: int = 10_000,
        linking: bool = True,
        fusion: bool = True,
        data_tlb: bool = True,
    ) -> None: ...
    def run(self, limit: int, stop_ns: int, host_deadline: int) -> tuple[int, int]: ...
    def request_stop(self) -> None: ...
    def set_event(self, due_ns: int) -> None: ...
    def next_deadline_ns(self) -> int: ...
    @property
    def running(self) -> bool: ...
    @property
    def current_hart(self) -> int: ...
    def write(self, address: int, data: Buffer | NDArray[Any]) -> bool: ...
    def touched(self, address: int, size: int) -> None: ...
    def watch(self, address: int, size: int) -> None: ...
    @property
    def watched_size(self) -> int: ...
    def statistics(self) -> dict[str, Any]: ...
