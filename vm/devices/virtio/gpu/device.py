"""The GPU device: one screen, and the commands that draw on it (virtio 1.2, section 5.7).

Queue 0 takes commands, queue 1 those that change the cursor. Each begins with a header, and so does its answer:

    u32 type, u32 flags, u64 fence_id, u32 ctx_id, u8 ring_idx, u8[3] padding

A resource is a picture in the host's memory, and the guest memory that it is filled from. What is seen is the one that
the driver has put on the screen, or a part of it, and the cursor over it: what is transferred to it is seen at once, as
with QEMU's, so that a flush has nothing left to do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.arguments import whole_number
from vm.devices.port import Port
from vm.devices.virtio.gpu.backing import Backing
from vm.devices.virtio.gpu.edid import LARGEST, edid
from vm.devices.virtio.gpu.picture import FORMATS, OPAQUE, PIXEL, Picture, Rectangle, draw_over
from vm.devices.virtio.queue import Buffer, Chain
from vm.devices.virtio.transport import VirtioDevice
from vm.errors import BusError, ConfigurationError, MalformedQueue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONTROL, CURSOR = 0, 1              # queues
F_EDID = 1

HEADER = struct.Struct("<IIQIB3x")
FENCE, RING_INDEX = 1, 2            # flags that the answer has, too (5.7.6.7)

OK_NODATA, OK_DISPLAY_INFO, OK_EDID = 0x1100, 0x1101, 0x1104
ERR_UNSPEC, ERR_OUT_OF_MEMORY, ERR_INVALID_SCANOUT_ID, ERR_INVALID_RESOURCE_ID = 0x1200, 0x1201, 0x1202, 0x1203
ERR_INVALID_PARAMETER = 0x1205

CONFIG = struct.Struct("<IIII")     # events_read, events_clear, num_scanouts, num_capsets
EVENTS_CLEAR = 4                    # where it is
EVENT_DISPLAY = 1

MOST_SCANOUTS = 16                  # in an answer, whatever the device has
DISPLAY = struct.Struct("<6I")      # rectangle, enabled, flags
EDID_ANSWER = struct.Struct("<I4x1024s")
ENTRY = struct.Struct("<QI4x")      # of a backing: address, length
RESIZE = struct.Struct("<HH")       # what enters from outside: width, height

SMALLEST = 64                       # pixels of the screen in each direction: a driver sets no smaller mode
CURSOR_AREA = Rectangle(0, 0, 64, 64)       # of every cursor
HOST_MEMORY = 256 << 20             # bytes of all resources
MOST_RESOURCES = 4096
MOST_PIECES = 1 << 17               # of guest memory behind all resources
LARGEST_SIDE = 16384                # pixels of a resource

# A guest must not hold up its host by work that costs it nothing: what is more waits for the next millisecond.
WORK, WORK_NS = 64 << 20, 1_000_000         # bytes that are copied in so much guest time, as many as ten pictures
PER_COMMAND = 1 << 16               # bytes of work that to read a command and answer it counts as,
PER_PIECE = 4096                    # to find a piece of memory,
PER_RESOURCE = 256                  # and to look at a resource where all are looked at
GO_ON = 0                           # event


class Answer(NamedTuple):
    type: int
    body: bytes = b""


DONE = Answer(OK_NODATA)


class Refused(Exception):
    """A command that cannot be done, for the reason that `type` says. Nothing has changed."""

    def __init__(self, type: int):
        super().__init__()
        self.type = type


class Resource(NamedTuple):
    """What a driver draws with; `backing` is None while it has attached none."""

    picture: Picture
    backing: Backing | None = None


class Pointer(NamedTuple):
    """The cursor: its upper left on the screen, and its 64 x 64 pixels; None while it is hidden."""

    x: int = 0
    y: int = 0
    image: Picture | None = None


class Shown(NamedTuple):
    """What the driver has put on the screen: a part of a resource."""

    number: int
    area: Rectangle
    picture: Picture


class Screen(Port, VirtioDevice):
    """A graphics card and the screen that it drives, with no acceleration.

    - width, height: the size in pixels that the guest is told to use, from 64 to 4095 each; it may use another.

    `generation` is a number that grows with each change of what is seen, `resolution` the size of that, `pixels` its
    content. Raises ConfigurationError for a size that no screen has.
    """

    device_id = 16
    queue_count = 2
    state = VirtioDevice.state + ("preferred", "events_read", "saved_resources", "saved_screen", "saved_pointer",
                                  "worked", "worked_since", "resting")
    setup = ("width", "height")
    unsaved = VirtioDevice.unsaved + Port.unsaved + ("_resources", "_shown", "_pointer", "generation")

    def __init__(self, width: int = 1280, height: int = 800):
        refuse_size(width, height)
        self.preferred = width, height      # what the guest is told; a device's own `width` is that of its registers
        self.generation = 0
        self.resting = False
        super().__init__()

    # --- Looking at it -----------------------------------------------------------------------------------------------

    @property
    def resolution(self) -> tuple[int, int]:
        """Width and height of what is seen, in pixels; of the screen itself while the guest shows nothing."""
        return self.preferred if self._shown is None else (self._shown.area.width, self._shown.area.height)

    @property
    def shows(self) -> bool:
        """Whether the guest shows anything."""
        return self._shown is not None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """What is seen, the cursor over it: a copy, (height, width, 4), red, green, blue and 255. Black: nothing is."""
        import numpy as np  # here: to load it takes half as long as to start a machine without

        shown, pointer = self._shown, self._pointer
        if shown is None:
            width, height = self.resolution
            seen = np.zeros((height, width, PIXEL), np.uint8)
        else:
            seen = shown.picture.rgba(shown.area)
            if pointer.image is not None:
                draw_over(seen, pointer.image.rgba(CURSOR_AREA), pointer.x, pointer.y)
        seen[..., 3] = OPAQUE
        return seen

    def resize(self, width: int, height: int) -> None:
        """The screen has another size now, which the guest is told, and may follow. Raises as the constructor does."""
        refuse_size(width, height)
        self.receive(RESIZE.pack(width, height))

    def accept(self, data: bytes) -> None:
        self.preferred = RESIZE.unpack(data)
        self.events_read |= EVENT_DISPLAY
        if self._shown is None:
            self.generation += 1
        self.config_changed()

    # --- Life --------------------------------------------------------------------------------------------------------

    def arguments(self) -> dict[str, Any]:
        return dict(zip(self.setup, self.preferred, strict=True))

    def reset(self) -> None:
        if self.resting:
            self.events.cancel(self, GO_ON)
        self.resting = False                # until an event, since it has worked enough
        self.worked = self.worked_since = 0         # bytes, and from which guest time on
        self.events_read = 0
        self._resources: dict[int, Resource] = {}
        self._pointer = Pointer()
        self._show(None)
        super().reset()

    def load(self, saved: Mapping[str, Any]) -> None:
        self.refuse_unfit(saved)
        refuse_size(*saved["preferred"])
        super().load(saved)
        self.saved_screen = saved["saved_screen"]       # whose picture is one of those that there are now
        self.generation += 1

    @property
    def saved_resources(self) -> list[tuple[Any, ...]]:
        return [(number, picture.saved(), None if backing is None else backing.pieces)
                for number, (picture, backing) in self._resources.items()]

    @saved_resources.setter
    def saved_resources(self, saved: list[tuple[Any, ...]]) -> None:
        self._resources = {number: Resource(Picture.loaded(picture), None if pieces is None else Backing(pieces))
                           for number, picture, pieces in saved}

    @property
    def saved_screen(self) -> tuple[Any, ...] | None:
        return None if self._shown is None else (self._shown.number, tuple(self._shown.area))

    @saved_screen.setter
    def saved_screen(self, saved: tuple[Any, ...] | None) -> None:
        if saved is None:
            self._shown = None
            return
        number, area = saved[0], Rectangle(*saved[1])
        picture = self._resources[number].picture
        if min(area) < 0 or not area.within(*picture.size):
            raise ValueError(f"a screen that shows {area} of resource {number}")
        self._shown = Shown(number, area, picture)

    @property
    def saved_pointer(self) -> tuple[Any, ...]:
        x, y, image = self._pointer
        return x, y, None if image is None else image.saved()

    @saved_pointer.setter
    def saved_pointer(self, saved: tuple[Any, ...]) -> None:
        x, y, content = saved
        image = None if content is None else Picture.loaded(content)
        if image is not None and image.size != CURSOR_AREA[2:]:
            raise ValueError(f"a cursor of {image.size} pixels")
        self._pointer = Pointer(x, y, image)

    # --- Features and configuration (5.7.3, 5.7.4) -------------------------------------------------------------------

    def features(self) -> int:
        return 1 << F_EDID

    def config(self) -> bytes:
        return CONFIG.pack(self.events_read, 0, 1, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        cleared = bytes(max(offset - EVENTS_CLEAR, 0)) + data[max(EVENTS_CLEAR - offset, 0):]
        self.events_read &= ~int.from_bytes(cleared[:4], "little")

    # --- Commands (5.7.6) --------------------------------------------------------------------------------------------

    def handle(self, index: int) -> None:
        """At most one ring full, and no more than the guest has time for: what is left has to wait."""
        if self.resting:
            return
        queue = self.queues[index]
        for chain in queue.chains():
            self._work(PER_COMMAND)
            queue.push(chain, self._obey(chain))
            if self.worked > WORK:
                break
        if self.worked > WORK or queue.next():      # which only rings that are written over while they are read have
            self.resting = True
            self.events.schedule(max(self.worked // WORK, 1) * WORK_NS, self, GO_ON)

    def on_event(self, event: int, data: int) -> None:
        self.resting = False
        self.worked, self.worked_since = 0, self.clock.now_ns()
        for index in (CONTROL, CURSOR):
            self.serve(index)

    def _work(self, amount: int) -> None:
        """So much was done for the guest."""
        now = self.clock.now_ns()
        if now - self.worked_since >= WORK_NS:
            self.worked, self.worked_since = 0, now
        self.worked += amount

    def _obey(self, chain: Chain) -> int:
        """Do what a command says, and write the answer; returns how long that is. Nobody waits for one of a cursor."""
        header, rest = chain.readable.split(HEADER.size)
        if header.size < HEADER.size:
            raise MalformedQueue(f"a command of {header.size} bytes, which is less than its header")
        type, flags, fence, context, ring = HEADER.unpack(header.read())
        try:
            answer = self._do(type, rest)
        except Refused as refused:
            answer = Answer(refused.type)
        kept = flags & (FENCE | RING_INDEX)
        if not kept & FENCE:
            fence = context = 0
        head = HEADER.pack(answer.type, kept, fence, context, ring if kept & RING_INDEX else 0)
        return chain.writable.write(head + answer.body)

    def _do(self, type: int, rest: Buffer) -> Answer:
        if type not in COMMANDS:
            raise Refused(ERR_UNSPEC)
        layout, method = COMMANDS[type]
        fields, behind = rest.split(layout.size)
        if fields.size < layout.size:
            raise Refused(ERR_UNSPEC)
        return method(self, behind, *layout.unpack(fields.read()))

    def _resource(self, number: int) -> Resource:
        if number not in self._resources:
            raise Refused(ERR_INVALID_RESOURCE_ID)
        return self._resources[number]

    def _picture(self, number: int, area: Rectangle) -> Picture:
        """The one of a resource in which the area lies."""
        picture = self._resource(number).picture
        if not area.within(picture.width, picture.height):
            raise Refused(ERR_INVALID_PARAMETER)
        return picture

    def _tell_displays(self, behind: Buffer) -> Answer:
        own = DISPLAY.pack(0, 0, *self.preferred, 1, 0)
        return Answer(OK_DISPLAY_INFO, own.ljust(MOST_SCANOUTS * DISPLAY.size, b"\0"))

    def _tell_edid(self, behind: Buffer, scanout: int) -> Answer:
        refuse_scanout(scanout)
        block = edid(*self.preferred)
        return Answer(OK_EDID, EDID_ANSWER.pack(len(block), block))

    def _create(self, behind: Buffer, number: int, format: int, width: int, height: int) -> Answer:
        if number == 0 or number in self._resources:
            raise Refused(ERR_INVALID_RESOURCE_ID)
        if format not in FORMATS or not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
            raise Refused(ERR_INVALID_PARAMETER)
        self._work(len(self._resources) * PER_RESOURCE)
        held = sum(len(picture.content) for picture, _ in self._resources.values())
        if held + width * height * PIXEL > HOST_MEMORY or len(self._resources) == MOST_RESOURCES:
            raise Refused(ERR_OUT_OF_MEMORY)
        self._work(width * height * PIXEL)          # to clear it
        self._resources[number] = Resource(Picture(format, width, height))
        return DONE

    def _unref(self, behind: Buffer, number: int) -> Answer:
        self._resource(number)
        del self._resources[number]
        if self._shown is not None and self._shown.number == number:
            self._show(None)
        return DONE

    def _attach_backing(self, behind: Buffer, number: int, count: int) -> Answer:
        resource = self._resource(number)
        if resource.backing is not None or behind.size < count * ENTRY.size:
            raise Refused(ERR_UNSPEC)
        self._work(len(self._resources) * PER_RESOURCE)
        held = sum(len(backing.pieces) for _, backing in self._resources.values() if backing is not None)
        if held + count > MOST_PIECES:
            raise Refused(ERR_OUT_OF_MEMORY)
        self._work(count * PER_PIECE)
        entries, _ = behind.split(count * ENTRY.size)
        backing = Backing(ENTRY.iter_unpack(entries.read()))
        try:
            backing.refuse_outside(self.memory)
        except BusError:
            raise Refused(ERR_UNSPEC) from None
        self._resources[number] = resource._replace(backing=backing)
        return DONE

    def _detach_backing(self, behind: Buffer, number: int) -> Answer:
        resource = self._resource(number)
        if resource.backing is None:
            raise Refused(ERR_INVALID_RESOURCE_ID)
        self._resources[number] = resource._replace(backing=None)
        return DONE

    def _transfer(self, behind: Buffer, x: int, y: int, width: int, height: int, offset: int, number: int) -> Answer:
        """The guest's rows are as far apart as those of the resource; the first begins at the offset."""
        area = Rectangle(x, y, width, height)
        picture = self._picture(number, area)
        backing = self._resource(number).backing
        if backing is None:
            raise Refused(ERR_INVALID_RESOURCE_ID)
        if not width or not height:
            return DONE
        if offset + (height - 1) * picture.stride + width * PIXEL > backing.size:
            raise Refused(ERR_INVALID_PARAMETER)
        rows, size = (1, height * picture.stride) if width == picture.width else (height, width * PIXEL)
        target, copied = picture.writable()
        pieces = 0
        for row in range(rows):
            start = (y + row) * picture.stride + x * PIXEL
            pieces += backing.read_into(target[start:start + size], self.memory, offset + row * picture.stride)
        self._work(copied + rows * size + pieces * PER_PIECE)
        if self._shown is not None and self._shown.number == number and area.common(self._shown.area):
            self.generation += 1
        return DONE

    def _set_scanout(self, behind: Buffer, x: int, y: int, width: int, height: int, scanout: int, number: int
                     ) -> Answer:
        refuse_scanout(scanout)
        if number == 0:
            self._show(None)
            return DONE
        area = Rectangle(x, y, width, height)
        picture = self._picture(number, area)
        if not width or not height:
            raise Refused(ERR_INVALID_PARAMETER)
        shown = Shown(number, area, picture)
        if shown != self._shown:
            self._show(shown)
        return DONE

    def _show(self, shown: Shown | None) -> None:
        self._shown = shown
        self.generation += 1

    def _flush(self, behind: Buffer, x: int, y: int, width: int, height: int, number: int) -> Answer:
        self._picture(number, Rectangle(x, y, width, height))
        return DONE

    # --- The cursor (5.7.6.10) ---------------------------------------------------------------------------------------

    def _update_cursor(self, behind: Buffer, scanout: int, x: int, y: int, number: int) -> Answer:
        refuse_scanout(scanout)
        image = None
        if number != 0:
            picture = self._resource(number).picture
            if picture.size != CURSOR_AREA[2:]:
                raise Refused(ERR_INVALID_PARAMETER)
            self._work(len(picture.content))
            image = Picture(picture.format, *picture.size, bytes(picture.content))
        self._point(Pointer(x, y, image))
        return DONE

    def _move_cursor(self, behind: Buffer, scanout: int, x: int, y: int, number: int) -> Answer:
        refuse_scanout(scanout)
        self._point(self._pointer._replace(x=x, y=y))
        return DONE

    def _point(self, pointer: Pointer) -> None:
        before, self._pointer = self._pointer, pointer
        if before != pointer and (before.image is not None or pointer.image is not None):
            self.generation += 1


