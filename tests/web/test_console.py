"""A machine that pages drive: on, by steps, to snapshots and back, and to its end."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

import vm
from tests.assembler import assemble_elf
from tests.devices.conftest import outside
from tests.web.client import Client
from vm.devices import BlockDevice, Keyboard, Screen, Tablet
from vm.driving import PlainDriver
from vm.errors import ConfigurationError
from vm.stop import StopReason
from vm.web.control import MOST_ASKED

# Prints the number of keys that have come, as a letter from A on, for each; "q" switches the machine off.
PROGRAM = """
    li   s0, 0x10000000
    la   s1, count
wait:
    lbu  t0, 5(s0)
    andi t0, t0, 1
    beqz t0, wait
    lbu  a0, 0(s0)
    li   t1, 'q'
    beq  a0, t1, off
    lbu  a1, (s1)
    sb   a1, 0(s0)
    addi a1, a1, 1
    sb   a1, (s1)
    j    wait
off:
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, (t0)
    j    off
.globl count
count: .byte 'A'
"""


class Scripted(PlainDriver):
    """Ends when a script has."""

    over = False

    @property
    def quitting(self) -> bool:
        return self.over


MOST = 5                        # snapshots here


@pytest.fixture
def machine():
    with vm.Machine(memory="1M") as machine:
        machine.load(assemble_elf(PROGRAM))
        yield machine


@contextmanager
def opened(url):
    """A page, in a thread of its own: the server is looked at by the one that runs the machine."""
    client = Client(url, lambda: time.sleep(0.001))
    try:
        yield client.opened()
    finally:
        client.close()


def served(machine, script, to_the_end=False):
    """What `serve` returned, while a script does what a person does, given the address; it ends with the script."""
    failures = []
    with machine.web() as console:
        driver = Scripted(machine)

        def scripted():
            try:
                script(console.url)
            except BaseException as error:
                failures.append(error)
            if failures or not to_the_end:
                driver.over = True
                machine.request_stop()

        thread = threading.Thread(target=scripted)
        thread.start()
        stop = console.serve(driver)
        thread.join()
    if failures:
        raise failures[0]
    return stop


def at_rest(page, mode="paused"):
    page.wait(lambda: page.last("state")["mode"] == mode)
    return page.last("state")


def test_keys_go_in_and_what_is_printed_comes_out(machine):
    def script(url):
        with opened(url) as page:
            page.type(b"a")
            page.wait(lambda: page.text == b"A")
            page.type(b"bc")
            page.wait(lambda: page.text == b"ABC")
        with opened(url) as later:
            later.wait(lambda: later.text == b"ABC")
            assert [message for message in later.messages if message["is"] == "clear"] == [{"is": "clear", "old": 3}]

    served(machine, script)


def test_what_it_is(machine):
    def script(url):
        with opened(url) as page:
            assert page.last("machine") == {"is": "machine", "screen": False, "facts": [
                "virt", "1 hart", "memory: RAM 0x80000000..0x80100000 (1 MiB)", "virtual clock",
                "interpreter" if machine.compiler is None else "jit"]}

    served(machine, script)


def test_pause_step_go_on(machine):
    def script(url):
        with opened(url) as page:
            page.ask("pause")
            first = at_rest(page)
            page.ask("step", count=1)
            page.wait(lambda: page.last("state")["steps"] == first["steps"] + 1)
            page.ask("step", count=100_000_000)
            page.wait(lambda: page.last("state")["mode"] == "running")
            page.wait(lambda: page.last("state")["steps"] == first["steps"] + 1 + 100_000_000)
            assert at_rest(page)["why"] == ""
            (hart,) = page.last("state")["harts"]
            assert (int(hart["pc"], 16), hart["privilege"]) == (machine.harts[0].pc, "M")
            assert dict(hart["x"])["s0"] == "0000000010000000" and dict(hart["csrs"])["satp"] == "0" * 16
            assert hart["symbol"].startswith(("_start", "wait"))
            page.ask("go on")
            at_rest(page, "running")
            page.wait(lambda: page.last("state")["steps"] > 100_200_000)

    served(machine, script)


def test_a_pause_ends_steps(machine):
    def script(url):
        with opened(url) as page:
            page.ask("pause")
            first = at_rest(page)["steps"]
            page.ask("step", count=10**12)
            at_rest(page, "running")
            page.wait(lambda: page.last("state")["steps"] > first)
            page.ask("pause")
            page.wait(lambda: page.last("state")["mode"] == "paused")
            assert first < page.last("state")["steps"] < first + 10**12

    served(machine, script)


def test_steps_are_as_many_whatever_comes_between(machine):
    """A snapshot stops the machine for a moment; it goes on with what is left."""
    def script(url):
        with opened(url) as page:
            page.ask("pause")
            first = at_rest(page)["steps"]
            page.ask("step", count=200_000_000)
            at_rest(page, "running")
            page.ask("snapshot", name="")
            page.wait(lambda: page.last("snapshots")["list"])
            page.wait(lambda: page.last("state")["mode"] == "paused")
            assert page.last("state")["steps"] == first + 200_000_000
            assert first < page.last("snapshots")["list"][0]["steps"] < first + 200_000_000

    served(machine, script)


def test_back_to_a_snapshot_while_it_runs(machine):
    def script(url):
        with opened(url) as page, opened(url) as other:
            page.type(b"ab")
            page.wait(lambda: page.text == b"AB")
            page.ask("snapshot", name="two keys")
            page.wait(lambda: page.last("snapshots")["list"])
            page.type(b"cd")
            other.wait(lambda: other.text == b"ABCD")
            page.ask("restore", number=1)
            page.wait(lambda: page.text == b"AB")
            page.type(b"x")
            for one in (page, other):
                one.wait(lambda one=one: one.text == b"ABC")
                (moment,) = one.last("snapshots")["list"]
                assert (moment["name"], moment["here"], moment["number"]) == ("two keys", True, 1)
            assert page.last("state")["mode"] == "running"

    served(machine, script)


def test_disks_go_back_too(machine, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    disk = BlockDevice(image, discard=True)
    machine.attach(disk)

    def script(url):
        with opened(url) as page:
            page.ask("snapshot", name="")
            page.wait(lambda: page.last("snapshots")["list"])
            page.ask("pause")
            at_rest(page)
            disk.disk.write(0, [memoryview(b"new")])
            page.ask("restore", number=1)
            page.ask("snapshot", name="")
            page.wait(lambda: len(page.last("snapshots")["list"]) == 2)
            found = bytearray(b"???")
            disk.disk.read(0, memoryview(found))
            assert found == bytes(3)

    served(machine, script)


def test_snapshots_have_names_and_can_be_dropped(machine):
    def script(url):
        with opened(url) as page:
            page.ask("snapshot", name="  first ")
            page.ask("snapshot", name="")
            page.wait(lambda: len(page.last("snapshots")["list"]) == 2)
            assert [moment["name"] for moment in page.last("snapshots")["list"]] == ["first", "snapshot 2"]
            page.ask("drop", number=1)
            page.wait(lambda: len(page.last("snapshots")["list"]) == 1)
            page.ask("restore", number=1)
            page.wait(lambda: page.last("error"))
            assert page.last("error")["text"] == "there is no snapshot 1"

    served(machine, script)


def test_so_many_snapshots(machine, monkeypatch):
    monkeypatch.setattr("vm.web.timeline.MOST", MOST)

    def script(url):
        with opened(url) as page:
            for number in range(MOST + 1):
                page.ask("snapshot", name="")
                page.wait(lambda number=number: page.last("error")
                          or len(page.last("snapshots")["list"]) == number + 1)
            assert "drop one first" in page.last("error")["text"] and len(page.last("snapshots")["list"]) == MOST

    served(machine, script)


def test_the_program_has_the_snapshots(machine):
    with machine.web() as console:
        with pytest.raises(AttributeError):
            console.snapshots = {}
        console._control.take("there")
        assert list(console.snapshots) == ["there"] and isinstance(console.snapshots["there"], vm.Snapshot)


def test_a_guest_that_has_ended_is_shown_until_the_page_is_closed(machine, monkeypatch):
    monkeypatch.setattr("vm.web.console.ABSENCE", 0.1)

    def script(url):
        with opened(url) as page:
            page.type(b"a")
            page.wait(lambda: page.text == b"A")
            page.ask("snapshot", name="")
            page.type(b"q")
            assert at_rest(page, "ended")["why"] == "power-off"
            page.ask("go on")
            page.wait(lambda: page.last("error"))
            assert page.last("error")["text"] == "the guest has ended: go back to a snapshot"
            page.ask("restore", number=1)
            at_rest(page)
            page.ask("go on")
            page.type(b"b")
            page.wait(lambda: page.text == b"AB")
            page.type(b"q")
            at_rest(page, "ended")
        with opened(url) as page:           # as one that is loaded anew
            assert page.last("state")["mode"] == "ended"

    assert served(machine, script, to_the_end=True).reason is StopReason.POWER_OFF


def test_without_a_page_it_returns_at_the_end(machine):
    machine.console.send("q")
    with machine.web() as console:
        assert console.serve().reason is StopReason.POWER_OFF


def test_a_stop_that_the_program_asks_for_comes_out(machine):
    timer = threading.Timer(0.2, machine.request_stop)
    timer.start()
    with machine.web() as console:
        assert console.serve().reason is StopReason.REQUESTED
    timer.join()
    assert machine.run(instructions=10).steps == 10


def test_breakpoints_pause(machine):
    machine.breakpoint("off")

    def script(url):
        with opened(url) as page:
            page.type(b"q")
            state = at_rest(page)
            assert state["why"] == "breakpoint" and state["harts"][0]["symbol"] == "off"

    served(machine, script)


def test_what_a_device_raises_comes_out(machine):
    def refuse(data):
        raise RuntimeError("no paper")

    machine.console.mirror = refuse
    machine.console.send("a")
    with machine.web() as console:
        with pytest.raises(RuntimeError, match="no paper"):
            console.serve()
        assert machine.inputs.interactive is False


def test_who_listens_to_the_console_goes_on_listening(machine):
    heard = []
    machine.console.mirror = heard.append
    machine.console.send("aq")
    with machine.web() as console:
        console.serve()
    assert b"".join(heard) == b"A" and machine.console.mirror == heard.append


def test_a_page_sees_what_a_program_runs(machine):
    """It cannot drive the machine then, and is told so; keys come in."""
    with machine.web() as console:
        page = Client(console.url, lambda: machine.run(timeout=0.02))
        page.opened()
        assert page.last("state")["mode"] == "unserved"
        page.ask("pause")
        page.wait(lambda: page.last("error"))
        page.type(b"a")
        page.wait(lambda: page.text == b"A")
        page.wait(lambda: page.last("state")["steps"] > 0)
        page.close()


def test_a_replay_is_not_served(machine):
    start = machine.snapshot()
    with machine.record() as recording:
        machine.run(instructions=1000)
    machine.restore(start)
    machine.replay(recording.log)
    with machine.web() as console, pytest.raises(ConfigurationError, match="a log is replayed"):
        console.serve()


def test_a_recording_refuses_to_go_back(machine):
    recording = machine.record()

    def script(url):
        with opened(url) as page:
            page.ask("snapshot", name="")
            page.wait(lambda: page.last("snapshots")["list"])
            page.ask("restore", number=1)
            page.wait(lambda: page.last("error"))
            assert "recorded run" in page.last("error")["text"]

    served(machine, script)
    recording.stop()


def test_too_much_at_once_is_refused(machine):
    with machine.web() as console:
        control = console._control
        control._serving = True
        for _ in range(MOST_ASKED + 1):
            control.ask(control.pause)
        assert len(control._asked) == MOST_ASKED


def test_linux_is_looked_for_and_not_found(machine):
    def script(url):
        with opened(url) as page:
            page.ask("name functions")
            page.wait(lambda: page.last("error"))

    served(machine, script)


# --- Screen, keyboard, tablet ----------------------------------------------------------------------------------------

@pytest.fixture
def desk(machine):
    """The devices; what they would tell a guest is in `received`."""
    received = []
    devices = Screen(64, 64), Keyboard(), Tablet()
    for device in devices:
        machine.attach(device)
    for device in devices[1:]:
        device.accept = received.append
        device.connect_outside(outside(received.append))
    return received


def test_the_desk_is_told_what_is_done(machine, desk):
    keyboard, tablet = (placed.device for placed in machine.board.devices.values()
                        if isinstance(placed.device, (Keyboard, Tablet)))

    def script(url):
        with opened(url) as page:
            assert page.last("machine")["screen"] is True
            page.ask("key", code="KeyA", down=True)
            page.ask("key", code="NoSuchKey", down=True)
            page.ask("move", x=1, y=32767)
            page.ask("button", button=2, down=True)
            page.ask("wheel", notches=-1)
            page.wait(lambda: len(desk) == 4)

    served(machine, script)
    expected = []
    keyboard.connect_outside(outside(expected.append))
    tablet.connect_outside(outside(expected.append))
    keyboard.press("KEY_A")
    tablet.move(1, 32767)
    tablet.button("BTN_RIGHT", True)
    tablet.wheel(-1)
    assert desk == expected


def test_what_is_held_is_let_go_when_the_page_is_closed(machine):
    keyboard = Keyboard()
    machine.attach(keyboard)
    keyboard.pressed = [30, 42]
    told = []
    keyboard.connect_outside(outside(told.append))
    with machine.web() as console:
        page = Client(console.url, lambda: machine.inputs.poll(0.002))
        page.opened()
        page.close()
        while console._pages:
            machine.inputs.poll(0.01)
    assert [data[2] for data in told] == [30, 42]


def test_pictures_come_as_they_are_drawn(machine, desk):
    """The next one when the one before is drawn, and only what has changed."""
    with machine.web() as console:
        page = Client(console.url, lambda: machine.inputs.poll(0.002))
        page.opened()
        page.wait(lambda: page.pictures)
        (first,) = page.pictures
        assert first[:12] == bytes([64, 0, 64, 0, 0, 0, 0, 0, 64, 0, 64, 0])
        assert first[12:] == b"\0\0\0\xff" * 64 * 64
        page.ask("drawn")
        for _ in range(20):
            page.look()
        assert len(page.pictures) == 1
        page.close()


def test_a_screen_is_looked_at_once_for_all_pages(machine, desk, monkeypatch):
    taken = []
    pixels = Screen.pixels.fget
    monkeypatch.setattr(Screen, "pixels", property(lambda screen: taken.append(screen.generation) or pixels(screen)))
    (screen,) = (placed.device for placed in machine.board.devices.values() if isinstance(placed.device, Screen))
    with machine.web() as console:
        pages = [Client(console.url, lambda: machine.inputs.poll(0.002)).opened() for _ in range(3)]
        for number in range(1, 4):
            for page in pages:
                page.wait(lambda page=page, number=number: len(page.pictures) == number)
            for page in pages:
                page.ask("drawn")
            screen.resize(64, 64 + number)          # there is nothing on it: it is black, and of that size
        for page in pages:
            page.close()
    assert taken == sorted(set(taken)) and len(taken) >= 3


def test_a_screen_that_takes_long_is_looked_at_less_often(machine, desk, monkeypatch):
    """So that most of the host's time is the guest's."""
    pixels = Screen.pixels.fget
    monkeypatch.setattr(Screen, "pixels", property(lambda screen: time.sleep(0.1) or pixels(screen)))
    delays = []
    call_in = machine.inputs.call_in
    with machine.web() as console:
        monkeypatch.setattr(machine.inputs, "call_in", lambda seconds, action: (
            delays.append(seconds) if action == console._on_tick else None, call_in(seconds, action))[1])
        page = Client(console.url, lambda: machine.inputs.poll(0.002)).opened()
        page.wait(lambda: page.pictures)
        page.wait(lambda: len(delays) >= 3)
        page.close()
    assert max(delays) >= 0.5 and min(delays) == 0.04


def test_a_screen_that_is_too_large_is_not_shown_and_it_says_so(machine, desk, monkeypatch):
    monkeypatch.setattr("vm.web.screen.MOST_SHOWN", 100 * 100)
    (screen,) = (placed.device for placed in machine.board.devices.values() if isinstance(placed.device, Screen))
    screen.resize(101, 100)
    with machine.web() as console:
        page = Client(console.url, lambda: machine.inputs.poll(0.002)).opened()
        page.wait(lambda: page.last("screen"))
        assert page.last("screen")["why"].startswith("The guest's screen has 101 x 100 pixels")
        assert not page.pictures
        screen.resize(100, 100)
        page.wait(lambda: page.pictures)
        assert page.last("screen")["why"] == ""
        page.close()


def test_without_websockets_it_says_what_to_install():
    code = "import sys; sys.modules['websockets'] = None; import vm; vm.Machine(memory='1M').web()"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert output.splitlines()[-1] == ("vm.errors.VmError: the web console needs websockets; install it with: pip "
                                       "install 'vm-emulator[web]'")


def test_it_is_served_again(machine):
    """After an end, as that of a machine that was reset since."""
    with machine.web() as console:
        for _ in range(2):
            machine.console.send("q")
            assert console.serve().reason is StopReason.POWER_OFF
            machine.reset()
