"""Boards: a memory map, the devices on it, and the device tree that tells the guest."""

from vm.boards.bare import Bare
from vm.boards.placed import Placed
from vm.boards.virt import Virt

__all__ = ["Bare", "Board", "Placed", "Virt"]

Board = Virt | Bare
