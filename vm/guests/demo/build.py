"""Build demo.elf beside its source: `python -m vm.guests.demo.build`."""

from pathlib import Path

from vm.guests.compiler import compile_guest

ROOT = Path(__file__).resolve().parent
SOURCES = ("entry.S", "main.c", "paging.c", "trap.c", "work.c", "../common/console.c", "../common/memory.c")


def build(output: Path = ROOT / "demo.elf") -> Path:
    return compile_guest(ROOT, SOURCES, "link.ld", output)


if __name__ == "__main__":
    print(build())
