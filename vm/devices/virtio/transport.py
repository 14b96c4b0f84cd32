"""Virtio over MMIO: the registers by which a driver finds, negotiates with and runs a device.

Virtio 1.2, section 4.2 (register layout version 2, or the legacy one of 4.2.4), with the status machine of sections
2.1 and 3.1; device-tree binding virtio,mmio. Control registers are 32 bits wide; the configuration space from
0x100 takes any width.

Drivers of teaching kernels cut the negotiation short, and QEMU lets them: they do not accept VIRTIO_F_VERSION_1 (6.1
lets the device go on), or go to DRIVER_OK without FEATURES_OK, and then have accepted nothing.
"""

from __future__ import annotations

from typing import Any

from vm.devices.base import Device, TreeContext, log, reads, writes
from vm.devices.virtio.queue import MAXIMUM_SIZE, Queue
from vm.errors import GuestError

MAGIC = int.from_bytes(b"virt", "little")
VERSION, LEGACY_VERSION = 2, 1
VENDOR = int.from_bytes(b"QEMU", "little")         # guests made for QEMU's `virt` accept no other

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 0x01, 0x02, 0x04, 0x08, 0x40, 0x80
DRIVER_BITS = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | FAILED

USED_BUFFER, CONFIGURATION_CHANGE = 1, 2            # InterruptStatus

F_INDIRECT_DESC, F_EVENT_IDX, F_VERSION_1 = 28, 29, 32      # feature bits of every device
COMMON_FEATURES = 1 << F_INDIRECT_DESC | 1 << F_EVENT_IDX | 1 << F_VERSION_1


