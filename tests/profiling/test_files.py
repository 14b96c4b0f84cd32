"""What is made of a profile: tables, pictures, and files that other programs read."""

import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import vm
from tests.guest import Guest
from tests.profiling.programs import FRAME_POINTERS, program, single_steps

SVG = "{http://www.w3.org/2000/svg}"
EVERY = 97


@pytest.fixture(scope="module")
def profile():
    """Of two harts."""
    with vm.Machine(memory="2M", harts=2) as machine:
        machine.load(program(FRAME_POINTERS))
        with machine.profile(EVERY) as taken:
            machine.run()
        return taken


@pytest.fixture(scope="module")
def empty():
    with Guest("wfi").machine as machine, machine.profile() as taken:
        return taken


def test_hot_spots_are_those_of_an_exact_count(engine):
    file = program(FRAME_POINTERS)
    with vm.Machine(memory="2M", engine=engine) as machine:
        machine.load(file)
        with machine.profile(EVERY) as profile:
            machine.run()
    exact = single_steps(file).steps
    top = profile.top()
    hot = [name for name, steps in exact.most_common() if steps > exact.total() / 20]
    assert [line.name for line in top][:len(hot)] == hot and len(hot) >= 4
    for line in top:
        assert abs(line.own_share - exact[line.name] / exact.total()) < 0.02, line
    totals = {line.name: line.total_share for line in top}
    assert totals["main"] > 0.99 and totals["warm"] > totals["hottest"] > totals["deep"]
    assert "leaf" in str(profile).splitlines()[2]


def test_folded_stacks_add_up(profile):
    lines = profile.folded(by="hart").splitlines()
    weights = {stack: int(number) for stack, _, number in (line.rpartition(" ") for line in lines)}
    assert lines == sorted(lines) and len(weights) == len(lines)
    assert sum(weights.values()) == profile.weight == profile.array["weight"].sum()
    assert weights["hart 1;_start;main;work;hottest;spin"] > 0
    assert profile.folded().startswith("_start")
    assert sum(int(line.rpartition(" ")[2]) for line in profile.folded().splitlines()) == profile.weight


def test_tree_adds_up(profile):
    waiting = [profile.tree()]
    while waiting:
        node = waiting.pop()
        assert node.weight == node.own + sum(child.weight for child in node.children.values())
        waiting += node.children.values()


def test_flame_graph(profile):
    """Each call is a box on its caller's, as wide as its share; its numbers are in a title."""
    root = ElementTree.fromstring(profile.svg(by=("hart",)))
    size = tuple(float(root.get(name)) for name in ("width", "height"))
    assert tuple(map(float, root.get("viewBox").split())) == (0, 0, *size)
    for element in root.iter():                     # SVG 1.1 alone, which converters know: no CSS
        assert "style" not in element.attrib and "hsl" not in element.get("fill", "")
    assert root.tag == f"{SVG}svg" and "script" not in profile.svg() and "href" not in profile.svg()
    boxes = {}
    for group in root.iter(f"{SVG}g"):
        title, rect = group.find(f"{SVG}title").text, group.find(f"{SVG}rect")
        boxes.setdefault(title.split(" (")[0], []).append((title, *(float(rect.get(name)) for name in "xy"),
                                                           float(rect.get("width"))))
    (whole,) = boxes["all"]
    assert f"{profile.weight:,} steps, 100.00%" in whole[0]
    for name, below in (("hart 0", "all"), ("hart 1", "all"), ("work", "main"), ("hottest", "work")):
        for _, x, y, width in boxes[name]:
            assert any(left - 0.02 <= x and x + width <= left + wide + 0.02 and y < base
                       for _, left, base, wide in boxes[below])
    share = sum(width for *_, width in boxes["warm"]) / whole[3]
    (warm,) = (line for line in profile.top() if line.name == "warm")
    assert share == pytest.approx(warm.total_share, abs=0.001)


def test_names_in_a_flame_graph_are_text(guest):
    """Whatever a symbol is called."""
    class Odd:
        def name_of(self, address: int) -> str:
            return "<T & \"U\">\x01::f;g\nh"

    machine = guest("loop: j loop").machine
    with machine.profile(10, symbols=Odd()) as profile:
        machine.run(instructions=100)
    (title,) = {group.find(f"{SVG}title").text for group in ElementTree.fromstring(profile.svg()).iter(f"{SVG}g")
                if "<T" in group.find(f"{SVG}title").text}
    assert title.startswith("<T & \"U\">\N{REPLACEMENT CHARACTER}::f;g")
    assert profile.folded().count("\n") == 1 and profile.folded().count(";") == 0
    assert profile.top()[0].name == Odd().name_of(0)


def test_unknown_places_are_hex(guest):
    g = guest("loop: j loop")
    g.memory.write(0x8001_0000, bytes.fromhex("6f000000"))        # the same, where no symbol is
    g.hart.pc = 0x8001_0000
    with g.machine.profile(10) as profile:
        g.run(instructions=10)
    assert profile.names(0) == ("0x80010000",)


