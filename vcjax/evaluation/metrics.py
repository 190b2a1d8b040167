"""Metrics of condition fidelity: for each condition, how well videos match the clips that it was taken from.

Objects are segmented by colour and motion is estimated by registration (see `objects` and `motion`). A few
metrics call the model's own networks; a model without these networks is evaluated without them.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from vcjax.conditions.base import Functions
from vcjax.conditions.mask import random_mask
from vcjax.data.sprites import BACKGROUNDS, CAMERAS, Sprites, captions
from vcjax.evaluation import maps, motion, objects, perception, pictures
from vcjax.evaluation.arrays import AnyArray

MAX_STROKE_ANGLE = 20.0  # degrees between the object's heading and the stroke's
ALWAYS = ""  # condition of a metric that every video is scored for
# Ratio of the object's area to its target area from which it keeps its identity in a frame.
MIN_AREA_RATIO = 0.5
MIN_PRESENCE = 0.5  # share of frames in which an object must be visible for its shape and direction to count
FRAMES, VIDEOS, SHARE, COSINE = "share of frames", "share of videos", "0 to 1", "-1 to 1"  # units
SPEED, COLOUR = "pixels per frame", "colours in 0 to 1"
MOVING = "clips whose camera moves over a background that shows the motion"


@dataclasses.dataclass(frozen=True)
class Videos:
    """Generated videos with their ground truth.

    Attributes:
        frames: the generated videos.
        target: the clips that they should match.
        seeds: seed of the random mask of each clip.
        networks: the model's networks, for the metrics that call them.
        image_size: height and width of the input of CLIP's image tower; 0 without one.
    """

    frames: UInt8[np.ndarray, "N F H W 3"]
    target: Sprites
    seeds: np.ndarray
    networks: Functions = dataclasses.field(default_factory=dict)
    image_size: int = 0

    @cached_property
    def embeddings(self) -> list[Float[np.ndarray, "F E"]]:
        """CLIP embeddings of the frames of each video."""
        return [perception.clip_embeddings(frames, self.image_size, self.networks) for frames in self.frames]


class Metric(NamedTuple):
    """A metric with one value per video.

    Attributes:
        condition: condition (or `trajectory`) whose fidelity it measures, or `ALWAYS`.
        name: display name, with the unit.
        higher_is_better: whether a higher value is better.
        compute: function from videos to the value of each of them.
        unit: unit, or range of a number without one.
        networks: names of the networks that it calls.
        subset: function from the target clips to the mask of those it is averaged over; None for all.
        subset_name: description of these clips.
    """

    condition: str
    name: str
    higher_is_better: bool
    compute: Callable[[Videos], Float[AnyArray, "N"]]
    unit: str
    networks: tuple[str, ...] = ()
    subset: Callable[[Sprites], Bool[np.ndarray, "N"]] | None = None
    subset_name: str = ""


def better(higher: bool) -> str:
    """Return which values are better, in a word."""
    return "higher" if higher else "lower"


def _main_object(videos: Videos) -> Array:
    """Return the mask of the object that has the main object's colour."""
    return objects.mask_of_colour(videos.frames, videos.target.facts.colour[:, 0])


def _colour_accuracy(videos: Videos) -> Array:
    """Return the share of frames in which an object of the target colour is present."""
    return objects.present(_main_object(videos)).mean(-1)


def _is_visible(videos: Videos) -> Array:
    """Return whether the object is present in enough frames for its shape and direction to count."""
    return _colour_accuracy(videos) >= MIN_PRESENCE


def _shape_accuracy(videos: Videos) -> Array:
    predicted = objects.shape_ious(_main_object(videos)).argmax(-1)
    return (predicted == videos.target.facts.shape[:, 0]) & _is_visible(videos)


def _direction_accuracy(videos: Videos) -> Array:
    track = objects.centroids(_main_object(videos))
    correct = objects.direction(track) == videos.target.facts.direction[:, 0]
    return correct & objects.is_moving(track) & _is_visible(videos)


def _trajectory_error(videos: Videos) -> Array:
    """Return the error against the centroid of the visible part, since a video shows no other."""
    track = objects.centroids(_main_object(videos))
    return objects.trajectory_error(track, objects.centroids(videos.target.mask[..., 0]))


def _end_point_error(videos: Videos) -> Array:
    return motion.end_point_error(motion.motion_field(videos.frames), videos.target.motion)


def _camera_moves(clips: Sprites) -> np.ndarray:
    """Return whether the camera moves over a background on which motion can be observed."""
    static, gradient = CAMERAS.index("static"), BACKGROUNDS.index("gradient")
    return np.asarray((clips.facts.camera != static) & (clips.facts.background != gradient))


def _stroke_accuracy(videos: Videos) -> Array:
    """Return whether the object moves in the direction of the stroke."""
    track = objects.centroids(_main_object(videos))
    angle = objects.angle_between(objects.heading(track), objects.heading(videos.target.track))
    return (jnp.degrees(angle) <= MAX_STROKE_ANGLE) & objects.is_moving(track) & _is_visible(videos)


