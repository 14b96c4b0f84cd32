"""The models against what is published: verdicts of the memory model's authors on classical tests.

RISC-V's are those of the unprivileged specification ("RVWMO Explanatory Material", with its figures), and of the litmus
tests that its authors keep (litmus-tests-riscv); x86's those of "x86-TSO" (Sewell and others, 2010).
"""

import pytest

from tests.litmus.model import allowed
from tests.litmus.shapes import COHERENCE, Shape, shapes

# What each classical shape is about: the outcome that no order of all accesses explains.
QUESTION = {
    "MP": (1, 0), "SB": (0, 0), "LB": (1, 1), "R": (0, 2), "S": (1, 2), "2+2W": (1, 1), "WRC": (1, 1, 0),
    "RWC": (1, 0, 0), "WWC": (1, 1, 2), "ISA2": (1, 1, 0), "W+RWC": (1, 0, 0), "Z6.3": (1, 0, 2), "3.SB": (0, 0, 0),
    "3.LB": (1, 1, 1), "3.2W": (1, 1, 1), "IRIW": (1, 0, 1, 0),
}
BY_RVWMO = """
    MP SB LB R S 2+2W WRC RWC WWC ISA2 W+RWC Z6.3 3.SB 3.LB 3.2W IRIW
    MP+fence.w.w+po MP+po+addr MP+fence.w.w+ctrl MP+po+fence.rw.rw MP+fence.rw.rw+po
    SB+fence.rw.rw+po SB+fence.w.w+fence.w.w SB+fence.r.r+fence.r.r SB+fence.tso+fence.tso LB+data+po LB+po+ctrl
    R+fence.w.w+fence.w.w R+fence.tso+fence.tso R+po+fence.rw.rw S+fence.w.w+po S+po+data 2+2W+fence.w.w+po
    SB+store+lr SB+store+amo.aq SB+amo.rl+load SB+amo MP+amo LB+amo
""".split()
NOT_BY_RVWMO = """
    SB+fence.rw.rw+fence.rw.rw SB+fence.w.r+fence.w.r SB+amo.aqrl SB+amo.rl+lr.aq SB+lrsc.aqrl SB+store+lr.aqrl
    MP+fence.rw.rw+fence.rw.rw MP+fence.w.w+fence.r.r MP+fence.w.w+addr MP+fence.rw.w+fence.r.rw MP+amo.rl+lr.aq
    MP+amo.rl+amo.aq MP+fence.tso+fence.tso MP+sc.rl+lr.aq
    LB+fence.rw.rw+fence.rw.rw LB+addr+addr LB+data+data LB+ctrl+ctrl LB+addr+ctrl LB+fence.r.rw+fence.r.rw
    LB+fence.rw.w+fence.rw.w LB+amo.rl+lr.aq
    R+fence.rw.rw+fence.rw.rw R+fence.w.w+fence.rw.rw S+fence.w.w+data S+fence.w.w+addr S+fence.w.w+ctrl
    2+2W+fence.w.w+fence.w.w 2+2W+fence.rw.rw+fence.rw.rw 2+2W+amo.aqrl
    WRC+fence.rw.rw+fence.rw.rw WRC+addr+addr RWC+fence.rw.rw+fence.rw.rw ISA2+fence.rw.rw+fence.rw.rw+fence.rw.rw
    3.SB+fence.rw.rw+fence.rw.rw+fence.rw.rw 3.LB+data+data+data 3.LB+addr+addr+addr
    3.2W+fence.w.w+fence.w.w+fence.w.w Z6.3+fence.rw.rw+fence.rw.rw+fence.rw.rw
    IRIW+fence.rw.rw+fence.rw.rw IRIW+fence.r.r+fence.r.r IRIW+addr+addr
""".split()
# x86 keeps everything but a store before a load; a locked instruction or a fence keeps that, too.
BY_TSO = "SB R RWC W+RWC 3.SB SB+fence.w.w+fence.w.w SB+store+lr".split()
NOT_BY_TSO = """
    MP LB S 2+2W WRC WWC ISA2 Z6.3 3.LB 3.2W IRIW
    SB+fence.rw.rw+fence.rw.rw R+fence.rw.rw+fence.rw.rw SB+amo SB+lrsc
""".split()
# By the text itself, of what has its name from elsewhere: test, outcome, whether RVWMO allows it.
FIGURES = {
    "SB with forwarding":   ("Wx1 Rx Ry | Wy1 Ry Rx", (1, 0, 1, 0), True),
    "PPOCA":                ("Wx1 fence.w.w Wy1 | Ry ctrl Wz1 Rz addr Rx", (1, 1, 0), True),
    "PPOAA":                ("Wx1 fence.w.w Wy1 | Ry addr Wz1 Rz addr Rx", (1, 1, 0), False),
    "PPODA":                ("Wx1 fence.w.w Wy1 | Ry data Wz1 Rz addr Rx", (1, 1, 0), False),
    "RSW":                  ("Wx1 fence.w.w Wy1 | Ry addr Rz Rz addr Rx", (1, 0, 0, 0), True),
    "RDW":                  ("Wx1 fence.w.w Wy1 | Ry addr Rz Rz addr Rx | Wz1", (1, 0, 1, 0), False),
    "fri-rfi":              ("Wx1 fence.w.w Wy1 | Ry Wy2 Ry addr Rx", (1, 2, 0, 2), True),
    "address, then store":  ("Wx1 fence.w.w Wy1 | Ry addr Rz Wx2", (1, 0, 1), False),
    "AMO's own value":      ("Wx1 fence.w.w Wy1 | Ay2 Ry addr Rx", (1, 2, 0, 2), False),
    "release to acquire":   ("Wx1 Ay1.rl Lz.aq | Wz1 fence.rw.rw Rx", (0, 0, 0), False),
    "SC is no fence":       ("Xx1 Ry | Xy1 Rx", (0, 0, 0, 0, 0, 0), True),
}


