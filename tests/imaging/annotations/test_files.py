"""Tests of `spectjax.imaging.annotations.files`: no reader's vote is lost silently.

In each test two readers' files of P1_anterior are fine, one of which says "normal".
What lies beside them may be the third reader's vote.
"""

import json
import os

import pytest
from PIL import Image

from spectjax.imaging.annotations.files import find_annotations, find_doubted
from spectjax.imaging.folders import walk_files

NAME = "P1_anterior"
OTHERS = {"P1_posterior", "P10_anterior", "P2_anterior"}
SHAPE = {
    "label": "metastasis",
    "points": [[1, 1], [7, 1], [1, 7]],
    "shape_type": "polygon",
    "flags": {},
}
VOC = (
    "<annotation><filename>{}.png</filename><size><width>9</width></size><object>"
    "<name>metastasis</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
)
MIT = "<annotation><filename>P1_anterior.png</filename>{}</annotation>"


def labelme(name=NAME, *shapes, **more):
    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": f"{name}.png",
        "imageData": None,
        "imageHeight": 12,
        "imageWidth": 9,
    }
    return json.dumps(document | more, ensure_ascii=False)


@pytest.fixture
def folder(tmp_path):
    """Two readers' files of each image."""
    for reader in ("r1", "r2"):
        (tmp_path / reader).mkdir()
        for name in {NAME} | OTHERS:
            shapes = [SHAPE] if reader == "r2" else []
            (tmp_path / reader / f"{name}.json").write_text(labelme(name, *shapes))
    (tmp_path / "r3").mkdir()
    return tmp_path


def check_left_out(folder, path, *, reason="", doubted=(NAME,)):
    """A file is listed, and its image has no consensus, with it or without."""
    by_image, unused = find_annotations([folder])
    file = next(file for file in unused if file.path == path)
    assert reason in file.reason and file.reason.startswith("expected ")
    assert set(by_image) == ({NAME} | OTHERS) - set(doubted)
    assert set(find_doubted(unused, {NAME} | OTHERS)) == set(doubted)
    # The others' files of the image are listed too: they were not used either.
    left = {file.path.parent.name for file in unused if file.path.stem in doubted}
    assert left >= ({"r1", "r2"} if doubted else set())


DAMAGED = {
    "empty": (b"", "an empty file"),
    "cut": (labelme(NAME, SHAPE).encode()[:-90], "a damaged file"),
    "binary": (b"\x00\xff\x80\x01" * 99, "binary data"),
    "latin": (labelme(NAME, SHAPE, note="Schlüsselbein").encode("latin-1"), "Latin-1"),
    "gbk": (labelme(NAME, SHAPE, note="骨转移").encode("gbk"), "GBK (Chinese)"),
    "utf16": (labelme(NAME, SHAPE).encode("utf-16-le"), "UTF-16"),
    "point": (labelme(NAME, SHAPE | {"shape_type": "point"}).encode(), "no area"),
    "line": (labelme(NAME, SHAPE | {"shape_type": "line"}).encode(), "no area"),
    "twice": (b'{"shapes": [{"label": "a"}], "shapes": []}', "'shapes' again"),
    "flag": (labelme(flags={"metastasis": True}).encode(), "flag 'metastasis'"),
    "benign": (labelme(NAME, SHAPE | {"flags": {"benign": True}}).encode(), "'benign'"),
    "attribute": (
        labelme(NAME, SHAPE | {"attributes": {"kind": "benign"}}).encode(),
        "'kind: benign'",
    ),
    "coco": (b'{"images": [], "annotations": []}', "another tool"),
    "in a remark": (labelme(description="metastasis in L3").encode(), "'description'"),
    "other capitals": (labelme(Flags={"metastasis": True}).encode(), "'Flags'"),
    "list": (b"[1, 2]", "JSON without 'shapes'"),
    "other image": (labelme("P7_anterior", SHAPE).encode(), "'P7_anterior.png'"),
    "deep": (b'{"shapes": ' + b"[" * 100_000, "too many brackets"),
    "10 000": (labelme(NAME, *[SHAPE] * 10_000).encode(), "at most 2000 outlines"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_json_that_cannot_be_used_takes_its_image_out(folder, case):
    contents, reason = DAMAGED[case]
    path = folder / "r3" / f"{NAME}.json"
    path.write_bytes(contents)
    check_left_out(folder, path, reason=reason)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ("", "an empty file"),
        (VOC.format(NAME), "Pascal VOC"),
        ("<annotation><filename>P1_anterior.png</filename><object>", "cannot be read"),
        ("<annotations/>", "another tool"),
        ("<html/>", "XML of a <html>"),
        (MIT.format("<lesion>metastasis</lesion>"), "<lesion> and no object"),
        (MIT.format('<shape points="1,2"/>'), "<shape> and no object"),
        (MIT.format("<![CDATA[<object>]]>"), "text and no object"),
        (
            MIT.format(
                "<object><name>metastasis</name><deleted>1</deleted>"
                "<deleted>0</deleted></object>"
            ),
            "<deleted>, found '0, 1'",
        ),
        ('<annotation xmlns="urn:a"/>', "XML of a <{urn:a}annotation>"),
    ],
)
def test_an_xml_of_another_tool_takes_its_image_out(folder, contents, reason):
    path = folder / "r3" / f"{NAME}.XML"
    path.write_text(contents)
    check_left_out(folder, path, reason=reason)


