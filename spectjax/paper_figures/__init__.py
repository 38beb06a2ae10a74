"""The figures of [P1]: clusters, segmentations and overlays of a finished run."""
