"""Changes of the phantom's DICOM files, for tests."""

import pydicom


def hide_legs(file):
    """Sets the lower part of every frame to 0: the crop is flagged then."""
    dataset = pydicom.dcmread(file)
    pixels = dataset.pixel_array.copy()
    pixels[..., 560:, :] = 0
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(file)