@pytest.mark.parametrize(
    ("name", "doubted"),
    [
        ("p1_ANTERIOR.json", [NAME]),
        ("P1_anterior (2).json", [NAME]),
        ("P1 ant.json", [NAME]),
        ("P1.xml", [NAME, "P1_posterior"]),
        ("P1_anterior.png.json", [NAME]),
        (".P1_anterior.json", [NAME]),
        ("P1_anterior_anna.json", [NAME]),
        ("P7_anterior.json", []),
        ("settings.json", []),
    ],
)
def test_a_damaged_file_is_about_the_images_that_its_name_may_mean(
    folder, name, doubted
):
    path = folder / "r3" / name
    path.write_text("{")
    check_left_out(folder, path, doubted=doubted)


def test_an_unknown_document_is_about_the_image_of_its_very_name_only(folder):
    sidecar = folder / "r3" / "P1.json"
    sidecar.write_text('{"Manufacturer": "x"}')
    check_left_out(folder, sidecar, doubted=[])


@pytest.mark.parametrize(
    "contents",
    [
        '{"images": [{"file_name": "img/P1_anterior.png"}], "annotations": []}',
        '[{"data": {"image": "P1_anterior.jpg"}}]',
        '{"note": "P1_anterior.png" ',
        '{"a": "\\u0050\\u0031_anterior.png"}',
    ],
)
def test_a_file_is_about_the_images_that_it_quotes(folder, contents):
    path = folder / "all.json"
    path.write_text(contents)
    check_left_out(folder, path)


def test_one_document_of_votes_on_all_images_takes_all_of_them_out(folder):
    images = [{"file_name": f"{name}.png"} for name in {NAME} | OTHERS]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": []}))
    check_left_out(folder, folder / "coco.json", doubted={NAME} | OTHERS)


@pytest.mark.parametrize("name", [".r3/P1_anterior.json", ".a/b/P1_anterior.json"])
def test_a_vote_in_a_hidden_folder_is_no_vote_and_is_not_passed_over(folder, name):
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(labelme(NAME, SHAPE))
    check_left_out(folder, path, reason="in plain sight")


def test_copies_that_programs_keep_are_no_votes(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / f"{NAME}.json").write_text("{")
    (folder / "r3" / f"._{NAME}.json").write_bytes(b"\0\x05\x16\x07\0\x02\0\0")
    by_image, (file,) = find_annotations([folder])
    assert file.path.name == ".git" and "of a program" in file.reason
    assert set(by_image) == {NAME} | OTHERS


@pytest.mark.parametrize(
    "name",
    [
        *("P1_anterior.txt", "P1_anterior.nii.gz", "P1_anterior.json.bak"),
        *("P1_anterior.json.txt", "P1_anterior.json~", "P1_anterior.json "),
        *("P1_anterior", "P1_anterior.JSON.gz", "P1_anterior_mask.png"),
        *("P1_anterior-label.PNG", "P1_anterior.json.crdownload"),
    ],
)
def test_a_file_of_another_tool_takes_its_image_out_unless_labelme_lies_beside(
    folder, name
):
    (folder / "r2" / name).write_text("0 0.5 0.5 0.1 0.1")
    (folder / "r2" / "notes.txt").write_text("P1_anterior.png")
    assert find_annotations([folder]).unused == []
    path = folder / "r3" / name
    path.write_text("0 0.5 0.5 0.1 0.1")
    check_left_out(folder, path, reason="no LabelMe file beside it")


def test_a_folder_in_place_of_a_file_takes_its_image_out(folder):
    path = folder / "r3" / f"{NAME}.json"
    path.mkdir()
    check_left_out(folder, path, reason="directory")


