"""Every Python block of the documentation runs as it stands, page by page, and prints what the page says; every command
line parses; every public name is in the reference.
"""

import code
import contextlib
import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import vm
from tests import tools
from tests.pages import PART, refreshed
from tests.testing.plugin import PLUGIN
from vm.cli import main
from vm.trace import DTYPES

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE_COMMAND = re.compile(r"`(vm [a-z][^`]*)`")
COLUMNS = 83            # of code that the site shows without cutting it off
PYTHON, NETWORK, OUTPUT = "python", "{.python .network}", "{.text .output}"
SLOW = "{.python .slow}"                        # with the network, and for minutes
SIGNATURE = "py"
BUILT = "{.python .built}"                      # on what a page has built
UNICORN = "{.python .unicorn}"                  # beside which the page does the same
# Files of a project's tests; a test that fails, which belongs to the first of them; and what is said of it.
PYTEST, PYTEST_NETWORK = "{.python .pytest}", "{.python .pytest .network}"
FAILING, REPORT = "{.python .failing}", "{.text .report}"
SOURCES = {"asm": "# ", "c": "/* ", "ld": "/* "}    # by language, how a first line begins that names the file


class Block(NamedTuple):
    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(match["info"], match["text"], text[: match.start()].count("\n") + 1)
            for match in FENCE.finditer(text)]


def run_page(page: Path, kinds: tuple[str, ...]) -> int:
    """Run the blocks of these kinds in one namespace; how many there were."""
    namespace: dict[str, object] = {"__name__": "__docs__"}
    printed: str | None = None
    count = 0
    for block in blocks(page):
        if block.info in kinds:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)
            printed, count = output.getvalue(), count + 1
        elif block.info == OUTPUT:
            assert printed in (block.text, None), f"{page.name}, line {block.line}"      # None: of what did not run
        elif block.info in (PYTHON, NETWORK, UNICORN):
            printed = None
    with contextlib.ExitStack() as whole_page:
        shared: dict[str, object] = {}
        for name, test in namespace.items():
            if name.startswith("test_") and callable(test):
                run_test(namespace, test, shared, whole_page)
    return count


def run_test(namespace, test, shared, whole_page) -> None:
    """A test of the page as on pytest: its one fixture is made for it alone, one that this takes for the whole page."""
    (name,) = inspect.signature(test).parameters
    make = namespace[name].__wrapped__
    for needed in inspect.signature(make).parameters:
        if needed not in shared:
            shared[needed] = whole_page.enter_context(contextlib.contextmanager(namespace[needed].__wrapped__)())
    taken = {needed: shared[needed] for needed in inspect.signature(make).parameters}
    if inspect.isgeneratorfunction(make):
        with contextlib.contextmanager(make)(**taken) as value:
            test(value)
    else:
        test(make(**taken))


def kinds_in(page: Path) -> set[str]:
    return {block.info for block in blocks(page)}


@pytest.mark.parametrize("page", [page for page in PAGES if PYTHON in kinds_in(page)], ids=lambda page: page.stem)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_page(page, (PYTHON,))


def test_what_unicorn_does_beside_a_page(tmp_path, monkeypatch):
    pytest.importorskip("unicorn")
    monkeypatch.chdir(tmp_path)
    assert run_page(ROOT / "docs" / "from-unicorn.md", (UNICORN,))


