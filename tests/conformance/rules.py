"""Where Spike and our hart may differ, each with the section of the specification that leaves the choice.

`ADOPTED`: registers whose value comes from outside the architecture or is the implementation's to choose. After an
instruction that read one, our register takes Spike's value and the comparison goes on.
`CSR_MASKS`: bits of a CSR that are compared, where not all are.
"""

U64 = (1 << 64) - 1

ADOPTED = {
    0xC00: "Zicntr: cycles of an instruction are the implementation's; traps are steps here",
    0xB00: "privileged 3.1.10: mcycle, as cycle",
    0xC01: "Zicntr: time has its own rate",
    0xF11: "privileged 3.1.2: mvendorid",
    0xF12: "privileged 3.1.3: marchid",
    0xF13: "privileged 3.1.4: mimpid",
    0xF15: "privileged 3.1.17: mconfigptr",
}
CSR_MASKS: dict[int, int] = {}
