"""What `import trainer` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import trainer


@pytest.mark.parametrize("name", trainer.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert name in dir(trainer)
    assert getattr(trainer, name) is not None


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = trainer.no_such_name


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import trainer", ("torch", "pyarrow", "numpy")),
        ("from trainer import BatchPolicy, StreamConfig, TrainConfig", ("torch",)),
        ("from trainer.study import StudyConfig", ("torch", "matplotlib")),
    ],
)
def test_imports_are_lazy(statement: str, absent: tuple[str, ...]) -> None:
    program = f"{statement}; import sys; print(sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
