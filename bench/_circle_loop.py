"""One loop of `bench/circle.py` in a home of its own: real sampling, heads, DPO; people simulated by a hidden reward.

    python -m bench._circle_loop prepare                      tables, prompts, the toy model
    python -m bench._circle_loop play RULE SEED ROUNDS OUT    go round; OUT gets the figures as JSON after each round
"""

from __future__ import annotations

import json
import logging
import random
import sys
from pathlib import Path
from typing import Any

import django

GATE = {"name": "sprt", "limit": 120}
CONFIG = {
    "every": 60, "ask": 60, "draws": 4, "train_prompts": 120, "yardstick": 40, "gate": GATE,
    "dpo": {"lr": 2e-3, "beta": 0.03, "batch_size": 8, "max_steps": 80},
}  # fmt: skip
PROMPTS = (("train", 200), ("dev", 60), ("gate", 240))
PEOPLE = 4
NOISE = 0.1


def prepare() -> None:
    from django.core.management import call_command

    from feedback import intake
    from rlhf import runs
    from rlhf.tiny_corpus import tiny_prompts

    call_command("migrate", verbosity=0)
    splits = [split for split, count in PROMPTS for _ in range(count)]
    texts = tiny_prompts(len(splits), seed=11)
    intake.add_prompts(
        rows=[
            {"messages": [{"role": "user", "content": text}], "split": split, "metadata": {"workspace": "circle"}}
            for split, text in zip(splits, texts, strict=True)
        ]
    )
    runs.start(kind="pretrain", base="tiny", seed=1)
    work()


def work() -> None:
    """What the workers would do: everything that waits."""
    from feedback import aggregation
    from rlhf import reward_datasets, runs
    from rlhf.models import RewardDataset, Run

    aggregation.gather()
    for dataset in RewardDataset.objects.filter(status="queued"):
        reward_datasets.build(dataset_id=dataset.pk)
    for run in Run.objects.filter(status="queued").order_by("created_at"):
        done = runs.execute(run_id=run.pk)
        if done.status != "done":
            raise RuntimeError(f"{done.kind}: {done.note}\n{done.log_tail}")


def make_loop(rule: str, seed: int) -> Any:
    from feedback import intake
    from feedback.models import Membership, Prompt, Queue, User
    from rlhf import loops, sampling

    decoding = {"temperature": 0.9, "top_p": 1.0, "max_new_tokens": 32}
    policy, _ = intake.add_policy(slug=f"first-{seed}", kind="local", base="tiny", decoding=decoding)
    queue = Queue.objects.create(
        slug="circle", title="Circle", kind="comparison", demo=True, status="open", selection=rule, control_rate=0.25
    )
    for n in range(PEOPLE):
        person = User.objects.create(username=f"simulated-{n}")
        Membership.objects.create(queue=queue, user=person, kind="simulated")
    loop = loops.create(
        slug="circle", title="Circle", queue=queue, policy=policy, alias="circle-live", config=CONFIG, demo=True,
        prompt_filter={"metadata__workspace": "circle"},
    )  # fmt: skip
    prompts = list(Prompt.objects.filter(split="train").order_by("key"))
    sampling.sample(policy=policy, prompts=prompts, draws=range(4), seed=seed)
    work()
    ask_first(queue, policy, prompts, seed)
    return loop


def ask_first(queue: Any, policy: Any, prompts: list[Any], seed: int) -> None:
    """The first questions are random pairs for every rule: there is no head yet."""
    from feedback import pairing
    from rlhf import sampling, selection

    said = sampling.answers(policy, prompts, range(4))
    pools = list(selection.by_prompt(r for rs in said.values() for r in rs).values())
    rng = random.Random(seed)
    rng.shuffle(pools)
    drafts = [pairing.Draft(pool[0].prompt, rng.sample(pool, 2), arm="control") for pool in pools[: CONFIG["every"]]]
    pairing.add_items(queue=queue, drafts=drafts)


