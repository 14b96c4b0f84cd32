"""The vector extension: vector code beside scalar code of ours, beside QEMU, and beside the host's own AVX2.

The programs are those of vm/bench/guests/vectors. Start-up is subtracted. What a QEMU does not have is left out.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

from vm.bench.contenders import MEMORY_MIB, contender, qemu
from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.guests.build import EMPTY, VECTORS, build_hosted, elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.processes import in_child, timed
from vm.bench.rows.programs import LEAST_SECONDS, startup
from vm.bench.variants import without
from vm.engine import Engine
from vm_native.jit.compiler import instruction_sets

ISA = "default_v_zvbb_zvkn"
QEMU_CPU = "rv64,v=true,vext_spec=v1.0,vlen=128"
MORE_OF_QEMU = {"sha256": ",zvkb=true,zvknha=true"}     # what a program asks for besides; its command line says if not
EVERYTHING: Mapping[str, str] = {}                       # of the compiler is on
NO_SUCH_PROPERTY = "not found"
QUICK = ("axpy", "utf8")
SCALAR, NATIVE = Claim(1, "at least 1x"), Claim(0.25, "at least 25%")


def rows(quick: bool) -> Iterator[Row]:
    engine = best_engine()
    rounds = 1 if quick else 5
    for name in QUICK if quick else VECTORS:
        own = partial(ours, engine, f"vector_{name}")
        yield Row("vectors", f"{name}, scalar", f"{engine}, scalar code", f"{engine}, vector code",
                  in_turn(partial(ours, engine, f"scalar_{name}"), own, rounds), claim=SCALAR, group="scalar code")
        yield Row("vectors", f"{name}, QEMU", "qemu, vector code", f"{engine}, vector code",
                  beside_qemu(name, own, 1 if quick else 2), group="QEMU")
        yield Row("vectors", f"{name}, native", "native AVX2 code", f"{engine}, vector code",
                  beside_native(name, own, rounds), claim=NATIVE, group="native AVX2 code")
        if not quick:
            yield Row("vectors", f"{name}, AVX-512", f"{engine}, by AVX2", f"{engine}, by AVX-512",
                      beside_avx2(f"vector_{name}", own, rounds), group="what AVX-512 brings")


def beside_qemu(name: str, own: Callable[[], float], rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        if missing := contender("qemu").missing():
            raise NotBuilt(missing)
        yield from in_turn(partial(on_qemu, name), own, rounds)()
    return pairs


def beside_native(name: str, own: Callable[[], float], rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        if missing := contender("native").missing():
            raise NotBuilt(missing)
        if not instruction_sets()["AVX2"]:
            raise NotBuilt("this CPU has no AVX2")
        yield from in_turn(partial(native, name), own, rounds)()
    return pairs


def beside_avx2(program: str, own: Callable[[], float], rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        if best_engine() != "jit" or not instruction_sets()["AVX-512"]:
            raise NotBuilt("this CPU has no AVX-512")
        yield from in_turn(partial(ours, "jit", program, without("avx512")), own, rounds)()
    return pairs


def ours(engine: Engine, program: str, environment: Mapping[str, str] = EVERYTHING) -> float:
    result = run_ours(engine, program, environment)
    return max(result - our_startup(engine), LEAST_SECONDS)


def run_ours(engine: Engine, program: str, environment: Mapping[str, str] = EVERYTHING) -> float:
    result = in_child({"do": "run", "engine": engine, "program": str(elf(program)), "memory": f"{MEMORY_MIB}M",
                       "isa": ISA}, dict(environment))
    if result["reason"] != "power-off":
        raise RunFailed(f"vm: {program}: {result['stop']}\n{result['output']}")
    return float(result["seconds"])


@cache
def our_startup(engine: Engine) -> float:
    return min(run_ours(engine, EMPTY) for _ in range(3))


def on_qemu(name: str) -> float:
    try:
        run = qemu(["-cpu", QEMU_CPU + MORE_OF_QEMU.get(name, ""), "-m", f"{MEMORY_MIB}M", "-bios", "none",
                    "-kernel", elf(f"vector_{name}")])
    except RunFailed as error:
        if name in MORE_OF_QEMU and NO_SUCH_PROPERTY in str(error):
            raise NotBuilt(f"this QEMU does not have what {name} is made of") from error
        raise
    return max(run.seconds - startup("qemu"), LEAST_SECONDS)


def native(name: str) -> float:
    return max(timed([build_hosted(name, "avx2", "vectors")]).seconds - startup("native"), LEAST_SECONDS)
