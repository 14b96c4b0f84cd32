"""What the environment says, and what is said instead of it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import vm
from vm.settings import TABLE, given, switch_rows
from vm_native.jit.compiler import SWITCHES

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment(monkeypatch):
    """environment(VM_X="1", ...) sets variables; of those of the table none is set before."""
    for row in (*TABLE, *switch_rows()):
        monkeypatch.delenv(row.variable, raising=False)

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


def test_nothing_is_set(environment):
    assert vm.Settings.from_environment() == vm.Settings()


def test_empty_is_not_set(environment):
    environment(**{row.variable: "" for row in (*TABLE, *switch_rows())})
    assert vm.Settings.from_environment() == vm.Settings()
    assert given("VM_CACHE") is None


def test_each_variable_fills_its_field(environment):
    environment(VM_ENGINE="jit", VM_DISPATCH="switch", VM_LINKING="0", VM_FUSION="0", VM_TLB="0", VM_PERF_MAP="1",
                VM_ANSWERS="0", VM_JIT_HOT="3", VM_JIT_SEED="4", VM_JIT_BYTES="5", VM_JIT_LINKING="1",
                VM_JIT_PAGE_ENTRIES="0")
    assert vm.Settings.from_environment() == vm.Settings(
        engine="jit", dispatch="switch", linking=False, fusion=False, data_tlb=False, perf_map=True, hot=3, seed=4,
        answers=False, code_bytes=5, switches={"linking": True, "page_entries": False})


@pytest.mark.parametrize("variable, value, said", [
    ("VM_JIT_HOT", "often", "VM_JIT_HOT=often: a whole number is wanted"),
    ("VM_TLB", "off", "VM_TLB=off: 0 and 1 are what it can be"),
    ("VM_JIT_PAGE_ENTRY", "0", "VM_JIT_PAGE_ENTRY: no such setting; there is VM_JIT_HOT, .*VM_JIT_PAGE_ENTRIES"),
])
def test_what_is_none_is_refused(variable, value, said, environment):
    environment(**{variable: value})
    with pytest.raises(vm.ConfigurationError, match=f"^{said}"):
        vm.Settings.from_environment()


def test_machine_that_is_given_settings_does_not_look_at_the_environment(environment):
    environment(VM_JIT_NONSENSE="1", VM_LINKING="maybe")
    vm.Machine(memory="1M", settings=vm.Settings(engine="interpreter")).close()


def test_argument_goes_before_the_settings(environment):
    with vm.Machine(memory="1M", engine="interpreter", settings=vm.Settings(engine="turbo")) as machine:
        assert machine.compiler is None


def test_every_field_has_a_row():
    assert {row.name for row in TABLE if row.name} | {"switches"} == {field.name for field in fields(vm.Settings)}
    assert tuple(row.name for row in switch_rows()) == SWITCHES


def test_the_page_lists_the_parts_of_the_compiler():
    """All others are there by `tests.pages`."""
    page = (ROOT / "docs" / "how-to" / "environment.md").read_text()
    assert set(re.findall(r"`(VM_JIT_\w+)=0`", page)) == {row.variable for row in switch_rows()}
