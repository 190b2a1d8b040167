"""Bounds of what the server accepts and keeps."""

import dataclasses

MEGABYTE = 2**20
GIGABYTE = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of what the server accepts and keeps.

    Attributes:
        upload_bytes: size of a file.
        uploads: number of files that are kept.
        uploads_bytes: size of all files together.
        pixels: pixels of a frame of a file.
        frames: frames of a video, of a file and of a request.
        seconds: duration of a file.
        request_bytes: size of a request in JSON.
        request_pixels: pixels of all frames of the requested video.
        per_client: requests of one client in the queue.
        per_address: requests from one address in the queue.
        queued: requests of all clients in the queue.
        subscribers: connections that receive events.
        inspection_bytes: memory of the process that decodes a file.
        inspection_seconds: time of the process that decodes a file.
        chunk_seconds: longest pause in the body of a request.
        body_seconds: longest time of a body.
        header_seconds: longest time of the headers of a request.
        keep_days: age at which results are deleted.
        keep_bytes: size of all results together, above which the oldest are deleted.
    """

    upload_bytes: int = 256 * MEGABYTE
    uploads: int = 5000
    uploads_bytes: int = 20 * GIGABYTE
    pixels: int = 64_000_000
    frames: int = 100_000
    seconds: int = 6 * 3600
    request_bytes: int = MEGABYTE
    request_pixels: int = 64_000_000
    per_client: int = 20
    per_address: int = 250
    queued: int = 500
    subscribers: int = 200
    inspection_bytes: int = 4 * GIGABYTE
    inspection_seconds: int = 30
    chunk_seconds: float | int = 10.0
    body_seconds: float | int = 600.0
    header_seconds: float | int = 10.0
    keep_days: float | int = 30.0
    keep_bytes: int = 20 * GIGABYTE
