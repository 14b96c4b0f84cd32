"""Where a guest may go: which addresses of the host's world its connections reach.

Unless told otherwise that is everywhere but the host itself and what is local to one of its links: programs there often
trust whoever can reach them. What the guest may reach is a list of networks, with words for some.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from vm.errors import ConfigurationError
from vm.net.user.addresses import Address, Prefix

EVERYWHERE: tuple[Prefix, ...] = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
LOOPBACK: tuple[Prefix, ...] = IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")
LINK_LOCAL: tuple[Prefix, ...] = IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10")
PRIVATE: tuple[Prefix, ...] = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"),
                               IPv4Network("100.64.0.0/10"), IPv6Network("fc00::/7"))
WORDS = {"all": EVERYWHERE, "host": LOOPBACK, "private": PRIVATE}
# Addresses of nobody, of everybody, and of the host itself under another name: never reached by a network's number.
NEVER: tuple[Prefix, ...] = (IPv4Network("0.0.0.0/8"), IPv4Network("224.0.0.0/4"), IPv4Network("240.0.0.0/4"),
                             IPv6Network("::/128"), IPv6Network("ff00::/8"))

NOBODYS = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}       # of documentation

ALL_BUT_LOCAL = "default"


class Policy:
    """Which addresses may be reached.

    - allow: networks ("192.168.1.0/24", "2001:db8::1"), or the words "all", "host" (its loopback addresses, and the
      gateway's as QEMU has it), "private" and "default": all but loopback, link-local and the host's own addresses.

    Raises ConfigurationError for anything else.
    """

    def __init__(self, allow: Iterable[str] = (ALL_BUT_LOCAL,)):
        self.allow = tuple(allow)
        self._default = ALL_BUT_LOCAL in self.allow
        self._networks: list[Prefix] = []
        for word in self.allow:
            if word != ALL_BUT_LOCAL:
                self._networks += WORDS[word] if word in WORDS else [network_of(word)]

    @property
    def allows_host(self) -> bool:
        """Whether the host's own services are reached, and by the gateway's address."""
        return self.allows(ip_address("127.0.0.1"))

    def allows(self, address: Address) -> bool:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if is_in(address, NEVER):
            return False
        if is_in(address, self._networks):
            return True
        return self._default and not is_in(address, LOOPBACK + LINK_LOCAL) and not is_own(address)


def network_of(text: str) -> Prefix:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"allow={text}: {error}; choose a network, as 192.168.1.0/24, or one of default, "
                                 f"{', '.join(WORDS)}") from error


def is_in(address: Address, networks: Iterable[Prefix]) -> bool:
    return any(address in network for network in networks)


def is_own(address: Address) -> bool:
    """Whether the address is one of the host's: what goes there comes from there, or one can be at home there.

    Where that cannot be found out it is.
    """
    try:
        return is_way_to_itself(address) or can_be_bound(address) and not can_be_bound(NOBODYS[address.version])
    except OSError:
        return True                                     # this process has no room for another socket


def is_way_to_itself(address: Address) -> bool:
    with probe(address) as sock:
        try:
            sock.connect((str(address), 9))             # sends nothing
        except OSError:
            return False                                # there is no way there
        return bool(ip_address(sock.getsockname()[0]) == address)


def can_be_bound(address: Address) -> bool:
    """Of addresses that are not the host's it says yes to all or none (ip_nonlocal_bind)."""
    with probe(address) as sock:
        try:
            sock.bind((str(address), 0))
        except OSError:
            return False
        return True


def probe(address: Address) -> socket.socket:
    return socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
