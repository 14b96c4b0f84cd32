"""What a guest's network card is plugged into.

`packet.py` is what crosses, `link.py` how both sides see each other; every other file is one kind of link.
"""

from typing import TYPE_CHECKING

from vm.lazy import from_modules
from vm.net.link import Link
from vm.net.packet import Offload, Packet

if TYPE_CHECKING:
    from vm.net.stream import Stream
    from vm.net.switch import Switch
    from vm.net.user import User

__all__ = ["Link", "Offload", "Packet", "Stream", "Switch", "User"]

__getattr__ = from_modules(__name__, {"Stream": "vm.net.stream", "Switch": "vm.net.switch", "User": "vm.net.user"})


def __dir__() -> list[str]:
    return __all__
