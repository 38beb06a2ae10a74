"""`python -m spectjax.imaging.phantom` still works; it is `spectjax.phantom` now."""

import runpy

if __name__ == "__main__":
    runpy.run_module("spectjax.phantom", run_name="__main__", alter_sys=True)
