"""Arguments that are no such thing, said by their names."""

from __future__ import annotations

from operator import index

from vm.errors import ConfigurationError


def whole_number(name: str, value: object) -> int:
    """An int, or what NumPy and others have in its stead. Raises ConfigurationError, which names the argument."""
    try:
        return index(value)                     # type: ignore[arg-type]    # that is the question
    except TypeError:
        raise ConfigurationError(f"{name}={value!r}: must be a whole number") from None
