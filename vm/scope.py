"""Where a probe looks: at an address, a range or a symbol, of one privilege or address space."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from vm.arguments import whole_number
from vm.errors import ConfigurationError
from vm.privilege import GUESTS, WORDS, Mode, Privilege
from vm.sizes import PAGE_SIZE
from vm_native.execution.native_machine import EVERYWHERE, NativeMachine
from vm_native.execution.native_recorder import RECORD_KINDS, NativeRecorder

if TYPE_CHECKING:
    from vm.hart import Hart

Where = int | range | str               # an address; those of a range; a symbol of the program

SATP_ASID, SATP_PPN = 0xFFFF << 44, (1 << 44) - 1       # privileged specification, section 12.1.11
END = 1 << 64


class Scope(NamedTuple):
    """Whose instructions and accesses a probe is about, as the core has it: a bit for each privilege, and the bits of
    satp that count with a mask of them.
    """

    privileges: int
    space: int
    space_mask: int


EVERYBODY = Scope(*EVERYWHERE)


def scope_of(privilege: Mode | None, asid: int | None, satp: int | None, page_table: int | None) -> Scope:
    """Of one privilege, and one address space, by one of the other three; None: of all. Raises ConfigurationError for
    a privilege, or an address space, that there is not.
    """
    privileges = EVERYWHERE[0] if privilege is None else 1 << privilege_named(privilege)
    given = {"asid": asid, "satp": satp, "page_table": page_table}
    named = [f"{name}=" for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigurationError(f"{' and '.join(named)}: give one, each says which address space")
    if satp is not None:
        return Scope(privileges, in_64_bits("satp", satp), END - 1)
    if page_table is not None:
        return Scope(privileges, number_of_root(page_table), SATP_PPN)
    if asid is None:
        return Scope(privileges, 0, 0)
    number = whole_number("asid", asid)
    if not 0 <= number < 1 << 16:
        raise ConfigurationError(f"asid={asid!r}: the number of an address space has 16 bits")
    return Scope(privileges, number << 44, SATP_ASID)


def number_of_root(page_table: int) -> int:
    """satp.PPN of a table at a physical address. Raises ConfigurationError."""
    address = whole_number("page_table", page_table)
    if address % PAGE_SIZE or not 0 <= address // PAGE_SIZE <= SATP_PPN:
        raise ConfigurationError(f"page_table={address:#x}: the physical address of the root of page tables is a "
                                 "multiple of 4096, of 56 bits; satp= takes the register")
    return address // PAGE_SIZE


def privilege_named(mode: Mode) -> Privilege:
    number = WORDS.get(mode, -1) if isinstance(mode, str) else whole_number("privilege", mode)
    if number not in list(Privilege):
        known = ", ".join(f"{privilege.word!r} ({privilege:d})" for privilege in Privilege)
        raise ConfigurationError(f"privilege={mode!r}: there is {known}")
    return Privilege(number)


def start_recorder(what: str, native: NativeMachine, kind: str, addresses: range, scope: Scope, *, capacity: int = 0,
                   ring: bool = False) -> NativeRecorder:
    """A recorder, one of RECORD_KINDS, of what instructions at virtual addresses do; on from now. `what` is to have it.

    Raises ConfigurationError.
    """
    try:
        return NativeRecorder(native, RECORD_KINDS[kind], capacity, addresses.start, min(addresses.stop, END - 1),
                              scope, ring)
    except (ValueError, MemoryError) as error:
        raise ConfigurationError(f"{what}: {error}") from error


def covers(scope: Scope, hart: Hart) -> bool:
    """Whether a probe of that scope is about what a hart does now, as the core sees it."""
    satp = hart.csr["vsatp" if hart.privilege in GUESTS else "satp"]
    return bool(scope.privileges >> hart.privilege & 1) and satp & scope.space_mask == scope.space


def in_64_bits(name: str, value: int) -> int:
    """An address or a size in a space of 64 bits. Raises ConfigurationError."""
    refuse_function(name, value)
    number = whole_number(name, value)
    if not 0 <= number < END:
        raise ConfigurationError(f"{name}={number:#x}: must lie in a space of 64 bits")
    return number


def refuse_function(name: str, value: object) -> None:
    """Raise ConfigurationError where a function stands in the place of what it is to be called for."""
    if callable(value):
        what = "an address, a range or a symbol" if name == "where" else "a number"
        raise ConfigurationError(f"{name}={value!r}: {what}; the function comes second, and a decorator has "
                                 "parentheses")


def range_of(name: str, where: Where, address_of: Callable[[str], int], size: int) -> range:
    """The addresses that are meant: `size` from an address or a symbol on. Raises ConfigurationError."""
    if isinstance(where, range):
        if where.step != 1 or not 0 <= where.start < where.stop <= END:
            raise ConfigurationError(f"{name}={where!r}: a range goes up by one, has an address in it, and lies in a "
                                     "space of 64 bits")
        return where
    start = address_of(where) if isinstance(where, str) else in_64_bits(name, where)
    return range(start, min(start + size, END))
