"""The findings of `check-sync` as tables or as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.console.sync_check import SyncCheck
from pipeline.probe.tracks.audio_track import AudioTrack
from shards_spec.recipe import NANOSECONDS
from shards_spec.redaction import plain

_MAX_GAPS = 8


def print_check(console: Console, check: SyncCheck) -> None:
    """Tables: video, audio with its corrections, all audio tracks."""
    probe = check.probe
    table = Table("", "", title=Text(plain(check.movie)), show_header=False, title_justify="left")
    for name, value in _video_rows(check):
        table.add_row(name, plain(value))
    table.add_section()
    for name, value in _audio_rows(check):
        table.add_row(name, plain(value))
    console.print(table)
    tracks = Table("stream", "codec", "channels", "language", "title", "", title_justify="left")
    for track in sorted((probe.audio, *probe.other_audio), key=lambda track: track.index):
        tracks.add_row(*map(plain, _track_cells(track)))
    tracks.title = "audio tracks"
    console.print(tracks)


def check_json(check: SyncCheck) -> dict[str, Any]:
    """The same as plain values; times in seconds of the movie timeline."""
    probe = check.probe
    low, median, high = check.frame_distances_ms
    return {
        "movie": check.movie,
        "duration_seconds": _seconds(probe.duration_ns),
        "video": {
            "stream": probe.video.index,
            "codec": probe.video.codec,
            "width": probe.video.width,
            "height": probe.video.height,
            "crop": check.crop,
            "is_vfr": probe.is_vfr,
            "frames": len(check.frames_ns),
            "lost_seconds": _seconds(probe.lost_ns),
            "frame_distance_ms": {"min": low, "median": median, "max": high},
        },
        "audio": {
            "start_ms": check.audio.start_ns / 1e6,
            "drift_ppm": check.audio.drift_ppm,
            "drift_end_ms": check.drift_end_ms,
            "timestamp_noise_ms": check.noise_ms,
            "filled_seconds": _seconds(check.audio.filled_ns),
            "cut_seconds": _seconds(check.audio.cut_ns),
            "gaps": [[_seconds(start), _seconds(end)] for start, end in check.audio.fills_ns],
            "overlaps": [[_seconds(start), _seconds(end)] for start, end in check.overlaps_ns],
        },
        "tracks": [
            _track_json(track)
            for track in sorted((probe.audio, *probe.other_audio), key=lambda track: track.index)
        ],
    }


def clock_time(seconds: float) -> str:
    """`1:02:03.400`; without hours when they are 0."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{head}:{left:02d}.{milliseconds:03d}"


def _video_rows(check: SyncCheck) -> list[tuple[str, str]]:
    probe, video = check.probe, check.probe.video
    low, median, high = check.frame_distances_ms
    rate = f"{1000 / median:.3f} frames/s" if median else "one frame"
    kind = "variable" if probe.is_vfr else "constant"
    size = f"{video.width}x{video.height}"
    lost = f"{_seconds(probe.lost_ns):.3f} s, where the timestamps jumped back: remux the parts"
    return [
        ("video", f"stream {video.index}, {video.codec} {size}"),
        ("length", clock_time(_seconds(probe.duration_ns))),
        *([("lost", lost)] if probe.lost_ns else []),
        ("frame rate", f"{kind}, {rate}, {len(check.frames_ns)} frames"),
        ("frame distance", f"{low:.1f} / {median:.1f} / {high:.1f} ms (min/median/max)"),
        ("black bars", f"cropped to {check.crop}" if check.crop else "none"),
    ]


def _audio_rows(check: SyncCheck) -> list[tuple[str, str]]:
    track, audio = check.probe.audio, check.audio
    start = audio.start_ns / 1e6
    where = "with the video" if abs(start) < 1 else "late" if start > 0 else "early"
    noise = f"{check.noise_ms:.2f} ms from the aligned time (median)"
    rows = [
        ("audio", f"stream {track.index}: {track.choice}"),
        ("starts", f"{start:+.1f} ms, {where}"),
        ("drift", _drift(check)),
        ("timestamps", noise if track.has_times else "none"),
        ("gaps", f"{len(audio.fills_ns)}, {_seconds(audio.filled_ns):.3f} s filled with silence"),
    ]
    shown = check.gaps_ns[:_MAX_GAPS]
    rows += [("", _range(start, end)) for start, end in shown]
    if len(check.gaps_ns) > len(shown):
        rows.append(("", f"and {len(check.gaps_ns) - len(shown)} shorter ones"))
    rows.append(("overlaps", f"{len(check.overlaps_ns)}, {_seconds(audio.cut_ns):.3f} s cut"))
    rows += [("", _range(start, end)) for start, end in check.overlaps_ns[:_MAX_GAPS]]
    return rows


def _drift(check: SyncCheck) -> str:
    if check.audio.drift_ppm == 0:
        return "none"
    return f"{check.audio.drift_ppm:+.1f} ppm, {check.drift_end_ms:+.1f} ms at the end; corrected"


def _range(start_ns: int, end_ns: int) -> str:
    return f"{clock_time(_seconds(start_ns))}  {(end_ns - start_ns) / 1e6:.1f} ms"


def _track_cells(track: AudioTrack) -> list[str]:
    layout = track.layout or f"{track.channels} channels"
    note = f"chosen: {track.choice}" if track.choice else track.special
    rate = f"{track.codec} {track.sample_rate_hz} Hz"
    return [str(track.index), rate, layout, track.language or "-", track.title or "-", note]


def _track_json(track: AudioTrack) -> dict[str, Any]:
    fields = {**vars(track), "joined": list(track.joined), "chosen": bool(track.choice)}
    del fields["time_base"]
    return fields


def _seconds(ns: int) -> float:
    return ns / NANOSECONDS
