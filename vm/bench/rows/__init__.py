"""The subjects of the benchmark report: a file each, with a function `rows(quick)`."""

from importlib import import_module


def subject(name: str):
    """The module of a subject."""
    return import_module(f"vm.bench.rows.{name}")
