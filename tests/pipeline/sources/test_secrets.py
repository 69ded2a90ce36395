"""Secrets in an address never appear in output, in all outcomes for the movie."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.__main__ import main
from shards_spec.dataset.reader import open_dataset
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

#: A user's password, and the signature of a query.
SECRETS = ("hunter2", "sesame77")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def send_head(self) -> object:  # type: ignore[override]
        if "denied" in self.path:
            self.send_error(403)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def films_url(tmp_path: Path) -> Iterator[str]:
    """A web server whose movies all fail in some way."""
    films = tmp_path / "films"
    films.mkdir()
    for name in ("garbage.mp4", "denied.mp4"):
        (films / name).write_bytes(b"no film" * 300)
    handler = partial(_Quiet, directory=str(films))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://reader:hunter2@127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("local_ray")
def test_no_output_of_a_run_contains_a_secret(
    films_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("garbage", "denied", "missing")
    lines = [f"{films_url}/{name}.mp4?X-Amz-Signature=sesame77,{name}" for name in names]
    corpus, out, log = tmp_path / "corpus.csv", tmp_path / "out", tmp_path / "log.jsonl"
    corpus.write_text("\n".join(["uri,movie_id", *lines]))
    options = ["--retry-seconds", "0.01", "--max-attempts", "2", "--log-json", str(log)]
    ended = preprocess(corpus, out, *options)
    said = capsys.readouterr()
    assert ended == 1, said.err
    assert main(["report", str(out), "--html", str(tmp_path / "page.html")]) == 1
    assert main(["status", str(out)]) == 1
    assert main(["status", str(out), "--json"]) == 1
    # `retry` has no usable address.
    assert main(["retry", str(out)]) == 2
    shown = capsys.readouterr()
    assert "its address contained a secret" in shown.err
    for name in names:
        assert name in said.out
    rows = open_dataset(str(out)).movies.to_pylist()
    assert {row["status"] for row in rows} <= {"quarantined", "failed"}
    assert all("***" in row["source_uri"] for row in rows)
    texts = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in [*out.rglob("*"), log, tmp_path / "page.html"]
        if path.is_file()
    }
    texts["output"] = "".join((said.out, said.err, shown.out, shown.err)).encode()
    # Parquet compresses its contents.
    texts["rows"] = repr(rows).encode()
    assert len(texts) > 6
    for place, text in texts.items():
        for secret in SECRETS:
            assert secret.encode() not in text, f"{secret} in {place}"
