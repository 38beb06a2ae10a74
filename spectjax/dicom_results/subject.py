"""What results are about: views of one study, what was found, and by which model."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, NuclearMedicineImageStorage, generate_uid

import spectjax
from spectjax.dicom_results.header import PLACE, Header
from spectjax.imaging.diagnosis import METASTASIS
from spectjax.imaging.dicom.whole_body import MAKER
from spectjax.system.messages import UserError, make_printable
from spectjax.tasks.hotspots.drafting import name_model
from spectjax.tasks.views import Finding, MarkedHotspot, ModelInfo, SeenView

if TYPE_CHECKING:
    from spectjax.bones.burden import Burden

_DIGEST_LETTERS = 12  # of 64, to tell models apart at a glance


def make_uid(*parts: str) -> UID:
    """Returns the UID that belongs to `parts`, the same at any time and place."""
    return generate_uid(entropy_srcs=["\0".join((MAKER, *parts))])


def shorten(text: str, most: int = 64) -> str:
    """Returns a text for an element of `most` letters: printable, no backslash."""
    return make_printable(text).replace("\\", "/")[:most].strip()


def say_score(score: float) -> str:
    """Returns a score in two digits, and never a certainty that is none."""
    return "> 0.99" if score > 0.99 else "< 0.01" if score < 0.01 else f"{score:.2f}"


@dataclass(frozen=True)
class Model:
    """What marked the hotspots.

    Attributes:
        name: tells it from others, at most 64 letters.
        version: of the software, and which weights.
        uid: of the weights: another one for each model that was trained.
    """

    name: str
    version: str
    uid: UID

    @classmethod
    def of(cls, info: ModelInfo) -> "Model":
        """Returns what identifies a model.

        Raises:
            UserError: if it does not say which weights it has.
        """
        members = info.get("members", [info])
        digests = [str(each.get("parameters_sha256") or "") for each in members]
        if not all(digests):
            raise UserError(
                "--dicom_dir: expected a model that knows the digest of its weights, "
                "found one without: results of two models could not be told apart. "
                "Export the model again, or name the run."
            )
        combined = (str(info.get("ensemble", "")), *digests)
        shown = digests[0] if len(digests) == 1 else make_uid(*combined)[-12:]
        return cls(
            shorten(f"{MAKER} {name_model(info)}"),
            shorten(f"{spectjax.__version__} weights {shown[:_DIGEST_LETTERS]}"),
            make_uid("weights", *combined),
        )


@dataclass(frozen=True)
class Subject:
    """One view of a study and what was found in it.

    Attributes:
        seen: the view.
        finding: what is said of it.
        header: of its file.
        title: names it among the views of the study, such as "anterior".
        model: what said it.
    """

    seen: SeenView
    finding: Finding
    header: Header
    title: str
    model: Model

    @property
    def hotspots(self) -> tuple[MarkedHotspot, ...]:
        """What was marked; nothing by a classifier."""
        return self.finding.hotspots or ()

    @property
    def document(self) -> dict[str, Any]:
        """What the view's JSON says."""
        return self.finding.document

    @property
    def summary(self) -> str:
        """What was found, in lines; a doubt of the crop comes first."""
        doubt = "CROP IN DOUBT, NO READING." * self.seen.in_doubt
        if self.finding.hotspots is not None:
            n = len(self.hotspots)
            found = f"{n or 'no'} hotspot{'' if n == 1 else 's'} marked"
        elif self.seen.in_doubt:  # as in the report: no class, and no probability
            found = "class by the model: indeterminate"
        else:
            said = self.document["diagnosis"]
            found = f"class by the model, no diagnosis: {said['label']},\n"
            probability = say_score(said["probability"])
            found += f"probability of its class {METASTASIS} {probability}"
        return f"{self.title.upper()}: {doubt}\n{found}"

    @property
    def comments(self) -> tuple[str, ...]:
        """What was found in a sentence, and reasons to doubt it."""
        said = [self.document["statement"]] if "statement" in self.document else []
        return *said, *self.document["warnings"], *self.header.notes

    @property
    def counts(self) -> np.ndarray:
        """Counts of the whole frame, (H, W)."""
        return self.seen.thorax.scan.counts

    @property
    def sides(self) -> tuple[str, str]:
        """Which side of the patient is left and right in the image, in doubt with `?`.

        An image is as the camera saw it: a posterior view is no mirror image.
        """
        scan = self.seen.thorax.scan
        doubt = "?" * scan.has_weak_view
        left, right = ("R", "L") if scan.view == "anterior" else ("L", "R")
        return left + doubt, right + doubt

    @property
    def frame_numbers(self) -> list[int] | None:
        """The number of its frame, from 1; None where the file has no other."""
        return [self.seen.thorax.scan.frame + 1] if self.header.n_frames > 1 else None

    def track(self, number: int) -> tuple[str, UID]:
        """Returns name and UID of a hotspot, numbered from 1, in all results."""
        mask = np.packbits(self.hotspots[number - 1].mask).tobytes().hex()
        uid = make_uid("hotspot", *self._identify(), str(number), mask)
        return f"{self.title} {number}", uid

    def track_view(self) -> tuple[str, UID]:
        """Returns name and UID of what was read of the view."""
        return f"{self.title} view", make_uid("view", *self._identify())

    def _identify(self) -> tuple[str, ...]:
        frame = str(self.seen.thorax.scan.frame)
        instance = str(self.header.dataset.SOPInstanceUID)
        return instance, frame, str(self.model.uid), spectjax.__version__


