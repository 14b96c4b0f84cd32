"""Runs of programs in processes of their own: ours by way of vm.bench.child, others by their commands."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vm.bench.errors import NOT_THERE, NotBuilt, RunFailed
from vm.settings import child_environment

VM = "from vm.cli import main; main()"          # for python -c: the command line, wherever it is installed
TIMEOUT = 600
# Python finds its modules compiled, as pip leaves them, whatever the environment says about writing them.
AS_INSTALLED: Mapping[str, str | None] = {"PYTHONDONTWRITEBYTECODE": None}


@dataclass(frozen=True)
class Run:
    seconds: float
    cpu_seconds: float                      # what it took of the host's processors
    output: str
    instructions: int | None = None         # known on our machine only


def in_child(job: dict[str, Any], environment: dict[str, str], folder: Path | None = None) -> dict[str, Any]:
    """Run a job of vm.bench.child in a process with these settings on top of ours; with the `vm` in `folder`, if given.
    """
    result = subprocess.run(
        [sys.executable, "-m", "vm.bench.child", json.dumps(job)], check=False, capture_output=True, text=True,
        timeout=TIMEOUT, env=child_environment({**AS_INSTALLED, **environment}), cwd=folder,
    )
    if result.returncode == NOT_THERE:
        raise NotBuilt(result.stderr.strip())
    if result.returncode != 0:
        raise RunFailed(f"vm: {job}: exit code {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout)


def timed(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end, with settings on top of our environment; what it prints is the output."""
    whole_environment = child_environment({**AS_INSTALLED, **(environment or {})})
    start, cpu_start = time.perf_counter(), children_seconds()
    result = subprocess.run([str(word) for word in command], check=False, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=TIMEOUT, env=whole_environment)
    seconds, cpu_seconds = time.perf_counter() - start, children_seconds() - cpu_start
    if result.returncode != 0:
        raise RunFailed(f"{Path(command[0]).name}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return Run(seconds, cpu_seconds, result.stdout)


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
