"""Virtio GPU device, its part without 3D (virtio 1.2, section 5.7): commands, what they draw, what they are refused."""

import struct

import numpy as np
import pytest

from tests.devices.gpu_driver import (
    A8B8G8R8,
    A8R8G8B8,
    ATTACH,
    B8G8R8A8,
    B8G8R8X8,
    CREATE,
    F_EDID,
    FENCE,
    GET_CAPSET,
    GET_CAPSET_INFO,
    GET_DISPLAY_INFO,
    GET_EDID,
    INVALID_PARAMETER,
    INVALID_RESOURCE,
    INVALID_SCANOUT,
    MOVE_CURSOR,
    OK_DISPLAY_INFO,
    OK_EDID,
    OK_NODATA,
    OUT_OF_MEMORY,
    R8G8B8A8,
    R8G8B8X8,
    RING,
    TRANSFER,
    UNSPEC,
    UPDATE_CURSOR,
    X8B8G8R8,
    X8R8G8B8,
    GpuDriver,
)
from tests.devices.virtio_driver import CONFIG, CONFIG_GENERATION, NEEDS_RESET, RAM, STATUS
from vm.devices import Screen
from vm.devices.virtio.gpu.edid import edid
from vm.errors import ConfigurationError

PIXELS = np.random.default_rng(1).integers(0, 256, (48, 40, 4), np.uint8)     # 40 wide, 48 high
EVENTS_READ, EVENTS_CLEAR, SCANOUTS, CAPSETS = range(CONFIG, CONFIG + 16, 4)
FAR = 0xFFFF_FFFF


@pytest.fixture
def screen():
    return Screen(640, 480)


@pytest.fixture
def driver(board, screen):
    return GpuDriver(board, screen)


def seen(pixels):
    """What a picture of B8G8R8X8 looks like: red, green, blue, opaque."""
    shown = pixels[..., [2, 1, 0, 3]].copy()
    shown[..., 3] = 255
    return shown


def assert_shows(screen, pixels):
    assert np.array_equal(screen.pixels, pixels)


# --- Who it is --------------------------------------------------------------------------------------------------------

def test_configuration(driver):
    assert [driver.get(register) for register in (EVENTS_READ, EVENTS_CLEAR, SCANOUTS, CAPSETS)] == [0, 0, 1, 0]
    assert driver.offered_features() & 0xFFFF == F_EDID
    assert driver.get(0x008) == 16


def test_display_info_names_one_display(driver):
    answer = driver.command(GET_DISPLAY_INFO)
    assert (answer.type, len(answer.body)) == (OK_DISPLAY_INFO, 16 * 24)
    assert struct.unpack_from("<6I", answer.body) == (0, 0, 640, 480, 1, 0)
    assert not any(answer.body[24:])


def test_edid(driver):
    answer = driver.command(GET_EDID, struct.pack("<I4x", 0))
    assert (answer.type, len(answer.body)) == (OK_EDID, 8 + 1024)
    assert answer.body[:8] == struct.pack("<II", 128, 0)
    assert answer.body[8:136] == edid(640, 480) and not any(answer.body[136:])
    assert driver.kind(GET_EDID, struct.pack("<I4x", 1)) == INVALID_SCANOUT


def test_another_size_is_told(driver, screen):
    generation, shown = driver.get(CONFIG_GENERATION), screen.generation
    screen.resize(800, 600)
    assert screen.generation > shown
    assert driver.get(EVENTS_READ) == 1
    assert driver.acknowledge() == 2 and driver.get(CONFIG_GENERATION) != generation
    assert struct.unpack_from("<6I", driver.command(GET_DISPLAY_INFO).body) == (0, 0, 800, 600, 1, 0)
    driver.set(EVENTS_CLEAR, 1)
    assert driver.get(EVENTS_READ) == 0
    assert screen.resolution == (800, 600)


@pytest.mark.parametrize("size, said", [((63, 480), "width=63"), ((640, 4096), "height=4096"), (("1", 1), "width='1'")])
def test_a_size_that_no_screen_has_is_refused(screen, size, said):
    with pytest.raises(ConfigurationError, match=said):
        Screen(*size)
    with pytest.raises(ConfigurationError, match=said):
        screen.resize(*size)
    assert screen.resolution == (640, 480)


