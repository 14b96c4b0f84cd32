"""Guest memory from Python, by physical address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vm.arguments import integer
from vm.display import size_text
from vm.errors import Access, BusError, MachineUnusable

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray
    from typing_extensions import Buffer

    from vm.inputs import History
    from vm_native.execution.native_machine import NativeMachine
    from vm_native.memory.bus import Bus
    from vm_native.memory.ram import WritableRam

DEVICE_SIZES = (1, 2, 4, 8)


def unusable(machine: NativeMachine) -> MachineUnusable:
    """Why the machine cannot be used."""
    if machine.closed:
        return MachineUnusable("the machine is closed")
    return MachineUnusable("this process is a fork of the one that built the machine, and shares its RAM: build a "
                           "machine after the fork, or start processes by spawn (multiprocessing.set_start_method)")


class Memory:
    """Guest physical memory. Every address is physical; every method raises `BusError` where nothing answers.

    Of a machine that is closed every method raises `MachineUnusable`; in a process that has forked after the machine
    was built those do that write.
    """

    def __init__(self, bus: Bus, machine: NativeMachine):
        self._bus = bus
        self._machine = machine
        self.history: History | None = None     # while a run is recorded or replayed: is told before it is done
        self._windows: list[tuple[WritableRam, int, int]] = []      # through which somebody may write: address, size

    @property
    def open_for_writing(self) -> bool:
        """Whether somebody may still write through a view that `writable` gave."""
        self._look_at_windows()
        return bool(self._windows)

    @property
    def roms(self) -> list[tuple[int, int]]:
        """Address and size of each ROM."""
        return [(ram.base, ram.size) for ram in self._bus.ram_regions() if ram.rom]

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes from RAM; or 1, 2, 4 or 8 from a device, little-endian, with the side effects it has."""
        data = self._bus.read(address, size)
        if data is not None:
            return data
        self._check(address, size, "read")
        if size in DEVICE_SIZES:
            if self.history is not None:
                self.history.asked(address, size)
            value = self._bus.read_device(address, size)
            if value is not None:
                return value.to_bytes(size, "little")
        if pieces := self._pieces(address, size):
            return b"".join(self.read(*piece) for piece in pieces)
        raise BusError(address, "read", f"{size} bytes")

    def write(self, address: int, data: Buffer | NDArray[Any]) -> None:
        """Write any buffer into RAM, or 1, 2, 4 or 8 bytes to a device. Marks pages dirty, drops translated code."""
        if self.history is None and self._machine.write(address, data):
            return
        size = memoryview(data).nbytes
        self._check(address, size, "write")
        if self.history is not None:
            self.history.wrote(address, bytes(data))
            if self._machine.write(address, data):
                return
        if size in DEVICE_SIZES and self._bus.write_device(address, size, int.from_bytes(bytes(data), "little")):
            return
        if pieces := self._pieces(address, size):
            source = memoryview(data).cast("B")
            for start, part in pieces:
                self._machine.write(start, source[start - address : start - address + part])
            return
        raise BusError(address, "write", f"{size} bytes")

    def clear(self, address: int, size: int) -> None:
        """Set RAM to zero, as `write` does; whole pages cost the host no memory until they are touched again (of forks,
        and machines of which there are snapshots, in stretches of 256 KiB or more)."""
        self._check(address, size, "write")
        if self.history is not None:
            self.history.cleared(address, size)
        pieces = self._pieces(address, size)
        if size and not pieces:
            raise BusError(address, "write", f"{size} bytes of RAM")
        for start, part in pieces:
            self._machine.clear(start, part)

    def _pieces(self, address: int, size: int) -> list[tuple[int, int]]:
        """A range that lies on several regions of RAM, by region; nothing where not all of it is RAM."""
        pieces = []
        while size > 0:
            region = next((ram for ram in self._bus.ram_regions() if ram.base <= address < ram.base + ram.size), None)
            if region is None:
                return []
            part = min(size, region.base + region.size - address)
            pieces.append((address, part))
            address += part
            size -= part
        return pieces

    def view(self, address: int, size: int) -> memoryview:
        """A read-only, zero-copy view of one region of RAM: it shows what the guest writes later."""
        view = self._bus.view(address, size)
        if view is not None:
            return view
        self._check(address, size, "read")
        raise BusError(address, "read", f"{size} bytes of RAM")

    def array(self, address: int, shape: int | tuple[int, ...], dtype: DTypeLike = "uint8") -> NDArray[Any]:
        """RAM as a read-only NumPy array of that shape and type, zero-copy."""
        import numpy as np  # here: to load it takes half as long as to start a machine without

        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self.view(address, count * kind.itemsize), dtype=kind).reshape(shape)

    @contextmanager
    def writable(self, address: int, size: int) -> Iterator[memoryview]:
        """RAM to be changed in place: `with memory.writable(address, size) as view: view[:] = ...`.

        The machine does not run while the block is open; the view is dead afterwards. Where a slice of it, or an array
        over it, outlives the block, the machine does not run until that is gone too.
        """
        self._check(address, size, "write")
        for ram in self._bus.ram_regions():
            if ram.base <= address and address + size <= ram.base + ram.size:
                break
        else:
            raise BusError(address, "write", f"{size} bytes of RAM")
        self._machine.invalidate(address, size)
        window = ram.writable()
        self._windows.append((window, address, size))
        view = memoryview(window)[address - ram.base : address - ram.base + size]
        try:
            yield view
        finally:
            with suppress(BufferError):     # an array over it is alive, which counts as an export of the window
                view.release()
            self._look_at_windows()

    def __repr__(self) -> str:
        places = (f"{'ROM' if ram.rom else 'RAM'} {ram.base:#x}..{ram.base + ram.size:#x} ({size_text(ram.size)})"
                  for ram in self._bus.ram_regions())
        return f"<memory: {', '.join(places) or 'nothing is mapped'}>"

    def _look_at_windows(self) -> None:
        """What was written through them counts from now on; those of which no view is alive are shut."""
        for _, address, size in self._windows:
            self._machine.invalidate(address, size)
            if self.history is not None:
                self.history.wrote(address, self.read(address, size))
        self._windows = [opened for opened in self._windows if opened[0].exports]

    def refuse_unusable(self, access: Access) -> None:
        """Raise MachineUnusable where this process cannot, or must not, reach RAM."""
        if not self._machine.usable and (access == "write" or self._machine.closed):
            raise unusable(self._machine)

    def _check(self, address: int, size: int, access: Access) -> None:
        self.refuse_unusable(access)
        integer("address", address)
        if integer("size", size) < 0:
            raise ValueError(f"size={size}: must not be negative")
        if address < 0 or address + size > 1 << 64:
            raise BusError(address, access, f"{size} bytes")
