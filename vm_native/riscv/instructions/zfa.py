"""Zfa: unprivileged specification, chapter "Zfa Extension for Additional Floating-Point Instructions"."""

from vm_native.riscv.instructions.row import I

for _code, _suffix, _extension in (("00", "s", "Zfa"), ("01", "d", "Zfa D"), ("10", "h", "Zfa Zfh")):
    I(f"fli.{_suffix}",      f"11110{_code} 00001 uimm[4:0] 000 frd 1010011", _extension, wide="fli(imm)")
    I(f"fminm.{_suffix}",    f"00101{_code} frs2 frs1 010 frd 1010011", _extension, raises=True)
    I(f"fmaxm.{_suffix}",    f"00101{_code} frs2 frs1 011 frd 1010011", _extension, raises=True)
    I(f"fround.{_suffix}",   f"01000{_code} 00100 frs1 rm frd 1010011", _extension)
    I(f"froundnx.{_suffix}", f"01000{_code} 00101 frs1 rm frd 1010011", _extension)
    I(f"fleq.{_suffix}",     f"10100{_code} frs2 frs1 100 rd 1010011", _extension, raises=True)
    I(f"fltq.{_suffix}",     f"10100{_code} frs2 frs1 101 rd 1010011", _extension, raises=True)
I("fcvtmod.w.d", "1100001 01000 frs1 001 rd 1010011", "Zfa D", raises=True)