def _foreground_iou(videos: Videos) -> Array:
    predicted = objects.object_mask(videos.frames)
    return maps.iou(predicted, maps.foreground(videos.target.depth[..., 0])).mean(-1)


def _line_f_score(videos: Videos) -> Array:
    return _f_score(videos.frames, videos.target.outline)


def _first_line_f_score(videos: Videos) -> Array:
    return _f_score(videos.frames[:, :1], videos.target.outline[:, :1])


def _f_score(frames: UInt8[np.ndarray, "N F H W 3"], outline: AnyArray) -> Array:
    lines = maps.boundaries(objects.colour_map(frames))
    return maps.f_score(lines, outline[..., 0] > 0.5).mean(-1)


def _visible_psnr(videos: Videos) -> Array:
    size = videos.frames.shape[2:4]
    visible = np.stack([~random_mask(int(seed), size) for seed in videos.seeds])
    where = np.broadcast_to(visible[:, None], videos.frames.shape[:4])
    return pictures.psnr(videos.frames, videos.target.frames, where).mean(-1)


def _first_psnr(videos: Videos) -> Array:
    return pictures.psnr(videos.frames[:, 0], videos.target.frames[:, 0])


def _first_ssim(videos: Videos) -> Array:
    return pictures.ssim(videos.frames[:, 0], videos.target.frames[:, 0])


def _object_identity(videos: Videos) -> Array:
    """Return the share of frames in which the main object keeps its colour on enough of its target area."""
    area, target = _main_object(videos).mean((-2, -1)), videos.target.mask[..., 0].mean((-2, -1))
    return (area >= MIN_AREA_RATIO * target).mean(-1)


def _palette_distance(videos: Videos) -> np.ndarray:
    return _distance_to_style(pictures.palette_distance, videos)


def _texture_distance(videos: Videos) -> np.ndarray:
    return _distance_to_style(pictures.texture_distance, videos)


def _distance_to_style(distance: Callable[..., np.ndarray], videos: Videos) -> np.ndarray:
    """Return the mean distance of all frames to the target's middle frame, the source of the style."""
    middle = videos.target.frames.shape[1] // 2
    return distance(videos.frames, videos.target.frames[:, middle : middle + 1]).mean(-1)


def _depth_rank_correlation(videos: Videos) -> np.ndarray:
    """Return the rank correlation of the depths estimated from the video and from the target clip.

    It is over all pixels of all frames. The true depth is not the reference, because no image of the sprite
    world shows how its background slants.
    """
    estimate = videos.networks["depth"]
    pairs = zip(videos.frames, videos.target.frames, strict=True)
    return np.array(
        [perception.rank_correlation(estimate(video), estimate(target)) for video, target in pairs]
    )


def _clipsim(videos: Videos) -> np.ndarray:
    pairs = zip(videos.embeddings, captions(videos.target.facts), strict=True)
    return np.array([perception.clipsim(embeddings, text, videos.networks) for embeddings, text in pairs])


def _frame_consistency(videos: Videos) -> np.ndarray:
    return np.array([perception.frame_consistency(embeddings) for embeddings in videos.embeddings])


METRICS = (
    Metric("text", "colour accuracy", True, _colour_accuracy, FRAMES),
    Metric("text", "shape accuracy", True, _shape_accuracy, VIDEOS),
    Metric("text", "direction accuracy", True, _direction_accuracy, VIDEOS),
    Metric("text", "CLIPSIM", True, _clipsim, COSINE, ("vision", "text_projection")),
    Metric("style", "palette distance", False, _palette_distance, COLOUR),
    Metric("style", "texture distance", False, _texture_distance, COLOUR),
    Metric("image", "PSNR of the first frame, dB", True, _first_psnr, "dB"),
    Metric("image", "SSIM of the first frame", True, _first_ssim, "at most 1"),
    Metric("image", "object identity", True, _object_identity, FRAMES),
    Metric("single_sketch", "F-score of lines, first frame", True, _first_line_f_score, SHARE),
    Metric("motion", "end-point error, pixels per frame", False, _end_point_error, SPEED),
    Metric(
        "motion",
        "end-point error under a moving camera",
        False,
        _end_point_error,
        SPEED,
        subset=_camera_moves,
        subset_name=MOVING,
    ),
    Metric("trajectory", "trajectory error, pixels", False, _trajectory_error, "pixels"),
    Metric("depth", "foreground IoU", True, _foreground_iou, SHARE),
    Metric("depth", "depth rank correlation", True, _depth_rank_correlation, COSINE, ("depth",)),
    Metric("mask", "PSNR of the visible region, dB", True, _visible_psnr, "dB"),
    Metric("sketch", "F-score of lines", True, _line_f_score, SHARE),
    Metric("strokes", "direction within 20 degrees", True, _stroke_accuracy, VIDEOS),
    Metric(ALWAYS, "frame consistency (CLIP)", True, _frame_consistency, COSINE, ("vision",)),
)
