"""Zvkg, Zvkned, Zvknha, Zvknhb, Zvksed, Zvksh: vector cryptography specification 1.0, chapter 2.

Instructions on groups of elements, of which `.vs` takes one for all from vs2. vector_shapes.py explains the rest.
"""

from vm_native.riscv.instructions.row import I

SHA2 = "Zvknha|Zvknhb"


def group(name: str, funct6: str, source: str, extension: str, operation: str, shape: str = "group") -> None:
    I(name, f"{funct6} 1 vs2 {source} 010 vd 1110111", extension, vector=f"{shape} {operation}")


for _code, _operation in (("00000", "aesdm"), ("00001", "aesdf"), ("00010", "aesem"), ("00011", "aesef")):
    group(f"v{_operation}.vv", "101000", _code, "Zvkned", _operation)
    group(f"v{_operation}.vs", "101001", _code, "Zvkned", _operation, "group.one")
group("vaesz.vs",   "101001", "00111", "Zvkned", "aesz", "group.one")
group("vaeskf1.vi", "100010", "uimm[4:0]", "Zvkned", "aeskf1")
group("vaeskf2.vi", "101010", "uimm[4:0]", "Zvkned", "aeskf2")
group("vghsh.vv",   "101100", "vs1", "Zvkg", "ghsh")
group("vgmul.vv",   "101000", "10001", "Zvkg", "gmul")
group("vsha2ms.vv", "101101", "vs1", SHA2, "sha2ms", "group.sha")
group("vsha2ch.vv", "101110", "vs1", SHA2, "sha2ch", "group.sha")
group("vsha2cl.vv", "101111", "vs1", SHA2, "sha2cl", "group.sha")
group("vsm3me.vv",  "100000", "vs1", "Zvksh", "sm3me", "group.sm3")
group("vsm3c.vi",   "101011", "uimm[4:0]", "Zvksh", "sm3c", "group.sm3")
group("vsm4k.vi",   "100001", "uimm[4:0]", "Zvksed", "sm4k")
group("vsm4r.vv",   "101000", "10000", "Zvksed", "sm4r")
group("vsm4r.vs",   "101001", "10000", "Zvksed", "sm4r", "group.one")
