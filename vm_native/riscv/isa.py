"""ISA strings: what a hart has.

Written as in the unprivileged specification, chapter "ISA Extension Naming Conventions": `rv64`, single letters, then
multi-letter extensions separated by underscores. Versions are those of the specifications.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from vm_native.riscv import rva23


class Extension(NamedTuple):
    """A row of the tables below: the version of its specification, and what it is."""

    version: str
    text: str


VLENS = (32, 64, 128, 256, 512, 1024)
# Order matters: the canonical string lists them so.
LETTERS = {
    "I": Extension("2.1", "base integer instructions"),
    "M": Extension("2.0", "multiplication and division"),
    "A": Extension("2.1", "atomic instructions: Zaamo and Zalrsc"),
    "F": Extension("2.2", "single-precision floating point"),
    "D": Extension("2.2", "double-precision floating point"),
    "C": Extension("2.0", "compressed instructions"),
    "B": Extension("1.0", "bit manipulation: Zba, Zbb and Zbs"),
    "V": Extension("1.0", "vectors of 128 bits or more: Zve64d and Zvl128b"),
    "H": Extension("1.0", "hypervisor: guests, with two stages of translation"),
}
EXTENSIONS = {
    "Zic64b":       Extension("1.0", "cache blocks of 64 bytes"),
    "Zicbom":       Extension("1.0", "cache-block management"),
    "Zicbop":       Extension("1.0", "cache-block prefetch"),
    "Zicboz":       Extension("1.0", "cache-block zero"),
    "Ziccamoa":     Extension("1.0", "all atomics in main memory"),
    "Ziccamoc":     Extension("1.0", "compare-and-swap in main memory, of 128 bits, too"),
    "Ziccif":       Extension("1.0", "instruction fetch of aligned words is atomic"),
    "Zicclsm":      Extension("1.0", "misaligned loads and stores in main memory"),
    "Ziccrse":      Extension("1.0", "forward progress of LR/SC"),
    "Zicfilp":      Extension("1.0", "landing pads: where jumps may lead"),
    "Zicfiss":      Extension("1.0", "shadow stacks of return addresses"),
    "Zicntr":       Extension("2.0", "cycle, time and instret"),
    "Zicond":       Extension("1.0", "conditional zero"),
    "Zicsr":        Extension("2.0", "control and status registers"),
    "Zifencei":     Extension("2.0", "instruction-fetch fence"),
    "Zihpm":        Extension("2.0", "programmable counters of events, see below"),
    "Zihintntl":    Extension("1.0", "hints: no temporal locality"),
    "Zihintpause":  Extension("2.0", "hint: pause"),
    "Zimop":        Extension("1.0", "may-be-operations, which write 0"),
    "Zmmul":        Extension("1.0", "multiplication"),
    "Za64rs":       Extension("1.0", "reservation sets of at most 64 bytes"),
    "Zaamo":        Extension("1.0", "atomic memory operations"),
    "Zabha":        Extension("1.0", "atomic bytes and half-words"),
    "Zacas":        Extension("1.0", "compare-and-swap"),
    "Zalrsc":       Extension("1.0", "load-reserved and store-conditional"),
    "Zawrs":        Extension("1.01", "wait on reservation set"),
    "Zfa":          Extension("1.0", "additional floating-point instructions"),
    "Zfh":          Extension("1.0", "half-precision floating point"),
    "Zfhmin":       Extension("1.0", "half-precision floating point: transfers and conversions"),
    "Zca":          Extension("1.0", "compressed instructions, integer"),
    "Zcb":          Extension("1.0", "compressed bytes, half-words, extensions, multiplication"),
    "Zcd":          Extension("1.0", "compressed loads and stores of doubles"),
    "Zcmop":        Extension("1.0", "compressed may-be-operations, which do nothing"),
    "Zba":          Extension("1.0", "bit manipulation: addresses"),
    "Zbb":          Extension("1.0", "bit manipulation: basic"),
    "Zbc":          Extension("1.0", "carry-less multiplication"),
    "Zbkb":         Extension("1.0", "bit manipulation for cryptography"),
    "Zbkc":         Extension("1.0", "carry-less multiplication for cryptography"),
    "Zbkx":         Extension("1.0", "crossbar permutations"),
    "Zbs":          Extension("1.0", "bit manipulation: single bits"),
    "Zk":           Extension("1.0", "Zkn, Zkr and Zkt"),
    "Zkn":          Extension("1.0", "NIST algorithms: Zbkb, Zbkc, Zbkx, Zknd, Zkne and Zknh"),
    "Zknd":         Extension("1.0", "AES decryption"),
    "Zkne":         Extension("1.0", "AES encryption"),
    "Zknh":         Extension("1.0", "SHA-256 and SHA-512"),
    "Zkr":          Extension("1.0", "entropy source"),
    "Zks":          Extension("1.0", "ShangMi algorithms: Zbkb, Zbkc, Zbkx, Zksed and Zksh"),
    "Zksed":        Extension("1.0", "SM4"),
    "Zksh":         Extension("1.0", "SM3"),
    "Zkt":          Extension("1.0", "latency that does not depend on data: guest time counts steps"),
    "Zvbb":         Extension("1.0", "vector bit manipulation"),
    "Zvbc":         Extension("1.0", "vector carry-less multiplication"),
    "Zve32f":       Extension("1.0", "vectors of integers up to 32 bits and single precision"),
    "Zve32x":       Extension("1.0", "vectors of integers up to 32 bits"),
    "Zve64d":       Extension("1.0", "vectors of integers up to 64 bits and double precision"),
    "Zve64f":       Extension("1.0", "vectors of integers up to 64 bits and single precision"),
    "Zve64x":       Extension("1.0", "vectors of integers up to 64 bits"),
    "Zvfh":         Extension("1.0", "vectors of half precision"),
    "Zvfhmin":      Extension("1.0", "vectors of half precision: conversions"),
    "Zvkb":         Extension("1.0", "vector bit manipulation for cryptography"),
    "Zvkg":         Extension("1.0", "vector GCM and GMAC"),
    "Zvkn":         Extension("1.0", "NIST algorithms on vectors: Zvkned, Zvknhb, Zvkb and Zvkt"),
    "Zvknc":        Extension("1.0", "Zvkn and Zvbc"),
    "Zvkned":       Extension("1.0", "vector AES"),
    "Zvkng":        Extension("1.0", "Zvkn and Zvkg"),
    "Zvknha":       Extension("1.0", "vector SHA-256"),
    "Zvknhb":       Extension("1.0", "vector SHA-256 and SHA-512"),
    "Zvks":         Extension("1.0", "ShangMi algorithms on vectors: Zvksed, Zvksh, Zvkb and Zvkt"),
    "Zvksc":        Extension("1.0", "Zvks and Zvbc"),
    "Zvksed":       Extension("1.0", "vector SM4"),
    "Zvksg":        Extension("1.0", "Zvks and Zvkg"),
    "Zvksh":        Extension("1.0", "vector SM3"),
    "Zvkt":         Extension("1.0", "vector latency that does not depend on data: guest time counts steps"),
    **{f"Zvl{bits}b": Extension("1.0", f"vector registers of {bits} bits or more")
       for bits in VLENS},
    "Sdtrig":       Extension("1.0", "debug triggers: addresses of instructions, loads and stores"),
    "Sha":          Extension("1.0", "H, Ssstateen, and what profiles ask of them: the names with Sh that follow"),
    "Shcounterenw": Extension("1.0", "hcounteren is writable for every counter there is"),
    "Shgatpa":      Extension("1.0", "hgatp has a mode for each of satp"),
    "Shtvala":      Extension("1.0", "htval holds the guest-physical address"),
    "Shvsatpa":     Extension("1.0", "vsatp has the modes of satp"),
    "Shvstvala":    Extension("1.0", "vstval holds what the profiles ask for"),
    "Shvstvecd":    Extension("1.0", "vstvec takes any aligned address, direct mode"),
    "Smaia":        Extension("1.0", "advanced interrupts: registers, and an IMSIC's where there is one"),
    "Smcntrpmf":    Extension("1.0", "filters of cycle and instret by privilege"),
    "Smmpm":        Extension("1.0", "pointer masking for M-mode"),
    "Smnpm":        Extension("1.0", "pointer masking for S-mode, set by M-mode"),
    "Smstateen":    Extension("1.0", "state enable"),
    "Ssaia":        Extension("1.0", "advanced interrupts, the supervisor's part"),
    "Ssccptr":      Extension("1.0", "page tables in main memory"),
    "Sscofpmf":     Extension("1.0", "overflow of counters, and filters by privilege"),
    "Sscounterenw": Extension("1.0", "scounteren is writable for every counter there is"),
    "Ssnpm":        Extension("1.0", "pointer masking for U-mode and guests, set by S-mode"),
    "Sspm":         Extension("1.0", "pointer masking for S-mode, whoever sets it: Smnpm"),
    "Ssstateen":    Extension("1.0", "state enable, the supervisor's part"),
    "Ssstrict":     Extension("1.0", "what is reserved and not there is an illegal instruction"),
    "Sstc":         Extension("1.0", "supervisor timer compare"),
    "Sstvala":      Extension("1.0", "stval holds what the profiles ask for"),
    "Sstvecd":      Extension("1.0", "stvec takes any aligned address, direct mode"),
    "Ssu64xl":      Extension("1.0", "user mode of 64 bits"),
    "Supm":         Extension("1.0", "pointer masking for U-mode, whoever sets it: Ssnpm"),
    "Svade":        Extension("1.0", "page fault on a clear A or D bit"),
    "Svadu":        Extension("1.0", "hardware update of A and D bits"),
    "Svbare":       Extension("1.0", "no translation"),
    "Svinval":      Extension("1.0", "fine-grained address-translation invalidation"),
    "Svnapot":      Extension("1.0", "pages of 64 KiB"),
    "Svpbmt":       Extension("1.0", "memory types in page tables"),
    "Svvptc":       Extension("1.0", "a page table entry that becomes valid needs no fence"),
    "Sv39":         Extension("1.0", "paging with three levels"),
    "Sv48":         Extension("1.0", "paging with four levels"),
    "Sv57":         Extension("1.0", "paging with five levels"),
}
# What follows: from a name, or from several together.
IMPLIED = {
    "M": ("Zmmul",), "A": ("Zaamo", "Zalrsc"), "Zaamo Zalrsc": ("A",),
    "D": ("F",), "F": ("Zicsr",), "Zicntr": ("Zicsr",), "Sstc": ("Zicsr",),
    "Sv57": ("Sv48",), "Sv48": ("Sv39",), "Zfa": ("F",), "Zfh": ("Zfhmin",), "Zfhmin": ("F",),
    "C": ("Zca",), "C D": ("Zcd",), "Zca Zcd": ("C",), "Zcd": ("Zca", "D"), "Zcb": ("Zca",), "Zcmop": ("Zca",),
    "Sha": ("H", "Ssstateen", "Shcounterenw", "Shgatpa", "Shtvala", "Shvsatpa", "Shvstvala", "Shvstvecd"),
    "H Ssstateen Shcounterenw Shgatpa Shtvala Shvsatpa Shvstvala Shvstvecd": ("Sha",),
    **dict.fromkeys(("Shcounterenw", "Shgatpa", "Shtvala", "Shvsatpa", "Shvstvala", "Shvstvecd"), ("H",)),
    "Smstateen": ("Ssstateen",), "Ssstateen": ("Smstateen",), "Zabha": ("Zaamo",), "Zacas": ("Zaamo",),
    **dict.fromkeys(("Smmpm", "Smnpm", "Ssnpm"), ("Zicsr",)), "Supm": ("Ssnpm",), "Sspm": ("Smnpm",),
    "Ziccamoc": ("Zacas",),
    "Zihpm": ("Zicsr",), "Zicfilp": ("Zicsr",), "Zicfiss": ("Zicsr", "Zimop", "Zaamo"), "Smcntrpmf": ("Zicsr",),
    "Smaia": ("Ssaia",), "Ssaia": ("Zicsr",),
    "Sscofpmf": ("Zihpm",), "Sdtrig": ("Zicsr",),
    "B": ("Zba", "Zbb", "Zbs"), "Zba Zbb Zbs": ("B",),
    "Zk": ("Zkn", "Zkr", "Zkt"),
    "Zkn": ("Zbkb", "Zbkc", "Zbkx", "Zknd", "Zkne", "Zknh"), "Zks": ("Zbkb", "Zbkc", "Zbkx", "Zksed", "Zksh"),
    "V": ("Zve64d", "Zvl128b"), "Zve64d": ("Zve64f", "D"), "Zve64f": ("Zve64x", "Zve32f"),
    "Zve64x": ("Zve32x", "Zvl64b"), "Zve32f": ("Zve32x", "F"), "Zve32x": ("Zicsr", "Zvl32b"),
    **{f"Zvl{2 * bits}b": (f"Zvl{bits}b",) for bits in VLENS[:-1]},
    "Zvfh": ("Zvfhmin", "Zfhmin"), "Zvfhmin": ("Zve32f",), "Zvbb": ("Zvkb",),
    "Zvkn": ("Zvkned", "Zvknhb", "Zvkb", "Zvkt"), "Zvknc": ("Zvkn", "Zvbc"), "Zvkng": ("Zvkn", "Zvkg"),
    "Zvks": ("Zvksed", "Zvksh", "Zvkb", "Zvkt"), "Zvksc": ("Zvks", "Zvbc"), "Zvksg": ("Zvks", "Zvkg"),
    "Zvkb": ("Zve32x",), "Zvkg": ("Zve32x",), "Zvkned": ("Zve32x",), "Zvknha": ("Zve32x",), "Zvksed": ("Zve32x",),
    "Zvksh": ("Zve32x",), "Zvknhb": ("Zve64x",), "Zvbc": ("Zve64x",),
}
PROFILES = {
    "rva20s64": "rv64gc_zicntr_ziccif_ziccrse_ziccamoa_za64rs_zicclsm_svbare_sv39_svade_ssccptr_sstvecd_sstvala",
    "rva22s64": "rv64gcb_zicntr_zihpm_ziccif_ziccrse_ziccamoa_za64rs_zicclsm_zic64b_zicbom_zicbop_zicboz_zfhmin_zkt"
                "_zihintpause_svbare_sv39_svade_ssccptr_sstvecd_sstvala_sscounterenw_svpbmt_svinval",
    "rva23u64": rva23.string("U"),
    "rva23s64": rva23.string("US"),
}
# The default is RVA22 but for Svade, and what RVA23 asks for or permits and costs nothing; not vector, hypervisor and
# pointer masking. Guests made for QEMU's `virt` board count on what its CPU has and has not: Svadu without Svade, so
# that hardware updates A and D bits from reset; and no Zkr, whose `seed` older firmware does not lend to a kernel that
# reads it (OpenSBI sets mseccfg.SSEED from 1.4 on).
DEFAULT = (
    "rv64gcb_zicntr_zihpm_ziccif_ziccrse_ziccamoa_za64rs_zicclsm_zic64b_zicbom_zicbop_zicboz_zfhmin_zkt_zihintpause"
    "_svbare_sv39_ssccptr_sstvecd_sstvala_sscounterenw_svpbmt_svinval"
    "_zicond_zimop_zcmop_zcb_zfa_zawrs_zihintntl_zabha_zacas_zbc_zbkb_zbkc_zbkx_zfh_zkn_zks"
    "_sdtrig_smstateen_sscofpmf_sstc_ssu64xl_svadu_svnapot_sv48_sv57"
)
NAMES = {**PROFILES, "default": DEFAULT}
PAGING = ("Svbare", "Sv39", "Sv48", "Sv57")
GENERAL = "IMAFD"                   # what the letter G stands for, with Zicsr and Zifencei
ALWAYS = ("Zicsr", "Sv39")          # supervisor mode cannot be without
BEFORE_I_2_1 = ("Zicntr", "Zicsr", "Zifencei")      # what the base had in it until version 2.1

VERSION = re.compile(r"(?:\d+(?:p\d+)?)?")     # major p minor, where p0 may be left out
# A letter of its own: z, x, and s with more than a u behind it, begin names of several.
LETTER = re.compile(rf"(?P<letter>s(?=u?$)|[^sxz])(?P<version>{VERSION.pattern})")


class Isa(NamedTuple):
    """What a hart has: `extensions` as the instruction table names them, `string` in canonical form."""

    extensions: frozenset[str]
    string: str

    def __repr__(self) -> str:
        return f"<Isa {self.string}>"

    @property
    def misa(self) -> int:
        """The misa register: 64 bits, S and U mode, and the letters."""
        letters = [name for name in self.extensions if len(name) == 1] + ["S", "U"]
        return 2 << 62 | sum(1 << (ord(letter) - ord("A")) for letter in set(letters))

    @property
    def vlen(self) -> int:
        """Bits of a vector register: what the largest of Zvl32b to Zvl1024b says; 0 without vectors."""
        if "Zve32x" not in self.extensions:
            return 0
        return max(bits for bits in VLENS if f"Zvl{bits}b" in self.extensions)

    @property
    def paging(self) -> str:
        """The deepest paging mode, as device trees call it: 'sv39', 'sv48' or 'sv57'."""
        return f"sv{9 * self.levels + 12}"

    @property
    def levels(self) -> int:
        """Levels of the deepest page table that satp may ask for."""
        return 5 if "Sv57" in self.extensions else 4 if "Sv48" in self.extensions else 3


@cache
def parse(text: str) -> Isa:
    """Read an ISA string, or a name with or without more behind it: "rva22s64_zbc", "default_zkr".

    Case does not matter, nor does the order after the base. Underscores may stand between any two extensions and must
    between two of several letters. A version may follow each: "rv64i2p1m2_zicsr2p0". It must be what the hart has, or
    an older one that this is compatible with. Raises ValueError naming the part that is not known and what is.
    """
    found = named_in(text) | set(ALWAYS)
    if "I" not in found:
        raise ValueError(f"ISA string {text!r}: the base i (or g) is missing")
    while missing := {new for names, implied in IMPLIED.items() if found.issuperset(names.split())
                      for new in implied} - found:
        found |= missing
    if "Zca" in found and "D" not in found:     # then nothing of C is missing
        found.add("C")
    found.add("S")
    found.discard("U")
    return Isa(frozenset(found), canonical(found))


def named_in(text: str) -> set[str]:
    """What an ISA string, or the one that a name stands for, names; without what follows from it."""
    lower = text.lower()
    name, separator, more = lower.partition("_")
    if name in NAMES:
        lower = NAMES[name] + separator + more
    if not lower.startswith("rv64"):
        raise ValueError(f"ISA string {text!r}: must begin with rv64, like 'rv64gc', or be one of {', '.join(NAMES)}")
    try:
        return {extension for word in filter(None, lower[4:].split("_")) for name, version in split(word)
                for extension in named(name, version)}
    except ValueError as error:
        raise ValueError(f"ISA string {text!r}: {error}") from None


def split(word: str) -> Iterator[tuple[str, str]]:
    """Extensions and versions between two underscores: letters, then at most one name of several letters."""
    while word:
        part = LETTER.match(word)
        if part is None:
            name = next((name.lower() for name in EXTENSIONS
                         if word.startswith(name.lower()) and VERSION.fullmatch(word, len(name))), word)
            yield name, word.removeprefix(name)
            return
        yield part["letter"], part["version"]
        word = word[part.end():]


def named(name: str, version: str) -> set[str]:
    """What a name of an ISA string stands for. Raises ValueError if there is no such thing, or not in that version."""
    if name == "g" and not version:
        return {*GENERAL, "Zifencei"}
    if name == "g":
        raise ValueError("g is several extensions and has no version; write imafd_zicsr_zifencei with theirs")
    if name in ("s", "u"):
        return {name.upper()}
    own = name.capitalize()
    extension = LETTERS.get(own) or EXTENSIONS.get(own)
    if extension is None and len(name) == 1:
        raise ValueError(f"unknown letter {name + version!r}; known are {known_letters()}")
    if extension is None:
        raise ValueError(f"unknown extension {name!r}; known are {', '.join(known.lower() for known in EXTENSIONS)}")
    if not version:
        return {own}
    asked, ours = numbers(version.replace("p", ".")), numbers(extension.version)
    if asked[0] != ours[0] or asked > ours:
        raise ValueError(f"{name} has version {extension.version} here, not {version.replace('p', '.')}")
    return {own, *BEFORE_I_2_1} if own == "I" and asked < ours else {own}


def numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)


def known_letters() -> str:
    return ", ".join(letter.lower() for letter in LETTERS) + ", g"


def canonical(extensions: set[str]) -> str:
    """The string a device tree shows: letters in order, then the rest; paging modes have a property of their own."""
    letters = "".join(letter.lower() for letter in LETTERS if letter in extensions)
    words = [name.lower() for name in EXTENSIONS if name in extensions and name not in PAGING]
    return "_".join([f"rv64{letters}", *words])
