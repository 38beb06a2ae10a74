"""What real scans do to a crop, each as a change to a phantom patient's image.

A change is made to the expected image of a `Scene`, and to its masks of ribs and
shoulders where it moves them, so that the true box is always known.
"""

import numpy as np
from scipy import ndimage

from tests.support.hard_pictures import (
    bladder_cut_away,
    figure_that_ends_at_head_and_feet,
    picture_of_8_bits,
    picture_windowed_to_a_urine_bag,
    picture_windowed_to_bones,
    picture_windowed_to_the_brightest_bones,
)
from tests.support.hard_scenes import line

# What is hot and is no bone.


def urine_bag_below_the_feet(scene):
    row = scene.bones["left foot"][2]
    scene.add(row + 25, scene.centre("left foot")[1], 15, 28, 6)


def urine_bag_beside_the_leg(scene):
    y0, x0, y1, x1 = scene.bones["right femur"]
    column = x1 + 18 if scene.outwards("right femur") > 0 else x0 - 18
    scene.add((y0 + y1) / 2, column, 40, 15, 8)


def urine_bag_between_the_legs_on_its_catheter(scene):
    row, column = scene.centre("left femur")[0], scene.centre("sacrum")[1]
    start = scene.centre("sacrum")
    scene.expected = scene.expected + 0.5 * scene.bright * line(
        scene.expected.shape, start, (row, column)
    )
    scene.add(row, column, 32, 11, 6)


def catheter_down_one_leg(scene):
    start, end = scene.centre("sacrum"), scene.centre("left tibia")
    scene.expected = scene.expected + scene.bright * line(
        scene.expected.shape, start, end
    )


def full_bladder(scene):
    row, column = scene.centre("sacrum")
    scene.add(row + 8, column, 28, 32, 12)


def injection_at_the_wrist(scene):
    y0, _, _, _ = scene.bones["left hand"]
    scene.add(y0 + 4, scene.centre("left hand")[1], 6, 6, 30)


def injection_at_the_elbow(scene):
    y0, _, _, _ = scene.bones["left ulna"]
    scene.add(y0, scene.centre("left ulna")[1], 6, 6, 30)


def infiltrated_injection(scene):
    y0, _, _, _ = scene.bones["left ulna"]
    scene.add(y0 - 5, scene.centre("left ulna")[1], 22, 11, 10)


def port_in_the_chest(scene):
    row, column = scene.centre("T3")
    scene.add(row, column + 35, 5, 5, 12)


def thyroid(scene):
    row, column = scene.bones["T1"][0], scene.centre("T1")[1]
    for side in (-1, 1):
        scene.add(row, column + 7 * side, 9, 5, 10)


def hot_kidneys(scene):
    row, column = scene.centre("L1")
    for side in (-1, 1):
        scene.add(row, column + 30 * side, 20, 11, 3)


def contamination_on_the_blanket(scene):
    scene.add(scene.bones["left femur"][0] + 30, 245, 30, 5, 3)


# What is hot and is bone.


def hot_humerus(scene):
    y0, x0, y1, x1 = scene.bones["left humerus"]
    outwards = scene.outwards("left humerus")
    start, end = (y0 + 8, x1 - 9), (y1 - 4, x0 + 9)
    if outwards < 0:
        start, end = (y0 + 8, x0 + 9), (y1 - 4, x1 - 9)
    start, end = (start[0], (x0 + x1) / 2), (end[0], (x0 + x1) / 2)
    scene.expected = scene.expected + 2 * scene.bright * line(
        scene.expected.shape, start, end
    )


def superscan(scene):
    rng = np.random.default_rng(1)
    scene.expected = scene.expected * 0.7
    kinds = ("T", "L", "sternum", "left scap", "right scap", "left hip", "right hip")
    for name, (y0, x0, y1, x1) in scene.bones.items():
        if name.startswith(kinds):
            for _ in range(2):
                scene.add(rng.uniform(y0, y1), rng.uniform(x0, x1), 5, 5, 0.7)


def hot_lesion_of_the_lowest_ribs(scene):
    _, _, bottom, right = scene.box
    scene.add(bottom - 8, right - 20, 6, 8, 4)


