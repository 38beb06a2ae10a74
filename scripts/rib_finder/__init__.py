"""Training of the network that finds the rib cage."""
