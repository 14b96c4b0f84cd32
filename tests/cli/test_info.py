"""`vm info` and the page that it makes."""

import re
from pathlib import Path

from click.testing import CliRunner

from vm.cli import main
from vm.cli.info import show
from vm_native.riscv.instructions import ROWS
from vm_native.riscv.isa import DEFAULT, EXTENSIONS, LETTERS, parse

DOCS = Path(__file__).parents[2] / "docs"


def output(*arguments):
    return CliRunner().invoke(main, ["info", *arguments]).output


def test_page_of_the_instruction_set_is_up_to_date():
    assert output("--isa", "--markdown") == (DOCS / "isa.md").read_text()


def test_page_of_the_control_and_status_registers_is_up_to_date():
    assert output("--csrs", "--markdown") == (DOCS / "csrs.md").read_text()


def test_registers_of_another_isa():
    by_default, of_rv64imac = output("--csrs"), output("--csrs", "rv64imac")
    assert "0x14d" in by_default and "0x14d" not in of_rv64imac         # stimecmp
    assert re.search(r"^0x300 .* FS 14:13", by_default, re.MULTILINE) and "FS 14:13" not in of_rv64imac


def test_isa_string_that_is_none():
    result = CliRunner().invoke(main, ["info", "--csrs", "x86"])
    assert result.exit_code and "must begin with rv64" in result.output


def contents(isa):
    """By extension: version, status, and whether a hart has it."""
    lines = [re.split(r"  +", line) for line in output("--isa", isa).splitlines()[1:]]
    return {line[0]: tuple(line[1:4]) for line in lines if len(line) > 4}


def test_contents_of_a_profile():
    """RVA23 profiles 1.0: what is mandatory and what an option; V has Zve64d in it, which they do not name."""
    shown = contents("rva23s64")
    for name, status in {"V": "mandatory", "H": "mandatory", "Sstc": "mandatory", "Zicfilp": "expansion option",
                         "Zabha": "development option", "Zvkng": "localized option", "Zve64d": "follows"}.items():
        assert shown[name] == ("1.0", status, "no" if status.endswith("option") else "yes"), name
    assert contents("rva23s64_zicfilp")["Zicfilp"] == ("1.0", "expansion option", "yes")
    assert "H" not in contents("rva23u64")
    assert re.search(r"^Zama16b +development option +no +is not there$", output("--isa", "rva23u64"), re.MULTILINE)


def test_contents_of_an_isa_string_are_what_a_hart_has():
    shown = contents("rv64gcv_zvbb")
    assert shown.keys() | {"S"} == parse("rv64gcv_zvbb").extensions
    assert shown["Zvbb"] == ("1.0", "named", "yes") and shown["Zvkb"] == ("1.0", "follows", "yes")
    result = CliRunner().invoke(main, ["info", "--isa", "x86"])
    assert result.exit_code and "must begin with rv64" in result.output


def test_table_has_every_extension_that_an_instruction_needs():
    named = {name for row in ROWS for word in row.extensions for name in word.split("|")} - {"S"}
    assert named <= LETTERS.keys() | EXTENSIONS.keys()
    shown = {line.split()[0] for line in output("--isa").splitlines()[1:]}
    assert shown == LETTERS.keys() | EXTENSIONS.keys()


def test_memory_map_has_the_devices_of_the_board():
    """Addresses as in QEMU's virt board."""
    text = output()
    for line in ("0x10000000  0x100", "0xc000000   0x600000", "0x80000000"):
        assert line in text


def test_engine_that_auto_chooses_here():
    assert re.search(r"^engine +auto, which is jit here$", output(), re.MULTILINE)


def test_why_auto_is_the_interpreter(monkeypatch):
    monkeypatch.setattr("vm_native.jit.compiler.unavailable", lambda: "the host refuses executable memory")
    assert re.search(r"^engine +auto, which is interpreter: the host refuses", output(), re.MULTILINE)
    assert re.search(r"^compiled code +none: the host refuses executable memory$", output(), re.MULTILINE)


def test_engine_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("VM_ENGINE", "interpreter")
    assert re.search(r"^engine +interpreter, by VM_ENGINE; auto is jit here$", output(), re.MULTILINE)


AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}       # as Linux names what the compiler's code has of it


def test_instruction_sets_of_compiled_code(monkeypatch):
    """Those that Linux says the processor has."""
    with open("/proc/cpuinfo") as lines:
        flags = set(next(line for line in lines if line.startswith("flags")).partition(":")[2].split())
    wanted = [name for name, needed in {"AVX2": {"avx2"}, "AVX-512": AVX512, "F16C": {"f16c"}, "AES": {"aes"},
                                        "PCLMULQDQ": {"pclmulqdq"}, "SHA": {"sha_ni"}}.items() if needed <= flags]
    assert re.search(rf"^compiled code +{', '.join(wanted)}$", output(), re.MULTILINE)
    monkeypatch.setenv("VM_JIT_AVX512", "0")
    shown = re.search(r"^compiled code +(.*)$", output(), re.MULTILINE)[1]
    assert shown.startswith("AVX2, F16C") and shown.endswith("; not AVX-512, by VM_JIT_AVX512=0" * (AVX512 <= flags))


def test_terminal_shows_all_of_a_long_row(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    show("title", ("", ""), [("ISA", DEFAULT)])
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines() if line[0] != "\x1b") <= 60       # but the title's italics
    assert DEFAULT in "".join(line.strip("│").split("│")[1].strip() for line in shown.splitlines() if "│" in line)
