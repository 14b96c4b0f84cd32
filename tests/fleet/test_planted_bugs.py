"""Bugs planted in our firmware by somebody who has not written the fuzzer: it finds each, and each is replayed."""

import shutil

import pytest

import vm
from vm.fleet import Call, fuzz
from vm.guests.messages.build import ROOT, build
from vm.replaying import replay
from vm.run_folder import load_run

PARSE = Call("handle_message", ("data", "size", "settings"), at="message")
SEED = b"VM\x01\x02" b"\x01\x03abc" b"\x05\x03a=b"
RUNS = 300_000
PLANTED = {
    # Coordinates are signed, and only too large ones are refused.
    "unsigned x = payload[0] | payload[1] << 8, y = payload[2] | payload[3] << 8;":
        "int16_t x = (int16_t)(payload[0] | payload[1] << 8), y = (int16_t)(payload[2] | payload[3] << 8);",
    # A key goes to the stack before its length is looked at.
    "    size_t key = 0, place = 0;\n": "    volatile char name[KEY_SIZE];\n    size_t key = 0, place = 0;\n",
    "            return BAD_TEXT;\n        key++;\n":
        "            return BAD_TEXT;\n        name[key] = (char)text[key];\n        key++;\n",
    # Zeroes behind the point do not count, but are counted: for a table of functions.
    "static int take_number(": """
static int64_t thousand(int64_t number) { return number * 1000; }
static int64_t hundred(int64_t number) { return number * 100; }
static int64_t ten(int64_t number) { return number * 10; }
static int64_t one(int64_t number) { return number; }
static int64_t (*const scale[])(int64_t) = { thousand, hundred, ten, one };

static int take_number(""",
    "|| behind_point == 3)": "|| (behind_point >= 3 && text[i] != '0'))",
    "    for (int place = behind_point < 0 ? 0 : behind_point; place < 3; place++)\n        number *= 10;\n":
        "    number = scale[behind_point < 0 ? 0 : behind_point](number);\n",
}


def planted(folder):
    """The firmware with the bugs."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("*.elf", "__pycache__"))
    source = (folder / "messages.c").read_text()
    for good, bad in PLANTED.items():
        assert source.count(good) == 1, good
        source = source.replace(good, bad)
    (folder / "messages.c").write_text(source)
    return build(folder / "planted.elf", folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_planted_bugs_are_found_and_replayed(tmp_path):
    with vm.Machine(memory="16M") as machine:
        machine.load(planted(tmp_path / "firmware"))
        machine.console.expect("ready\n", seconds=1)
        ready = machine.snapshot()
    found = fuzz(ready, PARSE, inputs=[SEED], output=tmp_path / "found", runs=RUNS, seed=7)
    kinds = {}
    for crash in found.crashes:
        kind, data = crash.reason.split(" at ")[0], crash.data
        if "value 0x7ff" in crash.reason and kind == "store access fault":
            kinds.setdefault("coordinate", crash)
        elif crash.reason.startswith("instruction access fault at 0x0,") and b"." in data:
            kinds.setdefault("number", crash)
        elif len(data) > 80:
            kinds.setdefault("key", crash)
    assert sorted(kinds) == ["coordinate", "key", "number"], [crash.title for crash in found.crashes]
    for crash in kinds.values():
        begin, log = load_run(crash.folder)
        with replay(begin, log) as machine:
            assert machine.run().reason is vm.StopReason.EXIT
