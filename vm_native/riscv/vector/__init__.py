"""The vector extension: what its instructions demand of their operands, and how they reach registers and memory."""
