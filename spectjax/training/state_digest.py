"""The digest of a run's state, written with each checkpoint and compared on reading."""

import concurrent.futures
import hashlib
import json
import sys
from typing import Any

import jax
import numpy as np

_PIECE_BYTES = 2**24  # of an array, hashed by one core


def hash_state(state: Any, document: dict[str, Any]) -> str:
    """Returns the SHA-256 of all arrays of a state and of what is saved beside it.

    Of each array, in the order of their paths: path, dtype and shape, then the digests
    of its bytes (little-endian, last axis fastest) in pieces, which cores share out.
    """
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    leaves = jax.tree_util.tree_leaves_with_path(state)
    named = {"/".join(_name_key(key) for key in path): x for path, x in leaves}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for name, leaf in sorted(named.items()):
            array = np.ascontiguousarray(leaf)
            if sys.byteorder == "big":
                array = array.byteswap()
            digest.update(f"{name} {array.dtype.name} {np.shape(leaf)}\n".encode())
            content = array.reshape(-1).view(np.uint8).data
            starts = range(0, len(content), _PIECE_BYTES)
            pieces = (content[start : start + _PIECE_BYTES] for start in starts)
            for piece in pool.map(lambda x: hashlib.sha256(x).digest(), pieces):
                digest.update(piece)
    return digest.hexdigest()


def _name_key(key: Any) -> str:
    """Returns a key of a tree's path, the same for a dict's and an attribute's."""
    for kind in ("key", "name", "idx"):
        if hasattr(key, kind):
            return str(getattr(key, kind))
    return str(key)
