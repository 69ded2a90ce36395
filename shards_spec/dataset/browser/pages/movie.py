"""The pages of a movie: what happened along it, what was done to it, and its clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from shards_spec.dataset.browser.catalog import Catalog, SharedSpan, numbers
from shards_spec.dataset.browser.lookalikes import Lookalike
from shards_spec.dataset.browser.pages.charts import Block, Lane, draw_timeline, key, thin_curve
from shards_spec.dataset.browser.pages.clip_list import CLIPS_PER_PAGE, clip_list
from shards_spec.dataset.browser.pages.html import (
    Markup,
    clock,
    count,
    link,
    seconds,
    section,
    table,
    tag,
    text,
    time_range,
)
from shards_spec.dataset.browser.pages.movie_facts import all_facts, cropping
from shards_spec.dataset.browser.pages.movies import title_of
from shards_spec.dataset.browser.pages.problem import is_processed, outcome
from shards_spec.dataset.browser.pages.shell import Place, clip_page, movie_page, page
from shards_spec.dataset.browser.reasons import drop_meaning
from shards_spec.dataset.browser.timeline import (
    DroppedRun,
    FilledRun,
    ShotRun,
    Timeline,
    timeline_of,
)
from shards_spec.recipe import Recipe

#: Clips that are drawn one by one; of more, whole runs are drawn.
_MAX_BLOCKS = 600

#: A shorter end of a movie is not mentioned.
_MIN_TAIL_NS = 10_000_000

#: Rows of a table of dropped or filled parts.
_MAX_ROWS = 300

#: Patterns that tell dropped clips from kept ones without their color.
_HATCHES = ("dropped", "unsure")


def movie_pages(place: Place, catalog: Catalog, movie_id: str, number: int) -> bytes:
    """`movie/<movie_id>/<number>.html`: the first page has everything, others more clips."""
    movie = catalog.movie(movie_id)
    clips = catalog.clips_of(movie_id)
    labels = catalog.labels.of_movie(movie_id)
    if number > 1:
        title = f"Movie {movie_id}, page {number}"
        return page(place, title, clip_list(place, movie_id, clips, number, labels))
    timeline = timeline_of(movie, clips, catalog.dataset.recipe, catalog.dropped_of(movie_id))
    copies = [name for name in catalog.copies.get(movie_id, ()) if name != movie_id]
    return page(
        place,
        f"Movie {movie_id}",
        tag("p", tag("b", text(title_of(movie), 300))),
        outcome(movie, sum(timeline.drops.values())),
        _copies(place, copies),
        _lookalikes(place, movie_id, catalog.lookalikes_of.get(movie_id, [])),
        _shared_spans(place, catalog.spans_of.get(movie_id, [])),
        _timeline(place, timeline, clips, _tail(movie, timeline, catalog.dataset.recipe)),
        *_processing(movie, timeline, catalog.dataset.recipe),
        clip_list(place, movie_id, clips, number, labels),
        section("Details", *all_facts(movie)),
    )


def _copies(place: Place, others: list[str]) -> Markup:
    if not others:
        return Markup()
    links: list[object] = []
    for name in others[:20]:
        links += [" ", link(place.to(movie_page(name)), name)]
    return tag("p", tag("b", "Same source as:"), *links, class_="problem")


def _lookalikes(place: Place, movie_id: str, pairs: list[Lookalike]) -> Markup:
    if not pairs:
        return Markup()
    items = []
    for pair in pairs[:20]:
        name = pair.other(movie_id)
        items.append(tag("li", link(place.to(movie_page(name)), name), f", {pair.words}"))
    return tag(
        "div", tag("p", tag("b", "Looks and sounds like:")), tag("ul", *items), class_="problem"
    )


def _shared_spans(place: Place, spans: list[SharedSpan]) -> Markup:
    if not spans:
        return Markup()
    rows = (
        (
            span.kind,
            time_range(span.start_ns, span.end_ns),
            link(place.to(movie_page(span.other)), span.other) if span.other else "one color",
            time_range(span.other_start_ns, span.other_end_ns) if span.other else "",
            f"{span.video_match:.0%}" if span.other else "",
            f"{span.audio_match:.0%}" if span.other else "",
        )
        for span in spans[:_MAX_ROWS]
    )
    head = ("kind", "time", "same as", "time there", "video that matches", "audio that matches")
    more = f", the first {_MAX_ROWS} of {len(spans):,}" if len(spans) > _MAX_ROWS else ""
    title = "Shared segments"
    if not any(span.other for span in spans):
        title = "Segments of one color"
    return section(title, table(f"Segments{more}", head, rows))


def _timeline(place: Place, timeline: Timeline, clips: pa.Table, tail: Markup) -> Markup:
    if not timeline.duration_ns or not (clips.num_rows or timeline.drops):
        return Markup()
    rms = numbers(clips, "audio_rms_dbfs")
    start = numbers(clips, "start_ns")
    luma = numbers(clips, "luma_mean")
    lanes = [
        Lane("clips", sorted(_clip_blocks(place, timeline, clips), key=lambda b: b.start_ns)),
        Lane("shots", [_shot_block(at, run) for at, run in enumerate(timeline.shots)]),
        Lane(
            "audio filled",
            [
                Block(run.start_ns, run.end_ns, "filled", _filled_words(run))
                for run in timeline.filled
            ],
        ),
        Lane("loudness", curve=thin_curve(start, rms, -70.0, 0.0)),
        Lane("brightness", curve=thin_curve(start, luma, 0.0, 255.0)),
    ]
    label = (
        f"Timeline of {clock(timeline.duration_ns)}: {count(clips.num_rows, 'clip')} kept, "
        f"{count(len(timeline.dropped), 'dropped range')}, "
        f"{count(len(timeline.filled), 'range')} with filled audio. The tables below list them."
    )
    shown = {block.kind for lane in lanes for block in lane.blocks}
    colors = (
        ("kept", "kept clip"),
        ("dropped", "dropped"),
        ("unsure", "dropped, for one of several reasons"),
        ("filled", "kept clips whose audio is, in part or as a whole, filled with silence"),
        ("shot-a", "shot"),
        ("shot-b", "next shot"),
    )
    draw = draw_timeline(lanes, timeline.duration_ns, label)
    return section(
        "Timeline",
        _hatches(),
        tag("div", draw, class_="wide", role="group", aria_label="Timeline"),
        key((kind, meaning) for kind, meaning in colors if kind in shown),
        tail,
    )


def _tail(movie: Mapping[str, Any], timeline: Timeline, recipe: Recipe) -> Markup:
    """Why no clip contains the end of a movie; nothing if one does, or for other reasons."""
    ends_ns = [run.end_ns for run in timeline.kept] + [run.end_ns for run in timeline.dropped]
    last_ns = max(ends_ns, default=0)
    rest_ns = timeline.duration_ns - last_ns
    is_whole = recipe.clips == "uniform" and not movie["wanted_end_seconds"]
    if not is_whole or not _MIN_TAIL_NS < rest_ns < recipe.grid_ns(recipe.num_frames):
        return Markup()
    return tag("p", f"The last {seconds(rest_ns)} are too short for another clip.", class_="dim")


def _clip_blocks(place: Place, timeline: Timeline, clips: pa.Table) -> Iterable[Block]:
    for run in timeline.dropped:
        what = "shot" if run.is_shot else "clip"
        label = f"{count(run.num_clips, what)} dropped: {_why(run)}, from {clock(run.start_ns)}"
        kind = "dropped" if len(run.reasons) == 1 else "unsure"
        yield Block(run.start_ns, run.end_ns, kind, label)
    if clips.num_rows <= _MAX_BLOCKS:
        ids, starts, ends = (clips[name].to_pylist() for name in ("clip_id", "start_ns", "end_ns"))
        for clip_id, start, end in zip(ids, starts, ends, strict=True):
            target = place.to(clip_page(clip_id)) if place.has_clip(clip_id) else ""
            yield Block(start, end, "kept", f"{clip_id} at {clock(start)}", target)
        return
    movie_id = clips["movie_id"][0].as_py()
    for kept in timeline.kept:
        number = kept.first_row // CLIPS_PER_PAGE + 1
        target = place.to(movie_page(movie_id, number)) if place.lists_clips(movie_id) else ""
        label = f"{count(kept.num_clips, 'clip')} from {clock(kept.start_ns)}"
        yield Block(kept.start_ns, kept.end_ns, "kept", label, target)


def _hatches() -> Markup:
    """Patterns that the style sheet fills dropped clips with."""
    patterns = (
        tag(
            "pattern",
            tag("rect", width="8", height="8", class_=f"{kind}-back"),
            tag("rect", width="3", height="8", class_="stripe"),
            id=f"hatch-{kind}",
            width="8",
            height="8",
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        )
        for kind in _HATCHES
    )
    return tag("svg", *patterns, aria_hidden="true", class_="patterns")


def _filled_words(run: FilledRun) -> str:
    return f"{seconds(run.filled_ns)} filled in, {time_range(run.start_ns, run.end_ns)}"


def _shot_block(at: int, run: ShotRun) -> Block:
    # By their order: shots without kept clips would leave neighbors of one color.
    kind = "shot-b" if at % 2 else "shot-a"
    return Block(run.start_ns, run.end_ns, kind, f"shot {run.shot_id} at {clock(run.start_ns)}")


def _why(run: DroppedRun) -> str:
    if run.is_shot:
        return "shot too short for a clip"
    return " or ".join(name.replace("_", " ") for name in run.reasons) or "unknown reason"


def _processing(movie: Mapping[str, Any], timeline: Timeline, recipe: Recipe) -> Iterator[Markup]:
    """What was dropped, filled and cropped; 'none' only for movies that were processed."""
    if timeline.drops or is_processed(movie):
        yield _dropped(timeline, recipe)
    if movie["audio_filled_ns"] or timeline.filled or movie["num_clips"]:
        yield _filled(movie, timeline)
    if movie["crop"] or movie["num_clips"]:
        yield section("Cropping", *cropping(movie))


def _dropped(timeline: Timeline, recipe: Recipe) -> Markup:
    if not timeline.drops:
        return section("Dropped clips", tag("p", "None."))
    settings = recipe.to_json()
    totals = ", ".join(
        f"{number:,} {name.replace('_', ' ')} ({drop_meaning(name, settings)})"
        for name, number in timeline.drops.items()
    )
    runs = timeline.dropped[:_MAX_ROWS]
    rows = ((time_range(run.start_ns, run.end_ns), f"{run.num_clips:,}", _why(run)) for run in runs)
    parts = [tag("p", totals, ".")]
    if runs:
        parts.append(table(_first("Dropped ranges", timeline.dropped), _DROP_HEADS, rows))
    if timeline.num_short_shots:
        words = "too short for a clip, so they are not in the timeline"
        parts.append(tag("p", f"{count(timeline.num_short_shots, 'shot')} {words}."))
    return section("Dropped clips", *parts)


_DROP_HEADS = ("time", "clips", "reason")


def _first(name: str, runs: tuple[Any, ...]) -> str:
    return f"{name} (the first {_MAX_ROWS} of {len(runs):,})" if len(runs) > _MAX_ROWS else name


def _filled(movie: Mapping[str, Any], timeline: Timeline) -> Markup:
    total = int(movie["audio_filled_ns"])
    if not total and not timeline.filled:
        return section("Filled audio", tag("p", "None: the source has audio throughout."))
    in_clips = sum(run.filled_ns for run in timeline.filled)
    words = f"{seconds(total)} of the audio is missing in the source and was filled with silence"
    if total - in_clips > 1_000_000:
        words += f"; {seconds(total - in_clips)} of it is outside the kept clips"
    if int(movie["audio_start_offset_ns"]) > 0:
        words += f". The audio begins at {clock(movie['audio_start_offset_ns'])}"
    rows = (
        (time_range(run.start_ns, run.end_ns), seconds(run.filled_ns))
        for run in timeline.filled[:_MAX_ROWS]
    )
    name = _first("Kept clips with filled audio", timeline.filled)
    listed = table(name, ("clips from, to", "filled"), rows) if timeline.filled else Markup()
    return section("Filled audio", tag("p", f"{words}."), listed)
