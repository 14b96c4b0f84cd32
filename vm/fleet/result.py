"""What came of one input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.display import html_table

if TYPE_CHECKING:
    from vm.coverage.coverage import Coverage
    from vm.log import Log
    from vm.stop import Stop


@dataclass(frozen=True)
class Result:
    """What came of one input of a fleet.

    - index, input: the input, and its place among all.
    - value: what the test returned. error: what it raised instead, unchanged; None. traceback: of that, as text.
    - console: what the guest printed behind the snapshot, bytes.
    - stop: what the last run of the machine returned; None where there was none, or it raised.
    - steps: how many the machine took from the snapshot on.
    - coverage: what was executed, a `Coverage` that counts no more; None where it was not asked for.
    - log: of a test that failed: what came from outside in its run, for `vm.replay(snapshot, log)`; None where none
      was asked for, or can be had: `no_log` says why. recording: the folder where it is saved, for `vm replay`.
    - attempts: how often it was begun: more than once where workers were lost.
    """

    index: int
    input: Any
    value: Any = None
    error: BaseException | None = None
    traceback: str = ""
    console: bytes = b""
    stop: Stop | None = None
    steps: int = 0
    coverage: Coverage | None = None
    log: Log | None = None
    no_log: str = ""
    recording: Path | None = None
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Whether the test returned."""
        return self.error is None

    def get(self) -> Any:
        """The value. Raises what the test raised."""
        if self.error is not None:
            raise self.error
        return self.value

    def __repr__(self) -> str:
        return f"<Result {', '.join(f'{name}={text}' for name, text in self._facts())}>"

    def _repr_html_(self) -> str:
        return html_table("Result", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        came = ("value", repr(self.value)) if self.error is None else ("error", repr(self.error))
        facts = [("index", str(self.index)), ("input", repr(self.input)), came, ("steps", str(self.steps))]
        if self.stop is not None:
            facts.append(("reason", self.stop.reason.value))
        if self.recording is not None:
            facts.append(("recording", str(self.recording)))
        return facts
