"""Syscon: the requests of SiFive's test finisher."""

import pytest

from vm.devices.syscon import Syscon
from vm.stop import StopReason


@pytest.fixture
def requests():
    return []


@pytest.fixture
def syscon(board, requests):
    return board.connect(Syscon(lambda reason, code: requests.append((reason, code))))


@pytest.mark.parametrize("size, value, request_", [
    (4, 0x5555, (StopReason.POWER_OFF, 0)),
    (2, 0x5555, (StopReason.POWER_OFF, 0)),
    (4, 0x7777, (StopReason.RESET, None)),
    (4, 0x3333, (StopReason.EXIT, 0)),
    (4, 0x0001_3333, (StopReason.EXIT, 1)),
    (4, 0xFFFF_3333, (StopReason.EXIT, 65535)),
])
def test_request(syscon, requests, size, value, request_):
    syscon.write(0, size, value)
    assert requests == [request_]


@pytest.mark.parametrize("value", [0, 1, 0x1234_0000])
def test_other_values_do_nothing(syscon, requests, value):
    syscon.write(0, 4, value)
    assert requests == []


def test_reads_as_zero(syscon):
    assert syscon.read(0, 4) == 0


def test_loaded_into_a_fresh_one_they_are_equal(board, syscon):
    fresh = board.connect(Syscon(print))
    fresh.load(syscon.save())
    assert fresh.save() == syscon.save() == {"irq": False}
