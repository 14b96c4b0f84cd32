"""A debugger of a replay: what it may do, and that the run stays the one that was recorded."""

import pytest

import vm
from tests.gdb.conftest import debugging
from tests.guest import Guest
from tests.recorded import busy, session_log
from tests.test_reverse_replay import echo, typed
from vm.log import Kind


def counting() -> vm.Machine:
    """Two harts of which none ever waits."""
    return Guest("1: addi s1, s1, 1; j 1b", harts=2).machine


@pytest.fixture
def two_harts():
    """A recorded run of two harts, as far as its beginning."""
    with counting() as original, original.record() as recording:
        original.run(instructions=50_000)
    with counting() as machine:
        machine.replay(recording.log)
        yield machine


@pytest.mark.parametrize("history", [False, True])
def test_hart_that_is_stepped_alone_waits_for_its_turn(two_harts, history):
    """Whose turn it is, is part of what is repeated: then the other one runs until that."""
    if history:
        two_harts.keep_history()
    with debugging(two_harts) as stub:
        for number in (1, 2, 1, 2, 2):
            hart = two_harts.harts[number - 1]
            before = hart.steps
            assert stub.ask(f"vCont;s:{number}").startswith(f"T05thread:{number};"), stub.shown
            assert hart.steps == before + 1
        assert "replaylog:end" in stub.ask("c"), stub.shown


def test_hart_that_is_stepped_alone_leaves_no_trace_in_a_recording():
    """It gets no turn there either, so that nothing has come from outside."""
    with counting() as machine, machine.record() as recording:
        with debugging(machine) as stub:
            for number in (1, 2, 1):
                assert stub.ask(f"vCont;s:{number}").startswith("T05")
        assert {entry.kind for entry in recording.log} <= {Kind.START, Kind.END}


def test_nothing_can_be_written_before_the_log_ends():
    with echo() as machine:
        machine.replay(typed())
        machine.keep_history()
        with debugging(machine) as stub:
            registers, place = stub.ask("g"), machine.program.symbols["place"].address
            for packet in ("P14=0900000000000000", "P20=0000008000000000", f"G{registers}", "c80000000",
                           f"M{place:x},1:ff", "s80000000"):
                assert stub.ask(packet).startswith("E"), packet
            assert "no register can be written" in stub.ask("P14=0900000000000000")
            assert "replays a log" in stub.monitor("reset")
            assert stub.ask("g") == registers
            assert "replaylog:end" in stub.ask("c")
            assert stub.ask("P14=0900000000000000") == "OK"
            assert stub.ask("bs").startswith("T05") and machine.steps == typed().end.steps - 1


def test_history_can_be_kept_from_any_moment_of_a_replay():
    with busy() as machine:
        machine.replay(session_log())
        with debugging(machine) as stub:
            assert "no history is kept" in stub.ask("bs")
            assert stub.ask("vCont;s").startswith("T05")
            assert f"from step {machine.steps:,} on" in stub.monitor("history")
            beginning = machine.steps
            assert "replaylog:end" in stub.ask("c")
            assert "replaylog:begin" in stub.ask("bc")
            assert machine.steps == beginning
            assert "replaylog:end" in stub.ask("c")


def test_end_that_was_recorded_is_a_place_to_go_back_from():
    """The guest powers the machine off, in the log."""
    with vm.Machine(memory="2M") as machine:
        machine.load(bytes.fromhex("93041000" "b7021000" "37530000" "13035355" "23a06200"), 0x8000_0000)
        snapshot = machine.snapshot()
        with machine.record() as recording:
            assert machine.run().reason is vm.StopReason.POWER_OFF
    with vm.replay(snapshot, recording.log) as machine:
        machine.keep_history()
        with debugging(machine) as stub:
            assert "replaylog:end" in stub.ask("c")
            assert "powered" in stub.shown.decode()
            assert stub.ask("bs").startswith("T05") and stub.pc() == 0x8000_0010
            assert stub.ask("c").startswith("T05")
            assert stub.ask("c") == "W00"
