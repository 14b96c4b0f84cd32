"""Zknd, Zkne, Zknh, Zksed, Zksh: scalar cryptography specification 1.0.1, chapter 3."""

from vm_native.riscv.instructions.row import I

I("aes64ds",    "0011101 rs2 rs1 000 rd 0110011", "Zknd")
I("aes64dsm",   "0011111 rs2 rs1 000 rd 0110011", "Zknd")
I("aes64im",    "0011000 00000 rs1 001 rd 0010011", "Zknd")
I("aes64es",    "0011001 rs2 rs1 000 rd 0110011", "Zkne")
I("aes64esm",   "0011011 rs2 rs1 000 rd 0110011", "Zkne")
I("aes64ks1i",  "0011000 1 uimm[3:0]<=10 rs1 001 rd 0010011", "Zknd|Zkne")
I("aes64ks2",   "0111111 rs2 rs1 000 rd 0110011", "Zknd|Zkne")
I("sha256sum0", "0001000 00000 rs1 001 rd 0010011", "Zknh")
I("sha256sum1", "0001000 00001 rs1 001 rd 0010011", "Zknh")
I("sha256sig0", "0001000 00010 rs1 001 rd 0010011", "Zknh")
I("sha256sig1", "0001000 00011 rs1 001 rd 0010011", "Zknh")
I("sha512sum0", "0001000 00100 rs1 001 rd 0010011", "Zknh")
I("sha512sum1", "0001000 00101 rs1 001 rd 0010011", "Zknh")
I("sha512sig0", "0001000 00110 rs1 001 rd 0010011", "Zknh")
I("sha512sig1", "0001000 00111 rs1 001 rd 0010011", "Zknh")
I("sm3p0",      "0001000 01000 rs1 001 rd 0010011", "Zksh")
I("sm3p1",      "0001000 01001 rs1 001 rd 0010011", "Zksh")
I("sm4ed",      "uimm[1:0] 11000 rs2 rs1 000 rd 0110011", "Zksed")
I("sm4ks",      "uimm[1:0] 11010 rs2 rs1 000 rd 0110011", "Zksed")
