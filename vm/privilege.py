"""Privilege modes of a hart, by number, word and letter (privileged specification, section 1.2, and chapter "H")."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

# What names one
Mode = int | Literal["user", "supervisor", "machine", "virtual user", "virtual supervisor"]


class Privilege(IntEnum):
    """Its value is the number of the mode; those of a guest (V = 1) are 4 more."""

    USER = 0
    SUPERVISOR = 1
    MACHINE = 3
    VIRTUAL_USER = 4
    VIRTUAL_SUPERVISOR = 5

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", " ")

    @property
    def letter(self) -> str:
        """As manuals have it: two letters for a guest's."""
        return "".join(word[0] for word in self.name.split("_"))


GUESTS = Privilege.VIRTUAL_USER, Privilege.VIRTUAL_SUPERVISOR
WORDS = {privilege.word: privilege for privilege in Privilege}
