"""What a run can say of its data: patients, images, partitions, reference standard."""

from collections.abc import Callable, Iterable, Mapping

from spectjax.imaging.diagnosis import NORMAL
from spectjax.reporting.data_set import (
    UNKNOWN,
    DataSet,
    Image,
    count_part,
    count_skips,
    count_words,
)
from spectjax.reporting.facts import Fact, Source, state
from spectjax.reporting.subject import METRICS, Subject
from tfds_spect.example import NO_EVIDENCE
from tfds_spect.names import LEAKING, WHOLE_BODY
from tfds_spect.tfds_spect_dataset_builder import Builder

_METADATA = "data set: metadata.json"
_RECORDS = "data set: records"
_SKIPPED = "data set: skipped.csv"


def describe_origin(subject: Subject) -> Fact:
    """Returns which data set it is, and whether its patients are simulated."""
    data_set, cited = subject.data_set, subject.cite("data.name")
    lines = [_name_population(subject)]
    if data_set is not None:
        originals = data_set.originals
        simulated = sum(each.synthetic for each in originals)
        lines.append(
            f"{data_set.name}: {count_part(data_set.images)}. {simulated} of "
            f"{len(originals)} images are simulated."
        )
        return state(lines, *cited, Source(_RECORDS))
    if subject.shipped is None:
        return state(lines, *cited, missing=_explain("how many patients it has"))
    lines += [
        f"`{each['file']}` learned from {each['trained_on']['images']} images of "
        f"{each['trained_on']['patients']} simulated patients."
        for each in subject.shipped["members"]
    ]
    return state(lines, *cited, Source(subject.config_file, "members[].trained_on"))


def _name_population(subject: Subject) -> str:
    """Returns where the patients of a data set come from, by its name."""
    name = subject.config.data.name
    phantom = Builder.builder_configs[name].phantom
    if phantom is None:
        return f"Data set {name}, of a folder that somebody else filled."
    return (
        f"SYNTHETIC: data set {name}, of simulated patients alone (spectjax.phantom, "
        f"{phantom.patients} patients of the population {phantom.population}, seed "
        f"{phantom.seed})."
    )


def _explain(what: str) -> str:
    """Returns that something is not known since the data set was not read."""
    return f"{what}: the data set was not read"


def describe_acquisition(subject: Subject) -> Fact:
    """Returns views, matrices, pixel sizes and cameras."""
    data_set = subject.data_set
    if data_set is None:
        return Fact(missing=_explain("views, matrices, pixel sizes, cameras"))
    originals = data_set.originals
    sizes = sorted(each.spacing_mm[0] for each in originals if each.spacing_mm)
    told = f"{sizes[0]:.2f} to {sizes[-1]:.2f} mm" if sizes else "unknown"
    unknown = len(originals) - len(sizes)
    cameras = [each.camera for each in originals]
    regions = data_set.metadata.get("regions") or {}
    lines = [
        f"Views: {count_words(each.view for each in originals)}.",
        f"Matrices, rows x columns: {count_words(each.matrix for each in originals)}.",
        f"Size of a pixel: {told}; unknown of {unknown} images.",
        f"Cameras: {count_words(cameras)}.",
    ]
    if regions:
        shown = ", ".join(f"{name} ({number})" for name, number in regions.items())
        lines.append(f"What the images show: {shown}.")
    missing = ""
    if UNKNOWN in cameras:
        missing = f"the camera of {cameras.count(UNKNOWN)} images"
    return state(lines, Source(_RECORDS), Source(_METADATA, "regions"), missing=missing)


def describe_preprocessing(subject: Subject) -> Fact:
    """Returns what is done to an image before a model sees it."""
    lines = [
        "The thorax is cropped from a whole-body view by spectjax.imaging.thorax, at "
        "the file's own pixel size, not resampled, on a canvas of 256x256 pixels; an "
        "image that is a thorax already is not cropped. A crop that its rules doubt is "
        "left out unless a person accepted it or gave a box.",
    ]
    if subject.config.data.name.startswith(WHOLE_BODY):
        lines = [
            "Nothing is cropped: a whole-body view stands in the middle of a canvas of "
            "1024x256 pixels, at the file's own pixel size, not resampled."
        ]
    sources = [Source("spectjax.imaging.thorax")]
    if subject.data_set is not None:
        by_hand = subject.data_set.metadata.get("crops_by_hand") or {}
        lines.append(
            "Crops that a person decided about: "
            f"{count_words(by_hand.values()) or 'none'}."
        )
        sources.append(Source(_METADATA, "crops_by_hand"))
    return state(lines, *sources)


