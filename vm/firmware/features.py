"""What a supervisor may switch on and off by firmware (SBI specification 3.0, chapter 18): bits of `menvcfg`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vm.firmware.hart import Answer, Hart, read, write
from vm.state import Stateful
from vm_native.riscv.csrs import BY_NAME, mask
from vm_native.riscv.sbi_numbers import Error

LOCK = 1


class Feature(NamedTuple):
    needs: str                          # the extension that a hart must have
    field: str                          # of menvcfg
    values: Mapping[int, str] = {0: "", 1: ""}      # the named values of the field, by those of the feature

    @property
    def mask(self) -> int:
        return mask("menvcfg", self.field)

    def bits(self, value: int) -> int:
        """Of the field, for one of the values."""
        field = next(field for field in BY_NAME["menvcfg"].fields or () if field.name == self.field)
        name = self.values[value]
        return field.legal[name] << field.low if name else value << field.low


MISALIGNED_EXC_DELEG = 0                # the kernel has them from the start: nobody here would serve them
DOUBLE_TRAP = 3                         # Ssdbltrp, which no hart has
FEATURES = {
    1: Feature("Zicfilp", "LPE"),
    2: Feature("Zicfiss", "SSE"),
    4: Feature("Svadu", "ADUE"),
    5: Feature("Smnpm", "PMM", {0: "PMLEN0", 7: "PMLEN7", 16: "PMLEN16"}),
}
ALL = sum(feature.mask for feature in FEATURES.values())


class Features(Stateful):
    """Those of all harts. locked: by hart, the features that are to stay as they are."""

    state = ("locked",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.locked: dict[int, list[int]] = {}

    def begin(self, hart: Hart) -> None:
        """The hart is started: its features have the values of a reset."""
        self.locked.pop(hart.id, None)
        initial = BY_NAME["menvcfg"].initial(hart.isa.extensions) or 0
        write(hart, "menvcfg", read(hart, "menvcfg") & ~ALL | initial & ALL)

    def get(self, hart: Hart, number: int) -> Answer:
        if number == MISALIGNED_EXC_DELEG:
            return Error.SUCCESS, 1
        feature = FEATURES.get(number)
        if feature is None or feature.needs not in hart.isa.extensions:
            return absent(number), 0
        now = read(hart, "menvcfg") & feature.mask
        return Error.SUCCESS, next(value for value in feature.values if feature.bits(value) == now)

    def set(self, hart: Hart, number: int, value: int, flags: int) -> Answer:
        error, now = self.get(hart, number)
        if error != Error.SUCCESS:
            return error, 0
        values = FEATURES[number].values if number in FEATURES else (0, 1)
        if value not in values or flags & ~LOCK:
            return Error.INVALID_PARAM, 0
        if value != now:
            if number == MISALIGNED_EXC_DELEG:
                return Error.DENIED, 0
            if number in self.locked.get(hart.id, ()):
                return Error.DENIED_LOCKED, 0
            write(hart, "menvcfg", read(hart, "menvcfg") & ~FEATURES[number].mask | FEATURES[number].bits(value))
        if flags & LOCK and number not in self.locked.get(hart.id, ()):
            self.locked.setdefault(hart.id, []).append(number)
        return Error.SUCCESS, 0


def absent(number: int) -> Error:
    """Of a feature that this hart has not, or that there is none."""
    return Error.NOT_SUPPORTED if number in FEATURES or number == DOUBLE_TRAP else Error.DENIED