# --- Drawing ----------------------------------------------------------------------------------------------------------

def test_nothing_is_black(screen):
    assert screen.resolution == (640, 480)
    assert screen.pixels.shape == (480, 640, 4)
    assert not screen.pixels[..., :3].any() and (screen.pixels[..., 3] == 255).all()


def test_a_picture_is_shown(driver, screen):
    driver.picture(1, PIXELS)
    before = screen.generation
    assert driver.scanout(1, 0, 0, 40, 48) == OK_NODATA
    assert driver.flush(1, 0, 0, 40, 48) == OK_NODATA
    assert screen.generation > before
    assert screen.resolution == (40, 48)
    assert_shows(screen, seen(PIXELS))


def test_a_part_is_shown(driver, screen):
    driver.picture(1, PIXELS)
    assert driver.scanout(1, 8, 16, 32, 20) == OK_NODATA
    assert_shows(screen, seen(PIXELS)[16:36, 8:40])


ORDERS = {B8G8R8A8: "bgra", B8G8R8X8: "bgrx", A8R8G8B8: "argb", X8R8G8B8: "xrgb", R8G8B8A8: "rgba", X8B8G8R8: "xbgr",
          A8B8G8R8: "abgr", R8G8B8X8: "rgbx"}


@pytest.mark.parametrize("format, order", ORDERS.items())
def test_formats(driver, screen, format, order):
    """Their names are the bytes in the order of memory (5.7.6.8); a screen has no alpha."""
    driver.picture(1, PIXELS, format)
    driver.scanout(1, 0, 0, 40, 48)
    assert_shows(screen, np.dstack([PIXELS[..., order.index(colour)] for colour in "rgb"] + [np.full((48, 40), 255)]))


def test_only_what_is_transferred_changes(driver, screen):
    address = driver.picture(1, PIXELS)
    driver.scanout(1, 0, 0, 40, 48)
    driver.memory.write(address, PIXELS[::-1].tobytes())
    x, y, width, height = 5, 7, 11, 13
    generation = screen.generation
    assert driver.transfer(1, x, y, width, height, offset=(y * 40 + x) * 4) == OK_NODATA
    expected = PIXELS.copy()
    expected[y:y + height, x:x + width] = PIXELS[::-1][y:y + height, x:x + width]
    assert_shows(screen, seen(expected))
    assert screen.generation == generation + 1


def test_the_offset_is_where_the_first_row_begins(driver, screen):
    """And the next are as far apart as those of the resource are, whatever the rectangle."""
    address, _ = driver.place(bytes(10_000))
    driver.memory.write(address + 1234, PIXELS.tobytes())
    driver.create(1, 40, 48)
    driver.attach(1, (address, 10_000))
    assert driver.transfer(1, 10, 20, 30, 3, offset=1234) == OK_NODATA
    driver.scanout(1, 10, 20, 30, 3)
    assert_shows(screen, seen(PIXELS)[:3, :30])


def test_backing_in_pieces(driver, screen):
    """Anywhere, in any order, not even whole pixels each."""
    data = PIXELS.tobytes()
    cuts = [0, 1, 7, 7, 160, 4000, 4096, len(data)]
    pieces = [driver.place(data[start:stop]) for start, stop in zip(cuts, cuts[1:], strict=False)][::-1]
    driver.create(1, 40, 48)
    driver.attach(1, *pieces[::-1])
    assert driver.transfer(1, 0, 0, 40, 48) == OK_NODATA
    driver.scanout(1, 0, 0, 40, 48)
    assert_shows(screen, seen(PIXELS))
    assert driver.transfer(1, 3, 4, 20, 40, offset=(4 * 40 + 3) * 4) == OK_NODATA
    assert_shows(screen, seen(PIXELS))


