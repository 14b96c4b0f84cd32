"""Sampling profiles of a guest, in guest time: cutting runs, walking stacks, and the files that others read."""
