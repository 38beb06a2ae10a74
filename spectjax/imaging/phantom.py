"""`python -m spectjax.imaging.phantom` goes on to work; it is `spectjax.phantom` now."""

import runpy

if __name__ == "__main__":
    runpy.run_module("spectjax.phantom", run_name="__main__", alter_sys=True)
