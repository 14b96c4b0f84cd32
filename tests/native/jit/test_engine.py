"""Which engine a machine gets: as it is told, as $VM_ENGINE says, and where the host cannot run compiled code."""

import warnings

import pytest

import vm
import vm.engine
from vm_native.jit.compiler import unavailable

REFUSED = "the host refuses executable memory"


@pytest.fixture
def unable(monkeypatch):
    """A host that refuses, to which nothing has been said yet."""
    monkeypatch.setattr("vm.engine.unavailable", lambda: REFUSED)
    vm.engine.say_once.cache_clear()
    yield
    vm.engine.say_once.cache_clear()


def compiles(machine: vm.Machine) -> bool:
    return "jit" in machine.stats()


def test_this_host_can():
    """Every other test of compiled code would be in vain."""
    assert unavailable() is None


@pytest.mark.parametrize("engine, expected", [("interpreter", False), ("jit", True), ("auto", True)])
def test_engine_is_what_is_asked_for(engine, expected, monkeypatch):
    monkeypatch.setenv("VM_ENGINE", "interpreter" if expected else "jit")       # of no weight beside the argument
    with vm.Machine(memory="1M", engine=engine) as machine:
        assert compiles(machine) == expected


@pytest.mark.parametrize("engine, expected", [("interpreter", False), ("jit", True), ("auto", True), ("", True)])
def test_environment_names_the_engine(engine, expected, monkeypatch):
    monkeypatch.setenv("VM_ENGINE", engine)
    with vm.Machine(memory="1M") as machine:
        assert compiles(machine) == expected


def test_unknown_engine_is_refused():
    with pytest.raises(vm.ConfigurationError, match="'turbo'.*'auto', 'interpreter', 'jit'"):
        vm.Machine(memory="1M", engine="turbo")


@pytest.mark.parametrize("name, value", [("HOT", "often"), ("SEED", "-1"), ("BYTES", "1M")])
def test_setting_that_is_no_number_is_refused(name, value, monkeypatch):
    monkeypatch.setenv(f"VM_JIT_{name}", value)
    with pytest.raises(vm.ConfigurationError, match=f"VM_JIT_{name}={value}"):
        vm.Machine(memory="1M", engine="jit")


@pytest.mark.parametrize("name", ["VM_JIT_REGISTERS", "VM_JIT_JUMP_CACHE", "VM_LINKING", "VM_FUSION", "VM_PERF_MAP"])
def test_switches_are_0_or_1(name, monkeypatch):
    for value in ("0", "1", ""):
        monkeypatch.setenv(name, value)
        vm.Machine(memory="1M", engine="jit").close()
    for value in ("off", "2", "00"):
        monkeypatch.setenv(name, value)
        with pytest.raises(vm.ConfigurationError, match=f"^{name}={value}: 0 and 1"):
            vm.Machine(memory="1M", engine="jit")


@pytest.mark.parametrize("engine", ["jit", "interpreter"])
def test_setting_that_is_none_is_refused(engine, monkeypatch):
    monkeypatch.setenv("VM_JIT_REGISTER", "0")
    with pytest.raises(vm.ConfigurationError, match="^VM_JIT_REGISTER: .*VM_JIT_HOT.*VM_JIT_REGISTERS"):
        vm.Machine(memory="1M", engine=engine)


def test_without_executable_memory_jit_is_refused(unable):
    with pytest.raises(vm.ConfigurationError, match=REFUSED):
        vm.Machine(memory="1M", engine="jit")


def test_without_executable_memory_auto_interprets_and_says_so_once(unable):
    with pytest.warns(RuntimeWarning, match=REFUSED):
        machines = [vm.Machine(memory="1M", engine="auto")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machines += [vm.Machine(memory="1M", engine="auto"), vm.Machine(memory="1M", engine="interpreter")]
    assert not any(compiles(machine) for machine in machines)
