"""What was executed: blocks and edges that the engines have counted, and what is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vm.coverage.code import Code, Pages
from vm.display import html_table, printable
from vm.errors import ConfigurationError, MachineBusy, MachineUnusable
from vm.loaders import Program
from vm.profiling.names import Names, no_symbols, source_of_program
from vm_native.execution.native_recorder import NO_ADDRESS, SOURCE_TRAPPED, NativeRecorder

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray


BLOCK = np.dtype([("start", "<u8"), ("size", "<u8"), ("count", "<u8")])
EDGE = np.dtype([("source", "<u8"), ("target", "<u8"), ("count", "<u8")])
SHOWN = 10                          # functions in a notebook


class Visit(NamedTuple):
    """A block of code that was left to another, as the core counts it."""

    start: int
    source: int                     # its last instruction, odd where a trap ended it
    target: int
    length: int                     # of the last instruction; 0 if that was not executed


class FunctionCount(NamedTuple):
    """`calls`: how often its first instruction was executed; `instructions`: how many in it were."""

    name: str
    address: int
    calls: int
    instructions: int


class Coverage:
    """Which code was executed since `Machine.coverage`, until `stop()`, or to the end of a `with` block.

    An instruction counts when it has been executed to its end, and `ecall` and `ebreak` when they trap; one that raises
    another exception does not. Addresses are virtual. `a | b` is what both have counted together.

    Instructions are read from memory when they are asked for, as the harts see it then or else at the physical address;
    from `stop` on, as it was then.

    Until `stop`, all that reads counts raises MachineBusy while the machine runs, but in a hook. Where that was closed
    before, blocks and edges are still there, and what needs the code raises MachineUnusable.
    """

    def __init__(self, visits: Counter[Visit], pages: Callable[[], Pages], program: Program | None, names: Names,
                 extensions: Collection[str], recorder: NativeRecorder | None = None,
                 refuse: Callable[[str], None] = lambda what: None):
        """`visits` are counted in addition to those of the recorder; `refuse(what)` raises where that is at work."""
        self._counted = visits
        self._pages = pages
        self._program = program
        self._names = names
        self._extensions = extensions
        self._recorder = recorder
        self._refuse = refuse
        self._by_address: dict[int, int] | None = None      # of instructions, once they do not change any more

    def stop(self) -> None:
        """Count no more; what was counted stays. Twice is harmless. Raises MachineBusy while the machine runs."""
        if self._recorder is None:
            return
        self._refuse("stop")
        self._counted = self._visits()
        self._recorder.stop()
        self._recorder = None
        with suppress(MachineUnusable):         # who asks for code is told so
            self._pages = partial(Pages, kept=self._kept())

    def kept(self) -> Coverage:
        """What has been counted until now, as one that counts no more; this one goes on."""
        return Coverage(self._visits(), partial(Pages, kept=self._kept()), self._program, self._names,
                        self._extensions)

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickled, (self._visits(), self._kept(), self._program, self._extensions)

    def clear(self) -> None:
        """Forget what was counted. Raises MachineBusy while the machine runs."""
        if self._recorder is not None:
            self._refuse("clear")
            self._recorder.clear()
        self._counted, self._by_address = Counter(), None

    def __enter__(self) -> Coverage:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __or__(self, other: Coverage) -> Coverage:
        """What both have counted. Symbols and code are of the first where both have some."""
        if not isinstance(other, Coverage):
            return NotImplemented
        kept = other._kept() | self._kept()
        return Coverage(self._visits() + other._visits(), partial(Pages, kept=kept), self._program or other._program,
                        Names([*self._names.sources, *other._names.sources]), {*self._extensions, *other._extensions})

    # --- Counts ------------------------------------------------------------------------------------------------------

    def _visits(self) -> Counter[Visit]:
        visits = Counter(self._counted)
        if self._recorder is not None:
            self._refuse("counts")
            for *visit, count in self._recorder.visits():
                visits[Visit(*visit)] += count
        return visits

    def _blocks(self) -> Counter[range]:
        blocks: Counter[range] = Counter()
        for visit, count in self._visits().items():
            end = (visit.source & ~SOURCE_TRAPPED) + visit.length
            if end > visit.start:
                blocks[range(visit.start, end)] += count
        return blocks

    def _edges(self) -> Counter[tuple[int, int]]:
        edges: Counter[tuple[int, int]] = Counter()
        for visit, count in self._visits().items():
            if visit.target != NO_ADDRESS:
                edges[visit.source & ~SOURCE_TRAPPED, visit.target] += count
        return edges

    def _kept(self) -> dict[int, bytes]:
        return self._pages().keep(self._blocks())

    def _code(self) -> Code:
        return Code(self._pages(), self._extensions)

    @property
    def blocks(self) -> NDArray[Any]:
        """What was executed in one go, from where a branch, a jump, a trap or a return from one led, to the next: a
        structured array of start, size in bytes and count, in the order of addresses.

        What a trap has left in the middle, or a hart is in the middle of now, counts as far as it came.
        """
        return table(((block.start, len(block), count) for block, count in self._blocks().items()), BLOCK)

    @property
    def edges(self) -> NDArray[Any]:
        """How the guest came from one block to another: a structured array of source, the last instruction of the one,
        or before which an interrupt came; target, the first of the other; and count.
        """
        return table(((*edge, count) for edge, count in self._edges().items()), EDGE)

    @property
    def addresses(self) -> NDArray[np.uint64]:
        """Every instruction that was executed, in order. Of a block that cannot be read, only the first."""
        return np.array(sorted(self._instructions()), dtype="<u8")

    def covers(self, address: int) -> bool:
        """Whether the instruction at an address was executed. Before `stop` each answer takes as long as `counts`."""
        return address in self._instructions()

    def counts(self) -> dict[int, int]:
        """How often each instruction that was executed has been, by its address."""
        return dict(self._instructions())

    def _instructions(self) -> dict[int, int]:
        """The counts; once nothing more is counted they are worked out once."""
        if self._by_address is not None:
            return self._by_address
        code, counts = self._code(), Counter[int]()
        for block, count in self._blocks().items():
            for address, _ in code.instructions(block):
                counts[address] += count
        if self._recorder is None:
            self._by_address = counts
        return counts

    def functions(self) -> list[FunctionCount]:
        """Those in which something was executed, that with most of it first. What has no symbol is not there."""
        found: dict[str, list[int]] = {}
        self._names.ask_again()
        for address, count in sorted(self._instructions().items()):
            name = self._names.function(address)
            if name is None:
                continue
            if name not in found:               # who does not know where it begins: there, as far as it was executed
                start = self._names.start(address)
                found[name] = [address if start is None else start, 0, 0]
            entry = found[name]
            entry[1] += count if address == entry[0] else 0
            entry[2] += count
        return sorted((FunctionCount(name, *entry) for name, entry in found.items()),
                      key=lambda function: (-function.instructions, function.address))

    def opcodes(self) -> dict[str, int]:
        """How often each instruction was executed, by its name, the most frequent first; "unknown" are the blocks that
        cannot be read.
        """
        return self._histogram(Code.opcode)

    def extensions(self) -> dict[str, int]:
        """How often instructions of each extension were executed, the most frequent first. Where one needs several
        extensions, it counts for the first; "unknown" are the blocks that cannot be read.
        """
        return self._histogram(Code.extension)

    def _histogram(self, name_of: Callable[[Code, int | None], str]) -> dict[str, int]:
        code, found = self._code(), Counter[str]()
        for block, count in self._blocks().items():
            for _, word in code.instructions(block):
                found[name_of(code, word)] += count
        return dict(found.most_common())

    # --- Files -------------------------------------------------------------------------------------------------------

    def write_drcov(self, path: str | PathLike[str]) -> None:
        """Write which blocks were executed, for Lighthouse and others: DynamoRIO's drcov, version 2.

        The program is the module. Raises ConfigurationError where none is loaded.
        """
        from vm.coverage.drcov import write_drcov

        write_drcov(path, self._blocks(), self._loaded("write_drcov"))

    def write_lcov(self, path: str | PathLike[str]) -> None:
        """Write how often lines of the sources were executed, for genhtml and editors: an lcov tracefile.

        Lines are those of the program's debug information: compile it with -g. Raises ConfigurationError where no
        program is loaded, and LoadError where its file has no such lines, or is another by now.
        """
        from vm.coverage.lcov import write_lcov

        write_lcov(path, self._instructions(), self._loaded("write_lcov"))

    def _loaded(self, what: str) -> Program:
        if self._program is None:
            raise ConfigurationError(f"{what}: no program was loaded when this coverage began")
        return self._program

    # --- For people --------------------------------------------------------------------------------------------------

    def _summary(self) -> str:
        return f"{len(self._blocks()):,} blocks, {len(self._edges()):,} edges"

    def __repr__(self) -> str:
        try:
            return f"<Coverage: {self._summary()}>"
        except MachineBusy as error:
            return f"<Coverage: {error}>"

    def table(self, count: int | None = None) -> str:
        """The functions, as text."""
        rows = (f"{line.calls:>14,}  {line.instructions:>16,}  {printable(line.name)}"
                for line in self.functions()[:count])
        summary = f"{self._summary()}, {len(self._instructions()):,} instructions"
        listed = (f"{'calls':>14}  {'instructions':>16}  function", *rows)       # which asks for the names
        unknown = count != 0 and self._instructions() and not self._names.knows_any
        return "\n".join((summary, *listed, *((no_symbols(self._program),) if unknown else ())))

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        functions = [(printable(line.name), f"{line.instructions:,} in {line.calls:,} calls")
                     for line in self.functions()[:SHOWN]]
        extensions = [(name, f"{count:,}") for name, count in self.extensions().items()]
        return html_table(repr(self)[1:-1], [*functions, *extensions])


def unpickled(visits: Counter[Visit], kept: dict[int, bytes], program: Program | None,
              extensions: Collection[str]) -> Coverage:
    """One that counts no more, in another process. Functions have the names that the program gives them."""
    names = Names([] if program is None else [source_of_program(program)])
    return Coverage(visits, partial(Pages, kept=kept), program, names, extensions)


def table(rows: Iterable[tuple[int, ...]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """In the order of rows, as an array of this type."""
    return np.array(sorted(rows), dtype=dtype)
