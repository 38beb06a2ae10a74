"""Regions that a model marks in images with truth: what scores are fitted on.

The number of images is N, of regions M, of lesions L, of features F, of bins of
log-odds B.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from spectjax.evaluation.batches import Fit, predict_in_batches
from spectjax.imaging.hotspots import Instances, number_regions
from spectjax.input_pipeline import Examples
from spectjax.metrics.lesions import find_meetings, measure_contrast
from spectjax.tasks.hotspots.candidates import (
    Candidate,
    compute_log_odds,
    propose,
    propose_pixel,
)
from spectjax.tasks.hotspots.operation import FEATURES
from spectjax.tasks.hotspots.regions import measure_features
from spectjax.tasks.hotspots.scores import EVIDENT_CONTRAST, EVIDENT_PX

# Of whole-body scans of 256 columns, about 2.4 mm each.
TYPICAL_PIXEL_MM2 = 5.76
# Log-odds of a probability, in steps that are far finer than any bin of a plot.
EDGES = np.linspace(-20, 20, num=801)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


@dataclass(frozen=True)
class RegionCases:
    """Regions of N images beside the lesions.

    Attributes:
        image: index of the region's image, int64, (M,).
        features: see `spectjax.tasks.hotspots.operation.FEATURES`, (M, F).
        mean_log_odds: mean over the region, what ranked it before, (M,).
        area_px: int64, (M,).
        area_mm2: (M,).
        pixel_mm2: area of a pixel of each image, (N,).
        met: whether it meets a lesion, bool, (M,).
        meetings: indices of a region and of a lesion that it meets, int64, (P, 2).
        lesion_image: index of the lesion's image, int64, (L,).
        evident: whether a lesion is large and bright, see `tasks.hotspots.scores`,
            bool, (L,).
        without_lesion: bool, (N,).
        lone: features of the surest pixel of an image without a region, NaN of the
            other images, (N, F).
        answers: how many answers of the model have log-odds in each bin of `EDGES`:
            pixels that show the patient, or instances; true ones, then false ones,
            int64, (2, B).
        patients: pseudonyms, length N.
    """

    image: np.ndarray
    features: np.ndarray
    mean_log_odds: np.ndarray
    area_px: np.ndarray
    area_mm2: np.ndarray
    pixel_mm2: np.ndarray
    met: np.ndarray
    meetings: np.ndarray
    lesion_image: np.ndarray
    evident: np.ndarray
    without_lesion: np.ndarray
    lone: np.ndarray
    answers: np.ndarray
    patients: list[str]

    def __len__(self) -> int:
        """Returns M."""
        return len(self.image)


@dataclass
class RegionCollector:
    """Takes what a model says of images, batch by batch, and keeps its regions.

    Attributes:
        examples: N images with truth, in the order in which they are asked about.
        min_log_odds: see `spectjax.tasks.hotspots.candidates.propose`.
    """

    examples: Examples
    min_log_odds: float = 0.0
    _rows: list[tuple[float, ...]] = field(default_factory=list)
    _features: list[np.ndarray] = field(default_factory=list)
    _meetings: list[np.ndarray] = field(default_factory=list)
    _lesions: list[tuple[int, bool]] = field(default_factory=list)
    _lone: dict[int, np.ndarray] = field(default_factory=dict)
    _answers: np.ndarray = field(
        default_factory=lambda: np.zeros((2, CENTRES.size), np.int64)
    )

    @property
    def _pixel_mm2(self) -> np.ndarray:
        """The area of a pixel of each image, a typical one where it is not known."""
        areas = np.prod(self.examples.spacing_mm.astype(np.float64), axis=1)
        return np.where(np.isfinite(areas), areas, TYPICAL_PIXEL_MM2)

    def add(self, rows: slice, answer: np.ndarray | Instances) -> None:
        """Takes the answer about the images of some rows, and perhaps of more.

        Args:
            rows: which images.
            answer: probabilities, float32, (B, H, W, K), or instances of B images.
        """
        for place, image in enumerate(range(rows.start, rows.stop)):
            if isinstance(answer, Instances):
                said = Instances(*(np.asarray(each)[place] for each in answer))
                candidates = propose(said)
                log_odds = np.array([each.mean_log_odds for each in candidates])
                true = self._compare(image, candidates)
            else:
                candidates = propose(answer[place], None, self.min_log_odds)
                self._compare(image, candidates)
                self._add_lone(image, candidates, answer[place])
                # Outside the patient nothing can be wrong.
                shown = self.examples.images[image, :, :, 0] > 0
                log_odds = -compute_log_odds(answer[place], 0)[shown]
                true = self.examples.masks[image][shown] > 0
            for row, chosen in enumerate((true, ~true)):
                self._answers[row] += np.histogram(
                    np.clip(log_odds[chosen], EDGES[0], EDGES[-1]), EDGES
                )[0]

    def finish(self) -> RegionCases:
        """Returns the regions of all images."""
        columns = np.array(self._rows, np.float64).reshape(-1, 5).T
        lesions = np.array(self._lesions, np.int64).reshape(-1, 2)
        no_features = np.full(len(FEATURES), np.nan)
        meetings = np.concatenate([np.empty((0, 2), np.int64), *self._meetings])
        return RegionCases(
            image=columns[0].astype(np.int64),
            features=np.concatenate([np.empty((0, len(FEATURES))), *self._features]),
            mean_log_odds=columns[1],
            area_px=columns[2].astype(np.int64),
            area_mm2=columns[3],
            pixel_mm2=self._pixel_mm2,
            met=columns[4] > 0,
            meetings=meetings.astype(np.int64),
            lesion_image=lesions[:, 0],
            evident=lesions[:, 1] > 0,
            without_lesion=np.array([not mask.any() for mask in self.examples.masks]),
            lone=np.array(
                [self._lone.get(i, no_features) for i in range(len(self.examples))]
            ),
            answers=self._answers,
            patients=self.examples.patients,
        )

    def _add_lone(
        self, image: int, candidates: Sequence[Candidate], probabilities: np.ndarray
    ) -> None:
        """Keeps what an image without a region is ranked by."""
        if not candidates:
            counts = self.examples.images[image, :, :, 0]
            (self._lone[image],) = measure_features(
                [propose_pixel(probabilities)], counts, self._pixel_mm2[image]
            )

    def _compare(self, image: int, candidates: Sequence[Candidate]) -> np.ndarray:
        """Keeps the regions of an image; returns which of them meet a lesion."""
        counts = self.examples.images[image, :, :, 0]
        pixel_mm2 = self._pixel_mm2[image]
        lesions, n_lesions = number_regions(self.examples.masks[image] > 0)
        planes = np.zeros((len(candidates), *lesions.shape), np.int64)
        for number, (plane, each) in enumerate(zip(planes, candidates, strict=True), 1):
            plane[each.mask] = number
        region, lesion = find_meetings(planes, lesions)
        met = np.isin(np.arange(1, len(candidates) + 1), region)
        first = np.array([len(self._rows), len(self._lesions)])
        self._meetings.append(np.stack([region, lesion], axis=1) - 1 + first)
        self._features.append(measure_features(candidates, counts, pixel_mm2))
        for each, is_met in zip(candidates, met, strict=True):
            area = int(each.mask.sum())
            self._rows.append(
                (image, each.mean_log_odds, area, area * pixel_mm2, is_met)
            )
        for number in range(1, n_lesions + 1):
            large = np.sum(lesions == number) >= EVIDENT_PX
            contrast = measure_contrast(counts, lesions, number)
            self._lesions.append((image, bool(large and contrast >= EVIDENT_CONTRAST)))
        return met


def collect_regions(
    predict: Callable[[np.ndarray], np.ndarray | Instances],
    examples: Examples,
    *,
    batch_size: int,
    levels: Sequence[float] = (0.0,),
    fit: Fit | None = None,
) -> list[RegionCases]:
    """Returns the regions that a model marks in all images.

    Args:
        predict: maps counts (B, H, W, 1) to the model's answer.
        examples: N images with truth.
        batch_size: B.
        levels: log-odds that a region's pixels must exceed.
        fit: see `predict_in_batches`.

    Returns:
        The regions of each level.

    Raises:
        AnswerError: if a probability or a score is not finite.
    """
    collectors = [RegionCollector(examples, level) for level in levels]
    batches = predict_in_batches(
        predict, examples.images, batch_size=batch_size, fit=fit
    )
    for rows, answer in batches:
        # Instances are the same at every level.
        for collector in collectors[: 1 if isinstance(answer, Instances) else None]:
            collector.add(rows, answer)
    return [collector.finish() for collector in collectors]
