"""Mutations must still apply: rules name texts of the sources, which change."""

from random import Random

import pytest

from tests.conformance.mutate import ROOT
from tests.conformance.mutations import INSTRUCTIONS, RULES, break_row
from vm_native.riscv import instructions
from vm_native.riscv.instructions import ROWS


@pytest.mark.parametrize("mutation", RULES, ids=lambda mutation: mutation.name)
def test_text_of_a_rule_stands_once(mutation):
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new


def test_broken_row_differs():
    """Appended to the table, the lines leave another row in its place."""
    random = Random(1)
    for row in ROWS:
        mutation = break_row(row, random)
        rows, by_name = list(ROWS), {row.name: row}
        exec(mutation.new, {**vars(instructions), "ROWS": rows, "BY_NAME": by_name})
        assert mutation.file == INSTRUCTIONS and not mutation.old
        assert rows[ROWS.index(row)] is by_name[row.name] and by_name[row.name] != row
