"""Fleets: one result for each input, the same on every executor, and none lost with a worker."""

import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

import vm
from tests.fleet import programs
from tests.fleet.programs import Odd, answer, at_ready, message
from vm.fleet.parcel import received
from vm.fleet.pool import Pool
from vm.replaying import replay
from vm.run_folder import load_run

NUMBERS = range(12)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def snapshot():
    return at_ready()


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0",
                                  silence_logs=50) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(params=["threads", "processes", "dask"])
def executor(request):
    return request.getfixturevalue("cluster") if request.param == "dask" else request.param


def facts(result: vm.fleet.Result) -> tuple:
    return (result.index, result.input, result.value, repr(result.error), result.console, result.stop, result.steps,
            result.log)


def test_results_are_the_same_on_every_executor_and_in_order(snapshot, executor):
    with vm.Fleet(snapshot, 2, executor) as fleet:
        results = list(fleet.map(programs.even_only, NUMBERS))
    with snapshot.machine() as machine:
        expected = [answer(machine, message((2, str(number).encode()))) for number in NUMBERS]
    assert [result.index for result in results] == list(NUMBERS) == [result.input for result in results]
    assert [result.value for result in results] == [None if number % 2 else number * 2 for number in NUMBERS]
    assert [result.console.decode() for result in results] == [f"{text}\n" for text in expected]
    for result in results:
        assert result.ok is (result.input % 2 == 0)
        if not result.ok:
            with pytest.raises(Odd) as caught:
                result.get()
            assert caught.value.number == result.input and "even_only" in result.traceback
    with vm.Fleet(snapshot, 1) as fleet:
        assert [*map(facts, results)] == [*map(facts, fleet.map(programs.even_only, NUMBERS))]


def test_coverage_is_the_same_on_every_executor(snapshot, executor):
    inputs = [message((2, b"12.5")), message((1, b"name")), b"no"]
    with vm.Fleet(snapshot, 2, executor, coverage=True) as fleet:
        found = [result.coverage for result in fleet.map(answer, inputs)]
    for coverage, data in zip(found, inputs, strict=True):
        with snapshot.machine() as machine, machine.coverage() as alone:
            answer(machine, data)
        assert coverage.counts() == alone.counts() and (coverage.edges == alone.edges).all()
        assert coverage.functions() == alone.functions()
    assert (found[0] | found[1]).counts() == Counter(found[0].counts()) + Counter(found[1].counts())


def test_a_failure_can_be_replayed(snapshot, executor, tmp_path):
    with vm.Fleet(snapshot, 2, executor, recordings=tmp_path) as fleet:
        results = list(fleet.map(programs.even_only, range(4)))
    assert [result.recording is not None for result in results] == [False, True, False, True]
    for result in results[1::2]:
        begin, log = load_run(result.recording)
        assert log == result.log
        with replay(begin, log) as machine:
            machine.run()
            assert machine.console.output.endswith(result.console)
            assert machine.steps == begin.steps + result.steps
    files = [result.recording / "beginning.vmsnap" for result in results[1::2]]
    assert files[0].samefile(files[1])


def test_a_test_that_is_not_the_same_again_has_no_recording(snapshot):
    calls = []

    def flaky(machine, data):
        calls.append(data)
        answer(machine, data)
        if len(calls) == 1:
            raise ValueError("once")

    with vm.Fleet(snapshot, 1) as fleet:
        result, = fleet.map(flaky, [b""])
    assert isinstance(result.error, ValueError) and result.log is None and "record='always'" in result.no_log
    calls.clear()
    with vm.Fleet(snapshot, 1, record="always") as fleet:
        result, = fleet.map(flaky, [b""])
    assert result.log.inputs == 1 and len(calls) == 1


def test_nothing_that_a_test_leaves_is_there_for_the_next(snapshot):
    with vm.Fleet(snapshot, 1) as fleet:
        assert [result.get() for result in fleet.map(programs.leaves_things, range(4))] == [0] * 4
        result, = fleet.map(answer, [message()])
        assert result.get() == "0 records"


def test_machines_are_used_again(snapshot):
    seen = []
    with vm.Fleet(snapshot, 1) as fleet:
        list(fleet.map(lambda machine, data: seen.append(id(machine)), range(5)))
    assert len(set(seen)) == 1


def test_an_input_that_ends_its_process_is_run_again_and_nothing_is_lost(snapshot, tmp_path):
    with vm.Fleet(snapshot, 2, "processes") as fleet:
        results = list(fleet.map(partial(programs.kill_once, str(tmp_path)), range(12)))
    assert [result.get() for result in results] == list(range(12))
    assert results[5].attempts > 1 and (tmp_path / "killed").exists()


def test_an_input_that_always_ends_its_process_is_reported_with_the_input(snapshot):
    with vm.Fleet(snapshot, 2, "processes") as fleet:
        results = list(fleet.map(programs.kill_always, range(6)))
    assert [result.value for result in results] == [0, 1, 2, None, 4, 5]
    assert isinstance(results[3].error, vm.WorkerLost) and results[3].error.times == 3 and results[3].input == 3


