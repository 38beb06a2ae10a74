"""A task of its own, as somebody outside of the package would add one.

It says whether anything is marked in an image. `ROW` and `RULES` are all that the
package has to know; `spectjax.models.MODELS` gets the model.
"""

from spectjax.config.models import ModelRules
from spectjax.config.values import Rule
from spectjax.tasks import Elsewhere, Row, Shown

CLASS_NAMES = ("empty", "marked")

ROW = Row(
    models=("brightest",),
    data_sets="segmentation",
    losses=("cross_entropy",),
    class_names=Elsewhere(f"{__name__}:CLASS_NAMES"),
    answer="image",
    whole_canvas=False,
    formats=(".stablehlo.zip",),
    product="Marks",
    shown=Shown(None, ("marks",), {"accuracy": "Acc"}),
    learn=Elsewhere(f"{__name__}.learning:Presence"),
    evaluate=Elsewhere(f"{__name__}.reports:evaluate"),
    compare=Elsewhere(f"{__name__}.reports:compare"),
    contrast=Elsewhere(f"{__name__}.reports:compare"),
    summarise=Elsewhere(f"{__name__}.reports:summarise"),
    describe=Elsewhere(f"{__name__}.reports:describe"),
    average=(Elsewhere("spectjax.inference.ensembles:average_probs"), "mean"),
)
RULES = ModelRules({"num_classes": Rule("2", lambda x: x == 2)})
