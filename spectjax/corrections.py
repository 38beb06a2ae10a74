"""Compares drafts with what readers made of them. Research software.

    python -m spectjax.corrections --output_dir=OUT ROUND1 ROUND2 ...

`predict --labelme` writes drafts that readers correct in LabelMe. ROUND is a folder of
such files, of one reader or in folders of several; rounds are given in their order, as
one model after the other drew them. Every file still knows its draft. OUT receives
`corrections.md` and `corrections.json`: what was added, removed and moved, Dice, and
lesions found over false regions (FROC), each round over what was corrected before it;
`files.csv`, a row for every file, also for those that could not be compared and why;
`learning_curve.png` and `froc.png`. What the outlines' words mean is said by words.csv
of the hospital's folder, --manual_dir, as where a data set is prepared of it. Files
that cannot be used are named on stderr and passed over; a round without a corrected
draft ends the command with exit status 1.
"""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from spectjax.system.commands import define_path, read_paths, run_command
from spectjax.system.messages import DISCLAIMER, UserError, make_printable

if TYPE_CHECKING:  # not before --help
    from spectjax.imaging.annotations.labelme import Annotation
    from spectjax.tasks.hotspots.corrections import Corrections

_COMPARED = "compared"
_COLUMNS = (
    *("round", "file", "state", "reader", "image", "model", "checked", "unchanged"),
    *("moved", "removed", "added", "outside_of_crop", "dice", "ignored"),
)


@dataclasses.dataclass
class Round:
    """The files of one round.

    Attributes:
        name: its folder's.
        parts: the files that were compared, one by one.
        rows: of `files.csv`, of all files.
        images: keys of the images that were corrected.
        ignored: number of outlines that words.csv says to be no lesions.
    """

    name: str
    parts: "list[Corrections]"
    rows: list[tuple[Any, ...]]
    images: set[str]
    ignored: int = 0


def main(argv: list[str]) -> None:
    """Compares what the flags and paths name."""
    from spectjax.system.locks import hold

    paths = read_paths(argv)
    if not paths:
        raise UserError("Expected folders of corrected drafts after the flags.")
    output_dir = flags.FLAGS.output_dir
    with hold(output_dir):
        run(paths, output_dir, manual_dir=flags.FLAGS.manual_dir)
    print(f"Written to {output_dir}. {DISCLAIMER}")


def run(
    paths: Sequence[Path], output_dir: Path, *, manual_dir: Path | None = None
) -> None:
    """Writes what the rounds of drafts in some folders say.

    `manual_dir` is the hospital's folder, whose words.csv tells what words mean.

    Raises:
        UserError: if a round has no file that can be compared, or words.csv cannot be
            read.
        WriteError: if a file cannot be written.
    """
    from spectjax.imaging.listed.table import read_words
    from spectjax.report.picture_parts import save_figure
    from spectjax.system.files import (
        format_csv,
        replace_undefined,
        write_file,
        write_json,
    )
    from spectjax.tasks.hotspots import corrections_report as report

    if manual_dir is not None and not manual_dir.is_dir():
        raise UserError(f"--manual_dir={manual_dir}: expected a folder, found none.")
    words = read_words(manual_dir) if manual_dir else {}
    rounds = [read_round(path, _name(path, paths), words) for path in paths]
    document = replace_undefined(compare_rounds(rounds))
    rows = (row for each in rounds for row in each.rows)
    write_file(output_dir / "files.csv", format_csv(_COLUMNS, rows))
    table = report.write_corrections_table(document)
    write_file(output_dir / "corrections.md", table)
    for name, draw in (
        ("learning_curve", report.draw_learning_curve),
        ("froc", report.draw_rounds_froc),
    ):
        save_figure(draw(document), output_dir / f"{name}.png")
    write_json(output_dir / "corrections.json", document)
    for name, each in document["rounds"].items():
        print(make_printable(f"{name}: {report.summarise(each)}"))


