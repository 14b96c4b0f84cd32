"""The report in its forms, and `vm bench`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from vm.bench.measure import Claim, Result, Row, measure
from vm.bench.report import compared, document, geometric_means, lines, page, read, save_plots
from vm.cli.bench import bench
from vm.errors import VmError


def result(name: str = "row", pairs=((4.0, 2.0),) * 5, **more) -> Result:
    return measure(Row("subject", name, "theirs", "ours", lambda: pairs, **more))


def text_of(table) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_stored_run_reads_back(tmp_path: Path):
    results = [result(claim=Claim(2, "2x")), result("other", group="a group")]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document(results, quick=True)))
    stored, again = read(path)
    assert again == results
    assert stored["quick"] is True and stored["host"]["cpus"] >= 1


def test_other_files_are_refused(tmp_path: Path):
    path = tmp_path / "run.json"
    for text in ("{", "{}", '{"rows": [{}]}'):
        path.write_text(text)
        with pytest.raises(VmError, match="not a report"):
            read(path)


def test_groups_have_geometric_means():
    results = [result("a", ((2.0, 1.0),), group="g"), result("b", ((8.0, 1.0),), group="g"), result("c", group="h")]
    assert geometric_means(results) == {"subject: g": pytest.approx(4)}


def missing(name: str, note: str) -> Result:
    return Result("subject", name, "theirs", "ours", "s", "", None, "", None, "not built", note)


def test_rows_missing_for_one_reason_are_one_line():
    shown = lines([missing("a", "no JIT"), result("b"), missing("c", "no JIT"), missing("d", "no QEMU")])
    assert [line[0] for line, verdict in shown] == ["b", "a, and 1 more", "d"]
    assert shown[1][0][-1] == "not built: no JIT"


def test_comparison_tells_change_from_noise():
    before = [result("steady", [(2.0, 1.0), (4.0, 1.0)] * 3), result("better"), result("gone")]
    after = [result("steady", [(2.2, 1.0), (4.2, 1.0)] * 3), result("better", ((9.0, 2.0),) * 5), result("new")]
    rows = {line.split("│")[2].strip(): line for line in text_of(compared(before, after)).splitlines() if "│" in line}
    assert "faster" in rows["better"] and "+125.0%" in rows["better"]
    assert "faster" not in rows["steady"] and "slower" not in rows["steady"]
    assert "gone" in rows["gone"] and "new" in rows["new"]


def test_page_shows_every_row_and_escapes():
    results = [result("<a> & b", claim=Claim(3, "3x")), missing("z", "no JIT")]
    text = page(document(results, quick=False), results)
    assert "&lt;a&gt; &amp; b" in text and "refuted" in text and "not built: no JIT" in text


def test_plots_are_written_for_bars_and_sweeps(tmp_path: Path):
    pytest.importorskip("matplotlib")
    results = [result("bar"), *(result(f"{size} bytes", group="sweep", at=size, axis="bytes") for size in (1, 8, 64))]
    names = {path.name for path in save_plots(results, tmp_path)}
    assert names == {"subject.svg", "subject.png", "subject-sweep.svg", "subject-sweep.png"}
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)


def test_command_measures_and_writes(tmp_path: Path):
    files = [tmp_path / "run.json", tmp_path / "run.html"]
    run = CliRunner().invoke(bench, ["--quick", "--only", "memory", "--json", str(files[0]), "--html", str(files[1])],
                             standalone_mode=False)
    assert run.exception is None and run.return_value == 0
    stored, results = read(files[0])
    verdicts = {row.name: row.verdict for row in results}
    assert verdicts["eight loads in 1 KiB, interpreter"] in ("held", "refuted")
    assert "eight loads in 1 KiB, interpreter" in files[1].read_text()
    again = CliRunner().invoke(bench, ["compare", str(files[0]), str(files[0])], standalone_mode=False)
    assert again.exception is None and "+0.0%" in again.output
