"""Who imports whom, read from the sources; and the picture of it: `python -m tests.architecture` writes it into the docs.

A room is a package or a file right below `vm` or `vm_native`; what stands in a package below a room belongs to that.
"""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PICTURE_FILE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- rooms: written by `python -m tests.architecture` -->\n", "<!-- end of rooms -->\n"

# From the lowest up: a room imports rooms of lines below its own, and those in front of it in its own line.
CORE = (
    ("clock", "checks", "arithmetic", "ir", "memory", "hart_state", "jump_cache"),
    ("machine",),
    ("blocks",),
    ("probes", "exits", "softmmu"),
    ("interpreter",),
    ("jit",),
    ("execution",),
    ("riscv",),
    ("testing",),
)

SUFFIXES = (".py", ".pyx", ".pxd", ".pxi", ".pyi")
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\(?[^#\n]*)|c?import\s+([\w.]+))")
INCLUDE = re.compile(r"^include \"(.+)\"")


class Import(NamedTuple):
    """One line that names another file. Modules are dotted; sources of one module (.pyx, .pxd, .pyi) are one."""

    source: str
    target: str
    path: Path              # of the source, from the root
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.source} imports {self.target}"


def source_files() -> list[Path]:
    """What git tracks or would track, from the root."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "vm", "vm_native", "tests",
                             "benchmarks"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.splitlines() if name.endswith(SUFFIXES) and (ROOT / name).exists()]


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(files: Iterable[Path]) -> list[Import]:
    """Every import, cimport and include of these files that leads to another of ours."""
    files = list(files)
    modules = {module_of(path) for path in files}
    found = []
    for path in files:
        text = (ROOT / path).read_text()
        names = python_imports(text) if path.suffix in (".py", ".pyi") else cython_imports(text, path, modules)
        for line, name in names:
            target = longest_known(name, modules)
            if target and target != module_of(path):
                found.append(Import(module_of(path), target, path, line))
    return found


def python_imports(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def cython_imports(text: str, path: Path, modules: set[str]) -> Iterator[tuple[int, str]]:
    """What a line of Cython names. Generated includes are found by what they are made for: they are not in git."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := CIMPORT.match(line):
            names = re.findall(r"\w+", match[2] or "")
            yield from ((number, ".".join(filter(None, (match[1] or match[3], name)))) for name in names or [""])
        elif match := INCLUDE.match(line):
            included = module_of(path.parent / match[1])
            if included in modules:
                yield number, included


def longest_known(name: str, modules: set[str]) -> str | None:
    """`vm.clock.Clock` -> `vm.clock`."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def room(module: str) -> str:
    """The room of a module below vm or vm_native; '' for the package itself."""
    return (module.split(".") + [""])[1]


def circles(arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan's algorithm)."""
    below: dict[str, set[str]] = {}
    for source, target in arrows:
        below.setdefault(source, set()).add(target)
        below.setdefault(target, set())
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(below[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            place = stack.index(node)
            component = stack[place:]
            del stack[place:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(below):
        if node not in index:
            visit(node)
    return found