@dataclass(frozen=True)
class Study:
    """The views of one study, and what else a reader must know.

    Attributes:
        subjects: at least one.
        passed_over: why files and views of it were not used, a sentence each.
        moment: date and time that stand in all its results.
        burden: the index of its views; None if nobody asked for it.
    """

    subjects: tuple[Subject, ...]
    passed_over: tuple[str, ...]
    moment: tuple[str, str] = field(kw_only=True)
    burden: "Burden | None" = field(default=None, kw_only=True)

    @property
    def first(self) -> Subject:
        """Patient and study of all results are those of its file."""
        return self.subjects[0]

    def track_index(self, title: str) -> tuple[str, UID]:
        """Returns name and UID of the index of all its views."""
        views = [uid for subject in self.subjects for uid in subject.track_view()]
        return title, make_uid("index", title, *views)

    @property
    def model(self) -> Model:
        """What said it all."""
        return self.first.model

    @property
    def files(self) -> list[Dataset]:
        """The headers of the files, each once."""
        return list(
            {id(s.header.dataset): s.header.dataset for s in self.subjects}.values()
        )

    def place(self, file: Dataset) -> Dataset:
        """Returns the header of one of the files, with the first's patient and study.

        So that no two results of a study contradict each other. Its class is one that
        highdicom knows, whatever the file's: `stamp` puts that into references.
        """
        header = copy.deepcopy(self.first.header.dataset)
        own = copy.deepcopy(file)
        for keyword in PLACE:
            if keyword in header:
                del header[keyword]
            if keyword in own:
                header[keyword] = own[keyword]
        header.SOPClassUID = NuclearMedicineImageStorage
        return header

    @property
    def synthetic(self) -> bool:
        """Whether a view of it is simulated."""
        return any(s.seen.thorax.scan.synthetic for s in self.subjects)

    @property
    def unread(self) -> tuple[str, ...]:
        """Sentences on what of the study nothing is said about."""
        views = {subject.seen.thorax.scan.view for subject in self.subjects}
        missing = [view for view in ("anterior", "posterior") if view not in views]
        return (
            *(f"No {view} view was read: nothing is said of it." for view in missing),
            *(f"Not used: {sentence}" for sentence in self.passed_over),
        )


def name_views(views: Sequence[str]) -> Iterator[str]:
    """Yields a name for each view: itself, and a number where there are several."""
    for i, view in enumerate(views):
        total, so_far = views.count(view), views[: i + 1].count(view)
        yield view if total == 1 else f"{view} no. {so_far}"
