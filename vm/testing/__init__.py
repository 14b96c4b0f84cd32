"""What guests are tested with."""

from vm.shell import Result, Shell

__all__ = ["Result", "Shell"]
