"""How the compiled core is built: what the optimiser's settings bring, and how long a build takes. Takes long itself.

Each variant is built in a copy of the source tree, and runs programs on the interpreter.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from math import exp, log
from pathlib import Path

import vm_native
from vm.bench.contenders import MEMORY_MIB
from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.guests.build import elf
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.processes import in_child
from vm.bench.variants import SWITCH_FORM
from vm.settings import child_environment

TREE = Path(vm_native.__file__).resolve().parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "vm", "vm_native")
OPTIMISE = '"-O3"'                      # in setup.py
PROGRAMS = ("strings", "recursion", "bytecode_switch", "nbody")
TOUCHED = "vm_native/riscv/csr.pyx"
FASTER = Claim(1.02, "2–4%")
QUICKER = Claim(1.1, "10–30% less")


def rows(quick: bool) -> Iterator[Row]:
    if quick:
        return
    for name, baseline, ours, claim in (
        ("-O3 against -O2", "O2", "O3", None),
        ("link-time optimisation", "O3", "LTO", FASTER),
        ("link-time optimisation", "O2", "LTO", FASTER),
        ("profile-guided", "O3", "PGO", FASTER),
        ("profile-guided", "O2", "PGO", FASTER),
    ):
        # The other form needs calls that become jumps; code that counts for a profile has none.
        form = SWITCH_FORM if ours == "PGO" else {}
        yield Row("builds", f"speed of the interpreter{', switch form' if form else ''}, {name}", baseline, ours,
                  speed(baseline, ours, form, 3), claim=claim)
    yield Row("builds", "time of a clean build", "one job", f"{os.cpu_count()} jobs", clean_and_parallel, claim=QUICKER)
    yield Row("builds", "time of a build after one change", "clean", TOUCHED, clean_and_incremental, claim=QUICKER)


def speed(baseline: str, ours: str, environment: dict[str, str], rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        trees = variant(baseline)[0], variant(ours)[0]
        yield from in_turn(lambda: run_programs(trees[0], environment), lambda: run_programs(trees[1], environment),
                           rounds)()
    return pairs


def clean_and_parallel() -> Iterator[Pair]:
    yield variant("O3")[1], build(copy_of_the_tree(), {})


def clean_and_incremental() -> Iterator[Pair]:
    tree, clean = variant("O3")
    with open(tree / TOUCHED, "a") as source:
        source.write("\n# changed\n")
    yield clean, build(tree, {"VM_JOBS": "1"})


@cache
def variant(name: str) -> tuple[Path, float]:
    """A tree built with those settings, and the seconds that took; "O3" by one job."""
    tree = copy_of_the_tree()
    environment = {"VM_JOBS": "1"} if name == "O3" else {}
    if name == "O2":
        setup = tree / "setup.py"
        text = setup.read_text()
        if OPTIMISE not in text:
            raise NotBuilt(f"setup.py does not say {OPTIMISE}")
        setup.write_text(text.replace(OPTIMISE, '"-O2"'))
    elif name == "LTO":
        environment["VM_LTO"] = "1"
    elif name == "PGO":
        profile = tree / "profile"
        build(tree, environment | {"CFLAGS": f"-fprofile-generate={profile}", "LDFLAGS": "-fprofile-generate"})
        run_programs(tree, SWITCH_FORM)
        environment["CFLAGS"] = f"-fprofile-use={profile} -fprofile-correction -Wno-missing-profile " \
                                "-Wno-error=coverage-mismatch"
        for built in [*tree.glob("vm_native/**/*.so"), *tree.glob("build/temp*")]:
            shutil.rmtree(built) if built.is_dir() else built.unlink()
    return tree, build(tree, environment)


def copy_of_the_tree() -> Path:
    if not (TREE / "setup.py").exists():
        raise NotBuilt("needs a source tree")
    if find_spec("Cython") is None:
        raise NotBuilt("needs Cython")
    copy = Path(tempfile.mkdtemp(prefix="vm-build-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in SOURCES:
        if (TREE / name).is_dir():
            shutil.copytree(TREE / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(TREE / name, copy / name)
    return copy


def build(tree: Path, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=tree, check=False,
                            env=child_environment(environment), capture_output=True, text=True)
    if result.returncode != 0:
        raise RunFailed(f"{environment}: {result.stderr[-1000:]}")
    return time.perf_counter() - start


def run_programs(tree: Path, environment: dict[str, str]) -> float:
    """The geometric mean of the seconds that PROGRAMS take on the interpreter of that tree."""
    jobs = [{"do": "run", "engine": "interpreter", "program": str(elf(name)), "memory": f"{MEMORY_MIB}M"}
            for name in PROGRAMS]
    return exp(sum(log(in_child(job, environment, folder=tree)["seconds"]) for job in jobs) / len(jobs))
