"""Running, stopping and stepping for a debugger, by a socket."""

import time

import pytest

import vm
from tests.gdb.conftest import Client
from vm.devices import Device, reads
from vm.gdb.packets import framed
from vm.stop import StopReason

RAM = 0x8000_0000
LOOP = "1: addi t0, t0, 1; j 1b"
COUNT = """
    la   t1, counter
    csrr t2, mhartid
    slli t2, t2, 3
    add  t1, t1, t2
.globl again
again:
    ld   t0, 0(t1)
    addi t0, t0, 1
.globl store
store:
    sd   t0, 0(t1)
    j    again
    .balign 8
.globl counter
counter: .dword 0, 0, 0, 0
"""
POWER_OFF = "li t0, 0x100000; li t1, 0x5555; sw t1, 0(t0); j ."
EXIT_7 = "li t0, 0x100000; li t1, 7 << 16 | 0x3333; sw t1, 0(t0); j ."


class Fuse(Device):
    """Reading it fails until it is mended."""

    size = 0x1000
    broken = True
    unsaved = ("broken",)

    @reads(0x00)
    def value(self) -> int:
        if self.broken:
            raise RuntimeError("the fuse has blown")
        return 5


def fields(reply: str) -> dict[str, str]:
    """What a stop reply says by name."""
    return dict(field.partition(":")[::2] for field in reply[3:].rstrip(";").split(";"))


# --- Stops -----------------------------------------------------------------------------------------------------------

def test_before_anything_ran(debugged):
    stub = debugged(LOOP)
    reply = stub.ask("?")
    assert reply.startswith("T05") and fields(reply)["thread"] == "1"
    assert fields(reply)["20"] == RAM.to_bytes(8, "little").hex()
    assert stub.machine.steps == 0


@pytest.mark.parametrize("kind, name", [(0, "swbreak"), (1, "hwbreak")])
def test_breakpoint(debugged, kind, name):
    stub = debugged(COUNT)
    size = stub.address("counter") - RAM
    code = stub.machine.memory.read(RAM, size)
    assert stub.ask(f"Z{kind},{stub.address('store'):x},4") == "OK"
    for count in range(3):
        reply = stub.ask("vCont;c")
        assert name in fields(reply) and reply.startswith("T05")
        assert (stub.pc(), stub.machine.memory.read(RAM + size, 1)[0]) == (stub.address("store"), count)
    assert stub.machine.memory.read(RAM, size) == code      # nothing was patched
    assert stub.ask(f"z{kind},{stub.address('store'):x},4") == "OK"
    stub.send("vCont;c")
    stub.raw(b"\x03")
    assert stub.reply().startswith("T02")


def test_many_breakpoints(debugged):
    stub = debugged(COUNT)
    for address in range(RAM, RAM + 0x1000, 2):
        assert stub.ask(f"Z1,{address:x},2") == "OK"
    assert len(stub.machine.probes) == 0x800
    assert "hwbreak" in stub.ask("c")


@pytest.mark.parametrize("kind, name", [(2, "watch"), (3, "rwatch"), (4, "awatch")])
def test_watchpoint(debugged, kind, name):
    stub = debugged(COUNT)
    counter = stub.address("counter")
    assert stub.ask(f"Z{kind},{counter:x},8") == "OK"
    reply = stub.ask("c")
    assert int(fields(reply)[name], 16) == counter
    assert stub.pc() == stub.address("again" if kind > 2 else "store") + 4      # done, as GDB expects of RISC-V
    assert stub.ask(f"z{kind},{counter:x},8") == "OK"


def test_step_over_what_was_watched_is_done_already(debugged):
    """That of the same hart, the watchpoint taken away; any other one is done."""
    stub = debugged(COUNT)
    watch = f"2,{stub.address('counter'):x},8"
    behind = stub.address("store") + 4
    for packets, steps in ((["z"], 0), ([], 1), (["z", "Z"], 1), (["z", "P5=0000000000000000"], 0)):
        assert stub.ask(f"Z{watch}") == "OK"
        assert "watch" in stub.ask("c") and stub.pc() == behind
        before = stub.machine.steps
        for packet in packets:
            assert stub.ask(packet + watch if len(packet) == 1 else packet) == "OK"
        assert stub.ask("vCont;s:1").startswith("T05thread:1;")
        assert stub.machine.steps == before + steps
        assert stub.ask("vCont;s:1").startswith("T05")              # once, no more
        assert stub.machine.steps == before + steps + 1
    assert stub.machine.harts[0].pc != behind


