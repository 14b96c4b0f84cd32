"""Boards: a memory map, the devices on it, and the device tree that tells the guest."""

from vm.boards.virt import Placed, Virt

__all__ = ["Placed", "Virt"]
