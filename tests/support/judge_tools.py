"""What the judges need that Python does not bring along, and what to say without it.

python -m tests.support.judge_tools     prints the Debian packages that are missing
"""

import dataclasses
import importlib.util
import os
import pathlib
import shutil
import sys

import pytest

# DICOMweb, a viewer that decodes, and GDCM for it.
PLUGINS = [
    pathlib.Path(f"/usr/share/orthanc/plugins/libOrthanc{name}.so")
    for name in ("DicomWeb", "WebViewer", "Gdcm")
]
_JARS = pathlib.Path("/usr/share/java")
# What DicomSRValidator of PixelMed loads.
JARS = [
    _JARS / f"{name}.jar"
    for name in ("pixelmed", "slf4j-api", "Saxon-HE", "commons-codec")
]
OHIF = pathlib.Path(os.environ.get("OHIF_DIST", ""))


@dataclasses.dataclass(frozen=True)
class Tool:
    """Where a tool is found: a program, a file, or a module; and who brings it."""

    found: str
    packages: tuple[str, ...] = ()  # Debian's

    @property
    def is_there(self) -> bool:
        """Whether it is on this machine."""
        if self.found.startswith("/"):
            return pathlib.Path(self.found).exists()
        beside = pathlib.Path(sys.executable).parent / self.found  # of pip
        if shutil.which(self.found) or beside.exists():
            return True
        return importlib.util.find_spec(self.found) is not None

    @property
    def remedy(self) -> str:
        """How to get it."""
        if self.packages:
            return f"apt-get install {' '.join(self.packages)}"
        return "scripts/judges, which installs it"


TOOLS = {
    "dciodvfy": Tool("dciodvfy", ("dicom3tools",)),
    "dcmtk": Tool("dcmpschk", ("dcmtk",)),
    "pdfinfo": Tool("pdfinfo", ("poppler-utils",)),
    "java": Tool("java", ("default-jre-headless",)),
    "PixelMed": Tool(str(JARS[0]), ("libpixelmed-java",)),
    "slf4j": Tool(str(JARS[1]), ("libslf4j-java",)),
    "Saxon": Tool(str(JARS[2]), ("libsaxonhe-java",)),
    "Orthanc": Tool("Orthanc", ("orthanc",)),
    "Orthanc's DICOMweb": Tool(str(PLUGINS[0]), ("orthanc-dicomweb",)),
    "Orthanc's viewer": Tool(str(PLUGINS[1]), ("orthanc-webviewer",)),
    "Orthanc's GDCM": Tool(str(PLUGINS[2]), ("orthanc-gdcm",)),
    "Chromium": Tool("chromium", ("chromium",)),
    "ip": Tool("ip", ("iproute2",)),
    "npm": Tool("npm", ("npm",)),
    "dcmqi": Tool("segimage2itkimage"),
    "dicomweb-client": Tool("dicomweb_client"),
    "jpype": Tool("jpype"),
    "playwright": Tool("playwright"),
    "OHIF": Tool(str(OHIF.absolute() / "index.html")),
}
# Where a test needs one of them it needs the others.
PIXELMED = ("java", "PixelMed", "slf4j", "Saxon", "jpype")
PACS = ("Orthanc", "Orthanc's DICOMweb", "Orthanc's viewer", "Orthanc's GDCM")
BROWSER = ("Chromium", "playwright")


def need(*names: str) -> None:
    """Skips a test whose tools are not there; where CI is "true" it fails instead."""
    missing = [name for name in names if not TOOLS[name].is_there]
    if not missing:
        return
    remedies = dict.fromkeys(TOOLS[name].remedy for name in missing)
    reason = f"{', '.join(missing)} not found: {'; '.join(remedies)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


if __name__ == "__main__":
    for tool in TOOLS.values():
        if not tool.is_there:
            print(*tool.packages, sep="\n")
