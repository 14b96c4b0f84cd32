"""Guests of which every block is compiled before it runs for the first time."""

import pytest


@pytest.fixture
def compiled(guest, monkeypatch):
    """compiled(source, hot=0, **machine options) -> Guest."""

    def make(source: str, hot: int = 0, code_bytes: int | None = None, **options):
        monkeypatch.setenv("VM_JIT_HOT", str(hot))
        if code_bytes is not None:
            monkeypatch.setenv("VM_JIT_BYTES", str(code_bytes))
        return guest(source, engine="jit", **options)

    return make


@pytest.fixture
def counters():
    """counters(guest) -> what the compiler counted."""
    return lambda guest: guest.machine.stats()["jit"]
