"""The guest's side of the compute device, on bare metal: what is built, the example, recordings, snapshots, forks."""

import re
import struct

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

import vm
from tests.devices.test_compute_operations import NUMBERS
from tests.guests.test_demo_elf import zig_version
from vm.devices import ComputeDevice
from vm.devices.virtio.compute.layout import TYPES, Status
from vm.guests.compiler import ZIG_VERSION, compile_guest
from vm.guests.compute import FOLDER
from vm.guests.compute.build import BUILT

EXAMPLE = FOLDER / "example.elf"
CHECKS = 8                          # that the example makes, with a function of the host


def twice(array):
    return 2 * array


def machine_with(function=twice, engine="auto", clock="virtual", **options):
    machine = vm.Machine(memory="16M", engine=engine, clock=clock)
    device = ComputeDevice(**options)
    if function is not None:
        device.register("twice", function)
    machine.attach(device)
    machine.load(EXAMPLE)
    return machine


@pytest.mark.skipif(zig_version() != ZIG_VERSION, reason=f"needs ziglang {ZIG_VERSION}")
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow) if name.endswith(("so", "linux")) else name for name in BUILT])
def test_what_is_built_is_what_the_source_builds(name, tmp_path):
    """Those for Linux take half a minute: a C library is compiled for them."""
    assert BUILT[name](tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


@pytest.mark.skipif(zig_version() != ZIG_VERSION, reason=f"needs ziglang {ZIG_VERSION}")
def test_a_program_is_linked_to_the_library(tmp_path):
    common = ("../common/console.c", "../common/memory.c")
    program = compile_guest(FOLDER, ("entry.S", "example.c", *common, "libvmcompute.a"), "link.ld", tmp_path / "linked",
                            floating_point=True)
    with vm.Machine(memory="16M") as machine:
        machine.attach(ComputeDevice())
        machine.load(program)
        assert machine.run().exit_code == 0


def test_library_for_linux_asks_for_the_c_library_alone():
    with (FOLDER / "libvmcompute.so").open("rb") as file:
        elf = ELFFile(file)
        needed = [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")]
        assert (elf["e_machine"], needed) == ("EM_RISCV", ["libc.so.6"])


def enumerated(text):
    """The values of the enumerations of a header, by name."""
    found = {}
    for body in re.findall(r"enum \{(.*?)\};", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL), re.DOTALL):
        value = -1
        for item in filter(None, map(str.strip, body.split(","))):
            name, _, said = item.partition("=")
            value = int(said, 0) if said else value + 1
            found[name.strip()] = value
    return found


def test_header_has_the_numbers_of_the_specification():
    values = enumerated((FOLDER / "vmcompute.h").read_text())
    assert {name: values[f"VMC_{name.upper()}"] for name in NUMBERS} == NUMBERS
    assert {status.name: values[f"VMC_{status.name}"] for status in Status} == dict(Status.__members__)
    for number, dtype in enumerate(TYPES):
        name = "BOOL" if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}"
        assert values[f"VMC_{name}"] == number


def test_python_module_has_the_numbers_of_the_specification():
    from vm.guests.compute import vmcompute

    known = vmcompute.UNARY | vmcompute.BINARY | vmcompute.REDUCTIONS | vmcompute.ALONG | vmcompute.TRANSFORMS
    assert known == {name: NUMBERS[name] for name in known}
    assert (vmcompute.COPY, vmcompute.WHERE, vmcompute.MATMUL, vmcompute.CONVOLVE, vmcompute.TAKE, vmcompute.CALL) == \
        tuple(NUMBERS[name] for name in ("copy", "where", "matmul", "convolve", "take", "call"))
    assert vmcompute.TYPES == tuple(dtype.name for dtype in TYPES)


# --- The example -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("latency, cancelled", [(0, 0), (20_000, 2)])
@pytest.mark.names_engine
def test_example_computes(engine, latency, cancelled):
    """At once, and where it waits for interrupts: then there is something to cancel."""
    with machine_with(engine=engine, latency_ns=latency) as machine:
        assert machine.run(seconds=10).reason is vm.StopReason.POWER_OFF
        output = machine.console.output.decode()
        assert output.count(" ok\n") == CHECKS and f"compute: {cancelled} cancelled\n" in output
        assert output.endswith("compute: 0 wrong\n")


def test_example_computes_in_real_time():
    with machine_with(clock="real", latency_ns=20_000) as machine:
        assert machine.run(timeout=60).reason is vm.StopReason.POWER_OFF
        assert machine.console.output.endswith(b"compute: 0 wrong\n")


