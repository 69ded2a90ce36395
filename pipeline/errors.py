"""Why a movie could not be turned into clips: one class per cause, each with what to do.

MovieError                     kind: permanent unless said otherwise
├── UnreadableError            no demuxer of the whitelist understands the file
├── NoVideoStreamError         no video stream but cover art
├── NoAudioStreamError         no audio stream
├── NoDecoderError             this ffmpeg cannot decode the codec
├── EncryptedError             the streams are encrypted
├── DolbyVisionError           only a Dolby Vision decoder can tell the colours
├── NoFramesError              not one frame can be decoded
├── TooShortError              shorter than one clip
├── AllDroppedError            every clip fell to a drop rule
├── DecodeError                ffmpeg gave up, or gave too few frames or samples
├── TooLargeError              beyond a limit: bytes, hours, pixels, streams
├── OutsideCorpusError         a link that leads out of the corpus, or no regular file
├── SourceDeniedError          the store does not give this source to us
├── SourceChangedError         transient: the file changed while it was read
├── SourceError                transient: the file could not be fetched or opened
├── TimedOutError              transient: no progress, or over the wall-clock limit
├── LostError                  transient: a node or its data went away
├── KilledError                resource: ffmpeg or its worker was killed
├── OutOfMemoryError           resource: ffmpeg needs more memory than it may have
└── DiskFullError              resource: no room for sources or shards on a node

`transient` is tried again as it is, `resource` too, with more memory where that was lacking;
neither for ever.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from shards_spec.errors import ReelshardsError

Kind = Literal["permanent", "transient", "resource"]


class MovieError(ReelshardsError):
    """Base. `error_class` is what the index stores; `kind` decides on retries."""

    error_class: ClassVar[str] = "media"
    kind: ClassVar[Kind] = "permanent"


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


class TooLargeError(MovieError):
    error_class = "too_large"


class OutsideCorpusError(MovieError):
    error_class = "outside_corpus"


class SourceDeniedError(MovieError):
    error_class = "source_denied"


class SourceChangedError(MovieError):
    error_class = "source_changed"
    kind = "transient"


class SourceError(MovieError):
    error_class = "source_unavailable"
    kind = "transient"


class TimedOutError(MovieError):
    error_class = "timed_out"
    kind = "transient"


class LostError(MovieError):
    error_class = "lost"
    kind = "transient"

    def __init__(self, message: str, parts: tuple[int, ...] = ()) -> None:
        """`parts` are those of a movie's clip bytes that went away, as `Spool` calls them."""
        super().__init__(message)
        self.parts = parts


class KilledError(MovieError):
    error_class = "killed"
    kind = "resource"


class OutOfMemoryError(MovieError):
    error_class = "out_of_memory"
    kind = "resource"


class DiskFullError(MovieError):
    error_class = "disk_full"
    kind = "resource"
