"""Guests of which every block is compiled before it runs for the first time."""

from dataclasses import replace

import pytest

import vm


@pytest.fixture
def compiled(guest):
    """compiled(source, **settings and machine options) -> Guest. The environment's settings are the others."""

    def make(source: str, hot: int = 0, code_bytes: int | None = None, draft_bytes: int | None = None,
             switches: dict[str, bool] | None = None, code_cache: bool = False, **options):
        settings = replace(vm.Settings.from_environment(), hot=hot, code_bytes=code_bytes, draft_bytes=draft_bytes,
                           switches=switches or {}, code_cache=code_cache)
        return guest(source, engine="jit", settings=settings, **options)

    return make


@pytest.fixture
def counters():
    """counters(guest) -> what the compiler counted."""
    return lambda guest: guest.machine.stats()["jit"]
