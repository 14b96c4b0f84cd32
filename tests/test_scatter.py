"""Pictures of traces: well-formed, as many points as there is room for, and each where it belongs."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from vm.scatter import BOTTOM, HEIGHT, LEFT, MOST_POINTS, TOP, WIDTH, scatter

DOTS = ".//{http://www.w3.org/2000/svg}rect[@width='2']"


def dots(svg: str) -> list[tuple[float, float, str]]:
    return [(float(dot.get("x")), float(dot.get("y")), dot.get("fill")) for dot in
            ElementTree.fromstring(svg).iterfind(DOTS)]


def test_time_goes_right_and_addresses_go_up_without_gaps():
    found = dots(scatter(np.array([0, 50, 100]), np.array([0x1000, 1 << 60, 0x1800]), np.array([0, 1, 0]), ("a", "b"),
                         "<title>"))
    (x0, y0, blue), (x1, y1, red), (x2, y2, again) = found
    assert x0 == LEFT < x1 < x2 <= WIDTH - 10 and blue == again != red
    middle = TOP + (HEIGHT - TOP - BOTTOM - 2) / 2
    assert y1 == middle < y2 < y0           # two pages: the far one is the upper half, from its beginning on


def test_many_points_are_thinned_evenly():
    steps = np.arange(1_000_000)
    found = dots(scatter(steps, steps * 8, steps % 3, ("a", "b", "c"), ""))
    assert MOST_POINTS // 2 <= len(found) <= MOST_POINTS


def test_nothing_is_a_picture_too():
    assert dots(scatter(np.array([]), np.array([]), np.array([]), (), "empty")) == []
