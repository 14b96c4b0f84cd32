"""`--share`: a folder of the host for the guest."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.devices import SharedFolder

OWNER = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")
KNOWN = "read-only, tag=NAME, owner=UID:GID"
HELP = ("A folder that the guest can mount, by 9P; repeatable. tag=NAME by which it is mounted, share if none is given "
        "(vm boot debian --shell: at /mnt/NAME); read-only; owner=UID:GID in the guest of what is yours here, 0:0 if "
        "none.")


def open_share(text: str) -> SharedFolder:
    """The folder that `DIR[,read-only][,tag=NAME][,owner=UID:GID]` names. Raises ConfigurationError."""
    from vm.devices import SharedFolder

    path = text
    settings: dict[str, Any] = {}
    while "," in path and (setting := setting_of(text, path.rpartition(",")[2])):
        if settings.keys() & setting.keys():
            raise ConfigurationError(f"--share {text}: {path.rpartition(',')[2].partition('=')[0]} is said twice")
        settings |= setting
        path = path.rpartition(",")[0]
    _, comma, said = path.rpartition(",")
    if comma and not os.path.exists(path):
        raise ConfigurationError(f"--share {text}: no such folder, and {said!r} is none of {KNOWN}")
    return SharedFolder(path, **settings)


def setting_of(text: str, said: str) -> dict[str, Any]:
    """What one part of a description sets; nothing if it is none."""
    name, _, value = said.partition("=")
    if said == "read-only":
        return {"read_only": True}
    if name == "tag":
        return {"tag": value}
    if name == "owner":
        numbers = OWNER.fullmatch(value)
        if numbers is None:
            raise ConfigurationError(f"--share {text}: {said}: write it as owner=1000:1000")
        return {"owner": (int(numbers[1]), int(numbers[2]))}
    return {}


def open_shares(descriptions: Sequence[str]) -> list[SharedFolder]:
    """The folders that `--share` names; ConfigurationError for two of one tag."""
    folders: list[SharedFolder] = []
    try:
        for text in descriptions:
            if not text:
                raise ConfigurationError("--share: name a folder")
            folders.append(open_share(text))
            if folders[-1].tag in [folder.tag for folder in folders[:-1]]:
                raise ConfigurationError(f"--share {text}: another has the tag {folders[-1].tag!r}; say tag=NAME for "
                                         "one of them")
    except BaseException:
        for folder in folders:
            folder.close()
        raise
    return folders
