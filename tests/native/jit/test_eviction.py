"""What goes to make room: the oldest blocks of a full block cache, and what was compiled longest ago.

Nothing may lead to it, least of all a jump cache.
"""

import vm
from tests.guest import Guest

WINDOW = 0x2000                 # bytes after which jump cache indices repeat
FILLER = 0x8020_0000            # many small blocks, executed once, in all windows but for their last 128 bytes
WINDOWS = 160
PROGRAM = """
    .option norvc
    la   s0, f
    la   s1, g
    li   s2, 4
1:  mv   t1, s0                 # f is compiled, and the jump cache knows it
    jal  s3, through
    addi s2, s2, -1
    bnez s2, 1b
    mv   s4, a0
    li   t0, 0x80200000         # the block cache overflows
    jalr s3, t0
    la   t0, new
    lw   t1, (t0)
    sw   t1, (s0)
    fence.i
    li   s2, 4
1:  mv   t1, s1                 # what jumps is compiled again
    jal  s3, through
    addi s2, s2, -1
    bnez s2, 1b
    mv   t1, s0
    jal  s3, through
    wfi
through:
    jalr ra, t1
    jr   s3
new:
    li   a0, 2
    .balign 8192
    .zero 8192 - 64
f:  li   a0, 1
    ret
g:  li   a0, 3
    ret
"""


def test_eviction_leaves_no_way_to_old_code():
    guest = Guest(PROGRAM, memory="8M", engine="jit", settings=vm.Settings(hot=1))
    assert guest.address("f") % WINDOW >= WINDOW - 128
    window = (0xA009).to_bytes(2, "little") * (WINDOW // 2 - 64)            # c.j .+2
    window += (0x0800_006F).to_bytes(4, "little") + bytes(124)              # j .+128
    guest.memory.write(FILLER, window * WINDOWS + (0x0009_8067).to_bytes(4, "little"))      # jr s3
    guest.finish()
    assert guest.machine.stats()["evictions"] > 0
    assert guest["s4"] == 1
    assert guest["a0"] == 2


def test_code_that_went_is_not_jumped_to():
    """The room for code is used anew while a jump cache still knows the block of f, which is as it was."""
    guest = Guest(PROGRAM.replace("sw   t1, (s0)", ""), memory="8M", engine="jit",
                  settings=vm.Settings(hot=0, code_bytes=1 << 20))
    window = (0x0016_8693).to_bytes(4, "little") * (WINDOW // 4 - 32)       # addi a3, a3, 1
    window += (0x0800_006F).to_bytes(4, "little") + bytes(124)              # j .+128
    guest.memory.write(FILLER, window * WINDOWS + (0x0009_8067).to_bytes(4, "little"))      # jr s3
    guest.finish()
    assert guest.machine.stats()["jit"]["reclaimed"] >= 2
    assert guest["a3"] == WINDOWS * (WINDOW // 4 - 32)
    assert guest["a0"] == 1
