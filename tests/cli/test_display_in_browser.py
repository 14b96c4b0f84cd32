"""`--display web` in a browser: a person types, takes a snapshot, changes a file, and goes back.

With VM_PICTURES=FOLDER the pictures of the pages that are looked at here are kept there, for people to look at.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("websockets")

from tests import tools  # noqa: E402
from tests.cli.conftest import COMMAND  # noqa: E402
from tests.web.browser import Browser  # noqa: E402
from vm.cli.exit_codes import INTERRUPTED  # noqa: E402

pytestmark = [tools.needs("chromium"), pytest.mark.network]

TEXT = "(document.querySelector('.xterm-rows')?.innerText ?? '')"
MODE = "document.getElementById('mode')?.dataset.mode"
PC = "document.querySelector('#hart dd').textContent"
# Of the screen: how many pixels are not black.
LIT = """(() => { const canvas = document.querySelector('canvas');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((value, place) => place % 4 < 3 && value > 0).length })()"""

# A screen that is too large until a key comes.
LARGE_SCREEN = """
import sys, vm, vm.web.screen
vm.web.screen.MOST_SHOWN = 100 * 100
with vm.Machine(memory="1M") as machine:
    screen = vm.devices.Screen(101, 100)
    machine.attach(screen)
    with machine.web() as console:
        print(f"vm: web console at {console.url}", file=sys.stderr, flush=True)
        while not machine.console.unread:
            machine.inputs.poll()
        screen.resize(100, 100)
        while True:
            machine.inputs.poll()
