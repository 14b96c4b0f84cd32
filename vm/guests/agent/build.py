"""Build vm-agent beside its source: `python -m vm.guests.agent.build`."""

from pathlib import Path

from vm.guests.agent import AGENT
from vm.guests.compiler import compile_guest

ROOT = AGENT.parent
SOURCES = ("entry.S", "agent.c", "run.c", "files.c", "../common/memory.c")


def build(output: Path = AGENT) -> Path:
    return compile_guest(ROOT, SOURCES, "link.ld", output)


if __name__ == "__main__":
    print(build())
