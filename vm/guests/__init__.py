"""Guest programs of our own: each folder has the source and, beside it, the ELF built from it."""
