"""Physical memory protection (privileged specification, section 3.7)."""

import pytest

from tests.assembler import BASE

pytestmark = pytest.mark.usefixtures("dispatch")

FETCH_ACCESS, ILLEGAL, LOAD_ACCESS, STORE_ACCESS = 1, 2, 5, 7
R, W, X, TOR, NA4, NAPOT, LOCKED = 1, 2, 4, 0x08, 0x10, 0x18, 0x80
USER, SUPERVISOR, MACHINE = 0, 1, 3
DATA = BASE + 0x10000
ACCESSES = """
    ld   a1, 0(a0)
    wfi
store:
    sd   a1, 0(a0)
    wfi
call:
    jr   a0
    wfi
byte:
    lb   a1, 0(a0)
    wfi
"""


def napot(base: int, size: int) -> int:
    """pmpaddr of a naturally aligned region of 2^n bytes, n > 2."""
    return base >> 2 | (size >> 3) - 1


def protect(g, *entries: tuple[int, int]) -> None:
    """Write (configuration, pmpaddr) pairs to the entries from 0 on."""
    for number, (_, address) in enumerate(entries):
        g[f"pmpaddr{number}"] = address
    g["pmpcfg0"] = sum(config << 8 * number for number, (config, _) in enumerate(entries))


def attempt(g, what: str, address: int, privilege: int = SUPERVISOR):
    """The cause of the trap that an access makes, or None."""
    g["mcause"] = 0
    g["a0"] = address
    g.hart.pc = BASE if what == "load" else g.address(what)
    g.hart.privilege = privilege
    g.finish()
    return g["mcause"] if g["mcause"] not in (0, ILLEGAL) else None     # U-mode may not execute the wfi at the end


@pytest.fixture
def g(guest):
    """S-mode code may run; the rest is as the test says."""
    g = guest(ACCESSES)
    g["pmpaddr14"], g["pmpaddr15"] = 0, napot(BASE, 0x1000)
    g["pmpcfg2"] = (NAPOT | R | X) << 56
    return g


def test_without_a_matching_entry_only_machine_mode_gets_through(g):
    assert attempt(g, "load", DATA) == LOAD_ACCESS
    assert attempt(g, "store", DATA) == STORE_ACCESS
    assert attempt(g, "call", DATA) == FETCH_ACCESS
    assert attempt(g, "load", DATA, MACHINE) is None


@pytest.mark.parametrize("permission", [0, R, R | W, X, R | X, R | W | X])
def test_permissions(permission, g):
    protect(g, (NAPOT | permission, napot(DATA, 0x1000)))
    g.store(DATA, 0x1050_0073, 4)                           # wfi
    assert attempt(g, "load", DATA) == (None if permission & R else LOAD_ACCESS)
    assert attempt(g, "store", DATA + 8) == (None if permission & W else STORE_ACCESS)
    assert attempt(g, "call", DATA) == (None if permission & X else FETCH_ACCESS)


def test_tval_is_the_address(g):
    g["a0"] = DATA + 0x123
    g.hart.pc = g.address("byte")
    g.hart.privilege = SUPERVISOR
    assert g.trap() == (LOAD_ACCESS, g.address("byte"), DATA + 0x123)


@pytest.mark.parametrize("config, address, covered, outside", [
    (NA4, DATA >> 2, [0, 3], [-1, 4]),
    (NAPOT, napot(DATA, 8), [0, 7], [-1, 8]),
    (NAPOT, napot(DATA, 64), [0, 63], [-1, 64]),
    (NAPOT, napot(DATA, 0x2000), [0, 0x1FFF], [-1, 0x2000]),
    (TOR, (DATA + 0x44) >> 2, [0, 0x43, -1, -0x5000], [0x44, 0x1000]),
])  # fmt: skip
def test_ranges(config, address, covered, outside, g):
    """Entry 0 as TOR begins at address 0."""
    protect(g, (config | R | X, address))
    assert [attempt(g, "byte", DATA + offset) for offset in covered] == [None] * len(covered)
    assert [attempt(g, "byte", DATA + offset) for offset in outside] == [LOAD_ACCESS] * len(outside)


def test_top_of_range_begins_at_the_entry_before_even_if_that_is_off(g):
    protect(g, (0, DATA >> 2), (TOR | R, (DATA + 0x100) >> 2))
    assert attempt(g, "byte", DATA) is None
    assert attempt(g, "byte", DATA - 1) == LOAD_ACCESS
    assert attempt(g, "byte", DATA + 0xFF) is None
    assert attempt(g, "byte", DATA + 0x100) == LOAD_ACCESS


def test_top_of_range_below_its_start_matches_nothing(g):
    protect(g, (0, (DATA + 0x100) >> 2), (TOR | R, DATA >> 2))
    assert attempt(g, "byte", DATA + 0x10) == LOAD_ACCESS


def test_first_matching_entry_decides(g):
    protect(g, (NAPOT | R, napot(DATA, 64)), (NAPOT | W | R, napot(DATA, 0x1000)))
    assert attempt(g, "store", DATA) == STORE_ACCESS
    assert attempt(g, "store", DATA + 64) is None
    protect(g, (NAPOT, napot(DATA, 64)), (NAPOT | W | R, napot(DATA, 0x1000)))
    assert attempt(g, "load", DATA) == LOAD_ACCESS