def is_allowed(name: str, model: str) -> bool:
    """Whether an outcome has the values in question and no SC fails; what atomics read besides is left open."""
    shape = shapes()[name]
    wanted = dict(zip(shapes()[shape.family].labels, QUESTION[shape.family], strict=True))
    return any(all(value == wanted.get(label, 0 if label.endswith("?") else value)
                   for label, value in zip(shape.labels, outcome, strict=True)) for outcome in allowed(shape, model))


@pytest.mark.parametrize("model, names, verdict", [
    ("RVWMO", BY_RVWMO, True), ("RVWMO", NOT_BY_RVWMO, False), ("TSO", BY_TSO, True), ("TSO", NOT_BY_TSO, False),
    ("SC", list(QUESTION), False),
], ids=["RVWMO allows", "RVWMO forbids", "TSO allows", "TSO forbids", "SC forbids"])  # fmt: skip
def test_published_verdicts(model, names, verdict):
    assert [name for name in names if is_allowed(name, model) is not verdict] == []


@pytest.mark.parametrize("title", FIGURES)
def test_figures(title):
    text, outcome, verdict = FIGURES[title]
    assert (outcome in allowed(Shape(title, text))) is verdict


@pytest.mark.parametrize("name", COHERENCE)
def test_one_place_has_one_order_in_all_models(name):
    """But that an SC may fail, which is no access then."""
    shape = shapes()[name]
    assert allowed(shape) == allowed(shape, "TSO") == allowed(shape, "SC")


def test_a_load_never_goes_back():
    """CoRR, CoWR, CoRW: a place is read as it was written, in one order."""
    assert (1, 0) not in allowed(shapes()["CoRR"])
    assert {outcome[0] for outcome in allowed(shapes()["CoWR"])} == {1, 2}
    assert (1, 2) not in allowed(shapes()["CoRW1"]) and all(outcome[0] == 0 for outcome in allowed(shapes()["CoRW1"]))


def test_nobody_stores_between_load_reserved_and_store_conditional():
    """Of all SC that did not fail each has a value of its own before it."""
    for first, failed, second, failed_too, *_ in allowed(shapes()["CoXX"]):
        assert failed or failed_too or first != second


def test_x86_shows_nothing_that_risc_v_forbids():
    """Our mapping is right where this holds of every test: a fence of w,r is x86's, lr.aqrl has one, all else none."""
    for shape in shapes().values():
        assert allowed(shape, "SC") <= allowed(shape, "TSO") <= allowed(shape), shape
