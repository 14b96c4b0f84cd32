"""Litmus tests: a few accesses of a few harts to a few places, as text.

The classical shapes and their names are those of "Understanding POWER Multiprocessors" (Sarkar and others, 2011) and of
the memory model's chapter in the unprivileged specification. A test is written as

    Wx1 fence.w.w Wy1 | Ry addr Rx

Bars part the harts. Accesses, with a place of x y z and for those that write a value of 1 to 3:

    R W     load and store
    L       load-reserved alone
    X       load-reserved and store-conditional, which may fail
    A O     amoswap; amoor of nothing, which only looks

All but R and W may end in .aq, .rl or .aqrl. What stands between two accesses is a fence, as `fence.r.rw` or
`fence.tso`; or what the second takes of the last read before it: `addr` its address, `data` its value, `ctrl` that a
branch led there, each so that nothing changes by it.
"""

import re
from functools import cache
from itertools import product
from typing import NamedTuple

PLACES = "xyz"
ACCESS = re.compile(r"([RWLXAO])([xyz])([1-3]?)(?:\.(aq|rl|aqrl))?")
WRITERS = "WXA"                 # what has a value
DEPENDENCIES = ("addr", "data", "ctrl")
MOST_BITS = 16                  # of an outcome


class Access(NamedTuple):
    """One token that accesses memory; `before` are the tokens since the access before it."""

    kind: str
    place: str
    value: int
    order: str                  # "", "aq", "rl" or "aqrl"
    before: tuple[str, ...]

    @property
    def observations(self) -> int:
        """How many registers it leaves: what was read, and whether a store-conditional failed."""
        return {"W": 0, "X": 2}.get(self.kind, 1)