def hot_iliac_crest(scene):
    y0, x0, _, x1 = scene.bones["left hip bone"]
    scene.add(y0 + 8, (x0 + x1) / 2, 7, 11, 5)


def hot_node_above_the_shoulder(scene):
    y0, x0, _, x1 = scene.bones["right clavicle"]
    scene.add(y0 - 16, (x0 + x1) / 2, 5, 5, 5)


# What is cold or gone.


def pacemaker(scene):
    row, column = scene.centre("T3")
    scene.dim(row, column - 38, 11, 11, 0.8)


def metal_shoulder(scene):
    row, column = scene.bones["left humerus"][0] + 12, scene.centre("left clavicle")[1]
    scene.dim(row, column + 20 * scene.outwards("left humerus"), 16, 13, 0.85)


def cold_half_of_the_chest(scene):
    row, column = scene.centre("T7")
    scene.dim(row, column + 38, 34, 24, 0.6)


def cold_half_of_the_pelvis(scene):
    row, column = scene.centre("left hip bone")
    scene.dim(row, column, 28, 24, 0.85)


def one_leg_amputated(scene):
    y0, x0, _, x1 = scene.bones["left femur"]
    middle = int(scene.centre("sacrum")[1])
    half = slice(middle, None) if (x0 + x1) / 2 > middle else slice(0, middle)
    scene.expected = scene.expected.copy()
    scene.expected[y0 + 50 :, half] = 0.05


def both_legs_amputated(scene):
    scene.expected = scene.expected.copy()
    scene.expected[scene.bones["left femur"][0] + 60 :] = 0.05


# How the patient lies and what the frame holds of him.


def turn(degrees):
    def change(image):
        order = 0 if image.dtype == bool else 1
        turned = ndimage.rotate(
            image.astype(float), degrees, reshape=False, order=order, cval=0
        )
        return turned > 0.5 if image.dtype == bool else np.maximum(turned, 0)

    return change


def tilted_by_four_degrees(scene):
    scene.move(turn(4))


def tilted_the_other_way(scene):
    scene.move(turn(-3.5))


def head_much_lower(scene):
    scene.move(lambda image: np.roll(image, 110, axis=0))


def head_bent_onto_the_chest(scene):
    # The neck is gone; the head covers the first rows of the shoulders.
    end = scene.box[0] - 4
    head = np.zeros_like(scene.expected)
    head[24 : end + 24] = scene.expected[:end]
    below = scene.expected.copy()
    below[:end] = 0
    scene.expected = below + head


def narrow_chest(scene):
    # Rib cage over legs as in slim people: they keep their hips.
    top, left, bottom, right = scene.box
    middle, height = (left + right) / 2, bottom - top
    rows = np.arange(len(scene.expected))
    above_hips = np.clip((bottom + 0.35 * height - rows) / (0.35 * height), 0, 1)
    below_neck = np.clip((rows - top + 0.2 * height) / (0.1 * height), 0, 1)
    narrowing = 1 - 0.14 * above_hips * below_neck

    def narrow(image):
        columns = (np.arange(image.shape[1]) - middle) / narrowing[:, None] + middle
        places = np.broadcast_arrays(rows[:, None], columns)
        order = 0 if image.dtype == bool else 1
        return ndimage.map_coordinates(image, places, order=order)

    scene.move(narrow)


def arms_that_touch_the_ribs(scene):
    _, left, _, right = scene.box
    gone = 10
    image = scene.expected
    narrow = [
        np.full((len(image), gone), 0.05),
        image[:, : left - 3 - gone],
        image[:, left - 3 : right + 3],
        image[:, right + 3 + gone :],
        np.full((len(image), gone), 0.05),
    ]
    scene.expected = np.concatenate(narrow, axis=1)


def arms_cut_by_the_field(scene):
    _, left, _, right = scene.box
    scene.expected = scene.expected.copy()
    scene.expected[:, : max(0, left - 14)] = 0
    scene.expected[:, right + 14 :] = 0


def arms_cut_by_the_frame(scene):
    _, left, _, right = scene.box
    seen = slice(max(0, left - 14), right + 14)
    scene.move(lambda image: image[:, seen])


