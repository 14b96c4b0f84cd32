"""Cross compiler for bare-metal RV64 guests: clang and lld from the `ziglang` wheel, so no system toolchain is needed.

The same compiler version gives the same bytes anywhere: no build id, no dates, no absolute paths, no debug information.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vm.errors import CompilerError
from vm.settings import child_environment

ZIG_VERSION = "0.17.1"                  # another version makes other bytes
GUESTS = Path(__file__).resolve().parent
COMMON = GUESTS / "common"

FLAGS = (
    "-target", "riscv64-freestanding", "-mcmodel=medany", "-std=c17", "-O2", "-g0", "-Wall", "-Wextra", "-Werror",
    "-ffreestanding", "-fomit-frame-pointer", "-fno-sanitize=all", "-fno-stack-protector", "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables", "-ffunction-sections",
    "-nostdlib", "-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--no-eh-frame-hdr",
)  # fmt: skip
INTEGER_ONLY = ("-mcpu=generic_rv64+m+a+c+relax", "-mabi=lp64")
FLOATING_POINT = ("-mcpu=generic_rv64+m+a+f+d+c+relax", "-mabi=lp64d", "-ffp-contract=off", "-fno-math-errno")


def compile_guest(root: Path, sources: Sequence[str], script: str, output: Path, includes: Sequence[str] = (),
                  floating_point: bool = False, extensions: str = "", options: Sequence[str] = ()) -> Path:
    """Compile and link `sources` into the ELF file `output`. `root` is what all names but `output` are relative to.

    `extensions`, like "+v+zvkb", are used on top of those that every guest has; `options` of the compiler come after
    those that all guests have.
    """
    cpu, *rest = FLOATING_POINT if floating_point else INTEGER_ONLY
    machine = (cpu + extensions, *rest)
    folders = [f"-I{folder}" for folder in (*includes, COMMON)]
    compile_c(root, [*FLAGS, *machine, *options, *folders, "-T", script, *sources], output)
    output.chmod(0o644)
    return output


def compile_object(root: Path, source: str, output: Path) -> Path:
    """Compile a file for bare metal with floating point, for a library: what the linker is told is left out."""
    flags = [flag for flag in FLAGS if not flag.startswith(("-Wl,", "-nostdlib", "-static"))]
    return compile_c(root, [*flags, *FLOATING_POINT, "-c", source], output)


def archive(objects: Sequence[Path], output: Path) -> Path:
    """A static library of these object files, without dates or owners."""
    output.unlink(missing_ok=True)
    run_zig(["ar", "rcsD", str(output.resolve()), *map(str, objects)], output)
    output.chmod(0o644)
    return output


def compile_c(root: Path, arguments: Sequence[str], output: Path, libraries: Path | None = None) -> Path:
    """Run the C compiler in `root`. `libraries`: where it keeps the C library that it has compiled."""
    output.parent.mkdir(parents=True, exist_ok=True)
    run_zig(["cc", *arguments, "-o", str(output.resolve())], output, root, libraries)
    return output


def run_zig(arguments: Sequence[str], output: Path, folder: Path | None = None, libraries: Path | None = None) -> None:
    """Raises CompilerError, which names the file that was to be made."""
    command = [sys.executable, "-m", "ziglang", *arguments]
    # A cache of its own: zig's keeps headers by relative path and confuses two source trees.
    with tempfile.TemporaryDirectory() as cache:
        environment = child_environment({"ZIG_GLOBAL_CACHE_DIR": str(libraries or cache), "ZIG_LOCAL_CACHE_DIR": cache})
        result = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise CompilerError(f"{output.name}: {result.stderr.strip()}")
