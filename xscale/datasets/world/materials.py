"""What the ground is made of: the classes, and the materials that stand for them."""

from typing import NamedTuple

import numpy as np

from ...class_colours import class_colours

#: Label names; the label is the index. Hedges and single trees are `forest`, gardens `grass`.
CLASSES = ('water', 'road', 'building', 'forest', 'field', 'grass')

#: Red, green and blue of each class on a map.
COLORS = class_colours(CLASSES)


class Material(NamedTuple):
    """What covers a surface: reflectances are blue, green, red, nir; lengths are metres.

    Attributes:
        label: Its class.
        cover: Reflectance of what grows or stands on the ground.
        density: Share of the ground that the cover hides.
        patchy: How far soil moves the density.
        period: Metres from one row or swath to the next, 0 for none.
        rows: Density lost between two rows.
        tram: Density lost in the sprayer's wheel tracks.
        grain: Relative brightness of the fine texture.
        ground: Reflectance of the ground.
    """

    label: str
    cover: tuple[float, float, float, float]
    density: float = 1.0
    patchy: float = 0.0
    period: float = 0.0
    rows: float = 0.0
    tram: float = 0.0
    grain: float = 0.10
    ground: tuple[float, float, float, float] = (0.068, 0.101, 0.132, 0.22)


#: All materials, by name.
# fmt: off
MATERIALS = {
    'grass': Material('grass', (0.046, 0.092, 0.066, 0.360), 0.94, 0.2, grain=0.2),
    'meadow': Material('grass', (0.038, 0.082, 0.054, 0.410), 0.95, 0.25, grain=0.16),
    'mown': Material('grass', (0.050, 0.105, 0.078, 0.380), 0.7, 0.3, 7.0, 0.7,
        ground=(0.085, 0.140, 0.140, 0.330)),
    'wheat': Material('field', (0.034, 0.068, 0.052, 0.380), 0.95, 0.28, 4.0, 0.08, 0.7),
    'ripening': Material('field', (0.055, 0.102, 0.098, 0.360), 0.93, 0.25, 4.0, 0.08, 0.6),
    'barley': Material('field', (0.070, 0.138, 0.160, 0.330), 0.94, 0.25, 3.0, 0.1, 0.6),
    'rape': Material('field', (0.044, 0.098, 0.070, 0.400), 0.95, 0.22, tram=0.5, grain=0.14),
    'maize': Material('field', (0.036, 0.078, 0.048, 0.420), 0.48, 0.4, 3.0, 0.35, 0.2),
    'beet': Material('field', (0.030, 0.078, 0.038, 0.480), 0.8, 0.35, 2.7, 0.4, 0.3),
    'potato': Material('field', (0.028, 0.066, 0.036, 0.440), 0.72, 0.3, 3.2, 0.6, 0.3),
    'bare': Material('field', (0.062, 0.085, 0.112, 0.170), 0.5, 0.5, 4.5, 0.35,
        ground=(0.100, 0.135, 0.175, 0.260)),
    'orchard': Material('field', (0.036, 0.080, 0.052, 0.380), 0.85, 0.3, 6.0, 0.3),
    'understorey': Material('forest', (0.014, 0.026, 0.018, 0.200), 0.9, 0.2, grain=0.3),
    'clearcut': Material('forest', (0.036, 0.068, 0.056, 0.300), 0.65, 0.3, 9.0, 0.3, grain=0.3,
        ground=(0.060, 0.080, 0.100, 0.200)),
    'bank': Material('grass', (0.040, 0.072, 0.060, 0.300), 0.7, 0.9, grain=0.25,
        ground=(0.100, 0.125, 0.150, 0.220)),
    'track': Material('road', (0.120, 0.150, 0.178, 0.240), grain=0.16),
    'tarmac': Material('road', (0.112, 0.121, 0.128, 0.150), grain=0.05),
    'paint': Material('road', (0.300, 0.310, 0.310, 0.330), grain=0.0),
    'yard': Material('road', (0.125, 0.138, 0.150, 0.180), grain=0.08),
    'lawn': Material('grass', (0.043, 0.080, 0.058, 0.380), 0.9, 0.3, grain=0.2),
    'beds': Material('grass', (0.038, 0.078, 0.050, 0.360), 0.5, 0.4, 3.0, 0.5, grain=0.2),
    'red roof': Material('building', (0.070, 0.094, 0.200, 0.270), grain=0.05),
    'brown roof': Material('building', (0.068, 0.080, 0.125, 0.180), grain=0.05),
    'slate roof': Material('building', (0.080, 0.086, 0.090, 0.110), grain=0.04),
    'metal roof': Material('building', (0.225, 0.230, 0.232, 0.260), grain=0.03),
    'river': Material('water', (0.040, 0.051, 0.035, 0.018), grain=0.03),
    'lake': Material('water', (0.034, 0.040, 0.022, 0.010), grain=0.03),
}
# fmt: on

#: Number of each material: its row in `TRAITS` and `LABELS`.
MATERIAL_ID = {name: i for i, name in enumerate(MATERIALS)}

#: Each attribute but the label, for all materials: (materials,) or (materials, 4).
TRAITS = {
    name: np.array([getattr(m, name) for m in MATERIALS.values()], np.float32)
    for name in Material._fields[1:]
}

#: Index into `CLASSES` of each material.
LABELS = np.array([CLASSES.index(m.label) for m in MATERIALS.values()], np.uint8)

#: Share of the parcels that each crop takes.
CROPS = {
    'wheat': 0.22, 'ripening': 0.14, 'barley': 0.13, 'rape': 0.10, 'maize': 0.15, 'beet': 0.05,
    'potato': 0.04, 'bare': 0.04, 'meadow': 0.08, 'mown': 0.04, 'orchard': 0.01,
}  # fmt: skip

#: Reflectance of the crowns (3, 4): broadleaf, conifer, hedge and garden trees.
SPECIES = np.array(
    [[0.026, 0.062, 0.037, 0.44], [0.020, 0.040, 0.028, 0.27], [0.029, 0.063, 0.043, 0.40]],
    np.float32,
)
