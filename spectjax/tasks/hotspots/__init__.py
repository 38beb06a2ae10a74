"""Hotspots, as pixels or one by one ([P1])."""

# The tasks that mark hotspots; their runs stand in the same tables.
NAMES = ("segmentation", "instance_segmentation")