def test_watchpoint_across_pages_and_by_its_second_byte(debugged):
    stub = debugged("la t1, place + 4; 1: sb t0, 0(t1); j 1b; .balign 4096; .zero 4092; place: .zero 8")
    place = RAM + 4096 + 4092
    assert stub.ask(f"Z2,{place:x},8") == "OK"
    assert int(fields(stub.ask("c"))["watch"], 16) == place + 4


@pytest.mark.parametrize("packet", ["Z0", "Z0,", "Z0,80000000", "Z0,80000001,2", "Z0,zz,2", "Z2,80000000,0",
                                    "Z2,10000000,8", "Z2,80000000,ffffffffffffffff",
                                    "z0", "z0,1", "Z,1,1", "Z2,ffffffffffffffff,8"])
def test_point_that_cannot_be(debugged, packet):
    stub = debugged(LOOP)
    assert stub.ask(packet).startswith("E")
    assert not stub.machine.probes


def test_points_are_set_once_and_gone_with_the_debugger(debugged):
    stub = debugged(COUNT)
    for packet in ("Z0,80000010,4", "Z0,80000010,4", "z0,80000020,4", f"Z2,{stub.address('counter'):x},8"):
        assert stub.ask(packet) == "OK"
    assert len(stub.machine.probes) == 2
    stub.close()
    stub.client = Client(stub.server.address)
    assert stub.ask("?").startswith("T05")
    assert stub.machine.probes == ()


def test_breakpoint_of_the_program_stops_too(debugged):
    stub = debugged(COUNT)
    stub.machine.breakpoint(stub.address("store"))
    reply = stub.ask("c")
    assert reply.startswith("T05") and "swbreak" not in reply
    assert stub.pc() == stub.address("store")


# --- Steps -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("packet", ["s", "S05", "vCont;s", "vCont;s:1", "vCont;S05:1;c", "vCont;s:p1.1;c:p1.-1",
                                    "vCont;s:0"])
def test_step(debugged, packet):
    stub = debugged("nop; li a0, 3; 1: j 1b")
    for place in (RAM + 2, RAM + 4, RAM + 4):
        assert stub.ask(packet).startswith("T05thread:1;")
        assert stub.pc() == place
    assert stub.machine.steps == 3


def test_step_from_a_breakpoint_that_is_set(debugged):
    stub = debugged(COUNT)
    stub.ask(f"Z0,{stub.address('again'):x},4")
    assert "swbreak" in stub.ask("c")
    stub.ask(f"z0,{stub.address('again'):x},4")
    stub.ask(f"Z0,{stub.address('again'):x},4")
    assert stub.ask("s").startswith("T05thread:1")
    assert stub.pc() == stub.address("again") + 4


def test_step_at_another_address(debugged):
    stub = debugged("nop; nop; nop; nop; j .")
    assert stub.ask("s80000004").startswith("T05")
    assert stub.pc() == RAM + 6
    assert stub.ask("s80000001") == "E01"


def test_range_step(debugged):
    stub = debugged("li t0, 100; 1: addi t0, t0, -1; bnez t0, 1b; .globl end; end: li a0, 7; j .")
    end = stub.address("end")
    assert stub.ask(f"vCont;r{RAM:x},{end:x}:1;c").startswith("T05thread:1")
    assert stub.pc() == end and stub.register(5) == 0
    assert stub.machine.steps == 201


CALLS = """
    la   t0, trap
    csrw mtvec, t0
.globl call
call:
    ecall
.globl after
after:
    nop
    j    .
    .balign 4
.globl trap
trap:
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
.globl return
return:
    mret
"""


def test_step_over_ecall_and_mret(debugged):
    stub = debugged(CALLS)
    places = {stub.address(name): name for name in ("call", "trap", "return", "after")}
    met = []
    for _ in range(12):
        assert stub.ask("vCont;s:1;c").startswith("T05")
        met += [places[stub.pc()]] if stub.pc() in places else []
    assert met[:4] == ["call", "trap", "return", "after"]


def test_step_of_one_hart_alone(debugged):
    stub = debugged(COUNT, harts=3)
    harts = stub.machine.harts
    for hart in (2, 0, 0, 1, 2):
        before = [one.steps for one in harts]
        assert fields(stub.ask(f"vCont;s:{hart + 1}"))["thread"] == str(hart + 1)
        before[hart] += 1
        assert [one.steps for one in harts] == before
    assert stub.ask("vCont;s:4") == "E01"


def test_step_while_the_others_run(debugged):
    """One instruction of that hart, in its turn."""
    stub = debugged(COUNT, harts=2)
    harts = stub.machine.harts
    for hart in (0, 1, 1, 0):
        before = harts[hart].steps
        assert fields(stub.ask(f"vCont;s:{hart + 1};c"))["thread"] == str(hart + 1)
        assert harts[hart].steps == before + 1