@pytest.mark.network
@pytest.mark.parametrize("page", [page for page in PAGES if NETWORK in kinds_in(page)], ids=lambda page: page.stem)
def test_page_with_network(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_page(page, (PYTHON, NETWORK))


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("page", [page for page in PAGES if SLOW in kinds_in(page)], ids=lambda page: page.stem)
def test_page_that_takes_minutes(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_page(page, (PYTHON, NETWORK, SLOW))


@pytest.mark.parametrize("compiler", ["python -m ziglang", "riscv64-unknown-elf-gcc"])
def test_firmware_page(compiler, tmp_path, monkeypatch):
    """What it shows is built by the commands that it shows, runs from Python, and from the shell."""
    page = ROOT / "docs" / "how-to" / "firmware.md"
    (line,) = [block.text for block in blocks(page) if block.text.startswith(compiler)]
    command = shlex.split(line.replace("\\\n", " "))
    if command[0] == "python":
        command[0] = sys.executable
    else:
        tools.require(command[0])
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.info in SOURCES:
            first = block.text.partition("\n")[0]
            assert first.startswith(SOURCES[block.info])
            Path(first.split()[1]).write_text(block.text)
    subprocess.run(command, check=True, timeout=300)
    assert run_page(page, (BUILT,)) == 1
    with pytest.raises(SystemExit) as ended:
        main(["run", "firmware.elf"])
    assert ended.value.code == 0


PYTEST_PAGE = ROOT / "docs" / "how-to" / "pytest.md"


@pytest.fixture
def page():
    return PYTEST_PAGE


@pytest.fixture
def project(tmp_path, page):
    """The firmware of the example, with the ini file of the page."""
    tools.require("make")
    shutil.copytree(ROOT / "docs" / "examples" / "firmware", tmp_path, dirs_exist_ok=True)
    (tmp_path / "test_firmware.py").unlink()
    subprocess.run(["make", "-C", tmp_path, f"PYTHON={sys.executable}"], check=True, timeout=300)
    (ini,) = [block.text for block in blocks(page) if block.info == "toml"]
    (tmp_path / "pyproject.toml").write_text(ini)
    return tmp_path


def run_pytest(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=300,
                          check=False).stdout


@pytest.mark.parametrize(("page", "kind"), [
    pytest.param(page, kind, marks=pytest.mark.network if kind == PYTEST_NETWORK else (), id=f"{page.stem} {kind}")
    for page in PAGES for kind in sorted(kinds_in(page) & {PYTEST, PYTEST_NETWORK})])
def test_tests_of_a_page_pass(project, page, kind):
    for number, block in enumerate(block for block in blocks(page) if block.info == kind):
        (project / f"test_{number}.py").write_text(block.text)
    result = run_pytest(project)
    assert " passed" in result and " failed" not in result and " error" not in result, result


def test_report_of_the_pytest_page(project):
    """But for the width of the lines, numbers that depend on the compiler, and the folder."""
    def plain(line: str) -> str:
        return re.sub(r"-{5,}", "-----", re.sub(r"[0-9a-f,]*[0-9][0-9a-f,]*", "N", line.rstrip()))

    first, failing, report = (next(block.text for block in blocks(PYTEST_PAGE) if block.info == kind)
                              for kind in (PYTEST, FAILING, REPORT))
    (project / "test_0.py").write_text(f"{first}\n\n{failing}")
    result = [plain(line) for line in run_pytest(project).splitlines()]
    *expected, recording = report.splitlines()
    start = result.index(plain(expected[0]))
    assert result[start:start + len(expected)] == [plain(line) for line in expected]
    assert result[start + len(expected)].endswith(plain(recording.rpartition("/")[2]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_fits_the_page(page):
    assert [line for block in blocks(page) for line in block.text.splitlines() if len(line) > COLUMNS] == []


def test_every_block_says_what_it_is():
    known = {PYTHON, NETWORK, SLOW, OUTPUT, SIGNATURE, BUILT, UNICORN, PYTEST, PYTEST_NETWORK, FAILING, REPORT,
             *SOURCES, "shell", "text", "toml", "yaml", "mermaid"}
    assert {info for page in PAGES for info in kinds_in(page)} <= known


def commands() -> list[str]:
    """The command lines of `vm` that the pages show, in shell blocks and within sentences."""
    found = set()
    for page in [*PAGES, ROOT / "README.md"]:
        found.update(INLINE_COMMAND.findall(FENCE.sub("", page.read_text())))
        for block in blocks(page):
            if block.info == "shell":
                lines = block.text.replace("\\\n", " ").splitlines()
                found.update(line for line in lines if line.startswith("vm "))
    return sorted(found)


@pytest.mark.parametrize("line", commands())
def test_command_line_is_understood(line):
    """Every command and option is there; a mistake raises click.UsageError. A name alone is only a mention."""
    _, name, *arguments = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    assert command is not None
    if arguments:
        command.make_context(name, arguments)


def test_tutorial_can_be_pasted_at_the_prompt(tmp_path, monkeypatch):
    """Block by block, an empty line behind each: at the plain prompt a statement ends there, not where it dedents."""
    monkeypatch.chdir(tmp_path)
    console = code.InteractiveConsole()
    wrong = []
    console.write = wrong.append
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(ROOT / "docs" / "tutorial.md"):
            if block.info == PYTHON:
                for line in [*block.text.splitlines(), ""]:
                    console.push(line)
    assert wrong == []


def test_small_program_of_the_tutorial_from_the_shell(tmp_path, monkeypatch, capfd):
    """It waits for ever, and `vm run` ends with the exit code that the page says."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "tutorial.md"
    assert run_page(page, (PYTHON,))
    (line,) = [block.text for block in blocks(page) if block.text.startswith("vm run")]
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line)[1:])
    assert ended.value.code == 124
    assert "waits for an interrupt" in capfd.readouterr().err


@pytest.mark.parametrize("page", [page for page in PAGES if PART.search(page.read_text())], ids=lambda page: page.stem)
def test_parts_made_of_the_code_are_up_to_date(page):
    """`python -m tests.pages` writes them."""
    assert page.read_text() == refreshed(page.read_text())


def test_table_has_the_fields_of_every_kind_of_trace():
    table = (ROOT / "docs" / "how-to" / "traces.md").read_text().partition("## Fields\n")[2].partition("\n## ")[0]
    found = {kind: set() for kind in DTYPES}
    for kinds, fields in re.findall(r"^\| (all|`.*?) \| (.*?) \|", table, re.MULTILINE):
        for kind in DTYPES if kinds == "all" else re.findall(r"\w+", kinds):
            found[kind].update(re.findall(r"\w+", fields))
    assert found == {kind: set(dtype.names) for kind, dtype in DTYPES.items()}


@pytest.mark.parametrize("listing", ["docs/index.md", "mkdocs.yml"])
def test_every_how_to_page_is_listed(listing):
    pages = [f"how-to/{page.name}" for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))]
    listed = re.findall(r"how-to/[\w-]+\.md", (ROOT / listing).read_text())
    assert sorted(set(listed)) == pages


def test_every_public_name_is_in_the_reference():
    reference = (ROOT / "docs" / "reference.md").read_text()
    modules = {"copy", "devices", "disks", "fleet", "images"}
    missing = [name for name in vm.__all__ if name not in modules and f"### `vm.{name}`\n" not in reference]
    missing += [f"disks.{name}" for name in vm.disks.__all__ if f"### `vm.disks.{name}`\n" not in reference]
    missing += [f"copy.{name}" for name in vm.copy.__all__ if f"| `{name}" not in reference]
    assert not missing


def test_classes_that_signatures_give_are_in_the_reference():
    """Of what is returned, and what a function of the caller's is called with: other classes are not public."""
    reference = (ROOT / "docs" / "reference.md").read_text()
    described = set(re.findall(r"^### `vm\.(?:\w+\.)*(\w+)`$", reference, re.MULTILINE))
    signatures = "".join(block.text for block in blocks(ROOT / "docs" / "reference.md") if block.info == SIGNATURE)
    given = set(re.findall(r"\b[A-Z]\w+", " ".join(re.findall(r"Callable\[\[.*?\]|-> .*", signatures))))
    ours = {name for path in (ROOT / "vm").rglob("*.py")
            for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)}
    assert {"Stop", "Hook", "MemoryAccess"} <= given & ours
    assert given & ours - described == set()
