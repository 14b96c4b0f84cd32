"""Sessions of GDB itself, scripted."""

import os
import subprocess
import sys
from pathlib import Path

SECONDS = 60
COMMAND = f"{sys.executable} -c 'from vm.cli import main; main()'"


def session_of(elf: Path, *commands: str, target: str | None = None, options: str = "") -> list[str]:
    """What GDB says of each command, which it does with the symbols of the file. Then it kills.

    `target`: where the machine is served; else `vm gdb` runs the file, with these options.
    """
    target = target or f"| {COMMAND} gdb {elf} --at stdio {options}"
    script = ["set pagination off", "set confirm off", "set height 0", "set width 0", f"target remote {target}"]
    for number, command in enumerate(commands):
        script += [f"echo [{number}]\\n", command]
    done = subprocess.run(["gdb-multiarch", "-nx", "-q", str(elf)], input="\n".join([*script, "kill", ""]), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
                          env=os.environ | {"LC_ALL": "C"})
    told = done.stdout.replace("(gdb) ", "")
    return [told.partition(f"[{number}]\n")[2].partition(f"[{number + 1}]\n")[0] for number in range(len(commands))]
