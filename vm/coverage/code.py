"""The code that coverage is about: bytes of memory by virtual address, and which instructions they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vm.errors import GuestError
from vm.sizes import PAGE_SIZE
from vm_native.riscv.instructions import Row
from vm_native.riscv.instructions.recognise import Recogniser

if TYPE_CHECKING:
    from vm.hart import Hart
    from vm.memory import Memory

UNKNOWN = "unknown"                         # what cannot be read, or is no instruction


class Pages:
    """Memory as the harts of a machine see it now, or as it was when it was kept."""

    def __init__(self, harts: Sequence[Hart] = (), memory: Memory | None = None,
                 kept: Mapping[int, bytes] | None = None):
        """`kept`: pages by their virtual addresses, which come before what there is now."""
        self._harts = harts
        self._memory = memory
        self._pages: dict[int, bytes | None] = dict(kept or {})

    def keep(self, pieces: Iterable[range]) -> dict[int, bytes]:
        """All pages of these addresses that can be read."""
        wanted = {page for piece in pieces
                  for page in range(piece.start & -PAGE_SIZE, piece.stop, PAGE_SIZE)}
        return {page: content for page in sorted(wanted) if (content := self._page(page)) is not None}

    def half_word(self, address: int) -> int | None:
        """Two bytes, which never cross a page; None where nothing can be read."""
        page = self._page(address & -PAGE_SIZE)
        if page is None:
            return None
        at = address % PAGE_SIZE
        return page[at] | page[at + 1] << 8

    def _page(self, address: int) -> bytes | None:
        """By the translation of any hart; else as a physical address."""
        if address not in self._pages:
            spaces = [hart.virtual for hart in self._harts] + ([] if self._memory is None else [self._memory])
            self._pages[address] = None
            for space in spaces:
                try:
                    self._pages[address] = space.read(address, PAGE_SIZE)
                    break
                except GuestError:
                    pass
        return self._pages[address]


class Code:
    """Instructions in pages of memory."""

    def __init__(self, pages: Pages, extensions: Collection[str]):
        self._pages = pages
        self._extensions = extensions
        self._recogniser = Recogniser(extensions)
        self._rows: dict[int, Row | None] = {}

    def instructions(self, block: range) -> Iterator[tuple[int, int | None]]:
        """Address and word of those in a block of code; one without a word stands for all that cannot be read."""
        address = block.start
        while address < block.stop:
            word = self._word(address)
            yield address, word
            if word is None:
                return
            address += length(word)

    def opcode(self, word: int | None) -> str:
        row = self._row(word)
        return UNKNOWN if row is None else row.name

    def extension(self, word: int | None) -> str:
        """The one that the manual has the instruction in; of several names of one, that which the harts have."""
        row = self._row(word)
        if row is None:
            return UNKNOWN
        return next(name for name in row.extensions[0].split("|") if name in self._extensions)

    def _word(self, address: int) -> int | None:
        low = self._pages.half_word(address)
        if low is None or low & 3 != 3:
            return low
        high = self._pages.half_word(address + 2)
        return None if high is None else low | high << 16

    def _row(self, word: int | None) -> Row | None:
        if word is None:
            return None
        if word not in self._rows:
            self._rows[word] = self._recogniser.row(word)
        return self._rows[word]


def length(word: int) -> int:
    """In bytes."""
    return 4 if word & 3 == 3 else 2
