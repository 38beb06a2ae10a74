"""What a run can say of the reporting checklists, and what only its authors can.

`items.csv` lists the items of CLAIM 2024, TRIPOD+AI and a model card: which facts
answer each, and what remains for the authors. Facts are read, never supposed.
"""
