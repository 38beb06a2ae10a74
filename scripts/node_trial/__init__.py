"""What `scripts/try_node.py` sets against a node: senders, a PACS, models, disasters.

Nothing here knows of the node but its command line, its configuration and DICOM.
"""
