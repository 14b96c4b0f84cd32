"""The demo guest: the committed ELF is what its source builds, and it runs to the end on QEMU's `virt` board."""

import re
import subprocess
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.tools import needs
from vm.guests.compiler import ZIG_VERSION
from vm.guests.demo.build import ROOT, build

DEMO = ROOT / "demo.elf"
QEMU = "qemu-system-riscv64"


def zig_version() -> str | None:
    try:
        return version("ziglang")
    except PackageNotFoundError:
        return None


def constant(name: str) -> int:
    """The value of a #define in demo.h."""
    return int(re.search(rf"#define {name} (\w+?)UL\n", (ROOT / "demo.h").read_text())[1], 0)


def run_demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [QEMU, "-M", "virt", "-bios", "none", "-display", "none", "-serial", "stdio", "-monitor", "none"]
    command += ["-kernel", str(DEMO), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(zig_version() != ZIG_VERSION, reason=f"needs ziglang {ZIG_VERSION}")
def test_committed_elf_is_what_the_source_builds(tmp_path: Path):
    assert build(tmp_path / "demo.elf").read_bytes() == DEMO.read_bytes()


def test_elf_is_small_and_has_symbols():
    assert DEMO.stat().st_size < 64 << 10
    with DEMO.open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == "EM_RISCV" and elf["e_entry"] == 0x8000_0000
        assert elf.get_section_by_name(".symtab").get_symbol_by_name("main")


@needs(QEMU)
@pytest.mark.parametrize("cpu, timer", [("rv64", "Sstc"), ("rv64,sstc=false", "CLINT"), ("sifive-u54", "CLINT")])
def test_demo_powers_off_under_qemu_with_every_check_passed(cpu: str, timer: str):
    result = run_demo("-cpu", cpu)
    assert result.returncode == 0, result.stdout
    assert f"timer     {timer}" in result.stdout
    assert result.stdout.count("[ ok ]") == 12
    assert "12 checks passed" in result.stdout


def test_pi_checksum_is_that_of_the_digits_by_machins_formula():
    digits = 2000
    unit = 10 ** (digits + 10)

    def arctangent_of_inverse(n: int) -> int:
        term, total, divisor, sign = unit // n, 0, 1, 1
        while term:
            total += sign * (term // divisor)
            term, divisor, sign = term // (n * n), divisor + 2, -sign
        return total

    pi = str(4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239)))[:digits]
    assert zlib.crc32(pi.encode()) == constant("PI_CRC32")
