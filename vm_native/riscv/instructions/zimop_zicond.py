"""Zimop and Zicond: unprivileged specification, the chapters of these names."""

from vm_native.riscv.instructions.row import I

for _n in range(32):
    I(f"mop.r.{_n}", f"1{_n >> 4}00{_n >> 2 & 3:02b}0111{_n & 3:02b} rs1 100 rd 1110011", "Zimop", uop="li")
for _n in range(8):
    I(f"mop.rr.{_n}", f"1{_n >> 2}00{_n & 3:02b}1 rs2 rs1 100 rd 1110011", "Zimop", uop="li")

I("czero.eqz", "0000111 rs2 rs1 101 rd 0110011", "Zicond")
I("czero.nez", "0000111 rs2 rs1 111 rd 0110011", "Zicond")
