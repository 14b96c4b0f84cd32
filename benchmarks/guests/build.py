"""Build benchmark programs: `build("sort")` gives the path of an ELF file, compiled when its sources have changed.

A program is one file in programs/; runtime/ and the package's common guest sources are linked to each.
"""

import hashlib
import os
from pathlib import Path

from vm.guests.compiler import COMMON, FLAGS, ZIG_VERSION, compile_guest

ROOT = Path(__file__).resolve().parent
OUTPUT = ROOT.parents[1] / "build" / "guests"
RUNTIME = ("runtime/crt0.S", "../../vm/guests/common/console.c", "../../vm/guests/common/memory.c")


def programs() -> list[str]:
    return sorted(path.stem for path in (ROOT / "programs").glob("*.c"))


def build(name: str) -> Path:
    """The ELF file of the program `name`."""
    sources = (*RUNTIME, f"programs/{name}.c")
    inputs = [ROOT / source for source in sources]
    inputs += sorted(COMMON.glob("*.h")) + sorted((ROOT / "runtime").iterdir())
    digest = hashlib.sha256(repr((ZIG_VERSION, FLAGS)).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    output = OUTPUT / f"{name}-{digest.hexdigest()[:16]}.elf"
    if not output.exists():
        partial = output.with_suffix(f".{os.getpid()}")       # two test processes may build the same program
        compile_guest(ROOT, sources, "runtime/link.ld", partial, includes=("runtime",))
        partial.replace(output)
    return output


if __name__ == "__main__":
    for program in programs():
        print(build(program))