def describe_exclusions(subject: Subject) -> Fact:
    """Returns what preparation left out."""
    data_set = subject.data_set
    if data_set is None:
        return Fact(missing=_explain("what preparation left out"))
    if "n_skipped" not in data_set.metadata:
        return Fact(missing="what preparation left out: the data set is older")
    lines = [
        f"{count_skips(data_set)}.",
        f"Images kept with a warning: {data_set.metadata.get('n_warned', 0)}.",
        "Nothing is imputed: an image without what its use needs is left out.",
    ]
    missing = ""
    if data_set.skips is None and data_set.metadata["n_skipped"]:
        missing = "why: skipped.csv is not beside the data set"
    sources = [Source(_METADATA, "n_skipped"), Source(_METADATA, "n_warned")]
    return state(
        lines, *sources, *[Source(_SKIPPED)] * bool(data_set.skips), missing=missing
    )


def describe_pseudonyms(subject: Subject) -> Fact:
    """Returns what of a patient's identity the data set holds."""
    data_set = subject.data_set
    if data_set is None:
        return Fact(missing=_explain("what it holds of patients' identity"))
    return state(
        "The data set holds keyed hashes in place of patient and acquisition, no name, "
        "no number and no date; text burned into pixels is not looked for.",
        Source(_RECORDS, "patient, source"),
    )


def describe_reference(subject: Subject) -> Fact:
    """Returns where outlines and labels come from."""
    data_set = subject.data_set
    rule = (
        "Where several readers outlined an image, a pixel is of a lesion if more than "
        "half of them marked it, and the image abnormal if more than half called it so."
    )
    if data_set is None:
        return state(rule, missing=_explain("where outlines come from"))
    originals = data_set.originals
    by_label = sum(
        each.evidence == NO_EVIDENCE and each.diagnosis != NORMAL for each in originals
    )
    readers = "SIMULATED readers" if all(x.synthetic for x in originals) else "readers"
    lines = [
        f"Where an image's outlines come from, drawn by {readers}: "
        f"{count_words(each.evidence for each in originals)}.",
        f"Images with metastases that nobody outlined, known by their label alone: "
        f"{by_label}.",
        rule,
    ]
    return state(lines, Source(_RECORDS, "mask_evidence"))


def describe_readers(subject: Subject) -> Fact:
    """Returns how many readers outlined each image, and how far they agree."""
    data_set, what = subject.data_set, "how many readers there were and how they agree"
    if data_set is None:
        return Fact(missing=_explain(what))
    readers = data_set.metadata.get("readers")
    if not readers:
        return Fact(missing=f"{what}: the data set is older than the note of it")
    numbers = ", ".join(
        f"{number} ({images})" for number, images in readers["images_by_number"].items()
    )
    lines = [f"Readers of an image, and of how many images: {numbers}."]
    if readers["n_compared"]:
        lines.append(
            f"Of {readers['n_compared']} images with several readers, all called "
            f"{readers['n_unanimous']} alike, normal or abnormal."
        )
    if readers["dice"] is not None:
        lines.append(
            f"Dice of two readers' outlines in the thorax, mean of {readers['n_dice']} "
            f"images in which either drew any: {readers['dice']:.3f}."
        )
    missing = "" if readers["n_compared"] else "agreement: no image has several readers"
    return state(lines, Source(_METADATA, "readers"), missing=missing)


def describe_splits(subject: Subject) -> Fact:
    """Returns how patients came to their part."""
    data = subject.config.data
    cited = subject.cite("data.name", "data.fold", "data.validation_fold")
    if LEAKING in data.name:
        text = (
            "LEAKING, as in the papers: originals and copies alike were shuffled by a "
            "hash, 70 % train and 30 % are scored."
        )
        return state(text, *cited)
    validating = (
        "no fold validates"
        if data.validation_fold is None
        else f"fold {data.validation_fold} validates"
    )
    text = (
        "Five folds of patients, dealt by diagnosis, then by number of images, then in "
        f"the order of hashes; fold {data.fold} is held out, {validating}, the others "
        "train."
    )
    return state(text, *cited)


