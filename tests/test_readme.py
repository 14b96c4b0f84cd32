"""The README's example runs as it is written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.network
def test_python_example_runs(tmp_path):
    """Debian boots to a prompt, and what `uname -a` says there is printed."""
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example)
    process = subprocess.run([sys.executable, script], stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                             check=False)
    assert process.returncode == 0, process.stderr.decode()
    lines = process.stdout.decode().splitlines()
    assert any(line.startswith("Linux ") and line.endswith(" riscv64 GNU/Linux") for line in lines)
