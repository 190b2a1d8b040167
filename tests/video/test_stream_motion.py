"""Motion vectors of a stream: they are those of FFmpeg, and a known translation in pixels per frame."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import Flags2
from av.video.frame import PictureType
from PIL import Image

import vcjax
from tests.video.source_videos import encode
from vcjax.video.motion import VECTOR, codec_motion, inter_coded, rasterise
from vcjax.video.resize import resize_crop, resize_crop_field
from vcjax.video.stream_vectors import CodedFrame, References, nearest_references, open_vectors

MOTION = (3, -2)  # pixels per frame: to the right and up
COUNT, HEIGHT, WIDTH = 14, 128, 160
FPS = 10
FULL_RATE = {"b": "4000000", "g": "60"}  # bits and GOP that leave hardly any block intra-coded
ONE_REFERENCE = "b-adapt=0:b-pyramid=none:weightp=0:scenecut=0"
CODECS = {
    "mpeg4": ("mpeg4", FULL_RATE),
    "mpeg4_b": ("mpeg4", {**FULL_RATE, "bf": "2"}),
    "mpeg2_b": ("mpeg2video", {**FULL_RATE, "bf": "2"}),
    "h264": ("libx264", {"bf": "0", "refs": "1", "x264-params": ONE_REFERENCE}),
    "h264_b": ("libx264", {"bf": "3", "refs": "1", "x264-params": ONE_REFERENCE}),
    "h264_pyramid": ("libx264", {"bf": "3", "refs": "4", "x264-params": "b-adapt=0:scenecut=0"}),
}


def translating(count=COUNT, motion=MOTION):
    """Frames of a smooth random texture that moves by `motion`."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    texture = np.asarray(Image.fromarray(noise).resize((480, 400), Image.Resampling.BICUBIC))
    top, left = 150 - motion[1] * np.arange(count), 150 - motion[0] * np.arange(count)
    return np.stack([texture[y : y + HEIGHT, x : x + WIDTH] for y, x in zip(top, left, strict=True)])


@pytest.fixture(scope="module", params=CODECS)
def coded(request, tmp_path_factory):
    """A translating video in one of the codecs: its name and path."""
    codec, options = CODECS[request.param]
    path = tmp_path_factory.mktemp("coded") / "moving.mkv"
    return request.param, encode(path, translating(), codec=codec, fps=FPS, options=options)


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    codec, options = CODECS["h264_pyramid"]
    path = tmp_path_factory.mktemp("pyramid") / "moving.mp4"
    return encode(path, translating(36, (1, -1)), codec=codec, fps=FPS, options=options)


def side_data(path):
    """Picture types and FFmpeg's side data, read with one thread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.flags2 |= Flags2.export_mvs
        for frame in container.decode(stream):
            data = frame.side_data.get("MOTION_VECTORS")
            vectors = np.empty(0, VECTOR) if data is None else np.frombuffer(bytes(data), VECTOR)
            yield frame.pict_type, vectors


def median(motion, known):
    return np.median(motion[known], axis=0)


def test_a_translation_is_the_median_of_every_frame_in_pixels_per_frame(coded):
    """Measured: at least 84% of pixels are known, and 89% of these within half a pixel, MPEG's unit."""
    result = vcjax.stream_motion(coded[1])
    assert result.motion.shape == (COUNT, HEIGHT, WIDTH, 2)
    assert result.fps == FPS
    assert not result.known[0].any()
    for motion, known in zip(result.motion[1:], result.known[1:], strict=True):
        if not known.any():
            break
        assert known.mean() > 0.8  # the encoder leaves blocks intra-coded where content enters
        np.testing.assert_allclose(median(motion, known), MOTION, atol=0.05)
        assert (np.abs(motion[known] - MOTION).max(-1) <= 0.5).mean() > 0.85
    last_exported = not coded[0].startswith("mpeg") or "_b" not in coded[0]
    assert result.known[1:].any((1, 2)).tolist() == [True] * (COUNT - 2) + [last_exported]
    assert (result.motion[~result.known] == 0).all()


def test_vectors_are_those_of_ffmpeg(coded):
    frames = [timed.frame for timed in open_vectors(coded[1]).coded_frames(0)]
    expected = list(side_data(coded[1]))
    assert len(frames) == len(expected) == COUNT
    assert sum(len(vectors) for _, vectors in expected) > 0
    for frame, (kind, vectors) in zip(frames, expected, strict=True):
        if coded[0] == "mpeg4_b" and kind == PictureType.B:
            # FFmpeg exports zeros here; if this fails, B-frames can be taken out of WITHOUT_B.
            assert not vectors["motion_x"].any()
            assert not frame.exported
        else:
            np.testing.assert_array_equal(frame.vectors, vectors)