def test_a_killed_worker_of_a_cluster_loses_nothing_and_gets_the_snapshot_again(snapshot):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0",
                                  silence_logs=50) as cluster, distributed.Client(cluster) as client:
        victims = client.run(os.getpid)
        with vm.Fleet(snapshot, executor=client) as fleet:
            results = fleet.map(programs.slow, range(60))
            assert next(results).get() == 0
            os.kill(next(iter(victims.values())), signal.SIGKILL)
            assert [result.get() for result in results] == list(range(1, 60))
        deadline = time.monotonic() + 60
        while len(client.run(os.getpid, on_error="ignore")) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert set(client.run(os.getpid).values()) != set(victims.values())


@pytest.mark.slow
def test_an_input_that_always_ends_its_worker_of_a_cluster_is_reported(snapshot):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0",
                                  silence_logs=50) as cluster, distributed.Client(cluster) as client:
        with vm.Fleet(snapshot, executor=client) as fleet:
            results = list(fleet.map(programs.kill_always, range(5)))
    assert [result.value for result in results] == [0, 1, 2, None, 4]
    assert isinstance(results[3].error, vm.WorkerLost) and results[3].error.times >= 3


def lies_elsewhere(fleet):
    """As for workers on other computers: the parcel is in no folder of theirs."""
    parcel = fleet._crew._parcel
    parcel.address = replace(parcel.address, folder="/no/such/folder")


def test_a_snapshot_is_sent_to_each_worker_of_a_cluster_once(cluster):
    snapshot = programs.at_ready("2M")          # which no worker has
    before = cluster.run(received)
    for _ in range(2):                          # the second time it is known by its content
        with vm.Fleet(pickle.loads(pickle.dumps(snapshot)), executor=cluster) as fleet:
            lies_elsewhere(fleet)
            for _ in range(3):
                assert [result.get() for result in fleet.map(programs.slow, range(16))] == list(range(16))
        after = cluster.run(received)
        assert len(after) == 2 and {after[worker] - before[worker] for worker in after} == {1}


def test_other_executors_send_a_snapshot_with_their_calls():
    snapshot = programs.at_ready("3M")
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as executor:
        with vm.Fleet(snapshot, 2, executor) as fleet:
            lies_elsewhere(fleet)
            assert [result.get() for result in fleet.map(programs.slow, range(8))] == list(range(8))


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_an_exception_in_the_block_ends_guests_that_never_do(snapshot, executor):
    """As Ctrl-C does."""
    with pytest.raises(KeyboardInterrupt), vm.Fleet(snapshot, 2, executor) as fleet:
        results = fleet.as_completed(programs.spin_but_once, range(100))
        assert next(results).value == 0
        raise KeyboardInterrupt


def test_processes_are_not_given_what_they_would_not_find(snapshot):
    with vm.Fleet(snapshot, 1, "processes") as fleet:
        with pytest.raises(vm.ConfigurationError, match=r"processes cannot be given .*lambda"):
            next(fleet.map(lambda machine, data: data, [1]))
    code = ("import vm; from tests.fleet.programs import at_ready\ndef mine(machine, data): return data\n"
            "with vm.Fleet(at_ready(), 1, 'processes') as fleet: next(fleet.map(mine, [1]))")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "processes cannot find mine, which is in no file" in ended.stderr.splitlines()[-1]


def test_limits_are_for_each_input(snapshot, executor):
    with vm.Fleet(snapshot, 2, executor, limits=vm.Limits(steps=100_000)) as fleet:
        results = list(fleet.map(programs.spin, range(3)))
    assert [result.error.limit for result in results] == ["steps"] * 3
    assert [result.steps for result in results] == [100_000] * 3


def test_results_come_as_they_are_completed(snapshot):
    go = threading.Event()

    def test(machine, number):
        if number == 0:
            go.wait(60)
        return number

    with vm.Fleet(snapshot, 2) as fleet:
        results = fleet.as_completed(test, range(5))
        assert [next(results).get() for _ in range(4)] == [1, 2, 3, 4]
        go.set()
        assert next(results).get() == 0


def test_inputs_may_be_endless_and_are_taken_as_they_are_wanted(snapshot):
    taken = []

    def numbers():
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    with vm.Fleet(snapshot, 1) as fleet:
        results = fleet.map(lambda machine, number: number, numbers())
        assert [next(results).get() for _ in range(3)] == [0, 1, 2]
        assert len(taken) < 20


def test_an_executor_of_ones_own_goes_on_behind_the_fleet(snapshot):
    with ThreadPoolExecutor(2) as executor:
        with vm.Fleet(snapshot, executor=executor) as fleet:
            assert [result.get() for result in fleet.map(answer, [message()])] == ["0 records"]
        assert executor.submit(int, "3").result() == 3


