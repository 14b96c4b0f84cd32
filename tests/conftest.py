"""Guests for tests of the core and of the machine."""

import signal

import pytest

from tests import tools
from tests.guest import Guest
from vm_native.interpreter.forms import forms

# A shell without job control starts what it puts into the background with SIGINT ignored, and children inherit that:
# no Ctrl-C of a test would be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)        # ignored under nohup

ARCHIVE = ("gpgv", "/usr/share/keyrings/debian-archive-keyring.gpg")       # what verifies a package of Debian's


ENGINES = {"compiled", "dispatch", "engine", "engines"}         # what a test asks for that says itself what runs it


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(tools.needs(*ARCHIVE))
        if not ENGINES.isdisjoint(item.fixturenames):
            item.add_marker("names_engine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return failed_if_required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return failed_if_required((yield))


def failed_if_required(report):
    """The report of a skip for want of a tool or a package is a failure's where all of them must be there."""
    if tools.REQUIRED and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(("needs ", "could not import ")):
            report.outcome, report.longrepr = "failed", f"VM_REQUIRE_TOOLS=1, and this was skipped: {reason}"
    return report


@pytest.fixture
def guest():
    """guest(source, **machine options) -> Guest"""
    guests = []

    def make(source: str, **options) -> Guest:
        guests.append(Guest(source, **options))
        return guests[-1]

    yield make
    for made in guests:
        made.machine.close()


@pytest.fixture(params=(*forms(), "jit", "drafts"))
def dispatch(request, monkeypatch):
    """Runs the test in each dispatch form of the interpreter, and with all code compiled before it runs: as traces, and
    as drafts, where a hart is looked at again and again.
    """
    monkeypatch.setenv("VM_ENGINE", "interpreter" if request.param in forms() else "jit")
    monkeypatch.setenv("VM_JIT_HOT", "0")
    if request.param in forms():
        monkeypatch.setenv("VM_DISPATCH", request.param)
    elif request.param == "drafts":
        monkeypatch.setenv("VM_JIT_DRAFT_BYTES", "0")
    return request.param
