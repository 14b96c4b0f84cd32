# Privileged 12.3 to 12.6, Svade, Svadu, Svnapot, Svpbmt: the walk. Put before: .equ LEVELS, 3 for Sv39 to 5 for Sv57.
# Data is reached from M-mode with MPRV; for fetches RAM is mapped at its own place by one gigapage.
#   0x0000_0000: table0, pages    0x0020_0000: table1, superpages    0x4000_0000: table2, gigapages, RAM's too
.equ PAGE, 0xCF                         # V R W X A D
.equ U, 0x10
.equ MENVCFG, 0x30A

        .macro  link table, index, to   # a pointer to the next table
        la      t0, \to
        srli    t0, t0, 2
        ori     t0, t0, 1
        la      t1, \table
        sd      t0, 8 * \index (t1)
        .endm
        .macro  as mode, status         # data accesses as of S- or U-mode, until the next trap; status: SUM and MXR
        li      t0, 0xE1800
        csrc    mstatus, t0
        li      t0, 0x20000 | \mode << 11 | \status
        csrs    mstatus, t0
        .endm
        .macro  own                     # M-mode's again
        li      t0, 0x20000
        csrc    mstatus, t0
        .endm
        .macro  load_and_store place
        .irp    mode, 0, 1
        as      \mode, 0x40000          # SUM
        ld      a0, 8(\place)
        as      \mode, 0x40000
        sd      s5, 16(\place)
        own
        ld      a1, 0(s0)
        .endr
        .endm
        .macro  entry table, index      # s0: the entry
        la      s0, \table
        addi    s0, s0, 8 * \index
        .endm
        .macro  put value               # s0 points to the entry, which becomes that
        sd      \value, 0(s0)
        sfence.vma
        .endm
        .macro  fetch                   # one instruction of the page at s1, jalr s10, in S and U
        .irp    user, 0, U
        la      t1, table2
        li      t0, 0x20000000 | PAGE | \user
        sd      t0, 16(t1)
        sd      s2, 0(s0)
        sfence.vma
        la      s10, 97f
        .if     \user
        enter   0
        .else
        enter   1
        .endif
        jalr    t1, 24(s1)
97:     to_machine
        ld      a1, 0(s0)
        .endr
        .endm

main:   link    table1, 0, table0
        link    table2, 0, table1
        link    table3, 0, table2
        link    table4, 0, table3
        .if     LEVELS == 3
        la      s2, table2
        .elseif LEVELS == 4
        la      s2, table3
        .else
        la      s2, table4
        .endif
        srli    s2, s2, 12
        .irp    mode, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15
        li      t0, \mode << 60         # reserved: no effect
        or      t0, t0, s2
        csrw    satp, t0
        csrr    t1, satp
        .endr
        li      t0, (LEVELS + 5) << 60
        or      s2, s2, t0
        csrw    satp, s2
        csrr    t1, satp
        la      s4, page
        srli    s4, s4, 2
        li      s5, 0x5A5A5A5A

# All flags of a leaf but G, in every mode; then what lacks A or D once more with ADUE.
        csrw    MENVCFG, zero           # harts differ in what ADUE is after reset
        entry   table0, 0
        li      s1, 0
        li      s3, 0xDE                # V to be added: 64 values
1:      ori     s2, s3, 1
        or      s2, s2, s4
        .irp    status, 0, 0x40000, 0x80000, 0xC0000
        put     s2
        as      1, \status
        ld      a0, 8(s1)
        .if     \status < 0x80000
        as      1, \status
        sd      s5, 16(s1)
        .endif
        own
        ld      a1, 0(s0)
        .endr
        .irp    status, 0, 0x80000
        put     s2
        as      0, \status
        ld      a0, 8(s1)
        .endr
        as      0, 0
        sd      s5, 16(s1)
        own
        ld      a1, 0(s0)
        addi    s3, s3, -1
        andi    s3, s3, 0xDE            # the next lower combination
        bnez    s3, 1b

        .irp    flags, 0, 2, 0x1E, 0xDE, 0xC8, 0x100, 0x1CF, 0x3CF, 0x2CF, 0xEF
        ori     s2, s4, \flags          # not valid, G, bits for software
        put     s2
        load_and_store s1
        .endr

        .irp    adue, 0, 1
        li      t0, \adue << 61
        csrw    MENVCFG, t0
        csrr    t1, MENVCFG
        .irp    flags, 0x01, 0x09, 0x0B, 0x0F, 0x49, 0x4B, 0xCB, 0xC9, 0xC7, 0x8F, 0x1B, 0x1F, 0x5F, 0xD9, 0x59, 0xDF
        ori     s2, s4, \flags
        fetch
        .endr
        .irp    flags, 0x03, 0x07, 0x17, 0x47, 0x57, 0x43, 0x87, 0x97, 0x0B
        ori     s2, s4, \flags
        put     s2
        load_and_store s1
        put     s2
        as      1, 0x40000
        amoadd.w a0, s5, (s1)
        as      1, 0x40000
        lr.w    a0, (s1)
        own
        ld      a1, 0(s0)
        put     s2
        as      1, 0x40000
        lr.w    a0, (s1)
        as      1, 0x40000
        sc.w    a2, a0, (s1)
        own
        ld      a1, 0(s0)
        .endr
        .endr
        csrw    MENVCFG, zero

