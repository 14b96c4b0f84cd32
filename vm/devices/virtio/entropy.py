"""Virtio entropy device: random bytes for the guest.

Virtio 1.2, section 5.4. One queue of buffers to fill; no features, no configuration.
"""

import hashlib

from vm.devices.virtio.transport import VirtioDevice
from vm.errors import ConfigurationError

MOST = 0x1_0000                     # bytes for one request; the device may give less than is asked for


class Entropy(VirtioDevice):
    """The bytes follow from the seed and the number of requests, so that equal runs stay equal: they are as secret as
    the seed. A reset does not begin the stream anew."""

    device_id = 4
    queue_count = 1
    state = VirtioDevice.state + ("seed", "requests")
    setup = ("seed",)

    def __init__(self, seed: int = 0):
        super().__init__()
        if seed < 0:
            raise ConfigurationError(f"seed={seed}: must not be negative")
        self.seed = seed
        self.requests = 0

    def renew(self, identity: int) -> None:
        self.seed = identity

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue.chains():
            stream = hashlib.shake_256(f"{self.seed} {self.requests}".encode())
            self.requests += 1
            queue.push(chain, chain.writable.write(stream.digest(min(chain.writable.size, MOST))))
