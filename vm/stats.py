"""What a machine counts, as `Machine.stats` hands it out."""

from __future__ import annotations

from typing import Any


def summary(counters: dict[str, Any], steps: int) -> dict[str, Any]:
    """The counters of the core, with what follows from them; `steps` are the machine's so far."""
    found = {"steps": steps, **counters}
    if "jit" in found:
        jit = dict(found["jit"])
        jit["compiled"] = 1 - jit["interpreted"] / steps if steps else 0.0
        jit["pauses_ns"] = distribution(jit["pauses_ns"])
        found["jit"] = jit
    return found


def distribution(values: list[int]) -> dict[str, int]:
    """How many there are, and the median, the 99th percentile (nearest rank) and the greatest; 0 for none."""
    ranked = sorted(values) or [0]
    return {"count": len(values), "p50": ranked[(len(ranked) - 1) // 2], "p99": ranked[-(-len(ranked) * 99 // 100) - 1],
            "max": ranked[-1]}
