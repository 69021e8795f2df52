from __future__ import annotations

import itertools

import pytest

from feedback import clustering
from feedback.models import Prompt
from tests.factories import make_prompt

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PLAIN = "How do I bake a loaf of sourdough bread at home without a dutch oven?"
PLANTED = {
    "re-worded": "How do I bake a loaf of sourdough bread at home without any dutch oven, please?",
    "upper-cased": PLAIN.upper(),
    "re-spaced": PLAIN.replace(" ", "   ").replace("bread", "bread\n"),
}


def clustered(prompt: Prompt) -> Prompt:
    prompt.refresh_from_db()
    return prompt


@pytest.mark.parametrize("how", PLANTED)
def test_a_planted_leak_is_tied_to_the_original(how: str) -> None:
    one, other, stranger = (
        make_prompt(PLAIN),
        make_prompt(PLANTED[how]),
        make_prompt("Name three rivers of Peru, please."),
    )
    assert clustering.cluster_new() == 3
    assert clustered(one).cluster == clustered(other).cluster != clustered(stranger).cluster != ""


def test_one_turn_longer_is_the_same_group() -> None:
    one = make_prompt(PLAIN)
    turns = [
        {"role": "user", "content": PLAIN},
        {"role": "assistant", "content": "Use a pot."},
        {"role": "user", "content": "And then?"},
    ]
    longer = make_prompt(messages=turns)
    clustering.cluster_new()
    assert clustered(one).cluster == clustered(longer).cluster


def test_a_train_prompt_near_a_held_out_one_is_quarantined_and_no_split_moves() -> None:
    train, gate = make_prompt(PLAIN), make_prompt(PLANTED["re-worded"], split="gate")
    other = make_prompt("Name three rivers of Peru, please.")
    clustering.cluster_new()
    assert clustered(train).quarantined and not clustered(gate).quarantined and not clustered(other).quarantined
    assert (train.split, gate.split) == ("train", "gate")


def test_clusters_are_the_same_in_whatever_order_prompts_come() -> None:
    texts = [
        PLAIN,
        PLANTED["re-worded"],
        PLANTED["re-worded"].replace("please", "my dear friend"),
        "Name three rivers of Peru.",
    ]
    found = []
    for order in itertools.permutations(texts):
        Prompt.objects.all().delete()
        for text in order:
            make_prompt(text)
            clustering.cluster_new()
        found.append(sorted(Prompt.objects.values_list("key", "cluster")))
    assert all(one == found[0] for one in found)
    assert len({cluster for _, cluster in found[0]}) == 2


def test_real_prompts_are_mostly_left_alone(test_data) -> None:
    from feedback.formats import READERS, Options, ParsedPair

    pairs = READERS["hh"](test_data / "hh_harmless_dev.jsonl.gz", Options())
    for pair in pairs:
        if isinstance(pair, ParsedPair):
            make_prompt(messages=pair.messages, split=None)
    clustering.cluster_new()
    total = Prompt.objects.count()
    assert Prompt.objects.filter(quarantined=True).count() < 0.05 * total
