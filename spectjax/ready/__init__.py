"""The model that ships with the package: weights, `model.json`, and its card.

`spectjax.inference.ready` reads them; `python -m spectjax.ready` writes them.
"""