def test_hart_that_waits_is_stepped_when_it_wakes(debugged):
    """Hart 1 waits for the software interrupt that hart 0 sends it."""
    stub = debugged("""
        csrr t0, mhartid
        beqz t0, 1f
        csrwi mie, 8
        wfi
    2:  j    2b
    1:  addi t1, t1, 1
        li   t2, 500
        bne  t1, t2, 1b
        li   t2, 0x2000004
        li   t3, 1
        sw   t3, 0(t2)
        j    .
    """, harts=2)
    waiting = stub.machine.harts[1]
    while waiting.state != "waiting":
        stub.ask("vCont;s:2")
    assert stub.machine.harts[0].steps == 0
    before = waiting.steps
    assert fields(stub.ask("vCont;s:2"))["thread"] == "2"
    assert (waiting.state, waiting.steps) == ("started", before + 1)
    assert stub.machine.harts[0].steps >= 1500


@pytest.mark.parametrize("packet", ["vCont", "vCont;", "vCont;x", "vCont;c:x", "vCont;s:9", "vCont;C", "vCont;Cxx",
                                    "vCont;r1", "vCont;r1,x",
                                    "vContc", "vCont;s;", "C", "Czz", "cxx", "sxx", "vCont;cc"])
def test_resuming_wrongly(debugged, packet):
    stub = debugged(LOOP)
    assert stub.ask(packet) == ("" if packet == "vContc" else "E01")
    assert stub.machine.steps == 0


# --- Interrupts ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("source", [LOOP, "1: wfi; j 1b"], ids=["busy", "waiting"])
def test_interrupt(debugged, source, clock):
    stub = debugged(source, clock=clock)
    for _ in range(3):
        stub.send("c")
        if "wfi" in source and clock == "virtual":
            assert stub.reply().startswith("T05")           # it says so by itself: nothing could ever wake the hart
            assert b"every hart waits" in stub.shown
        else:
            time.sleep(0.05)
            stub.raw(b"\x03")
            assert stub.reply().startswith("T02thread:1;")


def test_interrupt_of_what_is_stopped_means_nothing(debugged):
    stub = debugged(LOOP)
    stub.raw(b"\x03\x03")
    assert stub.ask("s").startswith("T05")
    assert stub.ask("s").startswith("T05")
    assert stub.machine.steps == 2


def test_interrupt_of_a_range_step(debugged):
    stub = debugged(LOOP)
    stub.send(f"vCont;r{RAM:x},{RAM + 16:x}")
    time.sleep(0.05)
    stub.raw(b"\x03")
    assert stub.reply().startswith("T02")


def test_program_that_requests_a_stop(debugged):
    stub = debugged(LOOP)
    stub.send("c")
    time.sleep(0.1)
    stub.machine.request_stop()
    assert stub.reply().startswith("T02")


# --- Ends ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("source, reply, reason", [
    (POWER_OFF, "W00", StopReason.POWER_OFF), (EXIT_7, "W07", StopReason.EXIT),
])
def test_end_of_the_guest(debugged, source, reply, reason):
    stub = debugged(source)
    assert stub.ask("c") == reply
    assert stub.wait().reason is reason
    with pytest.raises((EOFError, ConnectionError)):
        stub.ask("?")


def test_reset_by_the_guest_goes_on(debugged):
    stub = debugged("""
        li   t0, 0x80100000
        lw   t1, 0(t0)
        addi t2, t1, 1
        sw   t2, 0(t0)
        li   t0, 0x100000
        li   t2, 0x7777
        beqz t1, 1f
        li   t2, 0x5555
    1:  sw   t2, 0(t0)
        j    .
    """)
    assert stub.ask("c") == "W00"


def test_crash_is_a_signal(debugged):
    """No handler of the guest takes an illegal instruction; the machine stays."""
    stub = debugged("nop; .word 0; nop")
    assert stub.ask("c").startswith("T04")
    assert b"illegal instruction" in stub.shown.lower()
    assert stub.ask(f"m{RAM:x},2") == "0100"


@pytest.mark.parametrize("packet", ["k", "vKill;1"])
def test_kill(debugged, packet):
    stub = debugged(LOOP)
    if packet == "k":
        stub.send(packet)
    else:
        assert stub.ask(packet) == "OK"
    assert stub.wait().reason is StopReason.REQUESTED


