"""The compute device: queues, cancellation, functions of the host, state (docs/devices/compute.md)."""

import struct
import tracemalloc

import numpy as np
import pytest

import vm
from tests.devices.compute_driver import (
    ADD,
    ADDRESS,
    CALL,
    CANCEL,
    CANCELLED,
    EMPTY,
    FAILED,
    MATMUL,
    NOT_FOUND,
    OK,
    SHAPE,
    SORT,
    TYPE,
    UNSUPPORTED,
    Array,
    Computer,
    request,
    type_of,
)
from tests.devices.virtio_driver import CONFIG, DEVICE_ID, F_EVENT_IDX, F_VERSION_1, INTERRUPT_STATUS, WRITE, Driver
from vm.devices import ComputeDevice
from vm.devices.virtio.compute.layout import Status

ROM = 0x6000_0000
CONTROL = 1                         # queue, of a device with one of requests
REST = 100_000                      # ns that the harts have
PENDING = 0xEEEE_EEEE               # a status that is not there yet


@pytest.fixture
def computer():
    computer = Computer(ComputeDevice())
    yield computer
    computer.close()


@pytest.fixture
def slow():
    """One that takes a microsecond."""
    computer = Computer(ComputeDevice(latency_ns=1000))
    yield computer
    computer.close()


def test_identity_and_configuration(computer):
    assert computer.driver.get(DEVICE_ID) == 0xB0
    config = b"".join(computer.driver.get(CONFIG + at, 4).to_bytes(4, "little") for at in range(0, 80, 4))
    assert struct.unpack_from("<IIQQ6I", config) == (1, 1, 2 << 30, 1 << 34, 8, 8, 1 << 16, 1 << 20, (1 << 14) - 1, 1)
    operations = int.from_bytes(config[48:80], "little")
    assert all(operations >> number & 1 for number in (EMPTY, ADD, MATMUL, SORT, CALL, CANCEL))
    assert not operations >> 0x02 & 1


def test_an_empty_operation_interrupts(computer):
    assert computer.driver.get(INTERRUPT_STATUS) == 0
    address = computer.offer(request(EMPTY))
    computer.driver.notify()
    assert computer.driver.acknowledge() == 1
    assert computer.reply(address) == (OK, 0xFFFF_FFFF, 0)
    assert computer.driver.queues[0].completed() == [(0, 16)]


def test_requests_complete_after_the_latency_and_in_order(slow):
    addresses = [slow.offer(request(EMPTY)) for _ in range(3)]
    slow.driver.notify()
    slow.board.advance(ns=999)
    assert slow.reply(addresses[0]).status == PENDING
    slow.board.advance(ns=1)
    assert [slow.reply(address).status for address in addresses] == [OK] * 3
    assert [head for head, _ in slow.driver.queues[0].completed()] == [0, 2, 4]


def test_queues_are_apart():
    computer = Computer(ComputeDevice(queues=3))
    place = computer.place(np.arange(6.0))
    for index in (2, 0, 1):
        assert computer.do(ADD, [place, place], place, index=index).status == OK
    assert np.array_equal(computer.value(place), 8 * np.arange(6.0))
    computer.close()


def test_cancelled_requests_are_not_done(slow):
    place = slow.place(np.ones(3))
    addresses = [slow.offer(request(ADD, [place] * 3, tag=tag)) for tag in (7, 8, 7)]
    slow.driver.notify()
    assert slow.ask(request(CANCEL, tag=7), CONTROL) == (OK, 0xFFFF_FFFF, 2)
    assert slow.ask(request(CANCEL, tag=7), CONTROL).status == NOT_FOUND       # they are marked already
    slow.board.advance(ns=1000)
    assert [slow.reply(address).status for address in addresses] == [CANCELLED, OK, CANCELLED]
    assert np.array_equal(slow.value(place), [2, 2, 2])
    assert slow.ask(request(CANCEL, tag=7), CONTROL).status == NOT_FOUND       # they are no more
    later = slow.offer(request(EMPTY, tag=7))
    slow.driver.notify()
    slow.board.advance(ns=1000)
    assert slow.reply(later).status == OK


def test_cancellations_are_checked(slow):
    assert slow.ask(request(EMPTY), CONTROL).status == UNSUPPORTED
    assert slow.ask(request(CANCEL, parameters=(CONTROL,)), CONTROL).status == Status.MALFORMED
    assert slow.ask(request(CANCEL) + b"x", CONTROL).status == Status.MALFORMED


