"""A movie's audio on the movie timeline: decoded once, downmixed, aligned, resampled.

ffmpeg decodes the chosen track at its own rate and downmixes it to mono; its `ashowinfo` filter
reports the pts and sample count of each frame, after the decoder has removed priming and padding.
`align` decides where the samples belong: gaps become silence, overlaps are cut, drifting sections
are resampled. One resampler then runs over the whole timeline, so output sample k is at k / rate.

    decoded   [a a a a][b b b b]   [c c c c]        samples as decoded
    timeline  [a a a a][b b b b]000[c c c c]000     native rate, from t = 0
    output    | | | | | | | | | | | | | | | |       recipe's rate

Memory holds about half a minute of audio, however long the movie is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ffmpeg
import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.audio.downmix import mono_filter
from pipeline.audio.edited import EditedAudio
from pipeline.audio.sample_buffer import SampleBuffer, valid_samples
from pipeline.audio.timeline import AudioFrame, Piece, align
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import WITHOUT_TEXTS, input_stream
from pipeline.probe import Probe
from pipeline.sources import Readable
from shards_spec.recipe import NANOSECONDS

_ASHOWINFO = re.compile(r"\bn:\d+ pts:(-?\d+|NOPTS) .* nb_samples:(\d+) ")
_READ_BYTES = 1 << 18
_BYTES_PER_SAMPLE = 4
_SILENCE_SECONDS = 1.0
#: Shorter gaps come from rounded timestamps, not from missing audio.
_MIN_FILL_SECONDS = 0.001
#: Audio read past the end, so that the edge of the resampler lies after it.
_EDGE_SECONDS = 0.25


@dataclass(frozen=True)
class AudioReport:
    """How a movie's audio was aligned with its timeline, up to the requested end."""

    start_ns: int = 0
    """Time of the first decoded sample; negative if it precedes the video."""
    fills_ns: tuple[tuple[int, int], ...] = ()
    """Ranges [start, end) without valid audio in the source, filled with silence."""
    cut_ns: int = 0
    """Audio that was omitted because other audio covers the same time."""
    drift_ppm: float = 0.0
    """How much faster the audio clock runs than the timeline (corrected); 0 if steady."""
    decoded_ns: int = 0
    """Length of the decoded audio, by its own clock."""

    @property
    def filled_ns(self) -> int:
        """Total inserted silence."""
        return sum(end - start for start, end in self.fills_ns)


