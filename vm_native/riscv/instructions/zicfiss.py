"""Zicfiss: unprivileged specification, chapter "Control-flow Integrity". Where it is not active, these are Zimop's.

Zicfilp's lpad is auipc to x0: it is what a jump may expect, and else nothing.
"""

from vm_native.riscv.instructions.row import I

OTHERS = ",".join(str(number) for number in range(32) if number not in (1, 5))      # than link registers

I("sspush",     f"1100111 rs2!={OTHERS} 00000 100 00000 1110011", "Zicfiss", helper="shadow_push", exits=True)
I("sspopchk",   f"110011011100 rs1!={OTHERS} 100 00000 1110011", "Zicfiss", helper="shadow_pop", exits=True)
I("ssrdp",      "110011011100 00000 100 rd!=0 1110011", "Zicfiss", helper="shadow_pointer")
I("c.sspush",   "0110000010000001", "Zicfiss Zcmop", helper="shadow_push", exits=True)
I("c.sspopchk", "0110001010000001", "Zicfiss Zcmop", helper="shadow_pop", exits=True)
I("ssamoswap.w", "01001 aq rl rs2 rs1 010 rd 0101111", "Zicfiss", helper="shadow_swap", exits=True)
I("ssamoswap.d", "01001 aq rl rs2 rs1 011 rd 0101111", "Zicfiss", helper="shadow_swap", exits=True)
