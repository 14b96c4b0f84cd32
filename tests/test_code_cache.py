"""Compiled code that outlives its process: who gets it, who does not, and that it changes nothing."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from vm import code_cache
from vm.settings import child_environment
from vm_native.jit.compiler import JitCompiler, unavailable
from vm_native.jit.image import image_of, layer_of

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="what is kept is compiled code")

A0, S0 = 10, 8
ROUNDS = 400
FAR = 4096                                  # where it is in the program
ADDI, RET = bytes.fromhex("13051500"), bytes.fromhex("67800000")
# Loads, stores, calls, a page behind the first, doubles: what leaves compiled code by a stub.
PROGRAM = """
    la   s1, data
    li   s0, {rounds}
    li   t0, 0x6000
    csrs mstatus, t0
    fcvt.d.w fa0, s0
1:  ld   t1, 0(s1)
    add  t1, t1, s0
    sd   t1, 0(s1)
    lw   t2, 12(s1)
    add  a0, a0, t1
    fadd.d fa0, fa0, fa0
    call far
    addi s0, s0, -1
    bnez s0, 1b
2:  wfi
    j    2b
    .balign 8
data:
    .dword 5
    .dword 7
    .balign 4096
far:
    addi a0, a0, {added}
    csrr t3, mscratch
    beqz t3, 3f
    nop
3:  ret
"""
# Its loop is made of other instructions than the file has, as a kernel's that patches itself.
PATCHED = """
    la   s1, place
    lw   t1, other
    li   s0, {rounds}
1:  addi s0, s0, -1
    call place
    bnez s0, 1b
    bnez s2, 2f
    sw   t1, 0(s1)
    fence.i
    li   s2, 1
    li   s0, {rounds}
    j    1b
2:  wfi
    j    2b
    .option norvc
other:
    addi a0, a0, 3
place:
    addi a0, a0, 1
    ret
"""
# A loop in M-mode, then one of a process: in U-mode, where the first GiB leads to RAM.
PROCESS = """
    la   t0, handler
    csrw mtvec, t0
    li   t0, -1
    csrw pmpaddr0, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    la   t1, table
    li   t0, 0x200000df
    sd   t0, 0(t1)
    srli t1, t1, 12
    li   t0, 8 << 60
    or   t0, t0, t1
    csrw satp, t0
    li   t0, 0x1800
    csrc mstatus, t0
    la   t0, user
    li   t1, 0x80000000
    sub  t0, t0, t1
    csrw mepc, t0
    li   s0, 400
1:  addi s0, s0, -1
    bnez s0, 1b
    li   s0, 400
    mret
    .balign 4
handler:
    wfi
    j    handler
    .balign 4096
user:
    addi s0, s0, -1
    bnez s0, user
    ecall
    .balign 4096
table:
    .zero 4096
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VM_CACHE", str(tmp_path))
    monkeypatch.setattr(code_cache, "WORTH_NS", 0)
    return tmp_path / "code"


@pytest.fixture
def cold(folder) -> tuple[object, ...]:
    """What a first run comes to, which has left a file."""
    found = run()
    assert found["outcome"] == "cold" and found["traces"] and len(list(folder.iterdir())) == 1
    return found["state"]


def program(rounds: int = ROUNDS, added: int = 1) -> Path:
    return assemble_elf(PROGRAM.format(rounds=rounds, added=added))


def machine_of(file: Path, **options) -> vm.Machine:
    settings = vm.Settings(hot=2, code_cache=True, switches=options.pop("switches", {}))
    machine = vm.Machine(memory="1M", engine="jit", settings=settings, **options)
    machine.load(file)
    return machine


def run(file: Path | None = None, **options) -> dict[str, object]:
    """To the end, in pieces, and what became of it; what a guest can see is in `state`."""
    with machine_of(file or program(), **options) as machine:
        state = []
        reason = vm.StopReason.BUDGET
        while reason is vm.StopReason.BUDGET:
            reason = machine.run(instructions=777).reason
            state.append(state_of(machine))
        counted = machine.stats()["jit"]
    kept = machine.stats()["code_cache"]
    return {"state": tuple(state), "traces": counted["traces"], "interpreted": counted["interpreted"], **kept}


