"""What a guest's network card is plugged into.

`packet.py` is what crosses, `link.py` how both sides see each other; every other file is one kind of link.
"""

from vm.net.link import Link
from vm.net.packet import Offload, Packet
from vm.net.stream import Stream
from vm.net.switch import Switch
from vm.net.user import User

__all__ = ["Link", "Offload", "Packet", "Stream", "Switch", "User"]
