"""Fills reporting checklists with what a run can say. Research software.

    python -m spectjax.checklist --workdir=RUN
    python -m spectjax.checklist --workdir=RUN --evaluation=OUT --watts=350
    python -m spectjax.checklist --evaluation=OUT

RUN is the folder of a training run, OUT what `spectjax.evaluate` wrote about its model;
it may be given again and again. Without --workdir it is about the model that ships with
the package. --output_dir, by default RUN/checklist, receives `claim_2024.md`,
`tripod_ai.md`, `model_card.md` and `checklist.json`: every item with what the files
say, where each number stands, and what only the authors can say. The run's data set is
looked for in --data_dir. Energy is told where --watts names the power while it trained.
"""

import pathlib
from collections.abc import Sequence

from absl import flags, logging

from spectjax.system.commands import (
    define_path,
    define_paths,
    refuse_arguments,
    run_command,
)
from spectjax.system.files import write_file, write_json
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

_HERE = pathlib.Path("checklist")  # of the model that ships, as `predictions` is


def main(argv: list[str]) -> None:
    """Fills the checklists of what the flags name."""
    logging.set_verbosity(logging.FATAL)
    values = flags.FLAGS
    refuse_arguments(argv)
    default = values.workdir / "checklist" if values.workdir else _HERE
    with hold(values.output_dir or default):
        write_checklists(
            values.output_dir or default,
            workdir=values.workdir,
            data_dir=values.data_dir,
            evaluations=values.evaluation,
            watts=values.watts,
        )


def write_checklists(
    output_dir: pathlib.Path,
    *,
    workdir: pathlib.Path | None = None,
    data_dir: pathlib.Path | None = None,
    evaluations: Sequence[pathlib.Path] = (),
    watts: float | None = None,
) -> None:
    """Writes the checklists of a run, or of the model that ships, and says where.

    Args:
        output_dir: folder to write to.
        workdir: folder of the run; None: the model that ships.
        data_dir: where its data set lives, None: TFDS's own default.
        evaluations: folders that `spectjax.evaluate` wrote about this very model.
        watts: power while it trained, as the authors state it.

    Raises:
        UserError: if a file is missing or damaged, or of another model.
        WriteError: if a file cannot be written.
    """
    # Here, so that --help need not wait for jax and TFDS.
    from spectjax.inference.card import write_card
    from spectjax.reporting.document import fill
    from spectjax.reporting.pages import count_states, write_page
    from spectjax.reporting.subject import read_run, read_shipped
    from spectjax.system.jax_setup import start_jax

    start_jax()

    if workdir is None and (data_dir or watts is not None):
        raise UserError(
            "Expected --workdir=RUN with --data_dir and --watts, found none: they tell "
            "of a run. Leave them out for the model that ships."
        )
    if workdir is None:
        subject = read_shipped(evaluations)
    else:
        subject = read_run(
            workdir, data_dir=data_dir, evaluations=evaluations, watts=watts
        )
    filled = fill(subject)
    pages = {name: write_page(filled, name) for name in filled["checklists"]}
    pages.setdefault("model_card", "")
    if workdir is None:
        pages["model_card"] = write_card() + "\n"
    # What an earlier call left must not be taken for that of this one.
    (output_dir / "checklist.json").unlink(missing_ok=True)
    for name, page in pages.items():
        write_file(output_dir / f"{name}.md", page)
    write_json(output_dir / "checklist.json", filled)
    for name, checklist in filled["checklists"].items():
        print(f"{name}: {count_states(checklist)}")
    for limit in filled["limits"]:
        print(limit)
    print(f"Written: {output_dir}/{{{','.join(pages)}}}.md, checklist.json")


if __name__ == "__main__":  # flags are global to a process
    define_path("workdir", "Folder of a training run. Default: the model that ships.")
    define_path(
        "output_dir", "Folder to write to. Default: RUN/checklist, else checklist."
    )
    define_path("data_dir", "Folder of the run's data set. Default: TFDS's own.")
    define_paths("evaluation", "Folder that spectjax.evaluate wrote; may be repeated.")
    flags.DEFINE_float(
        "watts",
        None,
        "Power while the run trained, W, for its energy. Default: not told.",
        lower_bound=0.0,
    )
    run_command(main)
