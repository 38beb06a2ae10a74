"""Tests of `spectjax.imaging.annotations.consensus`, `labelme` and `masks`."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from spectjax.imaging.annotations.consensus import Hotspots, agree, crop_hotspots
from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.annotations.labelme import (
    Annotation,
    AnnotationError,
    NotAnnotationError,
    read_annotation,
)
from spectjax.imaging.annotations.masks import (
    decode_mask,
    encode_grey,
    trace_circle,
)
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.thorax.transform import CropTransform

HW = (12, 9)  # rows, columns
TRIANGLE = [[1, 1], [7, 1], [1, 7]]


def picture(*rows):
    """A mask from rows of text: `#` is set."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def filled(*boxes, hw=HW):
    """A mask with these boxes (y0, x0, y1, x1) set."""
    mask = np.zeros(hw, bool)
    for y0, x0, y1, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def shape(points=TRIANGLE, label="metastasis", kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def write_json(path, *shapes, image=None, hw=HW, **more):
    """Writes wkentaro's LabelMe format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": f"{path.stem}.png" if image is None else image,
        "imageData": None,
        "imageHeight": hw[0],
        "imageWidth": hw[1],
        **more,
    }
    path.write_text(json.dumps(document))
    return path


def xml_object(points=TRIANGLE, label="metastasis", deleted=0, segment=""):
    drawn = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    polygon = f"<polygon><username>anna</username>{drawn}</polygon>" if points else ""
    return (
        f"<object><name>{label}</name><deleted>{deleted}</deleted>"
        f"<id>0</id>{polygon}{segment}</object>"
    )


def write_xml(path, *objects, image=None, hw=HW, before=""):
    """Writes MIT's LabelMe 3.0 format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = f"{path.stem}.png" if image is None else image
    size = f"<imagesize><nrows>{hw[0]}</nrows><ncols>{hw[1]}</ncols></imagesize>"
    path.write_text(
        f"{before}<annotation><filename>{image}</filename><folder>scans</folder>"
        f"{''.join(objects)}{size if hw else ''}</annotation>"
    )
    return path


def encode_png(mask):
    return encode_grey(np.uint8(mask * 255))


def annotation(*regions, reader="reader1", hw=HW, image="P1_anterior"):
    """What a reader marked: regions, or pairs of label and mask."""
    regions = tuple(
        r if isinstance(r, Region) else Region(r[0], None, r[1]) for r in regions
    )
    return Annotation(None, reader, image, hw, regions)


# Masks


def fill_polygon(corners, hw):
    return Region("", corners, None).fill(hw)


def test_a_polygon_takes_pixels_by_their_centres():
    # The edge from (5, 0.2) to (0, 5.2) is x + y = 5.2: the centre of row r, column c
    # is inside when c + r + 1 < 5.2.
    mask = fill_polygon(np.array([[0, 0.2], [5, 0.2], [0, 5.2]]), (6, 6))
    expected = picture("#####.", "####..", "###...", "##....", "#.....", "......")
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_covers_a_rectangle_from_2_to_5_by_the_pixels_2_3_4():
    corners = np.array([[2.0, 1.0], [5.0, 1.0], [5.0, 3.0], [2.0, 3.0]])
    mask = fill_polygon(corners, (4, 7))
    expected = picture(".......", "..###..", "..###..", ".......")
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(fill_polygon(corners[::-1], (4, 7)), expected)


def test_a_polygon_gives_centres_on_an_edge_to_the_polygon_on_the_right():
    # Both edges x = 2.5 and y = 1.5 run through centres of pixels.
    left = fill_polygon(np.array([[0, 0], [2.5, 0], [2.5, 1.5], [0, 1.5]]), (3, 5))
    np.testing.assert_array_equal(left, picture("##...", ".....", "....."))
    right = fill_polygon(np.array([[2.5, 0], [5, 0], [5, 1.5], [2.5, 1.5]]), (3, 5))
    np.testing.assert_array_equal(right, picture("..###", ".....", "....."))


def test_a_polygon_divides_the_image_among_polygons_that_share_edges():
    # A fan of triangles around a point, in both senses of rotation.
    rng = np.random.default_rng(0)
    border = np.array([[0, 0], [3, 0], [9, 0], [9, 5], [9, 12], [4, 12], [0, 12]])
    for _ in range(50):
        centre = rng.integers(2, 14, 2) / 2
        count = np.zeros(HW, int)
        for i, (one, other) in enumerate(
            zip(border, np.roll(border, -1, axis=0), strict=True)
        ):
            triangle = np.array([one, other, centre])[:: 1 if i % 2 else -1]
            count += fill_polygon(triangle, HW)
        np.testing.assert_array_equal(count, 1)


def test_a_polygon_leaves_out_what_is_enclosed_twice():
    # One line around (0, 0)-(6, 6), then around (2, 2)-(4, 4).
    ring = [[0, 0], [6, 0], [6, 6], [0, 6], [0, 0], [2, 2], [4, 2], [4, 4], [2, 4]]
    mask = fill_polygon(np.array([*ring, [2, 2]], float), (6, 7))
    expected = filled((0, 0, 6, 6), hw=(6, 7)) & ~filled((2, 2, 4, 4), hw=(6, 7))
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_cuts_at_the_border_of_the_image():
    corners = np.array([[-3.0, -2.0], [2.0, -2.0], [2.0, 99.0], [-3.0, 99.0]])
    np.testing.assert_array_equal(fill_polygon(corners, HW), filled((0, 0, 12, 2)))


def test_trace_circle_encloses_the_centres_within_its_radius():
    centre, edge = (4.2, 5.7), (6.5, 4.1)
    radius = np.hypot(2.3, 1.6)
    y, x = np.indices(HW) + 0.5
    expected = np.hypot(x - centre[0], y - centre[1]) < radius
    mask = fill_polygon(trace_circle(centre, edge), HW)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_decode_mask_takes_what_is_neither_black_nor_transparent(channels):
    mask = filled((1, 2, 4, 7))
    grey = np.uint8(mask * 200)
    layers = {
        1: grey,
        2: np.stack([np.full(HW, 9, np.uint8), grey], axis=2),
        3: np.stack([grey * 0, grey, grey * 0], axis=2),
        4: np.stack([grey, grey, grey, grey * 0 + 255], axis=2),
    }
    stream = io.BytesIO()
    Image.fromarray(layers[channels]).save(stream, "png")
    np.testing.assert_array_equal(decode_mask(stream.getvalue(), HW), mask)


def test_encode_grey_is_read_back_by_another_library():
    picture = np.arange(12 * 9, dtype=np.uint8).reshape(HW) * 2
    stream = io.BytesIO(encode_grey(picture))
    np.testing.assert_array_equal(np.asarray(Image.open(stream)), picture)


def test_decode_mask_refuses_another_size_before_it_unpacks():
    huge = bytearray(encode_png(filled((1, 2, 4, 7))))
    huge[16:24] = (10**6).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="of 12x9 pixels, found none that opens"):
        decode_mask(bytes(huge), HW)


