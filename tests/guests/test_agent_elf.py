"""The agent of guests: the committed program is what its source builds, and one that Linux runs."""

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.guests.test_demo_elf import zig_version
from vm import agent
from vm.guests.agent import AGENT
from vm.guests.agent.build import ROOT, build
from vm.guests.compiler import ZIG_VERSION


@pytest.mark.skipif(zig_version() != ZIG_VERSION, reason=f"needs ziglang {ZIG_VERSION}")
def test_committed_program_is_what_the_source_builds(tmp_path: Path):
    assert build(tmp_path / "vm-agent").read_bytes() == AGENT.read_bytes()


def test_it_is_a_small_static_program():
    """Nothing that is written is executable, nothing needs a loader."""
    assert AGENT.stat().st_size < 16 << 10
    with AGENT.open("rb") as file:
        elf = ELFFile(file)
        assert (elf["e_machine"], elf["e_type"]) == ("EM_RISCV", "ET_EXEC")
        assert {(segment["p_type"], segment["p_flags"]) for segment in elf.iter_segments()} == {
            ("PT_LOAD", 5), ("PT_LOAD", 6), ("PT_GNU_STACK", 6)}


def test_both_ends_speak_the_same_protocol():
    header = (ROOT / "agent.h").read_text()
    for name, value in (("VERSION", agent.VERSION), ("PORT", agent.PORT), ("LARGEST", agent.LARGEST)):
        assert f"#define {name} {value}" in header
    for name in ("HELLO", "ARGUMENT", "VARIABLE", "DIRECTORY", "RUN", "INPUT", "OUTPUT", "ERRORS", "STATUS", "FAILURE",
                 "GET", "PUT", "TIME"):
        assert f"{name} = '{chr(getattr(agent, name))}'" in header
