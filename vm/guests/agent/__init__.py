"""The agent: a program for Linux guests that does what the host asks of it, over a virtio socket. Built by build.py."""

from pathlib import Path

AGENT = Path(__file__).resolve().parent / "vm-agent"
