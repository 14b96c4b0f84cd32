"""Values in, values out: knows no guest."""
