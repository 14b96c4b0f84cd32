"""F and D: unprivileged specification, the chapters of these names."""

from vm_native.riscv.instructions.row import I


def rows_of_format(code: str, suffix: str, extension: str) -> None:
    """What is computed in every format: binary16, in zfh.py, included."""
    I(f"fmadd.{suffix}",   f"frs3 {code} frs2 frs1 rm frd 1000011", extension)
    I(f"fmsub.{suffix}",   f"frs3 {code} frs2 frs1 rm frd 1000111", extension)
    I(f"fnmsub.{suffix}",  f"frs3 {code} frs2 frs1 rm frd 1001011", extension)
    I(f"fnmadd.{suffix}",  f"frs3 {code} frs2 frs1 rm frd 1001111", extension)
    I(f"fadd.{suffix}",    f"00000{code} frs2 frs1 rm frd 1010011", extension)
    I(f"fsub.{suffix}",    f"00001{code} frs2 frs1 rm frd 1010011", extension)
    I(f"fmul.{suffix}",    f"00010{code} frs2 frs1 rm frd 1010011", extension)
    I(f"fdiv.{suffix}",    f"00011{code} frs2 frs1 rm frd 1010011", extension)
    I(f"fsqrt.{suffix}",   f"01011{code} 00000 frs1 rm frd 1010011", extension)
    I(f"fsgnj.{suffix}",   f"00100{code} frs2 frs1 000 frd 1010011", extension)
    I(f"fsgnjn.{suffix}",  f"00100{code} frs2 frs1 001 frd 1010011", extension)
    I(f"fsgnjx.{suffix}",  f"00100{code} frs2 frs1 010 frd 1010011", extension)
    I(f"fmin.{suffix}",    f"00101{code} frs2 frs1 000 frd 1010011", extension, raises=True)
    I(f"fmax.{suffix}",    f"00101{code} frs2 frs1 001 frd 1010011", extension, raises=True)
    I(f"feq.{suffix}",     f"10100{code} frs2 frs1 010 rd 1010011", extension, raises=True)
    I(f"flt.{suffix}",     f"10100{code} frs2 frs1 001 rd 1010011", extension, raises=True)
    I(f"fle.{suffix}",     f"10100{code} frs2 frs1 000 rd 1010011", extension, raises=True)
    I(f"fclass.{suffix}",  f"11100{code} 00000 frs1 001 rd 1010011", extension)
    for source, integer in (("00000", "w"), ("00001", "wu"), ("00010", "l"), ("00011", "lu")):
        I(f"fcvt.{integer}.{suffix}", f"11000{code} {source} frs1 rm rd 1010011", extension)
        I(f"fcvt.{suffix}.{integer}", f"11010{code} {source} rs1 rm frd 1010011", extension,
          lossless=suffix == "d" and integer in ("w", "wu"))


I("flw",    "imm[11:0] rs1 010 frd 0000111", "F")
I("fsw",    "imm[11:5] frs2 rs1 010 imm[4:0] 0100111", "F", uop="sw")
I("fld",    "imm[11:0] rs1 011 frd 0000111", "D", uop="ld")
I("fsd",    "imm[11:5] frs2 rs1 011 imm[4:0] 0100111", "D", uop="sd")
rows_of_format("00", "s", "F")
rows_of_format("01", "d", "D")
I("fmv.x.w",  "1110000 00000 frs1 000 rd 1010011", "F")
I("fmv.w.x",  "1111000 00000 rs1 000 frd 1010011", "F")
I("fmv.x.d",  "1110001 00000 frs1 000 rd 1010011", "D", uop="mv")
I("fmv.d.x",  "1111001 00000 rs1 000 frd 1010011", "D", uop="mv")
I("fcvt.s.d", "0100000 00001 frs1 rm frd 1010011", "D")
I("fcvt.d.s", "0100001 00000 frs1 rm frd 1010011", "D", lossless=True)