# Bits that are reserved, of a leaf and of a pointer; N with and without its pattern, memory types.
        .irp    pbmte, 0, 1
        li      t0, \pbmte << 62
        csrw    MENVCFG, t0
        .irp    bit, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63
        entry   table0, 0
        li      t0, 1 << \bit
        ori     s2, s4, PAGE
        or      s2, s2, t0
        put     s2
        load_and_store s1
        xor     s2, s2, t0
        put     s2
        entry   table1, 0
        ld      s3, 0(s0)
        or      s2, s3, t0
        put     s2
        load_and_store s1
        put     s3
        .endr
        entry   table0, 0
        li      t0, 3 << 61
        ori     s2, s4, PAGE
        or      s2, s2, t0
        put     s2
        load_and_store s1
        .endr
        csrw    MENVCFG, zero
        li      t1, 1 << 63
        la      t0, table0                  # 64 KiB from 0x10000 on, each page with the same entry, but for two
        li      s2, (0x80000000 >> 2) | 8 << 10 | PAGE
        or      s2, s2, t1
        addi    t0, t0, 128
        .irp    index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        sd      s2, 8 * \index (t0)
        .endr
        xori    s2, s2, 0x400           # a pattern that is reserved
        sd      s2, 8 * 14 (t0)
        li      t1, 1 << 13
        xor     s2, s2, t1
        sd      s2, 8 * 15 (t0)
        sfence.vma
        li      s3, 0x10000
        li      s6, 16
1:      as      1, 0
        ld      a0, 16(s3)
        own
        li      t0, 0x1000
        add     s3, s3, t0
        addi    s6, s6, -1
        bnez    s6, 1b

# A pointer with flags that are reserved for it; a pointer in the last table; tables that are not there.
        entry   table1, 0
        ld      s3, 0(s0)
        .irp    flags, 0x10, 0x20, 0x40, 0x80, 0xC0, 0x300
        ori     s2, s3, \flags
        put     s2
        load_and_store s1
        .endr
        li      s2, 0x40000000 >> 2 | 1 # nothing is there
        put     s2
        load_and_store s1
        li      s2, 0x3FFFFFFFFFFC01
        put     s2
        load_and_store s1
        put     s3
        entry   table0, 0
        ori     s2, s4, 1
        put     s2
        load_and_store s1
        li      s2, 0x40000000 >> 2 | PAGE
        put     s2
        load_and_store s1
        ori     s2, s4, PAGE
        put     s2
        load_and_store s1

# Larger leaves: aligned, and with each bit of the page number that must be 0.
        entry   table1, 1
        li      s3, 0x200000 + 0x2000
        li      s2, 0x80000000 >> 2 | PAGE
        put     s2
        load_and_store s3
        .irp    bit, 10, 11, 14, 18
        li      t0, 1 << \bit
        xor     s2, s2, t0
        put     s2
        load_and_store s3
        li      t0, 1 << \bit
        xor     s2, s2, t0
        .endr
        entry   table2, 1
        li      s3, 0x40000000 + 0x3000
        put     s2
        load_and_store s3
        .irp    bit, 10, 18, 19, 27
        li      t0, 1 << \bit
        xor     s2, s2, t0
        put     s2
        load_and_store s3
        li      t0, 1 << \bit
        xor     s2, s2, t0
        .endr
        .if     LEVELS > 3              # 512 GiB, from 0
        entry   table3, 1
        li      s3, 1 << 39
        li      t0, 0x80000000 + 0x4000
        add     s3, s3, t0
        li      s2, PAGE
        put     s2
        load_and_store s3
        ori     s2, s2, 0x400
        put     s2
        load_and_store s3
        li      s2, 1 << 36 | PAGE
        put     s2
        load_and_store s3
        .endif
        .if     LEVELS > 4              # 256 TiB
        entry   table4, 1
        li      s3, 1 << 48
        li      t0, 0x80000000 + 0x4000
        add     s3, s3, t0
        li      s2, PAGE
        put     s2
        load_and_store s3
        li      s2, 1 << 45 | PAGE
        put     s2
        load_and_store s3
        .endif

# Addresses that are not sign-extended, by one bit, and the last page.
        entry   table0, 0
        .irp    bit, 38, 39, 46, 47, 48, 55, 56, 57, 62, 63
        li      s3, 1 << \bit
        load_and_store s3
        neg     s3, s3
        load_and_store s3
        .endr

# Accesses across two pages with other flags each; a store that faults in the second reports that address.
        entry   table0, 0
        .irp    first, 0xC7, 0x43, 0xC3, 0
        .irp    second, 0xC7, 0x43, 0xD7, 0
        ori     t0, s4, \first
        sd      t0, 0(s0)
        ori     t0, s4, \second
        li      t1, 0x400
        add     t0, t0, t1
        sd      t0, 8(s0)
        sfence.vma
        li      s3, 0xFFC
        as      1, 0
        ld      a0, 0(s3)
        as      1, 0
        lw      a0, 2(s3)
        as      1, 0
        lhu     a0, 3(s3)
        as      1, 0
        sd      s5, 0(s3)
        as      1, 0
        sh      s5, 3(s3)
        as      1, 0
        sw      s5, 1(s3)
        own
        .endr
        .endr
        end_program

        .balign 4096
table0: .fill   1024, 4, 0
table1: .fill   1024, 4, 0
table2: .fill   1024, 4, 0
table3: .fill   1024, 4, 0
table4: .fill   1024, 4, 0
page:   .rept   1024
        jalr    t1, 0(s10)
        .endr
        .rept   1024
        jalr    t1, 0(s10)
        .endr
