"""Console: recording, and waiting for output. What stands for the machine prints a script, a piece a step."""

import re
import time

import pytest

from vm.console import Console
from vm.errors import ExpectStopped, ExpectTimeout, UnexpectedOutput
from vm.stop import Stop, StopReason


class Script:
    """Prints its pieces in order, and stops where it is asked to, as `Machine.run` does."""

    def __init__(self, *pieces: bytes, end: str = "deadline"):
        self.pieces = list(pieces)
        self.end = end
        self.typed = b""
        self.runs: list[float] = []
        self.timeouts: list[float | None] = []
        self.stop_asked = False
        self.console = Console(self.type, lambda: 0, self.run, self.request_stop, lambda: None)

    def type(self, data: bytes) -> None:
        self.typed += data

    def request_stop(self) -> None:
        self.stop_asked = True

    def run(self, seconds: float, timeout: float | None = None) -> Stop:
        self.runs.append(seconds)
        self.timeouts.append(timeout)
        while self.pieces and not self.stop_asked:
            self.console.write(self.pieces.pop(0))
        reason = "requested" if self.stop_asked else self.end
        self.stop_asked = False
        return Stop(StopReason(reason), 0, 0, 0)


def bytewise(text: bytes, **options) -> Script:
    return Script(*(text[i:i + 1] for i in range(len(text))), **options)


def test_output_is_all_that_was_printed():
    script = bytewise(b"caf\xc3\xa9 \xff\n")
    script.run(1)
    assert script.console.output == b"caf\xc3\xa9 \xff\n"
    assert script.console.text == "café \ufffd\n"


def test_text_is_sent_as_utf8_and_bytes_as_they_are():
    script = Script()
    script.console.send("é\n")
    script.console.send(b"\xff\x00")
    assert script.typed == b"\xc3\xa9\n\xff\x00"


def test_machine_stops_at_the_byte_that_completes_the_string():
    script = bytewise(b"booting\r\nlogin: more")
    match = script.console.expect("login:")
    assert match[0] == "login:"
    assert script.console.output == b"booting\r\nlogin:"


def test_rest_of_the_piece_that_completes_the_string_stays_for_the_next_expect():
    script = Script(b"one two", b" three")
    script.console.expect("one")
    script.console.expect("two")
    assert script.runs == [60] and script.console.output == b"one two"


def test_what_is_there_already_is_found_without_running():
    script = Script(b"ready\n")
    script.run(1)
    script.console.expect("ready", seconds=5)
    assert script.runs == [1]


def test_search_begins_behind_the_previous_match():
    script = bytewise(b"# # ")
    script.console.expect("# ")
    script.console.expect("# ")
    assert script.console.output == b"# # "
    with pytest.raises(ExpectTimeout):
        script.console.expect("# ")


def test_before_is_what_lies_between_two_matches():
    script = bytewise(b"boot$ uname\r\nLinux\r\n$ ")
    script.console.expect("$ ")
    assert script.console.before == "boot"
    script.console.expect("$ ")
    assert script.console.before == "uname\r\nLinux\r\n"


def test_bytes_pattern_gives_bytes():
    script = bytewise(b"\xff\xfe\x00ok")
    assert script.console.expect(b"\xfe\x00")[0] == b"\xfe\x00"
    assert script.console.before_bytes == b"\xff" and script.console.before == "\udcff"
    assert script.console.expect(re.compile(rb"(o)k"))[1] == b"o"


def test_regular_expression_gives_its_groups():
    script = bytewise(b"Linux version 6.12.1 (x)\n")
    assert script.console.expect(re.compile(r"version (\S+) "))[1] == "6.12.1"
    assert script.console.output.endswith(b"6.12.1 ")


def test_regular_expression_may_reach_into_the_line_before():
    script = bytewise(b"noise\r\nfirst\r\n# ")
    script.console.expect(re.compile(r"first\s+# $"))
    assert script.console.before == "noise\r\n"


def test_regular_expression_sees_only_whole_characters():
    script = bytewise("café\n".encode())
    assert script.console.expect(re.compile("caf."))[0] == "café"


def test_position_is_right_behind_bytes_that_are_not_utf8():
    script = bytewise(b"\xff\xc3 one \xff two")
    script.console.expect(re.compile("one"))
    assert script.console.before == "\udcff\udcc3 "
    script.console.expect("two")
    assert script.console.before == " \udcff "


def test_end_of_guest_time_raises_with_the_tail_of_the_output():
    script = bytewise(b"kernel panic: no init\r\n")
    with pytest.raises(ExpectTimeout, match=r"'login:' in 5 seconds(.|\n)*no init\r\n$"):
        script.console.expect("login:", seconds=5)
    assert script.runs == [5]


