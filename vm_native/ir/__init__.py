"""The language between front ends and engines: uops and the blocks they stand in."""
