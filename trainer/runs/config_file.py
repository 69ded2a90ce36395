"""The settings of a run as saved in its folder: written, read back and compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.console import say
from trainer.runs.atomic_files import require_own_files
from trainer.runs.bucket import local_path, run_text

CONFIG_JSON = "config.json"

#: Settings that may change when a run is resumed: none of them affects what is learned.
FREE_ON_RESUME = frozenset(
    {
        "log_every",
        "checkpoint_every",
        "keep_checkpoints",
        "milestone_every",
        "background_checkpoints",
        "eval_every",
        "eval_clips",
        "eval_probes",
        "eval_labels",
        "tensorboard",
        "trackers",
        "project",
        "stop_at_step",
        "allow_appended_data",
        "compile",
        "memory_gib",
    }
)
#: Settings of the stream may change as well, except for these, which change pixels.
STREAM_BINDS = frozenset({"stream.frame_size", "stream.crop", "stream.decode"})

#: Former names of settings, still accepted in saved files.
FORMER_NAMES = {
    "optimiser": "optimizer",
    "equaliser_db": "equalizer_db",
    "accept_grown": "allow_appended_data",
    "max_hole_bytes": "max_gap_bytes",
}

_T = TypeVar("_T")


def config_to_json(config: Any) -> dict[str, Any]:
    """The settings as JSON values, in field order."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return values


def config_from_json(kind: type[_T], values: dict[str, Any], where: str) -> _T:
    """Inverse of `config_to_json`; accepts former names.

    Raises `InputError`, naming the file `where`, for settings that this version does not know, and
    for values of another type or out of range.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise InputError(f"{where} is corrupt: {values!r:.80} is not an object of settings")
    values = {
        name if name in hints else FORMER_NAMES.get(name, name): value
        for name, value in values.items()
    }
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(
            f"{where} has unknown settings {', '.join(unknown)}; it was written by a newer version "
            "of reelshards"
        )
    settings = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]):
            value = config_from_json(hints[name], value, where)
        elif not _fits(value, hints[name]):
            raise InputError(f"{where} is corrupt: {name} = {value!r:.80} has another type")
        settings[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**settings)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{where} is corrupt: {error}") from error


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value can be that of a setting with this type."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in arguments
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if kind is tuple:
        return isinstance(value, list | tuple) and (
            arguments[-1] is not Ellipsis or all(_fits(one, arguments[0]) for one in value)
        )
    if hint in (int, float):
        # In Python, bool is a subclass of int; infinity is how some settings say "no limit".
        return isinstance(value, int if hint is int else int | float) and not isinstance(
            value, bool
        )
    if hint in (bool, str):
        return isinstance(value, hint)
    return True


def saved_config(run: str | Path) -> TrainConfig | None:
    """The settings that a run folder was started with; None for a new folder."""
    require_own_files(local_path(run))
    path = f"{run}/{CONFIG_JSON}"
    try:
        text = run_text(run, CONFIG_JSON)
        if text is None:
            return None
        values = json.loads(text)["config"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is corrupt ({error}); use another --run folder") from error
    return config_from_json(TrainConfig, values, str(path))


def resumed_config(run: str | Path) -> TrainConfig | None:
    """The settings with which a launch resumes a run by default; None for a new folder.

    Without what concerns one launch: the step to stop at and the permission to add data would stop
    the resumed run at once, or accept the next change of the dataset unasked. A cache folder is a
    folder of this machine to write to, and a run folder may come from anyone.
    """
    saved = saved_config(run)
    if saved is None:
        return None
    if saved.stream.cache_dir:
        say(
            f"{run}/{CONFIG_JSON} names the cache folder {saved.stream.cache_dir!r}, which is not "
            "used unless it is given again with --stream.cache-dir"
        )
    return dataclasses.replace(without_cache(saved), stop_at_step=0, allow_appended_data=False)


def without_cache(config: TrainConfig) -> TrainConfig:
    """The same settings without a cache folder."""
    return dataclasses.replace(config, stream=dataclasses.replace(config.stream, cache_dir=""))


def binding_settings(config: TrainConfig) -> dict[str, Any]:
    """What a resumed run must not change, by name: `optimizer.lr`."""
    settings = _flat(config_to_json(config))
    # Results from before there was an offset are those of 0.
    if not settings["policy.heldout_offset"]:
        del settings["policy.heldout_offset"]
    # A warm-up that follows the number of steps is the same as that number written out.
    settings["optimizer.warmup_steps"] = config.optimizer.warmup(config.steps)
    return {name: value for name, value in settings.items() if _binds(name)}


def binding_differences(before: TrainConfig, after: TrainConfig) -> list[str]:
    """What differs between two launches of a run that must not; steps may grow."""
    old, new = binding_settings(before), binding_settings(after)
    if after.steps > before.steps:
        old["steps"] = new["steps"]
        if after.optimizer.warmup_steps == before.optimizer.warmup_steps:
            old["optimizer.warmup_steps"] = new["optimizer.warmup_steps"]
    return differences(old, new)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Each binding setting that differs, as `optimizer.lr: 0.001 became 0.002`."""
    return [
        f"{name}: {before.get(name)!r} became {after.get(name)!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _binds(name: str) -> bool:
    if name.startswith("stream."):
        return name in STREAM_BINDS
    return name not in FREE_ON_RESUME


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        is_nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if is_nested else {f"{prefix}{name}": value}
    return flat
