"""Privileged specification: chapters "Machine-Level ISA", "Supervisor-Level ISA" and "Svinval"."""

from vm_native.riscv.instructions.row import I

I("mret",       "0011000 00010 00000 000 00000 1110011", "I", helper="mret", leaves=True)
I("sret",       "0001000 00010 00000 000 00000 1110011", "S", helper="sret", leaves=True)
I("wfi",        "0001000 00101 00000 000 00000 1110011", "I", helper="wfi", leaves=True)
I("sfence.vma", "0001001 rs2 rs1 000 00000 1110011", "S", helper="sfence_vma", leaves=True)
I("sinval.vma", "0001011 rs2 rs1 000 00000 1110011", "Svinval", helper="sfence_vma", leaves=True)
I("sfence.w.inval",  "0001100 00000 00000 000 00000 1110011", "Svinval", helper="sfence_inval")
I("sfence.inval.ir", "0001100 00001 00000 000 00000 1110011", "Svinval", helper="sfence_inval")
