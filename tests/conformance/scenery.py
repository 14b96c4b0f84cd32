"""What a random program finds around it: privilege mode, page tables, PMP, delegation, status bits.

All of it follows from a mode and a seed. Page tables map the whole image at one virtual address, page by page; the
pages of DATA get random permissions, and two superpages beside it show the image once more.
"""

from __future__ import annotations

import struct
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from tests.conformance.frame import CODE, CODE_SIZE, CONSTANTS, DATA, DATA_SIZE, SIZE, TABLES, Parameters
from tests.conformance.image import BASE
from vm_native.riscv.csrs import BY_NAME, mask

MSIP = 0x200_0000
OWN_ENTRIES = range(2, 7)           # of the PMP
LOCKED, NA4, NAPOT, TOR = 0x80, 0x10, 0x18, 0x08
R_W, R_W_X = 3, 7
ALL = (1 << 54) - 1                 # pmpaddr of a NAPOT entry over everything
V, R, W, X, U, G, A, D = (1 << n for n in range(8))
PAGE = 0x1000
NAPOT_64K = 1 << 63
(FS,) = [field for field in BY_NAME["mstatus"].fields or () if field.name == "FS"]
FLOAT_STATES = [FS.legal[name] << FS.low for name in ("INITIAL", "CLEAN", "DIRTY", "DIRTY")]
STATUS = [mask("mstatus", name) for name in ("SUM", "MXR", "TVM", "TW", "TSR")]
CBIE = (1 << 5, 1 << 4)             # of menvcfg, bit by bit
ENVCFG = [*(mask("menvcfg", name) for name in ("STCE", "ADUE", "PBMTE", "CBZE", "CBCFE")), *CBIE]
ALL_COUNTERS, TIME = mask("mcounteren", "CY TM IR"), mask("mcounteren", "TM")
STATEEN = [0, -1, -1, mask("mstateen0", "SE0"), mask("mstateen0", "ENVCFG")]
SEED_ACCESS = [mask("mseccfg", names) for names in ("", "USEED", "SSEED", "USEED SSEED")]
DELEGATED_INTERRUPTS = [mask("mideleg", names) for names in ("", "SSI", "SSI STI SEI", "SEI")]
# Exceptions that may be delegated. Misaligned atomics come as either of a pair, so a pair goes one way.
PAIRS = [mask("medeleg", names) for names in ("LOAD_MISALIGNED LOAD_ACCESS", "STORE_MISALIGNED STORE_ACCESS")]
SINGLE = [mask("medeleg", name) for name in (
    "FETCH_MISALIGNED", "FETCH_ACCESS", "ILLEGAL_INSTRUCTION", "BREAKPOINT", "ECALL_FROM_U", "FETCH_PAGE", "LOAD_PAGE",
    "STORE_PAGE",
)]  # fmt: skip
WINDOWS = {8: 39, 9: 48, 10: 57}    # satp.MODE -> bits of an address


