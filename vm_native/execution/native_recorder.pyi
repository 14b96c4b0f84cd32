from vm_native.execution.native_machine import NativeMachine, Scope

RECORD_KINDS: dict[str, int]
RECORD_OFFSETS: dict[str, int]
RECORD_SIZES: dict[str, int]
FULL_WITH_ROOM_FOR: int
NO_REGISTER: int
WRITTEN: int
SOURCE_TRAPPED: int
NO_ADDRESS: int

class NativeRecorder:
    count: int
    wrapped: bool
    dropped: int
    full: bool
    def __init__(
        self, machine: NativeMachine, kind: int, capacity: int, base: int, end: int, scope: Scope, ring: bool
    ) -> None: ...
    def stop(self) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def clear(self) -> None: ...
    def limit_to(self, count: int) -> None: ...
    def visits(self) -> list[tuple[int, int, int, int, int]]: ...