def test_without_a_device_the_library_says_so():
    with vm.Machine(memory="16M") as machine:
        machine.load(EXAMPLE)
        stop = machine.run()
        assert (stop.exit_code, machine.console.output) == (1, b"compute: no device (1)\n")


def test_an_exception_of_a_function_comes_out_of_run_and_the_guest_goes_on():
    def fail(array):
        raise LookupError("of the function")

    with machine_with(fail) as machine:
        with pytest.raises(LookupError, match="of the function"):
            machine.run()
        assert machine.run().exit_code == 1
        assert b"compute: a function of the host WRONG\n" in machine.console.output


# --- Snapshots, forks, recordings ------------------------------------------------------------------------------------

@pytest.mark.parametrize("latency", [0, 20_000])
def test_snapshots_and_forks_go_on_alike(latency, tmp_path):
    """From wherever it is: in the middle of requests that wait as well."""
    with machine_with(latency_ns=latency) as machine:
        machine.run(instructions=400_000)
        snapshot = machine.snapshot()
        with machine.fork() as twin:
            machine.run()
            twin.run()
            assert twin.console.output == machine.console.output and twin.steps == machine.steps
        steps = machine.steps
        machine.restore(snapshot)
        machine.run()
        assert machine.steps == steps
        snapshot.save(tmp_path / "compute.vmsnap")
    device = ComputeDevice(latency_ns=latency)
    device.register("twice", twice)
    with vm.Snapshot.load(tmp_path / "compute.vmsnap").machine(devices={"virtio0": device}) as other:
        other.run()
        assert other.steps == steps


@pytest.mark.parametrize("latency", [0, 20_000])
@pytest.mark.parametrize("replay", ["compute", "log"])
def test_recorded_runs_are_replayed(replay, latency):
    with machine_with(replay=replay, latency_ns=latency) as machine:
        with machine.record() as recording:
            machine.run()
        steps, output = machine.steps, machine.console.output
        state = machine.board.devices["virtio0"].device.save()
        assert output.endswith(b"compute: 0 wrong\n")
    inputs = [entry for entry in recording.log if entry.source.startswith("virtio")]
    assert bool(inputs) is (replay == "log")
    with machine_with(replay=replay, latency_ns=latency, engine="interpreter") as again:
        again.replay(recording.log)
        while (stop := again.run(instructions=100_003)).reason is vm.StopReason.BUDGET:
            pass
        while stop.reason is not vm.StopReason.REPLAYED:
            stop = again.run()
        assert (again.steps, again.console.output) == (steps, output)
        assert again.board.devices["virtio0"].device.save() == state


def test_what_is_in_the_log_is_not_computed_again():
    """The host's function gives random numbers; in the replay nobody asks for them."""
    seen = []

    def random(array):
        seen.append(np.random.default_rng().random(array.shape))
        return seen[-1]

    with machine_with(random, replay="log") as machine:
        with machine.record() as recording:
            machine.run()
        output = machine.console.output
    with machine_with(None, replay="log") as again:
        again.replay(recording.log)
        while again.run().reason is not vm.StopReason.REPLAYED:
            pass
        assert again.console.output == output and len(seen) == 1
        place = again.memory.read(0x8000_0000, 16 << 20).find(seen[0].tobytes()[:64])
        assert place < 0                    # written over since


def test_a_replay_that_computes_finds_that_a_function_is_another():
    with machine_with() as machine:
        with machine.record() as recording:
            machine.run()
    with machine_with(lambda array: 3 * array) as again:
        again.replay(recording.log)
        with pytest.raises(vm.ReplayDiverged):
            while again.run().reason is not vm.StopReason.REPLAYED:
                pass


def test_a_damaged_result_is_refused():
    with machine_with(replay="log") as machine:
        with machine.record() as recording:
            machine.run()
        device = machine.board.devices["virtio0"].device
        device.awaiting[0] = True
        with pytest.raises(vm.LogError, match="damaged"):
            device.accept(struct.pack("<I", 9) + bytes(16))
    assert len(recording.log)


def test_a_file_makes_no_functions(tmp_path):
    with machine_with() as machine:
        machine.snapshot().save(tmp_path / "compute.vmsnap")
    loaded = vm.Snapshot.load(tmp_path / "compute.vmsnap")
    with pytest.raises(vm.SnapshotError, match="virtio0 is a ComputeDevice, which a file cannot make"):
        loaded.machine()
