r"""Takes the patients out of a folder of whole-body files.

    export SPECTJAX_PSEUDONYM_KEY=...   # see below
    python -m spectjax.imaging.deidentify IN OUT

DICOM PS3.15, Basic Application Level Confidentiality Profile: names, dates,
descriptions and all private attributes go; identifiers and UIDs become pseudonyms, the
same ones in every run with the same key. Of what the profile keeps, only words, codes
and numbers of closed lists stay; other text is emptied, since it may hold a name. The
view is written as View Code Sequence first, since what tells it is removed. LabelMe
outlines come along. OUT-report tells what was done, without a value of the originals.
Only NM whole-body images go out; look at the pictures before you hand them on: nothing
here reads text in pixels. Exit status: 0 if an image was written, else 1; 3 if a bug
kept a file from being written.

Make a key once, and keep it secret and safe:
    python -c "import secrets; print(secrets.token_hex(32))"
"""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import cast

from absl import flags

from spectjax.system.commands import define_path, define_view, read_paths, run_command
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

_KEY = "SPECTJAX_PSEUDONYM_KEY"
_MIN_KEY_CHARACTERS = 16


def main(arguments: list[str]) -> None:
    """De-identifies the folder IN into OUT."""
    if len(arguments) != 3:
        raise UserError(f"Expected two folders, IN and OUT, got {len(arguments) - 1}.")
    source, target = read_paths(arguments)
    report = target.absolute().with_name(f"{target.absolute().name}-report")
    mapping = flags.FLAGS.mapping
    check_places(source, target, report, mapping)

    from spectjax.imaging.deidentify.attributes import NOT_LISTED
    from spectjax.imaging.deidentify.folder import (
        deidentify_folder,
        open_target,
        write_mapping,
        write_report,
    )
    from spectjax.imaging.deidentify.profile import read_profile
    from spectjax.imaging.diagnosis import SITE_WORDS, clean_word
    from spectjax.imaging.problems import BUG_STATUS
    from spectjax.imaging.scan import View
    from spectjax.system.files import WriteError

    # Not in OUT, which is handed on: who worked on it is nobody's business.
    with hold(report):
        open_target(target)
        try:
            entries = deidentify_folder(
                source,
                target,
                read_profile(),
                view=cast(View | None, flags.FLAGS.view),
                allow_burned_in=flags.FLAGS.allow_burned_in,
                words=frozenset(SITE_WORDS) | set(map(clean_word, flags.FLAGS.word)),
            )
        except WriteError:
            raise
        except OSError as error:  # its text may name a file, and so a patient
            raise UserError(
                f"{source}: expected readable files, found: {error.strerror}."
            ) from None
        write_report(report, entries)
        if mapping is not None:
            write_mapping(mapping, entries)
    for (kind, action, reason), count in sorted(
        Counter((e.kind, e.action, e.reason) for e in entries).items()
    ):
        print(f"{count:6} {kind}: {action}{': ' + reason if reason else ''}")
    deeds = [item for entry in entries for item in entry.tally.items()]
    emptied = sum(count for (_, deed), count in deeds if deed == NOT_LISTED)
    print(
        f"{emptied} texts, codes and numbers are on no list and were emptied (of which "
        f"attributes: {report / 'attributes.csv'})."
    )
    warned = sum(bool(entry.warnings) for entry in entries)
    for warning, count in sorted(
        Counter(w for e in entries for w in e.warnings).items()
    ):
        print(f"{count:6} images: WARNING: {warning}")
    print(f"{warned} images need a look (warnings in {report / 'report.csv'}).")
    if mapping is None:
        print("Files are numbered there; --mapping=FILE tells their paths.")
    is_bug = any(entry.is_bug for entry in entries)
    if not is_bug and not any(
        e.kind == "image" and e.action == "written" for e in entries
    ):
        raise UserError(f"Expected whole-body files, found none to write to {target}.")
    if is_bug:
        sys.exit(BUG_STATUS)


def check_places(
    source: Path, target: Path, report: Path, mapping: Path | None
) -> None:
    """Checks that there is a key and that the places lie apart, before reading any."""
    if len(os.environ.get(_KEY, "")) < _MIN_KEY_CHARACTERS:
        raise UserError(
            f"Expected a secret key of at least {_MIN_KEY_CHARACTERS} characters in "
            f"{_KEY}, since anyone can compute pseudonyms without one. Make one with: "
            'python -c "import secrets; print(secrets.token_hex(32))"'
        )
    if not source.is_dir():
        raise UserError(f"{source}: expected a folder, found none. Check the path.")
    real = source.resolve(), target.resolve(), report.resolve()
    if real[1].is_relative_to(real[0]) or real[0].is_relative_to(real[1]):
        raise UserError(
            f"{target}: expected a folder apart from {source}, found one inside the "
            "other. Name another for the results."
        )
    if mapping is not None and any(mapping.resolve().is_relative_to(r) for r in real):
        raise UserError(
            f"{mapping}: expected a place apart from the input, the results and their "
            "report, since it identifies patients. Name another folder."
        )


if __name__ == "__main__":  # flags are global to a process
    define_view("View of the first frame of every file, whatever the files say.")
    flags.DEFINE_bool(
        "allow_burned_in",
        False,
        "Write files that say that text is burned into their pixels, and screen "
        "captures.",
    )
    flags.DEFINE_multi_string(
        "word",
        [],
        "Label of outlines that may go out, besides metastasis, spinal metastasis and "
        "metastasis outside spine. Repeat for several.",
    )
    define_path(
        "mapping",
        "File for the list of original paths and new names. It identifies patients: "
        "keep it apart from the results.",
    )
    run_command(main)
