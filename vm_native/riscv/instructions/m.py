"""M and Zmmul: unprivileged specification, chapter "M Extension for Integer Multiplication and Division"."""

from vm_native.riscv.instructions.row import I

I("mul",    "0000001 rs2 rs1 000 rd 0110011", "Zmmul")
I("mulh",   "0000001 rs2 rs1 001 rd 0110011", "Zmmul")
I("mulhsu", "0000001 rs2 rs1 010 rd 0110011", "Zmmul")
I("mulhu",  "0000001 rs2 rs1 011 rd 0110011", "Zmmul")
I("div",    "0000001 rs2 rs1 100 rd 0110011", "M")
I("divu",   "0000001 rs2 rs1 101 rd 0110011", "M")
I("rem",    "0000001 rs2 rs1 110 rd 0110011", "M")
I("remu",   "0000001 rs2 rs1 111 rd 0110011", "M")
I("mulw",   "0000001 rs2 rs1 000 rd 0111011", "Zmmul")
I("divw",   "0000001 rs2 rs1 100 rd 0111011", "M")
I("divuw",  "0000001 rs2 rs1 101 rd 0111011", "M")
I("remw",   "0000001 rs2 rs1 110 rd 0111011", "M")
I("remuw",  "0000001 rs2 rs1 111 rd 0111011", "M")
