"""A board with real devices on harts that only hold their pins."""

import pytest

from vm.boards import Virt
from vm_native.riscv.isa import parse

ISA = "rv64imac_zicbom_zicboz_zicntr_zifencei_zba_sstc_svadu_sv48"


class Clock:
    FREQUENCY = 10_000_000

    def __init__(self):
        self.ns = 0

    def now_ns(self):
        return self.ns

    def ticks(self):
        return self.ns // 100

    def epoch_ns(self):
        return 1_700_000_000 * 10**9 + self.ns


class Events:
    """Collects what devices schedule."""

    def __init__(self):
        self.pending = []

    def schedule(self, delay_ns, device, event, data=0):
        self.pending.append((delay_ns, device, event, data))

    def name(self, name, receiver):
        pass

    def cancel(self, device, event):
        self.pending = [entry for entry in self.pending if entry[1:3] != (device, event)]


class Hart:
    def __init__(self, number):
        self.id = number
        self.mtimecmp = (1 << 64) - 1
        self.pins = {}
        self.messages = []

    def set_interrupt(self, bit, level):
        self.pins[bit] = level

    def receive_message(self, interrupt, identity, guest):
        self.messages.append((interrupt, identity))


@pytest.fixture
def make_board():
    """make_board(harts=, memory_size=, seed=, aia=, aia_guests=); what the guest requests is in board.requests."""
    def make_board(harts=1, memory_size=512 << 20, seed=0, isa=ISA, aia="none", aia_guests=0):
        requests = []
        board = Virt(memory_size, [Hart(number) for number in range(harts)], parse(isa), Clock(), Events(), None, seed,
                     lambda reason, code: requests.append((reason, code)), aia, aia_guests)
        board.requests = requests
        return board
    return make_board


@pytest.fixture
def board(make_board):
    return make_board()
