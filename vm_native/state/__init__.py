"""What RAM holds at one moment, as a value: kept, shared between machines, and gone back to."""