KILLED = """
import sys
import vm
from tests.fleet.programs import at_ready, endless

if __name__ == "__main__":
    with vm.Fleet(at_ready(), 2, "processes") as fleet:
        list(fleet.map(endless, sys.argv[1:]))
"""


def test_workers_end_with_the_process_that_they_work_for(tmp_path):
    """Also where it is killed: each of them is in a run that has no end."""
    script, pids = tmp_path / "script.py", [tmp_path / "first", tmp_path / "second"]
    script.write_text(KILLED)
    for pid in pids:
        os.mkfifo(pid)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([sys.executable, script, *pids], env=environment) as fleet:
        workers = [os.pidfd_open(int(pid.read_text())) for pid in pids]
        fleet.kill()
    for worker in workers:
        assert select.select([worker], [], [], 60)[0]
        os.close(worker)


def test_a_script_that_processes_cannot_load_is_said_so(snapshot, tmp_path):
    snapshot.save(tmp_path / "ready.vmsnap")
    script = tmp_path / "script.py"
    script.write_text("import vm\n"
                      "def test(machine, data): return data\n"
                      f"with vm.Fleet(vm.Snapshot.load({str(tmp_path / 'ready.vmsnap')!r}), 1, 'processes') as fleet:\n"
                      "    print(list(fleet.map(test, [1])))\n")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode and "ConfigurationError: processes end before they are given" in run.stderr


def test_what_cannot_be_sent_back_is_said_so(snapshot):
    with vm.Fleet(snapshot, 1, "processes") as fleet:
        result, = fleet.map(programs.returns_a_lock, [0])
    assert isinstance(result.error, TypeError) and "cannot be sent" in str(result.error)


def test_symbols_are_those_of_the_program_wherever_it_runs(snapshot, executor):
    with snapshot.machine() as machine:
        expected = machine.lookup(machine.harts[0].pc)
    with vm.Fleet(snapshot, 1, executor) as fleet:
        result, = fleet.map(programs.name_of_pc, [None])
    assert expected is not None and result.get() == expected


def test_symbols_can_be_given_to_a_snapshot_from_a_file(snapshot, tmp_path):
    snapshot.save(tmp_path / "ready.vmsnap")
    loaded = vm.Snapshot.load(tmp_path / "ready.vmsnap")
    with vm.Fleet(snapshot, 1) as fleet, vm.Fleet(loaded, 1, symbols=programs.FIRMWARE) as other:
        expected, = fleet.map(programs.name_of_pc, [None])
        result, = other.map(programs.name_of_pc, [None])
    assert result.get() == expected.get()


def test_disks_are_each_workers_own(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 16))
    with vm.Machine(memory="1M") as machine:
        machine.attach(vm.devices.BlockDevice(image, discard=True))
        machine.load(programs.FIRMWARE)
        machine.run(instructions=10)
        snapshot = machine.snapshot()
        with pytest.raises(vm.ConfigurationError, match="virtio0 is a BlockDevice"):
            vm.Fleet(snapshot, 1, "processes")
        devices = partial(programs.disk, str(image))
        with vm.Fleet(snapshot, 1, "processes", devices=devices) as fleet:
            assert [result.get() for result in fleet.map(programs.steps_of, [5])] == [5]


@pytest.mark.parametrize("arguments, message", [
    ({"workers": 0}, "workers=0"), ({"executor": "clouds"}, "executor='clouds'"), ({"record": "maybe"}, "record="),
    ({"limits": 3}, "vm.Limits"), ({"chunk": 0}, "chunk=0"),
])
def test_what_cannot_be_is_refused(snapshot, arguments, message):
    with pytest.raises(vm.ConfigurationError, match=message):
        vm.Fleet(snapshot, **arguments)


def test_a_fleet_that_is_closed_says_so(snapshot):
    fleet = vm.Fleet(snapshot, 1)
    fleet.close()
    fleet.close()
    with pytest.raises(vm.ConfigurationError, match="closed"):
        list(fleet.map(answer, [b""]))


def test_a_pool_closes_its_machines(snapshot):
    pool = Pool(snapshot)
    with pool.seat() as seat:
        machine = seat.machine
    pool.close()
    with pytest.raises(vm.MachineUnusable):
        machine.run()


def test_recordings_of_a_fleet_lie_in_the_folder_that_was_named(snapshot, tmp_path: Path):
    with vm.Fleet(snapshot, 1, recordings=tmp_path / "failures") as fleet:
        list(fleet.map(programs.even_only, [7]))
    assert [path.name for path in (tmp_path / "failures").iterdir()] == ["000000-Odd"]


def test_a_folder_of_recordings_that_cannot_be_is_refused_at_once(snapshot, tmp_path):
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "folder", "/proc/no/such"):
        with pytest.raises(vm.ConfigurationError, match="recordings='.*: name|name a folder"):
            vm.Fleet(snapshot, recordings=wrong)