# By type: what follows the header, and what does it. A cursor's hot spot is for who draws it himself: it is placed by
# its upper left, which may be above or left of the screen.
COMMANDS: dict[int, tuple[struct.Struct, Callable[..., Answer]]] = {
    0x0100: (struct.Struct("<"), Screen._tell_displays),            # GET_DISPLAY_INFO
    0x0101: (struct.Struct("<4I"), Screen._create),                 # RESOURCE_CREATE_2D: resource, format, size
    0x0102: (struct.Struct("<I4x"), Screen._unref),                 # RESOURCE_UNREF
    0x0103: (struct.Struct("<6I"), Screen._set_scanout),            # SET_SCANOUT: rectangle, scanout, resource
    0x0104: (struct.Struct("<5I4x"), Screen._flush),                # RESOURCE_FLUSH: rectangle, resource
    0x0105: (struct.Struct("<4IQI4x"), Screen._transfer),           # TRANSFER_TO_HOST_2D: rectangle, offset, resource
    0x0106: (struct.Struct("<II"), Screen._attach_backing),         # RESOURCE_ATTACH_BACKING: resource, entries
    0x0107: (struct.Struct("<I4x"), Screen._detach_backing),        # RESOURCE_DETACH_BACKING
    0x010A: (struct.Struct("<I4x"), Screen._tell_edid),             # GET_EDID: scanout
    0x0300: (struct.Struct("<Iii4xI12x"), Screen._update_cursor),   # UPDATE_CURSOR: scanout, place, resource
    0x0301: (struct.Struct("<Iii4xI12x"), Screen._move_cursor),     # MOVE_CURSOR
}  # fmt: skip


def refuse_scanout(scanout: int) -> None:
    if scanout != 0:
        raise Refused(ERR_INVALID_SCANOUT_ID)


def refuse_size(width: int, height: int) -> None:
    """Raise ConfigurationError unless a screen has such a size."""
    for name, value in (("width", width), ("height", height)):
        if not SMALLEST <= whole_number(name, value) <= LARGEST:
            raise ConfigurationError(f"{name}={value}: a screen has {SMALLEST} to {LARGEST} pixels each way")
