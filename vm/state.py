"""What of a machine changes while it runs, named once: by the class that it belongs to.

    class Counter(Stateful):
        state = ("count", "queue")              # what changes in a run: saved, compared, loaded
        setup = ("limit",)                      # constructor arguments, which stay as they are
        unsaved = ("output", "_index")          # wiring, the host's, and what follows from the state

Every attribute of an object is in one of them, so that a test can tell what was forgotten. A saved state is plain data:
a dict by name, of None, bool, int, float, str, bytes, lists, tuples and dicts. What is the same compares equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter, itemgetter
from typing import Any, ClassVar

from vm.errors import SnapshotError

ATOMS = frozenset((type(None), bool, int, float, str, bytes))

Values = Callable[[Any], tuple[Any, ...]]


class Stateful:
    """The base of everything in Python whose state is saved with a machine.

    An attribute that holds a bytearray always does: it is saved as bytes. A name in `state` may be a property.
    """

    __slots__ = ()

    state: tuple[str, ...] = ()     # attributes that make up the saved state
    setup: tuple[str, ...] = ()     # constructor arguments, which are attributes of the same names
    unsaved: tuple[str, ...] = ()   # other attributes: wiring, the host's, and what follows from the state

    _names: ClassVar[tuple[str, ...]] = ()
    _known: ClassVar[frozenset[str]] = frozenset()
    _values: ClassVar[Any] = staticmethod(lambda thing: ())          # Values: of the object, and of a saved state
    _values_saved: ClassVar[Any] = staticmethod(lambda saved: ())

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        places = cls._places()
        cls._names = tuple(places)
        cls._known = frozenset(places)
        cls._values = staticmethod(several(attrgetter, *places.values()))
        cls._values_saved = staticmethod(several(itemgetter, *places))

    @classmethod
    def _places(cls) -> dict[str, str]:
        """Where the value is found that is saved under a name: the path of attributes."""
        return {name: name for name in cls.state}

    def save(self) -> dict[str, Any]:
        """A deep copy of the attributes named in `state`, by name. Raises SnapshotError for what is no plain data."""
        try:
            return dict(zip(self._names, map(plain, self._values(self)), strict=True))
        except TypeError as error:
            name = next(name for name, path in self._places().items() if not is_plain(attrgetter(path)(self)))
            raise SnapshotError(f"{type(self).__name__}.{name}: {error}") from None

    def differs(self, saved: Mapping[str, Any]) -> bool:
        """Whether `save` would give something else; cheaper than that. Raises KeyError where `saved` does not fit."""
        return bool(self._values(self) != self._values_saved(saved))

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` gave: from then on it gives the same again. Nothing else moves.

        Raises SnapshotError where it is of another version.
        """
        self.refuse_unfit(saved)
        # What stands in `state` comes first of what is saved.
        for name, value, now in zip(self.state, self._values_saved(saved), self._values(self), strict=False):
            if now != value:                # most of it: then there is nothing to copy
                if isinstance(now, bytearray) and not isinstance(value, bytes):
                    raise SnapshotError(f"the saved state of {type(self).__name__} is damaged: {name} is no bytes")
                setattr(self, name, bytearray(value) if isinstance(now, bytearray) else plain(value))

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        """Raise SnapshotError for what is not the state of such a thing."""
        if saved.keys() != self._known:
            missing_or_unknown = saved.keys() ^ self._known
            raise SnapshotError(f"the saved state of {type(self).__name__} does not fit this version: "
                                f"{', '.join(sorted(missing_or_unknown))} missing or unknown")


def several(getter: Callable[..., Any], *names: str) -> Values:
    """What `getter` makes of these names; the values are a tuple, however many they are."""
    if not names:
        return lambda thing: ()
    if len(names) == 1:
        get = getter(*names)
        return lambda thing: (get(thing),)
    values: Values = getter(*names)
    return values


def plain(value: Any) -> Any:
    """A deep copy as plain data. Raises TypeError for anything else."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is bytearray:
        return bytes(value)
    if kind is list or kind is tuple:
        return kind(value if ATOMS.issuperset(map(type, value)) else [part(item) for item in value])
    if kind is dict:
        return {part(key): part(item) for key, item in value.items()}
    if isinstance(value, int):                  # of an enumeration, say
        return int(value)
    raise TypeError(f"{kind.__name__} cannot be part of a saved state, which is plain data: None, bool, int, float, "
                    "str, bytes, list, tuple and dict")


def part(value: Any) -> Any:
    """A value inside another."""
    if type(value) is bytearray:
        raise TypeError("a bytearray inside a list, tuple or dict would be loaded as bytes: make it an attribute of "
                        "its own, or keep bytes")
    return plain(value)


def is_plain(value: Any) -> bool:
    try:
        plain(value)
    except TypeError:
        return False
    return True
