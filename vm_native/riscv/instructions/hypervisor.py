"""Privileged specification, chapter "H", section "Hypervisor Instructions"; and of "Svinval" what is about guests."""

from vm_native.riscv.instructions.row import I

I("hfence.vvma", "0010001 rs2 rs1 000 00000 1110011", "H", helper="hfence_vvma", exits=True)
I("hfence.gvma", "0110001 rs2 rs1 000 00000 1110011", "H", helper="hfence_gvma", exits=True)
I("hinval.vvma", "0010011 rs2 rs1 000 00000 1110011", "H Svinval", helper="hfence_vvma", exits=True)
I("hinval.gvma", "0110011 rs2 rs1 000 00000 1110011", "H Svinval", helper="hfence_gvma", exits=True)

I("hlv.b",   "0110000 00000 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlv.bu",  "0110000 00001 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlv.h",   "0110010 00000 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlv.hu",  "0110010 00001 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlvx.hu", "0110010 00011 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlv.w",   "0110100 00000 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlv.wu",  "0110100 00001 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlvx.wu", "0110100 00011 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hlv.d",   "0110110 00000 rs1 100 rd 1110011", "H", helper="load_of_guest", exits=True)
I("hsv.b",   "0110001 rs2 rs1 100 00000 1110011", "H", helper="store_of_guest", exits=True)
I("hsv.h",   "0110011 rs2 rs1 100 00000 1110011", "H", helper="store_of_guest", exits=True)
I("hsv.w",   "0110101 rs2 rs1 100 00000 1110011", "H", helper="store_of_guest", exits=True)
I("hsv.d",   "0110111 rs2 rs1 100 00000 1110011", "H", helper="store_of_guest", exits=True)
