"""Tables of all examinations: a row a hotspot with its bone, and a row an index."""

from pathlib import Path
from typing import Any

from spectjax.bones.burden import VIEWS, Burden
from spectjax.bones.regions import MASSES, NAMES
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import name_files
from spectjax.system.files import format_csv, write_file
from spectjax.system.messages import make_printable
from spectjax.tasks.views import MarkedHotspot, ModelInfo, Reading

BONES, INDEX = "bones.csv", "index.csv"
_BONE_COLUMNS = (
    *("examination", "file", "view", "hotspot", "score", "region", "side"),
    *("area_mm2", "counts", "on_bone", "share", "mirror_ratio", "mirror_note"),
    "in_doubt",
)
_INDEX_COLUMNS = (
    *("examination", "files", "index", "masses", "percent", "low", "high"),
    *VIEWS,
    *("mass_percent", *NAMES, "withheld"),
)


class BoneTables:
    """Writes `bones.csv` and `index.csv`: what is not known is an empty cell."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder to write to."""
        self._folder = folder
        self._bones: list[tuple[Any, ...]] = []
        self._indices: list[tuple[Any, ...]] = []

    def begin(self, task: str, info: ModelInfo) -> None:
        """Does nothing: whether a model marks hotspots is checked before."""

    def write(self, reading: Reading, problems: Problems) -> None:
        """Keeps the rows of an examination."""
        if reading.burden is None:  # a bug, which is told of: nothing is known
            return
        number = len(self._indices) + 1
        for view, finding in reading.views:
            scan = view.thorax.scan
            origin = (number, make_printable(scan.path.name), scan.view)
            for i, hotspot in enumerate(finding.hotspots or (), start=1):
                self._bones.append((*origin, i, *_list_cells(hotspot)))
        files = name_files(view.thorax.scan for view, _ in reading.views)
        self._indices.append((number, files, *_list_numbers(reading.burden)))

    def finish(self) -> None:
        """Writes the tables; without an examination of this run none.

        Raises:
            WriteError: if one cannot be written.
        """
        if not self._indices:
            return
        for name, columns, rows in (
            (BONES, _BONE_COLUMNS, self._bones),
            (INDEX, _INDEX_COLUMNS, self._indices),
        ):
            write_file(self._folder / name, format_csv(columns, rows))


def _list_cells(hotspot: MarkedHotspot) -> tuple[Any, ...]:
    place, entry = hotspot.place, hotspot.entry
    if place is None:
        found = (entry["score"], "", "", entry["area_mm2"], entry["counts"])
        return (*found, "", "", "", "", "no bones were found")
    return (
        entry["score"],
        *(place.region, place.side, entry["area_mm2"], entry["counts"]),
        *(place.on_bone, place.share, place.mirror_ratio, place.mirror_note),
        place.in_doubt,
    )


def _list_numbers(burden: Burden) -> tuple[Any, ...]:
    index = burden.index
    withheld = " ".join(reason.text for reason in burden.reasons)
    if index is None:
        unknown = ("",) * (3 + len(VIEWS) + 1 + len(NAMES))
        return (burden.title, MASSES, *unknown, withheld)
    return (
        *(burden.title, MASSES, index.percent, *(burden.interval or ("", ""))),
        *(index.views[view] for view in VIEWS),
        index.mass_percent,
        *(index.regions.get(name, "") for name in NAMES),
        withheld,
    )
