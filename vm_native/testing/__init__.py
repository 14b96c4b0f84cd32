"""What tests reach the core through. Not in wheels."""
