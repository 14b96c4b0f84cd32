"""A host with a guest, for tests: the host is a program of its own, the guest begins at a label of it."""

from tests.guest import ISA, Trap
from tests.native.riscv.paging import ALL, MODES, PAGE, PageTables, U
from vm.privilege import Privilege
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import encode
from vm_native.riscv.registers import CSR_NUMBERS

WITH_GUESTS = ISA.replace("rv64gc", "rv64gch") + "_svinval"
HU, VS = Privilege.VIRTUAL_USER, Privilege.VIRTUAL_SUPERVISOR
VIRTUAL, ILLEGAL = 22, 2
SPV, SPVP, GVA = (mask("hstatus", name) for name in ("SPV", "SPVP", "GVA"))
A0, A1, A2 = 10, 11, 12
DELEGATED = (
    "FETCH_ACCESS ILLEGAL_INSTRUCTION BREAKPOINT LOAD_ACCESS STORE_ACCESS ECALL_FROM_U ECALL_FROM_VS FETCH_PAGE"
    " LOAD_PAGE STORE_PAGE FETCH_GUEST_PAGE LOAD_GUEST_PAGE VIRTUAL_INSTRUCTION STORE_GUEST_PAGE"
)


def csr(name: str) -> str:
    """The assembler may not know it."""
    return hex(CSR_NUMBERS[name])


def word(name: str, **operands: int) -> str:
    return f".word {encode(name, **operands):#x}"


class GuestTables(PageTables):
    """Tables of the second stage, whose root is of 16 KiB; `hgatp` in the place of satp."""

    def __init__(self, guest, mode: str, root: int):
        self.guest = guest
        self.number, self.levels = MODES[mode]
        self.root, self.next_free = root, root + 4 * PAGE

    def another(self, root: int) -> "GuestTables":
        """Empty ones of the same guest, or of one more."""
        return GuestTables(self.guest, "sv39", root)

    def hgatp(self, machine: int = 0) -> int:
        return self.satp | machine << 44

    def map(self, virtual: int, physical: int, flags: int = ALL | U, level: int = 0) -> int:
        return super().map(virtual, physical, flags, level)


def host_of(make, source: str, isa: str = WITH_GUESTS, **options):
    """A `Guest` with H whose exceptions and interrupts go to trap_s, in HS-mode, but for its calls."""
    host = make(source, isa=isa, **options)
    host.open_pmp()
    host["medeleg"] = mask("medeleg", DELEGATED)
    host["mideleg"] = mask("mideleg", "SSI STI SEI")
    host["mcounteren"] = host["scounteren"] = 7
    host["menvcfg"] = mask("menvcfg", "STCE")
    return host


def trap_of_host(host, steps: int = 40) -> Trap:
    """What HS-mode finds where its handler comes to no rest: it may not wait, or what woke it is still there."""
    host.run(steps)
    assert host.hart.privilege == Privilege.SUPERVISOR
    return Trap(host["scause"], host["sepc"], host["stval"])


def enter(host, label: str, privilege: Privilege = VS) -> None:
    host.hart.pc = host.address(label)
    host.hart.privilege = privilege
