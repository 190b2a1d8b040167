"""NVIDIA GPUs to compile for, which need not be here: facts, and XLA's description of a GPU made from them.

Sources: the specifications in openxla/xla, `xla/backends/gpu/target_config/specs` (2026-11), but for the RTX 4090, which is
described here from NVIDIA's whitepaper on the architecture Ada (2022); peak rates of dense bfloat16 products with sums in
float32 from NVIDIA's datasheets of each card.
"""

import dataclasses

REACHED_BANDWIDTH = 0.9  # of the memory's, which a well-made kernel reaches
REACHED_RATE = 0.8  # of the peak rate, which a large product reaches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """Specification of a GPU.

    Attributes:
        name: NVIDIA's name.
        capability: compute capability, major and minor.
        cores: streaming multiprocessors.
        lanes: float32 units of a multiprocessor.
        clock: clock rate in GHz.
        memory: bytes of device memory.
        bandwidth: bytes per second of device memory.
        l2: bytes of the L2 cache.
        shared: bytes of shared memory of a multiprocessor, and the most that a block may have.
        threads: threads of a multiprocessor.
        peak_flops: peak FLOP/s of dense bfloat16 products.
        accelerated: whether code may use features of this generation alone (`sm_90a`).
    """

    name: str
    capability: tuple[int, int]
    cores: int
    lanes: int
    clock: float
    memory: int
    bandwidth: float
    l2: int
    shared: tuple[int, int]
    threads: int
    peak_flops: float
    accelerated: bool = False

    @property
    def reached_bandwidth(self) -> float:
        """Bytes per second of device memory that a kernel can be expected to reach."""
        return REACHED_BANDWIDTH * self.bandwidth

    @property
    def reached_flops(self) -> float:
        """FLOP/s that a product can be expected to reach."""
        return REACHED_RATE * self.peak_flops

    def target_config(self) -> str:
        """Return XLA's description of the GPU, a `GpuTargetConfigProto` as text."""
        major, minor = self.capability
        feature = "ACCELERATED_FEATURES" if self.accelerated else "NONE"
        per_core, per_block = self.shared
        device = {
            "threads_per_block_limit": 1024,
            "threads_per_warp": 32,
            "shared_memory_per_block": 49152,
            "shared_memory_per_core": per_core,
            "shared_memory_per_block_optin": per_block,
            "threads_per_core_limit": self.threads,
            "core_count": self.cores,
            "fpus_per_core": self.lanes,
            "block_dim_limit_x": 2**31 - 1,
            "block_dim_limit_y": 65535,
            "block_dim_limit_z": 65535,
            "thread_dim_limit_x": 1024,
            "thread_dim_limit_y": 1024,
            "thread_dim_limit_z": 64,
            "registers_per_core_limit": 65536,
            "registers_per_block_limit": 65536,
            "memory_bandwidth": round(self.bandwidth),
            "device_memory_size": self.memory,
            "l2_cache_size": self.l2,
            "clock_rate_ghz": self.clock,
            "device_address_bits": 64,
        }
        fields = "\n".join(f"  {key}: {value}" for key, value in device.items())
        return (
            f"gpu_device_info {{\n{fields}\n"
            f"  cuda_compute_capability {{ major: {major} minor: {minor} feature_extension: {feature} }}\n"
            f'  device_vendor: "NVIDIA Corporation"\n  name: "{self.name}"\n}}\n'
            f'platform_name: "CUDA"\ndnn_version_info {{ major: 9 minor: 10 }}\n'
            f'device_description_str: "{self.name}"\n'
        )


_HOPPER = {
    "capability": (9, 0),
    "cores": 132,
    "lanes": 128,
    "clock": 1.98,
    "l2": 52428800,
    "shared": (233472, 232448),
    "threads": 2048,
    "peak_flops": 989.4e12,
    "accelerated": True,
}
_AMPERE = {
    "capability": (8, 0),
    "cores": 108,
    "lanes": 64,
    "clock": 1.41,
    "l2": 41943040,
    "shared": (167936, 166912),
    "threads": 2048,
    "peak_flops": 312e12,
}
GPUS = {
    "h100": Gpu(name="NVIDIA H100 80GB HBM3", memory=84942979072, bandwidth=3.35232e12, **_HOPPER),
    "h200": Gpu(name="NVIDIA H200 141GB HBM3e", memory=151397597184, bandwidth=4.8e12, **_HOPPER),
    "a100-40": Gpu(name="NVIDIA A100-SXM4-40GB", memory=42331013120, bandwidth=1.5552e12, **_AMPERE),
    "a100-80": Gpu(name="NVIDIA A100-SXM4-80GB", memory=85100068864, bandwidth=2.03904e12, **_AMPERE),
    "b200": Gpu(
        name="NVIDIA B200", capability=(10, 0), cores=148, lanes=128, clock=1.965, memory=191514411008,
        bandwidth=7.67232e12, l2=132644864, shared=(233472, 232448), threads=2048, peak_flops=2250e12,
        accelerated=True,
    ),
    "rtx-6000": Gpu(
        name="NVIDIA RTX PRO 6000 Blackwell", capability=(12, 0), cores=188, lanes=128, clock=2.6,
        memory=103079215104, bandwidth=1.792e12, l2=134217728, shared=(131072, 101376), threads=1536,
        peak_flops=503.8e12,
    ),
    "rtx-4090": Gpu(
        name="NVIDIA GeForce RTX 4090", capability=(8, 9), cores=128, lanes=128, clock=2.52,
        memory=25757220864, bandwidth=1.008e12, l2=75497472, shared=(102400, 101376), threads=1536,
        peak_flops=165.2e12,
    ),
}  # fmt: skip
