"""Zicbom and Zicboz: unprivileged specification, chapter "CMO Extensions". Prefetches (Zicbop) are ori to x0."""

from vm_native.riscv.instructions.row import I

I("cbo.inval", "000000000000 rs1 010 00000 0001111", "Zicbom", helper="cbo_inval")
I("cbo.clean", "000000000001 rs1 010 00000 0001111", "Zicbom", helper="cbo_clean")
I("cbo.flush", "000000000010 rs1 010 00000 0001111", "Zicbom", helper="cbo_clean")
I("cbo.zero",  "000000000100 rs1 010 00000 0001111", "Zicboz", helper="cbo_zero")
