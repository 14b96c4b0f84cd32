"""Who owns a file: the host's numbers of users and groups, and what the guest sees for them.

What is this process's own belongs, for the guest, to `owner`. All other numbers are the same on both sides, but for one
on the host that happens to be `owner`'s: that user is not the guest's, and is seen as nobody.
"""

from __future__ import annotations

import os

from vm.errors import ConfigurationError

NOBODY = 65_534
UNCHANGED = -1
LARGEST = (1 << 32) - 2                 # the number above stands for none


class Owners:
    """`owner`: the user and the group that the guest sees. Raises ConfigurationError for what no user can be."""

    def __init__(self, owner: tuple[int, int]):
        if not (isinstance(owner, tuple) and len(owner) == 2
                and all(isinstance(number, int) and 0 <= number <= LARGEST for number in owner)):
            raise ConfigurationError(f"owner={owner!r}: the numbers of a user and a group, as in (1000, 1000)")
        self.owner = owner
        self._ours = os.geteuid(), os.getegid()
        self.privileged = self._ours[0] == 0

    def seen(self, uid: int, gid: int) -> tuple[int, int]:
        """As the guest has it."""
        first, second = (
            owner if number == ours else NOBODY if number == owner else number
            for number, ours, owner in zip((uid, gid), self._ours, self.owner, strict=True))
        return first, second

    def meant(self, uid: int, gid: int, now: tuple[int, int]) -> tuple[int, int]:
        """What the host is to be told where the guest gives such owners to a file: UNCHANGED for what is so already.

        - now: the host's, of the file.
        """
        told = []
        for number, is_now, ours, owner in zip((uid, gid), now, self._ours, self.owner, strict=True):
            wanted = ours if number == owner else number
            told.append(UNCHANGED if wanted == is_now or wanted > LARGEST else wanted)
        return told[0], told[1]
