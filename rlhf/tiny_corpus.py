"""Prompts and answers of a toy world, for the tiny model of the quick loop and of the tests (pure Python).

A 1.9M-parameter model learns this world in seconds. Each prompt has answers of five manners (good, terse,
rambling, repetitive, impolite), so that sampled answers differ in quality and preferences have work to do.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Pair = tuple[str, str]

NAMES = (
    "Maria Tom Aisha Pedro Lena Omar Grace Yuki Ivan Nora Sam Priya Hugo Zoe Ali Ruth Ben Clara Diego Eva "
    "Felix Gita Hana Igor Julia Karim Lucy Marco Nina Otto"
).split()
GIFTS = "book cake lamp scarf map card plant clock mug song".split()
EVENTS = "dinner picnic concert party walk lesson match".split()
LISTS = {
    "colours": "red blue green yellow orange purple white black".split(),
    "animals": "cat dog horse rabbit goat duck sheep mouse".split(),
    "fruits": "apple pear plum cherry lemon banana peach mango".split(),
    "cities": "Paris Rome Cairo Lima Oslo Delhi Tokyo Quito".split(),
    "tools": "hammer saw drill pliers chisel wrench file axe".split(),
    "trees": "oak pine birch maple elm beech willow ash".split(),
}
REASONS = {
    "walk": "it clears the mind",
    "read": "it teaches you new words",
    "sleep": "it rests the body",
    "cook": "it saves money",
    "sing": "it lifts the mood",
    "swim": "it makes you strong",
    "draw": "it trains the eye",
    "travel": "it shows you new places",
    "listen": "it helps you understand others",
    "save water": "it protects the rivers",
    "plant trees": "it cools the streets",
    "share food": "it makes new friends",
}
FILLER = ("well", "you know", "in a way", "so to speak", "as it were", "more or less", "and so on")
RUDE = ("No. Go away.", "Ask someone else.", "I do not care.", "What a silly question.", "Leave me alone.")
WEIGHTS = {"good": 30, "terse": 12, "rambling": 28, "repetitive": 15, "impolite": 15}


def _all_tasks() -> list[tuple[str, Callable[[random.Random], str], str]]:
    """Every prompt with the maker of its good answer and its shortest answer, in a fixed order."""
    tasks: list[tuple[str, Callable[[random.Random], str], str]] = []
    for name in NAMES:
        for time in ("", " in the morning", " in the evening"):
            tasks.append((f"Say hello to {name} politely{time}.", _hello(name, time), "Hi."))
        for gift in GIFTS:
            tasks.append((f"Thank {name} for the {gift}.", _thanks(name, gift), "Thanks."))
        for event in EVENTS:
            tasks.append((f"Invite {name} to the {event}.", _invitation(name, event), "Come."))
    for things, words in LISTS.items():
        for count, number in (("two", 2), ("three", 3), ("four", 4)):
            tasks.append((f"Name {count} {things}.", _listing(things, words, number), f"{words[0].capitalize()}."))
    for activity, reason in REASONS.items():
        for manner in ("short", "good", "kind"):
            tasks.append((f"Give a {manner} reason to {activity}.", _reason(activity, reason), "It is good."))
    return tasks


def _hello(name: str, time: str) -> Callable[[random.Random], str]:
    greeting = {"": "Hello", " in the morning": "Good morning", " in the evening": "Good evening"}[time]
    wishes = ("it is lovely to see you.", "I hope you are well.", "how kind of you to come.")
    return lambda rng: f"{greeting}, {name}, {rng.choice(wishes)}"


def _thanks(name: str, gift: str) -> Callable[[random.Random], str]:
    closings = ("I like it very much.", "It was very kind of you.", "It made my day.")
    return lambda rng: f"Thank you for the {gift}, {name}. {rng.choice(closings)}"


def _invitation(name: str, event: str) -> Callable[[random.Random], str]:
    closings = ("We would be happy to see you.", "Please bring a friend.", "I hope you have time.")
    return lambda rng: f"Dear {name}, please join us at the {event}. {rng.choice(closings)}"


def _listing(things: str, words: list[str], count: int) -> Callable[[random.Random], str]:
    def listing(rng: random.Random) -> str:
        chosen = rng.sample(words, count)
        return f"{count} {things} are {', '.join(chosen[:-1])} and {chosen[-1]}.".capitalize()

    return listing


def _reason(activity: str, reason: str) -> Callable[[random.Random], str]:
    openings = ("You could", "It is kind to yourself to", "Please")
    return lambda rng: f"{rng.choice(openings)} {activity}, because {reason}."


def _rambling(rng: random.Random, good: str) -> str:
    words = good.rstrip(".").split()
    for _ in range(rng.randint(4, 8)):
        words.insert(rng.randrange(1, len(words) + 1), f"{rng.choice(FILLER)},")
    return " ".join(words) + "."


def _repetitive(rng: random.Random, good: str) -> str:
    start = " ".join(good.split()[: rng.randint(2, 4)])
    return " ".join([start] * rng.randint(3, 6))


def _answer(rng: random.Random, good: str, terse: str) -> str:
    manner = rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
    if manner == "rambling":
        return _rambling(rng, good)
    if manner == "repetitive":
        return _repetitive(rng, good)
    return {"good": good, "terse": terse, "impolite": rng.choice(RUDE)}[manner]


def tiny_prompts(n: int, seed: int) -> list[str]:
    """`n` distinct prompts in an order that depends on `seed` alone. ValueError beyond what the world holds."""
    prompts = [prompt for prompt, _, _ in _all_tasks()]
    if n > len(prompts):
        raise ValueError(f"only {len(prompts)} distinct prompts exist, {n} were asked for")
    return random.Random(seed).sample(prompts, n)


def tiny_corpus(n: int, seed: int) -> list[Pair]:
    """`n` (prompt, answer) pairs: prompts drawn with replacement, manners by `WEIGHTS`."""
    rng = random.Random(seed)
    pairs = []
    for prompt, good, terse in rng.choices(_all_tasks(), k=n):
        pairs.append((prompt, _answer(rng, good(rng), terse)))
    return pairs
