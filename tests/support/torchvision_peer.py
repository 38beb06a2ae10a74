"""torchvision as an oracle, where it is installed."""

import pytest


def require_torchvision():
    """Torchvision with operators that run; skips a test where there is none."""
    pytest.importorskip("torch", reason="PyTorch is the oracle here")
    from benchmarks.torchvision_operators import import_torchvision

    try:
        return import_torchvision()[0]
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"no torchvision, or neither its operators nor a compiler: {error}")
