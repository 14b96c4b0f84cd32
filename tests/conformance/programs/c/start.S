# Start of the programs in C: main() runs in S-mode with Sv39, RAM at its own place.
        .section .entry, "ax"
        .globl  _start, finish
_start: li      t0, -1
        csrw    pmpaddr0, t0
        li      t0, 0x1F
        csrw    pmpcfg0, t0
        la      t0, table
        li      t1, 0x200000CF
        sd      t1, 16(t0)
        srli    t0, t0, 12
        li      t1, 8 << 60
        or      t0, t0, t1
        csrw    satp, t0
        sfence.vma
        li      t0, 0x6800              # floating point; MPP is S
        csrs    mstatus, t0
        li      t0, 0x1000
        csrc    mstatus, t0
        la      t0, trap
        csrw    mtvec, t0
        la      t0, 1f
        csrw    mepc, t0
        csrw    minstret, zero          # Spike has come by way of its boot ROM
        mret
1:      la      sp, stack_top
        call    main
        la      t0, result
        sd      a0, 0(t0)
        ecall
        .balign 4
trap:   csrr    a0, mcause
        la      t0, tohost
        li      t1, 1
finish: sd      t1, 0(t0)
1:      wfi
        j       1b

        .bss
        .balign 4096
table:  .zero   4096
        .balign 64
        .globl  tohost, result
tohost: .zero   64
result: .zero   64
