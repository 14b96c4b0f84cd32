"""Builds the compiled core: generates the sources that follow from tables, then compiles every .pyx of vm_native.

Environment: VM_LTO=1 links with link-time optimisation, VM_JOBS=N compiles N modules at once (default: all CPUs),
VM_SYMBOLS=1 keeps what debuggers and profilers want, at ten times the size. VM_SANITIZE=address,undefined or thread
lets the compiler's sanitizers watch the core (CONTRIBUTING.md says how to run one). VM_SOURCE_URL is where the files of
this version are read on a code host, as in https://HOST/OWNER/vm/blob/v0.1.0: the README's links lead there then.
"""

import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.resolve()
GENERATED = ROOT / "build" / "generated"
JOBS = int(os.environ.get("VM_JOBS", os.cpu_count() or 1))

COMPILE = [
    "-O3",
    "-foptimize-sibling-calls",     # handlers end in a call that must become a jump
    "-fno-strict-aliasing",         # guest memory is read at every width
    "-fno-math-errno", "-ffp-contract=off", "-ftrapping-math",     # what vm_native/arithmetic/floating.pxd asks for
]
LINK = []
if os.environ.get("VM_SYMBOLS") != "1":
    COMPILE.append("-g0")
    LINK.append("-s")
if os.environ.get("VM_LTO") == "1":
    COMPILE.append("-flto")
    LINK.append("-flto")

if SANITIZERS := os.environ.get("VM_SANITIZE"):
    # The core asks for the offset of a field as for its address in a struct at 0, and reads at every width.
    COMPILE += [f"-fsanitize={SANITIZERS}", "-fno-sanitize=null,alignment", "-fno-omit-frame-pointer", "-O1"]
    LINK.append(f"-fsanitize={SANITIZERS}")

# The memcpy family is one source, compiled for each instruction set of the machine at hand. The first flag keeps its
# loops from becoming calls of the C library, the others its short copies short: those cost a jump or two, and where a
# jump leads to counts.
KERNELS = ["-fno-tree-loop-distribute-patterns", "-fno-inline-functions", "-falign-functions=64", "-falign-jumps=32",
           "-falign-loops=32"]
COPY = {"libc": [], "features": [], "measure": [*KERNELS, "-fno-tree-vectorize"]}
if platform.machine() == "x86_64":
    COPY["sse2"] = KERNELS
    COPY["avx2"] = [*KERNELS, "-mavx2"]
    COPY["avx512"] = [*KERNELS, "-mavx512f", "-mavx512bw", "-mavx512vl"]
elif platform.machine() == "aarch64":
    COPY["neon"] = KERNELS

# So are the loops over elements of vectors; what every CPU has does without flags.
LOOPS = {"avx2": ["-mavx2", "-mfma", "-mpclmul"]} if platform.machine() == "x86_64" else {}

STACK_TEST = """
#include <pthread.h>
struct uop { void (*handler)(long *, struct uop *, long); int operand; };
static void link_(long *left, struct uop *uop, long budget) {
    if (--*left == 0) return;
    uop->handler(left, uop, budget - uop->operand);
}
static void *chain(void *unused) {
    static struct uop uop = { link_, 1 };
    struct uop *volatile start = &uop;
    volatile long links = 10000000;
    long left = links;
    start->handler(&left, start, left);
    return unused;
}
int main(void) {
    pthread_t thread; pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    return pthread_create(&thread, &small, chain, 0) || pthread_join(thread, 0);
}
"""


SOURCE_URL = os.environ.get("VM_SOURCE_URL", "").rstrip("/")
RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def long_description() -> str:
    """The README for an index, where relative links lead nowhere: they lead below SOURCE_URL, or are words alone."""
    replacement = rf"[\1]({SOURCE_URL}/\2)" if SOURCE_URL else r"\1"
    return RELATIVE_LINK.sub(replacement, (ROOT / "README.md").read_text())


def calls_become_jumps() -> bool:
    """Whether a chain of ten million calls in tail position runs on a small stack, as compiled here."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    flags = COMPILE + shlex.split(os.environ.get("CFLAGS", ""))
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory, "chain.c"), Path(directory, "chain")
        source.write_text(STACK_TEST)
        built = subprocess.run([*compiler, *flags, str(source), "-o", str(program), "-pthread"], capture_output=True)
        return built.returncode == 0 and subprocess.run([str(program)], capture_output=True).returncode == 0


def generate(threaded: bool) -> None:
    """Write what follows from tables; a file that would stay the same is left alone: nothing is compiled anew."""
    sys.path.insert(0, str(ROOT))       # the tables and their generators need nothing compiled
    from vm_native.arithmetic.vector import generate as elements
    from vm_native.interpreter import generate as handlers
    from vm_native.ir import generate as opcodes
    from vm_native.riscv import generate as registers
    from vm_native.riscv.instructions import generate as instructions

    texts = opcodes.sources() | registers.sources() | instructions.sources() | handlers.sources(threaded)
    texts |= elements.sources()
    for name, text in texts.items():
        path = GENERATED / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def extensions(threaded: bool) -> list[Extension]:
    found = []
    for source in sorted(ROOT.glob("vm_native/**/*.pyx")):
        module = source.relative_to(ROOT)
        flags = []
        if module.parts[1:3] == ("memory", "copy"):
            if source.stem not in COPY:             # an instruction set of other machines
                continue
            flags = COPY[source.stem]
        if module.parts[2:4] == ("vector", "loops"):
            if source.stem not in {"base", "features", *LOOPS}:
                continue
            flags = LOOPS.get(source.stem, [])
        if source.stem == "threaded" and not threaded:
            continue
        found.append(
            Extension(
                ".".join(module.with_suffix("").parts),
                [str(module)],
                extra_compile_args=[*COMPILE, *flags],
                extra_link_args=LINK,
            )
        )
    return found


class ParallelBuild(build_ext):
    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or JOBS
        if not (self.inplace or getattr(self, "editable_mode", False)):     # what only tests use is in no wheel
            self.extensions = [e for e in self.extensions if not e.name.startswith("vm_native.testing.")]


class BuildWithPage(build_py):
    """The package, and in it the terminal of the web console, which is fetched: it is not ours (vm/web/assets.py)."""

    def run(self):
        super().run()
        if not self.editable_mode:              # a source tree stays as it is: there it is fetched when it is wanted
            fetch_terminal(Path(self.build_lib))


def fetch_terminal(package_root: Path) -> None:
    """Put the files of xterm.js where `vm.web.files` looks for them; a build without network goes on without."""
    sys.path.insert(0, str(ROOT))
    from vm.errors import Unreachable
    from vm.web.assets import fetch_assets

    try:
        fetch_assets(package_root / "vm" / "web" / "static" / "xterm")
    except Unreachable as error:
        print(f"warning: the terminal of the web console is not in this build, and will be fetched when it is used: "
              f"{error}", file=sys.stderr)


os.chdir(ROOT)
threaded = calls_become_jumps()
generate(threaded)
setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    ext_modules=cythonize(
        extensions(threaded),
        build_dir="build/cython",
        include_path=[str(GENERATED), str(ROOT)],      # generated files cimport modules, too
        nthreads=JOBS,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": ParallelBuild, "build_py": BuildWithPage},
)
