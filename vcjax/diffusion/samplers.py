"""The samplers by name."""

from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.dpm_solver import DPMSolver2M
from vcjax.diffusion.heun import Heun
from vcjax.diffusion.lcm import LCM
from vcjax.diffusion.sampler import Sampler
from vcjax.diffusion.unipc import UniPC
from vcjax.errors import BadInput

SAMPLERS: dict[str, Sampler] = {
    "ddim": DDIM(),
    "dpmpp_2m": DPMSolver2M(),
    "dpmpp_2m_sde": DPMSolver2M(stochastic=True),
    "unipc": UniPC(),
    "heun": Heun(),
    "lcm": LCM(),
}


def sampler_named(name: str) -> Sampler:
    """Return a sampler.

    Raises:
        BadInput: there is no sampler of this name.
    """
    if name not in SAMPLERS:
        raise BadInput(f"sampler must be one of {', '.join(SAMPLERS)}, not {name!r}")
    return SAMPLERS[name]
