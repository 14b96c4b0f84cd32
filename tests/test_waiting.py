"""The deadline of several waits together, and the errors where it is reached."""

from types import SimpleNamespace

import pytest

from vm.errors import ExpectTimeout
from vm.waiting import Deadline


@pytest.fixture
def clock():
    clock = SimpleNamespace(ns=5 * 10**9)
    clock.now_ns = lambda: clock.ns
    return clock


def test_guest_time_is_counted_from_the_beginning(clock):
    deadline = Deadline(clock.now_ns, 3, None)
    clock.ns += 10**9
    assert deadline.left() == (2, None)
    deadline.refuse_reached("the guest did not answer")
    clock.ns += 5 * 10**9
    assert deadline.left() == (0, None)
    with pytest.raises(ExpectTimeout, match=r"^the guest did not answer in 3 seconds of its time$"):
        deadline.refuse_reached("the guest did not answer")


def test_host_time_is_counted_from_the_beginning(clock, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("vm.waiting.time.monotonic", lambda: now[0])
    deadline = Deadline(clock.now_ns, 3, 2)
    now[0] += 1.5
    assert deadline.left() == (3, 0.5)
    deadline.refuse_reached("the guest did not answer")
    now[0] += 1
    with pytest.raises(ExpectTimeout, match=r"^the guest did not answer in 2 seconds of the host$"):
        deadline.refuse_reached("the guest did not answer")


@pytest.mark.parametrize("timeout, text", [(None, "3 seconds of the guest's time"),
                                           (0.5, "3 seconds of the guest's time and 0.5 of the host")])
def test_deadline_in_words(clock, timeout, text):
    assert str(Deadline(clock.now_ns, 3, timeout)) == text
