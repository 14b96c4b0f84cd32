"""The same program on Spike: what it leaves between begin_signature and end_signature."""

import shutil
import subprocess
import sys
from pathlib import Path

SPIKE = shutil.which("spike", path=Path(sys.executable).parent) or shutil.which("spike")

# Ends a program: exit code 0 by way of `tohost`, which stands here.
EXIT = """
    la   t0, tohost
    li   t1, 1
    sd   t1, (t0)
1:  j    1b
    .balign 64
    .globl tohost
tohost:   .dword 0
fromhost: .dword 0
"""


def signature_on_spike(elf: Path, isa: str, folder: Path) -> list[int]:
    """Its 64-bit words."""
    output = folder / "signature"
    command = [SPIKE, "-m16", f"--isa={isa}", f"+signature={output}", "+signature-granularity=8", str(elf)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return [int(line, 16) for line in output.read_text().split()]
