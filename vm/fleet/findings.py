"""What a fuzzer has found: crashes and hangs, told apart by their stacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vm.display import html_table

SHOWN = 3                               # functions of a stack, in a line


@dataclass
class Finding:
    """Inputs that end alike.

    - data: the shortest that is known.
    - reason: how a run of it ends, in a line.
    - stack: virtual addresses where that was, the innermost first; names: of these, as "parse+0x10", or the address.
    - count: how many inputs ended so, of those that went different ways.
    - folder: where it is saved, for `vm replay`, also with --gdb; None where nothing is.
    """

    data: bytes
    reason: str
    stack: tuple[int, ...]
    names: tuple[str, ...]
    count: int = 1
    folder: Path | None = None

    @property
    def title(self) -> str:
        """In a line."""
        return f"{self.reason}, in {' < '.join(self.names[:SHOWN]) or 'nothing that is known'}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.title}; {len(self.data)} bytes, {self.count} inputs>"

    def report(self) -> str:
        """For people."""
        lines = [self.title, "", *(f"  {address:#018x} {name}" for address, name in
                                   zip(self.stack, self.names, strict=True)),
                 "", f"input, {len(self.data)} bytes:", *dump(self.data)]
        return "\n".join(lines) + "\n"


class Crash(Finding):
    """Inputs that crash the guest at one place."""


class Hang(Finding):
    """Inputs for which the guest has not ended within the steps that it was given."""


def dump(data: bytes, most: int = 4096) -> list[str]:
    rows = []
    for at in range(0, min(len(data), most), 16):
        row = data[at:at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"  {at:04x}  {row.hex(' '):47}  {text}")
    return rows


@dataclass
class Fuzzing:
    """What `vm.fleet.fuzz` returns.

    - runs, steps, seconds: how many runs of the guest there were, what they took of it, and of the host.
    - corpus: inputs that take edges which the others do not, or more often, shortest first.
    - edges: how many edges all have taken, by their places in the map.
    - crashes, hangs: what was found, in its order.
    """

    runs: int
    steps: int
    seconds: float
    corpus: list[bytes]
    edges: int
    crashes: list[Crash]
    hangs: list[Hang]

    @property
    def speed(self) -> float:
        """Runs a second."""
        return self.runs / self.seconds if self.seconds else 0.0

    def __repr__(self) -> str:
        return f"<Fuzzing: {', '.join(f'{value} {name}' for name, value in self._facts())}>"

    def _repr_html_(self) -> str:
        return html_table("Fuzzing", [*self._facts(), *(("crash", crash.title) for crash in self.crashes)])

    def _facts(self) -> list[tuple[str, str]]:
        return [("runs", f"{self.runs:,}"), ("runs/s", f"{self.speed:,.0f}"), ("inputs", f"{len(self.corpus):,}"),
                ("edges", f"{self.edges:,}"), ("crashes", str(len(self.crashes))), ("hangs", str(len(self.hangs)))]


