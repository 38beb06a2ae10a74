"""NVIDIA cards as XLA has to know them to compile without one.

The numbers are NVIDIA's, of the cards with SXM sockets; rates are what an H200 did
(docs/benchmark.md).
"""

import dataclasses

# Of 4 800 GB/s of an H200 a copy moved 4 129; its matrix products were these.
_SHARE_OF_BANDWIDTH = 0.86
PRODUCTS = {"bfloat16": 767e12, "float32": 371e12}  # FLOP/s; float32 is TF32

_SCALARS = (
    "key: {} value {{ clock_rate_ghz: 1.98 units_per_core: {} ops_per_clock: {} }}"
)
_MATRICES = (
    "key: {} value {{ clock_rate_ghz: 1.8295201 units_per_core: 4 ops_per_clock: {} }}"
)
# By the number of a type in XLA's PrimitiveType: units of a core, operations a clock.
_SCALAR_RATES = (
    *((4, 64, 1), (8, 64, 1), (10, 128, 2), (11, 128, 1), (12, 64, 1), (16, 128, 2)),
)
_MATRIX_RATES = {10: 512, 11: 256, 16: 512, **dict.fromkeys((2, 6, 19, 20), 1024)}


@dataclasses.dataclass(frozen=True)
class Card:
    """A kind of card.

    Attributes:
        title: NVIDIA's name.
        bandwidth: of its memory, bytes a second.
        memory: bytes.
    """

    title: str
    bandwidth: int
    memory: int

    @property
    def copied(self) -> float:
        """Bytes a second that a kernel moves which does nothing else."""
        return _SHARE_OF_BANDWIDTH * self.bandwidth

    def describe(self) -> str:
        """Returns the text that XLA reads, a `GpuTargetConfigProto`."""
        scalars = [_SCALARS.format(*each) for each in _SCALAR_RATES]
        matrices = [_MATRICES.format(*each) for each in _MATRIX_RATES.items()]
        return _TARGET.format(
            title=self.title,
            bandwidth=self.bandwidth,
            memory=self.memory,
            scalars="".join(f"rate_infos {{ {each} }}\n" for each in scalars),
            matrices="".join(f"rate_infos {{ {each} }}\n" for each in matrices),
        )


CARDS = {
    "h100": Card("NVIDIA H100 80GB HBM3", 3_352_320_000_000, 84_942_979_072),
    "h200": Card("NVIDIA H200 141GB HBM3e", 4_800_000_000_000, 151_397_597_184),
}

_TARGET = """
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  memory_bandwidth: {bandwidth}
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: {memory}
  cuda_compute_capability {{ major: 9 feature_extension: ACCELERATED_FEATURES }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  scalar_unit_description {{ {scalars} }}
  matrix_unit_description {{ {matrices} }}
  device_vendor: "NVIDIA Corporation"
  platform_version: "Compute Capability 9.0a"
  device_address_bits: 64
  pcie_bandwidth: 34359738368
  ecc_enabled: true
  name: "{title}"
  driver_version: "13.0.0"
  runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.10.0"
  device_interconnect_info {{ active_links: 18 }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{title}"
"""
