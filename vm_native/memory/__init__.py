"""Guest memory: RAM, the physical address map, translations, and how bytes are copied."""
