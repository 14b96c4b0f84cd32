"""The parts of the documentation that follow from the code: `python -m tests.pages` writes them into the pages.

A page has them between two comments, `<!-- made of NAME -->` and `<!-- end -->`; to add one, write the line `::: NAME`
and run the script. NAME is a class, function or module of `vm`, `text of MODULE`, `file PATH`, or one of
TABLES.
"""

import ast
import dataclasses
import enum
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any, ForwardRef

from vm.cli.exit_codes import MEANINGS
from vm.firmware.sbi import SERVED
from vm.settings import TABLE
from vm_native.riscv.sbi_numbers import FUNCTIONS, Extension

DOCS = Path(__file__).parents[1] / "docs"
PART = re.compile(r"^(?:::: (?P<new>[^\n]+)|<!-- made of (?P<old>[^\n]+?) -->\n.*?^<!-- end -->)$",
                  re.MULTILINE | re.DOTALL)
COLUMNS = 83                # of code; see tests/test_docs.py
ATTRIBUTES = re.compile(r"^Attributes:\n((?:    .*\n?)+)", re.MULTILINE)
BUILT_BY_USERS = ("vm", "vm.devices", "vm.images", "vm.install", "vm.net", "vm.testing")
SPECIAL = ("__getitem__", "__setitem__", "__iter__", "__len__", "__contains__")


def refreshed(page: str) -> str:
    """The page with its parts made anew."""
    def made(match: re.Match[str]) -> str:
        name = match["new"] or match["old"]
        return f"<!-- made of {name} -->\n{part(name)}\n<!-- end -->"
    return PART.sub(made, page)


def part(name: str) -> str:
    if name in TABLES:
        return TABLES[name]()
    if name.startswith("file "):
        return f"```python\n{(DOCS / name.removeprefix('file ')).read_text()}```"
    if name.startswith("text of "):
        return inspect.getdoc(found(name.removeprefix("text of ")))
    thing = found(name)
    if inspect.ismodule(thing):
        classes = (value for value in vars(thing).values() if inspect.isclass(value) and value.__module__ == name)
        return "\n\n".join(described(f"vm.{value.__name__}" if hasattr(import_module("vm"), value.__name__)
                                     else f"{name}.{value.__name__}", value) for value in classes)
    return described(name, thing)


def found(name: str) -> Any:
    """What a dotted name means."""
    module, _, last = name.rpartition(".")
    try:
        return getattr(import_module(module), last)
    except AttributeError:
        return import_module(name)


# --- Tables ----------------------------------------------------------------------------------------------------------

def table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def environment() -> str:
    return table(("variable", "what it says"), ((f"`{row.variable}`", row.meaning) for row in TABLE))


def exit_codes() -> str:
    return table(("code", "what it says"), ((str(code), meaning) for code, meaning in MEANINGS.items()))


def calls_of_firmware() -> str:
    """What vm/firmware serves, and what the core does in its place."""
    def shown(extension: Extension) -> str:
        return ", ".join(f"{number} `{name}`" for number, name in enumerate(FUNCTIONS[extension])
                         if extension not in SERVED or name in SERVED[extension])

    names = {extension: extension.name for extension in Extension if not extension.name.startswith("LEGACY")}
    legacy = ", ".join(f"{extension:#x} `{FUNCTIONS[extension][0]}`" for extension in Extension
                       if extension not in names)
    rows = [(name, f"{extension:#x}", shown(extension)) for extension, name in names.items()]
    return table(("extension", "in `a7`", "functions, by what `a6` has"), iter([*rows, ("legacy", legacy, "any")]))


TABLES: dict[str, Callable[[], str]] = {
    "environment": environment, "exit codes": exit_codes, "calls of the firmware": calls_of_firmware,
}


# --- The reference ---------------------------------------------------------------------------------------------------

def described(name: str, thing: Any) -> str:
    """A class or function: its signature, what its docstring says, and of a class the same of what it has."""
    lines = [f"### `{name}`", ""]
    if not inspect.isclass(thing):
        return "\n".join([*lines, *signature(thing.__name__, thing), *text_of(thing)]).rstrip()
    lines += [*bases(thing), *constructor(name, thing), *text_of(thing)]
    rows = [(f"`{field}`", comment) for field, comment in comments(thing).items()]
    if rows:
        lines += [table(("name", "what it is"), iter(rows)), ""]
    for member, value in members(thing).items():
        if member.startswith("_") and member not in SPECIAL:
            continue
        if isinstance(value, property):
            lines += [f"#### `{thing.__name__}.{member}`", "", *text_of(value)] if value.__doc__ else []
        elif inspect.isfunction(value) or isinstance(value, (classmethod, staticmethod)):
            function = inspect.unwrap(getattr(thing, member))
            if function.__doc__:
                lines += [f"#### `{thing.__name__}.{member}()`", "", *signature(member, function), *text_of(function)]
    return "\n".join(lines).rstrip()


