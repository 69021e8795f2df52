"""KL from samples: nought against oneself, the figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rlhf.engine.runs import lines, make_run, prompt_rows, result, work, write_lines

torch = pytest.importorskip("torch")

from rlhf.engine.kl import kl_figures, log_probabilities  # noqa: E402


def rows(*nats: float, tokens: int = 10) -> list[dict[str, Any]]:
    return [
        {"prompt": str(n), "group": str(n), "nats": x, "tokens": tokens, "truncated": n == 0}
        for n, x in enumerate(nats)
    ]


def test_the_interval_is_that_of_the_mean_over_prompts() -> None:
    """1, 2, 3, 2: mean 2, sd .8165, error .4082, interval 2 -+ .8001; a tenth of it a token; one of four cut off."""
    figures: dict[str, Any] = kl_figures(rows(1, 2, 3, 2))
    assert figures["answer"] == {
        "value": 2.0,
        "low": pytest.approx(1.1998, abs=1e-4),
        "high": pytest.approx(2.8002, abs=1e-4),
    }
    assert figures["token"]["value"] == 0.2 and figures["token"]["low"] == pytest.approx(0.11998, abs=1e-4)
    assert (figures["n"], figures["truncated"]) == (4, 0.25)


def test_longer_answers_weigh_more_in_nats_a_token() -> None:
    """1 nat over 10 tokens and 9 over 30: 10/40 a token, 5 an answer."""
    figures: dict[str, Any] = kl_figures(rows(1) + [{**rows(9)[0], "prompt": "b", "group": "b", "tokens": 30}])
    assert (figures["token"]["value"], figures["answer"]["value"]) == (0.25, 5.0)


class Fixed(torch.nn.Module):
    """A model over three tokens that always gives the same law."""

    device = torch.device("cpu")

    def __init__(self, *law: float) -> None:
        super().__init__()
        self.law = torch.tensor(law).log()

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return type("Out", (), {"logits": self.law.expand(*input_ids.shape, 3)})()


def test_log_probabilities_sum_over_the_answers_tokens_alone() -> None:
    """ln .5 + ln .25 for the answer (0, 1); padding and prompt count nothing."""
    found = log_probabilities(Fixed(0.5, 0.25, 0.25), [[2, 2], [1]], [[0, 1], [0]], batch_size=2, pad=2)
    assert found == pytest.approx([-2.0794, -0.6931], abs=1e-4)


@pytest.mark.slow
def test_a_policy_is_at_no_distance_from_itself(tmp_path: Path, tiny_model: Path) -> None:
    prompts = write_lines(tmp_path / "prompts.jsonl", prompt_rows(6))
    config = {"max_new_tokens": 12, "batch_size": 4}
    run_dir = make_run(tmp_path / "run", "kl", config, base=tiny_model, prompts_jsonl=prompts)
    assert work(run_dir) == 0
    figures = result(run_dir)["figures"]
    assert figures["answer"]["value"] == pytest.approx(0.0, abs=1e-5) and figures["n"] == 6
    assert all(1 <= row["tokens"] <= 12 for row in lines(run_dir / "out" / "kl.jsonl"))
