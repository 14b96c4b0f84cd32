"""The compute device: queues of requests for array work, and one by which requests are cancelled.

docs/devices/compute.md is the specification. A request is done when the driver notifies the device, or `latency_ns` of
guest time after, in the order of its queue; between large ones the harts have their turn. What a run with it gives
follows from the guest's memory and the backend; where a backend does not give the same everywhere, a recorded run has
its results in the log, from which they come in as what is typed does.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vm.arguments import whole_number
from vm.devices.port import Port
from vm.devices.virtio.compute.arrays import readable, refuse_other_than_ram, writable
from vm.devices.virtio.compute.backends import backend_named
from vm.devices.virtio.compute.layout import (
    HEADER,
    MAXIMUM_ARRAYS,
    MAXIMUM_NAME,
    MAXIMUM_RANK,
    MAXIMUM_REQUEST,
    MAXIMUM_SEGMENTS,
    NO_ARRAY,
    REPLY,
    TAG,
    TYPES,
    Layout,
    Refused,
    Request,
    Status,
    apart,
    parse,
)
from vm.devices.virtio.compute.operations import OPERATIONS, Cost, Operation, planned, refuse_indices_outside
from vm.devices.virtio.queue import Chain, Queue
from vm.devices.virtio.transport import VirtioDevice
from vm.errors import ConfigurationError, LogError, MalformedQueue, SnapshotError

DEVICE_ID = 0xB0                    # of those that nobody is given: see the specification
VERSION = 1
F_CANCEL, F_CALL = 0, 1
EMPTY, CALL, CANCEL = 0x00, 0xF0, 0xFF      # operations beside those of the table
CONFIG = struct.Struct("<IIQQ6I32s")
MOST_QUEUES = 64                    # of requests
LONGEST_LATENCY = 10**12            # ns
ORDINARY_BYTES, ORDINARY_WORK = 2 << 30, 1 << 34

WORK_AT_ONCE = 1 << 26              # that is done of a queue before the harts go on
# What taking a request apart counts as: itself, a descriptor of its chain, a byte
WORK_OF_REQUEST, WORK_OF_DESCRIPTOR, WORK_OF_BYTE = 1 << 15, 1 << 10, 1 << 5
REST_NS = 100_000                   # guest time in which they do
LOST_NS = 10**9                     # after which a result that does not come in is asked for anew
SERVE, ASK = 0, 1                   # events, with the queue as data

SMALL = 1 << 14                     # bytes of an output
PLANS = 256                         # requests that are remembered taken apart,
LONGEST_PLANNED = 4096              # of at most so many bytes
NOTHING_DONE = REPLY.pack(Status.OK, NO_ARRAY, 0)
QUEUE = struct.Struct("<I")         # before a reply that comes in
REPLAYS = ("compute", "log")


Result = TypeVar("Result")


class Raised(Exception):
    """What a function of the host has raised is `error`."""

    def __init__(self, error: BaseException):
        super().__init__(error)
        self.error = error


class Plan(NamedTuple):
    """A request that can be done, if its memory is there, and what work it is, with taking it apart. `operation`: None
    for one that is not in the table. `small`: its output is written sooner than it is shown to NumPy."""

    request: Request
    operation: Operation | None
    work: int
    does_something: bool
    small: bool


class ComputeDevice(Port, VirtioDevice):
    """Array work on the host, for the guest.

    - backend: who does it: "numpy", or "cupy" for a GPU.
    - queues: of requests, 1 to 64; each has an order of its own.
    - max_bytes: that the arrays of a request, and what the host needs beside them, may have. max_work: elements that a
      simple loop would handle, as the specification counts them: the limit on time, which is the same on every host.
    - latency_ns: guest time from a notification to the work; 0 is at once, in the instruction that notifies.
    - replay: how a recorded run is replayed: "compute" does the work again, "log" takes the results of the recording.
      None is the backend's way: "compute" for NumPy, and "log" for a GPU.

    Raises ConfigurationError for values that are none of these, and for a backend that this host has not.
    """

    device_id = DEVICE_ID
    state = VirtioDevice.state + ("scheduled", "awaiting", "cancelled")
    setup = ("backend", "queues", "max_bytes", "max_work", "latency_ns", "replay")
    unsaved = VirtioDevice.unsaved + Port.unsaved + ("functions", "queue_count", "_backend", "_plans", "_failure",
                                                     "_come", "_more", "_config", "_control")

    def __init__(self, backend: str = "numpy", queues: int = 1, max_bytes: int = ORDINARY_BYTES,
                 max_work: int = ORDINARY_WORK, latency_ns: int = 0, replay: str | None = None):
        for name, value, least, most in (("queues", queues, 1, MOST_QUEUES), ("max_bytes", max_bytes, 1, 1 << 48),
                                         ("max_work", max_work, 1, 1 << 48),
                                         ("latency_ns", latency_ns, 0, LONGEST_LATENCY)):
            if not least <= whole_number(name, value) <= most:
                raise ConfigurationError(f"{name}={value}: a compute device has {least:,} to {most:,}")
        self._backend = backend_named(backend)
        if replay not in (None, *REPLAYS):
            raise ConfigurationError(f"replay={replay!r}: say {' or '.join(map(repr, REPLAYS))}")
        self.backend = backend
        self.max_bytes = max_bytes
        self.max_work = max_work
        self.latency_ns = latency_ns
        self.replay = replay or self._backend.replay
        self.functions: dict[str, Callable[..., Any]] = {}
        self.queue_count = queues + 1
        self.scheduled = [False] * (queues + 1)     # an event is under way to serve it
        self.awaiting = [False] * queues            # the result of its first request is to come in
        self.cancelled: list[tuple[int, int]] = []  # queue, and which of its requests as the ring counts them
        self._control = queues                      # the queue behind those of requests
        self._plans: dict[bytes, Plan] = {}
        self._failure: BaseException | None = None  # what a function of the host has raised
        self._come = b""                            # a result has, just now
        self._more = False                          # of a queue's requests some were left for later
        offered = sum(1 << number for number in (EMPTY, *OPERATIONS, CALL, CANCEL))
        self._config = CONFIG.pack(VERSION, queues, max_bytes, max_work, MAXIMUM_RANK, MAXIMUM_ARRAYS, MAXIMUM_SEGMENTS,
                                   MAXIMUM_REQUEST, (1 << len(TYPES)) - 1, self._backend.number,
                                   offered.to_bytes(32, "little"))
        super().__init__()

    # --- The host's side ---------------------------------------------------------------------------------------------

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """From now on the guest can call `function` by this name: with arrays, for an array, or for nothing.

        The arrays are read-only, and the guest's own memory where that is in one piece. What it returns becomes an
        array of the shape that the guest asks for, and a type that NumPy casts to the guest's by `same_kind`; else the
        guest is told that it does not fit. What it raises comes out of the machine's `run` unchanged, and the guest
        gets a status. A function is a part of the machine, as a device is: a fork has it, and whoever makes a machine
        of a snapshot's file gives that a device with the functions. Raises ConfigurationError for a name of no or more
        than 255 bytes.
        """
        if not 0 < len(name.encode()) <= MAXIMUM_NAME:
            raise ConfigurationError(f"register({name!r}): the name of a function has 1 to {MAXIMUM_NAME} bytes")
        if not callable(function):
            raise ConfigurationError(f"register({name!r}, {function!r}): that cannot be called")
        self.functions[name] = function

    @property
    def made_by_setup(self) -> bool:
        return not self.functions and self.backend == "numpy"

    def arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.setup} | {"queues": self._control}

    def twin(self) -> ComputeDevice:
        """Another one, with the same functions."""
        twin = super().twin()
        assert isinstance(twin, ComputeDevice)
        twin.functions = dict(self.functions)
        return twin

    def close(self) -> None:
        self._backend.close()

    def reset(self) -> None:
        for flags, event in ((self.scheduled, SERVE), (self.awaiting, ASK)):
            if any(flags):
                self.events.cancel(self, event)
                flags[:] = [False] * len(flags)
        self.cancelled = []
        super().reset()

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        if not (len(saved["scheduled"]) - 1 == len(saved["awaiting"]) == self._control
                and len(saved["queue_states"]) == self.queue_count):
            raise SnapshotError(f"the saved compute device has {len(saved['awaiting'])} queues, and this one "
                                f"{self._control}: build it with queues={len(saved['awaiting'])}")

    # --- Features and configuration ----------------------------------------------------------------------------------

    def features(self) -> int:
        return 1 << F_CANCEL | 1 << F_CALL

    def config(self) -> bytes:
        return self._config

    # --- Queues ------------------------------------------------------------------------------------------------------

    def on_notify(self, index: int) -> None:
        if self.latency_ns and index != self._control:
            self._serve_in(index, self.latency_ns)
        elif not self.scheduled[index]:
            self.serve(index)

    def on_event(self, event: int, data: int) -> None:
        if event == ASK:
            self.awaiting[data] = False
            self.serve(data)
            return
        self.serve(data)
        self.scheduled[data] = False        # if that raises, the event stays in the queue
        if self._more:
            self._serve_in(data, REST_NS)

    def accept(self, data: bytes) -> None:
        """A result has come in."""
        if len(data) < QUEUE.size + REPLY.size or (index := QUEUE.unpack_from(data)[0]) >= self._control:
            raise LogError("the log has a result that no compute device gives: it is damaged")
        if self.awaiting[index]:
            self._come = data
            self.serve(index)

    def serve(self, index: int) -> None:
        self._more = False
        super().serve(index)
        if self._more:
            self._serve_in(index, REST_NS)
        if (failure := self._failure) is not None:
            self._failure = None
            raise failure                   # the guest has been told, and is not asked again

    def _serve_in(self, index: int, delay_ns: int) -> None:
        if not self.scheduled[index]:
            self.scheduled[index] = True
            self.events.schedule(delay_ns, self, SERVE, index)

    def _start(self, queue: Queue) -> None:
        index = self.queues.index(queue)
        self.cancelled = [entry for entry in self.cancelled if entry[0] != index]
        super()._start(queue)

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        if index != self._control and self._come:
            self._take(index)
        elif index != self._control and self._from_log:
            self._ask(index)
        else:
            self._work_off(index, queue)

    @property
    def _from_log(self) -> bool:
        """Whether results come in from outside, as what is written down does."""
        return self.replay == "log" and self._outside is not None and self._outside.inputs.history is not None

    def _work_off(self, index: int, queue: Queue) -> None:
        """What waits, up to what is done at once."""
        serve = self._cancel_next if index == self._control else self._serve_next
        if index != self._control and self.awaiting[index]:
            self._await(index, False)
        left = WORK_AT_ONCE
        for _ in range(queue.waiting):
            if left <= 0 or self._failure is not None:
                self._more = True
                return
            chain = queue.at()
            left -= WORK_OF_DESCRIPTOR * (len(chain.readable.segments) + len(chain.writable.segments))
            left -= serve(index, queue, chain)

    def _serve_next(self, index: int, queue: Queue, chain: Chain) -> int:
        """Do the first request of a queue; returns what work it was, but for its descriptors."""
        plan, status, array = self._plan(index, queue, chain)
        written = None
        if plan is not None and plan.does_something:
            written, status, array = self._attempt(self._perform, plan, index)
        self._complete(index, queue, chain, self._reply(chain, status, array, written or 0))
        return work_of(chain.readable.size) if plan is None else plan.work

    def _complete(self, index: int, queue: Queue, chain: Chain, replied: int) -> None:
        """Give the queue's first request back, with so many bytes of a reply."""
        if self.cancelled and (entry := (index, queue.index)) in self.cancelled:
            self.cancelled.remove(entry)
        queue.push(chain, replied)

    def _attempt(self, do: Callable[[Plan, int], Result], plan: Plan,
                 index: int) -> tuple[Result | None, Status, int]:
        """What `do` gives, the status, and which array was at fault. What the host has to hear is kept for later."""
        try:
            return do(plan, index), Status.OK, NO_ARRAY
        except Refused as refusal:
            return None, refusal.status, refusal.array
        except Raised as raised:
            self._failure = raised.error
        except MemoryError:
            return None, Status.BACKEND, NO_ARRAY
        except BaseException as error:
            self._failure = error
        return None, Status.FAILED, NO_ARRAY

    def _reply(self, chain: Chain, status: int, array: int, written: int) -> int:
        """Write it; returns how many bytes it has."""
        if chain.writable.size < REPLY.size:
            raise MalformedQueue("a request without room for its reply")
        return chain.writable.write(NOTHING_DONE if status == written == 0 else REPLY.pack(status, array, written))

    # --- Results that come in ----------------------------------------------------------------------------------------

    def _await(self, index: int, awaiting: bool) -> None:
        if self.awaiting[index]:
            pending = [at for at, waits in enumerate(self.awaiting) if waits and at != index]
            self.events.cancel(self, ASK)
            for other in pending:
                self.events.schedule(LOST_NS, self, ASK, other)
        self.awaiting[index] = awaiting
        if awaiting:
            self.events.schedule(LOST_NS, self, ASK, index)

    def _ask(self, index: int) -> None:
        """Let the result of the queue's first request come in, if none is to. Where it is known it comes by itself."""
        queue = self.queues[index]
        chain = None if self.awaiting[index] else queue.next()
        if chain is None:
            return
        self._await(index, True)
        assert self._outside is not None
        if not self._outside.inputs.asks:
            return
        plan, status, array = self._plan(index, queue, chain)
        content = None
        if plan is not None:
            content, status, array = self._attempt(self._result, plan, index)
        content = content or b""
        self._outside.enter(QUEUE.pack(index) + REPLY.pack(status, array, len(content)) + content)

    def _take(self, index: int) -> None:
        """The result that has come in. Raises LogError for one that is none of the request's."""
        data, self._come = self._come, b""
        self._await(index, False)
        queue = self.queues[index]
        chain = queue.next()
        if chain is None:
            return
        status, array, written = REPLY.unpack_from(data, QUEUE.size)
        content = data[QUEUE.size + REPLY.size:]
        if content:
            plan = self._plan(index, queue, chain)[0]
            output = plan.request.arrays[-1] if plan is not None and plan.request.arrays else None
            if output is None or output.nbytes != len(content):
                raise LogError("the log has a result of the compute device that does not fit the guest's request: it "
                               "is damaged, or was made by another release of vm")
            with writable(self.memory, output, len(plan.request.arrays) - 1 if plan is not None else 0) as place:
                place[...] = np.frombuffer(content, output.dtype).reshape(output.shape)
        self._complete(index, queue, chain, self._reply(chain, status, array, written))
        self._more = queue.next() is not None

    def _result(self, plan: Plan, index: int) -> bytes:
        """What `_perform` would write, which is not written."""
        if not plan.does_something:
            return b""
        inputs, output = self._ends(plan)
        if output is None:
            self._compute(plan, inputs, None, index)
            return b""
        made = np.empty(output.shape, output.dtype)
        if plan.operation is not None and plan.operation.reads_output:
            made[...] = readable(self.memory, output, len(inputs))
        else:                               # that it can be written is known before it is computed
            refuse_other_than_ram(self.memory, output, len(inputs))
        self._compute(plan, inputs, made, index)
        return made.tobytes()

    # --- Requests ----------------------------------------------------------------------------------------------------

    def _plan(self, index: int, queue: Queue, chain: Chain) -> tuple[Plan | None, Status, int]:
        """A request taken apart; or None, with why not."""
        if self.cancelled and (index, queue.index) in self.cancelled:
            return None, Status.CANCELLED, NO_ARRAY
        size = chain.readable.size
        if not HEADER.size <= size <= MAXIMUM_REQUEST:
            return None, Status.MALFORMED if size < HEADER.size else Status.LIMIT, NO_ARRAY
        data = chain.readable.read()
        key = data[TAG:]
        plan = self._plans.get(key)
        if plan is None:
            try:
                plan = self._planned(data)
            except Refused as refusal:
                return None, refusal.status, refusal.array
            if size <= LONGEST_PLANNED:
                if len(self._plans) >= PLANS:
                    self._plans.clear()
                self._plans[key] = plan
        if plan.request.operation == CALL and not self.negotiated(F_CALL):
            return None, Status.UNSUPPORTED, NO_ARRAY
        return plan, Status.OK, NO_ARRAY

    def _planned(self, data: bytes) -> Plan:
        """Raises Refused."""
        request = parse(data, self.max_bytes)
        operation = OPERATIONS.get(request.operation)
        cost = Cost(0)
        if request.operation == CALL:
            cost = call_cost(request)
        elif operation is not None:
            cost = planned(operation, request.arrays, request.parameters)
        elif request.operation != EMPTY:
            raise Refused(Status.UNSUPPORTED)
        elif request.arrays:
            raise Refused(Status.MALFORMED)
        if bool(request.name) != (request.operation == CALL):
            raise Refused(Status.MALFORMED)
        bytes_needed = sum([layout.nbytes for layout in request.arrays]) + cost.scratch
        if bytes_needed > self.max_bytes or cost.work > self.max_work:
            raise Refused(Status.LIMIT)
        output = request.arrays[-1] if operation is not None and not operation.reads_output else None
        small = output is not None and output.nbytes <= SMALL and len(output.pieces) == 1 and output.dense
        return Plan(request, operation, work_of(len(data)) + cost.work, request.operation != EMPTY, small)

    def _ends(self, plan: Plan) -> tuple[list[NDArray[Any]], Layout | None]:
        """The inputs, and what the output is to be."""
        arrays: Sequence[Layout] = plan.request.arrays
        output = None
        if plan.operation is not None or plan.request.operation == CALL and plan.request.parameters[0]:
            *arrays, output = arrays
        return [readable(self.memory, layout, number) for number, layout in enumerate(arrays)], output

    def _perform(self, plan: Plan, index: int) -> int:
        """Do it; returns how many bytes of the output were written. Raises Refused and Raised."""
        inputs, output = self._ends(plan)
        if plan.operation is None:
            if output is not None:          # what nobody can take is not asked for
                refuse_other_than_ram(self.memory, output, len(inputs))
            result = self._called(plan, inputs, output)
            if output is None or result is None:
                return 0
            with writable(self.memory, output, len(inputs)) as place, np.errstate(all="ignore"):
                place[...] = result
                del place                   # of which nothing may be left, or the window stays open
            return output.nbytes
        assert output is not None
        if plan.small:
            refuse_other_than_ram(self.memory, output, len(inputs))
            made = np.empty(output.shape, output.dtype)
            self._compute(plan, inputs, made, index)
            self.memory.write(output.pieces[0][0], made)
            return made.nbytes
        with writable(self.memory, output, len(inputs)) as place:
            try:
                self._compute(plan, inputs, place, index)
            finally:
                del place
        return output.nbytes

    def _compute(self, plan: Plan, inputs: list[NDArray[Any]], output: NDArray[Any] | None, index: int) -> None:
        """Into the output."""
        if plan.operation is None:
            layout = plan.request.arrays[-1] if output is not None else None
            result = self._called(plan, inputs, layout)
            if output is not None:
                with np.errstate(all="ignore"):
                    output[...] = result
            return
        assert output is not None
        refuse_indices_outside(plan.operation, inputs, output, plan.request.parameters)
        self._backend.compute(plan.operation, inputs, output, plan.request.parameters, index)

    def _called(self, plan: Plan, inputs: list[NDArray[Any]], output: Layout | None) -> NDArray[Any] | None:
        """What the host's function gives, as fits the output; None where there is none. Raises Refused for what does
        not fit, and Raised."""
        function = self.functions.get(plan.request.name)
        if function is None:
            raise Refused(Status.NOT_FOUND)
        for one in inputs:
            one.flags.writeable = False
        try:
            result = function(*inputs)
            if output is None:
                return None
            made = np.asarray(result)
        except BaseException as error:
            raise Raised(error) from None
        if made.shape != output.shape:
            raise Refused(Status.SHAPE, len(inputs))
        if not np.can_cast(made.dtype, output.dtype, "same_kind"):
            raise Refused(Status.TYPE, len(inputs))
        return made

    # --- Cancellation ------------------------------------------------------------------------------------------------

    def _cancel_next(self, index: int, queue: Queue, chain: Chain) -> int:
        """Answer the first request of the queue of control; returns what work it was, but for its descriptors."""
        status, found, work = self._cancel(chain)
        queue.push(chain, self._reply(chain, status, NO_ARRAY, found))
        return work_of(HEADER.size) + work

    def _cancel(self, chain: Chain) -> tuple[Status, int, int]:
        """Mark what waits with the tag; returns the status, how many those are, and the work of finding them."""
        if chain.readable.size != HEADER.size:
            return Status.MALFORMED, 0, 0
        tag, operation, *rest, index, _, _, _ = HEADER.unpack(chain.readable.read())
        if operation != CANCEL:
            return Status.UNSUPPORTED, 0, 0
        if any(rest) or index >= self._control:
            return Status.MALFORMED, 0, 0
        queue = self.queues[index]
        found = work = 0
        for behind in range(queue.size if queue.ready else 0):
            waiting = queue.next(behind)
            if waiting is None:
                break
            work += WORK_OF_REQUEST
            work += WORK_OF_DESCRIPTOR * (len(waiting.readable.segments) + len(waiting.writable.segments))
            entry = index, queue.index + behind & 0xFFFF
            first = waiting.readable.split(TAG)[0]
            if first.size == TAG and int.from_bytes(first.read(), "little") == tag and entry not in self.cancelled \
                    and not (behind == 0 and self.awaiting[index]):
                self.cancelled.append(entry)
                found += 1
        return (Status.OK if found else Status.NOT_FOUND), found, work


def work_of(size: int) -> int:
    """What it counts as to take a request of so many bytes apart."""
    return WORK_OF_REQUEST + WORK_OF_BYTE * min(size, MAXIMUM_REQUEST)


def call_cost(request: Request) -> Cost:
    """Of a function of the host. Raises Refused for an output that cannot be one."""
    if request.parameters[0] > 1 or len(request.arrays) < request.parameters[0]:
        raise Refused(Status.MALFORMED)
    if request.parameters[0] and not apart(request.arrays[-1]):
        raise Refused(Status.LAYOUT, len(request.arrays) - 1)
    return Cost(sum(math.prod(layout.shape) for layout in request.arrays))
