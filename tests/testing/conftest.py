"""A small project that is tested with the plugin."""

import pytest

from tests.assembler import assemble_elf
from tests.testing.plugin import ECHO


@pytest.fixture
def project(pytester):
    """A folder with a program, and an ini file that names it."""
    program = pytester.mkdir("build") / "echo.elf"
    program.write_bytes(assemble_elf(ECHO).read_bytes())
    pytester.makeini("[pytest]\nvm_program = build/echo.elf\nvm_memory = 2M\nvm_until = ready>\n")
    return pytester
