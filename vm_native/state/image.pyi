from collections.abc import Callable

from typing_extensions import Buffer

class RamImage:
    size: int
    def __init__(self, size: int, missing: bytes, load: Callable[[int], tuple[int, Buffer]]) -> None: ...
    def touched(self) -> bytearray: ...
