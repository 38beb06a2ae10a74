"""How a patient differs from the reference one and lies on the table.

A posture maps reference millimetres to the patient's and these to pixels; bones,
organs, outline and lesions all go through the same maps.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spectjax.phantom.body import Limb, build_outline
from spectjax.phantom.skeleton import SEGMENTS

_HEAD, _TRUNK, _GIRDLE, _ARM, _FOREARM, _LEG, _SHANK = range(len(SEGMENTS))
# Vertex, top of the shoulders, lowest rib, iliac crest, hip, knee, ankle, toes: between
# them the length of a patient may differ from the reference, each part by a factor of
# its own.
_STATIONS_MM = np.array([0.0, 245.0, 575.0, 640.0, 790.0, 1190.0, 1600.0, 1740.0])
_HIP_MM = 790.0
_SHOULDER_MM = 290.0
_LEANEST = 0.9  # of the reference's half width, a trunk without fat
_HEAD_AXIS_MM = 5.0  # depth of the axis about which the head turns
# Height of children in that of adults (CDC growth charts, both sexes).
_GROWTH_YEARS, _GROWTH = [8, 10, 12, 14, 16, 18], [0.75, 0.81, 0.88, 0.95, 0.985, 1.0]
_JOINTS_MM = {
    "neck": (0.0, 240.0),
    "shoulder": (166.0, 281.0),
    "elbow": (198.0, 566.0),
    "hip": (92.0, 786.0),
}


@dataclass(frozen=True)
class Posture:
    """Size and position of one patient. Pairs are (right, left), angles in radians.

    Attributes:
        stretch: lengths of head, chest, flank, pelvis, thigh, shank and foot, factors.
        breadth: width of the skeleton, and depth of arms and legs, factor.
        head_breadth: width and depth of the head, factor.
        chest_breadth: width of the rib cage in that of the skeleton, factor.
        chest_depth: depth of the trunk, factor.
        girth: thickness of the soft parts, factor of the half axes.
        scapula_stretch: how far its tip lies below the shoulder, factor.
        scapula_turns: of the tips outwards.
        shoulder_drop_mm: how far the shoulders sink towards the feet.
        arm_angles: of the arms away from the trunk.
        forearm_angles: of the forearms further away from it.
        leg_angles: of the legs apart.
        head_angle: of the head to the patient's left.
        head_turn: of the face towards the patient's left.
        hand_lift_mm: how far the hands lie in front of their usual place.
        trunk_turn: of the front of the trunk towards the patient's left.
        pitch: of the chest, front end downwards.
        curve_mm: sideways bow of the spine, and the one that turns back halfway, (2,).
        tilt: of the whole body in the image.
        top_px: row of the vertex.
        centre_px: column of the hips in the anterior view.
    """

    stretch: np.ndarray
    breadth: float
    head_breadth: float
    chest_breadth: float
    chest_depth: float
    girth: float
    scapula_stretch: float
    scapula_turns: np.ndarray
    shoulder_drop_mm: np.ndarray
    arm_angles: np.ndarray
    forearm_angles: np.ndarray
    leg_angles: np.ndarray
    head_angle: float
    head_turn: float
    hand_lift_mm: np.ndarray
    trunk_turn: float
    pitch: float
    curve_mm: np.ndarray
    tilt: float
    top_px: float
    centre_px: float

    @property
    def height_mm(self) -> float:
        """From the vertex to the heels; the reference has 1720 mm."""
        return float(self._stretch(1720.0))

    @property
    def lies_straight(self) -> bool:
        """Whether one would scan the patient so, and not lay them straight first."""
        # The shoulders' slope in the image; 320 mm lie between them.
        slope = self.tilt + float(np.diff(self.shoulder_drop_mm)[0]) / 320
        return bool(
            abs(self.tilt) <= np.radians(2.5)
            and abs(slope) <= np.radians(4)
            and abs(self.trunk_turn) <= 0.11
        )

    def place(self, xyz_mm: np.ndarray, segment: np.ndarray) -> np.ndarray:
        """Returns reference points (N, 3) as the patient's, both in mm.

        `segment` has the index into `SEGMENTS` of each point, (N,).
        """
        placed = np.empty_like(xyz_mm)
        part = 2 * segment + (xyz_mm[:, 0] > 0)
        for number in np.unique(part):
            chosen = np.flatnonzero(part == number)
            placed[chosen] = self._place_part(xyz_mm[chosen], *divmod(number, 2))
        return placed

    def _place_part(self, xyz_mm: np.ndarray, segment: int, side: int) -> np.ndarray:
        """Returns the points of one segment, placed; side 0 is right and 1 left."""
        sign = 2 * side - 1
        reference_y = xyz_mm[:, 1]
        x, y, z = xyz_mm[:, 0], self._stretch(reference_y), xyz_mm[:, 2]
        x = x * (self.head_breadth if segment == _HEAD else self.breadth)
        turns: list[tuple[str, float]] = []  # about which joints, in which order
        if segment == _HEAD:
            cos, sin = np.cos(self.head_turn), np.sin(self.head_turn)
            z = (z - _HEAD_AXIS_MM) * self.head_breadth
            x, z = cos * x - sin * z, _HEAD_AXIS_MM + sin * x + cos * z
            turns = [("neck", self.head_angle)]
        elif segment in (_TRUNK, _GIRDLE):
            z = z * self.chest_depth
            lean = np.interp(reference_y, [230, 300, 560, 800], [0, 1, 1, 0])
            along = np.pi * np.clip((reference_y - 230) / 600, 0, 1)
            y = y - self.pitch * lean * z
            if segment == _TRUNK:
                x = x * self._narrow(reference_y)
            else:
                # The shoulder blade glides and turns on the ribs.
                below = np.maximum(reference_y - _SHOULDER_MM, 0)
                y = y + (self.scapula_stretch - 1) * below
                x = x + sign * self.scapula_turns[side] * below
            x = x - self.trunk_turn * z
            x = x + self.curve_mm @ np.sin([along, 2 * along])
        elif segment in (_ARM, _FOREARM):
            z = z * self.breadth
            turns = [("shoulder", -sign * self.arm_angles[side])]
            if segment == _FOREARM:
                turns.insert(0, ("elbow", -sign * self.forearm_angles[side]))
                beyond = np.clip((reference_y - 560) / 250, 0, 1)
                z = z - self.hand_lift_mm[side] * beyond
        else:
            z = z * self.breadth
            turns = [("hip", -sign * self.leg_angles[side])]
        for joint, angle in turns:
            joint_x = sign * self.breadth * _JOINTS_MM[joint][0]
            joint_y = self._stretch(_JOINTS_MM[joint][1])
            cos, sin = np.cos(angle), np.sin(angle)
            x, y = x - joint_x, y - joint_y
            x, y = joint_x + cos * x - sin * y, joint_y + sin * x + cos * y
        if segment in (_GIRDLE, _ARM, _FOREARM):
            # The collar bone is held at its inner end: the drop grows outwards.
            outwards = np.clip(np.abs(xyz_mm[:, 0]) / 160, 0, 1)
            y = y + self.shoulder_drop_mm[side] * outwards
        return np.stack([x, y, z], axis=-1)

    def find_reference_y(self, height: int, spacing_mm: float) -> np.ndarray:
        """Returns the reference's y (mm) at the middle of each row, (height,)."""
        y = (np.arange(height) + 0.5 - self.top_px) * spacing_mm
        return np.interp(y, self._stretch(_STATIONS_MM), _STATIONS_MM)

    def to_pixels(
        self, xyz_mm: np.ndarray, spacing_mm: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns row and column (continuous pixel coordinates) of placed points."""
        hip = self._stretch(_HIP_MM)
        x, y = xyz_mm[:, 0], xyz_mm[:, 1] - hip
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        row = self.top_px + (hip + sin * x + cos * y) / spacing_mm
        column = self.centre_px + (cos * x - sin * y) / spacing_mm
        return row, column

    def draw_outline(
        self, frame_hw: tuple[int, int], spacing_mm: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns z of the skin in front and behind, mm, float32, (H, W) each.

        Outside the body both are the same.
        """
        height, width = frame_hw
        hip = self._stretch(_HIP_MM)
        y = (np.arange(height) + 0.5 - self.top_px) * spacing_mm
        x = (np.arange(width) + 0.5 - self.centre_px) * spacing_mm
        front = np.full(frame_hw, np.inf, np.float32)
        back = np.full(frame_hw, -np.inf, np.float32)
        for limb in build_outline():
            rows, section = self._slice(limb, y)
            centre, half_width, depth, half_depth = section[..., None].astype(
                np.float32
            )
            offset = (x.astype(np.float32) - centre) / half_width
            reach = half_depth * np.sqrt(np.maximum(1 - offset**2, 0))
            inside = np.abs(offset) < 1
            np.minimum(front[rows], depth - reach, out=front[rows], where=inside)
            np.maximum(back[rows], depth + reach, out=back[rows], where=inside)
        empty = front > back
        front[empty] = back[empty] = 0
        # The outline was drawn upright: turn it about the hips as the points are.
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        matrix = np.array([[cos, -sin], [sin, cos]])
        pivot = np.array([self.top_px + hip / spacing_mm, self.centre_px]) - 0.5
        offset_px = pivot - matrix @ pivot
        thickness, middle = (
            ndimage.affine_transform(plane, matrix, offset_px, order=1)
            for plane in (back - front, (front + back) / 2)
        )
        return middle - thickness / 2, middle + thickness / 2

    def _stretch(self, y: np.ndarray | float) -> np.ndarray:
        """Returns positions along the body, mm, after the stretch of its parts."""
        placed = np.r_[0, np.cumsum(np.diff(_STATIONS_MM) * self.stretch)]
        inner = np.interp(y, _STATIONS_MM, placed)
        return inner + np.minimum(y, 0) + np.maximum(y - _STATIONS_MM[-1], 0)

    def _narrow(self, y: np.ndarray) -> np.ndarray:
        """Returns how wide the trunk is at reference heights, mm: only ribs differ."""
        chest = self.chest_breadth
        return np.interp(y, [215, 260, 580, 650], [1, chest, chest, 1])

    def _slice(self, limb: Limb, y: np.ndarray) -> tuple[slice, np.ndarray]:
        """Returns the rows of a limb, and x, half width, z, half depth there (4, R)."""
        segment = np.array([SEGMENTS.index(name) for name in limb.segment])
        centre = self.place(limb.centre_mm, segment)
        half_width = limb.half_width_mm * self.breadth * self.girth
        half_depth = limb.half_depth_mm * self.girth
        if segment[0] == _HEAD:
            # The shadow of an ellipse that turns about the axis of the head. There is
            # fat below the chin only.
            fat = np.interp(limb.centre_mm[:, 1], [150, 220], [1, self.girth])
            wide, deep = (
                axis * fat * self.head_breadth
                for axis in (limb.half_width_mm, limb.half_depth_mm)
            )
            cos, sin = np.cos(self.head_turn), np.sin(self.head_turn)
            half_width = np.hypot(cos * wide, sin * deep)
            half_depth = np.hypot(cos * deep, sin * wide)
        elif segment[0] == _TRUNK:
            # However thin the patient is, skin covers the ribs; the hips end in the
            # thighs, which widen by half as much.
            height = limb.centre_mm[:, 1]
            hips = np.interp(height, [720, 800], [0, 0.5])
            fat = max(self.girth - _LEANEST, 0.08) * (1 - hips) + 0.1 * hips
            bone = _LEANEST * self._narrow(height)
            half_width = limb.half_width_mm * self.breadth * (bone + fat)
            # Fat lies on the belly more than on the ribs.
            belly = np.interp(height, [450, 600], [0.55, 1.0])
            half_depth = limb.half_depth_mm * (1 + belly * (self.girth - 1))
            half_depth = half_depth * self.chest_depth
        else:
            half_depth = half_depth * self.breadth
        first, last = np.searchsorted(y, [centre[0, 1], centre[-1, 1]])
        rows = slice(int(first), int(last))
        table = np.stack([centre[:, 0], half_width, centre[:, 2], half_depth])
        section = np.stack([np.interp(y[rows], centre[:, 1], line) for line in table])
        return rows, section


def draw_posture(
    rng: np.random.Generator,
    frame_hw: tuple[int, int],
    spacing_mm: float,
    sex: str,
    age: int,
) -> Posture:
    """Draws the size and position of a patient that fits into the frame."""
    grown = float(np.interp(age, _GROWTH_YEARS, _GROWTH))
    height, widest = (0.94, 1.10) if sex == "F" else (0.995, 1.14)
    height = np.clip(rng.normal(height, 0.042), 0.84, 1.10)
    breadth = grown * np.clip(height * rng.normal(1.0, 0.045), 0.84, widest)
    girth = _draw_girth(rng)
    stretch = grown * height * _draw_stretch(rng)
    # A child's head is nearly that of an adult.
    stretch[0] *= grown**-0.6
    head_breadth = grown**0.3 * np.clip(rng.normal(1.04, 0.03), 0.95, 1.12)
    length_px = np.diff(_STATIONS_MM) @ stretch / spacing_mm
    lowest = min(230 / spacing_mm, frame_hw[0] * 0.875 - length_px)
    shoulder_drop_mm = rng.normal(3, 9) + rng.normal(0, 6, 2)
    arm_angles, forearm_angles, hand_lift_mm = _draw_arms(rng, girth)
    legs_apart = rng.uniform(0.02, 0.09) if rng.random() < 0.12 else 0.0
    # Most look up, some to the side.
    head_turn = rng.normal(0, 0.45 if rng.random() < 0.15 else 0.1)
    return Posture(
        stretch=stretch,
        breadth=breadth,
        head_breadth=head_breadth,
        chest_breadth=np.clip(rng.normal(0.918, 0.035), 0.82, 1.02),
        chest_depth=grown * np.clip(rng.normal(1, 0.07), 0.83, 1.2),
        girth=girth,
        scapula_stretch=np.clip(rng.normal(0.76, 0.18), 0.4, 1.25),
        scapula_turns=np.clip(
            rng.normal(-0.13, 0.1) + rng.normal(0, 0.05, 2), -0.4, 0.15
        ),
        shoulder_drop_mm=shoulder_drop_mm,
        arm_angles=arm_angles,
        forearm_angles=forearm_angles,
        leg_angles=legs_apart
        + np.clip(rng.normal(-0.028, 0.022) + rng.normal(0, 0.01, 2), -0.05, 0.08),
        head_angle=np.clip(rng.normal(0, 0.045), -0.14, 0.14),
        head_turn=np.clip(head_turn, -1.1, 1.1),
        hand_lift_mm=hand_lift_mm,
        trunk_turn=np.clip(rng.normal(0, 0.055), -0.14, 0.14),
        pitch=np.clip(rng.normal(0, 0.045), -0.13, 0.13),
        curve_mm=_draw_curve(rng),
        tilt=np.radians(np.clip(rng.normal(0, 1.4), -4, 4)),
        top_px=rng.uniform(37, max(lowest * spacing_mm, 46)) / spacing_mm,
        centre_px=frame_hw[1] / 2 + np.clip(rng.normal(0, 10), -28, 28) / spacing_mm,
    )


def _draw_girth(rng: np.random.Generator) -> float:
    """Draws the thickness of the soft parts; one in twelve is very heavy.

    Both half axes grow by it, the weight by its square: 1.25 is a body mass index of
    some 38, and 1.45 of more than 50.
    """
    if rng.random() < 0.08:
        return float(rng.uniform(1.25, 1.45))
    return float(np.clip(rng.lognormal(0.02, 0.10), 0.85, 1.30))


def _draw_stretch(rng: np.random.Generator) -> np.ndarray:
    """Draws how long the parts of the body are in that of the reference, (7,).

    In some the ribs end just above the pelvis, in others a hand's breadth further up.
    """
    stretch = np.clip(rng.normal([1, 1, 1, 1, 1.0, 0.98, 1], 0.04), 0.9, 1.1)
    chest = np.clip(rng.normal(1.06, 0.06), 0.92, 1.22)
    flank = np.clip(rng.normal(0.92, 0.22) - (chest - 1.06), 0.45, 1.4)
    stretch[1:3] = chest, flank
    return stretch


def _draw_curve(rng: np.random.Generator) -> np.ndarray:
    """Draws a straight spine, or one with a curvature: C- or S-shaped, mm, (2,)."""
    if rng.random() < 0.12:
        return np.clip(rng.normal(0, [14, 9]), -32, 32)
    return np.clip(rng.normal(0, [4, 2]), -12, 12)


def _draw_arms(
    rng: np.random.Generator, girth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws angles of arms and forearms, and the lift of the hands in mm, (2,) each.

    A wider trunk pushes the arms beside it out; two in five hug it, skin on
    skin, and some lie so far out that the frame cuts them or have a hand on the lap.
    """
    push = 0.45 * max(girth - 1, 0) + 0.015
    cut = rng.random() < 0.2
    arms = push + np.abs(rng.normal(0, 0.045, 2)) + 0.06 * cut
    if rng.random() < 0.4:
        arms = push - rng.uniform(0.01, 0.07, 2)
    forearms = rng.normal(-0.02, 0.055, 2)
    lap = (rng.random(2) < 0.5) & (rng.random() < 0.06)
    forearms = np.where(lap, -rng.uniform(0.35, 0.6, 2) - push, forearms)
    return arms, forearms, np.where(lap, 150.0 * girth, 0.0)