def describe_partitions(subject: Subject) -> Fact:
    """Returns how many patients, images and lesions each partition has."""
    data_set, metrics = subject.data_set, subject.metrics
    if data_set is None:
        lines, sources = [], []
        if metrics is not None:
            lines.append(
                f"Scored: {metrics['n_images']} images of {metrics['n_patients']} "
                "patients."
            )
            sources = [Source(METRICS, "n_images"), Source(METRICS, "n_patients")]
        missing = _explain("how many patients and lesions each partition has")
        return state(lines, *sources, missing=missing)
    lines = [
        f"{name}: {count_part(part)}." for name, part in _list_parts(subject, data_set)
    ]
    return state(lines, Source(_RECORDS), *subject.cite("data.fold"))


def _list_parts(
    subject: Subject, data_set: DataSet
) -> Iterable[tuple[str, tuple[Image, ...]]]:
    """Yields what each part is for, and what it holds."""
    splits = subject.splits
    if subject.trained:
        yield f"Training ({splits.train})", data_set.select(splits.train)
    if splits.validation is not None:
        yield f"Validation ({splits.validation})", data_set.select(splits.validation)
    yield f"Held out ({splits.held_out})", data_set.select(splits.held_out)


def describe_cases(subject: Subject) -> Fact:
    """Returns diagnoses and views in each partition."""
    data_set = subject.data_set
    if data_set is None:
        return Fact(missing=_explain("diagnoses and views of each partition"))
    lines = []
    for name, part in _list_parts(subject, data_set):
        originals = [each for each in part if not each.copy]
        lines.append(
            f"{name}, images: {count_words(each.diagnosis for each in originals)}; "
            f"{count_words(each.view for each in originals)}."
        )
    return state(lines, Source(_RECORDS, "diagnosis, view"))


def describe_disjoint(subject: Subject) -> Fact:
    """Returns at which level partitions are apart, as the data set shows it."""
    data_set = subject.data_set
    if data_set is None:
        if LEAKING in subject.config.data.name:
            return state(
                "NOT disjoint: copies of one image, and images of one patient, stand "
                "on both sides.",
                *subject.cite("data.name"),
            )
        return Fact(missing=_explain("whether partitions are disjoint"))
    shared, source = data_set.count_shared(subject.splits), Source(_RECORDS, "patient")
    if shared:
        text = f"NOT disjoint: {shared} of the patients scored were learned from too."
        return state(text, source)
    lines = [
        "Patient: no patient who is scored trains or validates, as the records show.",
        "Preparation, as it is now, refuses one acquisition under two patients, which "
        "it knows by its noise.",
    ]
    return state(lines, source)


def describe_imbalance(subject: Subject) -> Fact:
    """Returns what was done about classes of different frequency."""
    weights = subject.config.class_weights
    text = "The loss has no class weights."
    if weights:
        text = f"The loss weighs the classes by {tuple(weights)}."
    if not subject.trained:
        text = "Nothing is trained, so no class is weighed."
    lines, cited = [text], subject.cite("class_weights", "num_epochs")
    if subject.data_set is None:
        missing = _explain("how frequent the classes are")
        return state(lines, *cited, missing=missing)
    part = subject.data_set.select(subject.splits.train)
    abnormal = [each.diagnosis != NORMAL for each in part]
    original = [each.diagnosis != NORMAL for each in part if not each.copy]
    lines.append(
        f"Of the originals in the training part {sum(original)} of {len(original)} "
        f"show metastases, with the stored copies {sum(abnormal)} of {len(abnormal)}."
    )
    return state(lines, *cited, Source(_RECORDS, "diagnosis"))


DATA_FACTS: Mapping[str, tuple[str, Callable[[Subject], Fact]]] = {
    "origin": ("Data set", describe_origin),
    "acquisition": ("Views, matrices, cameras", describe_acquisition),
    "preprocessing": ("Crop", describe_preprocessing),
    "exclusions": ("What was left out", describe_exclusions),
    "pseudonyms": ("Pseudonyms", describe_pseudonyms),
    "reference": ("Outlines and labels", describe_reference),
    "readers": ("Readers", describe_readers),
    "splits": ("How patients were dealt", describe_splits),
    "partitions": ("Partitions", describe_partitions),
    "cases": ("Cases in each partition", describe_cases),
    "disjoint": ("Whether partitions are disjoint", describe_disjoint),
    "imbalance": ("Frequency of classes", describe_imbalance),
}
