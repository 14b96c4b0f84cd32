"""The compiling engine: hot blocks become x86-64 machine code."""
