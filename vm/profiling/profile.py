"""A profile: what was seen of the harts, and the pictures, tables and files that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from vm.errors import ConfigurationError
from vm.linux.paging import PPN_MASK
from vm.privilege import Privilege
from vm.profiling.moments import Moment
from vm.profiling.names import LinuxNames, Names, no_symbols
from vm.profiling.samples import Sample, Samples
from vm.profiling.tree import Frame, Line, Node, Path, Weighted, call_tree, lines
from vm.sizes import PAGE_SIZE

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from vm.loaders.common import Program

Group = Literal["hart", "process", "privilege"]
By: TypeAlias = Group | Sequence[Group]
Unit = Literal["steps", "ns"]

WAITS = (Frame("waiting", "waiting"),)      # the innermost frame of a hart in wfi, which takes time and no steps
TOP = 20
COLUMNS = (("step", "u8"), ("time_ns", "u8"), ("span_ns", "u8"), ("hart", "u1"), ("privilege", "u1"), ("waiting", "?"),
           ("satp", "u8"), ("pc", "u8"), ("weight", "u8"), ("stack", "u4"))
HEADINGS = f"{'own':>16} {'':6}  {'with calls':>16} {'':6}  function"


class Profile:
    """Samples of the harts of a machine, taken while the program lets that run. `Machine.profile` begins one.

    It ends with `stop`, or with the `with` block; what it has seen can be looked at before and after.

    - unit: what weights count: "steps" or, of a profile by time, "ns" of the guest.
    - every: from one sample to the next, in that unit.
    - stacks: the different call stacks, which samples name by their numbers: tuples of virtual addresses, the pc first,
      then return addresses from the innermost one on.

    What puts samples together is said as `by`: "hart", "process", "privilege", or several of them, the outermost first.
    A process is its number and name where it is there still and `Machine.linux` was looked at; else a value of satp.
    """

    def __init__(self, every: int, unit: Unit, samples: Samples, names: Names, program: Program | None,
                 linux: LinuxNames, end: Callable[[], None]):
        """`end` ends the sampling."""
        self.every = every
        self.unit = unit
        self.stacks = samples.stacks
        self._samples = samples.rows
        self._processes: dict[int, str] = {}
        self._names = names
        self._program = program
        self._linux = linux
        self._end = end

    def stop(self) -> None:
        """Take no more samples. Twice is harmless."""
        self._end()
        self._names.ask_again()

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # --- The samples -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def array(self) -> NDArray[Any]:
        """The samples, in order, as a structured NumPy array of those that there are now.

        - step, time_ns: when, by the machine's steps and guest time.
        - hart, privilege (as `Hart` has it), waiting (for an interrupt), satp, pc: where.
        - weight: for how much it stands. By steps: those that the hart has taken since its last sample; by time: the
          nanoseconds since then.
        - span_ns: the guest time of that.
        - stack: the number of the call stack in `stacks`.
        """
        import numpy as np  # here: to load it takes half as long as to start a machine without

        return np.array(self._samples, dtype=list(COLUMNS))

    @property
    def weight(self) -> int:
        """Of all samples."""
        return sum(sample.weight for sample in self._samples)

    def names(self, stack: int) -> tuple[str, ...]:
        """A call stack, by its number, as the functions are called, the innermost first; in hex where nobody knows."""
        return tuple(self._name(address, behind) for behind, address in enumerate(self.stacks[stack]))

    def _name(self, address: int, behind: int) -> str:
        """Of a pc; or of a return address, where the call is the instruction before."""
        return self._names.function(address - (behind > 0)) or f"{address:#x}"

    def _path(self, sample: Sample, by: Sequence[Group]) -> Path:
        kind = Privilege(sample.privilege).word
        groups = tuple(Frame(self._group(sample, group), "group") for group in by)
        calls = tuple(Frame(name, kind) for name in reversed(self.names(sample.stack)))
        return groups + calls + (WAITS if sample.waiting and self.unit == "ns" else ())

    def _group(self, sample: Sample, group: Group) -> str:
        if group == "process" and sample.satp:
            return self._processes.get((sample.satp & PPN_MASK) * PAGE_SIZE) or process_name(sample)
        return GROUPS[group](sample)

    def _look_again(self) -> None:
        """A Linux may have been looked at since."""
        self._names.ask_again()
        self._processes = self._linux.processes()

    def _weighted(self, by: By = ()) -> list[Weighted]:
        """The samples by their named stacks, each once, with the sum of the weights."""
        groups = checked(by)
        self._look_again()
        totals: dict[tuple[Any, ...], int] = {}
        examples: dict[tuple[Any, ...], Sample] = {}
        for sample in self._samples:
            key = (sample.stack, sample.privilege, sample.waiting, *(self._group(sample, group) for group in groups))
            examples.setdefault(key, sample)
            totals[key] = totals.get(key, 0) + sample.weight
        found: dict[Path, int] = {}
        for key, weight in totals.items():
            path = self._path(examples[key], groups)
            found[path] = found.get(path, 0) + weight
        return [Weighted(path, weight) for path, weight in sorted(found.items())]

    # --- What is made of them ----------------------------------------------------------------------------------------

    def tree(self, by: By = ()) -> Node:
        """The tree of calls, below a root for all."""
        return call_tree(self._weighted(by), "all")

    def top(self, count: int = TOP) -> list[Line]:
        """The functions in which most was done, the first first."""
        return lines(self._weighted())[:count]

    def table(self, count: int = TOP) -> str:
        """The functions in which most was done, as text: own weight, and with that of what they call. `print(profile)`
        shows it.
        """
        rows = (f"{line.own:>16,} {line.own_share:>6.1%}  {line.total:>16,} {line.total_share:>6.1%}  {line.name}"
                f"{'' if line.kind == 'machine' else f' ({line.kind})'}" for line in self.top(count))
        if not count or not len(self):
            return self._subtitle()
        listed = (HEADINGS, *rows)             # which asks for the names
        unknown = () if self._names.knows_any else (no_symbols(self._program),)
        return "\n".join((self._subtitle(), *listed, *unknown))

    def folded(self, by: By = ()) -> str:
        """Folded stacks, a line each, as flamegraph.pl and speedscope read them."""
        from vm.profiling.folded import folded_stacks

        return folded_stacks(self._weighted(by))

    def svg(self, by: By = ()) -> str:
        """A flame graph: a picture in itself, with the numbers of a call where the mouse is on it."""
        from vm.profiling.flame import flame_graph

        return flame_graph(self.tree(by), self.unit, self._subtitle())

    def write_png(self, path: str | os.PathLike[str], by: By = ()) -> None:
        """Write the flame graph as a picture of pixels. Needs matplotlib; raises ConfigurationError without."""
        from vm.profiling.picture import write_picture

        write_picture(self.tree(by), self._subtitle(), path)

    def perfetto(self) -> str:
        """What ran when, call in call, for ui.perfetto.dev: a trace of Chrome's format in JSON."""
        from vm.profiling.perfetto import trace_events

        return trace_events(self._moments())

    def firefox(self) -> str:
        """The samples for profiler.firefox.com: a processed profile in JSON."""
        from vm.profiling.firefox import processed_profile

        return processed_profile(self._moments(), self.every)

    def _moments(self) -> Iterator[Moment]:
        self._look_again()
        paths: dict[tuple[int, int, bool], Path] = {}
        for sample in self._samples:
            key = sample.stack, sample.privilege, sample.waiting
            if key not in paths:
                paths[key] = self._path(sample, ())
            yield Moment(sample.time_ns - sample.span_ns, sample.time_ns, self._group(sample, "process"), sample.hart,
                         paths[key])

    # --- For people --------------------------------------------------------------------------------------------------

    def _subtitle(self) -> str:
        return f"{self.weight:,} {self.unit} in {len(self):,} samples, one every {self.every:,} {self.unit}"

    def __repr__(self) -> str:
        return f"<Profile: {self._subtitle()}>"

    def __str__(self) -> str:
        return self.table()

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        from html import escape  # here: only notebooks need it

        return f"<div style='overflow-x: auto'>{self.svg()}</div><pre>{escape(str(self))}</pre>"


def process_name(sample: Sample) -> str:
    return f"satp {sample.satp:#x}" if sample.satp else "no paging"


GROUPS: dict[str, Callable[[Sample], str]] = {
    "hart": lambda sample: f"hart {sample.hart}",
    "process": process_name,
    "privilege": lambda sample: Privilege(sample.privilege).word,
}


def checked(by: By) -> tuple[Group, ...]:
    groups: tuple[Any, ...] = tuple(by) if isinstance(by, (list, tuple)) else (by,)
    for group in groups:
        if group not in get_args(Group):
            raise ConfigurationError(f"by={by!r}: it is {', '.join(map(repr, get_args(Group)))}, or several of them")
    return groups
