"""Zfh and Zfhmin: unprivileged specification, the chapter of this name."""

from vm_native.riscv.instructions.f_d import rows_of_format
from vm_native.riscv.instructions.row import I

rows_of_format("10", "h", "Zfh")
I("flh",      "imm[11:0] rs1 001 frd 0000111", "Zfhmin")
I("fsh",      "imm[11:5] frs2 rs1 001 imm[4:0] 0100111", "Zfhmin", uop="sh")
I("fmv.x.h",  "1110010 00000 frs1 000 rd 1010011", "Zfhmin")
I("fmv.h.x",  "1111010 00000 rs1 000 frd 1010011", "Zfhmin")
I("fcvt.s.h", "0100000 00010 frs1 rm frd 1010011", "Zfhmin", lossless=True)
I("fcvt.h.s", "0100010 00000 frs1 rm frd 1010011", "Zfhmin")
I("fcvt.d.h", "0100001 00010 frs1 rm frd 1010011", "Zfhmin D", lossless=True)
I("fcvt.h.d", "0100010 00001 frs1 rm frd 1010011", "Zfhmin D")
