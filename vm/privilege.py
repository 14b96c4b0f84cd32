"""Privilege modes of a hart, by number, word and letter (privileged specification, section 1.2)."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

Mode = int | Literal["user", "supervisor", "machine"]       # what names one


class Privilege(IntEnum):
    """Its value is the number of the mode."""

    USER = 0
    SUPERVISOR = 1
    MACHINE = 3

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def letter(self) -> str:
        return self.name[0]


WORDS = {privilege.word: privilege for privilege in Privilege}
