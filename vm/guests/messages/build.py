"""Build messages.elf beside its source: `python -m vm.guests.messages.build`.

Of a copy of this folder that was changed, `python -m vm.guests.messages.build FOLDER OUTPUT` makes another.
"""

import sys
from pathlib import Path

from vm.guests.compiler import COMMON, compile_guest

ROOT = Path(__file__).resolve().parent
SOURCES = ("entry.S", "main.c", "messages.c", str(COMMON / "console.c"), str(COMMON / "memory.c"))


def build(output: Path = ROOT / "messages.elf", root: Path = ROOT) -> Path:
    """Compile what is in the folder `root`. Stacks can be walked by frame pointers."""
    return compile_guest(root, SOURCES, "link.ld", output, options=("-fno-omit-frame-pointer",))


if __name__ == "__main__":
    source, output = (Path(argument).resolve() for argument in (sys.argv[1:] or (ROOT, ROOT / "messages.elf")))
    print(build(output, source))
