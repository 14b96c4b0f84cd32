"""Virtio network device.

Virtio 1.2, section 5.1. Queue 0 takes the buffers that frames from the network go into, queue 1 what the guest sends;
in both a header is in front of the frame:

    u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset
    u16 num_buffers, of version 1 and where buffers are merged

The device keeps a frame that the guest has no buffer for, and as many more as real ones have room for; others are lost.
Frames that come while the guest's driver does not run are, too.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vm.devices.base import Device, log
from vm.devices.port import Port
from vm.devices.virtio.queue import Chain, Queue
from vm.devices.virtio.transport import F_VERSION_1, VirtioDevice
from vm.errors import ConfigurationError, MalformedPacket, MalformedQueue
from vm.net.link import Link
from vm.net.packet import (
    DATA_VALID,
    HEADER,
    NOT_SEGMENTED,
    NOTHING,
    TCP_OVER_IPV4,
    TCP_OVER_IPV6,
    WITH_ECN,
    Offload,
    Packet,
    finished,
    refuse_size,
    unpacked,
)
from vm.net.pcap import Capture

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.inputs import Inputs

RECEIVE, TRANSMIT = 0, 1            # queues
F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN = 0, 1, 3, 5, 7, 8, 9
F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN, F_MRG_RXBUF, F_STATUS = 11, 12, 13, 15, 16
FEATURES = (F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC, F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN, F_HOST_TSO4, F_HOST_TSO6,
            F_HOST_ECN, F_MRG_RXBUF, F_STATUS)
# What a receiver must have negotiated to be given a frame that is not segmented yet (5.1.3.1, 5.1.6.4)
RECEIVES = {TCP_OVER_IPV4: F_GUEST_TSO4, TCP_OVER_IPV6: F_GUEST_TSO6}

CONFIG = struct.Struct("<6sHHH")    # mac, status, max_virtqueue_pairs, mtu
LINK_UP = 1                         # status
NUMBER_OF_BUFFERS = struct.Struct("<H")

SMALLEST_MTU, LARGEST_MTU = 68, 65535       # of IPv4, and of the field
MOST_WAITING = 1024                 # frames
MULTICAST, LOCAL = 1 << 40, 2 << 40         # bits of an address


class Network(Port, VirtioDevice):
    """A network card, plugged into a `vm.net` link; without one, into nothing.

    - mac: the address as a number of 48 bits; without one, that which the link gives.
    - mtu: the largest payload of a frame that the guest is to send.
    - pcap: a file for all frames in both directions, as the guest has them: those that it leaves to be cut are whole,
      and checksums that it leaves out are missing. Times are the guest's.

    Raises ConfigurationError for an address that no card can have, an MTU that no network has, and a file that cannot
    be written.
    """

    device_id = 1
    queue_count = 2
    state = VirtioDevice.state + ("mac", "link_up", "waiting")
    setup = ("mac", "mtu")          # a twin has no capture: the file is taken
    unsaved = VirtioDevice.unsaved + Port.unsaved + ("link", "_received", "mtu", "dropped", "pcap", "_capture")

    def __init__(self, link: Link | None = None, mac: int | None = None, mtu: int = 1500,
                 pcap: str | os.PathLike[str] | None = None):
        self.link = Link() if link is None else link
        self.mac = self.link.mac if mac is None else mac
        if not 0 < self.mac < 1 << 48 or self.mac & MULTICAST:
            raise ConfigurationError(f"mac={self.mac:#x}: a network card's address has 48 bits, and bit 40, which "
                                     "stands for a group, is 0")
        if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
            raise ConfigurationError(f"mtu={mtu}: choose from {SMALLEST_MTU} to {LARGEST_MTU}")
        self.mtu = mtu
        self.pcap = pcap
        self._capture = None if pcap is None else Capture(pcap)
        self.link_up = True
        self.dropped = 0            # frames to the guest that were lost
        self._received: deque[Packet] = deque()
        super().__init__()

    # --- The cable ---------------------------------------------------------------------------------------------------

    def plug_in(self, inputs: Inputs) -> None:
        """Into the link, of a machine with these inputs. Raises as `Link.plug` does; nothing has changed then."""
        self.link.plug(self.take_frame, inputs)

    def disconnect_outside(self) -> None:
        super().disconnect_outside()
        self.link.unplug()

    def close(self) -> None:
        self.disconnect_outside()
        if self._capture is not None:
            self._capture.close()

    def take_frame(self, packet: Packet) -> None:
        """It comes from the link."""
        self.receive(packet.pack())

    def set_link(self, up: bool) -> None:
        """Plug the cable in, or pull it; the driver hears of it."""
        self.link_up = up
        self.config_changed()

    def accept(self, data: bytes) -> None:
        """It has come in."""
        if not (self.link_up and self._running and self.queues[RECEIVE].ready):
            self.dropped += 1
            return
        received = unpacked(data)
        self._record(received)
        self._flush_record()
        try:
            for packet in self._as_negotiated(received):
                if len(self._received) == MOST_WAITING:
                    self.dropped += 1
                else:
                    self._received.append(packet)
        except MalformedPacket:                     # of another guest, on the same switch
            self.dropped += 1
        self.serve(RECEIVE)

    def _record(self, packet: Packet) -> None:
        if self._capture is not None:
            self._capture.write(self.clock.epoch_ns(), packet.frame)

    def _flush_record(self) -> None:
        if self._capture is not None:
            self._capture.flush()

    def load(self, saved: Mapping[str, Any]) -> None:
        """The world outside has gone on: connections end."""
        super().load(saved)
        self.link.reset()

    @property
    def waiting(self) -> list[bytes]:
        """Frames that the guest has given no buffer for yet."""
        return [packet.pack() for packet in self._received]

    @waiting.setter
    def waiting(self, saved: list[bytes]) -> None:
        self._received = deque(map(unpacked, saved))

    def renew(self, identity: int) -> None:
        """Another card has another address, of those that anybody may give."""
        self.mac = (self.mac & 0xFFFF_FF00_0000 | identity & 0xFF_FFFF) & ~MULTICAST | LOCAL

    def reset(self) -> None:
        self._received.clear()
        self.link.reset()
        super().reset()

    def twin(self) -> Network:
        return type(self)(self.link.twin(), **self.arguments())

    # --- Features and configuration (5.1.3, 5.1.4) -------------------------------------------------------------------

    def features(self) -> int:
        return sum(1 << feature for feature in FEATURES)

    def config(self) -> bytes:
        return CONFIG.pack(self.mac.to_bytes(6, "big"), LINK_UP if self.link_up else 0, 1, self.mtu)

    @property
    def _header_size(self) -> int:
        counted = self.negotiated(F_VERSION_1) or self.negotiated(F_MRG_RXBUF)
        return HEADER.size + (NUMBER_OF_BUFFERS.size if counted else 0)

    # --- Frames (5.1.6) ----------------------------------------------------------------------------------------------

    def handle(self, index: int) -> None:
        if index == RECEIVE:
            self._give()
        else:
            self._take()

    def _as_negotiated(self, packet: Packet) -> Iterator[Packet]:
        """The frame, or several, with no more left to do than the driver takes on."""
        frame, offload = packet
        protocol = offload.segmentation & ~WITH_ECN
        takes_cut = protocol == NOT_SEGMENTED or self.negotiated(RECEIVES.get(protocol, F_GUEST_CSUM))
        if self.negotiated(F_GUEST_CSUM) and takes_cut:
            yield packet
            return
        for whole in finished(packet):
            yield Packet(whole, Offload(DATA_VALID) if self.negotiated(F_GUEST_CSUM) else NOTHING)

    def _give(self) -> None:
        queue = self.queues[RECEIVE]
        while self._received:
            filled = self._fill(queue, self._received[0])
            if filled is None:
                return
            self._received.popleft()
            queue.push_all(filled)

    def _fill(self, queue: Queue, packet: Packet) -> list[tuple[Chain, int]] | None:
        """Write a frame into buffers, as many as it takes; which, and how much of each. None if there are too few; one
        that is too large is dropped.
        """
        header_size = self._header_size
        size = header_size + len(packet.frame)
        merges = self.negotiated(F_MRG_RXBUF)
        chains: list[Chain] = []
        room = 0
        while room < size and len(chains) < (queue.size if merges else 1):
            chain = queue.next(len(chains))
            if chain is None:
                return None
            if chain.writable.size < header_size:
                raise MalformedQueue(f"a buffer for frames of {chain.writable.size} bytes, with no room for a header")
            chains.append(chain)
            room += chain.writable.size
        if room < size:
            self.dropped += 1
            return []
        data = HEADER.pack(*packet.offload) + NUMBER_OF_BUFFERS.pack(len(chains))
        left = memoryview(data[:header_size] + packet.frame)
        filled = []
        for chain in chains:
            filled.append((chain, chain.writable.write(left)))
            left = left[filled[-1][1]:]
        return filled

    def _take(self) -> None:
        queue = self.queues[TRANSMIT]
        for chain in queue.chains():
            self._send(chain)
            queue.push(chain, 0)
        self.link.flush()
        self._flush_record()

    def _send(self, chain: Chain) -> None:
        header_size = self._header_size
        header, frame = chain.readable.split(header_size)
        if header.size < header_size:
            raise MalformedQueue(f"a frame to be sent, with {header.size} bytes of a header")
        if not self.link_up:
            return
        try:
            refuse_size(frame.size)
            packet = Packet(frame.read(), Offload(*HEADER.unpack_from(header.read())))
            self._record(packet)
            if self._outside is not None and self._outside.inputs.live:
                self.link.send(packet)
        except MalformedPacket as error:
            log.info("%s: dropped: %s", type(self).__name__, error)


@contextmanager
def plugged_in(device: Device, inputs: Inputs, clock: Clock) -> Iterator[None]:
    """Around what may refuse a device: if it is a network card, it is in its link before, and out of it again then."""
    if not isinstance(device, Network):
        yield
        return
    device.link.refuse_clock(clock)
    device.plug_in(inputs)
    try:
        yield
    except BaseException:
        device.link.unplug()
        raise
