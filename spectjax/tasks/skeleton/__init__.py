"""Which bone each pixel of a whole-body scan belongs to."""
