"""What a model knows about its use, written down instead of measured."""

from spectjax.tasks.hotspots.operation import Feature, Operation, Point

# Regions of two pixels and more of 2.5 x 2.0 mm; the score is 1 / (1 + exp(4 - peak)).
OPERATION = Operation(
    slope=0.5,
    intercept=0.0,
    min_log_odds=0.0,
    region_intercept=-4.0,
    features={
        "peak_log_odds": Feature(1.0, 0.0),
        "log_area_up_to_100_mm2": Feature(0.0, 0.0),
        "log_spot_over_surroundings": Feature(0.0, 0.0),
    },
    min_area_mm2=10.0,
    assumed_pixel_mm2=5.0,
    points={
        "specific": Point(0.9, 0.1, 0.5, 0.05),
        "balanced": Point(0.4, 0.25, 0.75, 0.125),
        "sensitive": Point(0.0, 1.0, 0.875, 0.5),
    },
    curve=(
        Point(0.95, 0.0, 0.25, 0.0),
        Point(0.4, 0.25, 0.75, 0.125),
        Point(0.0, 1.0, 0.875, 0.5),
    ),
    measured_on={
        "data": "tfds_spect/segmentation_phantom",
        "split": "fold1",
        "n_images": 40,
        "n_patients": 30,
        "n_lesions": 60,
        "synthetic": True,
        "learnt_from": False,
    },
)
