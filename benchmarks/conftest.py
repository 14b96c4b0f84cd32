"""How much of the benchmark report pytest-benchmark sees."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="All rows of the benchmark report, not the quick ones.")