def test_a_flip_shows_the_other_picture(driver, screen):
    driver.picture(1, PIXELS)
    driver.picture(2, PIXELS[::-1])
    driver.scanout(1, 0, 0, 40, 48)
    generation = screen.generation
    assert driver.transfer(2, 0, 0, 40, 48) == OK_NODATA        # what is not seen
    assert screen.generation == generation
    driver.scanout(2, 0, 0, 40, 48)
    assert_shows(screen, seen(PIXELS[::-1]))
    assert screen.generation > generation


@pytest.mark.parametrize("end", [
    lambda driver: driver.scanout(0, 0, 0, 0, 0), lambda driver: driver.unref(1), lambda driver: driver.set(STATUS, 0)])
def test_the_screen_goes_dark(driver, screen, end):
    driver.picture(1, PIXELS)
    driver.scanout(1, 0, 0, 40, 48)
    generation = screen.generation
    end(driver)
    assert not screen.shows and screen.resolution == (640, 480) and not screen.pixels[..., :3].any()
    assert screen.generation > generation


def test_what_is_changed_beside_the_part_that_is_shown_is_no_change(driver, screen):
    driver.picture(1, PIXELS)
    driver.scanout(1, 4, 4, 30, 30)
    generation = screen.generation
    driver.transfer(1, 0, 10, 4, 1)
    assert screen.generation == generation
    driver.transfer(1, 0, 10, 5, 1)             # of which one column is seen
    assert screen.generation == generation + 1


# --- The cursor -------------------------------------------------------------------------------------------------------

def pointer(alpha):
    """64 x 64 pixels of B8G8R8A8 whose colours are multiplied by alpha, as those of DRM planes are."""
    image = np.zeros((64, 64, 4), np.uint8)
    image[..., :3] = np.minimum(np.arange(64, dtype=np.uint8)[:, None, None] * 4, alpha)
    image[..., 3] = alpha
    return image


@pytest.fixture
def page(driver):
    """A white page on the screen."""
    driver.picture(1, np.full((100, 120, 4), 255, np.uint8))
    driver.scanout(1, 0, 0, 120, 100)
    return np.full((100, 120, 4), 255, np.uint8)


def test_the_cursor_is_drawn_over_the_picture(driver, screen, page):
    driver.picture(2, pointer(255), B8G8R8A8)
    assert driver.cursor(UPDATE_CURSOR, 2, 10, 20).type == OK_NODATA
    page[20:84, 10:74, :3] = pointer(255)[..., :3]
    assert_shows(screen, page)


@pytest.mark.parametrize("format", [B8G8R8A8, B8G8R8X8])
def test_a_cursor_that_is_half_there(driver, screen, page, format):
    """In a format without alpha, too: Linux makes the buffers of cursors so, and programs write alpha to them."""
    driver.picture(2, pointer(102), format)
    driver.cursor(UPDATE_CURSOR, 2, 0, 0)
    page[:64, :64, :3] = pointer(102)[..., :3] + (255 - 102)
    assert_shows(screen, page)


def test_a_cursor_brighter_than_there_is(driver, screen, page):
    """Colours that are not multiplied by alpha, as they should be, end at white."""
    driver.picture(2, np.full((64, 64, 4), [200, 200, 200, 10], np.uint8), B8G8R8A8)
    driver.cursor(UPDATE_CURSOR, 2, 0, 0)
    assert_shows(screen, page)


def test_a_cursor_over_the_edge(driver, screen, page):
    """Its upper left may be off the screen, as Linux's crtc_x is."""
    driver.picture(2, pointer(255), B8G8R8A8)
    driver.cursor(UPDATE_CURSOR, 2, 110, 90)
    corner = page.copy()
    corner[90:, 110:, :3] = pointer(255)[:10, :10, :3]
    assert_shows(screen, corner)
    driver.cursor(MOVE_CURSOR, 2, -60, -50)
    page[:14, :4, :3] = pointer(255)[50:, 60:, :3]
    assert_shows(screen, page)
    driver.cursor(MOVE_CURSOR, 2, -64, 0)
    assert (screen.pixels == 255).all()