@pytest.mark.slow
@pytest.mark.skipif("MV_EXTRACTOR" not in os.environ, reason="set MV_EXTRACTOR to a checkout of mv-extractor")
@pytest.mark.parametrize("name", ["h264", "mpeg4_part2"])
def test_vectors_are_the_reference_rows_of_mv_extractor(name):
    """LukasBommes/mv-extractor stores the rows of each frame of its two clips of 337 frames."""
    checkout = Path(os.environ["MV_EXTRACTOR"])
    path = checkout / f"vid_{name}.mp4"
    frames = [timed.frame for timed in open_vectors(path).coded_frames(0)]
    assert len(frames) == 337
    assert sum(len(frame.vectors) for frame in frames) > 1_000_000
    columns = [column for column in VECTOR.names if column != "flags"]  # the rows leave the flags out
    for index, frame in enumerate(frames):
        rows = np.load(checkout / f"tests/reference/{name}/motion_vectors/mvs-{index}.npy").reshape(-1, 10)
        np.testing.assert_array_equal(np.stack([frame.vectors[column] for column in columns], -1), rows)
    vectors = [frame.vectors for frame in frames[:40]]
    first = vcjax.stream_motion(path, count=40)
    height, width = first.motion.shape[1:3]
    np.testing.assert_array_equal(first.motion, rasterise(vectors, height, width, form="blocks"))


def test_without_b_frames_motion_is_the_map_of_the_motion_condition(tmp_path):
    codec, options = CODECS["h264"]
    path = encode(tmp_path / "moving.mkv", translating(), codec=codec, fps=FPS, options=options)
    vectors = [each for _, each in side_data(path)]
    result = vcjax.stream_motion(path)
    np.testing.assert_array_equal(result.motion, rasterise(vectors, HEIGHT, WIDTH, form="blocks"))
    np.testing.assert_array_equal(result.known, inter_coded(vectors, HEIGHT, WIDTH))


