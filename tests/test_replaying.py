"""A run that is not the one that was recorded is noticed where it begins to differ, and the message says how."""

import pytest

import vm
from tests.recorded import BASE, asking, busy, changed, key_number, session_log
from vm.log import Kind
from vm.stop import StopReason


@pytest.fixture
def session() -> vm.Log:
    return session_log()


def divergence(log: vm.Log) -> vm.ReplayDiverged:
    with busy() as machine, pytest.raises(vm.ReplayDiverged) as caught:
        machine.replay(log)
        while machine.run().reason is not StopReason.REPLAYED:
            pass
    return caught.value


def test_a_session_has_its_keys_and_checkpoints(session):
    assert bytes(entry.data[0] for entry in session if entry.kind is Kind.INPUT) == b"abcdefgh"
    assert sum(entry.kind is Kind.CHECKPOINT for entry in session) == 1         # at 2**20 steps; the next at 2**21 more
    assert "8 inputs" in repr(session) and session.end.steps == 1000 + 9 * 300_000


def test_another_key_is_found_at_the_next_entry(session):
    number = key_number(session, "c")
    error = divergence(changed(session, number, data=b"x"))
    assert error.fitted == session.entries[number].stamp.steps
    assert error.step == session.entries[number + 1].stamp.steps
    assert "hart 0: " in str(error) and f"{error.fitted:,}" in str(error)


def test_another_key_that_nobody_reads_is_found_at_the_next_checkpoint(session):
    """Also where the guest comes to the same state: what came in is part of what an entry proves."""
    with vm.Machine(memory="1M", board="virt") as machine:
        machine.load(bytes.fromhex("6f000000"), BASE)           # j .
        with machine.record() as recording:
            machine.run(instructions=100)
            machine.console.send("a")
            machine.run(instructions=100)
    log = recording.log
    found = pytest.raises(vm.ReplayDiverged, match="step 200.*from outside.*the log was changed")
    with vm.Machine(memory="1M") as machine, found as it:
        machine.load(bytes.fromhex("6f000000"), BASE)
        machine.replay(changed(log, 1, data=b"b"))
        machine.run()
    assert it.value.fitted == 100


def test_another_machine_is_told_before_it_runs():
    """The states of the harts are alike, or differ only in where the device tree lies."""
    def machine(memory="1M", program="6f000000"):           # j .
        built = vm.Machine(memory=memory)
        built.load(bytes.fromhex(program), BASE)
        return built

    with machine() as recorded, recorded.record() as recording:
        recorded.run(instructions=10)
    with machine("2M") as larger, pytest.raises(vm.ReplayDiverged, match="has RAM .*2 MiB.*one with RAM .*1 MiB"):
        larger.replay(recording.log)
    with machine(program="1300000067000000") as other, pytest.raises(vm.ReplayDiverged, match="another program"):
        other.replay(recording.log)
    with machine() as same:
        same.memory.write(BASE + 0x8000, b"x")              # nobody looks there: it fits
        same.replay(recording.log)
        assert same.run().reason is StopReason.REPLAYED


def test_other_content_of_memory_is_suspected():
    """What it first differs by is the hart that has read it; the page that is executed is the same."""
    def machine(content):
        built = vm.Machine(memory="1M")
        built.load(bytes.fromhex("b78200009382020003b3020073005010"), BASE)
        built.memory.write(BASE + 0x8000, content)
        return built

    with machine(b"a") as recorded, recorded.record() as recording:
        recorded.harts[0]["s0"] = BASE + 0x8000
        recorded.memory.write(BASE + 4, bytes.fromhex("83340400" "6f000000"))    # ld s1, 0(s0); j .
        recorded.harts[0].pc = BASE + 4
        recorded.run(instructions=10)
    found = pytest.raises(vm.ReplayDiverged, match="s1 is 0x62, recorded 0x61; perhaps it is another program")
    with machine(b"b") as other, found:
        other.replay(recording.log)
        other.run()


@pytest.mark.parametrize("data", [b"", b"x", b"N"])
def test_a_start_that_says_nothing(data, session):
    with busy() as machine, pytest.raises(vm.LogError, match="does not say what was recorded"):
        machine.replay(changed(session, 0, data=data))


def test_a_key_that_was_taken_out(session):
    number = key_number(session, "c")
    error = divergence(vm.Log(session.entries[:number] + session.entries[number + 1:]))
    assert (error.fitted, error.step) == (session.entries[number - 1].stamp.steps,
                                          session.entries[number + 1].stamp.steps)


@pytest.mark.parametrize("steps", [-1, 1, -299_999, 299_999])
def test_a_key_at_another_moment(session, steps):
    """The harts do not stand as they did where it came, or time is not what it was."""
    number = key_number(session, "c")
    stamp = session.entries[number].stamp
    error = divergence(changed(session, number, stamp=stamp._replace(steps=stamp.steps + steps, ns=stamp.ns + steps)))
    assert error.fitted == session.entries[number - 1].stamp.steps
    assert error.fitted < error.step <= stamp.steps + max(steps, 0) + 1


@pytest.mark.parametrize("served", [-1, 1])
def test_a_key_on_the_other_side_of_an_event(session, served):
    number = key_number(session, "c")
    stamp = session.entries[number].stamp
    error = divergence(changed(session, number, stamp=stamp._replace(served=stamp.served + served)))
    assert error.fitted == session.entries[number - 1].stamp.steps


def test_it_says_which_registers(session):
    """The log of a guest with another value in one register."""
    with busy() as machine:
        machine.harts[0]["s9"] = 5
        with pytest.raises(vm.ReplayDiverged, match="the log does not fit: hart 0: s9 is 0x5, recorded 0x0$"):
            machine.replay(session)
        machine.harts[0]["s9"] = 0
        machine.replay(session)                 # nothing had changed


def test_a_machine_that_stands_elsewhere(session):
    with busy() as machine:
        machine.run(instructions=1)
        with pytest.raises(vm.ReplayDiverged, match=r"begins at step 1,000 .* stands at step 1,001"):
            machine.replay(session)
    with busy(2) as machine, pytest.raises(vm.ReplayDiverged, match="another number of harts"):
        here = session.start._replace(steps=machine.steps, ns=machine.clock.now_ns())
        machine.replay(changed(session, 0, stamp=here))


def test_a_device_that_is_not_there(session):
    with busy() as machine, pytest.raises(vm.ReplayDiverged, match="input came at step .* of 'modem', and"):
        machine.replay(changed(session, 1, source="modem"))


def test_a_device_that_is_asked_at_another_step():
    original, _ = asking("interpreter")
    with original, original.record() as recording:
        original.run(instructions=100_000)
    log = recording.log
    number = next(number for number, entry in enumerate(log) if number > 5 and entry.kind is Kind.ANSWER)
    stamp = log.entries[number].stamp
    machine, _ = asking("interpreter")
    moved = stamp._replace(steps=stamp.steps + 2, ns=stamp.ns + 2)
    with machine, pytest.raises(vm.ReplayDiverged, match=f"asked at {moved}.*asks 'dice.* at {stamp}") as caught:
        machine.replay(changed(log, number, stamp=moved))
        machine.run()
    assert caught.value.step == stamp.steps
