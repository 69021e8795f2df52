from __future__ import annotations

from pathlib import Path

import pytest

from rlhf.spec import Decoding

torch = pytest.importorskip("torch")

from transformers import TopPLogitsWarper  # noqa: E402

from rlhf.engine.decode import decode, nucleus, pick  # noqa: E402

PROMPTS = [[1, 20, 30, 40, 50], [1, 60], [1, 70, 80], [1, 90, 20, 400]]


@pytest.mark.parametrize("vocabulary", [50, 3000])
@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999])
def test_our_nucleus_holds_the_same_tokens_as_a_full_sort(vocabulary: int, top_p: float) -> None:
    scores = torch.randn(6, vocabulary, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    places, _, kept = nucleus(scores, top_p)
    theirs = TopPLogitsWarper(top_p)(None, scores)
    for row in range(6):
        ours = set(places[row, : kept[row]].tolist())
        assert ours == set(torch.isfinite(theirs[row]).nonzero()[:, 0].tolist())


@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_tokens_are_drawn_in_proportion_to_their_probability(top_p: float) -> None:
    odds = torch.tensor([0.5, 0.25, 0.15, 0.1])
    logits = odds.log()[None].expand(20_000, -1) * 0.5  # a temperature of .5 undoes this
    tokens = pick(logits, Decoding(temperature=0.5, top_p=top_p), torch.Generator().manual_seed(1))
    expected = odds if top_p == 1 else torch.tensor([2 / 3, 1 / 3, 0.0, 0.0])
    torch.testing.assert_close(tokens.bincount(minlength=4) / 20_000, expected, atol=0.015, rtol=0)


def test_rows_keep_their_own_distribution() -> None:
    logits = torch.full((3, 600), -30.0)
    logits[0, 5], logits[1, 500] = 30.0, 30.0
    logits[2] = 0.0  # flat: the nucleus needs the full sort, for all rows
    for top_p in (0.9, 1.0):
        tokens = pick(logits, Decoding(temperature=1.0, top_p=top_p), torch.Generator().manual_seed(1))
        assert tokens[:2].tolist() == [5, 500]


@pytest.mark.slow
def test_greedy_answers_equal_the_librarys(tiny_model: Path) -> None:
    from rlhf.engine.policies import load_policy

    model = load_policy(tiny_model)
    ours = decode(model, PROMPTS, Decoding(temperature=0.0, max_new_tokens=20), 0, {2}, seed=1)
    for prompt, answer in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False, eos_token_id=2
        )
        assert answer == theirs[0, len(prompt) :].tolist()


@pytest.mark.slow
def test_rows_that_end_early_leave_the_others_undisturbed(tiny_model: Path) -> None:
    from rlhf.engine.policies import load_policy

    model = load_policy(tiny_model)
    decoding = Decoding(temperature=0.0, max_new_tokens=20)
    free = decode(model, PROMPTS, decoding, 0, set(), seed=1)
    stops = {free[0][1], free[1][0]}  # two rows of four end at once, so the batch shrinks
    for whole, cut in zip(free, decode(model, PROMPTS, decoding, 0, stops, seed=1), strict=True):
        end = next((i + 1 for i, token in enumerate(whole) if token in stops), len(whole))
        assert cut == whole[:end]


@pytest.mark.slow
def test_the_seed_decides_the_answers(tiny_model: Path) -> None:
    from rlhf.engine.policies import load_policy

    model = load_policy(tiny_model)
    decoding = Decoding(temperature=1.0, top_p=1.0, max_new_tokens=12)
    one, again, other = (decode(model, PROMPTS, decoding, 0, {2}, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
