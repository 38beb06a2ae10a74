"""What measures speed, beside the other libraries where they are installed.

python -m benchmarks.steps       training steps and inference of every network
python -m benchmarks.detectors   the same of Mask R-CNN
python -m benchmarks.check_gpu   outputs, speed and a trace of them all on a GPU
python -m benchmarks.clustering  K-means
python -m benchmarks.reading     the simulated patients, reading and the crop
python -m benchmarks.evaluation  external validation, from a folder to its scores
"""
