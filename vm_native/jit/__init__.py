"""Engine 1: hot blocks become x86-64 machine code."""
