"""Limits of what a machine takes of its host: where it stops, that nothing is lost, and that others go on."""

import pickle

import pytest

import vm
from tests.assembler import assemble
from vm.limits import Usage

PAGE = 4096
RAM = 0x8000_0000
FIRST_PAGE = 0x8010_0000

# Stores a double word to one page after the other, for ever.
WRITER = """
    li t0, 0x80100000
    li t1, 4096
1:  sd t0, 0(t0)
    add t0, t0, t1
    j 1b
"""
SPIN = "1: j 1b"
# The same for other instructions that store: what they need comes first.
OTHERS = {
    "amoadd.d": ("", "amoadd.d zero, t0, (t0)"),
    "cbo.zero": (".option arch, +zicboz", "cbo.zero (t0)"),
    "c.sd": (".option arch, +c", "c.sd a0, 0(a0)"),
    "fsd": ("li t2, 0x6000; csrs mstatus, t2", "fsd f0, 0(t0)"),
    "hsv.d": (".option arch, +h\n li t2, -1; csrw pmpaddr0, t2; csrwi pmpcfg0, 0x1f", "hsv.d t0, (t0)"),
    "vs1r.v": (".option arch, +v\n li t2, 0x600; csrs mstatus, t2", "vs1r.v v0, (t0)"),
    "vse64.v": (".option arch, +v\n li t2, 0x600; csrs mstatus, t2; vsetvli t2, zero, e64, m1, ta, ma",
                "vse64.v v0, (t0)"),
}


@pytest.fixture(params=["interpreter", "jit"])
def engine(request):
    return request.param


def machine_of(program: str, engine: str = "auto", **arguments) -> vm.Machine:
    machine = vm.Machine(memory="64M", engine=engine, **arguments)
    machine.load(assemble(program), address=RAM)
    return machine


def test_steps_end_the_run_where_they_are_used_up_and_are_counted_over_runs(engine):
    with machine_of(SPIN, engine, limits=vm.Limits(steps=1_000_000)) as machine:
        assert machine.run(instructions=400_000).reason is vm.StopReason.BUDGET
        with pytest.raises(vm.LimitReached, match=r"steps=1,000,000") as caught:
            machine.run()
        assert caught.value.limit == "steps"
        assert machine.steps == 1_000_000 == machine.usage.steps
        with pytest.raises(vm.LimitReached):
            machine.run(instructions=1)
        assert machine.steps == 1_000_000


def test_a_run_that_asked_for_no_more_than_there_was_ends_as_it_asked():
    with machine_of(SPIN, limits=vm.Limits(steps=1000)) as machine:
        assert machine.run(instructions=1000).reason is vm.StopReason.BUDGET


def test_limits_that_are_set_anew_count_anew_and_none_limits_nothing():
    with machine_of(SPIN, limits=vm.Limits(steps=1000)) as machine:
        with pytest.raises(vm.LimitReached):
            machine.run()
        machine.limits = vm.Limits(steps=500)
        assert machine.usage == Usage(0, 0, machine.usage.host_memory)
        with pytest.raises(vm.LimitReached):
            machine.run()
        assert machine.steps == 1500
        machine.limits = None
        assert machine.usage is None
        assert machine.run(instructions=10_000).steps == 10_000


def test_a_restore_gives_no_steps_back():
    with machine_of(SPIN, limits=vm.Limits(steps=1000)) as machine:
        snapshot = machine.snapshot()
        machine.run(instructions=900)
        machine.restore(snapshot)
        with pytest.raises(vm.LimitReached):
            machine.run(instructions=900)
        assert machine.steps == 100


def test_host_time_ends_a_guest_that_never_does(engine):
    with machine_of(SPIN, engine, limits=vm.Limits(host_seconds=0.05)) as machine:
        with pytest.raises(vm.LimitReached, match="host_seconds=0.05") as caught:
            machine.run()
        assert caught.value.limit == "host_seconds"
        assert machine.usage.host_seconds >= 0.05
        with pytest.raises(vm.LimitReached):
            machine.run(instructions=1)


def test_a_timeout_that_is_nearer_is_a_timeout():
    with machine_of(SPIN, limits=vm.Limits(host_seconds=1000)) as machine:
        assert machine.run(timeout=0.02).reason is vm.StopReason.TIMEOUT


def test_memory_ends_the_run_before_the_store_that_would_take_one_page_more(engine):
    with machine_of(WRITER, engine) as machine:
        snapshot = machine.snapshot()
        machine.limits = vm.Limits(host_memory=100 * PAGE)
        for _ in range(2):                      # a restore gives the pages back
            with pytest.raises(vm.LimitReached, match="host_memory=409,600") as caught:
                machine.run()
            assert caught.value.limit == "host_memory"
            assert machine.usage.host_memory == 100 * PAGE
            assert machine.memory.read(FIRST_PAGE + 99 * PAGE, 8) != bytes(8)
            assert machine.memory.read(FIRST_PAGE + 100 * PAGE, 8) == bytes(8)
            assert machine.harts[0]["t0"] == FIRST_PAGE + 100 * PAGE     # the store is the next instruction
            machine.restore(snapshot)


