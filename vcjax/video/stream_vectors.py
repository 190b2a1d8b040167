"""Decoding of a file with the motion vectors that its stream holds, and the frames that these refer to.

FFmpeg exports for each vector only whether it belongs to the first (past) or the second (future) list of
references, not which frame of the list. The frame is derived from the decoding order here.
"""

import bisect
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
from av.codec.context import Flags2, ThreadType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from vcjax.errors import BadInput
from vcjax.video.motion import VECTOR
from vcjax.video.sources import ImageSource, TimedFrame, VideoSource, open_source

# Codecs of which FFmpeg's decoders fill the vectors of B-frames, and those of which they leave them at zero
# (libavcodec/h263dec.c calls ff_h263_update_motion_val except in B-frames).
COMPLETE = ("h264", "mpeg1video", "mpeg2video")
WITHOUT_B = ("mpeg4", "h263", "flv1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2")

SLICES = range(1, 6)  # NAL unit types of H.264 with coded slices (ITU-T H.264, table 7-1)
START_CODE = b"\0\0\1"

INSTEAD = "use vcjax.extract or --motion-from with vectors 'encode' (the default), which re-encodes the clip"


@dataclasses.dataclass(frozen=True, eq=False)
class CodedFrame:
    """A decoded frame of a stream with its vectors.

    Attributes:
        vectors: structured array of type `VECTOR`; empty for intra frames, and for B-frames whose vectors
            FFmpeg does not export.
        height: height in pixels, before rotation.
        width: width in pixels, before rotation.
        quarter_turns: quarter turns counterclockwise with which the frame is displayed.
        interlaced: whether the frame is interlaced.
        bidirectional: whether it is a B-frame.
        exported: whether FFmpeg exports the vectors of a frame of this type.
        packet: position of the frame in decoding order; None if unknown.
        is_reference: whether other frames may refer to it.
    """

    vectors: np.ndarray
    height: int
    width: int
    quarter_turns: int
    interlaced: bool
    bidirectional: bool
    exported: bool
    packet: int | None
    is_reference: bool


def open_vectors(path: str | os.PathLike[str]) -> "VectorSource":
    """Open a video whose decoder exports motion vectors.

    Raises:
        BadInput: the file is not a video, or FFmpeg exports no vectors of its codec.
    """
    source = open_source(path)
    try:
        if not isinstance(source, VideoSource):
            what = "an image" if isinstance(source, ImageSource) else "a sequence of images"
            raise BadInput(f"{path} is {what}, which holds no motion vectors; {INSTEAD}")
        codec = _codec(source)
        if codec not in COMPLETE + WITHOUT_B:
            raise BadInput(
                f"{path} is coded as {codec}, whose motion vectors FFmpeg does not export; {INSTEAD}"
            )
        return VectorSource(source.path)
    finally:
        source.close()


class VectorSource(VideoSource):
    """The first video stream of a container, decoded with its motion vectors."""

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return _codec(self)

    def coded_frames(self, start: float | int) -> Iterator[TimedFrame]:
        """Yield `CodedFrame`s with their times in presentation order, the first at `start` or before."""
        for timed in self.timed_frames(start):
            yield dataclasses.replace(timed, frame=self._coded(timed.frame))

    def _coded(self, frame: VideoFrame) -> CodedFrame:
        side_data = frame.side_data.get("MOTION_VECTORS")
        bidirectional = frame.pict_type in (PictureType.B, PictureType.BI)
        exported = not bidirectional or self.codec in COMPLETE
        packet, is_reference = frame.opaque if isinstance(frame.opaque, tuple) else (None, None)
        return CodedFrame(
            np.frombuffer(bytes(side_data), VECTOR) if side_data and exported else np.empty(0, VECTOR),
            frame.height,
            frame.width,
            round(frame.rotation / 90),
            frame.interlaced_frame,
            bidirectional,
            exported,
            packet,
            not bidirectional if is_reference is None else is_reference,
        )

    def _decoder(self) -> VideoCodecContext:
        decoder = super()._decoder()
        decoder.flags2 |= Flags2.export_mvs
        # With frame threads H.264 vectors are exported while another thread may still decode them.
        decoder.thread_type = ThreadType.SLICE
        decoder.copy_opaque = True  # frames then carry the `opaque` of their packet
        return decoder

    def _packets(self) -> Iterator[av.Packet | None]:
        extradata = self.stream.codec_context.extradata or b""
        # An avcC record stores how long the length in front of each NAL unit is (ISO/IEC 14496-15, 5.3.3).
        length_size = (extradata[4] & 3) + 1 if len(extradata) > 4 and extradata[0] == 1 else None
        for number, packet in enumerate(super()._packets()):
            if packet is not None:
                is_h264 = self.codec == "h264"
                packet.opaque = (number, h264_is_reference(bytes(packet), length_size) if is_h264 else None)
            yield packet


def h264_is_reference(packet: bytes, length_size: int | None) -> bool | None:
    """Return whether other frames may refer to the picture of an H.264 packet; None if it holds no slice.

    Args:
        packet: NAL units, each after its length or after a start code.
        length_size: bytes of the length; None for start codes.
    """
    position = 0
    while True:
        if length_size is None:
            position = packet.find(START_CODE, position) + len(START_CODE)
            if position < len(START_CODE) or position >= len(packet):
                return None
            header, following = packet[position], position
        else:
            first = position + length_size
            if first >= len(packet):
                return None
            header, following = packet[first], first + int.from_bytes(packet[position:first], "big")
        if header & 0x1F in SLICES:
            return bool(header >> 5 & 3)  # nal_ref_idc
        position = following


@dataclasses.dataclass(frozen=True)
class References:
    """The frames that a frame's vectors are taken to refer to, as indices in presentation order.

    Attributes:
        past: reference of the vectors whose `source` is -1; None if there is none.
        future: reference of the vectors whose `source` is +1; None if there is none.
    """

    past: int | None
    future: int | None


def nearest_references(frames: Sequence[CodedFrame]) -> list[References]:
    """Return the nearest reference frames on either side of each frame, among those decoded before it.

    These are the references of MPEG-1, MPEG-2 and MPEG-4 Part 2, and the first ones in the lists of H.264.

    Args:
        frames: frames in presentation order.
    """
    found = [References(None, None)] * len(frames)
    decoded: list[int] = []  # reference frames in presentation order
    for index in _decoding_order(frames):
        after = bisect.bisect(decoded, index)
        past = decoded[after - 1] if after else None
        future = decoded[after] if after < len(decoded) else None
        found[index] = References(past, future)
        if frames[index].is_reference:
            decoded.insert(after, index)
    return found


def _decoding_order(frames: Sequence[CodedFrame]) -> list[int]:
    """Return indices in decoding order; if packets are unknown, B-frames come after the next other frame."""
    packets = [frame.packet for frame in frames]
    if None not in packets:
        return sorted(range(len(frames)), key=lambda index: packets[index] or 0)
    order, waiting = [], []
    for index, frame in enumerate(frames):
        if frame.bidirectional:
            waiting.append(index)
        else:
            order += [index, *waiting]
            waiting = []
    return order + waiting


def _codec(source: VideoSource) -> str:
    codec: Any = source.stream.codec_context.codec
    return codec.canonical_name
