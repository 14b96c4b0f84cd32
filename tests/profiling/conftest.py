"""Both engines."""

import pytest


@pytest.fixture(params=["interpreter", "jit"])
def engine(request, monkeypatch):
    """With all code compiled before it runs, on the engine that compiles."""
    monkeypatch.setenv("VM_JIT_HOT", "0")
    return request.param
