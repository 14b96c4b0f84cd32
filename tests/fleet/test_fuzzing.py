"""The fuzzer: it finds what is wrong, the same each time, tells it apart, and leaves what replays."""

import subprocess
import sys
from contextlib import closing
from random import Random

import numpy as np
import pytest

import vm
from tests.fleet import targets
from tests.fleet.programs import at_ready
from tests.fleet.targets import at_main, at_parse, firmware
from vm.fleet import Buffer, Call, fuzz
from vm.fleet.arena import Arena, Target
from vm.fleet.batch import Found, Trail
from vm.fleet.comparisons import Record, candidates, pairs_of
from vm.fleet.corpus import Corpus
from vm.fleet.dictionary import load_dictionary
from vm.fleet.examining import Examiner
from vm.fleet.mutation import Mutator, walk
from vm.replaying import replay
from vm.run_folder import load_run
from vm_native.edge_buckets import NEWS, look

PARSE = Call("parse", ("data", "size"), at="packet")
STORE_FAULT = 7
RUNS = 12_000


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A campaign, and its folder."""
    folder = tmp_path_factory.mktemp("found")
    return fuzz(at_main(), PARSE, output=folder, crash=["panic"], steps=20_000, runs=RUNS, seed=1), folder


def facts(found: vm.fleet.Fuzzing) -> tuple:
    return (found.runs, found.steps, found.corpus, found.edges,
            [(one.data, one.reason, one.stack, one.names, one.count) for one in (*found.crashes, *found.hangs)])


def test_each_mistake_is_found_once_with_a_short_input(found):
    result, _ = found
    assert result.runs >= RUNS and result.edges > 10
    crashes = {crash.names[0].partition("+")[0]: crash for crash in result.crashes}
    assert set(crashes) == {"store", "panic"}
    assert crashes["store"].data[:3] == b"MAG" and crashes["store"].data[4:6] == b"\xef\xbe"
    assert len(crashes["store"].data) == 6
    assert crashes["store"].reason.startswith("store access fault") and "value 0x40" in crashes["store"].reason
    assert [name.partition("+")[0] for name in crashes["store"].names[:2]] == ["store", "parse"]
    assert crashes["panic"].data[:1] == b"P" and len(crashes["panic"].data) == 9
    hang, = result.hangs
    assert hang.data[:2] == b"HA" and "20,000 steps" in hang.reason and hang.names[0].startswith("parse")


def test_a_hang_is_one_wherever_in_its_loop_a_run_ends():
    """The loop is in parse, and calls tick."""
    endings = []
    for steps in range(20_000, 20_100, 7):
        with closing(Examiner(Target(PARSE, steps=steps), at_main().machine)) as examiner:
            endings.append(examiner.ending(b"HA and more"))
    assert {len(ending.stack) for ending in endings} == {1, 2}
    assert {ending.key for ending in endings} == {("hang", "parse")}


def test_a_run_goes_on_behind_what_it_hung_for():
    with at_main().machine() as machine:
        arena = Arena(machine, Target(PARSE, steps=20_000))
        assert arena.run(b"HA and more").verdict == "hang"
        before = machine.steps
        assert arena.go_on(700) and machine.steps == before + 700


def test_a_campaign_follows_from_its_seed(found):
    result, _ = found
    again = fuzz(at_main(), PARSE, crash=["panic"], steps=20_000, runs=RUNS, seed=1)
    assert facts(again) == facts(result)
    other = fuzz(at_main(), PARSE, crash=["panic"], steps=20_000, runs=2000, seed=2)
    assert facts(other) != facts(fuzz(at_main(), PARSE, crash=["panic"], steps=20_000, runs=2000, seed=1))


def test_each_crash_is_saved_as_a_recording(found):
    result, folder = found
    assert sorted(path.name for path in folder.iterdir()) == ["corpus", "crashes", "hangs"]
    for crash in result.crashes:
        assert crash.folder.parent == folder / "crashes"
        assert (crash.folder / "input").read_bytes() == crash.data
        assert crash.title in (crash.folder / "report.txt").read_text()
        begin, log = load_run(crash.folder)
        with replay(begin, log) as machine:
            stop = machine.run()
            if "store" in crash.names[0]:
                assert stop.reason is vm.StopReason.EXIT and stop.exit_code == 64 + STORE_FAULT
            else:
                machine.read_symbols(firmware())
                assert machine.lookup(machine.harts[0].pc) == "panic"


def test_vm_replay_runs_what_was_saved(found):
    result, _ = found
    crash = next(crash for crash in result.crashes if "store" in crash.names[0])
    run = subprocess.run([sys.executable, "-m", "vm", "replay", str(crash.folder)], stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=60, check=False)
    assert run.returncode == 64 + STORE_FAULT, run.stderr


def test_the_corpus_is_in_files_and_is_gone_on_from(found, tmp_path):
    result, folder = found
    files = {path.read_bytes() for path in (folder / "corpus").iterdir()}
    assert files == set(result.corpus)
    again = fuzz(at_main(), PARSE, inputs=folder / "corpus", output=tmp_path, steps=20_000, runs=len(files), seed=7,
                 comparisons=False)
    assert again.edges == result.edges


def test_more_jobs_are_deterministic_too(found):
    one, other = (fuzz(at_main(), PARSE, crash=["panic"], steps=20_000, runs=6000, seed=3, jobs=2) for _ in range(2))
    assert facts(one) == facts(other) and one.crashes


def test_a_buffer_at_the_entry_of_a_function_and_its_return(tmp_path):
    result = fuzz(at_parse(), Buffer("a0", "a1", capacity=64), done=["ra"], steps=20_000, crashes=1, runs=RUNS)
    assert result.crashes[0].data[:3] == b"MAG"


def test_a_place_of_ones_own_and_a_place_in_memory():
    result = fuzz(at_parse(), targets.write_packet, done=["ra"], steps=20_000, crashes=1, runs=RUNS, longest=64)
    assert result.crashes[0].data[:3] == b"MAG"
    with at_parse().machine() as machine:
        arena = Arena(machine, Target(Buffer("packet", "packet_size", size_bytes=8)))
        arena.bound.put(b"12345")
        assert machine.memory.read(machine.program.symbols["packet"].address, 5) == b"12345"
        assert machine.memory.read(machine.program.symbols["packet_size"].address, 8) == b"\5" + bytes(7)
        assert arena.bound.longest == 64


def test_an_input_runs_as_a_machine_runs_it():
    """The way around Machine.run gives the same steps, edges and end."""
    with at_main().machine() as machine:
        arena = Arena(machine, Target(PARSE, crash=("panic",), steps=5000))
        for data in (b"", b"12345678", b"MAGx\xef\xbe", b"HA__", b"P........"):
            plain = arena.run(data)
            counts = arena.counts.copy()
            arena._is_plain = False
            full = arena.run(data)
            arena._is_plain = True
            assert plain[:2] == full[:2] and (counts == arena.counts).all()


def test_each_input_begins_with_devices_as_they_were():
    """Also where only the core was restored for the one before."""
    with at_main().machine() as machine:
        arena = Arena(machine, Target(PARSE, crash=("panic",), steps=5000))
        for data in (b"12345678", b"MAGx\xef\xbe", b"12345678", b"P........", b"MAGx\xef\xbe", b"", b"HA__", b""):
            arena.run(data)
            arena._restore()
            assert machine.equals(arena.begin), (data, machine.equals(arena.begin))


def test_a_guest_that_uses_a_device_finds_it_as_it_was():
    with at_ready().machine() as machine:
        arena = Arena(machine, Target(Call("print", ("data",), at="message", capacity=8)))
        before = arena.begin.state.parts["console"]["output"]
        for data in (b"\0", b"123\0", b"\0", b"12\0"):
            assert arena.run(data).verdict == "done"
            assert machine.console.output == before + data[:-1]
            arena._restore()
            assert machine.equals(arena.begin), machine.equals(arena.begin)


def test_words_of_a_dictionary_are_used():
    result = fuzz(at_main(), PARSE, dictionary=[b"MAGx\xef\xbe"], steps=20_000, crashes=1, runs=RUNS, comparisons=False)
    assert result.crashes[0].data[:3] == b"MAG"


def test_mutators_of_ones_own(tmp_path):
    result = fuzz(at_main(), PARSE, mutator=targets.always_magic, steps=20_000, runs=1500, comparisons=False,
                  minimise=False)
    assert any(data.startswith(b"MAGx") for data in result.corpus)
    (tmp_path / "mine.py").write_text(
        "calls = []\n"
        "def init(seed): calls.append('init')\n"
        "def fuzz(buf, add_buf, max_size): assert max_size == 64; return bytearray(b'MAGx\\xef\\xbe')\n"
        "def post_process(buf): return buf\n"
        "def deinit(): calls.append('deinit')\n")
    result = fuzz(at_main(), PARSE, mutator=str(tmp_path / "mine.py"), steps=20_000, runs=100, comparisons=False)
    assert result.crashes[0].data[:3] == b"MAG"
    assert sys.modules["vm_mutator_mine"].calls == ["init", "deinit"]


def test_an_exception_of_a_mutator_comes_out_unchanged():
    def broken(data, longest, seed):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fuzz(at_main(), PARSE, mutator=broken, runs=100)


def test_a_campaign_ends_by_time():
    result = fuzz(at_main(), PARSE, seconds=0.3)
    assert result.runs > 0 and result.seconds >= 0.3


@pytest.mark.parametrize("arguments, message", [
    ({}, "say when to end"), ({"runs": 0}, "runs=0"), ({"runs": 1, "map_bits": 4}, "map_bits=4"),
    ({"runs": 1, "mutator": "no_such_module"}, "no_such_module"), ({"runs": 1, "crash": ["nobody"]}, "nobody"),
    ({"runs": 1, "jobs": 0}, "jobs=0"), ({"runs": 1, "inputs": "/no/such"}, "/no/such"),
])
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(vm.ConfigurationError, match=message):
        fuzz(at_main(), PARSE, **arguments)


def test_a_machine_in_real_time_is_refused():
    with vm.Machine(memory="1M", clock="real") as machine:
        machine.load(firmware())
        with pytest.raises(vm.ConfigurationError, match="clock='virtual'"):
            fuzz(machine.snapshot(), PARSE, runs=1)


def test_a_buffer_of_unknown_size_is_refused():
    with pytest.raises(vm.ConfigurationError, match="capacity="):
        fuzz(at_parse(), Buffer("a0", "a1"), runs=1)
    with pytest.raises(vm.ConfigurationError, match="cannot be written there"):
        fuzz(at_parse(), Buffer(0x40, "a1", capacity=16), runs=1)


# --- Parts -----------------------------------------------------------------------------------------------------------

def test_buckets_are_those_of_afl():
    counts = np.arange(256, dtype=np.uint8)
    assert look(counts, np.zeros(256, np.uint8)) == NEWS["edges"]
    expected = [0, 1, 2, 4] + [8] * 4 + [16] * 8 + [32] * 16 + [64] * 96 + [128] * 128      # AFL, count_class_lookup8
    assert counts.tolist() == expected
    seen = np.full(256, 1, np.uint8)
    assert look(np.array([3] + [0] * 255, np.uint8), seen) == NEWS["counts"]
    assert look(np.array([1] + [0] * 255, np.uint8), seen) == NEWS["nothing"]
    with pytest.raises(ValueError, match="the same length"):
        look(counts, np.zeros(128, np.uint8))


def test_mutations_follow_from_the_seed_and_keep_to_the_longest():
    def some(seed):
        mutator = Mutator(Random(seed), 32, [b"word"])
        return [mutator.havoc(b"some input") for _ in range(500)] + [mutator.splice(b"abcdef", b"uvwxyz")] * 2

    assert some(1) == some(1) != some(2)
    assert all(len(data) <= 32 for data in some(3)) and any(b"word" in data for data in some(3))
    assert Mutator(Random(1), 8).havoc(b"")


def test_a_walk_puts_values_everywhere():
    changed = set(walk(b"abcd"))
    assert {b"\xff\xffcd", b"ab\xff\xff", b"\x7fbcd", b"\x00\x04cd"} <= changed and b"abcd" not in changed
    assert not list(walk(bytes(1000)))


def test_a_dictionary_in_afls_format(tmp_path):
    path = tmp_path / "words.dict"
    path.write_text('# words\nheader="VM\\x01"\n"plain"\n  level@2="a \\"quoted\\" \\\\ word"\n\n')
    assert load_dictionary(path) == [b"VM\x01", b"plain", b'a "quoted" \\ word']
    for text, message in (("word\n", "line 1"), ('"\\q"', r"\\q"), ('""', "1 to 128 bytes")):
        path.write_text(text)
        with pytest.raises(vm.ConfigurationError, match=message):
            load_dictionary(path)


def test_comparisons_are_read_off_a_trace():
    registers = [0] * 32
    records = [Record(0x0005_4583, 11, 0x41),           # lbu a1, 0(a0)
               Record(0x0560_0613, 12, 0x56),           # li a2, 86
               Record(0x00C5_9463, 0, 0),               # bne a1, a2
               Record(0xFAA5_8693, 13, 0x41 - 0x56),    # addi a3, a1, -86
               Record(0x0006_9463, 0, 0)]               # bnez a3
    assert pairs_of(records, registers) == [(0x41, 0x56)]
    assert b"xVy" in candidates(b"xAy", [(0x41, 0x56)], 16, 100)
    assert b"\xef\xbe" in candidates(b"\x34\x12", [(0x1234, 0xBEEF)], 16, 100)
    assert b"n=2000" in candidates(b"n=1000", [(1000, 2000)], 16, 100)


def test_a_corpus_keeps_what_is_needed_for_all_edges(tmp_path):
    def entry(data, *places):
        return Found(data, Trail(np.array(places, np.uint32), np.ones(len(places), np.uint8)), 10)

    corpus = Corpus(8, tmp_path)
    assert corpus.add(entry(b"long input", 1, 2)) == 2
    assert corpus.add(entry(b"other", 1, 2)) is None
    assert corpus.add(entry(b"a", 2, 3)) == 1
    assert corpus.add(entry(b"b", 1, 2, 3, 4)) == 1
    assert corpus.minimise() == 1
    assert [found.data for found in corpus.entries] == [b"a", b"b"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {found.data for found in corpus.entries}
    covered = set().union(*(found.trail.places.tolist() for found in corpus.entries))
    assert covered == {1, 2, 3, 4}


@pytest.mark.parametrize("returned", ["text", None, 7])
def test_a_mutator_that_returns_no_bytes_is_told_so(returned):
    with pytest.raises(vm.ConfigurationError, match="the mutator has returned .*, which is no bytes"):
        fuzz(at_main(), PARSE, runs=2000, mutator=lambda data, longest, seed: returned)
