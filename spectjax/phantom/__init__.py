"""Simulated bone scans: patients, camera, readers and the files they leave.

`simulate_patient` gives one patient in memory, `write_phantom` a folder of them.
"""

from spectjax.phantom.patient import (
    SimulatedPatient,
    SimulatedView,
    simulate_patient,
)
from spectjax.phantom.population import (
    VERSION,
    PhantomError,
    write_phantom,
)
from spectjax.phantom.slots import POPULATIONS, Slot, count_patients, draw_slots

__all__ = [
    "POPULATIONS",
    "VERSION",
    "PhantomError",
    "SimulatedPatient",
    "SimulatedView",
    "Slot",
    "count_patients",
    "draw_slots",
    "simulate_patient",
    "write_phantom",
]
