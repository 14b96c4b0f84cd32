"""Ports of the host that lead to ports of the guest: QEMU's `hostfwd=tcp:127.0.0.1:2222-:22`."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

from vm.errors import ConfigurationError

PATTERN = re.compile(r"(?P<protocol>tcp|udp):(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>\d+)-"
                     r"(?P<guest>\[[^\]]*\]|[^:\[\]]*):(?P<guest_port>\d+)")
LOOPBACK = "127.0.0.1"


class Forward(NamedTuple):
    """Of which protocol, from where on the host (port 0: a free one), to where in the guest ("": as DHCP has it)."""

    protocol: str
    host: str
    port: int
    guest: str
    guest_port: int


def forward_of(text: str) -> Forward:
    """Raises ConfigurationError. Unlike in QEMU, no host address is the loopback one: others are to be said."""
    found = PATTERN.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"hostfwd={text}: write it as tcp:127.0.0.1:2222-:22, that is tcp or udp, the host's "
                                 "address and port, and the guest's")
    host, guest = (found[name].strip("[]") for name in ("host", "guest"))
    for address in filter(None, (host, guest)):
        try:
            ip_address(address)
        except ValueError as error:
            raise ConfigurationError(f"hostfwd={text}: {error}") from error
    ports = int(found["port"]), int(found["guest_port"])
    if ports[0] > 65535 or not 0 < ports[1] <= 65535:
        raise ConfigurationError(f"hostfwd={text}: ports are from 1 to 65535, and 0 on the host for a free one")
    return Forward(found["protocol"], host or LOOPBACK, ports[0], guest, ports[1])
