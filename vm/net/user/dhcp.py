"""DHCP for one guest (RFC 2131, 2132): it is told the address that the network has for it, whatever it asks for."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vm.net.user.addresses import Addresses

SERVER_PORT, CLIENT_PORT = 67, 68
REQUEST, REPLY = 1, 2                       # of BOOTP, which this is on top of
ETHERNET = 1
COOKIE = bytes((99, 130, 83, 99))

# operation, hardware, its size, hops, transaction, seconds, flags, the client's address, the one for it, the next
# server, the relay, the client's hardware address; then names of a server and a file, which are empty here
FIXED = struct.Struct(">BBBBIHH4s4s4s4s16s")
NAMES = 64 + 128

PAD, END = 0, 255                           # options without a size
MASK, ROUTER, NAME_SERVERS, HOST_NAME, DOMAIN_NAME, MTU = 1, 3, 6, 12, 15, 26
REQUESTED, LEASE, KIND, SERVER = 50, 51, 53, 54
DISCOVER, OFFER, REQUESTED_KIND, ACKNOWLEDGED, REFUSED, INFORM = 1, 2, 3, 5, 6, 8       # of KIND
LEASE_SECONDS = 86400


def options_of(data: bytes) -> dict[int, bytes]:
    """By number; what is cut off is left out."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != END:
        if data[at] == PAD:
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        found[data[at]] = data[at + 2:at + 2 + size]
        at += 2 + size
    return found


def answer(message: bytes, addresses: Addresses, mtu: int, host_name: str = "") -> bytes | None:
    """The reply to what a guest sent to the server's port; None where there is none."""
    start = FIXED.size + NAMES
    if len(message) < start + len(COOKIE) or message[start:start + len(COOKIE)] != COOKIE:
        return None
    operation, hardware, size, _, transaction, _, flags, client, *_, chaddr = FIXED.unpack_from(message)
    options = options_of(message[start + len(COOKIE):])
    kind = options.get(KIND, b"\0")[:1]
    if operation != REQUEST or hardware != ETHERNET or size != 6 or not kind:
        return None
    guest, server = addresses.guest.packed, addresses.gateway.packed
    match kind[0]:
        case _ if options.get(SERVER, server) != server:
            return None                     # it has chosen another server
        case value if value == DISCOVER:
            reply = OFFER
        case value if value == REQUESTED_KIND:
            reply = ACKNOWLEDGED if options.get(REQUESTED, client) == guest else REFUSED
        case value if value == INFORM:
            reply, guest = ACKNOWLEDGED, bytes(4)
        case _:
            return None
    yours = bytes(4) if reply == REFUSED else guest
    fixed = FIXED.pack(REPLY, ETHERNET, 6, 0, transaction, 0, flags, client, yours, server, bytes(4), chaddr)
    told = [(KIND, bytes((reply,))), (SERVER, server)]
    if reply != REFUSED:
        told += details(addresses, mtu, host_name, leased=yours != bytes(4))
    return fixed + bytes(NAMES) + COOKIE + b"".join(
        bytes((number, len(value))) + value for number, value in told) + bytes((END,))


def details(addresses: Addresses, mtu: int, host_name: str, leased: bool) -> Iterator[tuple[int, bytes]]:
    if leased:
        yield LEASE, LEASE_SECONDS.to_bytes(4, "big")
    yield MASK, addresses.network.netmask.packed
    yield ROUTER, addresses.gateway.packed
    yield NAME_SERVERS, addresses.name_server.packed
    yield MTU, mtu.to_bytes(2, "big")
    if host_name:
        yield HOST_NAME, host_name.encode()


