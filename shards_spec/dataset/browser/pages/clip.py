"""The page of a clip: its frames with their sound, its numbers, and similar clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.labels import ClipLabel
from shards_spec.dataset.browser.media import ClipMedia
from shards_spec.dataset.browser.pages.clip_list import CLIPS_PER_PAGE
from shards_spec.dataset.browser.pages.html import (
    Markup,
    clock,
    count,
    data_block,
    facts,
    link,
    seconds,
    section,
    size,
    table,
    tag,
    time_range,
)
from shards_spec.dataset.browser.pages.shell import Place, clip_file, clip_page, movie_page, page
from shards_spec.dataset.browser.similar import Match
from shards_spec.recipe import Recipe
from shards_spec.schema import ClipRow
from shards_spec.schema.dropped import NO_CLIP
from shards_spec.schema.tables import row_values

_RENDERED = (
    "This dataset stores no audio. What you hear was rendered from the log-mel spectrogram "
    "(Griffin-Lim), so it sounds coarser than what the spectrogram was computed from."
)
_STORED = "The stored audio (FLAC) that the log-mel spectrogram was computed from."


def clip_page_of(
    place: Place,
    catalog: Catalog,
    media: ClipMedia,
    clip_id: str,
    matches: Sequence[tuple[str, Sequence[Match]]],
) -> bytes:
    """`clip/<clip_id>/index.html`."""
    row = catalog.clip(clip_id)
    return page(
        place,
        f"Clip {row.clip_number} of {row.movie_id}",
        _neighbors(place, catalog, row),
        _player(place, media, row),
        section("Log-mel spectrogram", *_spectrogram(place, catalog.dataset.recipe, row)),
        _labels(catalog.labels.of_clip(clip_id)),
        _similar(place, matches),
        section("Details", facts("From the index", _facts(row))),
    )


def _neighbors(place: Place, catalog: Catalog, row: ClipRow) -> Markup:
    clips = catalog.clips_of(row.movie_id)
    ids, numbers = clips["clip_id"].to_pylist(), clips["clip_number"].to_pylist()
    position = ids.index(row.clip_id)
    number = position // CLIPS_PER_PAGE + 1 if place.lists_clips(row.movie_id) else 1
    links = [link(place.to(movie_page(row.movie_id, number)), f"movie {row.movie_id}")]
    for name, other in (("previous clip", position - 1), ("next clip", position + 1)):
        if 0 <= other < len(ids) and place.has_clip(ids[other]):
            relation = "prev" if other < position else "next"
            label = f"{name} ({numbers[other]})"
            links.append(link(place.to(clip_page(ids[other])), label, rel=relation))
    return tag(
        "div",
        tag("p", time_range(row.start_ns, row.end_ns), f", {seconds(row.end_ns - row.start_ns)}"),
        tag("nav", *links, aria_label="Neighboring clips", class_="parts"),
        *_dropped_neighbors(catalog, row, numbers, position),
    )


def _dropped_neighbors(
    catalog: Catalog, row: ClipRow, numbers: list[int], position: int
) -> Iterator[Markup]:
    """The dropped clips between a clip and its kept neighbors."""
    dropped = catalog.dropped_of(row.movie_id)
    if dropped is None:
        return
    reasons = dict(
        zip(dropped["clip_number"].to_pylist(), dropped["reason"].to_pylist(), strict=True)
    )
    before = numbers[position - 1] if position else NO_CLIP
    after = numbers[position + 1] if position + 1 < len(numbers) else max(reasons, default=0) + 1
    for side, first, end in (
        ("Before", before + 1, row.clip_number),
        ("After", row.clip_number + 1, after),
    ):
        counts = Counter(reasons[n] for n in reasons if first <= n < end)
        if counts:
            words = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items())
            total = count(counts.total(), "clip")
            yield tag("p", f"{side} this clip, {total} dropped: {words}.", class_="dim")


def _player(place: Place, media: ClipMedia, row: ClipRow) -> Markup:
    audio = tag(
        "audio",
        controls=True,
        preload="metadata",
        src=place.to(clip_file(row.clip_id, media.audio_name)),
        aria_label="Audio of the clip",
        id="audio",
    )
    canvas = tag(
        "canvas",
        width=row.width,
        height=row.height,
        id="screen",
        role="img",
        aria_label="The frame at the time of the audio",
    )
    frames = (_frame(place, row, number) for number in range(row.num_frames))
    settings = {"fps": row.fps, "frames": row.num_frames, "w": row.width, "h": row.height}
    return section(
        "Frames and audio",
        tag("div", canvas, audio, class_="player"),
        tag("p", _STORED if media.has_audio else _RENDERED, class_="dim"),
        tag("ol", *frames, class_="strip"),
        data_block("player-data", settings),
    )


def _frame(place: Place, row: ClipRow, number: int) -> Markup:
    """One frame of the strip: the same image, of which only that part is seen."""
    time_ns = row.start_ns + round(number * 1e9 / row.fps)
    image = tag(
        "image",
        href=place.to(clip_file(row.clip_id, "strip.jpg")),
        width=row.width,
        height=row.height * row.num_frames,
        y=-row.height * number,
    )
    drawing = tag(
        "svg",
        image,
        viewBox=f"0 0 {row.width} {row.height}",
        role="img",
        aria_label=f"Frame {number} at {clock(time_ns)}",
    )
    return tag("li", drawing, tag("span", clock(time_ns)))


def _spectrogram(place: Place, recipe: Recipe, row: ClipRow) -> tuple[Markup, Markup]:
    image = tag(
        "img",
        src=place.to(clip_file(row.clip_id, "logmel.png")),
        alt="Log-mel spectrogram: time to the right, low frequencies at the bottom",
        class_="spectrogram",
    )
    axes = (
        f"Left to right: {time_range(row.start_ns, row.end_ns)}. Bottom to top: "
        f"{recipe.mel_low_hz:,.0f} to {recipe.mel_high_hz:,.0f} Hz in {recipe.n_mels} mel bands."
    )
    return image, tag("p", axes, class_="dim")


def _similar(place: Place, matches: Sequence[tuple[str, Sequence[Match]]]) -> Markup:
    parts = []
    for title, found in matches:
        items = []
        for match in found:
            if not place.has_clip(match.clip_id):
                continue
            image = tag(
                "img",
                src=place.to(clip_file(match.clip_id, "thumb.jpg")),
                alt=f"Frame of {match.clip_id}",
                loading="lazy",
            )
            label = tag("span", f"{match.clip_id}, {match.similarity:.2f}")
            items.append(tag("li", link(place.to(clip_page(match.clip_id)), image, label)))
        if items:
            parts += [tag("h3", title), tag("ul", *items, class_="sheet")]
    return section("Similar clips", *parts) if parts else Markup()


def _labels(labels: Sequence[ClipLabel]) -> Markup:
    """The labels and texts of a clip; nothing if it has none."""
    if not labels:
        return Markup()
    rows = ((item.table, item.label, item.text, f"{100 * item.overlap:.0f} %") for item in labels)
    heads = ("from", "label", "text", "share of the clip")
    return section("Labels and texts", table("Of this clip", heads, rows))


#: The meaning of columns whose names do not explain themselves.
_MEANINGS = {
    "tar_offset": "position in the shard, bytes",
    "tar_bytes": "size",
    "first_frame_pts_ns": "timestamp of the first frame",
    "num_frames": "frames",
    "fps": "frames per second",
    "sample_rate_hz": "sample rate, Hz",
    "num_audio_samples": "audio samples",
    "av_skew_ns": "audio later than video by",
    "shot_id": "shot",
    "num_cuts": "cuts",
    "luma_mean": "brightness, 0 to 255",
    "luma_std": "deviation of the brightness",
    "motion": "motion, 0 to 255 per frame",
    "audio_rms_dbfs": "loudness, dBFS",
    "audio_peak_dbfs": "peak level, dBFS",
    "filled_audio_ns": "audio filled with silence",
}


def _facts(row: ClipRow) -> list[tuple[object, object]]:
    values: list[tuple[object, object]] = []
    for name, value in row_values(row).items():
        label = _MEANINGS.get(name, name.removesuffix("_ns").replace("_", " "))
        if name in ("start_ns", "end_ns", "first_frame_pts_ns"):
            values.append((label, clock(value)))
        elif name == "av_skew_ns":
            values.append((label, f"{value / 1e6:,.3f} ms"))
        elif name == "filled_audio_ns":
            values.append((label, seconds(value)))
        elif name == "tar_bytes":
            values.append((label, size(value)))
        else:
            values.append((label, f"{value:.3f}" if isinstance(value, float) else value))
    return values
