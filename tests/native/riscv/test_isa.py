"""ISA strings: unprivileged specification, chapter "ISA Extension Naming Conventions"."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.tools import needs
from vm import Machine
from vm_native.riscv import rva23
from vm_native.riscv.isa import DEFAULT, EXTENSIONS, LETTERS, PROFILES, parse

CROSS = "riscv64-linux-gnu-"
ROOT = Path(__file__).parents[3]


def extensions(text):
    return parse(text).extensions


@pytest.mark.parametrize("text, same", {
    "RV64IMACZicsr_Zifencei": "rv64imac_zicsr_zifencei",        # the manual's own example, in 64 bits
    "rv64imaczicsr_zifencei": "rv64imac_zicsr_zifencei",
    "rv64imacsvinval": "rv64imac_svinval",
    "rv64imasv48_zba": "rv64ima_sv48_zba",
    "rv64i_m_a_c": "rv64imac",
    "RV64I2_M2_A2": "rv64ima_zicntr_zifencei",
    "rv64i2p1m2p0a2p1c2p0_zicsr2p0": "rv64imac",
    "rv64i2p1_m2_zba1p0_zbb1": "rv64im_zba_zbb",
    "rv64gc_sv391p0_zic64b1p0": "rv64gc_zic64b",                # names that have figures of their own
    "rv64gc_zba_zba": "rv64gc_zba",
    "rv64imafdcsu": "rv64imafdc",                               # as device trees had it for a time
    "rv64g": "rv64imafd_zicsr_zifencei",
    "rv64ima_zabha1p0_zawrs1p0": "rv64ima_zabha_zawrs",
    "default_zkr": DEFAULT + "_zkr",
    "rv64gc_sha": "rv64gch_ssstateen_shcounterenw_shvstvala_shtvala_shvstvecd_shvsatpa_shgatpa",
    "RVA22S64_Zbc": PROFILES["rva22s64"] + "_zbc",
}.items())
def test_ways_to_write_the_same(text, same):
    assert extensions(text) == extensions(same)


def test_base_had_more_in_it_before_version_2_1():
    """Preface of the manual: counters, CSRs and fence.i became extensions."""
    assert extensions("rv64i2p0") - extensions("rv64i2p1") == {"Zicntr", "Zifencei"}


# `readelf -A`, of what GCC 14 compiles with -march=rv64gc
BY_GCC_14 = "rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicsr2p0_zifencei2p0_zmmul1p0_zaamo1p0_zalrsc1p0_zca1p0_zcd1p0"


def test_string_of_an_elf_is_taken():
    assert extensions(BY_GCC_14) == extensions("rv64gc")


@needs(CROSS + "gcc")
@pytest.mark.parametrize("march", ["rv64gc", "rv64imac", "rv64i2p0m2p0", "rv64gc_zba_zicbom", "rv64imaczicsr_zifencei"])
def test_compiler_writes_what_is_taken(march, tmp_path):
    """The attribute of an object says the same as the option that it was compiled with."""
    source, made = tmp_path / "empty.c", tmp_path / "empty.o"
    source.write_text("int one;")
    abi = "lp64d" if "d" in march or "g" in march else "lp64"
    subprocess.run([CROSS + "gcc", f"-march={march}", f"-mabi={abi}", "-c", source, "-o", made], check=True)
    shown = subprocess.run([CROSS + "readelf", "-A", made], check=True, capture_output=True, text=True).stdout
    attribute = re.search(r'Tag_RISCV_arch: "(.*)"', shown)[1]
    assert extensions(attribute) - {"Zicntr"} == extensions(march) - {"Zicntr"}


@pytest.mark.parametrize("text, part", {
    "rv32i": "must begin with rv64",
    "x86": "must begin with rv64",
    "rv64": "base i",
    "rv64mac": "base i",
    "rv64e": "unknown letter 'e'",
    "rv64i2_p2": "unknown letter 'p2'",                         # P of version 2, which is no decimal point here
    "rv64i2p": "unknown letter 'p'",
    "rv64gc_xfoo": "unknown extension 'xfoo'",
    "rv64imaczicsrzifencei": "unknown extension 'zicsrzifencei'",
    "rv64i m": "unknown letter ' '",
    "rv64i3": "i has version 2.1 here, not 3",
    "rv64i2p9": "i has version 2.1 here, not 2.9",
    "rv64gc1": "c has version 2.0 here, not 1",
    "rv64gc_zba2p0": "zba has version 1.0 here, not 2.0",
    "rv64g2p0": "g is several extensions",
}.items())
def test_string_that_cannot_be_had(text, part):
    with pytest.raises(ValueError, match=re.escape(part)) as caught:
        parse(text)
    assert str(caught.value).startswith(f"ISA string {text!r}: ")


@pytest.mark.parametrize("name", [*LETTERS, *EXTENSIONS])
def test_every_name_makes_a_machine_and_its_string_is_read_back(name):
    with Machine(memory="1M", isa=f"rv64i_{name}") as machine:
        assert name in machine.isa.extensions
        assert extensions(machine.isa.string) == machine.isa.extensions - {"Sv48", "Sv57", "Svbare"}


def test_parts_of_letters():
    """Chapters "M" and "A": Zmmul is M without division; Zaamo and Zalrsc together are A."""
    assert "M" not in extensions("rv64i_zmmul") and "A" not in extensions("rv64i_zaamo_zabha")
    assert {"M", "A"} <= extensions("rv64im_zaamo_zalrsc")


def test_default_is_rva22_but_for_who_sets_dirty_bits():
    assert extensions("rva22s64") - extensions("default") == {"Svade"}


def test_default_needs_nothing_of_firmware_that_opensbi_1_1_does_not_do():
    """It lends no `seed` (mseccfg.SSEED), and leaves menvcfg.ADUE as it is: of both, Svadu would be off."""
    assert not {"Zkr", "Svade"} & extensions("default") and "Svadu" in extensions("default")


# --- RVA23 (profiles of version 1.0) ---------------------------------------------------------------------------------

def test_profiles_have_what_they_demand_and_what_follows():
    """By the text of the profiles: the user's is a part of the supervisor's, which adds Zifencei, H and Sv39."""
    user, supervisor = extensions("rva23u64"), extensions("rva23s64")
    assert {*"IMAFDCBV", "Zvfhmin", "Zvbb", "Zvkt", "Zimop", "Zcmop", "Zcb", "Zfa", "Zawrs", "Supm"} <= user
    assert user < supervisor
    assert {"H", "Sha", "Ssstateen", "Sstc", "Sscofpmf", "Svnapot", "Svade", "Zifencei"} <= supervisor - user
    assert "Ssnpm" in supervisor
    assert parse("rva23s64").vlen == 128 and parse("rva23s64").paging == "sv39"
    assert extensions("rva22s64") <= supervisor


def test_options_of_a_profile_are_off_until_they_are_named():
    options = {row.name for row in rva23.ROWS if row.status != rva23.MANDATORY and row.tested}
    assert not options & extensions("rva23s64")
    named = "_".join(["rva23s64", *sorted(map(str.lower, options))])
    assert options <= extensions(named)


def test_table_of_a_profile_names_tests_that_are_there():
    for row in rva23.ROWS:
        known = row.name in LETTERS | EXTENSIONS
        assert known == bool(row.tested), row.name
        folder = ""
        for place in filter(None, row.tested.split(", ")):
            folder = place.rpartition("/")[0] or folder
            assert (ROOT / folder / place.rpartition("/")[2]).is_file(), place
