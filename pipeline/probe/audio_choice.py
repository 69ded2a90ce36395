"""Chooses the audio track of a movie, of which something can be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.probe.streams.packets import AudioPackets, Packets
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.tracks.audio_samples import sample_audio, without_cancelling
from pipeline.probe.tracks.audio_track import AudioTrack, choose_track, without_times
from pipeline.probe.tracks.mono_tracks import join_mono_tracks
from pipeline.sources import Movie, Readable


def choose_audio(
    movie: Movie,
    source: Readable,
    tracks: Sequence[AudioTrack],
    language: str,
    listed: StreamList,
    packets: Packets,
) -> AudioTrack:
    """The first track by preference of which something can be decoded."""
    while True:
        track = choose_track(movie, tracks, language, listed.searched)
        source.limits.check_audio(movie.name, track.sample_rate_hz, track.channels)
        is_named = movie.audio_track >= 0
        if not is_named:
            track = join_mono_tracks(track, tracks, packets.audio)
        found = packets.audio.get(track.index, AudioPackets())
        if found.first_pts is None:
            return without_times(track)
        members = (track.index, *track.joined)
        others = [t for t in tracks if t.is_decodable and t.index not in members]
        has_choice = bool(others) and not is_named
        if track.channels != 2 and not has_choice:
            return track
        sample = sample_audio(movie, source, track, found, listed.options)
        if sample.num_samples or not has_choice:
            return without_cancelling(track, sample)
        tracks = [replace(t, is_decodable=False) if t.index in members else t for t in tracks]