def state_of(machine: vm.Machine) -> tuple[object, ...]:
    hart = machine.harts[0]
    return (machine.steps, hart.pc, tuple(hart.x[number] for number in range(32)),
            tuple(machine._natives[0].read_f(number) for number in range(32)),
            hashlib.sha256(machine.memory.read(BASE, 1 << 20)).digest())


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


# --- What it brings, and what it does not change ---------------------------------------------------------------------

def test_a_second_run_compiles_nothing_and_does_the_same(cold):
    warm = run()
    assert warm["outcome"] == "warm" and warm["state"] == cold
    assert warm["traces"] == 0 and warm["written"] == 0


def test_a_second_run_in_another_process(cold, folder):
    script = ("from tests import test_code_cache as t; t.code_cache.WORTH_NS = 0; found = t.run(); "
              "print(found['outcome'], found['traces'], hash(found['state'][-1][2]))")
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["warm", "0", str(hash(cold[-1][2]))]


def test_machines_of_a_process_share_it(cold):
    with machine_of(program()) as one, machine_of(program()) as two:
        assert one._native.shared_code == two._native.shared_code != ()


def test_what_is_compiled_beside_is_added(cold, folder):
    before = only(folder).stat().st_size
    for traces in (True, False):
        with machine_of(program()) as machine:
            machine.memory.write(BASE + FAR, ADDI + RET)
            machine.run(instructions=3000)
            assert bool(machine.stats()["jit"]["traces"]) == traces
            machine._native.share_code(worth=1000)      # it would not be worth it
        assert only(folder).stat().st_size > before
    assert run()["state"] == cold


def test_a_guest_that_patches_itself(folder):
    file = assemble_elf(PATCHED.format(rounds=100))
    first, second = run(file), run(file)
    assert second["outcome"] == "warm" and second["state"] == first["state"]
    assert second["state"][-1][2][A0] == 100 * 1 + 100 * 3
    assert second["traces"] < first["traces"]


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_code_of_processes_is_not_kept_in_real_time(folder, clock):
    file = assemble_elf(PROCESS)
    for outcome in ("cold", "warm"):
        with machine_of(file, clock=clock) as machine:
            assert machine.stats()["code_cache"]["outcome"] == outcome
            while machine.harts[0].csr["mcause"] == 0:
                machine.run(instructions=500)
            assert machine.harts[0].csr["mcause"] == 8 and machine.harts[0].x[S0] == 0      # the call from U-mode
            compiled = [pc for pc, *_ in machine.compiler.traces()]
            traces = machine.stats()["jit"]["traces"]
    assert {BASE <= pc for pc in compiled} == {False, True}
    assert traces == {"virtual": 0, "real": 1}[clock]


def test_another_program_in_the_same_place_runs_none_of_it(cold, folder):
    """As if the sample of its file were the same: its pages are compared all the same."""
    other = program(added=2)
    with machine_of(other) as machine:
        name = machine._code_cache.path.name
    code_cache.write(folder / name, bytes.fromhex(name), contents(folder))
    changed = run(other)
    assert changed["outcome"] == "warm"
    wanted = run(other, switches={"linking": False})["state"]
    assert changed["state"] == wanted != cold


def contents(folder: Path) -> list[memoryview]:
    return [image.content for image in code_cache.mapped(only(folder), bytes.fromhex(only(folder).name))]


@pytest.mark.parametrize("options", [{"isa": "rv64gc"}, {"switches": {"grouping": False}}])
def test_another_kind_of_machine_has_another_file(cold, folder, options):
    assert run(**options)["outcome"] == "cold"
    assert len(list(folder.iterdir())) == 2


def test_another_build_has_another_file(cold, folder, monkeypatch):
    monkeypatch.setattr(code_cache, "build", lambda: b"another")
    assert run()["outcome"] == "cold"
    monkeypatch.setattr(code_cache, "host_features", lambda: (1, 2))
    assert run()["outcome"] == "cold"
    assert len(list(folder.iterdir())) == 3


