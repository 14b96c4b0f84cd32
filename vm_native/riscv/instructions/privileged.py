"""Privileged specification: chapters "Machine-Level ISA", "Supervisor-Level ISA" and "Svinval"."""

from vm_native.riscv.instructions.row import I

I("mret",       "0011000 00010 00000 000 00000 1110011", "I", helper="mret", exits=True)
I("sret",       "0001000 00010 00000 000 00000 1110011", "S", helper="sret", exits=True)
I("wfi",        "0001000 00101 00000 000 00000 1110011", "I", helper="wfi", exits=True)
I("sfence.vma", "0001001 rs2 rs1 000 00000 1110011", "S", helper="sfence_vma", exits=True)
I("sinval.vma", "0001011 rs2 rs1 000 00000 1110011", "Svinval", helper="sfence_vma", exits=True)
I("sfence.w.inval",  "0001100 00000 00000 000 00000 1110011", "Svinval", helper="sfence_inval")
I("sfence.inval.ir", "0001100 00001 00000 000 00000 1110011", "Svinval", helper="sfence_inval")
