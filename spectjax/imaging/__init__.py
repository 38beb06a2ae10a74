"""From files to images; nothing here knows of JAX or of a data set.

The rooms, each importing from those before it: what lies here (scan, identity,
diagnosis, ...); dicom and thorax; annotations; intake and listed; deidentify.
"""