def test_without_the_setting_there_is_nothing(folder):
    with vm.Machine(memory="1M", engine="jit", settings=vm.Settings(hot=2)) as machine:
        machine.load(program())
        machine.run()
    assert "code_cache" not in machine.stats() and not folder.exists()


def test_what_compiles_in_no_time_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(code_cache, "WORTH_NS", 10**12)
    assert run()["written"] == 0 and not folder.exists()


def test_forks_leave_the_file_alone(cold, folder):
    before = only(folder).stat().st_ino
    with machine_of(program(), switches={}) as machine:
        machine.run(instructions=100)
        with machine.fork() as child:
            assert child._native.shared_code == machine._native.shared_code
            child.run()
            assert state_of(child) == cold[-1]
            assert child.stats()["code_cache"]["outcome"] == "no guest"
    assert only(folder).stat().st_ino == before


@pytest.mark.parametrize("end", ["", "os.fork() or os._exit(0); os.wait()"])
def test_a_machine_that_nobody_closes_leaves_its_code(folder, end):
    script = f"import os; from tests import test_code_cache as t; t.code_cache.WORTH_NS = 0; " \
             f"machine = t.machine_of(t.program()); machine.run(); {end}"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert run()["outcome"] == "warm"


# --- What is not run -------------------------------------------------------------------------------------------------

def damaged(at: int):
    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[at] ^= 0x10
        file.write_bytes(content)
    return damage


