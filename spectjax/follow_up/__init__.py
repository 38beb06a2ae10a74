"""Two studies of one patient side by side."""