@pytest.mark.parametrize("privilege", [USER, SUPERVISOR, MACHINE])
def test_access_that_an_entry_covers_in_part_fails(privilege, g):
    """Whatever that entry and later ones permit; in M-mode only if it is locked."""
    protect(g, (NA4 | LOCKED | R | W, DATA >> 2), (NAPOT | R | W, napot(DATA, 0x1000)))
    assert attempt(g, "load", DATA, privilege) == LOAD_ACCESS
    assert attempt(g, "byte", DATA, privilege) is None
    assert attempt(g, "load", DATA + 8, privilege) is None


def test_part_of_a_page_is_checked_though_the_rest_was_used(g):
    """A page that an entry cuts does not enter the TLB."""
    protect(g, (NAPOT, napot(DATA + 0x100, 8)), (NAPOT | R | W, napot(DATA, 0x1000)))
    for offset, cause in ((0, None), (0x100, LOAD_ACCESS), (0x108, None), (0x100, LOAD_ACCESS), (0xFF8, None)):
        assert attempt(g, "load", DATA + offset) == cause


def test_change_of_an_entry_takes_effect_at_once(g):
    protect(g, (NAPOT | R | W, napot(DATA, 0x1000)))
    assert attempt(g, "store", DATA) is None
    g["pmpcfg0"] = NAPOT | R
    assert attempt(g, "store", DATA) == STORE_ACCESS
    g["pmpaddr0"] = napot(DATA + 0x1000, 0x1000)
    assert attempt(g, "load", DATA) == LOAD_ACCESS


def test_unlocked_entry_does_not_bind_machine_mode(g):
    protect(g, (NAPOT, napot(DATA, 0x1000)))
    assert attempt(g, "store", DATA, MACHINE) is None


def test_locked_entry_binds_machine_mode(g):
    protect(g, (NAPOT | LOCKED | R, napot(DATA, 0x1000)))
    assert attempt(g, "load", DATA, MACHINE) is None
    assert attempt(g, "store", DATA, MACHINE) == STORE_ACCESS
    assert attempt(g, "call", DATA, MACHINE) == FETCH_ACCESS


def test_mprv_is_checked_as_the_previous_privilege(g):
    """mstatus.MPRV with MPP = S: loads of M-mode are those of S-mode; fetches are not."""
    g["mstatus"] = 1 << 17 | 1 << 11
    assert attempt(g, "load", DATA, MACHINE) == LOAD_ACCESS


@pytest.mark.parametrize("hit", [0, 4, 8])
def test_fetch_is_checked_for_every_instruction(hit, guest):
    """Straight-line code that ran is stopped where an entry forbids it later, in the middle of a block."""
    g = guest(".option norvc\n nop\n nop\n nop\n wfi")
    g.open_pmp()
    g.hart.privilege = SUPERVISOR
    g.finish()
    g["pmpaddr0"], g["pmpcfg0"] = (BASE + hit) >> 2, NA4
    g.hart.pc, g.hart.privilege = BASE, SUPERVISOR
    assert g.trap() == (FETCH_ACCESS, BASE + hit, BASE + hit)


def test_second_half_of_an_instruction_is_checked(guest):
    """A long instruction that begins two bytes before the forbidden word."""
    g = guest(".option rvc\n c.nop\n .option norvc\n addi a0, a0, 1\n wfi")
    g.open_pmp()
    g["pmpaddr0"], g["pmpcfg0"] = (BASE + 4) >> 2, NA4
    g.hart.privilege = SUPERVISOR
    trap = g.trap()
    assert (trap.cause, trap.pc) == (FETCH_ACCESS, BASE + 2)
    assert g["a0"] == 0


def test_page_table_walk_is_checked(guest):
    """A page-table entry that may not be read gives the access fault of the original access."""
    g = guest(ACCESSES)
    g.open_pmp()
    g["pmpaddr0"], g["pmpcfg0"] = napot(DATA, 0x1000), NAPOT
    g["satp"] = 8 << 60 | DATA >> 12
    assert attempt(g, "load", 0x1000, SUPERVISOR) == FETCH_ACCESS
    for what, cause in (("load", LOAD_ACCESS), ("store", STORE_ACCESS)):
        g["mstatus"] = 1 << 17 | 1 << 11                    # MPRV, MPP = S
        assert attempt(g, what, 0x1000, MACHINE) == cause


# --- Registers -------------------------------------------------------------------------------------------------------

def test_locked_entry_cannot_be_changed(guest):
    g = guest("wfi")
    g["pmpaddr0"], g["pmpcfg0"] = 0x1234, LOCKED | NAPOT | R
    g["pmpcfg0"] = 0
    g["pmpaddr0"] = 0
    assert (g["pmpcfg0"], g["pmpaddr0"]) == (LOCKED | NAPOT | R, 0x1234)


def test_locked_top_of_range_locks_the_address_below(guest):
    g = guest("wfi")
    g["pmpaddr0"], g["pmpaddr1"] = 0x1000, 0x2000
    g["pmpcfg0"] = (LOCKED | TOR | R) << 8
    g["pmpaddr0"] = 0
    assert g["pmpaddr0"] == 0x1000


def test_reset_unlocks(guest):
    g = guest("wfi")
    g["pmpcfg0"] = LOCKED | NAPOT
    g.machine.reset()
    assert g["pmpcfg0"] == 0


def test_configuration_byte_is_legal(guest):
    """Bits 5 and 6 are zero, W without R is reserved (section 3.7.1)."""
    g = guest("wfi")
    for written in range(0x80):                             # the rest is locked
        g["pmpcfg0"] = written << 16
        config = g["pmpcfg0"] >> 16
        assert config & 0x60 == 0 and config & 3 != 2
        if written & 0x60 == 0 and written & 3 != 2:
            assert config == written
