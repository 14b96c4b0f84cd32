"""Setting a profile going, and refusing what is none."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

from vm.arguments import whole_number
from vm.errors import ConfigurationError
from vm.loaders.common import Program
from vm.memory import Memory
from vm.profiling.names import Binary, LinuxNames, Names, all_sources
from vm.profiling.profile import Profile, Unit
from vm.profiling.samples import Samples
from vm.profiling.sampling import Sampler, StepSampler, TimeSampler, Watched
from vm.profiling.unwinding import Unwinder
from vm.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vm.profiling.names import Naming

EVERY = 100_003                             # steps; a prime, of which loops are hardly a multiple
NS_PER_SECOND = 10**9
SAMPLERS: dict[Unit, type[Sampler]] = {"steps": StepSampler, "ns": TimeSampler}


def start_profile(runner: Runner, watched: Watched, memory: Memory, program: Program | None,
                  linux: LinuxNames, every: int | None, seconds: float | None, symbols: Naming | Sequence[Naming],
                  call_frames: bool, depth: int) -> Profile:
    """As `Machine.profile`."""
    if runner.sampler is not None:
        raise ConfigurationError("a profile of this machine is being taken: stop() that first")
    length, unit = interval(every, seconds)
    depth = whole_number("depth", depth)
    if depth < 1:
        raise ConfigurationError(f"depth={depth}: a stack has at least the function itself")
    sources = all_sources(symbols, program, linux)
    binaries = [source for source in sources if isinstance(source, Binary)] if call_frames else []
    names = Names(sources)
    unwinder = Unwinder(memory, names.function, [frames for binary in binaries if (frames := binary.call_frames())],
                        depth)
    samples = Samples(watched.clock, unwinder.stack)
    runner.sampler = sampler = SAMPLERS[unit](watched, length, samples.look)
    return Profile(length, unit, samples, names, program, linux, partial(end, runner, sampler))


def end(runner: Runner, sampler: Sampler) -> None:
    sampler.on = False
    if runner.sampler is sampler:
        runner.sampler = None


def interval(every: int | None, seconds: float | None) -> tuple[int, Unit]:
    """From one sample to the next. Raises ConfigurationError."""
    if seconds is None:
        steps = EVERY if every is None else whole_number("every", every)
        if steps < 1:
            raise ConfigurationError(f"every={every}: at least one step")
        return steps, "steps"
    if every is not None:
        raise ConfigurationError("say either every=, in steps, or seconds=, of guest time")
    if not isinstance(seconds, Real) or not 1 / NS_PER_SECOND <= seconds < 2**63 / NS_PER_SECOND:
        raise ConfigurationError(f"seconds={seconds!r}: a number of guest seconds, of at least a nanosecond")
    return round(seconds * NS_PER_SECOND), "ns"
