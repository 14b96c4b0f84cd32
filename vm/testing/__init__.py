"""What guests are tested and measured with."""
