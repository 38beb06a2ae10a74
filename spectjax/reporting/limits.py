"""What a reader of a run's numbers has to know before any other thing."""

from collections.abc import Iterable, Iterator

from spectjax.config import describe_differences, parse_config
from spectjax.inference.metadata import OPERATION
from spectjax.reporting.facts import Fact, Source, state
from spectjax.reporting.subject import METRICS, Subject
from tfds_spect.names import LEAKING, PHANTOM

_Limit = tuple[str, Iterable[Source]]


def find_limits(subject: Subject) -> Fact:
    """Returns what there is to doubt, a line each."""
    found = [
        *_find_in_data(subject),
        *_find_in_training(subject),
        *_find_in_scores(subject),
    ]
    return state([text for text, _ in found], *(s for _, many in found for s in many))


def _find_in_data(subject: Subject) -> Iterator[_Limit]:
    name, cited = subject.config.data.name, subject.cite("data.name")
    data_set, metrics = subject.data_set, subject.metrics
    simulated = (
        name.endswith(PHANTOM)
        or (metrics is not None and metrics["data"]["synthetic"])
        or (data_set is not None and any(x.synthetic for x in data_set.images))
    )
    if simulated and subject.shipped is None:
        yield "SYNTHETIC: simulated patients; it says nothing about real ones.", cited
    elif simulated:
        yield "SYNTHETIC: it learned from simulated patients alone.", cited
    if LEAKING in name:
        text = "LEAKING: patients stand on both sides; scores say little of new ones."
        yield text, cited
    if subject.shipped is not None:
        return
    if data_set is None:
        yield "The data set was NOT READ: name its folder with --data_dir.", ()
    elif subject.config.data.fingerprint is None:
        text = (
            "That the data set is the one that it learned from was NOT CHECKED: the "
            "run is older than fingerprints."
        )
        yield text, subject.cite("data.fingerprint")


def _find_in_training(subject: Subject) -> Iterator[_Limit]:
    config = subject.config
    if not subject.finished:
        text = f"NOT FINISHED: {len(subject.log)} of {config.num_epochs} epochs."
        yield text, [Source("train.csv", "epoch")]
    if subject.trained and config.data.validation_fold is None:
        text = (
            "No fold validates: settings and thresholds met no patients of their own."
        )
        yield text, subject.cite("data.validation_fold")
    for number, member in enumerate((subject.shipped or {}).get("members", [])):
        other = parse_config(member["config"], subject.config_file)
        differences = describe_differences(other, config)
        if differences:
            text = (
                "What is said of training is of the first member; "
                f"`{member['file']}` differs in {'; '.join(differences)}."
            )
            yield text, [Source(subject.config_file, f"members[{number}].config")]


def _find_in_scores(subject: Subject) -> Iterator[_Limit]:
    if subject.shipped is None and subject.metrics is None:
        yield "NOT SCORED: there are no scores of this run.", [Source(METRICS)]
    operation = subject.operation if subject.trained else None
    if operation is not None and operation.measured_on["learnt_from"]:
        text = "Operating points were measured on patients who trained it: too good."
        yield text, [Source(f"eval/{OPERATION}", "measured_on.learnt_from")]
    if not subject.evaluations:
        yield "No data of elsewhere: no --evaluation was named.", ()
    for number, each in enumerate(subject.evaluations, start=1):
        if each.metrics["data"]["synthetic"]:
            text = f"Evaluation {number} is of SYNTHETIC patients."
            yield text, [Source(each.file, "data.synthetic")]
