"""A worker process: it holds the models of one device and samples one request after the other."""

import base64
import contextlib
import io
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vcjax.errors import BadInput, VcjaxWarning

PROGRESS_INTERVAL = 0.2  # seconds between reports of progress

Report = Callable[..., None]


class CancelledError(Exception):
    """The server asked to stop the request."""


def work(connection: Connection, models: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Run requests until the connection is closed.

    Messages from the server are (`run`, id, kind, request in JSON, folder) and (`cancel`, id). Replies are tuples of an event,
    the id, and its data: `ready`, `progress`, `estimate`, `done`, `failed` and `cancelled`.

    Args:
        connection: connection to the server.
        models: names of the models, which are loaded before the first request.
        environment: environment variables to set before JAX starts, such as the device.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server stops its workers
    os.environ.update(environment)
    import jax

    import vcjax

    composers = {name: vcjax.load(name) for name in models}
    for (
        composer
    ) in composers.values():  # so that weights are read and programs compiled before somebody waits for them
        composer(steps=1)
    device = jax.local_devices()[0]
    connection.send(("ready", "", f"{device.platform}:{device.device_kind}"))
    with contextlib.suppress(EOFError, ConnectionError):  # the server has gone
        while True:
            message = connection.recv()
            if message[0] == "run":
                _, identifier, kind, request, folder = message
                _respond(connection, composers, identifier, kind, request, Path(folder))


def _respond(
    connection: Connection,
    composers: Mapping[str, Any],
    identifier: str,
    kind: str,
    request: Any,
    folder: Path,
) -> None:
    """Run one request and send how it ended."""
    from vcjax.app.references import field_of_error
    from vcjax.composer.request import Request

    def report(event: str, **data: Any) -> None:
        connection.send((event, identifier, data))

    def check_cancelled() -> None:
        while connection.poll():
            message = connection.recv()
            if message == ("cancel", identifier):
                raise CancelledError

    try:
        with _warnings_as_sentences() as sentences:
            parsed = Request.from_json(request)
            run = _preview if kind == "preview" else _generate
            result = run(composers[parsed.model], parsed, folder, report, check_cancelled)
    except CancelledError:
        report("cancelled")
    except BadInput as error:
        report("failed", error=str(error), field=field_of_error(error))
    except (
        MemoryError,
        RuntimeError,
    ) as error:  # JAX raises RuntimeErrors where a device has too little memory
        traceback.print_exc()
        report(
            "failed",
            error=f"the request could not be computed: {str(error).splitlines()[0][:300]}",
            field=None,
        )
    else:
        report("done", warnings=tuple(dict.fromkeys(sentences)), **result)


def _generate(
    composer: Any, request: Any, folder: Path, report: Report, check_cancelled: Callable[[], None]
) -> dict[str, Any]:
    """Sample a video and write it with the pictures of its conditions."""
    from vcjax.composer.completion import complete_request
    from vcjax.composer.record import generation_record, save_with_record

    began = time.monotonic()
    request = complete_request(request, composer)
    record = generation_record(request)
    progress = _Progress(report, check_cancelled)
    images = _write_images(composer, request, folder, progress)
    on_step = None if composer.latent_colours is None else _estimates(report)
    (clip,) = composer.generate(request, progress, on_step)
    progress("writing", 0, 0)
    for name in ("frames.png", "video.webp", "video.mp4"):
        save_with_record(clip, folder / name, record)
    return {
        "complete": request.to_json(),
        "images": images,
        "frames": len(clip),
        "height": clip.height,
        "width": clip.width,
        "fps": float(clip.fps),
        "seconds": time.monotonic() - began,
    }


def _preview(
    composer: Any, request: Any, folder: Path, report: Report, check_cancelled: Callable[[], None]
) -> dict[str, Any]:
    """Write pictures of the conditions of a request."""
    from vcjax.composer.completion import complete_request, request_shape

    request = complete_request(request, composer)
    shape = request_shape(request, composer)
    images = _write_images(composer, request, folder, _Progress(report, check_cancelled))
    return {
        "images": images,
        "frames": shape.frames,
        "height": shape.height,
        "width": shape.width,
        "fps": float(shape.fps),
    }


def _write_images(composer: Any, request: Any, folder: Path, progress: "_Progress") -> dict[str, int]:
    """Write NAME.png for each condition, as `vcjax generate --show-conditions` does; return the number of frames of each."""
    from vcjax.video.clip import Clip

    progress("reading conditions", 0, 0)
    images = composer.condition_images(request)
    for name, frames in images.items():
        Clip(frames, composer.shape.fps).save(folder / "conditions" / f"{name}.png")
    return {name: len(frames) for name, frames in images.items()}


class _Progress:
    """Sends progress to the server, not too often, and stops the request where the server wants it."""

    def __init__(self, report: Report, check_cancelled: Callable[[], None]) -> None:
        self._report, self._check_cancelled = report, check_cancelled
        self._phase, self._sent = "", -PROGRESS_INTERVAL

    def __call__(self, phase: str, completed: int, total: int) -> None:
        self._check_cancelled()
        now = time.monotonic()
        if phase != self._phase or now - self._sent >= PROGRESS_INTERVAL:
            self._phase, self._sent = phase, now
            self._report("progress", phase=phase, completed=completed, total=total)


def _estimates(report: Report) -> Callable[[Any], bool]:
    """Return a callback that sends the estimated frames as a picture with a cell for each."""
    from PIL import Image

    from vcjax.video.write import grid

    def on_step(preview: Any) -> bool:
        buffer = io.BytesIO()
        Image.fromarray(grid(preview.frames[0])).save(buffer, "png")
        image = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        report("estimate", completed=preview.completed, total=preview.total, image=image)
        return False

    return on_step


@contextlib.contextmanager
def _warnings_as_sentences() -> Iterator[list[str]]:
    """Collect warnings about inputs."""
    sentences: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", VcjaxWarning)
        show = warnings.showwarning

        def keep(message: Any, category: Any, *rest: Any, **further: Any) -> None:
            if issubclass(category, VcjaxWarning):
                sentences.append(str(message))
            else:
                show(message, category, *rest, **further)

        warnings.showwarning = keep
        yield sentences
