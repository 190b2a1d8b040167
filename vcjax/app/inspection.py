"""Decoding of uploaded files in a process of its own, with bounded memory and time.

`python -m vcjax.app.inspection` reads one task as JSON from standard input, and writes the response to standard output: a
description in JSON, or a picture. A file that breaks a decoder breaks this process and not the server.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from vcjax.errors import BadInput

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v")
SOUNDS = (".mp3", ".wav", ".m4a", ".ogg", ".flac")
DRAWINGS = (".json", ".svg")
ARRAYS = (".npy",)
ADAPTERS = (".safetensors",)
SUFFIXES = (*IMAGES, *VIDEOS, *SOUNDS, *DRAWINGS, *ARRAYS, *ADAPTERS)


def describe(path: Path, limits: dict[str, int]) -> dict[str, Any]:
    """Return kind, size, frames and duration of a file.

    Raises:
        BadInput: the file cannot be read as what its name says, or exceeds a limit.
    """
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        from vcjax.conditions.media import load_array

        array = load_array(path)
        assert array is not None
        return {"kind": "array", "shape": list(array.shape), "dtype": str(array.dtype)}
    if suffix in ADAPTERS:
        from vcjax.weights.adapters import read_adapter

        return {"kind": "adapter", "base": dict(read_adapter(path).base)}
    if suffix in DRAWINGS:
        return {"kind": "drawing", "table": _table(path)}
    if suffix in SOUNDS:
        from vcjax.video.audio import check_audio

        check_audio(path)
        return {"kind": "audio"}
    return _describe_frames(path, limits)


def _describe_frames(path: Path, limits: dict[str, int]) -> dict[str, Any]:
    from vcjax.video.read import probe

    info = probe(path)
    if info.height * info.width > limits["pixels"]:
        raise BadInput(
            f"the frames have {info.height}x{info.width} pixels, more than {limits['pixels']:,}: give smaller ones"
        )
    if (info.frames or 0) > limits["frames"] or (info.seconds or 0) > limits["seconds"]:
        raise BadInput(
            f"the video is longer than {limits['frames']:,} frames or {limits['seconds']:,} seconds: give a part of it"
        )
    return {
        "kind": "image" if info.frames == 1 else "video",
        "height": info.height,
        "width": info.width,
        "frames": info.frames,
        "seconds": info.seconds,
        "fps": info.fps,
    }


def _table(path: Path) -> Any:
    """Return the content of a drawing in JSON; None for SVG, which is parsed to see that it can be."""
    if path.suffix.lower() == ".json":
        from vcjax.input_files import read_json

        return read_json(path)
    from vcjax.conditions.strokes import strokes

    strokes(path)
    return None


def frames_picture(path: Path, shape: dict[str, Any]) -> bytes:
    """Return the frames that conditions take from a file, as a PNG with a cell for each."""
    import io

    from PIL import Image

    from vcjax.conditions.base import ClipShape, SourceVideo
    from vcjax.conditions.media import sample_source
    from vcjax.conditions.preview import resize_to_clip
    from vcjax.video.write import grid

    clip_shape = ClipShape(**shape)
    frames = resize_to_clip(sample_source(SourceVideo(str(path)), clip_shape).frames, clip_shape)
    buffer = io.BytesIO()
    Image.fromarray(grid(frames)).save(buffer, "png")
    return buffer.getvalue()


def record_of(path: Path) -> dict[str, Any]:
    """Return the request in a video that vcjax wrote."""
    from vcjax.composer.record import read_record

    return {"request": read_record(path)["request"]}


def bound(bounds: dict[str, int]) -> None:
    """Set the limits of this process: `bytes` of memory and `seconds` of computing."""
    resource.setrlimit(resource.RLIMIT_AS, (bounds["bytes"], bounds["bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (bounds["seconds"], bounds["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Run the task on standard input; return 2 for bad input, with its sentence on standard output."""
    task = json.load(sys.stdin)
    bound(task["bounds"])
    path = Path(task["path"])
    try:
        if task["kind"] == "frames":
            response = frames_picture(path, task["shape"])
        elif task["kind"] == "record":
            response = json.dumps(record_of(path)).encode()
        else:
            response = json.dumps(describe(path, task["limits"])).encode()
    except BadInput as error:
        sys.stdout.buffer.write(str(error).replace(str(path), path.name).encode())
        return 2
    sys.stdout.buffer.write(response)
    return 0


if __name__ == "__main__":
    sys.exit(main())
