"""ISA strings: what a hart has.

Written as in the unprivileged specification, chapter "ISA Extension Naming Conventions": `rv64`, single letters, then
multi-letter extensions separated by underscores.
"""

from typing import NamedTuple

# Order matters: the canonical string lists them so.
LETTERS = {
    "I": "base integer instructions",
    "M": "multiplication and division",
    "A": "atomic instructions",
    "F": "single-precision floating point",
    "D": "double-precision floating point",
    "C": "compressed instructions",
}
EXTENSIONS = {
    "Zicntr": "cycle, time and instret",
    "Zicsr": "control and status registers",
    "Zifencei": "instruction-fetch fence",
    "Sstc": "supervisor timer compare",
    "Svade": "page fault on a clear A or D bit",
    "Svadu": "hardware update of A and D bits",
    "Sv39": "paging with three levels",
    "Sv48": "paging with four levels",
    "Sv57": "paging with five levels",
}
IMPLIED = {
    "D": ("F",), "F": ("Zicsr",), "Zicntr": ("Zicsr",), "Sstc": ("Zicsr",),
    "Sv57": ("Sv48",), "Sv48": ("Sv39",),
}
GENERAL = "IMAFD"                   # what the letter G stands for, with Zicsr and Zifencei
ALWAYS = ("Zicsr", "Sv39")          # supervisor mode cannot be without

DEFAULT = "rv64gc_zicntr_sstc_svade_svadu_sv57"


class Isa(NamedTuple):
    """What a hart has: `extensions` as the instruction table names them, `string` in canonical form."""

    extensions: frozenset[str]
    string: str

    @property
    def misa(self) -> int:
        """The misa register: 64 bits, S and U mode, and the letters."""
        letters = [name for name in self.extensions if len(name) == 1] + ["S", "U"]
        return 2 << 62 | sum(1 << (ord(letter) - ord("A")) for letter in set(letters))

    @property
    def levels(self) -> int:
        """Levels of the deepest page table that satp may ask for."""
        return 5 if "Sv57" in self.extensions else 4 if "Sv48" in self.extensions else 3


def parse(text: str) -> Isa:
    """Read an ISA string. Raises ValueError naming the part that is not known and what is."""
    lower = text.lower()
    if not lower.startswith("rv64"):
        raise ValueError(f"ISA string {text!r}: must begin with rv64, like {DEFAULT!r}")
    letters, *words = lower[4:].split("_")
    found = set(ALWAYS)
    for letter in letters.upper():
        if letter == "G":
            found |= {*GENERAL, "Zifencei"}
        elif letter in LETTERS or letter in "SU":
            found.add(letter)
        else:
            raise ValueError(f"ISA string {text!r}: unknown letter {letter.lower()!r}; known are {known_letters()}")
    if "I" not in found:
        raise ValueError(f"ISA string {text!r}: the base i (or g) is missing")
    for word in filter(None, words):
        name = word.capitalize()
        if name not in EXTENSIONS:
            known = ", ".join(extension.lower() for extension in EXTENSIONS)
            raise ValueError(f"ISA string {text!r}: unknown extension {word!r}; known are {known}")
        found.add(name)
    while missing := {needed for name in found for needed in IMPLIED.get(name, ())} - found:
        found |= missing
    found.add("S")
    found.discard("U")
    return Isa(frozenset(found), canonical(found))


def known_letters() -> str:
    return ", ".join(letter.lower() for letter in LETTERS) + ", g"


def canonical(extensions: set[str]) -> str:
    """The string a device tree shows: letters in order, then the rest; paging modes have a property of their own."""
    letters = "".join(letter.lower() for letter in LETTERS if letter in extensions)
    words = [name.lower() for name in EXTENSIONS if name in extensions and not name.startswith("Sv") or
             name in extensions and name in ("Svade", "Svadu")]
    return "_".join([f"rv64{letters}", *words])