class VirtioDevice(Device):
    """The transport. A device is a subclass that gives its id, queues, features and configuration, and handles a queue.

    On a notification the device serves the queue at once; one that takes time overrides `on_notify` and calls `serve`
    later. `handle` is only called while the driver runs the device and the queue is ready; it may raise `GuestError`.

    `legacy`, set before the guest runs, makes it a device of before virtio 1, as QEMU's are without
    `-global virtio-mmio.force-legacy=false`: for guests that know no other.
    """

    legacy: bool = False

    compatible = "virtio,mmio"
    node_name = "virtio_mmio"
    size = 0x1000
    level_triggered = False
    state: tuple[str, ...] = ("device_features_select", "driver_features_select", "driver_features", "status",
                              "interrupt_status", "queue_select", "config_generation", "queue_states", "page_size",
                              "legacy")
    unsaved = Device.unsaved + ("queues",)

    device_id: int                  # virtio 1.2, section 5
    queue_count: int

    def __init__(self) -> None:
        super().__init__()
        self.queues = [Queue(self) for _ in range(self.queue_count)]
        self.config_generation = 0
        self.reset()

    # --- What a device gives -----------------------------------------------------------------------------------------

    def features(self) -> int:
        """The device's own feature bits."""
        return 0

    def config(self) -> bytes:
        """The configuration space as it reads now; zeros follow it."""
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver writes to the configuration space. Most have nothing to write."""

    def on_notify(self, index: int) -> None:
        """The driver has made buffers available in a queue."""
        self.serve(index)

    def handle(self, index: int) -> None:
        """Take the chains that are available in a queue and push each when it is done."""
        raise NotImplementedError(f"{type(self).__name__} has no queue {index}")

    # --- What a device uses ------------------------------------------------------------------------------------------

    def negotiated(self, feature: int) -> bool:
        """Whether the driver accepted a feature bit."""
        return bool((self.legacy or self.status & FEATURES_OK) and self.driver_features >> feature & 1)

    def serve(self, index: int) -> None:
        """Handle a queue, if it runs, and interrupt the driver if it wants to know."""
        queue = self.queues[index]
        if not (queue.ready and self._running):
            return
        try:
            self.handle(index)
            if queue.interrupt_due():
                self._interrupt(USED_BUFFER)
        except GuestError as error:
            self._fail(f"queue {index}: {error}")

    def config_changed(self) -> None:
        """Tell the driver that what `config` gives is no longer what it was."""
        self.config_generation = self.config_generation + 1 & 0xFFFF_FFFF
        self.changed()
        if self.status & DRIVER_OK:
            self._interrupt(CONFIGURATION_CHANGE)

    # --- Life --------------------------------------------------------------------------------------------------------

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        return {"dma-coherent": None}

    @property
    def driven(self) -> bool:
        """Whether a driver has taken the device (2.1), and has neither given up nor reset it since."""
        return self.status & (DRIVER | FAILED) == DRIVER

    def remains(self) -> EmptySlot:
        """What its driver finds, until it resets that, once the device was pulled out from under it."""
        slot = EmptySlot()
        slot.inherit(self)
        return slot

    def reset(self) -> None:
        """The driver's reset, or power-on. The generation counts on, so that a change across a reset is seen."""
        self.device_features_select = 0
        self.driver_features_select = 0
        self.driver_features = 0
        self.status = 0
        self.interrupt_status = 0
        self.queue_select = 0
        self.page_size = 0                          # in which a legacy driver counts
        for queue in self.queues:
            queue.reset()
        super().reset()

    @property
    def queue_states(self) -> list[dict[str, Any]]:
        return [queue.save() for queue in self.queues]

    @queue_states.setter
    def queue_states(self, saved: list[dict[str, Any]]) -> None:
        for queue, state in zip(self.queues, saved, strict=True):
            queue.load(state)

    @property
    def _running(self) -> bool:
        return self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK

    def _interrupt(self, cause: int) -> None:
        self.interrupt_status |= cause
        self.changed()
        self.irq.raise_()

    def _fail(self, why: str) -> None:
        """The driver broke the rules: stop until it resets the device (2.1.2)."""
        log.info("%s needs a reset: %s", type(self).__name__, why)
        self.status |= NEEDS_RESET
        self.changed()
        if self.status & DRIVER_OK:
            self._interrupt(CONFIGURATION_CHANGE)

    # --- Identity ----------------------------------------------------------------------------------------------------

    @reads(0x000, steady=True)
    def read_magic(self) -> int:
        return MAGIC

    @reads(0x004, steady=True)
    def read_version(self) -> int:
        return LEGACY_VERSION if self.legacy else VERSION

    @reads(0x008, steady=True)
    def read_device_id(self) -> int:
        return self.device_id

    @reads(0x00C, steady=True)
    def read_vendor(self) -> int:
        return VENDOR

    # --- Features ----------------------------------------------------------------------------------------------------

    @reads(0x010)
    def read_device_features(self) -> int:
        return self._offered >> 32 * self.device_features_select & 0xFFFF_FFFF if self.device_features_select < 2 else 0

    @writes(0x014)
    def select_device_features(self, value: int) -> None:
        self.device_features_select = value

    @writes(0x020)
    def write_driver_features(self, value: int) -> None:
        if self.driver_features_select < 2 and not self.status & FEATURES_OK:
            shift = 32 * self.driver_features_select
            self.driver_features = self.driver_features & ~(0xFFFF_FFFF << shift) | value << shift
            if self.legacy:                         # there is no FEATURES_OK to wait for, and none to refuse them by
                self.driver_features &= self._offered
                self._tell_queues()

    @writes(0x024)
    def select_driver_features(self, value: int) -> None:
        self.driver_features_select = value

    @property
    def _offered(self) -> int:
        return (self.features() | COMMON_FEATURES) & (0xFFFF_FFFF if self.legacy else ~0)

    def _tell_queues(self) -> None:
        for queue in self.queues:
            queue.indirect = bool(self.driver_features >> F_INDIRECT_DESC & 1)
            queue.event_index = bool(self.driver_features >> F_EVENT_IDX & 1)

    # --- Queues ------------------------------------------------------------------------------------------------------

    @property
    def _selected(self) -> Queue | None:
        return self.queues[self.queue_select] if self.queue_select < len(self.queues) else None

    @writes(0x030)
    def select_queue(self, value: int) -> None:
        self.queue_select = value

    @reads(0x034)
    def read_queue_size_maximum(self) -> int:
        return MAXIMUM_SIZE if self._selected else 0

    @writes(0x038)
    def write_queue_size(self, value: int) -> None:
        if (queue := self._selected) and not queue.ready:
            queue.size = value

    @reads(0x044)
    def read_queue_ready(self) -> int:
        return int(self._selected.ready) if self._selected else 0

    @writes(0x044)
    def write_queue_ready(self, value: int) -> None:
        queue = self._selected
        if queue is None or queue.ready == bool(value & 1):
            return
        if not value & 1:
            queue.ready = False
            return
        self._start(queue)

    def _start(self, queue: Queue) -> None:
        try:
            queue.start()
        except GuestError as error:
            self._fail(f"queue {self.queue_select}: {error}")

    @writes(0x050)
    def notify(self, value: int) -> None:
        if value < len(self.queues) and self._running:
            self.on_notify(value)

    @writes(0x080, count=2)         # low half, high half
    def write_descriptor_area(self, half: int, value: int) -> None:
        self._place("descriptors", half, value)

    @writes(0x090, count=2)
    def write_driver_area(self, half: int, value: int) -> None:
        self._place("available", half, value)

    @writes(0x0A0, count=2)
    def write_device_area(self, half: int, value: int) -> None:
        self._place("used", half, value)

    def _place(self, area: str, half: int, value: int) -> None:
        if (queue := self._selected) and not queue.ready:
            shift = 32 * half
            setattr(queue, area, getattr(queue, area) & ~(0xFFFF_FFFF << shift) | value << shift)

    # --- Queues of the legacy layout (4.2.4): a page number for all areas, 0 for none --------------------------------

    @writes(0x028)
    def write_page_size(self, value: int) -> None:
        self.page_size = value

    @writes(0x03C)
    def write_queue_alignment(self, value: int) -> None:
        if queue := self._selected:
            queue.alignment = value

    @reads(0x040)
    def read_queue_page(self) -> int:
        queue = self._selected
        return queue.descriptors // self.page_size if queue and queue.ready and self.page_size else 0

    @writes(0x040)
    def write_queue_page(self, value: int) -> None:
        queue = self._selected
        if queue is None or not self.legacy:
            return
        queue.ready = False
        if value:
            queue.lay_out(value * self.page_size)
            self._start(queue)

    # --- Interrupts and status ---------------------------------------------------------------------------------------

    @reads(0x060, steady=True)
    def read_interrupt_status(self) -> int:
        return self.interrupt_status

    @writes(0x064)
    def acknowledge_interrupt(self, value: int) -> None:
        self.interrupt_status &= ~value
        self.irq.set(self.interrupt_status != 0)

    @reads(0x070, steady=True)
    def read_status(self) -> int:
        return self.status

    @writes(0x070)
    def write_status(self, value: int) -> None:
        """Zero resets. A driver only ever adds bits; FEATURES_OK stays off if the device cannot work with them."""
        if value == 0:
            page_size = self.page_size
            self.reset()
            self.page_size = page_size              # Linux writes it before the reset, once
            return
        if value & FEATURES_OK and not self.status & FEATURES_OK:
            if self.driver_features & ~self._offered:
                value &= ~FEATURES_OK
            else:
                self._tell_queues()
        self.status |= value & DRIVER_BITS

    # --- Shared memory regions: there are none, whatever is selected -------------------------------------------------

    @writes(0x0AC)
    def select_shared_memory(self, value: int) -> None:
        pass

    @reads(0x0B0, count=4)          # length and base, low and high halves
    def read_shared_memory(self, half: int) -> int:
        return 0xFFFF_FFFF

    # --- Configuration space -----------------------------------------------------------------------------------------

    @reads(0x0FC, steady=True)
    def read_config_generation(self) -> int:
        return self.config_generation

    @reads(0x100, 0x1000)
    def read_config_space(self, offset: int, size: int) -> int:
        return int.from_bytes(self.config()[offset:offset + size], "little")

    @writes(0x100, 0x1000)
    def write_config_space(self, offset: int, size: int, value: int) -> None:
        self.write_config(offset, value.to_bytes(size, "little"))


class EmptySlot(VirtioDevice):
    """A place where a device could be: device id 0, which drivers pass over (4.2.2). It offers nothing.

    To the driver of a device that was pulled out it is one that needs a reset (2.1.2), whose configuration reads as
    zeros.
    """

    # It has no queues; a board has many of these, and each is looked at by every restore.
    state = tuple(name for name in VirtioDevice.state if name != "queue_states")

    device_id = 0
    queue_count = 0

    def inherit(self, gone: VirtioDevice) -> None:
        """Be to the driver what it had: before `gone` is disconnected."""
        self.status = gone.status | NEEDS_RESET
        self.interrupt_status = gone.interrupt_status
        self.config_generation = gone.config_generation

    @property
    def _offered(self) -> int:
        return 0
