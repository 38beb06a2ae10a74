"""From files to images: DICOM, thorax crop, annotations, geometry and the phantom.

Nothing here knows of JAX or of a data set; numpy arrays come out.
"""