def read_round(path: Path, name: str, words: Mapping[str, str]) -> Round:
    """Compares the files of a folder, or one file, with the drafts in them.

    `words` are as of `translate_words`.

    Raises:
        UserError: if none can be compared.
    """
    from spectjax.imaging.annotations.files import ANNOTATION_SUFFIXES, list_candidates
    from spectjax.imaging.annotations.labelme import (
        AnnotationError,
        UncheckedDraftError,
        read_annotation,
    )
    from spectjax.tasks.hotspots.corrections import measure_correction

    if not path.exists():
        raise UserError(f"{path}: expected a folder, found none. Check the path.")
    found = Round(name, [], [], set())
    seen: dict[tuple[str, str], Path] = {}
    for file in list_candidates(path) if path.is_dir() else [path]:
        if file.suffix.lower() not in ANNOTATION_SUFFIXES:
            continue
        try:
            annotation = read_annotation(file)
            first = seen.setdefault((annotation.reader, annotation.image_name), file)
            if first != file:
                raise AnnotationError(
                    f"{file}: expected one file of {annotation.image_name!r} by "
                    f"{annotation.reader!r}, found another in {first}. Keep one."
                )
            if annotation.draft is None:
                found.rows.append(_note(name, file, "no draft in it"))
                continue
            ours = _translate(annotation, words)
            part = measure_correction(ours, annotation.draft)
        except UncheckedDraftError:
            found.rows.append(_note(name, file, "draft that nobody checked"))
        except AnnotationError as error:
            print(f"skipped: {error}", file=sys.stderr)
            found.rows.append(_note(name, file, "cannot be used"))
        else:
            found.parts.append(part)
            found.images.add(annotation.draft.image_key)
            ignored = len(annotation.regions) - len(ours.regions)
            found.ignored += ignored
            found.rows.append((*_list_file(name, file, part), ignored))
    if not found.parts:
        raise UserError(
            f"{path}: expected drafts that a reader corrected and saved in LabelMe, "
            f"found none ({_count_states(found) or 'no LabelMe file at all'}). "
            "python -m spectjax.predict --labelme writes drafts."
        )
    return found


def compare_rounds(rounds: Sequence[Round]) -> dict[str, Any]:
    """Returns the content of `corrections.json`; NaN stands for an undefined score."""
    from spectjax import __version__
    from spectjax.tasks.hotspots.corrections import join_corrections, summarise_round

    entries: dict[str, Any] = {}
    images: set[str] = set()
    patients: set[str] = set()
    for each in rounds:
        files = join_corrections(each.parts)
        states = Counter(row[2] for row in each.rows if row[2] != _COMPARED)
        entries[each.name] = {
            "images_corrected_before": len(images),
            "n_patients_of_earlier_rounds": len(patients & set(files.cases.patients)),
            "not_compared": dict(states),
            "outlines_ignored": each.ignored,
            **summarise_round(files),
        }
        images |= each.images
        patients |= set(files.cases.patients)
    return {
        "rounds": entries,
        "synthetic": any(each["synthetic"] for each in entries.values()),
        "spectjax_version": __version__,
        "disclaimer": DISCLAIMER,
    }


def _translate(annotation: "Annotation", words: Mapping[str, str]) -> "Annotation":
    """Returns an annotation in our words, without what is no lesion.

    Raises:
        AnnotationError: if it has words that nobody explains.
    """
    from spectjax.imaging.annotations.consensus import translate_words
    from spectjax.imaging.annotations.labelme import AnnotationError
    from tfds_spect.image import UnusableImageError, check_words

    translated = translate_words(annotation, words)
    try:
        check_words([translated])
    except UnusableImageError as error:
        raise AnnotationError(
            f"{annotation.path}: {error}, in the folder that --manual_dir names."
        ) from error
    return translated


def _name(path: Path, paths: Sequence[Path]) -> str:
    """Returns the name of a round's folder, or its path where others have the name."""
    names = [each.absolute().name for each in paths]
    name = path.absolute().name
    return name if names.count(name) == 1 else str(path)


def _note(name: str, file: Path, state: str) -> tuple[Any, ...]:
    return (name, str(file), state) + ("",) * (len(_COLUMNS) - 3)


def _list_file(name: str, file: Path, part: "Corrections") -> tuple[Any, ...]:
    """Returns the row of a file that was compared."""
    counts = dataclasses.asdict(part.changes)
    return (
        *(name, str(file), _COMPARED, part.readers[0], file.stem, part.models[0]),
        "yes" if part.checked[0] else "",
        *(int(each[0]) for each in counts.values()),
        f"{part.dice[0]:.4f}",
    )


def _count_states(found: Round) -> str:
    states = Counter(row[2] for row in found.rows)
    return ", ".join(f"{state}: {count}" for state, count in states.items())


if __name__ == "__main__":
    define_path("manual_dir", "Folder with words.csv. Default: words are ours.")
    define_path("output_dir", "Folder to write to; made if missing.", required=True)
    run_command(main)
