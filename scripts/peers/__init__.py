"""Networks of other libraries that learn from our data, to compare with."""
