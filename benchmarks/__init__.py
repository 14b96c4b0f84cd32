"""Comparisons and suites for those who work on the machine; `vm bench` is the report for everybody."""
