"""The house: which way imports go, and how large a file may be. tests/architecture.py says where each room stands."""

import re
from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import LAYERS, PICTURE_FILE, PRIVATE, ROOT, TREES, Import, circles, ranks, room

FILES = architecture.source_files()
IMPORTS = architecture.imports(FILES)
MOST_LINES = 600
# A device is handed its clock, events, memory and line; of the core it knows what the bits of a hart's mip are called,
# what the bus takes for a number, and of the process which descriptors a file of its own must not get. It looks at what
# its user tells it, and a screen writes what it shows.
DEVICE_SEES = {"arguments", "clock", "copy", "devices", "disks", "errors", "events", "inputs", "lazy", "memory", "net",
               "png", "share", "sizes", "state", "stop", "waiting"}
DEVICE_SEES_IN_CORE = {"vm_native.descriptors", "vm_native.memory.device_value", "vm_native.riscv.registers"}


def tree_of(module: str) -> str:
    return module.partition(".")[0]


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def show(found: list[Import]) -> str:
    return "\n".join(map(str, found))


def test_files_are_read():
    """The reader sees imports, cimports and includes; without them every other test here would pass."""
    arrows = {(one.source, one.target) for one in IMPORTS}
    assert ("vm.machine", "vm.runner") in arrows                                # import
    assert ("vm_native.execution.loop", "vm_native.blocks") in arrows           # cimport of a name
    assert ("vm_native.riscv.hart", "vm_native.riscv.privilege") in arrows      # cimport of a module
    assert ("vm_native.memory.copy.avx2", "vm_native.memory.copy.family") in arrows     # include
    assert len(IMPORTS) > 1000


def test_no_file_imports_itself_by_way_of_others():
    assert circles((one.source, one.target) for one in IMPORTS) == []


@pytest.mark.parametrize("tree", TREES)
def test_no_circle_of_rooms(tree):
    arrows = {(room(one.source), room(one.target)) for one in IMPORTS
              if tree_of(one.source) == tree_of(one.target) == tree}
    assert circles((source, target) for source, target in arrows if source != target) == []


@pytest.mark.parametrize("tree", LAYERS)
def test_every_room_has_its_place(tree):
    found = {room(architecture.module_of(path)) for path in FILES if path.parts[0] == tree} - {""}
    assert found == set(ranks(tree)) - {""}, "tests/architecture.py says where a room stands"


@pytest.mark.parametrize("tree", LAYERS)
def test_no_arrow_climbs(tree):
    rank = ranks(tree)
    climbing = [one for one in IMPORTS if tree_of(one.source) == tree_of(one.target) == tree
                and one.source != tree and rank[room(one.source)] < rank.get(room(one.target), -1)]
    assert not climbing, f"these climb:\n{show(climbing)}"


def test_arithmetic_is_a_leaf():
    out = [one for one in IMPORTS if room(one.source) == "arithmetic" != room(one.target)]
    assert not out, show(out)


def test_trees_know_those_below_them_alone():
    """Above all: the core knows nothing of the package around it, and benchmarks nothing of the tests."""
    wrong = [one for one in IMPORTS if tree_of(one.source) != tree_of(one.target)
             and tree_of(one.target) not in TREES[tree_of(one.source)]]
    assert not wrong, show(wrong)


@pytest.mark.parametrize("place", PRIVATE)
def test_private_rooms_are_entered_by_their_own(place):
    strangers = [one for one in IMPORTS if within(one.target, (place,)) and not within(one.source, PRIVATE[place])]
    assert not strangers, show(strangers)


def test_devices_do_not_know_the_machine():
    wrong = [one for one in IMPORTS if within(one.source, ("vm.devices",)) and one.target not in DEVICE_SEES_IN_CORE
             and not (tree_of(one.target) == "vm" and room(one.target) in DEVICE_SEES)]
    assert not wrong, show(wrong)


def test_files_have_one_subject():
    long = {str(path): lines for path in FILES if (lines := len((ROOT / path).read_text().splitlines())) > MOST_LINES}
    assert not long, f"over {MOST_LINES} lines: {long}"


def test_the_environment_is_read_in_one_place():
    """In vm; a module of the core that needs a setting gets it as an argument, but for VM_COPY (vm/settings.py)."""
    readers = [f"{path}:{number}" for path in FILES if path.parts[0] in ("vm", "vm_native")
               for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
               if re.search(r"\b(environ(?!ment)|getenv)", line) and path != Path("vm/settings.py")]
    assert [reader.partition(":")[0] for reader in readers] == ["vm_native/memory/copy/__init__.py"], readers


def test_the_picture_is_true():
    text = PICTURE_FILE.read_text()
    assert text == architecture.with_picture(text, architecture.picture(IMPORTS)), "python -m tests.architecture"


def test_a_climbing_arrow_and_a_circle_are_found(monkeypatch):
    """The tests above on a house where blocks asks riscv, at a line that the failure names."""
    climbing = Import("vm_native.blocks", "vm_native.riscv.hart", Path("vm_native/blocks.pyx"), 7)
    monkeypatch.setitem(globals(), "IMPORTS", [*IMPORTS, climbing])
    with pytest.raises(AssertionError, match="vm_native/blocks.pyx:7: vm_native.blocks imports vm_native.riscv.hart"):
        test_no_arrow_climbs("vm_native")
    with pytest.raises(AssertionError, match="blocks"):
        test_no_circle_of_rooms("vm_native")
    with pytest.raises(AssertionError, match="vm_native.blocks"):
        test_no_file_imports_itself_by_way_of_others()
