"""Zifencei and Zicsr: unprivileged specification, the chapters of these names."""

from vm_native.riscv.instructions.row import I

I("fence.i", "imm[11:0] rs1 001 rd 0001111", "Zifencei", helper="fence_i", exits=True)

# With x0, or 0, csrrs and csrrc only read, and what they read may not end the block.
I("csrrw",  "csr rs1 001 rd 1110011", "Zicsr", helper="csr", exits=True)
I("csrrs",  "csr rs1 010 rd 1110011", "Zicsr", helper="csr", exits="rs1!=0")
I("csrrc",  "csr rs1 011 rd 1110011", "Zicsr", helper="csr", exits="rs1!=0")
I("csrrwi", "csr zimm 101 rd 1110011", "Zicsr", helper="csr", exits=True)
I("csrrsi", "csr zimm 110 rd 1110011", "Zicsr", helper="csr", exits="zimm!=0")
I("csrrci", "csr zimm 111 rd 1110011", "Zicsr", helper="csr", exits="zimm!=0")