def test_after_a_timeout_the_output_is_still_there_to_match():
    script = bytewise(b"slow")
    with pytest.raises(ExpectTimeout):
        script.console.expect("fast")
    script.console.expect("slow")
    assert len(script.runs) == 1


def test_idle_guest_counts_as_out_of_time():
    with pytest.raises(ExpectTimeout, match="only input can wake it"):
        Script(b"$ ", end="idle").console.expect("login:")


def test_power_off_before_the_match_says_so_and_gives_the_stop():
    with pytest.raises(ExpectStopped, match="stopped with power-off before it printed 'login:'(.|\n)*bye") as error:
        bytewise(b"bye", end="power-off").console.expect("login:")
    assert error.value.stop.reason is StopReason.POWER_OFF


def test_match_in_the_last_output_before_power_off_counts():
    assert bytewise(b"bye", end="power-off").console.expect("bye")


def test_mirror_gets_a_copy():
    script, copy = bytewise(b"abc"), []
    script.console.mirror = copy.append
    script.run(1)
    assert b"".join(copy) == b"abc"


def test_output_that_is_not_recorded_can_still_be_expected():
    script = bytewise(b"ignored ready$ ")
    script.console.record = False
    script.console.expect("ready")
    assert script.console.expect("$ ") and script.console.before == ""
    script.console.write(b"lost")
    assert b"lost" not in script.console.output


@pytest.mark.parametrize("pattern", ["never", re.compile("never [0-9]+"), re.compile(rb"(a|b)never")])
@pytest.mark.parametrize("line", [b"." * 79 + b"\n", b"."])
def test_waiting_costs_the_same_however_much_was_printed(pattern, line):
    """The second half of a long output must not take much longer than the first."""
    def wait(pieces: list[bytes]) -> float:
        script = Script(*pieces)
        script.pieces.reverse()
        script.run = None
        console = script.console
        console._run = lambda seconds, timeout: feed(console, pieces)
        start = time.process_time()
        with pytest.raises(ExpectTimeout):
            console.expect(pattern)
        return time.process_time() - start

    def feed(console: Console, pieces: list[bytes]) -> Stop:
        for piece in pieces:
            console.write(piece)
        return Stop(StopReason.DEADLINE, 0, 0, 0)

    count = 8_000
    assert wait([line] * 2 * count) < 5 * wait([line] * count)


def test_list_takes_what_comes_first_and_says_which():
    script = bytewise(b"... login: ")
    assert script.console.expect(["$ ", re.compile("log.n"), "login: "])[0] == "login"
    assert script.console.index == 1


def test_of_patterns_that_begin_together_the_first_in_the_list_is_taken():
    script = Script(b"one two")
    script.run(1)
    assert script.console.expect(["two", "one two", "one"])[0] == "one two"
    assert script.console.index == 1


def test_what_must_not_come_ends_the_wait_at_once():
    script = bytewise(b"boot\nKernel panic - not syncing: x\n# ")
    with pytest.raises(UnexpectedOutput, match="printed 'Kernel panic' before '# '") as error:
        script.console.expect("# ", fail=["Oops", "Kernel panic"])
    assert error.value.match[0] == "Kernel panic" and script.console.index == 1
    assert script.console.output == b"boot\nKernel panic"
    assert script.console.before == "boot\n"
    script.console.expect("panic")


def test_what_was_wanted_before_what_must_not_come_is_found():
    script = Script(b"ok panic")
    assert script.console.expect("ok", fail="panic")
    with pytest.raises(UnexpectedOutput):
        script.console.expect("ok", fail="panic")


def test_limit_of_the_host_is_the_runs_and_is_named():
    script = bytewise(b"booting", end="timeout")
    with pytest.raises(ExpectTimeout, match="'login:' in 3 seconds of the host"):
        script.console.expect("login:", 10, timeout=3)
    assert (script.runs, script.timeouts) == ([10], [3])


@pytest.mark.parametrize("pattern", [5, None, ["a", 5], {"a"}])
def test_pattern_of_another_kind_is_named(pattern):
    with pytest.raises(TypeError, match="text, bytes, a compiled regular expression or a list of those, not"):
        Script().console.expect(pattern)


def test_no_pattern_at_all_is_refused():
    with pytest.raises(ValueError, match="without a pattern"):
        Script().console.expect([])


@pytest.mark.parametrize("data", [5, None, ["a"]])
def test_what_is_typed_is_text_or_bytes(data):
    script = Script()
    with pytest.raises(TypeError, match="text or bytes, not"):
        script.console.send(data)
    assert script.typed == b""