def test_a_cursor_is_as_it_was_when_it_was_set(driver, screen, page):
    address = driver.picture(2, pointer(255), B8G8R8A8)
    driver.cursor(UPDATE_CURSOR, 2, 0, 0)
    before = screen.pixels
    driver.memory.write(address, bytes(64 * 64 * 4))
    driver.transfer(2, 0, 0, 64, 64)
    driver.unref(2)
    assert_shows(screen, before)
    driver.cursor(UPDATE_CURSOR, 0)
    assert_shows(screen, page)


def test_a_cursor_moves(driver, screen, page):
    driver.picture(2, pointer(255), B8G8R8A8)
    driver.cursor(UPDATE_CURSOR, 2, 0, 0)
    generation = screen.generation
    driver.cursor(MOVE_CURSOR, 2, 30, 10)
    assert screen.generation == generation + 1
    driver.cursor(MOVE_CURSOR, 2, 30, 10)
    assert screen.generation == generation + 1


def test_a_cursor_needs_no_answer(driver, screen, page):
    """Linux has no room for one."""
    driver.picture(2, pointer(255), B8G8R8A8)
    assert driver.cursor(UPDATE_CURSOR, 2, 5, 5, room=0) is None
    assert not (screen.pixels == 255).all()


def test_what_is_no_cursor_is_refused(driver, screen, page):
    driver.picture(2, PIXELS, B8G8R8A8)
    assert driver.cursor(UPDATE_CURSOR, 2).type == INVALID_PARAMETER        # not 64 x 64
    assert driver.cursor(UPDATE_CURSOR, 3).type == INVALID_RESOURCE
    assert driver.cursor(UPDATE_CURSOR, 0, scanout=1).type == INVALID_SCANOUT
    assert driver.cursor(MOVE_CURSOR, 0, scanout=1).type == INVALID_SCANOUT
    assert_shows(screen, page)


# --- Answers ----------------------------------------------------------------------------------------------------------

def test_a_fence_comes_back(driver):
    answer = driver.command(GET_DISPLAY_INFO, flags=FENCE, fence=1 << 40, context=7)
    assert answer[:5] == (OK_DISPLAY_INFO, FENCE, 1 << 40, 7, 0)
    assert driver.command(GET_DISPLAY_INFO, flags=FENCE, ring=3).ring == 0
    answer = driver.command(0x999, flags=FENCE | RING, fence=5, context=7, ring=3)
    assert answer[:5] == (UNSPEC, FENCE | RING, 5, 7, 3)
    assert driver.command(GET_DISPLAY_INFO, fence=5)[1:5] == (0, 0, 0, 0)


def test_an_answer_as_long_as_there_is_room(driver):
    assert driver.command(GET_DISPLAY_INFO, room=30).body == struct.pack("<6I", 0, 0, 640, 480, 1, 0)[:6]
    assert driver.command(GET_DISPLAY_INFO, room=3) is None


def test_commands_that_there_are_not(driver):
    for type in (0, GET_CAPSET_INFO, GET_CAPSET, 0x10B, 0x10C, 0x200, 0x302, FAR):
        assert driver.kind(type, bytes(64)) == UNSPEC


def test_a_command_cut_short(driver):
    assert driver.kind(CREATE, struct.pack("<3I", 1, B8G8R8X8, 10)) == UNSPEC
    assert driver.kind(ATTACH, struct.pack("<II", 1, 1)) == INVALID_RESOURCE


def test_less_than_a_header_is_malformed(driver):
    driver.queues[0].offer([(*driver.place(bytes(23)), 0)])
    driver.notify()
    assert driver.get(STATUS) & NEEDS_RESET


def test_resources_that_are_refused(driver):
    assert driver.create(0, 10, 10) == INVALID_RESOURCE
    assert driver.create(1, 10, 10) == OK_NODATA
    assert driver.create(1, 10, 10) == INVALID_RESOURCE
    for size in ((0, 10), (10, 0), (16385, 1), (1, FAR)):
        assert driver.create(2, *size) == INVALID_PARAMETER
    for format in (0, 5, 66, 135, FAR):
        assert driver.create(2, 10, 10, format) == INVALID_PARAMETER
    assert driver.unref(2) == INVALID_RESOURCE


