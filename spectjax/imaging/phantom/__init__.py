"""Simulated bone scans: patients, camera, readers and the files they leave.

`simulate_patient` gives one patient in memory, `write_phantom` a folder of them.
"""

from spectjax.imaging.phantom.patient import (
    SimulatedPatient,
    SimulatedView,
    simulate_patient,
)
from spectjax.imaging.phantom.population import (
    VERSION,
    PhantomError,
    draw_layouts,
    write_phantom,
)

__all__ = [
    "VERSION",
    "PhantomError",
    "SimulatedPatient",
    "SimulatedView",
    "draw_layouts",
    "simulate_patient",
    "write_phantom",
]
