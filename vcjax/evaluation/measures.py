"""What it is to obey: for each condition the measures of how well videos follow the clips that it was taken from.

Objects are found by colour, motion by registration (see the modules of this room). The few measures that call networks, the
model's own, stand beside those that do not.
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

STROKE_TURN = 20.0  # degrees within which a stroke's direction counts as obeyed
ALWAYS = ""  # a measure of every video, whatever it was made from
KEPT = 0.5  # share of the area which an object should have in a frame that makes it the same object there
OFTEN = 0.5  # share of the frames in which an object must be seen for its shape and direction to count


@dataclasses.dataclass(frozen=True)
class Videos:
    """Videos beside the truth of what was asked for.

    Attributes:
        frames: the videos.
        wanted: the clips that they should be like.
        seeds: what each clip's random mask was drawn from.
        networks: the model's, for the measures that call them.
        side: of the pictures that its image tower takes.
    """

    frames: UInt8[np.ndarray, "N F H W 3"]
    wanted: Sprites
    seeds: np.ndarray
    networks: Functions = dataclasses.field(default_factory=dict)
    side: int = 0

    @cached_property
    def seen(self) -> list[Float[np.ndarray, "F E"]]:
        """CLIP's embeddings of the frames of each video."""
        return [perception.embeddings(frames, self.side, self.networks) for frames in self.frames]


class Measure(NamedTuple):
    """One figure a video.

    Attributes:
        condition: whose obedience it tells, or `ALWAYS`.
        name: for people, with its unit.
        more_is_better: whether a greater figure is better.
        of: the figure of each video.
        needs: networks that it calls.
        over: which clips it is taken over; all of them without it.
    """

    condition: str
    name: str
    more_is_better: bool
    of: Callable[[Videos], Float[AnyArray, "N"]]
    needs: tuple[str, ...] = ()
    over: Callable[[Sprites], Bool[np.ndarray, "N"]] | None = None


def _main(videos: Videos) -> Array:
    """Where the object of the main object's colour is seen."""
    return objects.object_of(videos.frames, videos.wanted.facts.colour[:, 0])


def _colour(videos: Videos) -> Array:
    """Whether the object of the wanted colour is there, in the mean over the frames."""
    return objects.there(_main(videos)).mean(-1)


def _seen(videos: Videos) -> Array:
    """Whether the object is there in half of the frames at least. What is not seen has neither shape nor direction."""
    return _colour(videos) >= OFTEN


def _shape(videos: Videos) -> Array:
    told = objects.shape_overlaps(_main(videos)).argmax(-1) == videos.wanted.facts.shape[:, 0]
    return told & _seen(videos)


def _direction(videos: Videos) -> Array:
    track = objects.centres(_main(videos))
    told = objects.direction(track) == videos.wanted.facts.direction[:, 0]
    return told & objects.moves(track) & _seen(videos)


def _path(videos: Videos) -> Array:
    """Against the centre of what is visible of the object, which is what can be seen in a video."""
    return objects.path_error(objects.centres(_main(videos)), objects.centres(videos.wanted.mask[..., 0]))


def _field(videos: Videos) -> Array:
    return motion.end_point_error(motion.motion_field(videos.frames), videos.wanted.motion)


def _camera_moves(clips: Sprites) -> np.ndarray:
    """Where the camera moves, and over a background whose motion can be seen."""
    still, smooth = CAMERAS.index("still"), BACKGROUNDS.index("gradient")
    return np.asarray((clips.facts.camera != still) & (clips.facts.background != smooth))


def _heading(videos: Videos) -> Array:
    """Whether the object's direction is the stroke's."""
    track = objects.centres(_main(videos))
    turned = objects.turned(objects.heading(track), objects.heading(videos.wanted.track))
    return (jnp.degrees(turned) <= STROKE_TURN) & objects.moves(track) & _seen(videos)


def _near(videos: Videos) -> Array:
    seen = objects.objects(videos.frames)
    return maps.overlap(seen, maps.near(videos.wanted.depth[..., 0])).mean(-1)