def test_host_memory_is_bounded(driver):
    """256 MiB, as QEMU's max_hostmem."""
    assert driver.create(1, 16384, 4095) == OK_NODATA
    assert driver.create(2, 16384, 2) == OUT_OF_MEMORY
    assert driver.create(2, 16384, 1) == OK_NODATA
    assert driver.create(3, 1, 1) == OUT_OF_MEMORY
    assert driver.unref(2) == OK_NODATA
    assert driver.create(3, 1, 1) == OK_NODATA


def test_the_number_of_resources_is_bounded(driver):
    assert {driver.create(number, 1, 1) for number in range(1, 4097)} == {OK_NODATA}
    assert driver.create(5000, 1, 1) == OUT_OF_MEMORY


def test_backing_that_is_refused(driver):
    driver.create(1, 10, 10)
    assert driver.attach(2, (RAM, 400)) == INVALID_RESOURCE
    assert driver.attach(1, (0x1000, 400)) == UNSPEC                        # no RAM
    assert driver.attach(1, (RAM, 400), (RAM + (1 << 20) - 8, 16)) == UNSPEC
    assert driver.attach(1, ((1 << 64) - 8, 400)) == UNSPEC
    assert driver.kind(ATTACH, struct.pack("<IIQI4x", 1, 2, RAM, 400)) == UNSPEC       # two entries, one of them there
    assert driver.kind(ATTACH, struct.pack("<II", 1, FAR)) == UNSPEC
    assert driver.detach(1) == INVALID_RESOURCE
    assert driver.attach(1, (RAM, 400)) == OK_NODATA
    assert driver.attach(1, (RAM, 400)) == UNSPEC                           # there is one
    assert driver.detach(1) == OK_NODATA
    assert driver.attach(1) == OK_NODATA                                    # of nothing
    assert driver.detach(1) == OK_NODATA
    assert driver.detach(2) == INVALID_RESOURCE