def judge(queue: Any, seed: int) -> None:
    """Everybody judges in turn until nothing is left, by the hidden reward, wrong one time in ten."""
    import numpy as np

    from feedback import assigning, judging
    from feedback.hidden_rewards import REWARDS, simulated_vote
    from feedback.models import User

    people = list(User.objects.filter(memberships__queue=queue).order_by("pk"))
    while people:
        for person in list(people):
            lease = assigning.claim(queue=queue, annotator=person) if queue.status == "open" else None
            if lease is None:
                people.remove(person)
                continue
            shown = [lease.item.ordered_responses()[p].content for p in lease.order]
            a, b = (REWARDS["polite_tiny"](lease.item.prompt.last_turn, text) for text in shown)
            rng = np.random.default_rng([seed, lease.item.pk, person.pk])
            choice = simulated_vote(rng, a, b, noise=NOISE, left_bias=0.1)
            judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice})


def play(rule: str, seed: int, rounds: int, out: Path) -> None:
    from feedback.models import Queue
    from rlhf import loops
    from rlhf.models import Loop, Round

    loop = make_loop(rule, seed)
    truth: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        for _ in range(200):
            judge(loop.queue, seed)
            work()
            resume(loop)
            loops.tick(loop=Loop.objects.get(pk=loop.pk), force=number > 1)
            for queue in Queue.objects.filter(purpose="gate", status="open"):
                judge(queue, seed)
            round_ = Round.objects.get(loop=loop, number=number)
            if round_.status == "failed":
                raise RuntimeError(round_.explain)
            if round_.status == "closed":
                break
        judge(loop.queue, seed)
        work()
        truth.append(true_share(loop))
        write(loop, truth, out, rule=rule, seed=seed, config=CONFIG)


def resume(loop: Any) -> None:
    """A serious alarm pauses the loop; here a person looks at once, notes it, and lets it go on."""
    from feedback.models import User
    from rlhf import alarms, loops
    from rlhf.models import Alarm, Loop

    person = User.objects.order_by("pk")[0]
    for alarm in Alarm.objects.filter(loop=loop, status="open"):
        alarms.close(alarm=alarm, actor=person, note="seen; the candidate was not promoted")
    row = Loop.objects.get(pk=loop.pk)
    if row.status == "paused":
        loops.set_active(loop=row, active=True)


def true_share(loop: Any) -> dict[str, Any]:
    """How often these people would prefer the live policy to the first one on dev prompts, from the hidden reward."""
    import numpy as np
    from scipy.special import expit

    from feedback.hidden_rewards import REWARDS, TIE_GAP
    from feedback.models import Prompt
    from rlhf import deployments, sampling, yardstick

    first, live = yardstick.first_policy(loop), deployments.live(loop.alias)
    assert first is not None
    assert live is not None
    if first.pk == live.pk:
        return {"policy": live.slug, "share": 0.5}
    prompts = list(Prompt.objects.filter(split="dev").order_by("key"))
    for policy in (first, live):
        sampling.sample(policy=policy, prompts=prompts, draws=range(4), seed=77)
    work()
    reward = REWARDS["polite_tiny"]
    shares = []
    said = [sampling.answers(policy, prompts, range(4)) for policy in (live, first)]
    for prompt in prompts:
        a, b = ([reward(prompt.last_turn, r.content) for r in answers.get(prompt.key, [])] for answers in said)
        gap = np.subtract.outer(np.array(a), np.array(b))
        p = NOISE + (1 - 2 * NOISE) * expit(gap)
        shares.append(float(np.where(np.abs(gap) < TIE_GAP, 0.25 + 0.5 * p, p).mean()))
    return {"policy": live.slug, "share": round(float(np.mean(shares)), 4)}


def write(loop: Any, truth: list[dict[str, Any]], out: Path, **about: Any) -> None:
    from rlhf import worth
    from rlhf.models import Alarm

    points = [p.as_json() for p in worth.points(loop)]
    alarms = [{"round": a.round.number if a.round else None, "kind": a.kind, "severity": a.severity,
               "sentence": a.sentence} for a in Alarm.objects.filter(loop=loop).select_related("round")]  # fmt: skip
    found = {**about, "points": points, "truth": truth, "example": worth.example(loop), "alarms": alarms}
    draft = out.with_suffix(".new")
    draft.write_text(json.dumps(found, indent=1))
    draft.replace(out)


def main() -> None:
    django.setup()
    logging.disable(logging.CRITICAL)
    if sys.argv[1] == "prepare":
        prepare()
    else:
        play(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))


if __name__ == "__main__":
    main()