def test_perfetto(profile):
    """Each call that begins ends, in order of time; what is in none of another is as long as the samples are."""
    document = json.loads(profile.perfetto())
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in document["traceEvents"]
             if event["ph"] == "M" and event["name"] == "thread_name"}
    assert sorted(names.values()) == ["hart 0", "hart 1"] and len({tid for _, tid in names}) == 2
    for track, name in names.items():
        rows = profile.array[profile.array["hart"] == int(name[-1])]
        calls, stacks, times, outermost_ns = [], set(), [0], 0
        for event in document["traceEvents"]:
            if (event["pid"], event.get("tid")) != track or event["ph"] == "M":
                continue
            times.append(round(event["ts"] * 1000))
            if event["ph"] == "B":
                calls.append((event["name"], times[-1]))
                stacks.add(tuple(called for called, _ in reversed(calls)))
            else:
                _, begin = calls.pop()
                assert begin < times[-1]
                outermost_ns += 0 if calls else times[-1] - begin
        assert not calls and times == sorted(times)
        assert outermost_ns == rows["span_ns"].sum()
        assert {profile.names(int(row["stack"])) for row in rows} <= stacks


def test_firefox(profile):
    """As the format says: columns are as long as their tables, and numbers lead to rows of others."""
    document = json.loads(profile.firefox())
    shared, meta = document["shared"], document["meta"]
    assert meta["preprocessedProfileVersion"] == 60 and meta["interval"] == EVERY / 1e6
    tables = [table for table in shared.values() if isinstance(table, dict)]
    tables += [thread[name] for thread in document["threads"] for name in ("samples", "markers")]
    for table in tables:
        assert {len(column) for column in table.values() if isinstance(column, list)} <= {table["length"]}
    frames, stacks, functions = shared["frameTable"], shared["stackTable"], shared["funcTable"]
    assert all(prefix is None or prefix < place for place, prefix in enumerate(stacks["prefix"]))
    assert any(category["color"] == "grey" for category in meta["categories"])

    def path(stack: int | None) -> tuple[str, ...]:
        if stack is None:
            return ()
        name = shared["stringArray"][functions["name"][frames["func"][stacks["frame"][stack]]]]
        return (name, *path(stacks["prefix"][stack]))

    for thread in document["threads"]:
        rows = profile.array[profile.array["hart"] == int(thread["name"][-1])]
        samples = thread["samples"]
        assert [path(stack) for stack in samples["stack"]] == [profile.names(int(row["stack"])) for row in rows]
        assert samples["time"] == sorted(samples["time"]) == [row["time_ns"] / 1e6 for row in rows]
        assert sum(samples["weight"]) == pytest.approx(rows["weight"].sum() / 1e6)


def test_png(profile, empty, tmp_path):
    pytest.importorskip("matplotlib")
    for number, one in enumerate((profile, empty)):
        path = tmp_path / f"{number}.png"
        one.write_png(path, by="hart")
        assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_png_without_matplotlib(profile, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(vm.ConfigurationError, match="needs matplotlib: pip install"):
        profile.write_png(tmp_path / "no.png")


def test_nothing_was_seen(empty):
    assert len(empty) == empty.weight == 0 and empty.array.shape == (0,)
    assert empty.folded() == "" and empty.top() == []
    ElementTree.fromstring(empty.svg())
    assert json.loads(empty.perfetto())["traceEvents"] == [] and json.loads(empty.firefox())["threads"] == []


def test_notebook(profile):
    assert profile._repr_svg_() == profile.svg()
    assert "<svg " in profile._repr_html_() and "with calls" in profile._repr_html_()
    assert repr(profile).startswith("<Profile: ")


def test_what_samples_are_not_put_together_by(profile):
    with pytest.raises(vm.ConfigurationError, match="'hart', 'process', 'privilege'"):
        profile.folded(by="core")


class Namer:
    def __init__(self, name):
        self.name = name

    def name_of(self, address: int):
        return self.name


def test_names_that_are_no_text_can_be_printed(guest):
    """As a symbol with a byte that is no UTF-8, which is read as a surrogate."""
    g = guest("li s1, 100\n1: addi s1, s1, -1\nbnez s1, 1b\nwfi\nj .")
    with g.machine.profile(10, symbols=Namer("caf\udce9;x")) as profile:
        g.run()
    for text in (str(profile), profile.folded(), profile.svg(), profile._repr_html_(), profile.perfetto(),
                 profile.firefox()):
        assert "caf?" in text.encode().decode()


def test_who_knows_later_is_asked_again(guest):
    """As a kernel that comes while the profile is taken."""
    g, namer = guest("call f\n1: j 1b\nf: j f"), Namer(None)
    with g.machine.profile(10, symbols=namer, call_frames=False) as profile:
        g.hart.pc = 0x8001_0000                 # where the program has no name
        g.memory.write(0x8001_0000, bytes.fromhex("6f000000"))
        g.run(30)
        assert "0x80010000" in profile.folded()
    namer.name = "late"
    assert profile.folded() == "late 30\n"


def test_who_names_by_something_else_is_told(guest):
    g = guest("1: j 1b")
    with g.machine.profile(10, symbols=Namer(5)) as profile:
        g.run(30)
    with pytest.raises(TypeError, match=r"name_of\(0x80000000\) .* is 5"):
        profile.folded()