class Scenery(NamedTuple):
    """`mode` the code runs in, `paging` the mode field of satp (0: none)."""

    seed: int
    mode: int
    paging: int

    def arrange(self, parameters: Parameters, extensions: frozenset[str]) -> bytes:
        """Fill in `parameters`; returns the page tables."""
        random = Random(self.seed + 1)
        parameters.mode = self.mode
        parameters.mstatus = random.choice(FLOAT_STATES) if parameters.floating else 0
        parameters.fcsr = random.choice((0, 0, 1, 2, 3, 4)) << 5 | random.choice((0, 31))
        parameters.counteren = random.choice((0, ALL_COUNTERS, ALL_COUNTERS, TIME))
        if "Smstateen" in extensions:
            parameters.stateen = random.choice(STATEEN)
        if "Zkr" in extensions:
            parameters.mseccfg = random.choice(SEED_ACCESS)
        self.protect(parameters, random)
        if self.mode < 3:
            # The S-mode handler skips instructions, so what it gets it must be able to read.
            parameters.medeleg = sum(cause for cause in SINGLE if random.random() < 0.4)
            parameters.medeleg |= sum(pair for pair in PAIRS if random.random() < 0.4)
            parameters.mideleg = random.choice(DELEGATED_INTERRUPTS)
            parameters.mstatus |= sum(bit for bit in STATUS if random.random() < 0.3)
            parameters.menvcfg = sum(bit for bit in ENVCFG if random.random() < 0.5)
        if not self.paging:
            return b""
        return self.map(parameters, random, extensions)

    def protect(self, parameters: Parameters, random: Random) -> None:
        """PMP: what lies below RAM is out of reach, in M-mode too, as machines differ there, but for the line of the
        software interrupt. The last entry is the rest, those between are the program's."""
        parameters.pmpaddr[0], parameters.pmpcfg[0] = MSIP >> 2, NA4 | R_W
        parameters.pmpaddr[1], parameters.pmpcfg[1] = (1 << 31) - 1 >> 3, LOCKED | NAPOT
        parameters.pmpaddr[7], parameters.pmpcfg[7] = ALL, NAPOT | R_W_X
        for entry in OWN_ENTRIES:
            if random.random() < 0.5:
                continue
            start = BASE + DATA + random.randrange(0, DATA_SIZE, 4)
            permissions = random.choice((0, 1, 3, 4, 5, 7, 1, 3)) | random.choice((0, 0, 0, LOCKED))
            kind = random.choice((NA4, NAPOT, NAPOT, TOR))
            if kind == NAPOT:
                size = 8 << random.randrange(10)
                parameters.pmpaddr[entry] = (start & ~(size - 1)) >> 2 | (size >> 3) - 1
            else:
                parameters.pmpaddr[entry] = start >> 2
            if kind == TOR and not BASE + DATA <= parameters.pmpaddr[entry - 1] << 2 < BASE + DATA + DATA_SIZE:
                kind = NA4                      # the range would begin below the data
            parameters.pmpcfg[entry] = kind | permissions

    def map(self, parameters: Parameters, random: Random, extensions: frozenset[str]) -> bytes:
        """A table for each level, from the leaves up; the image in 4 KiB pages, two superpages beside it.

        `virtual` is a multiple of a superpage: page n of the image has entry n of the first table.
        """
        bits = WINDOWS[self.paging]
        levels = (bits - 12) // 9
        # M-mode code sees physical addresses, and shall find itself again after a return to S or U.
        high = 2 if self.mode == 3 else random.choice((0, 1, (1 << bits - 31) - 2, 1 << bits - 32))
        address = (high << 30 | (0 if self.mode == 3 else random.getrandbits(8)) << 21) & ~((1 << 21) - 1)
        address &= (1 << bits) - 1
        parameters.virtual = address - (address >> bits - 1 << bits)
        parameters.satp = self.paging << 60 | random.choice((0, 0, 7)) << 44 | BASE + TABLES + (levels - 1) * PAGE >> 12
        tables = [[0] * 512 for _ in range(levels)]
        for level in range(1, levels):
            place = BASE + TABLES + (level - 1) * PAGE
            tables[level][address >> 12 + 9 * level & 511] = place >> 2 | V
        user = U if self.mode == 0 or self.mode == 3 and random.random() < 0.5 else 0
        for page in range(SIZE // PAGE):
            offset = page * PAGE
            if DATA <= offset < DATA + DATA_SIZE:
                flags = random_flags(random, user)
                if "Svnapot" in extensions and random.random() < 0.1:
                    offset, flags = DATA | 0x8000, flags | NAPOT_64K
            elif CODE <= offset < CODE + CODE_SIZE:
                flags = V | R | X | A | user | random.choice((0, W | D))
            elif offset == CONSTANTS:
                flags = V | R | A | user
            elif offset == 0:
                flags = V | R | X | A
            else:
                flags = V | R | W | A | D
            tables[0][page] = BASE + offset >> 2 | flags
        here = address >> 21 & 511
        tables[1][here + 1 & 511] = BASE >> 2 | random_flags(random, user) & ~X
        tables[1][here - 1 & 511] = BASE + random.choice((0, PAGE)) >> 2 | random_flags(random, user)
        return b"".join(struct.pack("<512Q", *table) for table in tables)


def random_flags(random: Random, user: int) -> int:
    """Flags of a leaf: mostly usable, now and then reserved or without A and D."""
    flags = V | user | random.choice((R | W, R | W, R | W, R | W | X, R, R | X, X, W, 0))
    if random.random() < 0.2:
        flags ^= U
    if random.random() < 0.1:
        flags ^= V
    flags |= random.choice((A | D, A | D, A | D, A, D, 0))
    if random.random() < 0.05:
        flags |= 1 << random.choice((*range(54, 64), 61, 62))
    return flags | random.choice((0, G))


def sceneries(extensions: frozenset[str]) -> st.SearchStrategy[Scenery]:
    """M-mode without paging is what shrinking prefers."""
    modes = [mode for mode, name in ((0, None), (8, "Sv39"), (9, "Sv48"), (10, "Sv57")) if name in (None, *extensions)]
    seeds = st.integers(0, (1 << 32) - 1)
    return st.builds(Scenery, seeds, st.sampled_from((3, 1, 0)), st.sampled_from(modes))
