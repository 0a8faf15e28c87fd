"""Short lists to copy, reverse, sort and count, and small sums."""

import facts
import words
from conversations import turn

NOUNS = sorted(set(words.THINGS + words.ANIMALS + words.FOODS + words.COLOURS))
# What need not be sorted may be any word.
ITEMS = sorted(set(NOUNS + words.OBJECTS + words.PLACES + words.ADJECTIVES + words.NUMBERS + words.NAMES + words.TOWNS + words.JOBS))

LIST_TASKS = [
    ("copy", ["Repeat this list: {l}", "Copy this list: {l}", "Say this again: {l}", "Repeat: {l}", "Copy: {l}"]),
    ("reverse", ["Reverse this list: {l}", "Turn this list around: {l}", "Say this list backwards: {l}", "Reverse: {l}"]),
    ("sort", ["Sort this list: {l}", "Put this list in order: {l}", "Sort: {l}", "Please sort this: {l}"]),
    ("count", ["How many things are in this list: {l}", "Count the things in this list: {l}", "How long is this list: {l}"]),
    ("first", ["What is the first thing in this list: {l}", "What comes first here: {l}"]),
    ("last", ["What is the last thing in this list: {l}", "What comes last here: {l}"]),
]
LOOKUPS = ["{t}. Find {k}.", "{t}. Say: {k}", "Here is a table: {t}. Look up {k}.", "{t}\nWhat are {k}?", "{t}\nWhat about {k}?"]
SUMS = ["What is {a} + {b}?", "{a} + {b} = ?", "How much is {a} plus {b}?", "Add {a} and {b}.", "What is {a} plus {b}?"]
DIFFERENCES = ["What is {a} - {b}?", "{a} - {b} = ?", "How much is {a} minus {b}?", "What is {a} minus {b}?",
               "Take {b} away from {a}."]
LARGER = ["Which is larger, {a} or {b}?", "Which number is larger: {a} or {b}?"]
NEXT = ["Which number comes after {a}?", "What comes after {a}?"]


def make_list(random, task):
    length = random.randint(2, 6)
    kind = random.random()
    if kind < 0.3 or kind < 0.4 and task == "sort":
        return random.sample(NOUNS if task == "sort" else ITEMS, length)
    if kind < 0.4:
        return random.sample(ITEMS + [str(number) for number in range(100)], length)
    if kind < 0.55:
        return random.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", length)
    if kind < 0.65 and task != "sort":
        return [facts.make_code(random) for _ in range(min(length, 3))]
    if kind < 0.8:
        return [str(number) for number in random.sample(range(10), length)]
    return [str(number) for number in random.sample(range(100), length)]


def lookup_turn(random, tokens):
    """A table of words and codes, and some of its rows asked for: retrieval at its shortest."""
    rows, sign = {}, random.choice((": ", " = ", " is ", " "))
    while tokens > 0:
        key = random.choice((random.choice(NOUNS), random.choice(words.NAMES), random.choice(words.OBJECTS)))
        rows[key] = facts.make_code(random, length=random.choice((2, 3, 4, 5, 6, 6)))
        tokens -= 5 + 2 * len(rows[key])
    table = ", ".join(f"{key}{sign}{code}" for key, code in rows.items())
    asked = random.sample(sorted(rows), random.randint((len(rows) + 1) // 2, len(rows)))
    prompt = random.choice(LOOKUPS).format(t=table, k=", ".join(asked))
    return turn(prompt, "Here it is: " + ", ".join(f"{key}{sign}{rows[key]}" for key in asked))


def list_turn(random, tasks=LIST_TASKS[:3] * 2 + LIST_TASKS[3:]):
    task, prompts = random.choice(tasks)
    items = make_list(random, task)
    prompt = random.choice(prompts).format(l=", ".join(items))
    if random.random() < 0.2 and task in ("copy", "reverse", "sort") and not prompt.startswith("Please"):
        prompt = f"Please {prompt[0].lower()}{prompt[1:]}"
    if task == "count":
        return turn(prompt, f"There are {len(items)} things in the list.")
    if task == "first":
        return turn(prompt, f"The first is {items[0]}.")
    if task == "last":
        return turn(prompt, f"The last is {items[-1]}.")
    if task == "reverse":
        items = items[::-1]
    elif task == "sort":
        items = sorted(items, key=lambda item: (int(item) if item.isdigit() else 0, item))
    return turn(prompt, f"Here it is: {', '.join(items)}")


def number(random, digits):
    return random.randrange(10 ** random.randint(1, digits))


def sum_turn(random, digits):
    a, b = number(random, digits), number(random, digits)
    kind = random.random()
    if kind < 0.5:
        return turn(random.choice(SUMS).format(a=a, b=b), f"{a} + {b} = {a + b}")
    if kind < 0.85:
        a, b = max(a, b), min(a, b)
        return turn(random.choice(DIFFERENCES).format(a=a, b=b), f"{a} - {b} = {a - b}")
    if kind < 0.93 and a != b:
        return turn(random.choice(LARGER).format(a=a, b=b), f"{max(a, b)} is larger than {min(a, b)}.")
    return turn(random.choice(NEXT).format(a=a), f"After {a} comes {a + 1}.")
