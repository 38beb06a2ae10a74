"""What a run can say of its model and of how it was trained."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from spectjax.inference.metadata import FORMULAS
from spectjax.inference.start import SHIPPED
from spectjax.reporting.facts import Fact, Source, state
from spectjax.reporting.subject import METRICS, Subject
from spectjax.training.run import describe_network
from spectjax.training.sessions import NAME
from tfds_spect.names import WHOLE_BODY

_LOG = "train.csv"
_ANSWERS = {
    "image": "the probability that an image shows a metastasis",
    "pixels": "for each pixel how probable a hotspot is",
    "instances": "hotspots one by one, each with score, box and mask",
}
_UNTRAINED = "Nothing is trained: the model has no parameters to learn."
_AUGMENTATIONS = {
    "copies": "moved copies of the training images, stored with the data set "
    "(mirrored, translated, turned)",
    "online": "training images moved anew at each step (mirrored, translated, turned)",
}


def describe_technique(subject: Subject) -> Fact:
    """Returns which kind of technique this is, and what it answers."""
    config, answer = subject.config, _ANSWERS[subject.row.answer]
    kind = "Supervised deep learning, a convolutional network"
    if not subject.trained:
        kind = "No learning: a fixed method"
    return state(
        f"{kind} (`{config.model.name}`, task {config.task}). It gives {answer}.",
        *subject.cite("task", "model.name", "num_epochs"),
    )


def describe_architecture(subject: Subject) -> Fact:
    """Returns how large the network is and the fields that make it."""
    config, network = subject.config, describe_network(subject.config)
    fields = ", ".join(
        f"{name}={value}" for name, value in config.model.items() if name != "name"
    )
    height, width = network["image_hw"]
    of_frames = config.data.name.startswith(WHOLE_BODY)
    canvas = "whole frame" if of_frames else "thorax's canvas"
    learned = f"{network['num_parameters']:,} parameters"
    lines = [
        f"`{config.model.name}` of spectjax.models ({fields}): {learned}, "
        f"one channel of counts in; trained on the central {height}x{width} pixels of "
        f"the {canvas}.",
        f"What goes in, from the counts c of an image: "
        f"{FORMULAS[config.data.normalisation]}.",
    ]
    if config.test_mirroring:
        lines.append(
            "Each image is answered as it is and mirrored; the logits are averaged."
        )
    keys = ("model", "data.train_hw", "data.normalisation", "test_mirroring")
    return state(lines, *subject.cite(*keys))


def describe_start(subject: Subject) -> Fact:
    """Returns what the parameters were before training."""
    config = subject.config
    sources = subject.cite("pretrained", "seed", "frozen")
    if not subject.trained:
        return state(_UNTRAINED, *subject.cite("num_epochs"))
    if config.pretrained is None:
        lines = [f"Drawn at random with seed {config.seed}; no weights of before."]
        return state(lines, *sources)
    name, missing = pathlib.Path(config.pretrained).name, ""
    if config.pretrained == SHIPPED:
        lines = [
            "Weights of the model that ships with spectjax, which learned from "
            "simulated patients alone."
        ]
    else:
        lines = [f"Weights from `{name}`."]
        missing = (
            f"what the weights from `{name}` learned from, and whether patients scored "
            "here were among it"
        )
    noted: list[str] = next(
        (x["weights"] for x in subject.sessions or () if x["weights"]), []
    )
    if noted:
        # A path may name a person.
        path = str(pathlib.Path(config.pretrained).expanduser())
        lines = [note.replace(path, f"`{name}`") for note in noted]
        sources = (*sources, Source(NAME, "sessions[].weights"))
    lines.append(f"What was drawn anew, was so with seed {config.seed}.")
    if config.frozen:
        lines.append(f"Stages that stayed as they were: {', '.join(config.frozen)}.")
    return state(lines, *sources, missing=missing)


def describe_training(subject: Subject) -> Fact:
    """Returns loss, optimiser, augmentation and how far training came."""
    config = subject.config
    if not subject.trained:
        return state(_UNTRAINED, *subject.cite("num_epochs"))
    optimizer, data = config.optimizer, config.data
    weights = f", weights of the classes {config.class_weights}"
    averaged = (
        f", moving average of the parameters with decay {optimizer.average:g}"
        * (optimizer.average > 0)
    )
    lines = [
        f"Loss {config.loss}{weights if config.class_weights else ''}; "
        f"{optimizer.name}, learning rate {optimizer.learning_rate:g} "
        f"({optimizer.schedule}), momentum {optimizer.momentum:g}, weight decay "
        f"{optimizer.weight_decay:g}{averaged}.",
        f"Batches of {data.batch_size} images; convolutions in {config.dtype}.",
        f"Augmentation: {_AUGMENTATIONS[data.augmentation]}; least fraction of the "
        f"counts kept {data.count_level:g}, change of contrast up to "
        f"{data.contrast:g}, share of images made to look otherwise "
        f"{data.randomisation:g}.",
    ]
    if config.image_score != "none":
        lines.append(
            "Images that nobody outlined taught their label, by the score "
            f"{config.image_score} of their pixels."
        )
    keys = ("loss", "class_weights", "optimizer", "data", "dtype", "image_score")
    progress = describe_progress(subject)
    return state(
        [*lines, *progress.lines],
        *subject.cite(*keys),
        *progress.sources,
        missing=progress.missing,
    )


def describe_progress(subject: Subject) -> Fact:
    """Returns how many epochs were trained of those that were asked for."""
    asked = subject.config.num_epochs
    cited = subject.cite("num_epochs")
    if subject.shipped is not None:
        return state(f"Epochs: {asked}.", *cited)
    if not subject.trained:
        return state(_UNTRAINED, *cited)
    if not subject.log:
        return Fact(missing=f"epochs trained of {asked}: there is no {_LOG}")
    done = len(subject.log)
    text = f"Epochs: {done} of {asked}."
    if not subject.finished:
        text = f"STOPPED: {done} of {asked} epochs; the training is not finished."
    return state(text, *cited, Source(_LOG, "epoch"))


def describe_selection(subject: Subject) -> Fact:
    """Returns which state of the training is the model."""
    fold = subject.config.data.validation_fold
    cited = subject.cite("data.validation_fold", "num_epochs")
    if not subject.trained:
        return state(_UNTRAINED, *cited)
    if not subject.finished:
        return Fact(missing="which state is the final model: training is not finished")
    if fold is None:
        text = (
            "The state after the last epoch; no fold validates, so nothing was "
            "selected by this run."
        )
    else:
        text = (
            f"The checkpoint with the lowest loss on fold {fold}, whose patients "
            "neither train nor are scored."
        )
    return state(text, *cited)


def describe_ensemble(subject: Subject) -> Fact:
    """Returns how many models answer as one."""
    if subject.shipped is None:
        return state("None: one model answers.", *subject.cite("model"))
    members = subject.shipped["members"]
    text = f"{len(members)} members, whose answers are averaged."
    return state(text, Source(subject.config_file, "members"))


def describe_seeds(subject: Subject) -> Fact:
    """Returns which seeds decide about numbers."""
    hashed = "Folds and copies follow from hashes of pseudonyms, not from a seed."
    if not subject.trained:
        return state(hashed)
    lines = [
        f"Seed {subject.config.seed}, of the initial parameters and of the order of "
        "the examples.",
        hashed,
    ]
    return state(lines, *subject.cite("seed"))


def describe_software(subject: Subject) -> Fact:
    """Returns which software trained and which scored."""
    lines, sources = [], []
    if subject.shipped is not None:
        commit = subject.shipped.get("commit")
        version = subject.shipped["members"][0]["model"].get("spectjax_version")
        lines.append(f"spectjax {version}, packed at commit {commit or 'unknown'}.")
        sources.append(Source(subject.config_file, "commit"))
        return state(lines, *sources, missing="versions of the libraries")
    for each in subject.sessions or ():
        packages = ", ".join(f"{k} {v}" for k, v in each["packages"].items())
        lines.append(
            f"{_name_beginning(subject, each)}: spectjax "
            f"{each['spectjax_version']}, commit {each['commit'] or 'unknown'}, Python "
            f"{each['python']} on {each['system']}, {packages}."
        )
    if lines:
        sources.append(Source(NAME, "sessions"))
    if subject.metrics is not None:
        lines.append(f"Scored by spectjax {subject.metrics['spectjax_version']}.")
        sources.append(Source(METRICS, "spectjax_version"))
    missing = _name_gap(subject, "software")
    return state(_merge(lines), *sources, missing=missing)


def describe_hardware(subject: Subject) -> Fact:
    """Returns on which devices it was trained."""
    lines = [
        f"{_name_beginning(subject, each)}: {each['num_devices']} x "
        f"{each['device']}, {each['num_processes']} process(es); {each['processor']}, "
        f"{each['cores']} cores."
        for each in subject.sessions or ()
    ]
    source = Source(NAME, "sessions")
    return state(_merge(lines), source, missing=_name_gap(subject, "machine"))


def _name_beginning(subject: Subject, session: Mapping[str, Any]) -> str:
    """Returns from when on a session counts."""
    epoch = session["epochs_done"] + 1
    return f"Trained from epoch {epoch} on" if subject.trained else "Run"


def _merge(lines: list[str]) -> list[str]:
    """Returns lines without those that say of a later epoch what stands there."""
    kept: dict[str, str] = {}
    for line in lines:
        kept.setdefault(line.partition(": ")[2] or line, line)
    return list(kept.values())


def _name_gap(subject: Subject, what: str) -> str:
    """Returns which part of the training no session tells of."""
    if subject.shipped is not None:
        return f"{what} of the training: the model that ships does not say"
    if subject.sessions is None:
        return f"{what} of the training: there is no {NAME}, which older runs lack"
    first = subject.sessions[0]["epochs_done"] if subject.sessions else 0
    if first:
        return f"{what} of the first {first} epochs: they are older than {NAME}"
    return ""


def describe_time(subject: Subject) -> Fact:
    """Returns how long training took."""
    if not subject.trained:
        return state(_UNTRAINED, *subject.cite("num_epochs"))
    if not subject.log:
        return Fact(missing=f"how long training took: there is no {_LOG} of it")
    text = f"Training took {_count_seconds(subject):.0f} s, the sum of its epochs."
    return state(text, Source(_LOG, "seconds"))


def _count_seconds(subject: Subject) -> float:
    return sum(float(row["seconds"]) for row in subject.log)


def describe_energy(subject: Subject) -> Fact:
    """Returns the energy of the training, from a power that the authors state."""
    if not subject.trained:
        return state(_UNTRAINED, *subject.cite("num_epochs"))
    if subject.watts is None or not subject.log:
        return Fact(missing="energy of the training: not measured")
    seconds = _count_seconds(subject)
    return state(
        f"{subject.watts * seconds / 3.6e6:.3g} kWh for the training: {seconds:.0f} s "
        f"times {subject.watts:g} W, a power that the authors state. Preparation and "
        "scoring are not in it.",
        Source(_LOG, "seconds"),
        Source("--watts"),
    )


MODEL_FACTS: Mapping[str, tuple[str, Callable[[Subject], Fact]]] = {
    "technique": ("Technique", describe_technique),
    "architecture": ("Architecture and input", describe_architecture),
    "start": ("Initial parameters", describe_start),
    "training": ("Training", describe_training),
    "selection": ("Which state is the model", describe_selection),
    "ensemble": ("Ensemble", describe_ensemble),
    "seeds": ("Seeds", describe_seeds),
    "software": ("Software", describe_software),
    "hardware": ("Hardware", describe_hardware),
    "time": ("Time", describe_time),
    "energy": ("Energy", describe_energy),
}