# Files


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


# Consensus


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(1, 1, 5, 4)], (1, 1, 5, 4)),  # 1 of 1
        ([(1, 1, 5, 4), (2, 0, 6, 3)], (2, 1, 5, 3)),  # 2 of 2
        ([(1, 1, 5, 4), (2, 0, 6, 3), (2, 0, 6, 3)], (2, 0, 6, 3)),  # 2 of 3
        ([(1, 1, 5, 4), None, (2, 1, 5, 3)], (2, 1, 5, 3)),  # 2 of 3
        ([(1, 1, 5, 4), None], None),  # 1 of 2
        ([(1, 1, 5, 4), (1, 1, 5, 4), None, None], None),  # 2 of 4
    ],
)
def test_agree_keeps_what_a_strict_majority_marked(boxes, expected):
    readers = [
        annotation(*[("metastasis", filled(box))] if box else [], reader=str(i))
        for i, box in enumerate(boxes)
    ]
    hotspots = agree(readers, HW)
    union = hotspots.masks.any(axis=0)
    np.testing.assert_array_equal(union, filled(expected) if expected else filled())
    assert hotspots.labels == ("metastasis",) * (expected is not None)


def test_agree_separates_hotspots_that_do_not_touch_even_by_a_corner():
    touching = filled((1, 1, 3, 3), (3, 3, 5, 4))
    apart = filled((8, 1, 9, 6))
    hotspots = agree([annotation(("metastasis", touching | apart))], HW)
    np.testing.assert_array_equal(hotspots.masks, [touching, apart])
    assert hotspots.masks.dtype == bool


def test_agree_counts_a_reader_once_where_his_regions_overlap():
    twice = annotation(("a", filled((1, 1, 4, 4))), ("a", filled((2, 2, 6, 6))))
    hotspots = agree([twice, annotation(reader="reader2")], HW)
    assert len(hotspots.masks) == 0


