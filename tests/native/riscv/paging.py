"""Page tables for tests, written into guest memory (privileged specification, sections 12.3 to 12.6)."""

from tests.assembler import BASE

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
ALL = D | A | X | W | R | V
PAGE = 4096
TABLES = BASE + 0x10_0000               # where tables are put, one page after the other
MODES = {"sv39": (8, 3), "sv48": (9, 4), "sv57": (10, 5)}


def pte(physical: int, flags: int) -> int:
    return physical >> 12 << 10 | flags


class PageTables:
    """A tree of tables. `map` makes the tables on the way; `place` says where the entry that was written is."""

    def __init__(self, guest, mode: str = "sv39"):
        self.guest = guest
        self.number, self.levels = MODES[mode]
        self.next_free = TABLES + PAGE
        self.root = TABLES
        guest.memory.write(TABLES, bytes(0x8_0000))

    @property
    def satp(self) -> int:
        return self.number << 60 | self.root >> 12

    def place(self, virtual: int, level: int = 0) -> int:
        """Address of the entry of that level; makes the tables above it."""
        table = self.root
        for step in range(self.levels - 1, level, -1):
            entry = table + 8 * (virtual >> 12 + 9 * step & 511)
            if not self.guest.word(entry):
                self.guest.store(entry, pte(self.next_free, V))
                self.next_free += PAGE
            table = (self.guest.word(entry) >> 10) << 12
        return table + 8 * (virtual >> 12 + 9 * level & 511)

    def map(self, virtual: int, physical: int, flags: int = ALL, level: int = 0) -> int:
        """Write a leaf; returns its address."""
        place = self.place(virtual, level)
        self.guest.store(place, pte(physical, flags))
        return place
