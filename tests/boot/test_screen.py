"""Debian's kernel draws on the screen, by its framebuffer and its console, and reads the keyboard and the tablet."""

import re
import struct
import subprocess
import sys

import numpy as np
import pytest

import vm
from vm.devices import Entropy, Keyboard, Screen, Tablet
from vm.errors import ConfigurationError
from vm.images import debian

pytestmark = pytest.mark.network

WIDTH, HEIGHT = 640, 480
CELL = 8, 16                                # width and height of a character on the console
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
CLEAR = r"\033[2J\033[H\033[?25l"            # the screen, and the cursor away
EVENT = struct.Struct("<qqHHi")             # input_event: seconds, microseconds, type, code, value
SYN, KEY, REL, ABS = range(4)


def booted():
    machine = vm.Machine(memory="512M")
    for device in (Screen(WIDTH, HEIGHT), Keyboard(), Tablet()):
        machine.attach(device)
    kernel, initrd, cmdline = debian(screen=True)
    machine.boot(kernel, initrd, f"console=tty0 {cmdline}")
    shell = machine.shell()
    shell.run("sleep 1")                        # until there is one on the screen, too
    return machine, shell


@pytest.fixture(scope="module")
def ready():
    """A machine at its prompt, its shell, and a snapshot of that."""
    machine, shell = booted()
    with machine:
        yield machine, shell, machine.snapshot()


@pytest.fixture
def guest(ready):
    """The same each time: the machine, its shell, and its screen, keyboard and tablet."""
    machine, shell, snapshot = ready
    machine.restore(snapshot)
    return machine, shell, *(machine.board.devices[f"virtio{slot}"].device for slot in range(3))


