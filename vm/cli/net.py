"""`--net`: what a network card is plugged into, in the manner of QEMU's `-nic`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.devices import Network
    from vm.net import Link

NONE, ORDINARY = "none", "user"
EXAMPLES = {"mac": "52:54:00:12:34:56", "mtu": "1500", "pcap": "frames.pcap"}
OF_CARD = set(EXAMPLES)
LISTS = {"hostfwd", "allow", "dns"}         # what may be said several times
FLAGS = {"restrict"}
USER = {"hostfwd", "allow", "restrict", "dns", "net", "net6", "hostname"}
KINDS = {"user": USER, "stream": {"connect", "listen"}, "socket": {"connect", "listen"}}
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
HELP = ("A network card, and where it leads; repeatable: user (the world, as this process reaches it), stream "
        "(connect= or listen=HOST:PORT|PATH: a machine here or of QEMU, passt, gvproxy) or none. User's options: "
        "hostfwd=tcp:127.0.0.1:2222-:22, allow=NETWORK|host|private|all, restrict, dns=, net=, net6=, hostname=; all "
        "have mac=, mtu= and pcap=FILE.")


def settings_of(text: str) -> tuple[str, dict[str, Any]]:
    """The kind that a description begins with, and what it says; ConfigurationError where that makes no sense."""
    kind, *said = text.split(",")
    if kind == NONE:
        raise ConfigurationError(f"--net {text}: none is no card, and has no settings")
    if kind not in KINDS:
        raise ConfigurationError(f"--net {text}: there is no {kind!r}; choose from {', '.join(KINDS)}, {NONE}")
    settings: dict[str, Any] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if name not in KINDS[kind] | OF_CARD or bool(equals) == (name in FLAGS):
            known = ", ".join(known if known in FLAGS else f"{known}=" for known in sorted(KINDS[kind] | OF_CARD))
            raise ConfigurationError(f"--net {text}: {one!r} is none of {known}")
        if name in settings and name not in LISTS:
            raise ConfigurationError(f"--net {text}: {name} is said twice")
        if name in LISTS:
            settings.setdefault(name, []).append(value)
        elif name in FLAGS:
            settings[name] = True
        else:
            settings[name] = card_setting(text, name, value) if name in OF_CARD else value
    return kind, settings


def card_setting(text: str, name: str, value: str) -> int | str:
    if name == "pcap" and value:
        return value
    if name == "mac" and MAC.fullmatch(value):
        return int(value.replace(":", ""), 16)
    if name == "mtu" and value.isdecimal():
        return int(value)
    raise ConfigurationError(f"--net {text}: {name}={value}: write it as {name}={EXAMPLES[name]}")


def open_network(text: str, number: int = 0) -> Network:
    """The card that the option describes, plugged in when it is attached. Addresses count up with the cards' numbers,
    where none are said.
    """
    from vm.devices import Network

    kind, settings = settings_of(text)
    card = {name: settings.pop(name) for name in OF_CARD & settings.keys()}
    link = open_link(kind, settings, card.get("mtu"))
    return Network(link, **{"mac": link.mac + number} | card)


def open_link(kind: str, settings: dict[str, Any], mtu: int | None) -> Link:
    from vm.net import Stream, User

    if kind != "user":
        return Stream(**settings)
    if "hostname" in settings:
        settings["host_name"] = settings.pop("hostname")
    if mtu is not None:
        settings["mtu"] = mtu
    return User(**settings)