def members(kind: type) -> dict[str, Any]:
    """Its own, and those of a part of it that stands in a file of its own."""
    found = dict(vars(kind))
    for part in parts(kind):
        found |= vars(part)
    return found


def parts(kind: type) -> list[type]:
    return [base for base in kind.__bases__ if base.__name__.endswith(f"Of{kind.__name__}")]


def bases(kind: type) -> list[str]:
    shown = [base.__name__ for base in kind.__bases__ if base not in (object, enum.Enum, *parts(kind))
             and not base.__name__.startswith("Native") and base.__module__ not in ("typing", "enum")]
    return [f"A kind of {', '.join(f'`{base}`' for base in shown)}.", ""] if shown and shown != ["tuple"] else []


def constructor(name: str, kind: type) -> list[str]:
    """How it is built, where that is for users: exceptions come by themselves, and members of an enum are there."""
    values = dataclasses.is_dataclass(kind) or issubclass(kind, tuple)
    built = name.rpartition(".")[0] in BUILT_BY_USERS and not issubclass(kind, (BaseException, enum.Enum))
    return signature(kind.__name__, kind) if values or built else []


def signature(name: str, function: Any) -> list[str]:
    """A block of code; on more than one line where it is long."""
    try:
        signature = inspect.signature(function)
    except ValueError:          # of a compiled class
        return []
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
    shown = [str(parameter.replace(annotation=Words.of(parameter.annotation), default=short(parameter.default)))
             for parameter in parameters]
    for place, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY:
            shown.insert(place, "*")
            break
    result = Words.of(signature.return_annotation)
    end = ")" if inspect.isclass(function) or result is inspect.Parameter.empty else f") -> {result!r}"
    line = f"{name}({', '.join(shown)}{end}"
    if len(line) > COLUMNS:
        line = f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + end
    return ["```py", line, "```", ""]


def short(default: Any) -> Any:
    """A default value, if it can be shown in a line."""
    shown = repr(default)
    if default is inspect.Parameter.empty:
        return default
    return default if len(shown) <= 40 and not shown.startswith("<") else Words("...")


class Words(str):
    """An annotation as it is written."""

    def __repr__(self) -> str:
        return str(self)

    @classmethod
    def of(cls, annotation: Any) -> Any:
        if annotation is inspect.Parameter.empty:
            return annotation
        if isinstance(annotation, ForwardRef):
            return cls(annotation.__forward_arg__)
        return cls(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def text_of(thing: Any) -> list[str]:
    """The docstring as Markdown, which it nearly is."""
    text = inspect.cleandoc(thing.__doc__ or "") if inspect.isclass(thing) else inspect.getdoc(thing)
    if text is None or text.startswith(f"{getattr(thing, '__name__', None)}("):     # what a dataclass says of itself
        return []
    return [ATTRIBUTES.sub(lambda match: "\n".join(f"- `{line.partition(':')[0]}`:{line.partition(':')[2]}"
                                                   for line in dedent(match[1]).splitlines()), text), ""]


def comments(kind: type) -> dict[str, str]:
    """Its members in order, each with the comment behind it, as `Device.size` and those of an enum have it."""
    try:
        source = dedent(inspect.getsource(kind))
    except (OSError, TypeError):        # a compiled class
        return {}
    said = {token.start[0]: token.string.lstrip("# ") for token in
            tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT}
    named = {}
    for node in ast.parse(source).body[0].body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                shown = f"{name}: {ast.unparse(node.annotation)}"
            case ast.Assign(targets=[ast.Name(id=name)]):
                shown = name
            case _:
                continue
        if not name.startswith("_") and node.lineno in said:
            named[shown] = said[node.lineno]
    return named


if __name__ == "__main__":
    for path in sorted(DOCS.rglob("*.md")):
        path.write_text(refreshed(path.read_text()))