def test_reset_forgets(slow):
    slow.offer(request(EMPTY))
    slow.driver.notify()
    slow.device.reset()
    slow.board.advance(ns=5000)
    assert slow.device.save() == Computer(ComputeDevice(latency_ns=1000), slow.machine).device.save() | {
        name: slow.device.save()[name] for name in ("status", "queue_states", "driver_features", "queue_select",
                                                    "driver_features_select", "device_features_select")}


def test_harts_have_their_turn_between_large_requests(computer):
    """Each of these is half of what is done at once."""
    row, column = computer.room((1 << 14,), "float32"), computer.room((1 << 14, 1), "float32")
    target = Array(0, (1 << 14, 1 << 11), (1 << 11, 1), 0, ((computer.free, 1 << 25),))
    column = column._replace(shape=(1 << 14, 1))
    row = row._replace(shape=(1 << 11,))
    addresses = [computer.offer(request(0x50, [column, row, target])) for _ in range(4)]
    computer.driver.notify()
    assert [computer.reply(address).status for address in addresses] == [OK, OK, PENDING, PENDING]
    computer.board.advance(ns=REST)
    assert [computer.reply(address).status for address in addresses] == [OK] * 4


# --- Functions of the host -------------------------------------------------------------------------------------------

def call(computer, name, arrays, output=True, **others):
    return computer.ask(request(CALL, arrays, (int(output),), name.encode()), **others)


def test_a_function_of_the_host_is_called_with_arrays(computer):
    computer.device.register("hypotenuse", np.hypot)
    places = [computer.place(np.array(values)) for values in ([3.0, 5.0], [4.0, 12.0])]
    target = computer.room(2, "float64")
    assert call(computer, "hypotenuse", [*places, target]) == (OK, 0xFFFF_FFFF, 16)
    assert computer.value(target).tolist() == [5, 13]


def test_nothing_is_written_to_rom_and_no_function_is_called_for_that(computer):
    computer.machine.map(ROM, "64K", kind="rom")
    called = []
    computer.device.register("answer", lambda: called.append("yes") or np.ones(4))
    in_rom = computer.room(4, "float64")._replace(segments=((ROM, 32),))
    ends_there = in_rom._replace(segments=((in_rom.segments[0][0], 8), (ROM, 24)))
    for output in (in_rom, ends_there):
        assert call(computer, "answer", [output])[:2] == (ADDRESS, 0)
        assert computer.do(ADD, [computer.place(np.ones(4))] * 2, output)[:2] == (ADDRESS, 2)
    assert called == [] and computer.memory.read(ROM, 64) == bytes(64)
    target = computer.room(4, "float64")
    assert computer.do(ADD, [in_rom] * 2, target).status == OK      # it is read as RAM is


def test_a_function_without_a_result(computer):
    heard = []
    computer.device.register("listen", lambda *arrays: heard.append([array.tolist() for array in arrays]))
    assert call(computer, "listen", [computer.place(np.arange(3))], output=False).status == OK
    assert call(computer, "listen", [], output=False).status == OK
    assert heard == [[[0, 1, 2]], []]


def test_a_function_gets_what_it_cannot_write(computer):
    def write(array):
        array[0] = 1

    computer.device.register("write", write)
    for segments in (1, 2):
        place = computer.place(np.zeros(4))
        (address, length), = place.segments
        if segments == 2:
            place = place._replace(segments=((address, 8), (address, 8), (address, length)))
        with pytest.raises(ValueError, match="read-only"):
            call(computer, "write", [place], output=False)


def test_what_a_function_raises_surfaces_and_the_guest_is_told(computer):
    computer.device.register("fail", lambda: 1 / 0)
    first, second = computer.offer(request(CALL, name=b"fail")), computer.offer(request(EMPTY))
    with pytest.raises(ZeroDivisionError):
        computer.driver.notify()
    assert computer.reply(first).status == FAILED and computer.driver.acknowledge() == 1
    computer.driver.notify()                # as the access that raised is made again
    computer.board.advance(ns=REST)
    assert computer.reply(second).status == OK


def test_a_guests_error_in_a_function_surfaces_too(computer):
    """It is the function's: the device does not take it for the driver's."""
    computer.device.register("read", lambda: computer.memory.read(0, 64))
    with pytest.raises(vm.BusError):
        call(computer, "read", [], output=False)
    assert computer.ask(request(EMPTY)).status == OK