class Soundtrack:
    """Reads a movie's audio. Use as a context manager; iterate `chunks` once."""

    def __init__(
        self,
        source: Readable,
        probe: Probe,
        end_ns: int,
        *,
        what: str,
        keep_frames: bool = False,
    ) -> None:
        """Start decoding.

        Args:
            source: the open movie.
            probe: of the movie; names the track.
            end_ns: end of the requested audio on the movie timeline.
            what: movie and part, for error messages.
            keep_frames: collect `frames` and `pieces` for inspection; they grow with the movie.
        """
        self.frames: list[AudioFrame] = []
        self.pieces: list[Piece] = []
        """Where the audio was aligned."""
        self._keep_frames = keep_frames
        self._rate_hz, self._has_times = probe.audio.sample_rate_hz, probe.audio.has_times
        self._zero = round(Fraction(probe.start_ns, NANOSECONDS) * self._rate_hz)
        self._edits = EditedAudio(probe.played_audio, self._rate_hz)
        self._end_ns = end_ns
        self._end = round(Fraction(end_ns, NANOSECONDS) * self._rate_hz)
        self._reports, self._reported = deque[AudioFrame](), 0
        self._samples = SampleBuffer()
        self._fills: list[tuple[int, int]] = []
        self._cut = self._clock = self._change = 0
        self._start: int | None = None
        self._run = FfmpegProcess(
            _command(source, probe),
            source,
            what=what,
            on_line=self._note_frame,
        )

    def __enter__(self) -> Soundtrack:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._run.__exit__(*raised)

    @property
    def cpu_seconds(self) -> float:
        """Of ffmpeg; available after the end."""
        return self._run.cpu_seconds

    def chunks(self, rate_hz: float) -> Iterator[NDArray[np.float32]]:
        """Mono samples from t = 0 to the requested end or slightly beyond, without gaps.

        Raises `MovieError` if nothing can be decoded; audio that is missing later becomes silence.
        """
        resampler = soxr.ResampleStream(self._rate_hz, rate_hz, 1, "float32", "HQ")
        for chunk in self._native_chunks():
            if self._rate_hz == rate_hz:
                yield chunk
            else:
                yield resampler.resample_chunk(chunk)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)

    def report(self) -> AudioReport:
        """What was done so far."""

        def ns(samples: int) -> int:
            return round(Fraction(samples * NANOSECONDS, self._rate_hz))

        fills = [(ns(start), min(ns(end), self._end_ns)) for start, end in self._fills]
        return AudioReport(
            start_ns=ns(self._start or 0),
            fills_ns=tuple((start, end) for start, end in fills if start < end),
            cut_ns=ns(self._cut),
            drift_ppm=round(1e6 * self._change / max(1, self._clock), 3),
            decoded_ns=ns(self._samples.end),
        )

    def _native_chunks(self) -> Iterator[NDArray[np.float32]]:
        end = self._end + round(_EDGE_SECONDS * self._rate_hz)
        position = 0
        for piece in align(self._frames(), self._rate_hz):
            self._account(piece)
            for silence in self._silence(position, min(piece.start, end)):
                yield silence
                position += len(silence)
            overlap = max(0, position - piece.start)
            self._cut += max(0, min(overlap, piece.length) - max(0, -piece.start))
            if overlap < piece.length:
                samples = self._samples.read(piece)[overlap : overlap + end - position]
                self._note_invalid(piece, position)
                yield samples
                position += len(samples)
            if position >= end:
                return
        yield from self._silence(position, end)

    def _note_invalid(self, piece: Piece, position: int) -> None:
        """Count invalid samples of a piece, from a position of the timeline on, as filled."""
        for start, end in self._samples.invalid_in(piece):
            if end - max(start, position) >= _MIN_FILL_SECONDS * self._rate_hz:
                self._fills.append((max(start, position), end))

    def _account(self, piece: Piece) -> None:
        if self._keep_frames:
            self.pieces.append(piece)
        self._start = piece.start if self._start is None else self._start
        self._clock += piece.count
        self._change += piece.length - piece.count

    def _silence(self, start: int, end: int) -> Iterator[NDArray[np.float32]]:
        if start >= end:
            return
        if end - start >= _MIN_FILL_SECONDS * self._rate_hz:
            self._fills.append((start, end))
        step = round(_SILENCE_SECONDS * self._rate_hz)
        for begin in range(start, end, step):
            yield np.zeros(min(step, end - begin), np.float32)

    def _frames(self) -> Iterator[AudioFrame]:
        """Frames as they are decoded; the samples of each are buffered before it is yielded."""
        received = 0
        rest = np.empty(0, np.float32)
        while data := self._run.read_some(_READ_BYTES):
            rest = np.concatenate([rest, np.frombuffer(data, dtype="<f4")])
            # One look at many frames: each holds few samples.
            are_valid = bool(valid_samples(rest).all())
            received += len(data) // _BYTES_PER_SAMPLE
            # ffmpeg reports a frame before it writes the samples.
            self._wait_for_reports(received)
            while self._reports and self._reports[0].count <= len(rest):
                whole = self._reports.popleft()
                samples, rest = rest[: whole.count], rest[whole.count :]
                for first, part in self._edits.parts(whole):
                    own = samples[first : first + part.count]
                    self._samples.append(own, are_valid=are_valid)
                    frame = self._on_timeline(part)
                    if self._keep_frames:
                        self.frames.append(frame)
                    yield frame
        self._run.finish(tolerate_errors=True)
        if not received and self._run.returncode:
            raise self._run.error("no audio could be decoded")

    def _on_timeline(self, frame: AudioFrame) -> AudioFrame:
        if self._zero == 0:
            return frame
        return frame if frame.pts is None else AudioFrame(frame.pts - self._zero, frame.count)

    def _wait_for_reports(self, num_samples: int) -> None:
        self._run.wait_for_line(lambda: self._reported >= num_samples)

    def _note_frame(self, line: str) -> None:
        match = _ASHOWINFO.search(line)
        if match:
            # Without times in the container ffmpeg counts from 0, wherever the video starts.
            is_timed = self._has_times and match.group(1) != "NOPTS"
            frame = AudioFrame(int(match.group(1)) if is_timed else None, int(match.group(2)))
            # The other thread relies on this order: first the frame, then the count.
            self._reports.append(frame)
            self._reported += frame.count


def _command(source: Readable, probe: Probe) -> list[str]:
    audio = probe.audio
    options: dict[str, Any] = {**dict(probe.input_options), "threads": 1, "copyts": None}
    if probe.played_audio:
        options["ignore_editlist"] = 1
    opened = input_stream(source, **options)
    streams = [opened[str(index)] for index in audio.joined or (audio.index,)]
    is_joined = len(streams) > 1
    track = ffmpeg.filter(streams, "amerge", inputs=len(streams)) if is_joined else streams[0]
    # Fix the rate: a stream that changes its own midway must not change ours.
    mono = mono_filter(track, audio).filter("aresample", audio.sample_rate_hz)
    mono = mono.filter("aformat", sample_fmts="flt", channel_layouts="mono").filter("ashowinfo")
    output = ffmpeg.output(mono, "pipe:1", format="f32le", **WITHOUT_TEXTS)
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command
