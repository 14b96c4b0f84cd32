from collections.abc import Iterable

from vm_native.execution.scheduler import Scheduler

def compile_ahead(scheduler: Scheduler, roots: Iterable[int]) -> None: ...
