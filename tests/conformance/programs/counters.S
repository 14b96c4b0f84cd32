# Privileged 3.1.10 to 3.1.12, 12.1.5, Zicntr: instret counts retired instructions and no traps, a written counter holds
# its value after the instruction, mcountinhibit stops it, mcounteren and scounteren gate it.
main:   csrr    t0, minstret
        csrr    t1, minstret
        .word   0
        csrr    t1, minstret
        csrw    minstret, zero
        csrr    t1, minstret
        li      t0, -2
        csrw    minstret, t0
        csrr    t1, minstret
        csrr    t1, minstret
        csrwi   0x320, 4
        csrr    t1, minstret
        nop
        csrr    t1, minstret
        csrwi   minstret, 9
        csrr    t1, minstret
        csrwi   0x320, 0                # whether this one counts itself is not said: rules.py, NOT_WRITTEN
        csrwi   minstret, 9
        csrr    t1, minstret
        csrr    t1, instret
        csrw    instret, t1
        csrs    instret, zero
        .irp    machine, 0, 4, 7
        .irp    supervisor, 0, 4, 7
        csrwi   mcounteren, \machine
        csrwi   scounteren, \supervisor
        enter   1
        csrr    t1, instret
        csrr    t2, cycle
        csrr    t2, time
        csrr    t2, minstret
        to_machine
        enter   0
        csrr    t1, instret
        csrr    t2, cycle
        csrr    t2, time
        to_machine
        .endr
        .endr
        end_program
