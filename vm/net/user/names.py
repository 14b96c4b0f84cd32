"""Whom the host asks for names: the servers that the guest's questions are passed on to."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from vm.errors import ConfigurationError
from vm.net.user.addresses import Address

RESOLVERS = Path("/etc/resolv.conf")


class NameServers:
    """Those that are given, or those of the host, read anew when its file changes."""

    def __init__(self, servers: Iterable[str] = ()):
        self._given = [address_of(text) for text in servers]
        self._read: list[Address] = []
        self._as_of = -1

    def address(self) -> Address | None:
        """The first; None where there is none."""
        known = self._given or self._of_host()
        return known[0] if known else None

    def _of_host(self) -> list[Address]:
        try:
            changed = RESOLVERS.stat().st_mtime_ns
            if changed != self._as_of:
                self._as_of, self._read = changed, servers_in(RESOLVERS.read_text(errors="replace"))
        except OSError:
            self._read = []
        return self._read


def address_of(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise ConfigurationError(f"dns={text}: {error}") from error


def servers_in(text: str) -> list[Address]:
    """In the form of resolv.conf(5); what is no address, or one of a link only, is left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ip_address(words[1])
            except ValueError:
                continue
            if not address.is_link_local:
                found.append(address)
    return found
