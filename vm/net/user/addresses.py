"""The addresses of the user-mode network, QEMU's: 10.0.2.0/24 and fec0::/64.

    .2   the gateway, which is the host      .3   the name server      .15   the guest, as DHCP tells it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from vm.errors import ConfigurationError

GATEWAY, NAME_SERVER, GUEST = 2, 3, 15          # numbers in the network
LINK_LOCAL = IPv6Network("fe80::/64")
SMALLEST_NETWORK = 28                           # bits of the prefix: the guest's number must be in it

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Addresses:
    """What stands where. Raises ConfigurationError for networks that are too small, or no IPv6 /64."""

    network: IPv4Network = IPv4Network("10.0.2.0/24")
    network6: IPv6Network = IPv6Network("fec0::/64")
    mac: int = 0x5255_0A00_0202                 # of the gateway, and of the name server
    gateways: frozenset[bytes] = field(init=False)
    name_servers: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        if self.network.prefixlen > SMALLEST_NETWORK:
            raise ConfigurationError(f"net={self.network}: has no room for a gateway, a name server and a guest; "
                                     f"choose a prefix of at most {SMALLEST_NETWORK} bits")
        if self.network6.prefixlen != 64:
            raise ConfigurationError(f"net6={self.network6}: guests choose their own 64 bits; choose a prefix of 64")
        gateways = self.gateway, self.gateway6, LINK_LOCAL[GATEWAY]
        object.__setattr__(self, "gateways", frozenset(address.packed for address in gateways))
        servers = self.name_server, self.name_server6, LINK_LOCAL[NAME_SERVER]
        object.__setattr__(self, "name_servers", frozenset(address.packed for address in servers))

    @property
    def gateway(self) -> IPv4Address:
        return self.network[GATEWAY]

    @property
    def gateway6(self) -> IPv6Address:
        return self.network6[GATEWAY]

    @property
    def name_server(self) -> IPv4Address:
        return self.network[NAME_SERVER]

    @property
    def name_server6(self) -> IPv6Address:
        return self.network6[NAME_SERVER]

    @property
    def guest(self) -> IPv4Address:
        return self.network[GUEST]

    @property
    def own(self) -> frozenset[bytes]:
        """All that answer here."""
        return self.gateways | self.name_servers

    def are_inside(self, address: bytes) -> bool:
        """Whether an address is one of this network, and leads nowhere else."""
        there = ip_address(address)
        return there in (self.network6 if there.version == 6 else self.network) or there in LINK_LOCAL