def test_agree_gives_a_hotspot_the_label_of_most_of_its_pixels():
    wide, narrow = filled((1, 1, 5, 5)), filled((1, 1, 4, 5))
    readers = [
        annotation(("fracture", narrow), reader="1"),
        annotation(("metastasis", wide), reader="2"),
        annotation(("fracture", narrow), reader="3"),
    ]
    assert agree(readers, HW).labels == ("fracture",)
    assert agree(readers[:2], HW).labels == ("fracture",)  # equal: by the alphabet


def test_agree_of_readers_who_saw_nothing_has_no_hotspot():
    hotspots = agree([annotation()], HW)
    assert (hotspots.masks.shape, hotspots.labels) == ((0, *HW), ())


def test_agree_fills_polygons():
    polygon = Region("metastasis", np.array([[2.0, 1], [5, 1], [5, 3], [2, 3]]), None)
    hotspots = agree([annotation(polygon)], HW)
    np.testing.assert_array_equal(hotspots.masks, [filled((1, 2, 3, 5))])


def outline(*points):
    return Region("metastasis", np.array(points, np.float64), None)


EMPTY = {
    "collapsed": outline((2, 2), (2, 2), (2, 2)),
    "collinear": outline((1, 1.5), (4, 1.5), (7, 1.5)),
    "thin": outline((1, 1.6), (8, 1.6), (8, 1.9), (1, 1.9)),
    "tiny": outline((1.1, 1.1), (1.4, 1.1), (1.4, 1.4)),
    "at the edge": outline((-1, 1), (0, 1), (0, 8), (-1, 8)),
    "no pixel": Region("metastasis", None, filled()),
    "no size": Region("metastasis", None, np.zeros((0, 0), bool)),
}


@pytest.mark.parametrize("case", EMPTY)
def test_agree_takes_no_outline_without_a_pixel_for_none_drawn(case):
    """Neither alone nor beside one that is large enough."""
    large = outline((1, 1), (7, 1), (7, 7), (1, 7))
    for regions in ((EMPTY[case],), (large, EMPTY[case])):
        with pytest.raises(AnnotationError, match="'metastasis' without any"):
            agree([annotation(*regions)], HW)


def test_agree_refuses_more_than_readers_draw_before_it_asks_for_memory():
    """One mask for each dot of the first would take 16 GiB."""
    dots = np.zeros((1024, 256), bool)
    dots[::2, ::2] = True
    large = outline((0, 0), (256, 0), (256, 1024), (0, 1024))
    for regions, found in (
        ([("metastasis", dots)], "at most 1000 separate hotspots, found 65536"),
        ([large] * 300, "300 outlines around more"),
    ):
        with pytest.raises(AnnotationError, match=found):
            agree([annotation(*regions, hw=(1024, 256))], (1024, 256))


@pytest.mark.parametrize("hw", [(24, 18), (9, 12)])
def test_agree_refuses_annotations_of_another_size(hw):
    with pytest.raises(AnnotationError, match="12x9 .*found 24x18|9x12"):
        agree([annotation(hw=hw)], HW)


def test_agree_checks_polygons_when_the_file_states_no_size():
    region = Region("metastasis", np.array([[2.0, 1], [50, 1], [5, 30]]), None)
    with pytest.raises(AnnotationError, match="inside the frame of 12x9"):
        agree([annotation(region, hw=None)], HW)


@pytest.mark.parametrize(
    "annotations",
    [
        [],
        [annotation(), annotation()],
        [annotation(), annotation(reader="reader2", image="P2_anterior")],
    ],
)
def test_agree_refuses_what_is_not_one_image_read_once_by_each(annotations):
    with pytest.raises(ValueError, match="one image by different readers"):
        agree(annotations, HW)


def test_crop_hotspots_moves_masks_and_drops_those_outside():
    numbers = np.zeros(HW, np.int32)
    numbers[:2, :2], numbers[4:7, 3:5], numbers[6:12, 7:9] = 1, 2, 3
    transform = CropTransform(box=(5, 2, 9, 8), frame_hw=HW, canvas_hw=(8, 8))
    hotspots = crop_hotspots(Hotspots(numbers, ("a", "b", "c")), transform)
    # The box's corner (5, 2) lands on (2, 1) of the canvas.
    expected = [filled((2, 2, 4, 4), hw=(8, 8)), filled((3, 6, 6, 7), hw=(8, 8))]
    np.testing.assert_array_equal(hotspots.masks, expected)
    assert hotspots.labels == ("b", "c")


def test_crop_hotspots_of_none_is_none():
    transform = CropTransform(box=(5, 2, 9, 8), frame_hw=HW, canvas_hw=(8, 8))
    hotspots = crop_hotspots(Hotspots(np.zeros(HW, np.int32), ()), transform)
    assert hotspots.masks.shape == (0, 8, 8)
