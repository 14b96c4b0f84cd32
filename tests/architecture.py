"""Who imports whom, read from the sources, and which way that may go.

`python -m tests.architecture` draws the picture of it in docs/architecture.md.

A room is a package or a file right below `vm` or `vm_native`; what stands in a package below a room belongs to that.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PICTURE_FILE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- rooms: written by `python -m tests.architecture` -->\n", "<!-- end of rooms -->\n"

# From the lowest up: a room imports rooms of lines above its own here, and those in front of it in its own line.
CORE = (
    ("unlocked", "arithmetic", "checks", "clock", "descriptors", "signals", "hart_state", "ir", "memory", "jump_cache",
     "edge_buckets", "line_marks", "safepoints"),
    ("machine",),
    ("code_pages", "shared_code", "blocks"),
    ("probes", "exits", "softmmu", "atomics", "state"),
    ("interpreter",),
    ("jit",),
    ("execution",),
    ("riscv",),
    ("testing",),                           # not in wheels
)
PYTHON = (
    ("display", "probes", "stop", "errors", "waiting", "state", "arguments", "sizes", "limits", "settings", "clock",
     "copy", "events", "privilege", "host", "stats", "perf_map", "inputs", "engine",
     "whole_file", "log", "png", "lazy"),
    ("memory", "registers", "hart", "hooks", "scope", "scatter", "snapshots"),
    ("disks", "net", "share"),
    ("devices",),
    ("loaders", "guests", "images"),
    ("boards", "firmware", "htif", "console", "witness"),
    ("standing", "screenshot"),
    ("boot", "runner", "probing", "hooking", "recording", "replaying", "shell", "plan",
     "agent", "driving"),
    ("code_cache", "ahead"),
    ("saving",),
    ("snapshot", "run_folder", "marks", "reverse", "states"),
    ("linux",),
    ("profiling",),
    ("gdb", "trace", "coverage"),
    ("web",),
    ("observing", "talking", "accounts", "starting"),
    ("machine",),
    ("fleet",),
    ("",),                                  # the package itself: the public names
    ("install", "outlet", "terminal", "testing"),
    ("bench",),
    ("cli",),
    ("__main__",),
)
LAYERS = {"vm_native": CORE, "vm": PYTHON}
# What a whole tree may import of the others; `private` rooms are entered by those only.
TREES = {"vm_native": set(), "vm": {"vm_native"}, "benchmarks": {"vm", "vm_native"},
         "tests": {"vm", "vm_native", "benchmarks"}}
PRIVATE = {"vm.bench": ("vm.bench", "vm.cli.bench", "benchmarks", "tests"),
           "vm_native.testing": ("vm_native.testing", "benchmarks", "tests")}

# What may be named by rooms below it: as a type, of what they give whoever stands above, and never at run time.
NAMED = "vm.machine"

SUFFIXES = (".py", ".pyx", ".pxd", ".pxi", ".pyi")
FROM = re.compile(r"^[ \t]*from ([\w.]+) c?import (\([^)]*\)|[^#\n]*)", re.MULTILINE)
PLAIN = re.compile(r"^[ \t]*c?import ([\w., ]+)", re.MULTILINE)
INCLUDE = re.compile(r'^include "(.+)"', re.MULTILINE)


class Import(NamedTuple):
    """One line that names another file. Modules are dotted; sources of one module (.pyx, .pxd, .pyi) are one."""

    source: str
    target: str
    path: Path              # of the source, from the root
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.source} imports {self.target}"


def source_files() -> list[Path]:
    """All of the trees, from the root; what is generated lies in build/."""
    return sorted(path.relative_to(ROOT) for tree in TREES for path in (ROOT / tree).rglob("*")
                  if path.name.endswith(SUFFIXES))


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
    tree = ast.parse(text)
    types = {inner for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
             for inner in node.body}
    for node in ast.walk(tree):
        if node in types and isinstance(node, ast.ImportFrom) and node.module == NAMED:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: {ast.unparse(node)}: imports are absolute here"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def cython_imports(text: str, path: Path, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Includes that are generated are not in git: what they import is in the file that makes them."""
    for match in FROM.finditer(text):
        for name in re.findall(r"\w+", re.sub(r"#.*", "", match[2])) or [""]:
            yield text.count("\n", 0, match.start()) + 1, f"{match[1]}.{name}"
    for match in PLAIN.finditer(text):
        for name in re.split(r"[, ]+", match[1]):
            yield text.count("\n", 0, match.start()) + 1, name
    for match in INCLUDE.finditer(text):
        included = module_of(path.parent / match[1])
        if included in modules:
            yield text.count("\n", 0, match.start()) + 1, included


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


def ranks(tree: str) -> dict[str, int]:
    """The place of each room, from the lowest up."""
    return {name: number for number, name in enumerate(name for layer in LAYERS[tree] for name in layer)}


# --- The picture -----------------------------------------------------------------------------------------------------

def picture(found: Iterable[Import]) -> str:
    """The rooms of the core as a Mermaid graph: layers from top to bottom, and an arrow to each room that is used,
    but for those that can be reached by other arrows anyway.
    """
    arrows: dict[str, set[str]] = {name: set() for layer in CORE for name in layer}
    for one in found:
        source, target = room(one.source), room(one.target)
        if one.source.startswith("vm_native.") and one.target.startswith("vm_native.") and source != target:
            arrows[source].add(target)
    lines = ["```mermaid", "graph TD"]
    for name in reversed(ranks("vm_native")):
        if name != "testing":
            lines += [f"    {name} --> {target}" for target in sorted(arrows[name] - indirect(name, arrows))]
    return "\n".join([*lines, "```", ""])


def indirect(name: str, arrows: dict[str, set[str]]) -> set[str]:
    """The rooms that this one reaches by way of others."""
    reached: set[str] = set()
    waiting = [far for near in arrows[name] for far in arrows[near]]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += arrows[one]
    return reached


def with_picture(text: str, drawn: str) -> str:
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + drawn + END + rest.partition(END)[2]


if __name__ == "__main__":
    PICTURE_FILE.write_text(with_picture(PICTURE_FILE.read_text(), picture(imports(source_files()))))
