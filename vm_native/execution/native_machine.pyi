from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Literal

from numpy.typing import NDArray
from typing_extensions import Buffer

from vm_native.clock import NativeClock
from vm_native.jit.compiler import JitCompiler
from vm_native.memory.bus import Bus
from vm_native.memory.ram import Ram
from vm_native.shared_code import SharedCode
from vm_native.state.content import RegionContent

Access = Literal["read", "write", "access", "execute"]

Scope = tuple[int, int, int]

EVENT_KINDS: dict[str, int]
EVERYWHERE: Scope

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
    @property
    def shared_code(self) -> tuple[SharedCode, ...]: ...
    def share_code(self, worth: int = 4) -> None: ...
    def holds(self, shared: SharedCode) -> bool: ...
    def take_shared(self, others: Iterable[SharedCode]) -> None: ...
    def capture(self) -> tuple[RegionContent, ...]: ...
    def restore(self, contents: Iterable[RegionContent], harts: Iterable[bytes]) -> None: ...
    def add_ram(self, ram: Ram) -> None: ...
    @property
    def written_pages(self) -> int: ...
    def limit_pages(self, left: int | None) -> None: ...
    def write(self, address: int, data: Buffer | NDArray[Any]) -> bool: ...
    def clear(self, address: int, size: int) -> bool: ...
    def invalidate(self, address: int, size: int) -> None: ...
    @property
    def observers(self) -> int: ...
    noting: bool
    silent: bool
    waiting: deque[tuple[Callable[[Any], object], Any]]
    subjects: tuple[Any, ...]
    in_hook: bool
    hooked_ahead: bool
    onlooker: Any
    def add_watch(
        self,
        address: int,
        size: int,
        *,
        reads: bool,
        writes: bool,
        always: bool = False,
        physical: bool = True,
        scope: Scope = ...,
        hook: Callable[[Any, int, int, int, int, int, int, bool], object] | None = None,
    ) -> int: ...
    def add_breakpoint(
        self,
        address: int,
        size: int = 1,
        *,
        physical: bool,
        scope: Scope = ...,
        hook: Callable[[Any], object] | None = None,
    ) -> int: ...
    def hear(self, kind: int, hook: Callable[..., object] | None) -> None: ...
    def forget_memory(self) -> None: ...
    def remove_probe(self, id: int) -> None: ...
    def take_hits(
        self, noted: bool = False, hart: int | None = None
    ) -> list[tuple[int, Access, int, int, int, int, int]]: ...
    def forget_reports(self) -> None: ...
    def pass_over(self, hart: int) -> None: ...
    def statistics(self) -> dict[str, Any]: ...
