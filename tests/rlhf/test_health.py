"""Each warning is drawn by the curve that deserves it, and by no healthy one."""

from __future__ import annotations

import math

import pytest

from rlhf.health import CHECKS, CURVES, Points, warnings


def line(first: float, last: float, steps: int = 40, wobble: float = 0.0) -> Points:
    """A straight curve from first to last; `wobble` swings by that much from step to step."""
    return [(n, first + (last - first) * n / steps + wobble * (-1) ** n) for n in range(1, steps + 1)]


def warmed(steps: int = 40, peak: float = 1e-4) -> Points:
    return [(n, peak * min(n / 5, (steps - n) / (steps - 5))) for n in range(1, steps + 1)]


HEALTHY = {
    "loss": line(0.69, 0.5, wobble=0.05),
    "accuracy": line(0.5, 0.75, wobble=0.05),
    "margin": line(0, 0.8),
    "reward_chosen": line(0, 0.1, wobble=0.1),
    "reward_rejected": line(0, -0.7),
    "kl": line(0, 3),
    "entropy": line(1.4, 1.1),
    "length": line(60, 66, wobble=5),
    "zero_variance": line(0.1, 0.2),
    "clipped": line(0.05, 0.1),
    "lr": warmed(),
    "gradient_norm": line(4, 3, wobble=1),
}


def seen(finished: bool = False, kind: str = "dpo", **changed: Points) -> list[str]:
    return [w.curve for w in warnings(HEALTHY | changed, kind=kind, finished=finished)]


def test_a_healthy_run_draws_no_warning() -> None:
    assert seen(finished=True) == []


@pytest.mark.parametrize(
    ("curve", "points"),
    [
        ("loss", [*line(0.69, 0.6), (41, math.nan)]),
        ("loss", line(0.0, 0.0)),
        ("loss", line(0.69, 2.0)),
        ("accuracy", line(0.5, 0.52)),
        ("accuracy", line(1.0, 1.0)),
        ("kl", line(0, 40)),
        ("entropy", line(1.4, 0.05)),
        ("length", line(60, 180)),
        ("zero_variance", line(0.3, 0.95)),
        ("clipped", line(0.2, 0.9)),
        ("lr", line(0, 0)),
        ("lr", line(1e-4, 0)),
        ("gradient_norm", [*line(3, 3), (41, 300.0)]),
    ],
)
def test_an_ill_curve_draws_one_warning_on_itself(curve: str, points: Points) -> None:
    assert seen(**{curve: points}) == [curve]


def test_both_rewards_falling_is_told_and_one_alone_is_not() -> None:
    assert seen(reward_chosen=line(0, -1)) == ["reward_chosen"]
    assert seen(reward_chosen=line(0, -1), reward_rejected=line(0, 0.1)) == []


def test_a_fall_that_noise_explains_is_not_told() -> None:
    noisy = [(n, -0.2 * n / 40 + 2 * math.sin(7.3 * n)) for n in range(1, 41)]
    assert seen(reward_chosen=noisy) == []


def test_a_rate_that_was_still_warming_up_is_told_once_the_run_has_ended() -> None:
    rising = line(0, 1e-4)
    assert seen(lr=rising) == []
    assert seen(lr=rising, finished=True) == ["lr"]


def test_a_loss_about_nought_is_as_it_should_be_in_online_training() -> None:
    assert seen(kind="grpo", loss=line(0, 0)) == []


def test_few_points_say_nothing() -> None:
    short = {name: points[:7] for name, points in {**HEALTHY, "length": line(60, 900), "entropy": line(1, 0)}.items()}
    assert warnings(short, kind="dpo") == []


def test_trainers_names_are_understood() -> None:
    found = warnings({"completions/mean_length": line(60, 180), "frac_reward_zero_std": line(0.9, 0.9)}, kind="rloo")
    assert [w.curve for w in found] == ["length", "zero_variance"]


def test_every_check_belongs_to_a_curve_that_is_explained() -> None:
    assert {curve for curve, _ in CHECKS} <= set(CURVES)