def cells(pixels):
    """What stands at each place of a character: lines of bit patterns."""
    across, down = CELL
    lit = pixels[..., :3].any(axis=2).reshape(HEIGHT // down, down, WIDTH // across, across).swapaxes(1, 2)
    return [[cell.tobytes() for cell in line] for line in lit]


@pytest.fixture(scope="module")
def font(ready):
    """Characters by what they look like, of a line in which all of them are."""
    machine, shell, snapshot = ready
    machine.restore(snapshot)
    half = len(PRINTABLE) // 2
    lines = [PRINTABLE[:half], PRINTABLE[half:]]
    for number, line in enumerate(lines):
        text = "".join(f"\\x{ord(character):02x}" for character in line)
        shell.run(f"printf '{CLEAR if number == 0 else ''}%b\\r\\n' '{text}' > /dev/tty1")
    machine.run(seconds=0.5)
    seen = cells(machine.screenshot().pixels)
    known = {cell: character for line, row in zip(lines, seen, strict=False)
             for character, cell in zip(line, row, strict=False)}
    assert len(known) == len(PRINTABLE)         # no two look alike
    return known


def text_on(machine, font):
    """The lines on the screen."""
    return ["".join(font.get(cell, "?") for cell in line).rstrip() for line in cells(machine.screenshot().pixels)]


def draw(shell, pixels):
    """Write an array (height, width, 4), blue first, to the framebuffer, as text through the console."""
    height, width = pixels.shape[:2]
    for row in range(height):
        data = "".join(f"\\x{byte:02x}" for byte in pixels[row].tobytes())
        assert shell.run(f"printf '{data}' | dd of=/dev/fb0 bs=4 seek={row * WIDTH} 2>/dev/null").status == 0


def test_drivers_are_loaded_and_find_no_fault(guest):
    _, shell, *_ = guest
    assert shell.run("cat /sys/class/graphics/fb0/name").output == "virtio_gpudrmfb\n"
    assert shell.run("cat /sys/class/graphics/fb0/virtual_size").output == f"{WIDTH},{HEIGHT}\n"
    assert shell.run("cat /sys/class/input/input*/name").output == "vm keyboard\nvm tablet\n"
    complaints = shell.run("dmesg -r | grep '^<[0-4]>'").output
    assert not re.search("virtio|drm|EDID|input", complaints), complaints


def test_linux_takes_the_description_of_the_screen(guest, tmp_path):
    """The kernel checks it, and has the modes from it."""
    _, shell, screen, *_ = guest
    card = "/sys/class/drm/card0-Virtual-1"
    assert shell.run(f"head -n 1 {card}/modes").output == f"{WIDTH}x{HEIGHT}\n"
    dump = shell.run(f"od -An -v -t x1 {card}/edid").output
    from vm.devices.virtio.gpu.edid import edid

    assert bytes.fromhex(dump) == edid(WIDTH, HEIGHT)


def test_what_the_guest_draws_is_what_is_seen(guest):
    machine, shell, screen, *_ = guest
    shell.run("echo 0 > /sys/class/vtconsole/vtcon1/bind 2>/dev/null; dd if=/dev/zero of=/dev/fb0 bs=1M 2>/dev/null")
    pixels = np.random.default_rng(3).integers(0, 256, (4, 40, 4), np.uint8)
    generation = screen.generation
    draw(shell, pixels)
    machine.run(seconds=0.1)
    assert screen.generation > generation
    shot = machine.screenshot()
    assert shot.size == (WIDTH, HEIGHT)
    assert np.array_equal(shot.pixels[:4, :40, :3], pixels[..., 2::-1])
    assert not shot.pixels[8:, :, :3].any() and (shot.pixels[..., 3] == 255).all()


def test_the_console_is_on_the_screen(guest, font):
    """What the kernel says is on it stands there."""
    machine, shell, *_ = guest
    shell.run(f"printf '{CLEAR}On the screen: 3 < 4, Zebra_%d.\\n' 42 > /dev/tty1; dmesg | tail -n 20 > /dev/tty1")
    machine.run(seconds=0.5)
    said = shell.run(f"fold -w {WIDTH // CELL[0]} /dev/vcs1").output.splitlines()
    lines = text_on(machine, font)
    assert lines[0] == "On the screen: 3 < 4, Zebra_42."
    assert lines == [line.rstrip() for line in said] and "input: vm tablet" in "".join(lines)


def test_what_is_typed_comes_to_the_shell_on_the_screen(guest, font):
    machine, shell, _, keyboard, _ = guest
    keyboard.type("echo $((6*7)) > /tmp/typed; echo \"Done: {ok}\"\n")
    machine.run(seconds=2)
    assert shell.run("cat /tmp/typed").output == "42\n"
    assert "Done: {ok}" in text_on(machine, font)
    keyboard.press("KEY_CAPSLOCK")
    keyboard.release("KEY_CAPSLOCK")
    machine.run(seconds=0.5)
    assert keyboard.lights == ["caps lock"]


def events(shell, machine, number, act):
    """What a program in the guest reads of an input device while something is done, SYN_REPORTs left out."""
    shell.run(f"cat /dev/input/event{number} > /tmp/events & sleep 0.1")
    act()
    machine.run(seconds=1)
    data = bytes.fromhex(shell.run("kill %1 2>/dev/null; od -An -v -t x1 /tmp/events").output)
    assert len(data) % EVENT.size == 0
    return [event[2:] for event in EVENT.iter_unpack(data) if event[2] != SYN]


def test_programs_read_the_keyboard(guest):
    machine, shell, _, keyboard, _ = guest
    assert events(shell, machine, 0, lambda: keyboard.type("Vm")) == [
        (KEY, 42, 1), (KEY, 47, 1), (KEY, 47, 0), (KEY, 42, 0), (KEY, 50, 1), (KEY, 50, 0)]


def test_programs_read_long_text_without_a_loss(guest):
    machine, shell, _, keyboard, _ = guest
    text = "the quick brown fox jumps over the lazy dog 0123456789 " * 4
    seen = events(shell, machine, 0, lambda: keyboard.type(text))
    assert len(seen) == 2 * len(text)


def test_programs_read_the_tablet(guest):
    machine, shell, _, _, tablet = guest

    def act():
        tablet.move(0.25, 0.75)
        tablet.button("BTN_LEFT", True)
        tablet.move(8192, 100)
        tablet.button("BTN_LEFT", False)
        tablet.wheel(-3)

    assert events(shell, machine, 1, act) == [
        (ABS, 0, 8192), (ABS, 1, 24575), (KEY, 0x110, 1), (ABS, 1, 100), (KEY, 0x110, 0), (REL, 8, -3)]


def test_another_size_is_heard(guest):
    machine, shell, screen, *_ = guest
    screen.resize(800, 600)
    machine.run(seconds=0.5)
    card = "/sys/class/drm/card0-Virtual-1"
    assert shell.run(f"echo detect > {card}/status; head -n 1 {card}/modes").output == "800x600\n"


def test_forks_and_snapshots_have_the_screen(guest, tmp_path):
    machine, shell, screen, keyboard, _ = guest
    keyboard.press("KEY_A")
    machine.run(seconds=0.1)
    before, snapshot = screen.pixels, machine.snapshot()
    shell.run(r"printf '\033[2J\033[H' > /dev/tty1")
    machine.run(seconds=0.5)
    assert not np.array_equal(screen.pixels, before)
    with snapshot.machine() as fork:
        assert np.array_equal(fork.screenshot().pixels, before)
        fork.board.devices["virtio1"].device.release("KEY_A")
        fork.run(seconds=0.5)
        assert fork.board.devices["virtio0"].device.generation > 0
    generation = screen.generation
    machine.restore(snapshot)
    assert np.array_equal(screen.pixels, before) and screen.generation > generation
    assert keyboard.pressed == [30]
    snapshot.save(tmp_path / "screen.vmsnap")
    with vm.Snapshot.load(tmp_path / "screen.vmsnap").machine() as again:
        assert np.array_equal(again.screenshot().pixels, before)
        again.run(seconds=0.1)


def test_a_session_is_recorded_and_replayed(guest):
    """Keys, the pointer and the size come again at their steps."""
    machine, _, screen, keyboard, tablet = guest
    start = machine.snapshot()
    with machine.record() as recording:
        keyboard.type("ls\n")
        machine.run(seconds=0.3)
        tablet.move(0.5, 0.5)
        screen.resize(700, 500)
        machine.run(seconds=0.7)
    pixels, end = screen.pixels, machine.snapshot()
    machine.restore(start)
    machine.replay(recording.log)
    assert machine.run().reason is vm.StopReason.REPLAYED
    assert machine.equals(end) and np.array_equal(screen.pixels, pixels)


def test_behind_the_slots():
    """Linux finds what has no room in them, and hears its interrupts; so it does in a fork."""
    with vm.Machine(memory="512M") as machine:
        for _ in range(8):
            machine.attach(Entropy())
        names = [machine.attach(device) for device in (Screen(WIDTH, HEIGHT), Keyboard(), Tablet())]
        assert names == ["screen@10009000", "keyboard@1000a000", "tablet@1000b000"]
        machine.boot(*debian(screen=True))
        shell = machine.shell()
        assert "virtio_gpudrmfb" in shell.run("cat /sys/class/graphics/fb0/name").output
        machine.run(seconds=1)
        snapshot = machine.snapshot()
    with snapshot.machine() as fork:
        keyboard = fork.board.devices["keyboard@1000a000"].device
        keyboard.type("echo typed > /dev/ttyS0\n")
        fork.console.expect("typed", seconds=5)


def test_command_line(tmp_path):
    """The picture is of the moment when the command is done."""
    path = tmp_path / "screen.png"
    subprocess.run([sys.executable, "-m", "vm", "boot", "debian", "--screen", "640x480", "--screenshot", path, "--run",
                    r"printf '\033[2J\033[HShown\n' > /dev/tty1; sleep 1"], check=True)
    from PIL import Image

    image = np.asarray(Image.open(path))
    assert image.shape == (480, 640, 3)
    across, down = CELL
    shown = image[:down].any(axis=2).reshape(down, WIDTH // across, across).any(axis=(0, 2))
    assert [*shown[:6]] == [True] * 5 + [False] and not image[2 * down:].any()


def test_no_screen_is_said():
    with vm.Machine(memory="2M") as machine, pytest.raises(ConfigurationError, match="no screen: attach a vm.devices"):
        machine.screenshot()


def test_a_program_of_drm_with_a_cursor():
    """modetest of libdrm: colour bars, and a grey square of which 0x77 of 0xFF is there, which wanders."""
    with vm.Machine(memory="512M") as machine:
        screen = Screen(WIDTH, HEIGHT)
        machine.attach(screen)
        machine.boot(*debian(packages=["libdrm-tests"], screen=True))
        shell = machine.shell()
        connector = re.search(r"^(\d+)\t\d+\tconnected", shell.run("modetest -M virtio_gpu -c").output, re.MULTILINE)[1]
        shell.run(f"(sleep 100 | modetest -M virtio_gpu -s {connector}:{WIDTH}x{HEIGHT} -C) > /dev/null 2>&1 & sleep 2")
        pixels = machine.screenshot().pixels[..., :3].astype(int)
        bars = [(192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0), (192, 0, 192), (192, 0, 0), (0, 0, 192)]
        x, y, cursor = screen._pointer
        assert cursor is not None
        expected = np.array([bars[column * 7 // WIDTH] for column in range(WIDTH)])
        above = pixels[:HEIGHT // 2].copy()
        under = above[y:y + 64, x:x + 64]
        beneath = np.broadcast_to(expected[x:x + 64], (64, 64, 3))[:len(under)]
        assert np.abs(under - (0x77 + beneath * (0xFF - 0x77) / 0xFF)).max(initial=0) <= 1
        above[y:y + 64, x:x + 64] = beneath
        assert np.array_equal(above, np.broadcast_to(expected, above.shape))
