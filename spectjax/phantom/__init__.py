"""Simulated bone scans: patients, camera, readers and the files they leave.

`simulate_patient` gives one patient in memory, `write_phantom` a folder of them.
"""

from typing import TYPE_CHECKING

from spectjax.system.lazy import export_lazily

if TYPE_CHECKING:
    from spectjax.phantom.patient import (
        SimulatedPatient,
        SimulatedView,
        simulate_patient,
    )
    from spectjax.phantom.population import VERSION, PhantomError, write_phantom
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
__getattr__ = export_lazily(
    __name__,
    {
        "patient": ["SimulatedPatient", "SimulatedView", "simulate_patient"],
        "population": ["PhantomError", "VERSION", "write_phantom"],
        "slots": ["POPULATIONS", "Slot", "count_patients", "draw_slots"],
    },
)