"""


class Console:
    """A process that shows a machine, and the address that it prints."""

    def __init__(self, *command: str):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        while line and "http://" not in line:
            line = self.process.stderr.readline()
        self.url = re.search(r"vm: web console at (http://127\.0\.0\.1:\d+/\?token=\S+)\n", line)[1]

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; the exit code, and what else it has said."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        return self.process.wait(timeout=60), self.process.stderr.read() + self.process.stdout.read()


@pytest.fixture
def console():
    consoles = []

    def start(*command: str) -> Console:
        consoles.append(Console(*command))
        return consoles[-1]

    yield start
    for one in consoles:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()
        one.process.stderr.close()


@pytest.fixture
def browser():
    with Browser() as browser:
        yield browser
        assert browser.complaints == []


def keep(browser, name):
    if folder := os.environ.get("VM_PICTURES"):
        browser.picture(Path(folder, f"{name}.png"))


def test_a_person_at_the_page(console, browser, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"old disk\n".ljust(1 << 20, b"\0"))
    shown = console(*COMMAND, "boot", "debian", "--shell", "--harts", "2", "--disk", str(disk), "--display", "web")
    browser.open(shown.url)
    browser.wait(f"{TEXT}.includes('~ #')")
    browser.type("echo old file > /tmp/file; head -n 1 /dev/vda\n")
    browser.wait(f"{TEXT}.includes('old disk\\n')")
    keep(browser, "light")

    # A snapshot, and the machine goes on; file and disk are others then.
    browser.look("document.getElementById('name').focus()")
    browser.type("before\n")
    browser.wait("document.querySelectorAll('.mark.here').length == 1")
    browser.type("echo new disk > /dev/vda; sync; echo new file > /tmp/file; cat /tmp/file; head -n 1 /dev/vda\n")
    browser.wait(f"{TEXT}.includes('new file\\nnew disk\\n')")

    # Back, by the mark on the timeline: what was printed since is gone, and what is read is old.
    browser.click(".mark")
    browser.wait(f"!{TEXT}.includes('new file')")
    browser.type("cat /tmp/file; head -n 1 /dev/vda\n")
    browser.wait(f"{TEXT}.includes('old file\\nold disk\\n')")
    assert browser.look(MODE) == "running"

    # Pause, a step, and on.
    browser.click("#run")
    browser.wait(f"{MODE} == 'paused'")
    steps = "Number(document.getElementById('time').title.replaceAll(',', '').split(' ')[0])"
    before = browser.look(steps)
    browser.look("document.getElementById('count').value = 2000")
    browser.click("#steps")
    browser.wait(f"{MODE} == 'paused' && {steps} == {before} + 2000")
    browser.look("document.querySelector('#hart button').focus()")      # names of the kernel's functions
    browser.look("document.getElementById('step').click()")
    browser.wait(f"{MODE} == 'paused' && {steps} == {before} + 2001")
    browser.type("\n")                      # the button has the keyboard still
    browser.wait("document.querySelector('#hart dd:nth-of-type(2)').textContent.includes('+0x')")
    browser.look("document.getElementById('wanted').focus()")
    browser.type("old")
    browser.wait("document.getElementById('found').textContent.includes(' of ')")
    browser.scheme("dark")
    browser.wait("document.documentElement.style.colorScheme == 'dark'")
    keep(browser, "dark")
    browser.click("#run")
    browser.wait(f"{MODE} == 'running'")

    # A page that is loaded anew shows what the one before did, and answers no question of the past.
    browser.reload()
    browser.wait(f"{TEXT}.includes('old file\\nold disk\\n')")
    browser.wait("document.querySelectorAll('.mark').length == 1")

    # Nothing was asked of anybody else.
    places = {re.match(r"\w+://([^/]*)", address)[1] for address in browser.requested}
    assert places == {shown.url.split("/")[2]}

    # The guest ends, and is shown until nobody looks.
    browser.look("document.querySelector('textarea').focus()")
    browser.type("poweroff -f\n")
    browser.wait(f"{MODE} == 'ended'")
    assert shown.process.poll() is None
    browser.open("about:blank")
    assert shown.ended() == (0, "")
    assert disk.read_bytes()[:8] == b"old disk"


def test_what_steps_have_changed_is_marked(console, browser, guest):
    shown = console(*COMMAND, "run", guest("loop-of-two"), "--display", "web")
    changed = "[...document.querySelectorAll('td.changed')].map((cell) => cell.previousSibling.textContent).join()"
    browser.open(shown.url)
    browser.wait(f"{MODE} == 'running'")
    browser.click("#run")
    browser.wait(f"{MODE} == 'paused'")
    seen = set()
    for _ in range(4):                      # two additions, and the jump back
        pc = browser.look(PC)
        browser.click("#step")
        browser.wait(f"{MODE} == 'paused' && {PC} != '{pc}'")
        seen.add(browser.look(changed))
    assert seen == {"", "a0", "a1"}

    # By the keyboard from mark to mark, and one of them is dropped. What has the keyboard keeps it meanwhile.
    def step():
        pc = browser.look(PC)
        browser.look("document.getElementById('step').click()")
        browser.wait(f"{MODE} == 'paused' && {PC} != '{pc}'")

    for number in (1, 2):
        browser.click("#take button")
        browser.wait(f"document.querySelectorAll('.mark').length == {number}")
        step()
    browser.look("document.querySelector('.mark').focus()")
    step()
    browser.type("\n")
    browser.wait("document.querySelector('.mark').classList.contains('here')")
    browser.look("document.querySelector('#chosen button').focus()")
    step()
    browser.type("\n")
    browser.wait("document.querySelectorAll('.mark').length == 1")
    browser.click("#theme")
    browser.wait("document.documentElement.style.colorScheme == 'dark'")


def test_a_person_at_the_screen(console, browser):
    shown = console(*COMMAND, "boot", "debian", "--shell", "--screen", "800x600", "--display", "web:0")
    browser.open(shown.url)
    browser.wait(f"{TEXT}.includes('~ #')")
    browser.click("#tab-screen")
    browser.wait("document.activeElement.tagName == 'CANVAS'")
    browser.type("clear\n")                 # in the shell that is there
    browser.wait(f"100 < {LIT} && {LIT} < 2000")        # its prompt
    browser.click("canvas")                 # by the tablet
    browser.type("dmesg\n")
    browser.wait(f"{LIT} > 30000")
    browser.scheme("dark")
    keep(browser, "screen")
    assert shown.interrupt() == (INTERRUPTED, "\n")


def test_a_screen_that_is_too_large(console, browser):
    shown = console(sys.executable, "-c", LARGE_SCREEN)
    browser.open(shown.url)
    browser.wait("document.getElementById('tab-screen')?.hidden === false")
    browser.click("#tab-screen")
    browser.wait("document.querySelector('#screen').innerText.includes('has 101 x 100 pixels')")
    assert browser.look("document.querySelector('#no-picture').offsetParent !== null")
    assert browser.look("document.querySelector('canvas').offsetParent === null")
    keep(browser, "no-picture")
    browser.click("#tab-terminal")
    browser.type("a")
    browser.click("#tab-screen")
    browser.wait("document.querySelector('canvas').width == 100")
    assert browser.look("document.querySelector('#screen').innerText").strip() == ""
