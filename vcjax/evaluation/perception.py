"""What a model's own networks see in videos: its CLIP pair, and its depth network.

The other measures need no network, so these stand beside them and not in their place.
"""

import numpy as np
from jaxtyping import Float, UInt8

from vcjax.conditions.base import Functions


def embeddings(
    frames: UInt8[np.ndarray, "F H W 3"], side: int, networks: Functions
) -> Float[np.ndarray, "F E"]:
    """CLIP's embedding of each frame, of length 1.

    Args:
        frames: of any size.
        side: of the pictures that the image tower takes.
        networks: with `vision`.
    """
    from vcjax.video.resize import resize_crop

    return _unit(networks["vision"](resize_crop(frames, side, side, rule="latent")))


def frame_consistency(seen: Float[np.ndarray, "F E"]) -> float:
    """Mean cosine of the embeddings of neighbouring frames (Gen-1, arXiv 2302.03011, section 4.2); 1 of a single frame."""
    return float((seen[1:] * seen[:-1]).sum(-1).mean()) if len(seen) > 1 else 1.0


def agreement(seen: Float[np.ndarray, "F E"], text: str, networks: Functions) -> float:
    """CLIPSIM: mean cosine of the frames' embeddings and the text's (GODIVA, arXiv 2104.14806, section 4.2)."""
    said = _unit(networks["pair"](networks["tokenizer"](text)))
    return float((seen @ said).mean())


def rank_correlation(a: Float[np.ndarray, "..."], b: Float[np.ndarray, "..."]) -> float:
    """Spearman's, of all values of two arrays of one shape; equal values share their mean rank. 0 where one is constant."""
    ranks = [_ranks(np.asarray(x).reshape(-1)) for x in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    spread = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / spread) if spread > 0 else 0.0


def frechet_distance(a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]) -> float:
    """Between the normal distributions nearest to two sets of features (arXiv 1706.08500, equation 6; of videos 1812.01717).

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)); the square root's trace is the sum of the singular values of
    the product of the two centred sets, so no matrix of D x D is taken a root of.
    """
    centred = [
        (x - x.mean(0)) / np.sqrt(max(len(x) - 1, 1)) for x in (a.astype(np.float64), b.astype(np.float64))
    ]
    shift = np.square(a.astype(np.float64).mean(0) - b.astype(np.float64).mean(0)).sum()
    first, second = centred
    root = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(shift + np.square(first).sum() + np.square(second).sum() - 2 * root)


def _unit(x: Float[np.ndarray, "*N E"]) -> Float[np.ndarray, "*N E"]:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _ranks(values: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]
