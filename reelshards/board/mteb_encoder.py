"""A run as an encoder for mteb, for all of its tasks on audio and video that need no text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reelshards.board.items import audio_item, video_item
from reelshards.board.pooling import PooledEncoder, Vectors, unit_rows
from shards_spec.errors import InputError, ReelshardsError
from trainer.models import TwoTowers
from trainer.runs.evaluate import ClipEncoder

if TYPE_CHECKING:
    from mteb.models import ModelMeta

#: The encoders' modalities in mteb's task categories: `va2v` compares both with video.
_LETTERS = {"a", "v"}

#: In the order in which features are concatenated.
_MODALITIES = ("video", "audio")


@dataclass(frozen=True, eq=False, repr=False)
class MtebEncoder:
    """mteb's `EncoderProtocol`: pass it to `mteb.evaluate`.

    The vector of an item is the mean of the towers' features over its windows, video before audio
    if it has both. If the task compares video with audio, it is the mean of the embeddings instead,
    which are comparable. For a modality that an item lacks, the features are zeros, and the
    embedding is that of the other modality.
    """

    clips: ClipEncoder
    name: str
    """Name under which mteb files results, `organization/model`."""
    max_windows: int = 30
    """Maximum number of windows per item."""
    bare_fps: float | None = None
    """Frame rate of videos without timestamps; by default that of the recipe."""

    def __repr__(self) -> str:
        return f"MtebEncoder({self.name!r}, max_windows={self.max_windows})"

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Metadata for the results; its revision is a hash of weights and settings."""
        from mteb.models import ModelMeta
        from mteb.models.model_meta import ScoringFunction

        num_parameters = sum(p.numel() for p in self.clips.model.parameters())
        return ModelMeta(
            loader=None,
            name=self.name,
            revision=self._revision(),
            release_date=None,
            languages=None,
            n_parameters=num_parameters,
            memory_usage_mb=4 * num_parameters / 2**20,
            max_tokens=None,
            embed_dim=None,
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            similarity_fn_name=ScoringFunction.COSINE,
            use_instructions=False,
            training_datasets=None,
            modalities=["audio", "video"],
        )

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **_: Any,
    ) -> NDArray[np.float32]:
        """The vectors of a split, one row per item.

        Args:
            inputs: mteb's `DataLoader[BatchedInput]`.
            task_metadata: mteb's `TaskMetadata`.
            hf_split: name of the split, for messages.
            hf_subset: name of the subset, for messages.
            prompt_type: which side of a retrieval task the items are on, if any.

        Raises `InputError` if the task needs text or images, or if an item is unusable.
        """
        where = f"{task_metadata.name}, {hf_subset}, {hf_split}"
        needed = set(task_metadata.get_modalities(prompt_type))
        if other := sorted(needed - set(_MODALITIES)):
            raise InputError(f"{where} needs {' and '.join(other)}: there is no encoder for it")
        rows = _Rows(inputs, where)
        present: dict[str, NDArray[np.bool_]] = {}
        vectors: dict[str, Vectors] = {}
        for modality in _MODALITIES:
            if modality in needed:
                vectors[modality], present[modality] = self._vectors(modality, rows)
        if lacking := np.flatnonzero(~np.any(list(present.values()), axis=0)).tolist():
            raise InputError(f"{where}: item {lacking[0]} has no {' or '.join(sorted(needed))}")
        if compares_modalities(task_metadata.category):
            summed = sum(_spread(vectors[m].embeddings, present[m]) for m in vectors)
            return unit_rows(np.asarray(summed))
        features = (_spread(_scaled(vectors[m].features), present[m]) for m in vectors)
        return np.concatenate(list(features), axis=1)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(N, F) and (M, F) -> (N, M) cosines."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Two of (N, F) -> (N,) cosines."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)

    def _vectors(self, modality: str, rows: _Rows) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of the items that have the modality, and (N,) bool: which items do."""
        pooled = PooledEncoder(self.clips, self.max_windows)
        recipe = self.clips.recipe
        present: list[bool] = []
        if modality == "audio":
            samples = rows.each(modality, lambda item: audio_item(item, recipe), present)
            return pooled.audio(samples), np.array(present, bool)
        videos = rows.each(modality, lambda item: video_item(item, recipe, self.bare_fps), present)
        return pooled.video(videos), np.array(present, bool)

    def _revision(self) -> str:
        clips = self.clips
        settings = (clips.recipe.fingerprint, clips.crop_pixels, self.max_windows, self.bare_fps)
        digest = hashlib.sha256(repr(settings).encode())
        digest.update(_weights(clips.model))
        return digest.hexdigest()[:16]


def compares_modalities(category: str | None) -> bool:
    """Whether a task's category, such as `a2v` or `va2c`, compares video with audio."""
    left, _, right = (category or "").partition("2")
    sides = set(left), set(right)
    return sides[0] != sides[1] and all(side and side <= _LETTERS for side in sides)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The items of a dataloader of mteb."""

    loader: Any
    where: str

    def each(
        self, modality: str, usable: Callable[[Any], Any], present: list[bool]
    ) -> Iterator[Any]:
        """The items that have the modality, in usable form; `present` gets whether each does."""
        for number, item in enumerate(self._items(modality)):
            present.append(item is not None)
            if item is None:
                continue
            try:
                yield usable(item)
            except ReelshardsError as error:
                raise InputError(f"{self.where}, item {number}: {error}") from error

    def _items(self, modality: str) -> Iterable[Any]:
        """The items, undecoded where possible: ffmpeg reads more formats than mteb's decoders."""
        dataset = getattr(self.loader, "dataset", None)
        if dataset is None:
            for batch in self.loader:
                yield from _of_batch(batch, modality)
            return
        if hasattr(dataset, "features"):
            if modality not in dataset.column_names:
                columns = ", ".join(dataset.column_names)
                raise InputError(f"{self.where}: no column {modality!r} in {columns}")
            dataset = _undecoded(dataset.select_columns([modality]), modality)
        for number in range(len(dataset)):
            yield dataset[number][modality]


def _of_batch(batch: Any, modality: str) -> Iterable[Any]:
    if not isinstance(batch, Mapping) or modality not in batch:
        raise InputError(f"a batch without {modality!r}; expected mteb's BatchedInput")
    return list(batch[modality])


def _undecoded(dataset: Any, column: str) -> Any:
    """A dataset of the library `datasets` whose media column yields bytes and paths."""
    from datasets import Audio, Video

    feature = dataset.features[column]
    if isinstance(feature, Audio):
        return dataset.cast_column(column, Audio(decode=False))
    if isinstance(feature, Video):
        return dataset.cast_column(column, Video(decode=False))
    return dataset


def _scaled(features_NF: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to a root mean square of 1. Otherwise, what a logistic regression with mteb's
    fixed regularization learns would depend on the scale of a tower's features."""
    scale = np.float32(np.sqrt(features_NF.shape[1]))
    return unit_rows(features_NF) * scale


def _spread(values: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Rows of the items that are present -> rows of all items, with zeros for the others."""
    spread = np.zeros((len(present), values.shape[1]), np.float32)
    spread[present] = values
    return spread


def _weights(model: TwoTowers) -> bytes:
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
