"""A (which is Zaamo and Zalrsc), Zawrs, Zacas, Zabha: unprivileged specification, the chapters of these names."""

from vm_native.riscv.instructions.row import I

WIDTHS = {"b": "000", "h": "001", "w": "010", "d": "011"}
AMO = {
    "swap": "00001", "add": "00000", "xor": "00100", "and": "01100", "or": "01000",
    "min": "10000", "max": "10100", "minu": "11000", "maxu": "11100",
}


def memory_operations(suffix: str, extension: str) -> None:
    """Read, modify, write."""
    for operation, code in AMO.items():
        I(f"amo{operation}.{suffix}", f"{code} aq rl rs2 rs1 {WIDTHS[suffix]} rd 0101111", extension)


for _suffix in ("w", "d"):
    I(f"lr.{_suffix}", f"00010 aq rl 00000 rs1 {WIDTHS[_suffix]} rd 0101111", "Zalrsc")
    I(f"sc.{_suffix}", f"00011 aq rl rs2 rs1 {WIDTHS[_suffix]} rd 0101111", "Zalrsc")
    memory_operations(_suffix, "Zaamo")

# A stall that may end at any time ends at once.
I("wrs.nto", "000000001101 00000 000 00000 1110011", "Zawrs", helper="wrs_nto", exits=True)
I("wrs.sto", "000000011101 00000 000 00000 1110011", "Zawrs", uop="nothing")

I("amocas.w", "00101 aq rl rs2 rs1 010 rd 0101111", "Zacas")
I("amocas.d", "00101 aq rl rs2 rs1 011 rd 0101111", "Zacas")
I("amocas.q", "00101 aq rl rs2 rs1 100 rd 0101111", "Zacas", helper="amocas_q", exits=True)

for _suffix in ("b", "h"):
    I(f"amocas.{_suffix}", f"00101 aq rl rs2 rs1 {WIDTHS[_suffix]} rd 0101111", "Zabha Zacas")
    memory_operations(_suffix, "Zabha")
