"""From listed files to clips: where in a video they are cut, and their frames."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from vcjax.conditions.base import ClipShape
from vcjax.data.listing import Found, Item, Lost, list_footage, opened
from vcjax.data.scenes import Scenes, find_scenes
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """A clip to be prepared.

    Attributes:
        name: of the clip; no other has it.
        clip: its frames, as many as the model's clips have, or one.
        caption: what it shows.
        known: materials of conditions (see `Condition.material`) that are known and need not be extracted.
    """

    name: str
    clip: Clip
    caption: str
    known: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Videos:
    """People's own videos and pictures, as a source of clips.

    ```python
    source = Videos(path="videos")
    items = source.listing()
    samples = source.samples(items[0], shape)
    ```

    Attributes:
        path: of a folder, a manifest or a tar file; see `list_footage`.
        validation: share of the files that go to the split `validation`.
        cuts: whether clips are kept clear of scene cuts.
    """

    knows: ClassVar[tuple[str, ...]] = ()

    path: str
    validation: float = 0.05
    cuts: bool = True

    def listing(self) -> list[Found]:
        """Every file, in a fixed order; see `list_footage`."""
        return list_footage(Path(self.path), self.validation)

    def samples(self, item: Item, shape: ClipShape) -> Iterator[Sample | Lost]:
        """The clips of a file, one behind the other in each of its scenes, and what of it cannot be used.

        A video shorter than a clip is sampled more densely (`sampling_rate`). Of a picture the clip has one frame.

        Args:
            item: the file.
            shape: of the clips.

        Raises:
            BadInput: nothing of it can be used.
        """
        from vcjax.video.read import read

        with opened(item) as path:
            scenes = find_scenes(path, cuts=self.cuts)
            count = 1 if scenes.still else shape.frames
            places = [(0.0, shape.fps)] if scenes.still else clip_places(scenes, shape)
            if not places:
                raise BadInput(_unusable(item, scenes, shape))
            for start, fps in places:
                clip = read(path, fps=fps, count=count, start=start)
                name = f"{item.name}@{start:.3f}"
                if len(clip) < count:
                    yield Lost(
                        name, f"{item.name} gives only {len(clip)} of {count} frames at {start:.3f} seconds"
                    )
                else:
                    yield Sample(name, clip, item.caption)
        if scenes.damage:
            yield Lost(
                item.name,
                f"{item.name} is damaged ({scenes.damage}): {len(places)} clips were taken from what is whole",
            )


def clip_places(scenes: Scenes, shape: ClipShape) -> list[tuple[float, float]]:
    """Where clips begin, in seconds, and their rates: as many as fit into each scene without overlapping."""
    from vcjax.video.motion import sampling_rate

    length = shape.frames / shape.fps
    places = []
    for begin, end in scenes.stretches:
        clips = int((end - begin) / length + 1e-6)  # the slack is for times that are rounded
        places += [(begin + i * length, shape.fps) for i in range(clips)]
    whole = len(scenes.stretches) == 1
    if not places and whole and scenes.frames >= shape.frames:
        begin, end = scenes.stretches[0]
        places = [(begin, sampling_rate(end - begin, shape.frames, shape.fps))]
    return places


def _unusable(item: Item, scenes: Scenes, shape: ClipShape) -> str:
    longest = max(end - begin for begin, end in scenes.stretches)
    if len(scenes.stretches) == 1:
        return f"{item.name} has {scenes.frames} frames, where a clip needs {shape.frames}"
    return (
        f"{item.name} has no {shape.frames / shape.fps:g} seconds without a cut or damage, only {longest:.2f}"
    )
