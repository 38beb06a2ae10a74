"""What a node is told: a TOML file, checked as a whole before anything starts."""

import dataclasses
import ipaddress
import math
import pathlib
import re
import shutil
import ssl
import tomllib
import types
import typing
from typing import Any, Literal

from spectjax.node.sections import Config, ModelSection, TlsSection
from spectjax.system.limits import CONFIG_BYTES, read_limited
from spectjax.system.messages import ConfigError
from spectjax.system.paths import read_path

# PS3.5, 6.2: 16 characters of the default repertoire, no backslash, not blank.
_AE_TITLE = re.compile(r"(?! *$)[ -\[\]-~]{1,16}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_WORDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    pathlib.Path: "a path, as text",
    str: "text",
}


def read_config(path: pathlib.Path) -> Config:
    """Reads and checks a node's configuration.

    Paths in it are relative to its folder.

    Raises:
        ConfigError: in one line, if there is anything wrong with it.
    """
    content = read_limited(path, CONFIG_BYTES, error=ConfigError)
    try:
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: expected a TOML file, found {error}. See docs/node.md."
        ) from None
    reader = _Reader(path)
    config: Config = reader.make(Config, table, "")
    _check(config, reader)
    return config


class _Reader:
    """Makes objects of tables, and names the key where it cannot."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def refuse(self, name: str, expected: str, found: Any) -> ConfigError:
        shown = found if isinstance(found, str) else repr(found)
        return ConfigError(
            f"{self._path}: {name}: expected {expected}, found {shown[:200]}. See the "
            "table in docs/node.md."
        )

    def make(self, kind: type[Any], table: Any, name: str) -> Any:
        """Returns a section made of a table.

        Raises:
            ConfigError: if a key is unknown or missing or has another type.
        """
        if not isinstance(table, dict):
            raise self.refuse(name, f"a table [{name}]", table)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        types_of = typing.get_type_hints(kind)
        where = f"{name}." if name else ""
        for key in table:
            if key not in fields:
                known = f"one of {', '.join(fields)}"
                raise self.refuse(f"{where}{key}", known, "a key of no use")
        values = {
            key: self.read(types_of[key], value, f"{where}{key}")
            for key, value in table.items()
        }
        for key, field in fields.items():
            if field.default is dataclasses.MISSING and key not in values:
                raise self.refuse(f"{where}{key}", "a value", "none")
        return kind(**values)

    def read(self, kind: Any, value: Any, name: str) -> Any:
        """Returns a value of a type.

        Raises:
            ConfigError: if it has another.
        """
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is types.UnionType:
            return self.read(inner[0], value, name)  # TOML has no null
        if origin is tuple:
            if not isinstance(value, list):
                raise self.refuse(name, "a list", value)
            return tuple(
                self.read(inner[0], each, f"{name}[{i}]")
                for i, each in enumerate(value)
            )
        if origin is Literal:
            if value not in inner:
                raise self.refuse(name, " or ".join(inner), value)
            return value
        if dataclasses.is_dataclass(kind):
            return self.make(typing.cast(type, kind), value, name)
        return self._read_simple(kind, value, name)

    def _read_simple(self, kind: Any, value: Any, name: str) -> Any:
        if kind is pathlib.Path:
            if not isinstance(value, str):
                raise self.refuse(name, _WORDS[kind], value)
            return self._path.parent / read_path(value, f"{self._path}: {name}")
        if kind is float and type(value) in (int, float) and math.isfinite(value):
            return float(value)
        if type(value) is not kind or kind is float:
            raise self.refuse(name, _WORDS[kind], value)
        return value


def _check(config: Config, reader: _Reader) -> None:
    """Checks what types do not say.

    Raises:
        ConfigError: in one line.
    """
    _check_numbers(config, reader)
    if not config.senders:
        raise reader.refuse("senders", "at least one who may send", "none")
    if not config.destinations:
        raise reader.refuse("destinations", "at least one place for results", "none")
    titles = {"node.aet": config.node.aet}
    titles |= {f"senders[{i}].aet": s.aet for i, s in enumerate(config.senders)}
    for i, place in enumerate(config.destinations):
        titles[f"destinations[{i}].aet"] = place.aet
        if not _NAME.fullmatch(place.name):
            what = "a name of letters, digits, - and _"
            raise reader.refuse(f"destinations[{i}].name", what, place.name)
        if not 0 < place.port < 2**16:
            raise reader.refuse(f"destinations[{i}].port", "1 to 65535", place.port)
        if place.tls and config.tls is None:
            raise reader.refuse(f"destinations[{i}].tls", "a table [tls]", "none")
    for name, title in titles.items():
        if not _AE_TITLE.fullmatch(title) or title != title.strip():
            raise reader.refuse(name, "an AE title of 1 to 16 characters", title)
    names = [place.name for place in config.destinations]
    if len(set(names)) < len(names):
        raise reader.refuse("destinations", "different names", ", ".join(names))
    for i, sender in enumerate(config.senders):
        if not sender.addresses:
            raise reader.refuse(f"senders[{i}].addresses", "an address", "none")
        for text in sender.addresses:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                what = "an IP address or network"
                raise reader.refuse(
                    f"senders[{i}].addresses", what, str(error)
                ) from None
    _check_model(config.model, reader)
    if config.tls is not None:
        make_contexts(config.tls, reader)


def _check_numbers(config: Config, reader: _Reader) -> None:
    """Checks that every number is one that can be meant."""
    for section in dataclasses.fields(config):
        table = getattr(config, section.name)
        if not dataclasses.is_dataclass(table):
            continue
        for key in dataclasses.fields(table):
            value, name = getattr(table, key.name), f"{section.name}.{key.name}"
            if type(value) not in (int, float):
                continue
            if key.name == "port":
                if not 0 <= value < 2**16:
                    raise reader.refuse(name, "0 to 65535", value)
            elif key.name in ("min_free_mb", "hours", "quiet_s", "incomplete_s"):
                if not 0 <= value <= 1e9:
                    raise reader.refuse(name, "0 or more", value)
            elif not 0 < value <= 1e9:
                raise reader.refuse(name, "more than 0", value)


def _check_model(model: ModelSection, reader: _Reader) -> None:
    """Checks that what is to run is there, and that it is one thing."""
    named = [key for key in ("command", "workdirs", "file") if getattr(model, key)]
    if len(named) > 1:
        raise reader.refuse("model", "command, workdirs or file", " and ".join(named))
    if model.command and (model.pdf or model.gsps or model.operating_point):
        what = "pdf, gsps and operating_point without a command"
        raise reader.refuse("model.command", what, "both")
    if model.command and shutil.which(model.command[0]) is None:
        raise reader.refuse("model.command", "a program", model.command[0])
    for i, workdir in enumerate(model.workdirs):
        if not workdir.is_dir():
            raise reader.refuse(f"model.workdirs[{i}]", "a folder", str(workdir))
    if model.file is not None and not model.file.is_file():
        raise reader.refuse("model.file", "a file", str(model.file))


@dataclasses.dataclass(frozen=True)
class TlsContexts:
    """How a node talks TLS to those who call it, and to those whom it calls."""

    inward: ssl.SSLContext
    outward: ssl.SSLContext


def make_contexts(tls: TlsSection, reader: _Reader | None = None) -> TlsContexts:
    """Returns contexts of TLS 1.2 or later in which both sides show a certificate.

    Raises:
        ConfigError: if a file cannot be used.
    """
    reader = reader or _Reader(tls.certificate.parent)
    for key in ("certificate", "key", "authority"):
        path = getattr(tls, key)
        if not path.is_file():
            raise reader.refuse(f"tls.{key}", "a PEM file", str(path))
    contexts = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(tls.authority)
            # A password that is asked for on a terminal would hang a service.
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: b"")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            what = "PEM files of a certificate, its key without password, an authority"
            raise reader.refuse("tls", what, str(error)) from None
        contexts.append(context)
    return TlsContexts(*contexts)
