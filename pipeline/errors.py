"""Why a movie could not be turned into clips: one class per cause.

MovieError                     an unexpected error: a bug
├── UnreadableError            no demuxer of the whitelist understands the file
├── NoVideoStreamError         no video stream, or only cover art
├── NoAudioStreamError         no audio stream
├── NoDecoderError             this ffmpeg cannot decode the codec
├── EncryptedError             the streams are encrypted
├── DolbyVisionError           only a Dolby Vision decoder can show the colors
├── NoFramesError              no frame can be decoded
├── TooShortError              shorter than one clip
├── AllDroppedError            every clip was dropped by a rule
├── DecodeError                ffmpeg gave up, or returned too few frames or samples
├── IncompleteError            the file was cut off, and --incomplete is `fail`
├── TooLargeError              beyond a limit: bytes, hours, pixels, streams
├── OutsideCorpusError         a link that leads out of the corpus, or not a regular file
├── SourceDeniedError          the store denies access to the source
├── SourceChangedError         the source changed while it was read
├── SourceError                the source could not be opened or read
│   └── SourceOutageError      ... because its store is unavailable
├── TimedOutError              no progress, or over the wall-clock limit
├── LostError                  a node or its data was lost
├── KilledError                ffmpeg or its worker was killed
├── OutOfMemoryError           ffmpeg needs more memory than it may use
└── DiskFullError              no space left for sources or shards on a node

What follows from each (retries, final status, advice) is the table in `engine/failure_classes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from shards_spec.errors import ReelshardsError


class MovieError(ReelshardsError):
    """Base. `error_class` is stored in the index; see `engine.failure_classes` for its effects."""

    error_class: ClassVar[str] = "media"
    known: Mapping[str, Any] = MappingProxyType({})
    """What was known about the movie when it failed, for its row in the index: `video` and `audio`
    streams, `dropped` clips."""


class UnreadableError(MovieError):
    error_class = "unreadable"


class NoVideoStreamError(MovieError):
    error_class = "no_video_stream"


class NoAudioStreamError(MovieError):
    error_class = "no_audio_stream"


class NoDecoderError(MovieError):
    error_class = "no_decoder"


class EncryptedError(MovieError):
    error_class = "encrypted"


class NoFramesError(MovieError):
    error_class = "no_frames"


class DolbyVisionError(MovieError):
    error_class = "dolby_vision_only"


class TooShortError(MovieError):
    error_class = "too_short"


class AllDroppedError(MovieError):
    error_class = "all_clips_dropped"


class DecodeError(MovieError):
    error_class = "decode_failed"


class IncompleteError(MovieError):
    error_class = "incomplete"


class TooLargeError(MovieError):
    error_class = "too_large"


class OutsideCorpusError(MovieError):
    error_class = "outside_corpus"


class SourceDeniedError(MovieError):
    error_class = "source_denied"


class SourceChangedError(MovieError):
    error_class = "source_changed"


class SourceError(MovieError):
    error_class = "source_unavailable"


class SourceOutageError(SourceError):
    """The store of the source is unavailable for now; that is not about one movie."""


class TimedOutError(MovieError):
    error_class = "timed_out"


class LostError(MovieError):
    error_class = "lost"

    def __init__(self, message: str, parts: tuple[int | str, ...] = ()) -> None:
        """`parts` are the keys of the lost clip bytes in the writer's `Spool`."""
        super().__init__(message)
        self.parts = parts


class KilledError(MovieError):
    error_class = "killed"


class OutOfMemoryError(MovieError):
    error_class = "out_of_memory"


class DiskFullError(MovieError):
    error_class = "disk_full"
