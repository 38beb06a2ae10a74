"""The images that models take: their size. No other module is needed for it."""

# What is cropped out of a whole body, and takes a thorax whole; [P1] and [P2].
CANVAS_HW = (256, 256)
# What takes a whole body whole: the frames of most cameras.
FRAME_HW = (1024, 256)
# Both views of an examination side by side, see `spectjax.bones.sheet`.
SHEET_HW = (512, 256)
# What such an image shows, beside the names of `spectjax.imaging.scan.REGIONS`.
WHOLE_FRAME = "whole_frame"
