"""Choose the pairs of uops that the interpreter fuses: `python -m benchmarks.fusion`, then build again.

Counts which uops follow each other in a block while the Debian kernel boots, while busybox does some work on it, and in
the benchmark programs of vm/bench. Each of these weighs the same, whatever its length. The most frequent pairs go into
vm_native/ir/pairs.txt, where one whose second uop uses the result of the first counts as a pair of its own.
`--without NAME` leaves a program out, to see what the choice is worth for a program that it does not know.
"""

from collections import Counter
from collections.abc import Iterator

import click

from vm.bench.guests.build import PROGRAMS, elf
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, userspace_initrd
from vm.machine import Machine
from vm.settings import Settings
from vm_native.ir.pairs import PAIRS_FILE, PASSED, Pair, make_pair, may_begin, may_end
from vm_native.ir.uops import UOPS
from vm_native.testing.neighbours import take_counts

HEADING = "# Written by `python -m benchmarks.fusion`: the most frequent first."
ROWS = {row.name: row for row in UOPS}
COUNTING = Settings(hot=2**32 - 1)       # every block is interpreted for ever, and its uses are counted
STEPS = 30_000_000              # of a benchmark program: by then it is at what it does most
FILES = "cd /tmp; head -n 20000 /proc/kallsyms > text; head -c 300000 /bin/busybox > binary; ls -lR /sys/devices > list"
COMMANDS = {
    "gzip": "busybox gzip -k text; busybox gunzip -c text.gz > /dev/null",
    "bzip2": "busybox bzip2 -k binary; busybox bunzip2 -c binary.bz2 > /dev/null",
    "hashes": "md5sum text; busybox sha1sum text; sha256sum text; busybox sha512sum text; busybox sha3sum binary",
    "checksums": "busybox cksum text; busybox crc32 text; busybox sum binary",
    "sort": "sort -k3 text > sorted; busybox sort -n list | uniq -c | busybox comm - sorted > /dev/null",
    "awk": """busybox awk '{ count[$2]++; length_of[$3] += length($3) } END { for (k in count) print k, count[k] }' text
        busybox awk 'BEGIN { for (i = 1; i < 30000; i++) { s += sin(i) * sqrt(i) / (i % 7); t += i ^ 2 } print s }'""",
    "sed": "sed -e 's/[0-9a-f]\\{4\\} [tT] \\(.*\\)_init/\\1/' -e '/^0/d' text > /dev/null",
    "grep": "grep -c 'f.*_i[a-f]*t$' text; busybox grep -F -c percpu text; busybox fgrep -i -c CPU list",
    "shell": "i=0; while [ $i -lt 10000 ]; do case $i in *7) j=$((j + i * 3 % 9)) ;; esac; i=$((i + 1)); done; echo $j",
    "processes": "i=0; while [ $i -lt 30 ]; do (ls -l /proc/self | cat; ps) > /dev/null; i=$((i + 1)); done",
    "files": "busybox find / -xdev | busybox cpio -o -H newc 2>/dev/null | busybox tr a-z A-Z | busybox wc",
    "tar": "busybox tar cf - text list | busybox tar tvf -; dd if=/dev/zero of=zero bs=64k count=200 2>/dev/null",
    "numbers": "busybox factor 18446744073709551557 1000000016000000063; seq 1 9000 | busybox shuf | sort -n | tail -1",
    "dump": "busybox hexdump -C binary | tail -1; busybox od -x binary | tail -1; busybox base64 binary | tail -1",
    "diff": "sed 's/ T / t /' text > other; busybox diff text other | wc",
}

Counts = Counter[tuple[str, str, int]]


def guest_counts() -> Iterator[tuple[str, Counts]]:
    for program in PROGRAMS:
        with Machine(memory="128M", engine="jit", settings=COUNTING) as machine:
            machine.load(elf(program))
            machine.run(instructions=STEPS)
            counts = Counter(take_counts(machine._native))
        yield program, counts


def linux_counts() -> Iterator[tuple[str, Counts]]:
    with Machine(engine="jit", settings=COUNTING) as machine:
        machine.boot(debian_kernel(), initrd=userspace_initrd("exec sh"), cmdline=QUICK_CMDLINE)
        shell = machine.shell()
        yield "boot", Counter(take_counts(machine._native))
        shell.run(FILES)
        take_counts(machine._native)
        for command, text in COMMANDS.items():
            shell.run(text)
            yield command, Counter(take_counts(machine._native))


def fusible(counts: Counts) -> dict[Pair, float]:
    """The share that each pair which can be fused has in all pairs of a run."""
    shares: Counter[Pair] = Counter()
    total = counts.total()
    for (first, second, relation), count in counts.items():
        if may_begin(ROWS[first]) and may_end(ROWS[second]):
            passed = (None, *PASSED)[relation]
            if "rd" not in ROWS[first].operands or passed not in ROWS[second].operands:
                passed = None                   # the fields say so, but one of the uops does not use its field
            shares[make_pair(ROWS[first], ROWS[second], passed)] += count / total
    return shares


@click.command()
@click.option("--pairs", "limit", default=1024, show_default=True, help="How many to choose.")
@click.option("--without", multiple=True, metavar="NAME", help="A program that does not count.")
def main(limit: int, without: tuple[str, ...]) -> None:
    """Count pairs of uops, choose those to fuse, and write them down."""
    total: Counter[Pair] = Counter()
    shares = {}
    for name, counts in (*guest_counts(), *linux_counts()):
        shares[name] = fusible(counts)
        if name not in without:
            total.update(shares[name])
    chosen = [pair for pair, _ in total.most_common(limit)]
    PAIRS_FILE.write_text("\n".join([HEADING, *map(str, chosen), ""]))
    for name, found in shares.items():
        click.echo(f"{name:12} {sum(found.get(pair, 0) for pair in chosen):6.1%} of all neighbours can be fused")


if __name__ == "__main__":
    main()
