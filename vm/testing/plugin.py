"""The pytest plugin: fixtures `machine` and `linux`, marks, and what the report of a failing test says of its machines.

pytest loads this file in every project of an environment that has `vm` in it, so it imports nothing but pytest: what
builds machines (vm.testing.machines) comes with the first test that asks for one.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.testing.machines import Machines, Subject
    from vm.testing.starts import Start

OPTIONS = {
    "vm_program": "the program of `machine`: an ELF, by a path from this file",
    "vm_memory": "its memory, as 16M",
    "vm_isa": "its instruction set, as rv64imac",
    "vm_harts": "how many harts it has",
    "vm_until": "text that its program prints when it is ready: tests begin there",
    "vm_record": "failed (the default): failing tests leave a recording of their run; never",
}
MARKS = (
    "vm(program, until, seconds, build, setup, **options): what `machine` is: its program, the text that this prints "
    "within some guest seconds when it is ready, arguments of vm.Machine; or a function that builds it.",
    "vm_linux(packages, modules, **options): what `linux` is: Debian's packages and kernel modules in it, arguments of "
    "vm.Machine.",
    "guest_timeout(seconds): the test fails when one of its machines has run for longer, in guest time.",
)
MACHINES: pytest.StashKey[Machines] = pytest.StashKey()             # of the session, once a test has asked for one
SUBJECTS: pytest.StashKey[list[Subject]] = pytest.StashKey()        # the machines of a test


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, meaning in OPTIONS.items():
        parser.addini(name, meaning)


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine for this test alone, as the mark `vm` or the ini file says; it is closed behind the test.

    It is built, and started up to `until`, once for all tests that want the same; each begins with a fork of it.
    """
    from vm.testing.starts import start_of_program

    yield from fork("machine", start_of_program(request), request)


@pytest.fixture
def linux(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Debian's Linux at a root shell, `linux.shell()`, on a machine for this test alone; it is closed behind the test.

    It is booted once in each process that runs tests; each test begins with a fork of it.
    """
    from vm.testing.starts import start_of_linux

    yield from fork("linux", start_of_linux(request), request)


def fork(name: str, start: Start, request: pytest.FixtureRequest) -> Iterator[Machine]:
    from vm.testing.machines import Machines

    machines = request.config.stash.setdefault(MACHINES, Machines())
    return machines.fork(name, start, request, request.node.stash.setdefault(SUBJECTS, []))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item,
                              call: pytest.CallInfo[Any]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is not None and "vm.machine" in sys.modules:
        from vm.testing.report import hide_our_frames

        hide_our_frames(call.excinfo.value)
    report = yield
    if SUBJECTS in item.stash:
        if report.when == "teardown":           # they are closed
            del item.stash[SUBJECTS]
        elif report.failed:
            from vm.testing.report import sections

            subjects = item.stash[SUBJECTS]
            report.sections += sections(subjects, item.name)
    return report
