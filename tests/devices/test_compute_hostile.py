"""Requests to the compute device that no driver would make: each gets a status, and nothing else happens.

    pytest -m slow tests/devices/test_compute_hostile.py
"""

import struct
import zlib
from random import Random

import numpy as np
import pytest

from tests.devices.compute_driver import (
    ADD,
    ADDRESS,
    ALL_AXES,
    ARRAYS,
    COPY,
    EMPTY,
    LAYOUT,
    LIMIT,
    MALFORMED,
    MEMORY,
    OK,
    SHAPE,
    TYPE,
    TYPES,
    UNSUPPORTED,
    VALUE,
    Array,
    Computer,
    request,
    type_of,
)
from tests.devices.virtio_driver import NEEDS_RESET, RAM, STATUS, WRITE
from vm.devices import ComputeDevice
from vm.devices.virtio.compute.operations import OPERATIONS

AREA = 1 << 16                      # bytes that the arrays of cases lie in
NUMBERS = (0, 0, 1, 2, 3, 7, 8, 15, 16, 255, 256, 4096, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 8, ALL_AXES)
WRITES_NOTHING = (UNSUPPORTED, MALFORMED, TYPE, SHAPE, LAYOUT, ADDRESS, LIMIT)
DOUBLE = type_of("float64")


@pytest.fixture
def computer():
    computer = Computer(ComputeDevice(max_bytes=1 << 22, max_work=1 << 22))
    yield computer
    computer.close()


def case(random):
    """A request that is nearly right."""
    operation = random.choice([*OPERATIONS, EMPTY, 0xF0]) if random.random() < 0.97 else random.randrange(1 << 16)
    inputs = OPERATIONS[operation].inputs if operation in OPERATIONS else random.randrange(3)
    shape = [random.choice((1, 2, 3, 8)) for _ in range(random.randint(0, 4))]
    kind = random.randrange(len(TYPES))
    arrays = []
    for _ in range(inputs + (operation in OPERATIONS)):
        kind = kind if random.random() < 0.7 else random.randrange(len(TYPES))
        arrays.append(array(random, kind, shape if random.random() < 0.7 else shape[random.randint(0, len(shape)):]))
    parameters = [random.choice(NUMBERS) if random.random() < 0.2 else random.choice((0, 0, 1, 2, ALL_AXES))
                  for _ in range(4)]
    data = bytearray(request(operation, arrays, parameters, b"name" if operation == 0xF0 else b""))
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        data[random.randrange(len(data))] = random.choice((0, 1, 7, 8, 0x7F, 0x80, 0xFF, random.randrange(256)))
    if random.random() < 0.05:
        del data[random.randrange(len(data) + 1):]
    return bytes(data)