def test_it_goes_on_as_if_nothing_had_been_with_more_memory(engine):
    def written(limits):
        with machine_of(WRITER, engine, limits=limits) as machine:
            steps = 0
            while steps < 3000:
                try:
                    machine.run(instructions=3000 - machine.steps)
                except vm.LimitReached:
                    pages = machine.usage.host_memory // PAGE
                    machine.limits = vm.Limits(host_memory=(pages + 50) * PAGE)
                steps = machine.steps
            return machine.steps, machine.harts[0]["t0"], machine.harts[0].csr["minstret"]

    assert written(vm.Limits(host_memory=20 * PAGE)) == written(None)


@pytest.mark.parametrize("store", OTHERS)
def test_whatever_stores_takes_no_page_too_many(engine, store):
    before, instruction = OTHERS[store]
    program = f"{before}\n{WRITER}".replace("sd t0, 0(t0)", f"mv a0, t0\n {instruction}")
    with machine_of(program, engine, isa="default_h_v", limits=vm.Limits(host_memory=100 * PAGE)) as machine:
        machine.snapshot()                      # the program is none of its pages from here on
        with pytest.raises(vm.LimitReached, match="host_memory"):
            machine.run(instructions=100_000)
        assert machine.usage.host_memory == 100 * PAGE
        assert machine.harts[0]["t0"] == FIRST_PAGE + 100 * PAGE


def test_memory_of_several_regions_counts_together():
    program = WRITER.replace("0x80100000", "0xa0000000")
    with machine_of(program, limits=vm.Limits(host_memory=10 * PAGE)) as machine:
        machine.map(0xA000_0000, "16M")
        machine.map(0xB000_0000, "16M")
        before = machine.usage.host_memory      # the program itself
        with pytest.raises(vm.LimitReached):
            machine.run()
        assert 0 <= machine.usage.host_memory - 10 * PAGE <= 2 * PAGE and before > 0


def test_a_hart_writes_to_pages_that_it_has_already_as_it_likes():
    program = "li t0, 0x80100000\n1: sd t1, 0(t0)\n addi t1, t1, 1\n j 1b"
    with machine_of(program, limits=vm.Limits(host_memory=10 * PAGE)) as machine:
        assert machine.run(instructions=100_000).reason is vm.StopReason.BUDGET


def test_atomics_and_misaligned_stores_are_stores_too(engine):
    for address, store in ((0x8010_0000, "amoadd.d zero, t1, (t0)"), (0x8010_0FFC, "sd t1, 0(t0)")):
        program = f"li t0, {address}\n li t1, 4096\n1: {store}\n add t0, t0, t1\n j 1b"
        with machine_of(program, engine) as machine:
            machine.snapshot()
            machine.limits = vm.Limits(host_memory=8 * PAGE)
            with pytest.raises(vm.LimitReached):
                machine.run()
            assert machine.usage.host_memory == 8 * PAGE


def test_expect_raises_the_limit_unchanged():
    with machine_of(SPIN, limits=vm.Limits(steps=10_000)) as machine:
        with pytest.raises(vm.LimitReached):
            machine.console.expect("never")


@pytest.mark.parametrize("limits", [vm.Limits(steps=700), vm.Limits(steps=10_000, host_memory="1M")])
def test_running_backwards_is_not_charged(limits):
    with machine_of(WRITER) as machine:
        machine.keep_history()
        machine.limits = limits
        with pytest.raises(vm.LimitReached):
            machine.run()
        steps, charged = machine.steps, machine.usage.steps
        machine.step_back(100)
        assert machine.steps == steps - 100 and machine.usage.steps == charged


def test_forks_have_the_limits_and_accounts_of_their_own():
    with machine_of(SPIN, limits=vm.Limits(steps=1000)) as machine:
        machine.run(instructions=900)
        with machine.fork() as twin:
            assert twin.limits == machine.limits
            assert twin.run(instructions=1000).steps == 1000


def test_a_machine_without_limits_has_no_account():
    with machine_of(SPIN) as machine:
        assert machine.limits is None and machine.usage is None


@pytest.mark.parametrize("arguments, message", [
    ({"steps": 0}, "at least one step"), ({"steps": "many"}, "steps='many'"), ({"host_seconds": 0}, "more than 0"),
    ({"host_seconds": float("nan")}, "more than 0"), ({"host_memory": 1000}, "multiple of 4096"),
])
def test_a_limit_that_is_none_is_refused(arguments, message):
    with pytest.raises(vm.ConfigurationError, match=message):
        vm.Limits(**arguments)


def test_limits_are_a_vm_limits():
    with pytest.raises(vm.ConfigurationError, match="they are a vm.Limits"):
        vm.Machine(memory="1M", limits={"steps": 3})


@pytest.mark.parametrize("error", [
    vm.LimitReached("steps", "steps=3"), vm.BusError(0x1000, "read"), vm.CommandFailed("ls", 2, "nothing"),
    vm.PageFault(0x2000, "write", "read-only"), vm.ExpectTimeout("late"),
])
def test_errors_can_be_sent_to_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
