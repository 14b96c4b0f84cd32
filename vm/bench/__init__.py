"""What `vm bench` measures: the machine, each thing beside a baseline in the same run."""