def test_exception_of_a_device(debugged):
    """The debugger's user reads it; when the cause is gone the access is done after all."""
    fuse = Fuse()
    stub = debugged("li t0, 0x30000000; lw a0, 0(t0); addi a1, a0, 1; j .", [(fuse, 0x3000_0000)])
    for _ in range(2):
        assert stub.ask("c").startswith("T06thread:1;")
        assert b"RuntimeError: the fuse has blown" in stub.shown
    assert stub.pc() == RAM + 4
    assert stub.ask("m30000000,4") == "E01"         # also where the debugger asks
    fuse.broken = False
    assert stub.ask("m30000000,4") == "05000000"
    assert stub.ask("s").startswith("T05")
    assert stub.register(10) == 5


@pytest.mark.parametrize("leaving", ["k", "D"])
def test_exception_is_not_lost(debugged, leaving):
    """It comes out of `serve` where nobody has mended it."""
    stub = debugged("li t0, 0x30000000; lw a0, 0(t0); j .", [(Fuse(), 0x3000_0000)])
    assert stub.ask("c").startswith("T06")
    stub.send(leaving)
    assert str(stub.wait()) == "the fuse has blown"


# --- Going and coming ------------------------------------------------------------------------------------------------

def test_detach_and_attach_again(debugged):
    stub = debugged(COUNT)
    stub.ask(f"Z0,{stub.address('store'):x},4")
    assert "swbreak" in stub.ask("c")
    assert stub.ask("D") == "OK"
    assert stub.socket.recv(1) == b""
    for _ in range(3):
        before = stub.machine.steps
        while stub.machine.steps < before + 100_000:        # it runs on
            time.sleep(0.001)
        stub.client = Client(stub.server.address)
        assert stub.ask("?").startswith("T05")
        steps = stub.machine.steps
        assert stub.ask("s").startswith("T05")
        assert stub.machine.steps == steps + 1
        assert stub.ask("D;1") == "OK"
    stub.client = Client(stub.server.address)
    assert stub.ask("qC") == "QC1"


def test_debugger_that_is_lost_leaves_the_machine_stopped(debugged):
    stub = debugged(LOOP)
    stub.send("c")
    time.sleep(0.05)
    stub.close()
    stub.client = Client(stub.server.address)
    assert stub.ask("?").startswith("T05")
    steps = stub.machine.steps
    time.sleep(0.05)
    assert stub.machine.steps == steps > 0


def test_without_waiting_the_machine_runs(debugged):
    stub = debugged(LOOP, wait=False)
    assert stub.ask("?").startswith("T05")
    stub.ask("D")
    knock = Client(stub.server.address)         # says nothing: it is no debugger
    knock.close()
    before = stub.machine.steps
    while stub.machine.steps < before + 100_000:
        time.sleep(0.001)
    stub.client = Client(stub.server.address)
    assert stub.ask("?").startswith("T05")


def test_guest_that_ends_without_a_debugger(debugged):
    stub = debugged("li t0, 3000000; 1: addi t0, t0, -1; bnez t0, 1b;" + POWER_OFF)
    assert stub.ask("D") == "OK"
    assert stub.wait().reason is StopReason.POWER_OFF


def test_closed_server(debugged):
    stub = debugged(LOOP)
    with vm.Machine(memory="2M") as machine:
        server = machine.gdb(0)
        client = Client(server.address)
        server.close()
        server.close()
        with pytest.raises((EOFError, ConnectionError)):
            client.ask("?")
        client.close()
    assert stub.ask("qC") == "QC1"


# --- Backwards -------------------------------------------------------------------------------------------------------

def test_without_a_history_there_is_no_way_back(debugged):
    stub = debugged(LOOP)
    stub.ask("s")
    for packet in ("bs", "bc"):
        assert stub.ask(packet) == "E.no history is kept: `monitor history` begins one"
        assert not stub.shown
    assert stub.ask("bx") == stub.ask("b") == ""
    assert stub.machine.steps == 1
    assert stub.monitor("history") == "a history is kept from step 1 on\n"
    stub.ask("s")
    assert stub.ask("bs").startswith("T05thread")
    assert stub.machine.steps == 1


def test_step_back_and_to_the_last_hit(debugged):
    stub = debugged(COUNT, history=True)
    store, counter = stub.address("store"), stub.address("counter")
    stub.ask(f"Z0,{store:x},4")
    for _ in range(5):
        stub.ask("c")
    assert stub.ask("bs").startswith("T05thread:1;")
    assert stub.pc() == store - 2                       # addi is compressed
    assert "swbreak" in fields(stub.ask("bc"))
    assert (stub.pc(), stub.machine.memory.read(counter, 1)) == (store, b"\x03")
    stub.ask(f"z0,{store:x},4")
    stub.ask(f"Z2,{counter:x},8")
    reply = fields(stub.ask("bc"))
    assert int(reply["watch"], 16) == counter
    assert (stub.pc(), stub.machine.memory.read(counter, 1)) == (store, b"\x02")     # before the store


