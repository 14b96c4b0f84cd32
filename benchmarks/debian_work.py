"""Work under Debian's kernel, ours beside QEMU: `python -m benchmarks.debian_work`.

Each kind of work is done by the init script of a boot as in benchmarks.debian_boot, under OpenSBI and in real time.
What it takes is what a boot with it takes longer than a boot without; the best of some rounds counts for both.
"""

from functools import partial
from itertools import product

import click
from rich.console import Console
from rich.table import Table

from benchmarks.debian_boot import boot_qemu, boot_vm
from vm.bench.contenders import QEMU, not_installed
from vm.bench.errors import RunFailed
from vm.errors import VmError
from vm.images.busybox import debian_kernel, opensbi, userspace_initrd

NOTHING = "nothing"
DONE = "work: done"
WORKS = {
    NOTHING: "",
    # Two processes that wait for each other's bytes: two switches of the address space a turn.
    "context switches": """
busybox mkfifo /tmp/there /tmp/back
(while read x; do echo $x; done) < /tmp/there > /tmp/back &
exec 3> /tmp/there 4< /tmp/back
i=0; while [ $i -lt 40000 ]; do echo $i >&3; read x <&4; i=$((i+1)); done
""",
    "system calls": "dd if=/dev/zero of=/dev/null bs=1 count=2000000 2>/dev/null",
    "processes": "i=0; while [ $i -lt 1000 ]; do /bin/busybox true; i=$((i+1)); done",
    "an interpreter": """
busybox awk 'BEGIN {
    for (i = 0; i < 600000; i++) { words[i % 1009] = words[i % 1013] i % 7; n += length(words[i % 1009]) }
}'
""",
    "compression": "for i in 1 2 3 4 5 6; do busybox gzip -9 < /bin/busybox | busybox gunzip | sha256sum; done",
}


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", type=click.Choice(list(WORKS)[1:]), multiple=True, help="This work; repeatable.")
def main(rounds: int, only: tuple[str, ...]) -> None:
    """Time work under a Linux."""
    if missing := not_installed(QEMU):
        raise click.ClickException(missing)
    kernel, firmware = debian_kernel(), opensbi()["fw_dynamic.bin"]
    machines = {"qemu": partial(boot_qemu, kernel), "jit": partial(boot_vm, kernel, engine="jit", settings={})}
    works = {name: f"{script}\necho '{DONE}'" for name, script in WORKS.items() if name == NOTHING or not only
             or name in only}
    best = dict.fromkeys(product(works, machines), float("inf"))
    for number, (work, machine) in product(range(rounds), best):
        click.echo(f"round {number + 1}: {work}, {machine}", err=True)
        try:
            run = machines[machine](userspace_initrd(works[work]), firmware=firmware)
            if DONE not in run.output:
                raise RunFailed(f"the work is not done\n{run.output[-2000:]}")
        except VmError as error:
            raise click.ClickException(f"{work}, {machine}: {error}") from error
        best[work, machine] = min(best[work, machine], run.seconds)
    table = Table("work", *(f"{name}, s" for name in machines), "times as fast", title="Work under Debian's kernel")
    for work in works:
        theirs, ours = (best[work, name] - (best[NOTHING, name] if work != NOTHING else 0) for name in machines)
        label = "boot and power-off" if work == NOTHING else work
        table.add_row(label, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.2f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
