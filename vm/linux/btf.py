"""BTF: what a kernel says of its own types, and so where each field of a structure is.

Documentation/bpf/btf.rst of the kernel describes the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from vm.errors import LinuxError

HEADER = struct.Struct("<HBBIIIII")         # magic, version, flags, hdr_len, type_off, type_len, str_off, str_len
TYPE = struct.Struct("<III")                # name_off, info, size or type
ARRAY = struct.Struct("<III")               # type of the elements, of the index, how many
MEMBER = struct.Struct("<III")              # name_off, type, offset in bits
MAGIC, VERSION = 0xEB9F, 1
INT, PTR, ARRAY_OF, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
# Bytes that follow a type: so many, and so many for each of those that it has.
FOLLOWING = {INT: (4, 0), ARRAY_OF: (ARRAY.size, 0), STRUCT: (0, MEMBER.size), UNION: (0, MEMBER.size), ENUM: (0, 8),
             FUNC_PROTO: (0, 8), VAR: (4, 0), DATASEC: (0, 12), DECL_TAG: (4, 0), ENUM64: (0, 12)}
OTHER_NAMES = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
POINTER_SIZE = 8
MOST_NAMES = 64                             # that one type has, one for another
DAMAGED = "the kernel's type information (BTF) is damaged"
SIGNED = 1 << 24                            # of the word that follows an INT


@contextmanager
def refusing_damage() -> Iterator[None]:
    """What a guest says of itself may be anything."""
    try:
        yield
    except (IndexError, ValueError, struct.error, RecursionError) as error:
        raise LinuxError(DAMAGED) from error


class Field(NamedTuple):
    """A field: where it is from the start of the structure, and what. Offsets are in bits, sizes in bytes."""

    bit: int
    type: int
    size: int
    bits: int               # of a bit field, 0 for others
    elements: int              # an array has, else 0
    signed: bool

    @property
    def offset(self) -> int:
        """In bytes."""
        return self.bit // 8


class Btf:
    """The types in a blob of BTF. Raises LinuxError where it is none, and for what is not in it."""

    def __init__(self, data: bytes):
        self._data = data
        self._found: dict[str, int] = {}
        self._fields: dict[tuple[str, str], Field] = {}
        if len(data) < HEADER.size:
            raise LinuxError("the kernel's type information (BTF) is cut short")
        magic, version, _, length, type_at, type_size, text_at, text_size = HEADER.unpack_from(data)
        if (magic, version) != (MAGIC, VERSION):
            raise LinuxError(f"the kernel's type information is no BTF of version {VERSION}: it begins with "
                             f"{data[:4].hex()}")
        self._texts = data[length + text_at:][:text_size]
        self._at = [0, *self._places(length + type_at, length + type_at + type_size)]

    def _places(self, at: int, end: int) -> Iterator[int]:
        """Where each type is, from number 1 on."""
        unpack, data = TYPE.unpack_from, self._data
        if end > len(data):
            raise LinuxError("the kernel's type information (BTF) is cut short")
        while at < end:
            if at + TYPE.size > end:
                raise LinuxError(DAMAGED)
            yield at
            info = unpack(data, at)[1]
            fixed, each = FOLLOWING.get(info >> 24 & 31, (0, 0))
            at += TYPE.size + fixed + each * (info & 0xFFFF)

    def has(self, structure: str, path: str) -> bool:
        """Whether a structure has such a field."""
        try:
            self.field(structure, path)
        except LinuxError:
            return False
        return True

    def size(self, structure: str) -> int:
        """Of a structure, in bytes."""
        with refusing_damage():
            return self._size(self._structure(structure))

    def field(self, structure: str, path: str) -> Field:
        """`field("task_struct", "tasks.next")`: names with points between them; a number is the index of an array."""
        key = structure, path
        if key not in self._fields:
            with refusing_damage():
                self._fields[key] = self._find_field(structure, path)
        return self._fields[key]

    def _find_field(self, structure: str, path: str) -> Field:
        number, bit, bits = self._structure(structure), 0, 0
        for name in path.split("."):
            number = self._plain(number)
            if name.isdecimal():
                element, _, count = self._array(number)
                if int(name) >= count:
                    raise LinuxError(f"struct {structure} of this kernel: {path} is beyond {count} elements")
                number, bit, bits = element, bit + 8 * self._size(element) * int(name), 0
                continue
            member = self._member(number, name)
            if member is None:
                raise LinuxError(f"struct {structure} of this kernel has no field {path}")
            number, bit, bits = member[0], bit + member[1], member[2]
        number = self._plain(number)
        kind = self._kind(number)
        return Field(bit, number, self._size(number), bits, self._array(number)[2] if kind == ARRAY_OF else 0,
                     kind == INT and bool(self._word(number) & SIGNED))

    def _structure(self, name: str) -> int:
        """The number of a struct or union with this name."""
        if not self._found:
            for number, at in enumerate(self._at):
                if number:
                    name_at, info, _ = TYPE.unpack_from(self._data, at)
                    if info >> 24 & 31 in (STRUCT, UNION) and name_at:
                        self._found.setdefault(self._text(name_at), number)
        if name not in self._found:
            raise LinuxError(f"the kernel's type information (BTF) has no struct {name}")
        return self._found[name]

    def _member(self, number: int, wanted: str) -> tuple[int, int, int] | None:
        """Type, offset in bits and size in bits (0: whole) of a member, also one of an unnamed struct in it."""
        at = self._at[number]
        info = TYPE.unpack_from(self._data, at)[1]
        if info >> 24 & 31 not in (STRUCT, UNION):
            return None
        fields_of_bits = info >> 31
        for place in range(info & 0xFFFF):
            name_at, kind, offset = MEMBER.unpack_from(self._data, at + TYPE.size + MEMBER.size * place)
            bit, bits = (offset & 0xFFFFFF, offset >> 24) if fields_of_bits else (offset, 0)
            if name_at:
                if self._text(name_at) == wanted:
                    return kind, bit, bits
            elif inner := self._member(self._plain(kind), wanted):
                return inner[0], bit + inner[1], inner[2]
        return None

    def _plain(self, number: int) -> int:
        """What a typedef, or a type with const or the like, stands for."""
        for _ in range(MOST_NAMES):
            if self._kind(number) not in OTHER_NAMES:
                return number
            number = TYPE.unpack_from(self._data, self._at[number])[2]
        raise LinuxError(DAMAGED)

    def _size(self, number: int) -> int:
        number = self._plain(number)
        if not number:
            return 0                        # void
        kind = self._kind(number)
        if kind == PTR:
            return POINTER_SIZE
        if kind == ARRAY_OF:
            element, _, count = self._array(number)
            return count * self._size(element)
        size: int = TYPE.unpack_from(self._data, self._at[number])[2]
        return size

    def _array(self, number: int) -> tuple[int, int, int]:
        if self._kind(number) != ARRAY_OF:
            raise LinuxError("a field of the kernel is no array, against what this version of vm knows")
        return ARRAY.unpack_from(self._data, self._at[number] + TYPE.size)

    def _kind(self, number: int) -> int:
        return int(TYPE.unpack_from(self._data, self._at[number])[1] >> 24 & 31) if number else 0

    def _word(self, number: int) -> int:
        return int.from_bytes(self._data[self._at[number] + TYPE.size:][:4], "little")

    def _text(self, at: int) -> str:
        return self._texts[at:self._texts.index(b"\0", at)].decode(errors="replace")
