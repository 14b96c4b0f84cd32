"""Arithmetic on elements of vectors: what they are computed by, and the loops over groups of them."""
