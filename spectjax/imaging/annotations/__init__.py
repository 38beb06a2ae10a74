"""Outlines and labels that readers have left: LabelMe files of both kinds, and VOC."""