def test_pieces_are_bounded(driver):
    """Of all resources together. An entry may come again and again: here they are in one page of guest memory."""
    count = 1 << 15
    for number in range(1, 6):
        driver.create(number, 10, 10)
        page = driver.place(struct.pack("<QI4x", RAM, 8) * 256)
        request, answer = driver.place(struct.pack("<I20xII", ATTACH, number, count)), driver.place(bytes(24))
        driver.queues[0].offer_indirect([(*request, 0), *[(*page, 0)] * (count // 256), (*answer, 2)],
                                        driver.place(bytes(16 * (count // 256 + 2)))[0])
        driver.free = page[0]
        driver.notify()
        driver.board.advance(ns=2_000_000)
        driver.queues[0].completed()
        assert int.from_bytes(driver.memory.read(answer[0], 4), "little") == (
            OK_NODATA if number <= 4 else OUT_OF_MEMORY)


def test_rectangles_that_are_refused(driver, screen):
    driver.picture(1, PIXELS)
    for area in ((0, 0, 41, 48), (0, 0, 40, 49), (1, 0, 40, 48), (0, 1, 40, 48), (40, 48, 1, 1), (FAR, 0, 1, 1),
                 (0, FAR, 1, 1), (0, 0, FAR, FAR), (FAR, FAR, FAR, FAR)):
        assert driver.transfer(1, *area) == INVALID_PARAMETER
        assert driver.scanout(1, *area) == INVALID_PARAMETER
        assert driver.flush(1, *area) == INVALID_PARAMETER
    assert driver.scanout(1, 0, 0, 0, 10) == INVALID_PARAMETER
    assert driver.transfer(1, 0, 0, 0, 48) == driver.flush(1, 40, 48, 0, 0) == OK_NODATA
    assert not screen.shows


def test_what_is_not_there_is_refused(driver):
    driver.create(1, 40, 48)
    assert driver.transfer(1, 0, 0, 1, 1) == INVALID_RESOURCE               # nothing behind it
    for refused in (driver.transfer, driver.scanout, driver.flush):
        assert refused(2, 0, 0, 1, 1) == INVALID_RESOURCE
    assert driver.scanout(1, 0, 0, 40, 48, scanout=1) == INVALID_SCANOUT
    assert driver.scanout(0, 0, 0, 0, 0, scanout=16) == INVALID_SCANOUT


def test_a_transfer_stays_within_the_backing(driver):
    driver.create(1, 40, 48)
    driver.attach(1, (RAM, 40 * 48 * 4 - 1))
    assert driver.transfer(1, 0, 0, 40, 48) == INVALID_PARAMETER
    assert driver.transfer(1, 0, 0, 39, 48) == OK_NODATA
    assert driver.transfer(1, 0, 0, 39, 48, offset=4) == INVALID_PARAMETER
    assert driver.transfer(1, 0, 0, 40, 47) == OK_NODATA
    assert driver.transfer(1, 0, 0, 40, 1, offset=(1 << 64) - 160) == INVALID_PARAMETER
    assert driver.kind(TRANSFER, struct.pack("<4IQI4x", 0, 0, 0, 0, (1 << 64) - 1, 1)) == OK_NODATA


# --- State ------------------------------------------------------------------------------------------------------------

def test_state_is_what_is_seen(driver, screen, board, page):
    driver.picture(2, pointer(255), B8G8R8A8)
    driver.cursor(UPDATE_CURSOR, 2, 7, 7)
    screen.resize(800, 600)
    saved, pixels = screen.save(), screen.pixels
    other = Screen(640, 480)
    assert other.differs(saved)
    other.load(saved)
    assert other.save() == saved and not other.differs(saved)
    assert np.array_equal(other.pixels, pixels)
    driver.transfer(1, 0, 0, 1, 1)              # to what was saved nothing happens any more
    driver.memory.write(driver.picture(3, PIXELS), bytes(100))
    assert other.save() == saved


def test_going_back_shows_what_was_seen_and_goes_on(driver, screen):
    address = driver.picture(1, PIXELS)
    driver.scanout(1, 0, 0, 40, 48)
    saved = screen.save()
    driver.memory.write(address, PIXELS[::-1].tobytes())
    driver.transfer(1, 0, 0, 40, 48)
    screen.load(saved)
    assert_shows(screen, seen(PIXELS))
    for queue in driver.queues:             # whose state went back, too
        queue.offered = queue.seen = screen.queues[driver.queues.index(queue)].index
    driver.transfer(1, 0, 0, 40, 48)
    assert_shows(screen, seen(PIXELS[::-1]))


def test_what_was_saved_is_not_copied_again(driver, screen, page):
    first, second = screen.save(), screen.save()
    assert first["saved_resources"][0][1][3] is second["saved_resources"][0][1][3]


def test_loading_is_a_change(screen):
    saved, generation = screen.save(), screen.generation
    screen.load(saved)
    assert screen.generation > generation


@pytest.mark.parametrize("change", [
    {"saved_screen": (1, (0, 0, 121, 100))}, {"saved_screen": (1, (-1, 0, 1, 1))}, {"saved_screen": (9, (0, 0, 1, 1))},
    {"saved_screen": (1, (0, 0))}, {"saved_pointer": (0, 0, (1, 1, 1, b"1234"))},
    {"saved_resources": [(1, (1, 10, 10, b""), None)]}, {"saved_resources": [(1, (9, 1, 1, b"1234"), None)]},
    {"saved_resources": [(1, (1, 1, 1, b"1234"), [(RAM, -4)])]}, {"preferred": (10, 10)}, {"preferred": ("a", 10)},
    {"saved_resources": [(1, (1, -1, -1, b"1234"), None)]}, {"saved_resources": [(1, (1, 1, 1, "1234"), None)]},
])  # fmt: skip
def test_a_state_that_cannot_be_is_refused(driver, screen, page, change):
    with pytest.raises((ValueError, TypeError, LookupError)):       # of which the machine makes a SnapshotError
        Screen().load(screen.save() | change)


def test_a_twin_has_the_size_that_the_screen_has_now(screen):
    screen.resize(1024, 768)
    assert screen.twin().resolution == (1024, 768)
