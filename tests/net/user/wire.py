"""A guest on the user-mode network as tests need one: packets in and out, built and taken apart by scapy."""

import time

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from vm.inputs import Inputs
from vm.net import Packet, User
from vm.net.packet import finished, unpacked

MAC, GATEWAY_MAC = "52:54:00:12:34:56", "52:55:0a:00:02:02"
ADDRESS, GATEWAY, NAME_SERVER = "10.0.2.15", "10.0.2.2", "10.0.2.3"
ADDRESS6, GATEWAY6, NAME_SERVER6 = "fec0::5054:ff:fe12:3456", "fec0::2", "fec0::3"
PATIENCE = 20           # host seconds; what is tested comes at once


class Wire:
    """The guest's end. `received` is what came and has not been taken by `wait`."""

    def __init__(self, **settings):
        self.net = User(**settings)
        self.inputs = Inputs()
        self.received = []
        self.net.plug(self._receive, self.inputs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.net.unplug()

    def _receive(self, packet):
        for frame in finished(unpacked(packet.pack())):
            self.received.append(Ether(frame))

    def send(self, *packets):
        """To the gateway's card, as one batch."""
        for packet in packets:
            frame = packet if isinstance(packet, Ether) else Ether(src=MAC, dst=GATEWAY_MAC) / packet
            self.net.send(Packet(bytes(frame)))
        self.net.flush()

    def wait(self, wanted=lambda packet: True):
        """The next packet for which that is so; those before it are dropped."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            while self.received:
                packet = self.received.pop(0)
                if wanted(packet):
                    return packet
            self.inputs.poll(0.1)
        raise AssertionError("nothing like that came")

    def nothing_comes(self, seconds=0.05):
        """Whether nothing does for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.inputs.poll(seconds)
        return not self.received

    def settle(self, condition):
        """Let the network run until that is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "that never came about"
            self.inputs.poll(0.01)


class Peer:
    """The guest's end of one TCP connection, by hand: what is sent and acknowledged is the test's to say."""

    def __init__(self, wire, port, source=ADDRESS, destination=GATEWAY, source_port=4000, window=65535, options=()):
        version = IPv6 if ":" in source else IP
        self.wire = wire
        self.network = version(src=source, dst=destination)
        self.ports = {"sport": source_port, "dport": port}
        self.sequence, self.expected = 1000, 0
        self.window = window
        self.options = list(options)

    def send(self, flags="A", payload=b"", sequence=None, options=(), window=None):
        segment = TCP(**self.ports, seq=self.sequence if sequence is None else sequence, ack=self.expected,
                      flags=flags, window=self.window if window is None else window, options=list(options))
        self.wire.send(self.network / segment / payload)
        if sequence is None:
            self.sequence = self.sequence + len(payload) + ("S" in flags) + ("F" in flags) & 0xFFFF_FFFF

    def wait(self, wanted=lambda segment: True):
        """The next segment of this connection for which that is so."""
        def is_ours(packet):
            return TCP in packet and packet[TCP].dport == self.ports["sport"] and wanted(packet[TCP])
        return self.wire.wait(is_ours)[TCP]

    def connect(self):
        self.send("S", options=self.options)
        return self.answer(self.wait())

    def answer(self, segment):
        """The third step of opening."""
        assert segment.flags == "SA", segment.flags
        self.expected = segment.seq + 1
        self.send()
        return segment

    def receive(self, size):
        """So many bytes, each segment acknowledged when it comes."""
        data = b""
        while len(data) < size:
            segment = self.wait(lambda segment: len(segment.payload))
            if segment.seq == self.expected:
                data += bytes(segment.payload)
                self.expected = self.expected + len(segment.payload) & 0xFFFF_FFFF
            self.send()
        return data