def test_a_result_that_does_not_fit_is_the_guests_business(computer):
    computer.device.register("twice", lambda array: 2 * array)
    source = computer.place(np.arange(4.0))
    assert call(computer, "twice", [source, computer.room(3, "float64")])[:2] == (SHAPE, 1)
    assert call(computer, "twice", [source, computer.room(4, "int32")])[:2] == (TYPE, 1)
    assert call(computer, "thrice", [source, computer.room(4, "float64")]).status == NOT_FOUND


def test_what_a_cast_loses_is_no_warning(computer, recwarn):
    computer.device.register("large", lambda: np.array([1e300]))
    target = computer.room(1, "float32")
    assert call(computer, "large", [target]).status == OK
    assert np.isinf(computer.value(target)).all() and not recwarn.list


def test_calls_are_a_feature(computer):
    other = Computer(ComputeDevice())
    other.device.register("f", int)
    other.driver.set(0x070, 0)
    other.driver = Driver(other.board, other.device).start(F_VERSION_1, queues=2)
    assert call(other, "f", [], output=False).status == UNSUPPORTED
    other.close()


@pytest.mark.parametrize("wrong", [("", int), ("x" * 256, int), ("f", 3)])
def test_names_and_functions_are_checked(computer, wrong):
    with pytest.raises(vm.ConfigurationError):
        computer.device.register(*wrong)


# --- Memory ----------------------------------------------------------------------------------------------------------

def test_inputs_are_the_guests_own_memory(computer):
    """What a function keeps shows what the guest writes later; the result lands in the guest's memory."""
    kept = []
    computer.device.register("keep", kept.append)
    place = computer.place(np.zeros(1000))
    call(computer, "keep", [place], output=False)
    computer.memory.write(place.segments[0][0], np.ones(1000).tobytes())
    assert kept[0].sum() == 1000
    kept.clear()


def test_large_operations_take_no_memory_of_the_host(computer):
    """16 MiB and more in, 16 MiB out, and not a hundredth of it anywhere else."""
    place = computer.room((1 << 21,), "float64")
    target = computer.room((1 << 21,), "float64")
    data = request(ADD, [place, place, target])
    computer.ask(data)
    tracemalloc.start()
    assert computer.ask(data).status == OK
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < (16 << 20) // 100


