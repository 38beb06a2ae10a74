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
STATIONS_MM = np.array([0.0, 245.0, 575.0, 640.0, 790.0, 1190.0, 1600.0, 1740.0])
_HIP_MM = 790.0
_SHOULDER_MM = 290.0
_LEANEST = 0.9  # of the reference's half width, a trunk without fat
_HEAD_AXIS_MM = 5.0  # depth of the axis about which the head turns
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
        rib_slopes: how much lower ribs hang than the reference's, mm for each mm beside
            the spine.
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
    rib_slopes: np.ndarray
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
                chest = np.interp(reference_y, [240, 300, 500, 580], [0, 1, 1, 0])
                y = y + self.rib_slopes[side] * chest * np.abs(x)
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
        return np.interp(y, self._stretch(STATIONS_MM), STATIONS_MM)

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
        placed = np.r_[0, np.cumsum(np.diff(STATIONS_MM) * self.stretch)]
        inner = np.interp(y, STATIONS_MM, placed)
        return inner + np.minimum(y, 0) + np.maximum(y - STATIONS_MM[-1], 0)

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
