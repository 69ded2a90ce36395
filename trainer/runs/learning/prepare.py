"""Prepares a device and a model for training: settings, checks, ranks, compilation."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.models import TwoTowers
from trainer.runs.learning.device_inputs import uses_bf16

#: Relative error of a bfloat16 convolution's result and gradients that exceeds rounding, which is
#: 0.003 to 0.006.
MAX_ERROR = 0.03

#: A bfloat16 convolution that takes this many times as long as a float32 one is broken.
MAX_SLOWDOWN = 4.0

#: Kernel and stride of the convolutions that are checked, as the towers use them.
_CHECKED = (
    ((3, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 1), (1, 1)), ((4, 4), (1, 1)), ((3, 3), (2, 2)),
    ((1, 3, 3), (1, 2, 2)), ((3, 1, 1), (2, 1, 1)),
)  # fmt: skip

Say = Callable[[str], None]


def prepare_device(device: torch.device, precision: str, say: Say) -> None:
    """Settings of a GPU, and a check that its libraries compute what they should.

    Raises `InputError` when bfloat16 convolutions are wrong, as they are with some pairs of torch
    and cuDNN (torch 2.9 among them); `say` gets a warning when they are only slow.
    """
    if device.type != "cuda":
        return
    # Batches have one shape, so the search for the fastest convolutions is made once.
    torch.backends.cudnn.benchmark = True
    if uses_bf16(device, precision):
        check_convolutions(device, say)


def check_convolutions(device: torch.device, say: Say) -> None:
    """Compare bfloat16 convolutions with float32 ones; see `prepare_device`."""
    cudnn: Any = torch.backends.cudnn
    versions = f"torch {torch.__version__} with cuDNN {cudnn.version()}"
    for size, stride in _CHECKED:
        error, slowdown = _compare(device, size, stride)
        if not error <= MAX_ERROR:
            raise InputError(
                f"{versions} computes bfloat16 convolutions of {size} wrongly on this device "
                f"(relative error {error:.2g}); install another version of torch, or train with "
                "--precision fp32"
            )
        if slowdown > MAX_SLOWDOWN:
            say(
                f"warning: with {versions}, bfloat16 convolutions of {size} take {slowdown:.1f} "
                "times as long as float32 ones; another version of torch may be faster"
            )


def _compare(
    device: torch.device, size: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[float, float]:
    """Relative error of result and gradients, and the ratio of times, of bfloat16 to float32."""
    num_axes = len(size)
    convolve: Any = functional.conv2d if num_axes == 2 else functional.conv3d
    layout = torch.channels_last if num_axes == 2 else torch.channels_last_3d
    generator = torch.Generator().manual_seed(0)
    shape = (16, 64, 28, 28) if num_axes == 2 else (4, 64, 8, 28, 28)
    x = torch.randn(shape, generator=generator).to(device, memory_format=layout)
    weight = torch.randn((128, 64, *size), generator=generator).to(device) / 20
    padding = tuple(number // 2 for number in size)

    def run(dtype: torch.dtype) -> tuple[list[torch.Tensor], float]:
        leaves = [tensor.to(dtype).detach().requires_grad_() for tensor in (x, weight)]
        seconds = 0.0
        # The first round searches for kernels.
        for _ in range(2):
            _synchronize(device)
            begin = time.perf_counter()
            out = convolve(*leaves, None, stride, padding)
            # A smooth gradient that depends on the result.
            grads = torch.autograd.grad(out, leaves, out.detach())
            _synchronize(device)
            seconds = time.perf_counter() - begin
        return [out.detach().float(), *(grad.float() for grad in grads)], seconds

    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        exact, exact_seconds = run(torch.float32)
        rounded, rounded_seconds = run(torch.bfloat16)
    pairs = zip(rounded, exact, strict=True)
    error = max(float((one - other).norm() / other.norm()) for one, other in pairs)
    return error, rounded_seconds / exact_seconds


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def wrapped(model: TwoTowers, config: TrainConfig, world_size: int, say: Say) -> Any:
    """The model as training calls it: with gradients averaged over ranks, compiled if requested."""
    trained: Any = model
    device = next(model.parameters()).device
    if world_size > 1:
        if device.type == "cuda":
            # A rank has few movies: its own batch statistics would identify them by their look.
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        # Statistics are equal on all ranks where they are synchronized, and only the first rank's
        # are ever used where they are not. The setting's name has changed in torch 2.13.
        parameters = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        name = (
            "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
        )
        settings: dict[str, Any] = {name: False}
        trained = nn.parallel.DistributedDataParallel(
            model,
            **settings,
            gradient_as_bucket_view=True,
            # Every step uses all parameters in the same order, unless some of its backward passes
            # end without adding up gradients.
            static_graph=config.accumulate == 1,
        )
    return _Compiled(trained, say) if config.compile else trained


class _Compiled:
    """A model compiled with torch.compile, or uncompiled if that fails."""

    def __init__(self, model: Any, say: Say) -> None:
        self._model, self._say = model, say
        self._call: Any = torch.compile(model)
        self._has_run = False

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Call the model. A failure of the first call is attributed to the compiler."""
        if self._has_run:
            return self._call(*arguments, **settings)
        try:
            output = self._call(*arguments, **settings)
        except Exception as error:  # noqa: BLE001 - whatever a compiler raises
            reason = str(error).strip().splitlines() or [""]
            self._say(
                f"torch.compile failed ({type(error).__name__}: {reason[0]}); training continues "
                "without it, more slowly"
            )
            self._call = self._model
            output = self._call(*arguments, **settings)
        self._has_run = True
        return output
