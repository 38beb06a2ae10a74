"""The command line of a config, `--config=FILE:ARGUMENT --config.KEY=VALUE ...`."""

import ast
import itertools
import re
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from spectjax.config import Faults
from spectjax.config.rules import find_faults
from spectjax.system.commands import explain_flags
from spectjax.system.messages import UserError
from spectjax.system.paths import read_path


def define_config() -> None:
    """Defines the flag --config."""
    # As --config.data.validation_fold=None.
    for kind, parser in ((int, flags.IntegerParser()), (str, flags.ArgumentParser())):
        config_flags.register_flag_parser_for_type(kind, _OrNone(parser))
    config_flags.DEFINE_config_file(
        "config",
        help_string="Config file, with an argument after a colon: FILE.py:quick.",
    )


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line.

    Raises:
        UserError: naming all that is wrong with it.
    """
    argv, faults = _expand_config(argv), Faults()
    rest: list[str] = []
    with faults.collect():
        rest = _parse(flags.FLAGS, argv)
    if not faults:
        return rest
    # absl ends with the first fault: here each change of the config is tried alone.
    config, changes = _split_changes(argv)
    if config[1:]:
        good = [*config]
        for change in changes:
            with faults.collect():
                _load_config([*config, *change])
                good += change
        with faults.collect():
            for fault in find_faults(_load_config(good).to_dict()):
                faults.add(fault)
    faults.refuse()
    return rest


def _parse(values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Returns what is left of a command line besides flags.

    Raises:
        UserError: naming the first that is wrong with it.
    """
    try:
        rest = values(argv)
        values.config.task  # noqa: B018 - a missing file shows at first use
    except (AttributeError, KeyError) as error:
        text = str(error.args[0])
        if "\\n" in text:  # ml_collections wraps one KeyError in another
            text = ast.literal_eval(text)
        text = " ".join(text.split()).strip('"')
        raise UserError(f"--config has no key {text}") from None
    except (flags.Error, OSError) as error:
        missing = re.search(r"No such file or directory: '(.+)'$", str(error))
        if missing is None:
            raise explain_flags(error) from None
        raise UserError(
            f"--config={missing[1]}: expected a config file, found none. "
            "Check the path."
        ) from None
    return rest


def _load_config(argv: list[str]) -> ConfigDict:
    """Returns the config of a command line that has no other flags."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    _parse(values, argv)
    return values.config


def _split_changes(argv: list[str]) -> tuple[list[str], list[list[str]]]:
    """Returns the program with its --config, and each change of it, flag and value."""
    found: list[list[str]] = [argv[:1]]
    for argument in argv[1:]:
        if argument.startswith("-"):
            found.append([argument])
        elif "=" not in found[-1][0]:
            found[-1].append(argument)
    config = [x for x in found if re.match("--?config(=|$)", x[0])]
    changes = [x for x in found if re.match("--?(no)?config[.]", x[0])]
    return [*argv[:1], *itertools.chain(*config)], changes


def _expand_config(argv: list[str]) -> list[str]:
    """Returns the command line with the home folder for the `~` of `--config=~/FILE`.

    Raises:
        PathError: if the file can be none.
    """
    expanded = list(argv)
    for place, argument in enumerate(argv):
        flag, equals, file = argument.partition("=")
        if argv[place - 1] in ("-config", "--config"):
            flag, equals, file = "", "", argument
        elif flag not in ("-config", "--config"):
            continue
        path = read_path(file, "--config")
        if file.startswith("~"):
            expanded[place] = f"{flag}{equals}{path}"
    return expanded


class _OrNone(flags.ArgumentParser):
    """Parses None, and what another parser does; which keys may be None comes later."""

    def __init__(self, parser: flags.ArgumentParser) -> None:
        self._parser = parser
        self.syntactic_help = parser.syntactic_help

    def parse(self, argument: Any) -> Any:
        return None if argument == "None" else self._parser.parse(argument)

    def flag_type(self) -> str:
        return self._parser.flag_type()
