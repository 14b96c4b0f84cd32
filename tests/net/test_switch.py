"""Machines on a switch: who gets what, when, and who runs. Python drives the cards here, in place of a guest's driver.
"""

import pytest

import vm
from vm.devices import Network
from vm.errors import ConfigurationError
from vm.net import Offload, Packet, Switch
from vm.net.switch import SwitchPort

LATENCY = 100_000               # ns
# Wakes each time that the timer is due, `a1` ticks (of 100 ns) after the last time, for ever; s1 counts.
TICKING = """
    li t0, 0x2004000
1:  csrr t1, time; add t1, t1, a1; sd t1, (t0)
    li t1, 1 << 7; csrw mie, t1; wfi
    addi s1, s1, 1; j 1b
"""
COUNTING = "1: addi s1, s1, 1; j 1b"
WAITING = "1: wfi; j 1b"
OFF = "li t0, 0x100000; li t1, 0x5555; sw t1, (t0); 1: j 1b"


class Card(Network):
    """One whose driver keeps what comes, with the time, and answers as the test says."""

    def __init__(self, port):
        super().__init__(port)
        self.frames = []
        self.answer = None
        self.as_driven = False

    def accept(self, data):
        if self.as_driven:
            super().accept(data)
            return
        packet = Packet(data[10:])
        self.frames.append((self.clock.now_ns(), packet.frame))
        if self.answer is not None:
            self.link.send(Packet(frame_to(packet.frame[6:12], self, self.answer)))


def address_of(card):
    return card.mac.to_bytes(6, "big")


def frame_to(destination, card, text):
    return destination + address_of(card) + b"\x90\0" + text.ljust(46, b"\0")


def send(card, to, text=b""):
    card.link.send(Packet(frame_to(address_of(to) if isinstance(to, Card) else to, card, text)))


@pytest.fixture
def together(guest):
    """together(source, ...): machines on one switch, and their cards."""
    def build(*sources, latency=LATENCY / 1e9):
        switch = Switch(latency)
        guests = [guest(source) for source in sources]
        cards = [Card(switch.port()) for _ in sources]
        for one, card in zip(guests, cards, strict=True):
            one.machine.attach(card)
        return guests, cards
    return build


def test_a_frame_comes_a_latency_later(together):
    (first, second), (here, there) = together(COUNTING, COUNTING)
    first.machine.run(seconds=0.001)
    sent = first.machine.clock.now_ns()
    send(here, there, b"hello")
    first.machine.run(seconds=0.001)
    assert there.frames == [(sent + LATENCY, frame_to(address_of(there), here, b"hello"))]
    assert here.frames == []


@pytest.mark.parametrize("sources", [(COUNTING, COUNTING), (COUNTING, WAITING), (WAITING, COUNTING),
                                     (WAITING, TICKING)])
def test_all_come_along_to_where_one_was_asked_to_run(together, sources):
    guests, _ = together(*sources)
    for one in guests:
        one["a1"] = 700
    stop = guests[0].machine.run(seconds=0.002)
    if sources == (WAITING, TICKING):           # it waits for ever, but something could come
        assert stop.reason is vm.StopReason.DEADLINE
    assert guests[0].machine.clock.now_ns() == 2_000_000
    assert 0 <= guests[1].machine.clock.now_ns() - 2_000_000 <= LATENCY + 70_000


def test_frames_are_answered_while_one_runs(together):
    """There and back again, each a latency, though neither was asked to run for the other."""
    (first, _), (here, there) = together(COUNTING, WAITING)
    there.answer = b"pong"
    send(here, there, b"ping")
    first.machine.run(seconds=0.001)
    assert [(when, frame[14:18]) for when, frame in here.frames] == [(2 * LATENCY, b"pong")]


def test_frames_for_one_go_to_that_one(together):
    """Once it is known; what is for everybody, or for nobody known, goes to all others."""
    (first, *_), cards = together(WAITING, WAITING, COUNTING)
    send(cards[0], cards[1])
    first.machine.run(seconds=0.001)
    assert [len(card.frames) for card in cards] == [0, 1, 1]
    send(cards[1], cards[0])
    first.machine.run(seconds=0.001)
    assert [len(card.frames) for card in cards] == [1, 1, 1]
    send(cards[0], cards[1])
    send(cards[0], b"\xFF" * 6)
    first.machine.run(seconds=0.001)
    assert [len(card.frames) for card in cards] == [1, 3, 2]


def test_limits_are_those_of_the_one_that_is_asked(together):
    (first, second), _ = together(COUNTING, COUNTING)
    stop = first.machine.run(instructions=1_234_567)
    assert (stop.reason, stop.steps, first.machine.steps) == (vm.StopReason.BUDGET, 1_234_567, 1_234_567)
    assert abs(second.machine.steps - 1_234_567) <= 2 * LATENCY
    stop = second.machine.run(until=lambda machine: machine.harts[0]["s1"] > 700_000)
    assert stop.reason is vm.StopReason.CONDITION and 700_000 < second["s1"] < 720_000
    assert first.machine.run(timeout=0.05).reason is vm.StopReason.TIMEOUT


