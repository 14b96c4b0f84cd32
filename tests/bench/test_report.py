"""The report in its forms, and `vm bench`."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks import page as documentation
from vm.bench.measure import Claim, Result, Row, measure
from vm.bench.report import compared, document, geometric_means, lines, page, read, save_plots, tables
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
    row = json.loads(json.dumps(document([result()], quick=True)))["rows"][0]
    wrong = [row | {"ratio": "2x"}, row | {"name": []}, row | {"ratio": 0}, row | {"pairs": 1}, row | {"more": 1}]
    rows = [json.dumps({"rows": [change]}) for change in wrong]
    rows += ['{"rows": [{}]}', '{"rows": 5}', '{"rows": ["x"]}', '{"rows": [{"pairs": []}]}']
    for text in ("{", "{}", "[]", "5", *rows):
        path.write_text(text)
        with pytest.raises(VmError, match=f"^{path}: not a report") as caught:
            read(path)
        assert not re.search("indices|argument|object is", str(caught.value))


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


def test_small_change_is_none_however_steady():
    """0.4% less with quartiles that lie apart is no news; 2% is."""
    (line,) = [line for line in text_of(compared([result(pairs=((1000.0, 500.0),) * 5)],
                                                 [result(pairs=((996.0, 500.0),) * 5)])).splitlines() if "row" in line]
    assert "-0.4%" in line and "slower" not in line
    assert "slower" in text_of(compared([result(pairs=((1000.0, 500.0),) * 5)], [result(pairs=((970.0, 500.0),) * 5)]))


@pytest.mark.parametrize("width", [60, 100])
def test_tables_wrap_and_lose_nothing(width):
    rows = [result("a row with a name of many words", claim=Claim(2, "a long claim of many words"))]
    rows += [missing("another", "a reason that is longer than the column is wide")]
    console = Console(width=width)
    with console.capture() as capture:
        for table in tables(rows):
            console.print(table)
    shown = capture.get()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= width
    columns = zip(*(line.strip("│").split("│") for line in shown.splitlines() if line.startswith("│")), strict=True)
    everything = ["".join(column).replace(" ", "") for column in columns]
    for number, cell in enumerate(lines(rows)[0][0]):
        assert cell.replace(" ", "") in everything[number]


@pytest.mark.parametrize("option", ["--json", "--html", "--plots"])
def test_place_that_cannot_be_written_is_told_before_measuring(option, tmp_path, monkeypatch):
    monkeypatch.setattr("vm.bench.measure.measure", lambda row: pytest.fail("measured"))
    (tmp_path / "file").touch()
    run = CliRunner().invoke(bench, ["--only", "memory", option, str(tmp_path / "file/report")], standalone_mode=False)
    assert isinstance(run.exception, OSError) and run.exception.filename.startswith(str(tmp_path / "file"))


def test_plots_without_matplotlib_are_refused_before_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr("vm.bench.measure.measure", lambda row: pytest.fail("measured"))
    monkeypatch.setattr("vm.bench.report.find_spec", lambda name: None)
    run = CliRunner().invoke(bench, ["--only", "memory", "--plots", str(tmp_path)], standalone_mode=False)
    assert isinstance(run.exception, VmError) and "pip install matplotlib" in str(run.exception)


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


def test_page_of_the_documentation_is_made_of_the_stored_run():
    """`python -m benchmarks.page docs/benchmarks.json` writes it."""
    assert (documentation.DOCS / "benchmarks.md").read_text() == documentation.text()