WRONG = {
    "magic": (damaged(0), "another format"),
    "version": (damaged(8), "another format"),
    "count": (damaged(12), "damaged"),
    "name": (damaged(16), "damaged"),
    "size of an image": (damaged(48), "damaged"),
    "header of an image": (damaged(128 + 40), "damaged"),
    "code": (damaged(-20), "damaged"),
    "cut off": (lambda file: os.truncate(file, file.stat().st_size - 1), "damaged"),
    "cut off in front": (lambda file: os.truncate(file, 10), "cut off"),
    "empty": (lambda file: os.truncate(file, 0), "cut off"),
    "writable by a group": (lambda file: file.chmod(0o664), "others may write"),
    "writable by all": (lambda file: file.chmod(0o646), "others may write"),
    "folder writable by all": (lambda file: file.parent.chmod(0o777), "others may write"),
    "folder": (lambda file: (file.unlink(), file.mkdir()), "is no file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_it_should_be_is_left_alone_and_told(cold, folder, name, caplog):
    spoil, reason = WRONG[name]
    spoil(only(folder))
    found = run()
    assert found["state"] == cold and found["traces"]
    assert reason in caplog.text
    folder.chmod(0o700)


def test_a_damaged_file_is_replaced(cold, folder):
    WRONG["code"][0](only(folder))
    assert "damaged" in run()["outcome"]
    assert run()["outcome"] == "warm"


def test_a_link_is_not_followed(cold, folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    only(folder).rename(elsewhere)
    with machine_of(program()) as machine:
        name = machine._code_cache.path.name
    for left in folder.iterdir():
        left.unlink()
    (folder / name).symlink_to(elsewhere)
    assert run()["outcome"] not in ("warm", "cold")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_belongs_to_another_user_is_not_run(cold, folder, what):
    os.chown(only(folder) if what == "file" else folder, 12345, -1)
    found = run()
    assert "another user" in str(found["outcome"]) and found["state"] == cold and found["traces"]


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VM_CACHE", str(tmp_path / "file"))
    found = run()
    assert found["traces"] and found["written"] == 0 and "file" in caplog.text


def test_a_user_without_a_home_has_no_cache(monkeypatch, caplog):
    """As in a container that runs as some number."""
    for name in ("VM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    found = run()
    assert found["traces"] and found["written"] == 0 and "set VM_CACHE" in caplog.text


def test_a_relative_cache_stays_where_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VM_CACHE", "here")
    with machine_of(program()) as machine:
        machine.run()
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert only(tmp_path / "here" / "code") and not list(Path.cwd().iterdir())


def test_a_folder_that_is_exchanged_when_it_was_looked_at(cold, folder, monkeypatch):
    """The file is looked for in the one that was."""
    check_owner = code_cache.check_owner

    def exchange(path: Path, *rest) -> None:
        check_owner(path, *rest)
        if path == folder:
            folder.rename(folder.with_name("moved"))
            folder.mkdir()
            monkeypatch.setattr(code_cache, "check_owner", check_owner)

    monkeypatch.setattr(code_cache, "check_owner", exchange)
    with machine_of(program()) as machine:
        assert machine.stats()["code_cache"]["outcome"] == "warm"


def test_an_image_of_another_compiler_or_none():
    with machine_of(program()) as machine:
        machine.run()
        machine._native.share_code()
        image = image_of(machine._native.shared_code[-1], machine.compiler)
        other = vm.Machine(memory="1M", engine="jit", settings=vm.Settings(switches={"grouping": False}))
        with other, pytest.raises(ValueError, match="other parts"):
            layer_of(image, other.compiler)
        for wrong in (b"", image[:100], image[:-1], image + b"x", bytes(len(image)), b"\xff" * len(image)):
            with pytest.raises(ValueError):
                layer_of(wrong, machine.compiler)


def test_code_without_relocations_has_no_image():
    with vm.Machine(memory="1M", engine="jit", settings=vm.Settings(hot=2)) as machine:
        machine.load(program())
        machine.run()
        machine._native.share_code()
        assert image_of(machine._native.shared_code[-1], machine.compiler) is None
    assert JitCompiler(relocatable=True).traces() == []


# --- Many processes, many guests -------------------------------------------------------------------------------------

def test_two_processes_at_once(folder):
    script = ("from tests import test_code_cache as t; t.code_cache.WORTH_NS = 0; found = t.run(); "
              "print(hash(found['state'][-1][2]))")
    environment = child_environment({})
    children = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
                for _ in range(4)]
    results = [child.communicate()[0] for child in children]
    assert not any(child.returncode for child in children)
    warm = run()
    assert warm["outcome"] == "warm" and warm["traces"] == 0
    assert set(results) == {f"{hash(warm['state'][-1][2])}\n"}


def test_a_file_that_came_meanwhile_stays(folder):
    with machine_of(program()) as machine:
        machine.run()
        run()
        before = only(folder).stat().st_ino
    assert only(folder).stat().st_ino == before


def test_the_one_used_longest_ago_goes(folder, monkeypatch):
    names = []
    for added in (1, 2, 3):
        run(program(added=added))
        (new,) = {path.name for path in folder.iterdir()} - set(names)
        names.append(new)
        os.utime(folder / new, (added, added))
    run(program(added=1))                                               # which was used now
    monkeypatch.setattr(code_cache, "LIMIT", sum(path.stat().st_size for path in folder.iterdir()))
    run(program(added=4))
    assert not (folder / names[1]).exists() and (folder / names[0]).exists() and (folder / names[2]).exists()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= code_cache.LIMIT


def test_what_is_no_file_does_not_stand_in_the_way_of_the_limit(cold, folder, monkeypatch):
    old = only(folder)
    os.utime(old, (2, 2))
    (folder / "someone's").mkdir()
    os.utime(folder / "someone's", (1, 1))
    monkeypatch.setattr(code_cache, "LIMIT", 1)
    assert run(program(added=2))["outcome"] == "cold"
    assert not old.exists() and (folder / "someone's").is_dir()


def test_a_file_holds_only_so_much(cold, folder, monkeypatch):
    only(folder).unlink()
    monkeypatch.setattr(code_cache, "MOST_BYTES", 100)
    assert run()["written"] == 0 and list(folder.iterdir()) == []


@pytest.fixture(autouse=True)
def no_leftovers(folder) -> Iterator[None]:
    yield
    if folder.is_dir():
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
