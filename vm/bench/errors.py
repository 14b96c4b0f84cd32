"""Why something was not measured."""

from vm.errors import VmError

NOT_THERE = 3                           # exit code of vm.bench.child: what was asked for is not there


class NotBuilt(VmError):
    """Something to be measured is not there: an engine, another emulator, a compiler. The message says what."""


class RunFailed(VmError):
    """A contender did not run a program to a clean power-off."""