def feet_cut(scene):
    end = scene.bones["left tibia"][2] - 20
    scene.move(lambda image: image[:end])


def feet_outside_the_field(scene):
    scene.expected = scene.expected.copy()
    scene.expected[scene.bones["left tibia"][2] - 20 :] = 0


def legs_outside_the_field(scene):
    scene.expected = scene.expected.copy()
    scene.expected[scene.bones["left femur"][0] + 50 :] = 0


def head_cut(scene):
    start = scene.bones["skull"][0] + 30
    scene.move(lambda image: image[start:])


def feet_first(scene):
    scene.move(lambda image: image[::-1, ::-1])


def lying_across(scene):
    scene.move(lambda image: image.T)


# How it was measured.


def few_counts(scene):
    scene.counts = 0.3e6


def slow_scan(scene):
    scene.counts = 4e6


def unknown_spacing(scene):
    scene.spacing_mm = None


def scale(factor):
    def change(image):
        order = 0 if image.dtype == bool else 1
        scaled = ndimage.zoom(
            image.astype(float), factor, order=order, grid_mode=True, mode="nearest"
        )
        return scaled > 0.5 if image.dtype == bool else np.maximum(scaled, 0)

    return change


def pixels_of_1_8_mm(scene):
    scene.move(scale(scene.spacing_mm / 1.8))
    scene.spacing_mm = 1.8


def pixels_of_2_8_mm(scene):
    scene.move(scale(scene.spacing_mm / 2.8))
    scene.spacing_mm = 2.8


def halve(image):
    blocks = image.reshape(512, 2, 128, 2)
    return blocks.any(axis=(1, 3)) if image.dtype == bool else blocks.sum(axis=(1, 3))


def matrix_of_512x128(scene):
    scene.move(halve)
    scene.spacing_mm *= 2


def matrix_of_512x128_and_unknown_spacing(scene):
    scene.move(halve)
    scene.spacing_mm = None


def matrix_of_1024x512(scene):
    scene.move(lambda image: np.pad(image, ((0, 0), (128, 128))))


def pixels_that_are_not_square(scene):
    scene.expected = scene.expected.reshape(512, 2, 256).sum(axis=1)
    scene.ribs, scene.shoulders = scene.ribs[::2], scene.shoulders[::2]
    scene.spacing_mm = (2 * scene.spacing_mm, scene.spacing_mm)


FOUND = (
    urine_bag_below_the_feet,
    urine_bag_beside_the_leg,
    urine_bag_between_the_legs_on_its_catheter,
    catheter_down_one_leg,
    full_bladder,
    injection_at_the_wrist,
    injection_at_the_elbow,
    port_in_the_chest,
    thyroid,
    hot_kidneys,
    contamination_on_the_blanket,
    hot_humerus,
    superscan,
    hot_lesion_of_the_lowest_ribs,
    hot_iliac_crest,
    pacemaker,
    metal_shoulder,
    cold_half_of_the_pelvis,
    one_leg_amputated,
    tilted_by_four_degrees,
    tilted_the_other_way,
    head_much_lower,
    arms_that_touch_the_ribs,
    arms_cut_by_the_field,
    arms_cut_by_the_frame,
    few_counts,
    slow_scan,
    unknown_spacing,
    pixels_of_1_8_mm,
    pixels_of_2_8_mm,
    matrix_of_512x128,
    matrix_of_512x128_and_unknown_spacing,
    matrix_of_1024x512,
    narrow_chest,
    picture_of_8_bits,
    figure_that_ends_at_head_and_feet,
    bladder_cut_away,
)
EITHER = (
    infiltrated_injection,
    hot_node_above_the_shoulder,
    cold_half_of_the_chest,
    head_bent_onto_the_chest,
    feet_outside_the_field,
    picture_windowed_to_bones,
    picture_windowed_to_the_brightest_bones,
    picture_windowed_to_a_urine_bag,
)
LOST = (
    both_legs_amputated,
    feet_cut,
    legs_outside_the_field,
    head_cut,
    feet_first,
    lying_across,
    pixels_that_are_not_square,
)
