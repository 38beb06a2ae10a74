"""Why a classifier said so: Grad-CAM maps, and whether they deserve belief."""
