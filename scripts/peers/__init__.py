"""Networks of other libraries, to compare ours with."""