class Shape(NamedTuple):
    """A litmus test."""

    name: str
    text: str

    @property
    def family(self) -> str:
        """The classical shape that it is made of."""
        match = re.match(r"2\+2W|W\+RWC|[^+]*", self.name)
        assert match
        return match[0]

    @property
    def harts(self) -> tuple[tuple[Access, ...], ...]:
        return tuple(accesses(part) for part in self.text.split("|"))

    @property
    def places(self) -> str:
        return "".join(place for place in PLACES if re.search(f"[RWLXAO]{place}", self.text))

    @property
    def finals(self) -> str:
        """The places whose last value is part of an outcome: those that are written more than once."""
        written = [access.place for hart in self.harts for access in hart if access.kind in WRITERS]
        return "".join(place for place in self.places if written.count(place) > 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """What an outcome is made of, in order: `1:x` is what hart 1 reads of x, `1:x?` whether its SC failed."""
        read = [f"{number}:{access.place}{'?' * failed}" for number, hart in enumerate(self.harts)
                for access in hart for failed in range(access.observations)]
        return (*read, *self.finals)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many bits each of them takes."""
        return tuple(1 if label.endswith("?") else 2 for label in self.labels)


Outcome = tuple[int, ...]       # the values of a shape's labels


def accesses(text: str) -> tuple[Access, ...]:
    """Those of one hart."""
    found: list[Access] = []
    before: list[str] = []
    for token in text.split():
        match = ACCESS.fullmatch(token)
        if match is None:
            assert token in DEPENDENCIES or re.fullmatch(r"fence\.([rw]+\.[rw]+|tso)", token), f"{token} in {text}"
            before.append(token)
        else:
            kind, place, value, order = match.groups()
            assert bool(value) == (kind in WRITERS) and not (order and kind in "RW"), f"{token} in {text}"
            found.append(Access(kind, place, int(value or 0), order or "", tuple(before)))
            before = []
    assert found and not before, f"{text}: ends with no access"
    return tuple(found)


# --- The shapes. A dash is where something may stand between two accesses ---------------------------------------------

TWO_HARTS = {
    "MP":     "Wx1 - Wy1 | Ry - Rx",
    "SB":     "Wx1 - Ry | Wy1 - Rx",
    "LB":     "Rx - Wy1 | Ry - Wx1",
    "R":      "Wx1 - Wy1 | Wy2 - Rx",
    "S":      "Wx2 - Wy1 | Ry - Wx1",
    "2+2W":   "Wx1 - Wy2 | Wy1 - Wx2",
}
MORE_HARTS = {
    "WRC":    "Wx1 | Rx - Wy1 | Ry - Rx",
    "RWC":    "Wx1 | Rx - Ry | Wy1 - Rx",
    "WWC":    "Wx2 | Rx - Wy1 | Ry - Wx1",
    "ISA2":   "Wx1 - Wy1 | Ry - Wz1 | Rz - Rx",
    "W+RWC":  "Wx1 - Wy1 | Ry - Rz | Wz1 - Rx",
    "Z6.3":   "Wx1 - Wy1 | Wy2 - Wz1 | Rz - Rx",
    "3.SB":   "Wx1 - Ry | Wy1 - Rz | Wz1 - Rx",
    "3.LB":   "Rx - Wy1 | Ry - Wz1 | Rz - Wx1",
    "3.2W":   "Wx1 - Wy2 | Wy1 - Wz2 | Wz1 - Wx2",
    "IRIW":   "Wx1 | Rx - Ry | Wy1 | Ry - Rx",
}
# Of one place, by which all orders of memory agree; then what stands between is of no interest.
COHERENCE = {
    "CoRR":   "Wx1 | Rx Rx",
    "CoRR2":  "Wx1 | Wx2 | Rx Rx | Rx Rx",
    "CoWW":   "Wx1 Wx2 | Rx Rx",
    "CoWR":   "Wx1 Rx | Wx2",
    "CoRW1":  "Rx Wx1 | Rx",
    "CoRW2":  "Rx Wx1 | Wx2",
    "CoRWRW": "Rx Wx1 | Rx Wx2",
    "CoAA":   "Ax1 | Ax2 | Ax3",
    "CoXX":   "Xx1 | Xx2 | Rx Rx",
    "CoXW":   "Xx1 | Wx2 Wx3",
    "CoXA":   "Xx1 | Ax2 | Ax3",
    "CoXXXX": "Xx1 Xx2 | Xx3 Rx",
    "CoRO":   "Wx1 Ox | Wx2 Ox",
}
# What rules 3, 12 and 13 of preserved program order are about, and forwarding from a hart's own store.
SPECIAL = {
    "MP+fence.w.w+data-rfi-addr": "Wx1 fence.w.w Wy1 | Ry data Wz1 Rz addr Rx",
    "MP+fence.w.w+addr-rfi-addr": "Wx1 fence.w.w Wy1 | Ry addr Wz1 Rz addr Rx",
    "MP+fence.w.w+ctrl-rfi-addr": "Wx1 fence.w.w Wy1 | Ry ctrl Wz1 Rz addr Rx",
    "S+fence.w.w+addr-po":        "Wx2 fence.w.w Wy1 | Ry addr Rz Wx1",
    "LB+addr-po+addr-po":         "Rx addr Rz Wy1 | Ry addr Rz Wx1",
    "MP+fence.w.w+addr-po":       "Wx1 fence.w.w Wy1 | Ry addr Rz Rx",
    "MP+fence.w.w+amo-rfi-addr":  "Wx1 fence.w.w Wy1 | Ay2 Ry addr Rx",
    "SB+rfi-addr+rfi-addr":       "Wx1 Rx addr Ry | Wy1 Ry addr Rx",
    "SB+amo-rfi-addr":            "Ax1 Rx addr Ry | Ay1 Ry addr Rx",
    "SB+sc-rfi-addr":             "Xx1 Rx addr Ry | Xy1 Ry addr Rx",
    "SB+sc-rfi-fence.r.r":        "Xx1 Rx fence.r.r Ry | Xy1 Ry fence.r.r Rx",
    "MP+rl-fwd":                  "Wx1 Ay1.rl Ry | Ly.aq Rx",
    "SB+2rfi":                    "Wx1 Rx Ry | Wy1 Ry Rx",
}

# What may stand between two accesses, by whether the first and the second read or write; weak ones first.
EVERYWHERE = ("", "fence.tso", "fence.rw.rw")
BETWEEN = {
    "WW": ("fence.w.w", "fence.w.rw", "fence.rw.w"),
    "WR": ("fence.w.r", "fence.w.rw", "fence.rw.r", "fence.w.w", "fence.r.r"),
    "RR": ("fence.r.r", "fence.r.rw", "fence.rw.r", "addr", "ctrl"),
    "RW": ("fence.r.w", "fence.r.rw", "fence.rw.w", "addr", "data", "ctrl"),
}
# What a load and a store may be instead: (of a load, of a store).
FLAVOURS = {
    "amo":            ("O{}", "A{}"),
    "amo.rl+lr.aq":   ("L{}.aq", "A{}.rl"),
    "amo.rl+amo.aq":  ("O{}.aq", "A{}.rl"),
    "amo.aq+amo.aq":  ("O{}.aq", "A{}.aq"),
    "amo.aqrl":       ("O{}.aqrl", "A{}.aqrl"),
    "store+amo.aq":   ("O{}.aq", "W{}"),
    "amo.rl+load":    ("R{}", "A{}.rl"),
    "amo.aqrl+load":  ("R{}", "A{}.aqrl"),
    "store+lr":       ("L{}", "W{}"),
    "store+lr.aqrl":  ("L{}.aqrl", "W{}"),
    "lrsc":           ("R{}", "X{}"),
    "sc.rl+lr.aq":    ("L{}.aq", "X{}.rl"),
    "lrsc.aqrl":      ("L{}.aqrl", "X{}.aqrl"),
}


def direction(text: str, slot: int) -> str:
    """Whether what is left and right of a dash reads or writes, as in BETWEEN."""
    parts = text.split("-")
    return parts[slot].split()[-1][0] + parts[slot + 1].split()[0][0]


def fill(text: str, between: tuple[str, ...]) -> str:
    for one in between:
        text = text.replace(" - ", f" {one} " if one else " ", 1)
    return text


def linked(name: str, text: str, between: tuple[str, ...]) -> Shape:
    title = "+".join([name, *(one or "po" for one in between)]) if any(between) else name
    return Shape(title, fill(text, between))


def flavoured(name: str, text: str, flavour: str) -> Shape:
    load, store = FLAVOURS[flavour]
    changed = re.sub(r"R([xyz])", lambda match: load.format(match[1]), fill(text, ("",) * text.count("-")))
    return Shape(f"{name}+{flavour}", re.sub(r"W([xyz]\d)", lambda match: store.format(match[1]), changed))


@cache
def shapes() -> dict[str, Shape]:
    """All of them by name. Two harts have every pair of links, more have links of one strength."""
    found = [Shape(*item) for item in (COHERENCE | SPECIAL).items()]
    for name, text in (TWO_HARTS | MORE_HARTS).items():
        choices = [EVERYWHERE + BETWEEN[direction(text, slot)] for slot in range(text.count("-"))]
        if name in TWO_HARTS:
            found += [linked(name, text, between) for between in product(*choices)]
        else:
            most = max(len(choice) for choice in choices)
            found += [linked(name, text, tuple(choice[number % len(choice)] for choice in choices))
                      for number in range(most)]
        found += [flavoured(name, text, flavour) for flavour in FLAVOURS]
    return {shape.name: shape for shape in found if sum(shape.widths) <= MOST_BITS}
