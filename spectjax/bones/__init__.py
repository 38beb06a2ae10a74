"""Which bone a place of a scan belongs to, and how much of the skeleton is involved."""