def test_what_lies_beside_the_images_is_no_lost_vote(folder):
    (folder / "r3" / f"{NAME}.png").write_bytes(b"readers drew on it")
    (folder / f"{NAME}").write_bytes(bytes(128) + b"DICM")
    mask = folder / "r2" / "Masks" / f"{NAME}_mask_0.png"
    mask.parent.mkdir()
    Image.new("L", (9, 12), 1).save(mask)
    (folder / "r2" / f"{NAME}.json").unlink()
    (folder / "r2" / f"{NAME}.xml").write_text(
        MIT.format(
            "<imagesize><nrows>12</nrows><ncols>9</ncols></imagesize><object><name>a"
            f"</name><segm><mask>{mask.name}</mask></segm></object>"
        )
    )
    by_image, unused = find_annotations([folder])
    assert unused == [] and set(by_image) == {NAME} | OTHERS


def test_links_that_lead_nowhere_and_links_to_another_vote_are_told(folder):
    for target in (folder / "gone.json", folder / "r2" / f"{NAME}.json"):
        path = folder / "r3" / f"{NAME}.json"
        os.symlink(target, path)
        check_left_out(folder, path)
        path.unlink()


def test_a_folder_that_cannot_be_read_may_hold_a_vote_on_any_image(folder, monkeypatch):
    """Root may read everything, so the system's refusal is played."""
    locked, walk = folder / "r3", os.walk

    def refuse(top, onerror, **options):
        yield from walk(top, onerror=onerror, **options)
        onerror(PermissionError(13, "Permission denied", str(locked)))

    monkeypatch.setattr(os, "walk", refuse)
    by_image, unused = find_annotations([folder])
    assert by_image == {} and "Permission denied" in unused[0].reason
    labelled = find_doubted(unused, {NAME} | OTHERS, outlined=[NAME])
    assert set(labelled) == {NAME}


def test_a_folder_whose_files_nobody_may_open_is_told(folder, monkeypatch):
    """One may list its names, which is what permission r without x gives."""
    status = os.stat

    def refuse(path, **options):
        if "r3/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return status(path, **options)

    (folder / "r3" / "scan.dcm").touch()
    monkeypatch.setattr(os, "stat", refuse)
    errors = []
    assert all(file.parent.name != "r3" for file in walk_files(folder, errors.append))
    assert [error.filename for error in errors] == [str(folder / "r3")]


def test_a_broken_link_to_a_folder_is_a_folder_that_cannot_be_read(folder):
    os.symlink(folder / "unmounted", folder / "r4")
    by_image, unused = find_annotations([folder])
    assert by_image == {} and "leads nowhere" in unused[0].reason


def test_a_broken_link_to_a_scan_is_no_readers_file(folder):
    """It costs no image its votes: what is missed is an image."""
    os.symlink(folder / "unmounted.dcm", folder / "scan.dcm")
    by_image, unused = find_annotations([folder])
    assert NAME in by_image and unused == []


def test_boxes_that_somebody_else_reads_are_no_lost_vote(folder):
    boxes = folder / "r3" / f"{NAME}.xml"
    boxes.write_text(VOC.format(NAME))
    by_image, unused = find_annotations([folder], known=[boxes])
    assert NAME in by_image and unused == []


def test_files_of_one_image_are_told_alike_in_both_forms_of_unicode(folder):
    """A Mac writes ü as u and two dots."""
    for reader, name in (("r1", "M\u00fcller"), ("r2", "Mu\u0308ller")):
        path = folder / reader / f"{name}_anterior.json"
        path.write_text(labelme(f"{name}_anterior"))
        quoted = "Mu\u0308ller" if reader == "r1" else "M\u00fcller"
        path.write_text(labelme(f"{quoted}_anterior"))
    by_image, unused = find_annotations([folder])
    assert unused == []
    assert len(by_image["M\u00fcller_anterior"]) == 2


def test_one_reader_in_two_spellings_has_one_vote(folder):
    (folder / "R2").mkdir()
    (folder / "R2" / f"{NAME}.json").write_text(labelme(NAME, SHAPE))
    check_left_out(folder, folder / "r2" / f"{NAME}.json", reason="by 'R2'")


def test_a_label_that_is_said_twice_is_no_contradiction(folder):
    shape = SHAPE | {"flags": {"metastasis": True, "benign": False}}
    flags = {"Metastasis": True, "SYNTHETIC": True, "normal": False}
    (folder / "r3" / f"{NAME}.json").write_text(labelme(NAME, shape, flags=flags))
    flags = {"normal": True}
    (folder / "r3" / "P2_anterior.json").write_text(labelme("P2_anterior", flags=flags))
    by_image, unused = find_annotations([folder])
    assert unused == [] and len(by_image[NAME]) == len(by_image["P2_anterior"]) == 3
