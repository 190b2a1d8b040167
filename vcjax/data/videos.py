"""Source of clips from video and image files."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from vcjax.conditions.base import ClipShape
from vcjax.data.manifest import Entry, Item, SkippedFile, list_videos, open_item
from vcjax.data.scenes import Scenes, find_scenes
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """A clip to prepare.

    Attributes:
        name: unique name of the clip.
        clip: frames: as many as the model's clips have, or one for an image.
        caption: caption of the clip.
        features: stored features (see `Condition.stored_features`) of conditions that need not be extracted,
            by name.
    """

    name: str
    clip: Clip
    caption: str
    features: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Videos:
    """Videos and images as a source of clips.

    ```python
    source = Videos(path="videos")
    items = source.manifest()
    samples = source.samples(items[0], shape)
    ```

    Attributes:
        path: path of a folder, a manifest or a tar file; see `list_videos`.
        validation: fraction of the files in the split `validation`.
        cuts: whether clips avoid scene cuts.
    """

    provides: ClassVar[tuple[str, ...]] = ()

    path: str
    validation: float = 0.05
    cuts: bool = True

    def manifest(self) -> list[Entry]:
        """List the files in a deterministic order; see `list_videos`."""
        return list_videos(Path(self.path), self.validation)

    def samples(self, item: Item, shape: ClipShape) -> Iterator[Sample | SkippedFile]:
        """Yield consecutive clips of each scene of a file, and what is skipped.

        A video shorter than a clip is sampled at a higher rate (`sampling_rate`). The clip of an image has
        one frame.

        Args:
            item: item of the file.
            shape: shape of the model's clips.

        Raises:
            BadInput: no clip can be taken from the file.
        """
        from vcjax.video.read import read

        with open_item(item) as path:
            scenes = find_scenes(path, cuts=self.cuts)
            count = 1 if scenes.is_image else shape.frames
            starts = [(0.0, shape.fps)] if scenes.is_image else clip_starts(scenes, shape)
            if not starts:
                raise BadInput(_reason(item, scenes, shape))
            for start, fps in starts:
                clip = read(path, fps=fps, count=count, start=start)
                name = f"{item.name}@{start:.3f}"
                if len(clip) < count:
                    yield SkippedFile(
                        name, f"{item.name} has only {len(clip)} of {count} frames at {start:.3f} seconds"
                    )
                else:
                    yield Sample(name, clip, item.caption)
        if scenes.damage:
            yield SkippedFile(
                item.name,
                f"{item.name} is damaged ({scenes.damage}): "
                f"{len(starts)} clips were taken from undamaged parts",
            )


def clip_starts(scenes: Scenes, shape: ClipShape) -> list[tuple[float, float]]:
    """Return start time in seconds and frame rate of the clips: as many as fit, without overlap."""
    from vcjax.video.timing import sampling_rate

    length = shape.frames / shape.fps
    starts = []
    for begin, end in scenes.intervals:
        clips = int((end - begin) / length + 1e-6)  # tolerance for rounded times
        starts += [(begin + i * length, shape.fps) for i in range(clips)]
    if not starts and len(scenes.intervals) == 1 and scenes.frames >= shape.frames:
        begin, end = scenes.intervals[0]
        starts = [(begin, sampling_rate(end - begin, shape.frames, shape.fps))]
    return starts


def _reason(item: Item, scenes: Scenes, shape: ClipShape) -> str:
    """Return why a file has no clip."""
    longest = max(end - begin for begin, end in scenes.intervals)
    if len(scenes.intervals) == 1:
        return f"{item.name} has {scenes.frames} frames; a clip needs {shape.frames}"
    return (
        f"{item.name} has no {shape.frames / shape.fps:g} seconds without a cut or damage, only {longest:.2f}"
    )