def test_all_wait_for_ever(together):
    (first, second), (here, there) = together(WAITING, WAITING)
    assert first.machine.run().reason is vm.StopReason.IDLE
    send(here, there)                           # that is something to wait for
    assert first.machine.run().reason is vm.StopReason.IDLE
    assert len(there.frames) == 1 and second.machine.clock.now_ns() >= LATENCY


def test_one_that_switches_itself_off_is_left(together):
    (first, second), (here, there) = together(COUNTING, OFF)
    assert first.machine.run(seconds=0.01).reason is vm.StopReason.DEADLINE
    assert second.machine.clock.now_ns() < 1000
    send(here, there)
    first.machine.run(seconds=0.001)
    assert there.frames == []
    assert second.machine.run(seconds=0.1).reason is vm.StopReason.DEADLINE     # asked itself, it goes on


def test_runs_repeat_to_the_step(together):
    found = []
    for _ in range(2):
        guests, cards = together(TICKING, TICKING, COUNTING, latency=37e-6)
        guests[0]["a1"], guests[1]["a1"] = 1234, 777
        cards[1].answer = b"back"
        for index in range(50):
            guests[index % 3].machine.run(seconds=0.0003)
            send(cards[index % 3], cards[1] if index % 3 != 1 else cards[2], bytes([index]))
        found.append([(one.machine.steps, one["s1"], card.frames) for one, card in zip(guests, cards, strict=True)])
    assert found[0] == found[1] and all(len(frames) > 10 for _, _, frames in found[0])


def test_a_machine_that_was_somewhere_else_before(guest):
    """Its own time goes on."""
    switch = Switch(LATENCY / 1e9)
    first, second = guest(COUNTING), guest(COUNTING)
    here, there = Card(switch.port()), Card(switch.port())
    first.machine.attach(here)
    first.machine.run(seconds=0.005)
    second.machine.run(seconds=0.001)
    second.machine.attach(there)
    send(here, there)
    first.machine.run(seconds=0.001)
    assert [when for when, _ in there.frames] == [1_000_000 + LATENCY]


def test_one_that_leaves(together):
    (first, second), (here, there) = together(COUNTING, COUNTING)
    second.machine.detach(there)
    send(here, there)
    first.machine.run(seconds=0.001)
    assert second.machine.steps == 0 and there.frames == []
    second.machine.run(seconds=0.001)
    assert second.machine.clock.now_ns() == 1_000_000


def test_every_port_has_an_address_of_its_own():
    switch = Switch()
    assert [Network(switch.port()).mac & 0xFF for _ in range(3)] == [0x56, 0x57, 0x58]


def test_a_real_clock_waits_for_nobody():
    with vm.Machine(memory="1M", clock="real") as machine:
        with pytest.raises(ConfigurationError, match="clock='virtual'"):
            machine.attach(Network(Switch().port()))
        assert "virtio0" not in machine.inputs.sources


@pytest.mark.parametrize("latency", [0, -1, 1, float("nan")])
def test_no_latency(latency):
    with pytest.raises(ConfigurationError, match="latency="):
        Switch(latency)


def test_a_twin_is_on_no_switch():
    assert not isinstance(Network(Switch().port()).twin().link, SwitchPort)


def test_a_machine_is_on_one_switch(together):
    (first, _), _ = together(COUNTING, COUNTING)
    with pytest.raises(ConfigurationError, match="on a switch already"):
        first.machine.attach(Network(Switch().port()))


def test_after_a_restore_the_others_do_not_wait(together):
    """Time goes on from where it was, and what was under way then does not come."""
    (first, second), (here, there) = together(COUNTING, COUNTING)
    saved = first.machine.snapshot()
    first.machine.run(seconds=0.005)
    send(there, here)
    first.machine.restore(saved)
    steps = second.machine.steps
    first.machine.run(seconds=0.001)
    assert first.machine.clock.now_ns() == 1_000_000 and here.frames == []
    assert 0 < second.machine.steps - steps < 1_000_000 + 2 * LATENCY


def test_frames_for_one_that_is_off_do_not_pile_up(together):
    (first, second), (here, there) = together(COUNTING, OFF)
    first.machine.run(seconds=0.001)
    for _ in range(10):
        send(here, there)
    assert here.link.switch._members[1]._coming == []
    second.machine.run(seconds=0.0001)
    for _ in range(5000):
        send(there, here)
    assert len(here.link.switch._members[0]._coming) == 4096


def test_a_guest_s_nonsense_ends_no_other_guest_s_run(together):
    (first, second), (here, there) = together(COUNTING, COUNTING)
    there.as_driven = True
    there.status = 0xF
    there.link_up = there.queues[0].ready = True
    here.link.send(Packet(frame_to(address_of(there), here, b""), Offload(1, checksum_start=5000)))
    first.machine.run(seconds=0.001)
    assert there.dropped == 1
