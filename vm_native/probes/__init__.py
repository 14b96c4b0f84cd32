"""What watches a machine."""