def _first_lines(videos: Videos) -> Array:
    return _lines(dataclasses.replace(videos, frames=videos.frames[:, :1], wanted=_first(videos.wanted)))


def _lines(videos: Videos) -> Array:
    drawn = maps.borders(objects.colour_map(videos.frames))
    return maps.f_score(drawn, videos.wanted.outline[..., 0] > 0.5).mean(-1)


def _visible(videos: Videos) -> Array:
    size = videos.frames.shape[2:4]
    visible = np.stack([~random_mask(int(seed), size) for seed in videos.seeds])
    where = np.broadcast_to(visible[:, None], videos.frames.shape[:4])
    return pictures.psnr(videos.frames, videos.wanted.frames, where).mean(-1)


def _first_psnr(videos: Videos) -> Array:
    return pictures.psnr(videos.frames[:, 0], videos.wanted.frames[:, 0])


def _first_ssim(videos: Videos) -> Array:
    return pictures.ssim(videos.frames[:, 0], videos.wanted.frames[:, 0])


def _identity(videos: Videos) -> Array:
    """The share of frames in which the main object keeps its colour, on the area that it should have there."""
    area, wanted = _main(videos).mean((-2, -1)), videos.wanted.mask[..., 0].mean((-2, -1))
    return (area >= KEPT * wanted).mean(-1)


def _palette(videos: Videos) -> np.ndarray:
    return _of_middle(pictures.palette_distance, videos)


def _texture(videos: Videos) -> np.ndarray:
    return _of_middle(pictures.texture_distance, videos)


def _of_middle(distance: Callable[..., np.ndarray], videos: Videos) -> np.ndarray:
    """The distance of every frame from the frame that the style was taken from."""
    middle = videos.wanted.frames.shape[1] // 2
    return distance(videos.frames, videos.wanted.frames[:, middle : middle + 1]).mean(-1)


def _rank(videos: Videos) -> np.ndarray:
    """Of the depth that a network sees in the video with that in the wanted clip, over all pixels of all frames.

    Not with the true one: nothing in a picture of the sprite world tells how its background slants.
    """
    see = videos.networks["depth"]
    pairs = zip(videos.frames, videos.wanted.frames, strict=True)
    return np.array([perception.rank_correlation(see(video), see(wanted)) for video, wanted in pairs])


def _agreement(videos: Videos) -> np.ndarray:
    texts = captions(videos.wanted.facts)
    return np.array(
        [perception.agreement(s, text, videos.networks) for s, text in zip(videos.seen, texts, strict=True)]
    )


def _consistency(videos: Videos) -> np.ndarray:
    return np.array([perception.frame_consistency(seen) for seen in videos.seen])


def _first(clips: Sprites) -> Sprites:
    return clips._replace(outline=clips.outline[:, :1])


MEASURES = (
    Measure("text", "colour there", True, _colour),
    Measure("text", "shape told", True, _shape),
    Measure("text", "direction told", True, _direction),
    Measure("text", "agreement by CLIP (CLIPSIM)", True, _agreement, ("vision", "pair")),
    Measure("style", "palette distance", False, _palette),
    Measure("style", "texture distance", False, _texture),
    Measure("image", "PSNR of the first frame, dB", True, _first_psnr),
    Measure("image", "SSIM of the first frame", True, _first_ssim),
    Measure("image", "object kept", True, _identity),
    Measure("single_sketch", "F-score of the first frame", True, _first_lines),
    Measure("motion", "end-point error of the field, pixels a frame", False, _field),
    Measure("motion", "end-point error under a moving camera", False, _field, over=_camera_moves),
    Measure("path", "path error of the object, pixels", False, _path),
    Measure("depth", "overlap of what is near", True, _near),
    Measure("depth", "rank correlation of depth", True, _rank, ("depth",)),
    Measure("mask", "PSNR of the visible part, dB", True, _visible),
    Measure("sketch", "F-score", True, _lines),
    Measure("strokes", "direction within 20 degrees", True, _heading),
    Measure(ALWAYS, "consistency of frames (CLIP)", True, _consistency, ("vision",)),
)