@pytest.mark.parametrize("inputs, target", [((0, 8), 16), ((16, 0), 8), ((8, 8), 0)])
@pytest.mark.parametrize("number", [ADD, 0x43, 0x60, 0x68, SORT, 0x80, 0x89, 0x98, 0xA0, MATMUL, 0xA8, 0xAA])
def test_output_may_lie_over_inputs(computer, number, inputs, target):
    """As if all inputs were read before anything is written."""
    base = computer.place(np.arange(1.0, 20.0))
    (address, _), = base.segments
    kinds = {0x98: ("float64", "complex128"), 0x89: ("float64", "int64"), 0xA8: ("float64", "float64")}
    kind, result = kinds.get(number, ("float64", "float64"))
    count, shape = {SORT: (1, (8,)), 0x80: (1, (8,)), 0x89: (1, (8,)), 0x98: (1, (8,)), 0x68: (3, (8,)),
                    MATMUL: (2, (3, 3))}.get(number, (2, (8,)))
    strides = tuple(8 * 3 ** (len(shape) - 1 - axis) for axis in range(len(shape)))
    arrays = [Array(type_of(kind), shape, strides, 0, ((address + at, 128),)) for at in (*inputs, 0)[:count]]
    if number in (0xA8, 0xAA):
        arrays[1] = computer.place(np.array([3, 1, 0, 2, 7, 6, 5, 4]))
    size = np.dtype(result).itemsize
    into = Array(type_of(result), shape, tuple(stride // 8 * size for stride in strides), 0,
                 ((address + target // size * size, 128),))
    apart = computer.place(computer.value(into))
    copies = [computer.place(computer.value(array)) for array in arrays]
    for description in (copies, arrays):
        assert computer.do(number, description, apart if description is copies else into, (1,) if number == 0xA0 else
                           ()).status == OK
    assert np.array_equal(computer.value(into), computer.value(apart))


def test_bytes_between_elements_stay(computer):
    for pieces in (1, 2):
        place = computer.place(np.arange(8.0))
        (address, length), = place.segments
        every_other = place._replace(shape=(4,), strides=(16,))
        if pieces == 2:
            computer.memory.write(address + 128, computer.memory.read(address + 32, 32))
            every_other = every_other._replace(segments=((address, 32), (address + 128, 32)))
        assert computer.do(ADD, [every_other, every_other], every_other).status == OK
        seen = computer.value(place._replace(segments=every_other.segments))
        assert seen.tolist() == [0, 1, 4, 3, 8, 5, 12, 7]


def test_results_mark_pages_and_drop_code(computer):
    """A snapshot after the result has it, and one before has not; code that is written over is not run again."""
    machine = computer.machine
    place = computer.place(np.arange(4.0))
    before = machine.snapshot()
    assert computer.do(ADD, [place, place], place).status == OK
    after = machine.snapshot()
    machine.restore(before)
    assert computer.value(place).tolist() == [0, 1, 2, 3]
    machine.restore(after)
    assert computer.value(place).tolist() == [0, 2, 4, 6]


# --- Construction and state ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, message", [
    ({"queues": 0}, "queues=0"), ({"queues": 65}, "queues=65"), ({"max_bytes": 0}, "max_bytes=0"),
    ({"latency_ns": -1}, "latency_ns=-1"), ({"backend": "fortran"}, "there is numpy, cupy"),
    ({"replay": "never"}, "'compute' or 'log'")])
def test_arguments_are_checked(options, message):
    with pytest.raises(vm.ConfigurationError, match=message):
        ComputeDevice(**options)


def test_state_goes_to_another_one(slow):
    slow.offer(request(EMPTY, tag=5))
    slow.driver.notify()
    slow.ask(request(CANCEL, tag=5), CONTROL)
    saved = slow.device.save()
    twin = slow.board.connect(slow.device.twin())
    twin.load(saved)
    assert twin.save() == saved
    assert twin.arguments() == slow.device.arguments()


def test_state_of_other_queues_is_refused(slow):
    with pytest.raises(vm.SnapshotError, match="build it with queues=1"):
        ComputeDevice(queues=2).load(slow.device.save())


def test_a_twin_has_the_functions(computer):
    computer.device.register("f", abs)
    assert computer.device.twin().functions == {"f": abs}
    computer.device.twin().register("g", abs)
    assert "g" not in computer.device.functions


def test_requests_through_indirect_descriptors_and_event_index():
    computer = Computer(ComputeDevice())
    computer.driver.set(0x070, 0)
    computer.driver.queues.clear()
    computer.driver.start(computer.driver.offered_features() | F_EVENT_IDX, queues=2)
    address = computer.free
    data = request(EMPTY)
    computer.memory.write(address + 32, data)
    computer.driver.queues[0].offer_indirect([(address + 32, 20, 0), (address + 52, len(data) - 20, 0),
                                              (address, 5, WRITE), (address + 5, 11, WRITE)], address + 0x1000)
    computer.driver.notify()
    assert computer.reply(address).status == OK
    computer.close()


def test_a_host_without_memory_tells_the_guest(computer, monkeypatch):
    """But what a function raises, surfaces."""
    place = computer.place(np.arange(4.0))

    def no_memory(*arguments):
        raise MemoryError

    monkeypatch.setattr("vm.devices.virtio.compute.device.readable", no_memory)
    assert computer.do(ADD, [place, place], place).status == Status.BACKEND
    monkeypatch.undo()
    computer.device.register("f", no_memory)
    with pytest.raises(MemoryError):
        call(computer, "f", [place], output=False)


def test_a_truth_is_whatever_is_not_zero(computer):
    """NumPy would add up the bytes."""
    place = computer.place(np.array([0, 1, 2, 255, 0, 128], "uint8"))._replace(type=0)
    count = computer.room((), "int64")
    assert computer.do(0x70, [place], count, ((1 << 64) - 1,)).status == OK
    assert computer.value(count) == 4
    kept = []
    computer.device.register("keep", kept.append)
    call(computer, "keep", [place], output=False)
    assert np.arange(6)[kept[0]].tolist() == [1, 2, 3, 5]
    target = computer.room(6, "bool")
    assert computer.do(0x01, [place], target).status == OK
    assert computer.value(target._replace(type=5)).tolist() == [0, 1, 1, 1, 0, 1]
