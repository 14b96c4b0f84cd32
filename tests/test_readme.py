"""The README's example runs as it is written, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def lines_of_example(number: int, folder: Path) -> list[str]:
    """What this example prints, run by itself."""
    examples = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    script = folder / "example.py"
    script.write_text(examples[number])
    process = subprocess.run([sys.executable, script], stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                             check=False)
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout.decode().splitlines()


@pytest.mark.network
def test_python_example_runs(tmp_path):
    """Debian boots to a prompt, and what `uname -a` says there is printed."""
    lines = lines_of_example(0, tmp_path)
    assert any(line.startswith("Linux ") and line.endswith(" riscv64 GNU/Linux") for line in lines)


def test_example_of_snapshots_runs(tmp_path):
    """Three forks end alike, and the machine stands where it stood."""
    *forks, back = lines_of_example(1, tmp_path)
    assert len(forks) == 3 and len(set(forks)) == 1 and back == "True"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_links_lead_to_files(page):
    """Those of the other pages `mkdocs build --strict` follows."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (README.parent / page).read_text())
    assert [link for link in links if not (README.parent / link).is_file()] == []


def test_first_command_is_that_of_ci():
    """What the README tells to test with is what CI runs, extras and all."""
    install, test = re.search(r"^    (pip install -e .*) && (pytest .*)$", README.read_text(), re.MULTILINE).groups()
    lines = (README.parent / ".ci" / "run").read_text().splitlines()
    assert test in lines
    assert any(line.startswith("pip install -q -e '.[test,") for line in lines) and ".[test]" in install