def test_motion_between_sampled_frames_adds_up_and_scales_with_the_frames(coded):
    half = {"fps": FPS / 4, "size": (HEIGHT // 2, HEIGHT // 2)}
    result = vcjax.stream_motion(coded[1], **half)
    clip = vcjax.read(coded[1], **half)
    assert result.motion.shape[:3] == clip.frames.shape[:3]
    assert result.fps == clip.fps
    assert not result.motion[0].any()
    for motion, known in zip(result.motion[1:], result.known[1:], strict=True):
        np.testing.assert_allclose(median(motion, known), np.multiply(MOTION, 4 / 2), atol=0.1)


def test_a_frame_shown_twice_does_not_move(pyramid):
    result = vcjax.stream_motion(pyramid, fps=2 * FPS, count=9)
    assert not result.motion[1::2].any()
    assert result.known[1::2].all()
    np.testing.assert_allclose(median(result.motion[2], result.known[2]), (1, -1), atol=0.05)


@pytest.mark.parametrize("start", [0.5, 2.05])
def test_motion_starts_anywhere_and_the_last_frame_has_its_future_reference(pyramid, start):
    """Frames of a shorter clip are those of a longer one."""
    result, longer = (vcjax.stream_motion(pyramid, start=start, count=count) for count in (4, 9))
    assert result.motion.shape[0] == 4
    np.testing.assert_array_equal(result.motion, longer.motion[:4])
    assert not result.known[0].any()
    for motion, known in zip(result.motion[1:], result.known[1:], strict=True):
        np.testing.assert_allclose(median(motion, known), (1, -1), atol=0.05)


def test_references_are_found_with_start_codes_and_with_lengths(tmp_path):
    codec, options = CODECS["h264_pyramid"]
    results = [
        vcjax.stream_motion(encode(tmp_path / name, translating(), codec=codec, fps=FPS, options=options))
        for name in ("lengths.mp4", "start_codes.ts", "no_times.h264")
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.motion, results[0].motion)


def test_vectors_turn_with_the_frames(tmp_path):
    options = CODECS["mpeg4"][1]
    for rotation in (90, 180, 270):
        path = tmp_path / f"{rotation}.mp4"
        encode(path, translating(4), codec="mpeg4", fps=FPS, options=options, rotation=rotation)
        clip = vcjax.read(path)
        shown = rasterise(codec_motion(clip.frames, fps=FPS).vectors, clip.height, clip.width, form="blocks")
        result = vcjax.stream_motion(path)
        assert result.motion.shape[:3] == clip.frames.shape[:3]
        np.testing.assert_allclose(
            median(result.motion, result.known), np.median(shown[1:], (0, 1, 2)), atol=0.05
        )


def test_references_are_the_nearest_decoded_before():
    """I0 b1 B2 b3 P4 is decoded as 0, 4, 2, 1, 3; without packet numbers, B-frames refer to I and P only."""

    def frame(kind, packet):
        bidirectional = kind in "bB"
        return CodedFrame(np.empty(0, VECTOR), 8, 8, 0, False, bidirectional, True, packet, kind != "b")

    pyramid = [frame(*each) for each in zip("IbBbP", (0, 3, 2, 4, 1), strict=True)]
    expected = [(None, None), (0, 2), (0, 4), (2, 4), (0, None)]
    assert nearest_references(pyramid) == [References(*each) for each in expected]
    plain = [frame(kind, None) for kind in "IbbPbP"]
    expected = [(None, None), (0, 3), (0, 3), (0, None), (3, 5), (3, None)]
    assert nearest_references(plain) == [References(*each) for each in expected]


@pytest.mark.parametrize(("codec", "name"), [("libx265", "hevc"), ("libvpx-vp9", "vp9"), ("ffv1", "ffv1")])
def test_codecs_without_exported_vectors_are_refused_by_name(codec, name, tmp_path):
    path = encode(tmp_path / "moving.mkv", translating(3), codec=codec)
    with pytest.raises(
        vcjax.BadInput, match=rf"is coded as {name}, .*vcjax\.extract or --motion-from"
    ) as error:
        vcjax.stream_motion(path)
    assert ". " not in str(error.value).replace(str(path), "")


def test_files_without_motion_vectors_are_refused(tmp_path):
    Image.fromarray(translating(1)[0]).save(tmp_path / "image.png")
    (tmp_path / "text.mp4").write_text("no video")
    encode(tmp_path / "intra.mkv", translating(3), options={"g": "1"})
    for name, words in {
        "image.png": "is an image",
        "text.mp4": "neither a video nor an image",
        "intra.mkv": "only intra-coded frames",
        "missing.mp4": "cannot be read",
    }.items():
        with pytest.raises(vcjax.BadInput, match=words):
            vcjax.stream_motion(tmp_path / name)
    with pytest.raises(vcjax.BadInput, match="fps"):
        vcjax.stream_motion(tmp_path / "intra.mkv", fps=0)


def test_interlaced_video_gives_a_warning(tmp_path):
    path = encode(
        tmp_path / "fields.mkv", translating(4), options={"x264-params": "tff=1:bframes=0", "flags": "+ildct"}
    )
    with pytest.warns(vcjax.VcjaxWarning, match="interlaced"):
        vcjax.stream_motion(path)


@pytest.mark.parametrize(
    ("size", "target"), [((120, 213), (64, 64)), ((97, 60), (48, 80)), ((64, 64), (96, 80))]
)
def test_a_field_is_cropped_where_an_image_is(size, target):
    """A ramp of grey levels along each axis; halving drops an odd last row, which is at most one pixel."""
    ramps = np.stack(np.meshgrid(*[np.linspace(0, 255, n) for n in size], indexing="ij"), -1)
    image = resize_crop(ramps.round().astype(np.uint8)[None], *target, rule="latent")
    field = resize_crop_field(ramps.astype(np.float32)[None], *target, rule="latent")
    pixel = 255 / min(size)
    assert np.abs(field - image)[:, 2:-2, 2:-2].max() < pixel


def test_real_clips_agree_with_vectors_of_their_re_encoded_frames(shared):
    """Measured over whole clips: median ratios of 0.82 to 1.00, correlations of 0.69 to 0.90."""
    for name in ("motion_transfer.mp4", "tennis.mp4"):
        path = shared / "media" / name
        clip = vcjax.read(path, count=16)
        result = vcjax.stream_motion(path, count=16)
        assert result.motion.shape[:3] == clip.frames.shape[:3]
        again = codec_motion(clip.frames, fps=clip.fps, bit_rate=20_000_000, gop=16)
        both = inter_coded(again.vectors, clip.height, clip.width) & result.known
        ours = result.motion[both]
        theirs = rasterise(again.vectors, clip.height, clip.width, form="blocks")[both]
        length = np.square(theirs).sum(-1)
        moves = length > 1
        assert 0.8 < np.median((ours * theirs).sum(-1)[moves] / length[moves]) < 1.2
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.6
