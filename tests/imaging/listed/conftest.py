"""A folder of pictures for the tests of this room."""

import pytest

from tests.support.listed_tables import BODY
from tests.support.picture_files import save


@pytest.fixture
def folder(tmp_path):
    """Two pictures of one patient, as BS-80K lays them out."""
    save(tmp_path / "wholeBodyANT" / "1.jpg", BODY)
    save(tmp_path / "wholeBodyPOST" / "1.jpg", BODY // 2)
    return tmp_path
