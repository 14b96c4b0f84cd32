"""Work under Debian's kernel, ours beside QEMU: `python -m benchmarks.debian_work`.

Each kind of work is done by the init script of a boot, under OpenSBI and in real time. What it takes is what a boot
with it takes longer than a boot without, of the same initrd; the best of some rounds counts for both.
"""

import hashlib
import stat
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from benchmarks.debian_boot import boot_qemu, boot_vm
from vm.bench.contenders import QEMU, not_installed
from vm.bench.errors import RunFailed
from vm.errors import VmError
from vm.images import debian
from vm.images.busybox import debian_kernel, opensbi, userspace_init, userspace_initrd
from vm.images.cache import cache_directory, replacing
from vm.images.cpio import cpio_newc

NOTHING = "nothing"
DONE = "work: done"
SETUP = "export PATH=/usr/sbin:/usr/bin; busybox mount -t proc proc /proc; busybox --install -s /usr/bin 2>/dev/null"


class Work(NamedTuple):
    script: str
    packages: tuple[str, ...] = ()      # of Debian's archive, beside busybox
    memory: str = "512M"


WORKS = {
    # Two processes that wait for each other's bytes: two switches of the address space a turn.
    "context switches": Work("""
busybox mkfifo /tmp/there /tmp/back
(while read x; do echo $x; done) < /tmp/there > /tmp/back &
exec 3> /tmp/there 4< /tmp/back
i=0; while [ $i -lt 40000 ]; do echo $i >&3; read x <&4; i=$((i+1)); done
"""),
    "system calls": Work("dd if=/dev/zero of=/dev/null bs=1 count=2000000 2>/dev/null"),
    "processes": Work("i=0; while [ $i -lt 1000 ]; do /bin/busybox true; i=$((i+1)); done"),
    "awk": Work("""
busybox awk 'BEGIN {
    for (i = 0; i < 600000; i++) { words[i % 1009] = words[i % 1013] i % 7; n += length(words[i % 1009]) }
}'
"""),
    "compression": Work("for i in 1 2 3 4 5 6; do busybox gzip -9 < /bin/busybox | busybox gunzip | sha256sum; done"),
    "Perl": Work("""
perl -e '
    for my $i (1 .. 900000) { $words{"w" . $i * 7919 % 10007} .= chr(97 + $i % 26) }
    for my $word (sort keys %words) { $vowels += () = $words{$word} =~ /[aeiou]+/g }
    print "$vowels\n";
'
""", ("perl-base",)),
    "a C compiler": Work("""
i=0; while [ $i -lt 150 ]; do
    echo "int f$i(int *a, int n) { int s = $i; for (int i = 0; i < n; i++) s += a[i] * (s >> 3) ^ i; return s; }"
    i=$((i+1))
done > /tmp/made.c
gcc -O2 -c /tmp/made.c -o /tmp/made.o
""", ("gcc", "libc6-dev"), "2G"),
}


@cache
def initrd_of(packages: tuple[str, ...], script: str, files: tuple[tuple[str, str], ...] = ()) -> Path:
    """That of the benchmarked boot, or with packages Debian's with another init, and with such files in /root."""
    if not packages:
        return userspace_initrd(script)
    init = userspace_init(f"{SETUP}\n{script}", modules=())
    # Of two entries of one name the kernel keeps the later.
    content = debian(packages).initrd.read_bytes() + cpio_newc([
        ("init", stat.S_IFREG | 0o755, init.encode(), (0, 0)),
        *((f"root/{name}", stat.S_IFREG | 0o644, text.encode(), (0, 0)) for name, text in files),
    ])
    path = cache_directory() / "benchmarks" / f"initrd-{hashlib.sha256(content).hexdigest()[:16]}.cpio"
    if not path.exists():
        with replacing(path) as file:
            file.write(content)
    return path


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", type=click.Choice(list(WORKS)), multiple=True, help="This work; repeatable.")
@click.option("--cpu", is_flag=True, help="Measure processor time, not time on the wall: for a busy host.")
def main(rounds: int, only: tuple[str, ...], cpu: bool) -> None:
    """Time work under a Linux."""
    if missing := not_installed(QEMU):
        raise click.ClickException(missing)
    kernel, firmware = debian_kernel(), opensbi()["fw_dynamic.bin"]
    machines = {"qemu": partial(boot_qemu, kernel), "jit": partial(boot_vm, kernel, engine="jit", settings={})}
    works = {name: work for name, work in WORKS.items() if not only or name in only}
    boots = {work.packages: Work("", work.packages, work.memory) for work in works.values()}
    named = {" ".join((NOTHING, *packages)): boot for packages, boot in boots.items()} | works
    best = dict.fromkeys(product(named.values(), machines), float("inf"))
    for number, (name, work), machine in product(range(rounds), named.items(), machines):
        click.echo(f"round {number + 1}: {name}, {machine}", err=True)
        try:
            initrd = initrd_of(work.packages, f"{work.script}\necho '{DONE}'")
            run = machines[machine](initrd, firmware=firmware, memory=work.memory)
            if DONE not in run.output:
                raise RunFailed(f"the work is not done\n{run.output[-2000:]}")
        except VmError as error:
            raise click.ClickException(f"{name}, {machine}: {error}") from error
        best[work, machine] = min(best[work, machine], run.cpu_seconds if cpu else run.seconds)
    table = Table("work", *(f"{name}, s" for name in machines), "times as fast", title="Work under Debian's kernel")
    for name, work in named.items():
        boot = boots[work.packages]
        theirs, ours = (best[work, machine] - (best[boot, machine] if work != boot else 0) for machine in machines)
        table.add_row(name, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.2f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
