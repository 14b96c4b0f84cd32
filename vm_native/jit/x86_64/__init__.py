"""All that emits x86-64 machine code."""
