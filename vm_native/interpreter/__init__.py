"""The interpreter: uops run one by one by handlers that are generated from the uop table."""
