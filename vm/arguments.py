"""Arguments that are not what they must be, said by their names."""

from __future__ import annotations

from operator import index
from typing import TypeVar, get_args

from vm.errors import ConfigurationError

Choice = TypeVar("Choice")


def integer(name: str, value: object) -> int:
    """An int, or what NumPy and others have in its stead. Raises TypeError, which names the argument."""
    try:
        return index(value)                     # type: ignore[arg-type]    # that is the question
    except TypeError:
        raise TypeError(f"{name}={value!r}: must be a whole number") from None


def whole_number(name: str, value: object) -> int:
    """The same of what a machine is built of. Raises ConfigurationError."""
    try:
        return integer(name, value)
    except TypeError as error:
        raise ConfigurationError(str(error)) from None


def one_of(name: str, value: Choice, choices: object) -> Choice:
    """What is one of a Literal's. Raises ConfigurationError, as "space='there': it is 'virtual' or 'physical'"."""
    if value not in get_args(choices):
        raise ConfigurationError(f"{name}={value!r}: it is {' or '.join(map(repr, get_args(choices)))}")
    return value


def refuse_other(takes: str, value: object, kind: type) -> None:
    """Raise TypeError, as "restore() takes what snapshot() gave, not int", for what is not of a class."""
    if not isinstance(value, kind):
        raise TypeError(f"{takes}, not {type(value).__name__}")
