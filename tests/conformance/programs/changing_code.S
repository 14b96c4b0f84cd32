# Unprivileged 6 (Zifencei): code that changes is seen after fence.i: the very block, a function patched again and again,
# either half of an instruction across two pages, another mapping of the page, and code that is written through S-mode;
# and code beside data that is written all the time needs no fence.
main:   la      s0, here                # the very block
        li      s1, 0x00150513          # addi a0, a0, 1
        li      s2, 0x00250513          # addi a0, a0, 2
        li      a0, 0
        sw      s2, 0(s0)
        fence.i
here:   addi    a0, a0, 1
        addi    a0, a0, 4

        li      s3, 40                  # again and again
        la      s0, function
1:      sw      s1, 0(s0)
        fence.i
        jal     function
        sw      s2, 0(s0)
        fence.i
        jal     function
        addi    s3, s3, -1
        bnez    s3, 1b

        la      s0, crossing            # addi a0, a0, n: its lower half ends one page, its upper half begins the next
        li      s3, 8
1:      slli    t0, s3, 4
        addi    t0, t0, 5
        sh      t0, 2(s0)               # the upper half: the immediate, and two bits of rs1
        fence.i
        jal     before
        li      t0, 0x0513              # the lower half: to a0
        sh      t0, 0(s0)
        fence.i
        jal     before
        li      t0, 0x0593              # to a1
        sh      t0, 0(s0)
        fence.i
        jal     before
        addi    s3, s3, -1
        bnez    s3, 1b

        la      s0, counter             # beside data
        la      s4, after
        li      s3, 60
1:      jal     beside
        addi    s3, s3, -1
        bnez    s3, 1b

        la      t0, tables              # Sv39: RAM at its place and once more at 0xC000_0000
        li      t1, 0x200000CF
        sd      t1, 16(t0)
        sd      t1, 24(t0)
        srli    t0, t0, 12
        li      t1, 8 << 60
        or      t0, t0, t1
        csrw    satp, t0
        sfence.vma
        enter   1
        la      s0, function
        li      s5, 0x40000000
        add     s6, s0, s5
        li      s3, 10
1:      sw      s1, 0(s6)               # written there, run here
        fence.i
        jalr    s0
        sw      s2, 0(s0)               # written here, run there
        fence.i
        jalr    s6
        sw      s1, 0(s6)
        fence.i
        jalr    s6
        lw      a2, 0(s0)
        addi    s3, s3, -1
        bnez    s3, 1b
        la      s0, crossing
        add     s6, s0, s5
        li      t0, 0x7F5
        sh      t0, 2(s6)
        fence.i
        jal     before
        to_machine
        end_program

        .balign 64
function:
        addi    a0, a0, 1
        ret
beside: ld      t0, 0(s0)
        addi    t0, t0, 1
        sd      t0, 0(s0)
        sw      t0, -8(s4)
        ret
        .balign 8
counter:
        .dword  0, 0
after:
        .balign 4096
        .fill   4088, 1, 0
        .option rvc
before: c.nop
        c.nop
        c.nop
crossing:
        .option norvc
        addi    a0, a0, 1
        ret
        .balign 4096
tables: .fill   512, 8, 0
