"""What this runs on."""

import platform
from pathlib import Path


def cpu_model() -> str:
    """The name that the kernel has for the processor, where it has one."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
