"""Network-based metrics: CLIPSIM, frame consistency, depth rank correlation and the Frechet distance.

They call the model's own networks and supplement the rule-based metrics of the sprite world.
"""

import numpy as np
from jaxtyping import Float, UInt8

from vcjax.conditions.base import Functions


def clip_embeddings(
    frames: UInt8[np.ndarray, "F H W 3"], image_size: int, networks: Functions
) -> Float[np.ndarray, "F E"]:
    """Return the normalised CLIP image embedding of each frame.

    Args:
        frames: frames of any size.
        image_size: height and width of the image tower's input.
        networks: the model's networks; `vision` is called.
    """
    from vcjax.video.resize import resize_crop

    return _normalised(networks["vision"](resize_crop(frames, image_size, image_size, rule="latent")))


def frame_consistency(embeddings: Float[np.ndarray, "F E"]) -> float:
    """Return the mean cosine similarity of neighbouring frames' embeddings; 1 for a single frame.

    Source: Gen-1, arXiv 2302.03011, section 4.2.
    """
    return float((embeddings[1:] * embeddings[:-1]).sum(-1).mean()) if len(embeddings) > 1 else 1.0


def clipsim(embeddings: Float[np.ndarray, "F E"], text: str, networks: Functions) -> float:
    """Return CLIPSIM, the mean cosine similarity of frames and a text.

    Source: GODIVA, arXiv 2104.14806, section 4.2.

    Args:
        embeddings: normalised CLIP embeddings of the frames.
        text: the caption.
        networks: the model's networks; `tokenizer` and `text_projection` are called.
    """
    text_embedding = _normalised(networks["text_projection"](networks["tokenizer"](text)))
    return float((embeddings @ text_embedding).mean())


def rank_correlation(a: Float[np.ndarray, "..."], b: Float[np.ndarray, "..."]) -> float:
    """Return Spearman's rank correlation over all values of two arrays of the same shape.

    Ties share their mean rank. It is 0 where one of the arrays is constant.
    """
    ranks = [_ranks(np.asarray(x).reshape(-1)) for x in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 0 else 0.0


def frechet_distance(a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]) -> float:
    """Return the Frechet distance of two sets of features.

    Source: FID, arXiv 1706.08500, equation 6; for videos FVD, arXiv 1812.01717.

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)), with covariances A and B. The trace of the square root
    is the sum of the singular values of the product of the two centred sets, so no D x D matrix is formed.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = ((x - x.mean(0)) / np.sqrt(max(len(x) - 1, 1)) for x in (a, b))
    mean_difference = np.square(a.mean(0) - b.mean(0)).sum()
    root_trace = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(mean_difference + np.square(first).sum() + np.square(second).sum() - 2 * root_trace)


def _normalised(x: Float[np.ndarray, "*N E"]) -> Float[np.ndarray, "*N E"]:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _ranks(values: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    _, positions, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[positions]
