from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rlhf.engine.runs import make_run, prompt_rows, result, work, write_lines

torch = pytest.importorskip("torch")

from rlhf.engine.features import Cache, last_user_turn, load_layers, text_key  # noqa: E402

ASK = [{"role": "user", "content": "Hello?"}]


def test_a_cache_finds_what_another_job_wrote(tmp_path: Path) -> None:
    first = Cache(tmp_path / "c")
    first.add(["k1", "k2"], np.eye(2, dtype=np.float32))
    first.flush()
    second = Cache(tmp_path / "c")
    assert "k1" in second and "k3" not in second
    assert second["k2"].tolist() == [0.0, 1.0]


def test_what_was_not_flushed_leaves_no_file(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    cache.add(["k"], np.ones((1, 2), dtype=np.float32))
    assert list((tmp_path / "c").iterdir()) == []


def test_a_key_depends_on_every_part_of_a_text() -> None:
    system: list[dict[str, str]] = [{"role": "system", "content": "x"}, *ASK]
    keys = {text_key((ASK, "a")), text_key((ASK, "b")), text_key((system, "a"))}
    assert len(keys) == 3


def test_the_last_user_turn_is_what_was_asked() -> None:
    talk = [*ASK, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
    assert last_user_turn(talk) == "Why?"


def features_run(path: Path, base: Path, rows: list[dict[str, Any]], **inputs: Path) -> Path:
    texts = write_lines(path.with_suffix(".jsonl"), rows)
    run_dir = make_run(path, "features", {"layer": 3, "batch_size": 4}, base=base, texts_jsonl=texts, **inputs)
    assert work(run_dir) == 0
    return run_dir


def text_rows() -> list[dict[str, Any]]:
    return [
        {"id": i, "messages": row["messages"], "content": "Fine. " * (1 + i % 4)}
        for i, row in enumerate(prompt_rows(10))
    ]


@pytest.mark.slow
def test_features_are_the_hidden_state_after_the_layer_at_the_last_token(tmp_path: Path, tiny_model: Path) -> None:
    from rlhf.engine.chat import answer_ids
    from rlhf.engine.policies import load_policy, load_tokenizer

    rows = text_rows()
    found = np.load(features_run(tmp_path / "run", tiny_model, rows) / "out" / "features.npy")
    model, tokenizer = load_policy(tiny_model), load_tokenizer(tiny_model)
    ids = torch.tensor([answer_ids(tokenizer, rows[5]["messages"], rows[5]["content"])])
    with torch.inference_mode():
        expected = model(ids, output_hidden_states=True).hidden_states[3][0, -1]
    np.testing.assert_allclose(found[5], expected.numpy(), atol=1e-4)


@pytest.mark.slow
def test_cached_texts_are_not_computed_again(tmp_path: Path, tiny_model: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    first = features_run(tmp_path / "a", tiny_model, text_rows()[:6], cache=cache)
    second = features_run(tmp_path / "b", tiny_model, text_rows(), cache=cache)
    assert (result(first)["rows"]["computed"], result(second)["rows"]["computed"]) == (6, 4)
    a, b = (np.load(run / "out" / "features.npy") for run in (first, second))
    np.testing.assert_array_equal(a, b[:6])
    assert json.loads((second / "out" / "ids.json").read_text()) == list(range(10))


@pytest.mark.slow
def test_a_layer_beyond_the_depth_is_refused(tiny_model: Path) -> None:
    with pytest.raises(Exception, match="has 4 layers"):
        load_layers(tiny_model, 9)