def test_step_back_over_what_is_watched(debugged):
    """It is told as on the way there: GDB looks at what it watches then only."""
    stub = debugged(COUNT, history=True)
    store, counter = stub.address("store"), stub.address("counter")
    stub.ask(f"Z0,{store:x},4")
    stub.ask("c")
    stub.ask(f"Z2,{counter:x},8")
    for _ in range(2):
        assert int(fields(stub.ask("s"))["watch"], 16) == counter
        assert int(fields(stub.ask("bs"))["watch"], 16) == counter
        assert (stub.pc(), stub.machine.memory.read(counter, 1)) == (store, b"\0")
    assert "watch" not in fields(stub.ask("bs"))
    assert stub.pc() == store - 2


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("packet", ["bc", "bs"])
def test_interrupt_on_the_way_back(debugged, packet, at_once, monkeypatch):
    stub = debugged(COUNT, history=True)
    machine = stub.machine
    stub.send("c")
    while machine.steps < 1_000_000:
        time.sleep(0.001)
    stub.raw(b"\x03")
    assert stub.reply().startswith("T02")
    stub.ask("Z2,80100000,8")                           # what nobody ever writes
    steps = machine.steps
    run_to = machine.inputs.history._run_to

    def interrupted(step):
        stub.raw(b"\x03")
        time.sleep(0.02)
        run_to(step)

    if at_once:
        stub.raw(framed(packet.encode()) + b"\x03")
    else:
        monkeypatch.setattr(machine.inputs.history, "_run_to", interrupted)
        stub.send(packet)
    assert stub.reply().startswith("T02")
    assert machine.steps == steps
    monkeypatch.undo()
    assert stub.ask("s").startswith("T05")
    assert machine.steps == steps + 1


def test_beginning_of_the_history(debugged):
    stub = debugged(COUNT, history=True)
    assert fields(stub.ask("bs"))["replaylog"] == "begin"
    for _ in range(3):
        stub.ask("s")
    assert fields(stub.ask("bc"))["replaylog"] == "begin"   # nothing is set
    assert stub.machine.steps == 0
    stub.ask("s")
    stub.ask(f"Z0,{stub.address('store'):x},4")
    assert fields(stub.ask("bc"))["replaylog"] == "begin"
    assert (stub.machine.steps, stub.pc()) == (0, RAM)


def test_step_back_of_each_of_two_harts(debugged):
    stub = debugged(COUNT, harts=2, history=True)
    stub.machine.run(instructions=25_003)
    harts = stub.machine.harts
    for number in (1, 0, 0, 1):
        before = harts[number].steps
        assert stub.ask(f"Hc{number + 1}") == "OK"
        assert fields(stub.ask("bs"))["thread"] == str(number + 1)
        assert harts[number].steps == before - 1
        place = harts[number].pc
        stub.ask(f"vCont;s:{number + 1};c")             # it was the last moment before that: it is next
        assert harts[number].steps == before
        stub.ask("bs")
        assert (harts[number].steps, harts[number].pc) == (before - 1, place)


def test_alone_stepped_hart_is_part_of_the_history(debugged):
    """Another hart than the one whose turn it is: that comes from outside, and going back and on gives the same."""
    stub = debugged(COUNT, harts=2, history=True)
    stub.machine.run(instructions=15_000)
    turn = stub.machine.run(instructions=1).hart
    other = 1 - turn
    for _ in range(5):
        stub.ask(f"vCont;s:{other + 1}")
    stub.machine.run(instructions=1000)
    end = stub.machine.snapshot()
    stub.machine.step_back(2000)
    stub.machine.run(instructions=2000)
    assert stub.machine.equals(end)


def test_end_with_a_history_is_a_place_to_go_back_from(debugged):
    stub = debugged("nop; nop;" + POWER_OFF, history=True)
    reply = stub.ask("c")
    assert fields(reply)["replaylog"] == "end"
    assert b"powered the machine off" in stub.shown
    steps = stub.machine.steps
    assert stub.ask("bs").startswith("T05")
    assert stub.machine.steps == steps - 1
    assert fields(stub.ask("c"))["replaylog"] == "end"
    assert stub.ask("c") == "W00"                       # who goes on from there is at the end
    assert stub.wait().reason is StopReason.POWER_OFF
