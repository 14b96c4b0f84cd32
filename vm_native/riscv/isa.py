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
    "B": "bit manipulation: Zba, Zbb and Zbs",
}
EXTENSIONS = {
    "Zic64b": "cache blocks of 64 bytes",
    "Zicbom": "cache-block management",
    "Zicbop": "cache-block prefetch",
    "Zicboz": "cache-block zero",
    "Ziccamoa": "all atomics in main memory",
    "Ziccif": "instruction fetch of aligned words is atomic",
    "Zicclsm": "misaligned loads and stores in main memory",
    "Ziccrse": "forward progress of LR/SC",
    "Zicntr": "cycle, time and instret",
    "Zicond": "conditional zero",
    "Zicsr": "control and status registers",
    "Zifencei": "instruction-fetch fence",
    "Zihpm": "hardware performance counters, which read as 0",
    "Zihintntl": "hints: no temporal locality",
    "Zihintpause": "hint: pause",
    "Zimop": "may-be-operations, which write 0",
    "Za64rs": "reservation sets of at most 64 bytes",
    "Zabha": "atomic bytes and half-words",
    "Zacas": "compare-and-swap",
    "Zawrs": "wait on reservation set",
    "Zfa": "additional floating-point instructions",
    "Zfh": "half-precision floating point",
    "Zfhmin": "half-precision floating point: transfers and conversions",
    "Zca": "compressed instructions, integer",
    "Zcb": "compressed bytes, half-words, extensions, multiplication",
    "Zcd": "compressed loads and stores of doubles",
    "Zcmop": "compressed may-be-operations, which do nothing",
    "Zba": "bit manipulation: addresses",
    "Zbb": "bit manipulation: basic",
    "Zbc": "carry-less multiplication",
    "Zbkb": "bit manipulation for cryptography",
    "Zbkc": "carry-less multiplication for cryptography",
    "Zbkx": "crossbar permutations",
    "Zbs": "bit manipulation: single bits",
    "Zk": "Zkn, Zkr and Zkt",
    "Zkn": "NIST algorithms: Zbkb, Zbkc, Zbkx, Zknd, Zkne and Zknh",
    "Zknd": "AES decryption",
    "Zkne": "AES encryption",
    "Zknh": "SHA-256 and SHA-512",
    "Zkr": "entropy source",
    "Zks": "ShangMi algorithms: Zbkb, Zbkc, Zbkx, Zksed and Zksh",
    "Zksed": "SM4",
    "Zksh": "SM3",
    "Zkt": "latency that does not depend on data: guest time counts steps",
    "Smstateen": "state enable",
    "Ssccptr": "page tables in main memory",
    "Sscofpmf": "counter overflow and filtering",
    "Sscounterenw": "scounteren is writable for every counter there is",
    "Ssstateen": "state enable, the supervisor's part",
    "Sstc": "supervisor timer compare",
    "Sstvala": "stval holds what the profiles ask for",
    "Sstvecd": "stvec takes any aligned address, direct mode",
    "Ssu64xl": "user mode of 64 bits",
    "Svade": "page fault on a clear A or D bit",
    "Svadu": "hardware update of A and D bits",
    "Svbare": "no translation",
    "Svinval": "fine-grained address-translation invalidation",
    "Svnapot": "pages of 64 KiB",
    "Svpbmt": "memory types in page tables",
    "Sv39": "paging with three levels",
    "Sv48": "paging with four levels",
    "Sv57": "paging with five levels",
}
# What follows: from a name, or from several together.
IMPLIED = {
    "D": ("F",), "F": ("Zicsr",), "Zicntr": ("Zicsr",), "Sstc": ("Zicsr",),
    "Sv57": ("Sv48",), "Sv48": ("Sv39",), "Zfa": ("F",), "Zfh": ("Zfhmin",), "Zfhmin": ("F",),
    "C": ("Zca",), "C D": ("Zcd",), "Zca Zcd": ("C",), "Zcd": ("Zca", "D"), "Zcb": ("Zca",), "Zcmop": ("Zca",),
    "Smstateen": ("Ssstateen",), "Ssstateen": ("Smstateen",), "Zabha": ("A",), "Zacas": ("A",), "Zihpm": ("Zicsr",),
    "Sscofpmf": ("Zihpm",), "B": ("Zba", "Zbb", "Zbs"), "Zba Zbb Zbs": ("B",),
    "Zk": ("Zkn", "Zkr", "Zkt"),
    "Zkn": ("Zbkb", "Zbkc", "Zbkx", "Zknd", "Zkne", "Zknh"), "Zks": ("Zbkb", "Zbkc", "Zbkx", "Zksed", "Zksh"),
}
PROFILES = {
    "rva20s64": "rv64gc_zicntr_ziccif_ziccrse_ziccamoa_za64rs_zicclsm_svbare_sv39_svade_ssccptr_sstvecd_sstvala",
    "rva22s64": "rv64gcb_zicntr_zihpm_ziccif_ziccrse_ziccamoa_za64rs_zicclsm_zic64b_zicbom_zicbop_zicboz_zfhmin_zkt"
                "_zihintpause_svbare_sv39_svade_ssccptr_sstvecd_sstvala_sscounterenw_svpbmt_svinval",
}
# Beyond RVA22: what RVA23 asks for or permits and costs nothing; not vector, hypervisor and pointer masking.
EXTRAS = (
    "zicond_zimop_zcmop_zcb_zfa_zawrs_zihintntl_zabha_zacas_zbc_zbkb_zbkc_zbkx_zfh_zkr_zkn_zks"
    "_smstateen_sscofpmf_sstc_ssu64xl_svadu_svnapot_sv48_sv57"
)
PAGING = ("Svbare", "Sv39", "Sv48", "Sv57")
GENERAL = "IMAFD"                   # what the letter G stands for, with Zicsr and Zifencei
ALWAYS = ("Zicsr", "Sv39")          # supervisor mode cannot be without

DEFAULT = f"rva22s64_{EXTRAS}"


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
    def paging(self) -> str:
        """The deepest paging mode, as device trees call it: 'sv39', 'sv48' or 'sv57'."""
        return f"sv{9 * self.levels + 12}"

    @property
    def levels(self) -> int:
        """Levels of the deepest page table that satp may ask for."""
        return 5 if "Sv57" in self.extensions else 4 if "Sv48" in self.extensions else 3


def parse(text: str) -> Isa:
    """Read an ISA string, or a profile with or without more behind it: "rva22s64_zbc".

    Raises ValueError naming the part that is not known and what is.
    """
    lower = text.lower()
    profile, separator, more = lower.partition("_")
    if profile in PROFILES:
        lower = PROFILES[profile] + separator + more
    if not lower.startswith("rv64"):
        raise ValueError(f"ISA string {text!r}: must begin with rv64, like 'rv64gc', or be one of {', '.join(PROFILES)}")
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
    while missing := {new for names, implied in IMPLIED.items() if found.issuperset(names.split())
                      for new in implied} - found:
        found |= missing
    if "Zca" in found and "D" not in found:     # then nothing of C is missing
        found.add("C")
    found.add("S")
    found.discard("U")
    return Isa(frozenset(found), canonical(found))


def known_letters() -> str:
    return ", ".join(letter.lower() for letter in LETTERS) + ", g"


def canonical(extensions: set[str]) -> str:
    """The string a device tree shows: letters in order, then the rest; paging modes have a property of their own."""
    letters = "".join(letter.lower() for letter in LETTERS if letter in extensions)
    words = [name.lower() for name in EXTENSIONS if name in extensions and name not in PAGING]
    return "_".join([f"rv64{letters}", *words])
