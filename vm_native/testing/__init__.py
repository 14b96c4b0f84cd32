"""What tests and benchmarks reach the core through. Not in wheels."""
