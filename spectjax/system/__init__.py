"""What commands ask of the machine: files, locks, processes, flags and messages."""
