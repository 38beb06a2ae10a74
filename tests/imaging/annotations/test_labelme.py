"""Tests of `spectjax.imaging.annotations.labelme`: both kinds of files."""

import base64

import numpy as np
import pytest

from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.annotations.labelme import (
    AnnotationError,
    NotAnnotationError,
    read_annotation,
)
from spectjax.imaging.annotations.masks import (
    encode_grey,
)
from tests.support.labelme_files import (
    HW,
    TRIANGLE,
    encode_png,
    filled,
    picture,
    shape,
    write_json,
    write_xml,
    xml_object,
)


def test_read_annotation_reads_polygons_rectangles_and_circles(tmp_path):
    path = write_json(
        tmp_path / "reader2" / "P1_anterior.json",
        shape(),
        shape([[5, 6], [2, 4]], "rib", "rectangle"),
        shape([[4, 6], [4, 8]], kind="circle"),
    )
    result = read_annotation(path)
    assert (result.reader, result.image_name) == ("reader2", "P1_anterior")
    assert result.image_hw == HW
    assert [r.label for r in result.regions] == ["metastasis", "rib", "metastasis"]
    np.testing.assert_array_equal(result.regions[0].polygon_xy, TRIANGLE)
    np.testing.assert_array_equal(result.regions[1].fill(HW), filled((4, 2, 6, 5)))
    # Centres within 2 of (4, 6): rows and columns of at most 0.5 and 1.5 from it.
    expected = filled((5, 2, 7, 6), (4, 3, 8, 5), (4, 2, 8, 6))
    expected &= ~filled((4, 2, 5, 3), (4, 5, 5, 6), (7, 2, 8, 3), (7, 5, 8, 6))
    np.testing.assert_array_equal(result.regions[2].fill(HW), expected)


def test_read_annotation_reads_the_polygons_of_mit_but_not_the_deleted(tmp_path):
    path = write_xml(
        tmp_path / "P1_anterior.xml",
        xml_object(),
        xml_object([[0, 0], [1, 0], [1, 1]], deleted=1),
        xml_object([[2, 3], [4.5, 3], [4.5, 8]], label=" other "),
    )
    result = read_annotation(path)
    assert (result.image_name, result.image_hw) == ("P1_anterior", HW)
    assert [r.label for r in result.regions] == ["metastasis", "other"]
    np.testing.assert_array_equal(result.regions[0].polygon_xy, TRIANGLE)


@pytest.mark.parametrize("folder", [".", "Masks", "../../Masks/scans"])
def test_read_annotation_reads_the_masks_of_mit(tmp_path, folder):
    mask = filled((3, 1, 9, 4), (2, 6, 3, 9))
    segment = "<segm><mask>P1_mask_0.png</mask><box><xmin>1</xmin></box></segm>"
    path = tmp_path / "Annotations" / "scans" / "P1_anterior.xml"
    write_xml(path, xml_object((), segment=segment))
    (path.parent / folder).mkdir(parents=True, exist_ok=True)
    (path.parent / folder / "P1_mask_0.png").write_bytes(encode_png(mask))
    (region,) = read_annotation(path).regions
    np.testing.assert_array_equal(region.fill(HW), mask)


def test_read_annotation_places_the_mask_of_a_shape_at_its_corner(tmp_path):
    small = picture("#..", "##.", "###", "#.#")
    encoded = base64.b64encode(encode_png(small)).decode()
    path = write_json(
        tmp_path / "P1_anterior.json",
        shape([[2, 5], [4, 8]], kind="mask", mask=encoded),
    )
    expected = np.zeros(HW, bool)
    expected[5:9, 2:5] = small
    (region,) = read_annotation(path).regions
    np.testing.assert_array_equal(region.fill(HW), expected)


def test_read_annotation_without_shapes_says_no_lesion(tmp_path):
    assert read_annotation(write_json(tmp_path / "P1_anterior.json")).regions == ()
    assert read_annotation(write_xml(tmp_path / "P1_anterior.xml")).regions == ()


def test_read_annotation_takes_the_last_part_of_a_path_from_windows(tmp_path):
    image = "..\\pictures\\1.2.840_anterior.PNG"
    path = write_json(tmp_path / "1.2.840_anterior.json", image=image, hw=(None, None))
    result = read_annotation(path)
    assert (result.image_name, result.image_hw) == ("1.2.840_anterior", None)


def test_read_annotation_forgives_a_point_one_pixel_beyond_the_border(tmp_path):
    points = [[-1, 2], [9.9, 2], [4, 12.5]]
    path = write_json(tmp_path / "P1_anterior.json", shape(points))
    assert len(read_annotation(path).regions) == 1


