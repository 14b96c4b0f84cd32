"""Pixels in host memory, in the formats that a driver may choose: virtio 1.2, section 5.7.6.8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIXEL = 4                           # bytes, in every format
OPAQUE = 255
# What is copied lies at beginnings of pages. A large bytearray begins 16 bytes behind one, and there stores get in the
# way of the loads that follow, whose addresses differ in their last 12 bits by so little: it takes three times as long.
LEAD = 48


class Order(NamedTuple):
    """Which byte of a pixel, in the order of memory, holds what. A screen has no use for alpha, whatever it is."""

    red: int
    green: int
    blue: int
    alpha: int


# By virtio_gpu_formats. The names are those of the specification: B8G8R8A8 has blue at the lowest address. Where they
# have an X there is alpha all the same if it is a cursor: Linux makes all its buffers of B8G8R8X8.
FORMATS = {
    1: Order(2, 1, 0, 3),           # B8G8R8A8
    2: Order(2, 1, 0, 3),           # B8G8R8X8
    3: Order(1, 2, 3, 0),           # A8R8G8B8
    4: Order(1, 2, 3, 0),           # X8R8G8B8
    67: Order(0, 1, 2, 3),          # R8G8B8A8
    68: Order(3, 2, 1, 0),          # X8B8G8R8
    121: Order(3, 2, 1, 0),         # A8B8G8R8
    134: Order(0, 1, 2, 3),         # R8G8B8X8
}


class Rectangle(NamedTuple):
    """In pixels, from the upper left."""

    x: int
    y: int
    width: int
    height: int

    def within(self, width: int, height: int) -> bool:
        return self.x + self.width <= width and self.y + self.height <= height

    def common(self, other: Rectangle) -> Rectangle | None:
        """What lies in both."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width = min(self.x + self.width, other.x + other.width) - x
        height = min(self.y + self.height, other.y + other.height) - y
        return Rectangle(x, y, width, height) if width > 0 and height > 0 else None


class Picture:
    """Rows of pixels without gaps.

    The content is bytes as long as nobody writes to it: what a snapshot has taken is not copied again by the next.
    """

    __slots__ = ("content", "format", "height", "width")

    def __init__(self, format: int, width: int, height: int, content: bytes | None = None):
        self.format = format
        self.width = width
        self.height = height
        self.content: bytes | memoryview = empty(width * height * PIXEL) if content is None else content

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def stride(self) -> int:
        """Bytes from a row to the next."""
        return self.width * PIXEL

    def writable(self) -> tuple[memoryview, int]:
        """The content, and how many bytes were copied for that."""
        if not isinstance(self.content, bytes):
            return self.content, 0
        content = empty(len(self.content))
        content[:] = self.content
        self.content = content
        return content, len(content)

    def frozen(self) -> bytes:
        if not isinstance(self.content, bytes):
            self.content = bytes(self.content)
        return self.content

    def rgba(self, area: Rectangle) -> NDArray[np.uint8]:
        """A copy of a part: (height, width, 4), red, green, blue, alpha."""
        import numpy as np  # here: to load it takes half as long as to start a machine without

        pixels = np.frombuffer(self.content, np.uint8).reshape(self.height, self.width, PIXEL)
        return pixels[area.y:area.y + area.height, area.x:area.x + area.width, FORMATS[self.format]]

    def saved(self) -> tuple[Any, ...]:
        return self.format, self.width, self.height, self.frozen()

    @classmethod
    def loaded(cls, saved: tuple[Any, ...]) -> Picture:
        """Raises ValueError for what `saved` never gives."""
        format, width, height, content = saved
        whole = isinstance(content, bytes) and len(content) == width * height * PIXEL
        if format not in FORMATS or not whole or width < 1 or height < 1:
            raise ValueError(f"a picture of {width} x {height} pixels with {len(content)} bytes")
        return cls(format, width, height, content)


def empty(size: int) -> memoryview:
    """So many bytes of zero, where they are filled fast."""
    return memoryview(bytearray(LEAD + size))[LEAD:]


def draw_over(screen: NDArray[np.uint8], image: NDArray[np.uint8], x: int, y: int) -> None:
    """Blend an RGBA image whose colours are multiplied by its alpha, as those of DRM planes, at (x, y) of another."""
    import numpy as np

    height, width = screen.shape[:2]
    seen = Rectangle(x, y, image.shape[1], image.shape[0]).common(Rectangle(0, 0, width, height))
    if seen is None:
        return
    part = image[seen.y - y:seen.y - y + seen.height, seen.x - x:seen.x - x + seen.width].astype(np.uint16)
    below = screen[seen.y:seen.y + seen.height, seen.x:seen.x + seen.width, :3]
    left = (below * (OPAQUE - part[..., 3:]) + OPAQUE // 2) // OPAQUE
    below[:] = np.minimum(part[..., :3] + left, OPAQUE)