def array(random, kind, shape):
    size = np.dtype(TYPES[kind]).itemsize
    strides, step = [], size
    for length in reversed(shape):
        strides.insert(0, step)
        step *= length
    words = [list(shape), strides]
    if random.random() < 0.2 and shape:
        random.choice(words)[random.randrange(len(shape))] = random.choice((*NUMBERS, size, -size))
    address = ARRAYS + random.randrange(AREA // 2) // 16 * 16
    segments = [(address, AREA // 2)]
    if random.random() < 0.3:
        cut = random.randrange(AREA // 4)
        segments = [(address, cut), (ARRAYS + random.randrange(AREA // 2), AREA // 2)]
    if random.random() < 0.1:
        segments.append((random.choice((0, 0x1000_1000, RAM + MEMORY - 8, RAM + MEMORY, (1 << 64) - 1, *NUMBERS)),
                         random.choice(NUMBERS)))
        random.shuffle(segments)
    offset = random.choice(NUMBERS) if random.random() < 0.1 else random.randrange(64) * size
    return Array(kind, tuple(word & ALL_AXES for word in words[0]), tuple(words[1]), offset,
                 tuple((address & ALL_AXES, length & ALL_AXES) for address, length in segments))


def run(computer, seeds):
    """Every case gets a status, and those that say so have written nothing."""
    seen = set()
    area = computer.memory.view(ARRAYS, AREA)
    for seed in seeds:
        random = Random(seed)
        data = case(random)
        if seed % 16 == 0:
            computer.memory.write(ARRAYS, random.randbytes(AREA))
        before = zlib.crc32(area)
        reply = computer.ask(data)
        assert reply.status in range(13), f"case {seed}"
        if reply.status in WRITES_NOTHING:
            assert zlib.crc32(area) == before and reply.written == 0, f"case {seed}"
        seen.add(reply.status)
    assert computer.ask(request(EMPTY)).status == OK
    return seen


def test_hostile_requests(computer):
    assert run(computer, range(2000)) >= {OK, UNSUPPORTED, MALFORMED, TYPE, SHAPE, LAYOUT, ADDRESS, LIMIT}


@pytest.mark.slow
def test_a_hundred_thousand_hostile_requests(computer):
    run(computer, range(100_000))


def doubles(shape, strides, offset=0, segments=((ARRAYS, AREA),)):
    return Array(DOUBLE, shape, strides, offset, segments)


WELL = doubles((4,), (8,))


@pytest.mark.parametrize("wrong, status", [
    (doubles((4,), (8,), AREA - 24), LAYOUT),                       # the last element is not in the segment
    (doubles((4,), (8,), ALL_AXES - 7), LAYOUT),                      # nor the first
    (doubles((4,), (-8,)), LAYOUT),
    (doubles((4,), (1 << 62,)), LAYOUT),
    (doubles((4,), (-1 << 63,), 1 << 63), LAYOUT),
    (doubles((4,), (4,)), LAYOUT),                                  # alignment: stride, offset, address
    (doubles((4,), (8,), 4), LAYOUT),
    (doubles((4,), (8,), 0, ((ARRAYS + 4, AREA),)), LAYOUT),
    (doubles((4,), (8,), 0, ()), LAYOUT),
    (doubles((1 << 63, 2), (0, 8)), LIMIT),                         # sizes that overflow 64 bits
    (doubles((1 << 62, 4), (0, 0)), LIMIT),
    (doubles((1 << 32, 0), (8, 8)), LIMIT),
    (doubles((2,), (1 << 23,), 0, ((ARRAYS, 1 << 24),)), LIMIT),    # it spans more than is copied at once
    (doubles((4,), (8,), 0, ((0x1000_0000, AREA),)), ADDRESS),      # a device
    (doubles((4,), (8,), 0, ((RAM + MEMORY - 16, AREA),)), ADDRESS),
    (doubles((4,), (8,), 0, ((ALL_AXES - 7, AREA),)), ADDRESS),
    (doubles((1,) * 9, (8,) * 9), LIMIT),
    (doubles((5,), (8,)), SHAPE),
    (doubles((2, 2), (16, 8)), SHAPE),
    (WELL._replace(type=14), TYPE),
])
def test_what_is_wrong_with_an_array_is_said(computer, wrong, status):
    """Also which one it is, where it is one."""
    for place in (0, 1):
        arrays = [WELL, WELL]
        arrays[place] = wrong
        reply = computer.ask(request(COPY, arrays))
        assert reply.status == status
        assert reply.array == (1 if status == SHAPE else place)


@pytest.mark.parametrize("output", [
    doubles((4,), (0,)), doubles((4, 4), (8, 8)), doubles((4, 4), (8, 16)), doubles((4, 2), (8, -8), 8),
    doubles((2, 3), (24, 16))])
def test_output_whose_elements_may_share_bytes_is_refused(computer, output):
    source = doubles(output.shape, (0,) * len(output.shape))
    assert computer.do(COPY, [source], output)[:2] == (LAYOUT, 1)


@pytest.mark.parametrize("data, status", [
    (b"", MALFORMED), (request(EMPTY)[:-1], MALFORMED), (request(EMPTY) + b"x", MALFORMED),
    (request(EMPTY, [WELL]), MALFORMED), (request(EMPTY, name=b"x"), MALFORMED), (request(0x02), UNSUPPORTED),
    (request(0xFFFF), UNSUPPORTED), (request(ADD, [WELL, WELL]), MALFORMED), (request(ADD, [WELL] * 9), MALFORMED),
    (request(ADD, [WELL] * 3)[:-1], MALFORMED), (request(0xF0, [], (1,), b"f"), MALFORMED),
    (request(0xF0, [], (2,), b"f"), MALFORMED), (request(0xF0, [], (), b"\xFF"), MALFORMED),
    (request(0xF0), MALFORMED), (struct.pack("<QHBBI4Q", 0, 0, 0, 1, 0, 0, 0, 0, 0), MALFORMED),
    (request(0x70, [WELL, doubles((), ())], (1,)), MALFORMED),      # an axis that there is not
    (request(0xA0, [WELL, WELL, WELL], (3,)), MALFORMED)])
def test_what_is_wrong_with_a_request_is_said(computer, data, status):
    assert computer.ask(data).status == status


def test_longest_request(computer):
    """Of 1 MiB, with as many segments as fit; one byte more is too long."""
    count = ((1 << 20) - 48 - 32 - 32 - 16) // 16
    segments = [(ARRAYS + 8 * (number % 64), 8) for number in range(count)]
    source = doubles((count,), (8,), 0, tuple(segments))
    target = doubles((count,), (8,), 0, ((ARRAYS + 4096, 8 * count),))
    data = request(COPY, [source, target])
    address = computer.free + (2 << 20)
    computer.memory.write(ARRAYS, np.arange(64.0).tobytes())
    computer.memory.write(address + 32, data)
    for extra, status in ((0, OK), (1 << 20, LIMIT)):
        computer.driver.queues[0].offer([(address + 32, len(data) + extra, 0), (address, 16, WRITE)])
        computer.driver.notify()
        assert computer.reply(address).status == status
    assert np.array_equal(computer.value(target), np.arange(count) % 64)


def test_a_request_without_room_for_its_reply_needs_a_reset(computer):
    address, length = computer.driver.place(request(EMPTY))
    computer.driver.queues[0].offer([(address, length, 0), (address, 15, WRITE)])
    computer.driver.notify()
    assert computer.driver.get(STATUS) & NEEDS_RESET


def test_limits_are_of_the_request(computer):
    """A product of 256 x 256 integers is 2**25 multiplications, more than is allowed here; one of 64 x 64 is not."""
    for size, status in ((256, LIMIT), (64, OK)):
        place = computer.room((size, size), "int64")
        assert computer.do(0x90, [place, place], place).status == status
    repeated = doubles((1 << 20,), (0,))
    assert computer.do(0x70, [repeated], doubles((), ()), (0,)).status == LIMIT     # 8 MiB, were they there


@pytest.mark.parametrize("indices", [[0, 4], [-1, 0], [1 << 40, 0]])
def test_index_outside_its_array(computer, indices):
    places = computer.place(np.array(indices)), computer.place(np.zeros(2))
    before = computer.value(places[1])
    assert computer.do(0xA8, [WELL, places[0]], places[1], (0,))[:2] == (VALUE, 1)
    assert np.array_equal(computer.value(places[1]), before)
    assert computer.do(0xA9, [places[1], places[0]], WELL, (0,))[:2] == (VALUE, 1)


def test_integers_to_negative_powers_have_no_value(computer):
    place = computer.place(np.array([-1, -2]))
    assert computer.do(0x60, [place, place], place).status == VALUE
