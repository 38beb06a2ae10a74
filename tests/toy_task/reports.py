"""What is written about the toy's runs, about several of them and about new scans."""

import numpy as np
from matplotlib.figure import Figure

from spectjax.evaluation.folds import describe_folds, read_metrics
from spectjax.system.files import write_file, write_json
from spectjax.tasks.views import Finding, describe_origin
from tests.toy_task import CLASS_NAMES


def evaluate(run):
    """Writes `metrics.json` of a run and returns its content."""
    held_out = run.held_out.crop_centre(run.train_hw)
    found = run.model.predict(held_out.images).argmax(axis=1)
    right = found == (held_out.masks > 0).any(axis=(1, 2))
    scores = {"marks": {"accuracy": float(np.mean(right))}}
    metrics = run.make_document("presence", scores)
    write_json(run.output_dir / "metrics.json", metrics)
    return metrics


def compare(workdirs, networks, output_dir):
    """Writes the table of several models and returns the content of `metrics.json`."""
    runs = {
        name: [read_metrics(folder, "presence") for folder in folders]
        for name, folders in workdirs.items()
    }
    first = next(iter(runs.values()))
    patients = [str(i) for i in range(sum(x["n_patients"] for x in first))]

    def summarise_model(name):
        return {"accuracies": [x["marks"]["accuracy"] for x in runs[name]]}

    metrics = describe_folds(runs, workdirs, networks, patients, summarise_model)
    write_file(output_dir / "table.md", "\n".join(metrics["models"]))
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def summarise(model):
    """Returns the mean accuracy of a model in a few words."""
    return f"accuracy {np.mean(model['accuracies']):.4f}"


def describe(views, model_info):
    """Returns what is said of each view."""
    labels = [CLASS_NAMES[int(view.answer.argmax())] for view in views]
    return [
        Finding(
            document=describe_origin(view, model_info) | {"rule": label},
            draw=Figure,
            summary=label,
        )
        for view, label in zip(views, labels, strict=True)
    ]
