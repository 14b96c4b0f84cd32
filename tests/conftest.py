"""Guests for tests of the core and of the machine."""

import signal

import pytest

from tests.guest import Guest
from vm_native.interpreter.forms import forms

# A shell without job control starts what it puts into the background with SIGINT ignored, and children inherit that:
# no Ctrl-C of a test would be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(params=(*forms(), "jit"))
def dispatch(request, monkeypatch):
    """Runs the test in each dispatch form of the interpreter, and with all code compiled before it runs."""
    monkeypatch.setenv("VM_ENGINE", "jit" if request.param == "jit" else "interpreter")
    if request.param == "jit":
        monkeypatch.setenv("VM_JIT_HOT", "0")
    else:
        monkeypatch.setenv("VM_DISPATCH", request.param)
    return request.param
