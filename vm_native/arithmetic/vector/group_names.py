"""The operations on groups of elements (groups.pyx), in the order of their numbers. Data: generators import it."""

GROUP_OPERATIONS = (
    "aesem", "aesef", "aesdm", "aesdf", "aesz", "aeskf1", "aeskf2", "gmul", "ghsh", "sha2ms", "sha2ch", "sha2cl",
    "sm3me", "sm3c", "sm4r", "sm4k",
)  # fmt: skip
