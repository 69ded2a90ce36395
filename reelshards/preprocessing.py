"""`preprocess` of the Python API. It imports what it needs when it is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from reelshards.packages import attribute, sorted_settings
from shards_spec.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.run.progress import OnProgress
    from pipeline.run.summary import Summary


@overload
def preprocess(
    corpus: str | Path,
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    config: RunConfig | None = None,
    on_progress: OnProgress | None = None,
    views: None = None,
    **settings: Any,
) -> Summary: ...


@overload
def preprocess(
    corpus: str | Path,
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    config: RunConfig | None = None,
    on_progress: OnProgress | None = None,
    views: Mapping[str, Mapping[str, Any]],
    **settings: Any,
) -> dict[str, Summary]: ...


def preprocess(
    corpus: str | Path,
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    config: RunConfig | None = None,
    on_progress: OnProgress | None = None,
    views: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Summary | dict[str, Summary]:
    """Turn a corpus of movies into a dataset of clip shards; what is there already is kept.

    Args:
        corpus: folder, glob, file, object-store prefix, or manifest (.csv, .tsv, .jsonl,
            .json, .parquet).
        out: URI of the dataset: a folder, or s3://, gs://, az://.
        recipe: how movies become clips; the defaults when None.
        config: how the run uses its machines; the defaults when None.
        on_progress: called after every event of the run.
        views: several datasets of one decode, by name: the fields of `Recipe` that differ from
            the other settings, such as `{"small": {"fps": 5}, "large": {"fps": 1}}`. Each is
            written to its name below `out`, or to its own `out`.
        **settings: fields of `Recipe` and `RunConfig` that replace those of `recipe` and `config`,
            such as `fps=5` or `workers=2`.

    Returns:
        The movies of the corpus with their status; `counts` has the number of each status. Movies
        that fail do not raise. With `views`, one of these for each name.

    Raises:
        ReelshardsError: nothing can be done at all, such as for an unusable corpus or output, or
            because another run is writing to `out`.
    """
    run_config = attribute("pipeline.config", "RunConfig")
    recipe_settings, run_settings = sorted_settings(settings, Recipe, run_config)
    recipe = dataclasses.replace(recipe or Recipe(), **recipe_settings)
    config = dataclasses.replace(config or run_config(), **run_settings)
    shown = [] if on_progress is None else [on_progress]
    if views is None:
        summary: Summary = attribute("pipeline.run", "preprocess")(
            str(corpus), str(out), recipe, config, *shown
        )
        return summary
    targets = attribute("pipeline.views", "views_of")(views, str(out), recipe)
    summaries = attribute("pipeline.run", "preprocess_views")(str(corpus), targets, config, *shown)
    return dict(zip(views, summaries, strict=True))