NAN = float("nan")
BAD_SHAPES = {
    "two points": (shape(TRIANGLE[:2]), "at least three points .* found 2"),
    "no points": (shape(None), r"points \(x, y\)"),
    "three coordinates": (shape([[1, 2, 3]] * 3), r"points \(x, y\)"),
    "words": (shape([["a", "b"]] * 3), r"points \(x, y\)"),
    "not a number": (shape([[1, 1], [NAN, 2], [3, 4]]), "finite"),
    "infinity": (shape([[1, 1], [float("inf"), 2], [3, 4]]), "finite"),
    "huge": (shape([[1, 1], [1e300, 2], [3, 4]]), "inside the frame of 12x9"),
    "outside": (shape([[1, 1], [8, 2], [3, 14]]), "y from 1 to 14"),
    "unknown kind": (shape(kind="linestrip"), "found the shape 'linestrip'"),
    "no label": (shape(label=""), "label"),
    "flat rectangle": (shape([[2, 2], [2, 2]], kind="rectangle"), "two different"),
    "rectangle of three": (shape(kind="rectangle"), "two different"),
    "empty circle": (shape([[2, 2], [2, 2]], kind="circle"), "two different"),
    "mask of text": (shape([[1, 1], [2, 2]], kind="mask", mask="!"), "base64"),
    "two in four": (shape([[1, 1], [7, 1], [6, 7], [1, 7]], kind="rectangle"), "four"),
    "turned triangle": (shape(kind="rotation"), "of four corners"),
    "no corner": (shape([], kind="mask"), r"points \(x, y\)"),
    "mask of null": (shape([[1, 1], [2, 2]], kind="mask"), "PNG of 2x2"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_read_annotation_refuses_impossible_shapes(tmp_path, case):
    bad, message = BAD_SHAPES[case]
    path = write_json(tmp_path / "P1_anterior.json", shape(), bad)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(f"{path}: expected")


BAD_XML = {
    "two points": (xml_object(TRIANGLE[:2]), "three points"),
    "outside": (xml_object([[1, 1], [8, 2], [3, 14]]), "inside the frame"),
    "nan": (xml_object([[1, 1], ["nan", 2], [3, 4]]), "finite"),
    "words": (xml_object([[1, 1], ["x", 2], [3, 4]]), "number, found 'x'"),
    "two readers": (
        xml_object().replace("anna", "bob"),
        "one reader, found 2, by <username>",
    ),
    "attribute": (
        xml_object(segment="<attributes>benign</attributes>"),
        "the attributes 'benign'",
    ),
    "deleted by word": (xml_object(deleted="yes"), "0 or 1 in <deleted>, found 'yes'"),
    "two polygons": (
        xml_object(segment="<polygon><pt><x>1</x><y>1</y></pt></polygon>"),
        "found 2 and 0",
    ),
    "in a list": (f"<objects>{xml_object()}</objects>", "in another place"),
    "capitals": ("<Object><name>a</name></Object>", "in another place"),
    "nothing drawn": (xml_object(()), "polygon or a segmentation mask"),
    "no file": (
        xml_object((), segment="<segm><mask>no.png</mask></segm>"),
        "mask file 'no.png' beside",
    ),
    "traversal": (
        xml_object((), segment="<segm><mask>../secret.png</mask></segm>"),
        "plain name of a mask file",
    ),
    "absolute": (
        xml_object((), segment="<segm><mask>/etc/passwd</mask></segm>"),
        "plain name of a mask file",
    ),
    "parent": (
        xml_object((), segment="<segm><mask>..</mask></segm>"),
        "plain name of a mask file",
    ),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_read_annotation_refuses_impossible_objects(tmp_path, case):
    bad, message = BAD_XML[case]
    (tmp_path / "secret.png").write_bytes(encode_png(filled()))
    path = write_xml(tmp_path / "reader" / "P1_anterior.xml", xml_object(), bad)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(f"{path}: expected")


def test_read_annotation_reads_the_rectangles_of_x_anylabeling(tmp_path):
    corners = [[2, 4], [5, 4], [5, 6], [2, 6]]
    turned = [[1, 3], [3, 1], [5, 3], [3, 5]]
    path = write_json(
        tmp_path / "P1_anterior.json",
        shape(corners, kind="rectangle", difficult=False, attributes={}),
        shape(corners[::-1], kind="rectangle"),
        shape(turned, kind="rotation", direction=0.78),
    )
    first, second, third = read_annotation(path).regions
    np.testing.assert_array_equal(first.fill(HW), filled((4, 2, 6, 5)))
    np.testing.assert_array_equal(second.fill(HW), filled((4, 2, 6, 5)))
    assert third.fill(HW).sum() == 8  # |x - 3| + |y - 3| < 2, by hand


def embed(hw):
    return base64.b64encode(encode_grey(np.zeros(hw, np.uint8))).decode()


def test_read_annotation_takes_the_size_of_the_embedded_picture(tmp_path):
    path = tmp_path / "P1_anterior.json"
    unstated = (None, None)
    write_json(path, shape(), hw=unstated, imageData=embed(HW))
    assert read_annotation(path).image_hw == HW
    write_json(path, shape(), imageData=embed(HW))
    assert read_annotation(path).image_hw == HW
    for more, found in (
        ({"hw": unstated, "imageData": embed((6, 4))}, "inside the frame of 6x4"),
        ({"imageData": embed((24, 18))}, "24x18, found 12x9"),
        ({"imageData": "AAAA"}, "none that opens"),
        ({"hw": (12, None)}, "one without"),
        ({"hw": (65535, 65535)}, "found 65535 x 65535"),
    ):
        write_json(path, shape(), **more)
        with pytest.raises(AnnotationError, match=found):
            read_annotation(path)


def test_read_annotation_expands_no_entity(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;">]>'
    path = write_xml(tmp_path / "P1_anterior.xml", xml_object(label="&y;"), before=bomb)
    with pytest.raises(AnnotationError, match="document type"):
        read_annotation(path)


def test_read_annotation_names_both_images_when_they_differ(tmp_path):
    for path in (
        write_json(tmp_path / "P1_anterior.json", image="P2_anterior.png"),
        write_xml(tmp_path / "P1_anterior.xml", image="P2_anterior.png"),
    ):
        with pytest.raises(AnnotationError, match="'P1_anterior'.*'P2_anterior.png'"):
            read_annotation(path)


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.json", "{"),
        ("a.json", '{"shapes": 3, "imagePath": "a.png"}'),
        ("a.json", '{"shapes": [3], "imagePath": "a.png"}'),
        ("a.json", '{"shapes": []}'),
        ("a.json", '{"shapes":[],"imagePath":"a","imageHeight":-1,"imageWidth":2}'),
        ("a.json", '{"shapes": ' + "[" * 100_000),
        ("a.xml", "<annotation>"),
        ("a.xml", "<annotation></annotation>"),
    ],
)
def test_read_annotation_refuses_damaged_files(tmp_path, name, contents):
    path = tmp_path / name
    path.write_text(contents)
    with pytest.raises(AnnotationError) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_read_annotation_tells_files_of_another_kind(tmp_path):
    (tmp_path / "a.json").write_text('{"seed": 0}')
    (tmp_path / "a.xml").write_text("<html></html>")
    for name in ("a.json", "a.xml"):
        with pytest.raises(NotAnnotationError, match="LabelMe"):
            read_annotation(tmp_path / name)


def test_find_annotations_sorts_by_image_and_reader(tmp_path):
    write_json(tmp_path / "readers" / "b" / "P1_anterior.json")
    write_xml(tmp_path / "readers" / "a" / "P1_anterior.xml")
    write_json(tmp_path / "readers" / "b" / "P1_posterior.json", shape())
    write_json(tmp_path / "readers" / "b" / "P2_anterior.json", image="other.png")
    (tmp_path / "phantom.json").write_text('{"seed": 0}')
    (tmp_path / "P1.dcm").write_bytes(b"")

    found, (error,) = find_annotations([tmp_path])
    readers = {image: [a.reader for a in every] for image, every in found.items()}
    assert readers == {"P1_anterior": ["a", "b"], "P1_posterior": ["b"]}
    assert "P2_anterior" in str(error)


def test_find_annotations_leaves_out_an_image_that_a_reader_annotated_twice(tmp_path):
    write_json(tmp_path / "a" / "P1_anterior.json")
    write_xml(tmp_path / "a" / "P1_anterior.xml")
    write_json(tmp_path / "b" / "P1_anterior.json")
    write_json(tmp_path / "a" / "P2_anterior.json")
    found, (error, *others) = find_annotations([tmp_path])
    assert list(found) == ["P2_anterior"]
    assert "P1_anterior.xml" in str(error) and "P1_anterior.json" in str(error)
    assert {file.path.parent.name for file in others} == {"a", "b"}


def test_find_annotations_names_a_file_that_is_missing_or_of_another_kind(tmp_path):
    other = tmp_path / "phantom.json"
    other.write_text("{}")
    found, errors = find_annotations([other, tmp_path / "missing.json"])
    assert found == {}
    assert [str(error).split(":")[0] for error in errors] == [
        str(other),
        str(tmp_path / "missing.json"),
    ]
