#!/usr/bin/env python3
"""Measures what fulmen-nano was taught, on texts made anew: the share of last turns answered to the letter, as JSON.

    python3 models/fulmen-nano/skills.py --text TEXTS --fulmen build/release/fulmen [-m MODEL] [--count 40]

Talk counts as right when the answer is one of those taught for the question.
"""

import argparse
import json
import sys
from random import Random

import conversations
import corpus
import exercises
import prose
from ask import Model


def exercise(random, task):
    """A turn of exercises.list_turn's task `task`."""
    prompts = dict(exercises.LIST_TASKS)[task]
    return exercises.list_turn(random, [(task, prompts)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder of the public-domain books")
    parser.add_argument("--fulmen", required=True, help="the program")
    parser.add_argument("-m", "--model", help="folder of the model (default: the one that comes with Fulmen)")
    parser.add_argument("--count", type=int, default=40, help="chats of each kind (default 40)")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--misses", action="store_true", help="print wrong answers to standard error")
    arguments = parser.parse_args()
    random = Random(arguments.seed)
    filler = corpus.Filler(random, prose.load(arguments.text)[1])
    kinds = {f"facts in {length} tokens": lambda length=length: corpus.retrieval(random, filler, length, short=True)
             for length in corpus.RETRIEVAL}
    kinds["tables"] = lambda: exercises.lookup_turn(random, 48)
    kinds.update({task: lambda task=task: exercise(random, task) for task, _ in exercises.LIST_TASKS})
    kinds["sums and differences"] = lambda: exercises.sum_turn(random, 2)
    kinds["talk"] = lambda: conversations.small_talk(random)
    taught = {asked.lower().rstrip("?!."): answers for questions, answers in conversations.TALK for asked in questions}
    chats = [(kind, make()) for kind, make in kinds.items() for _ in range(arguments.count)]
    answers, _ = Model(arguments.fulmen, arguments.model).answers([chat[:-1] for _, chat in chats])
    right = dict.fromkeys(kinds, 0)
    for (kind, chat), answer in zip(chats, answers):
        question, expected = chat[-2]["content"], [chat[-1]["content"]]
        if kind == "talk":
            expected = next((answers for asked, answers in taught.items() if asked in question.lower()), expected)
        if answer in expected:
            right[kind] += 1
        elif arguments.misses:
            print(f"{kind}: {question!r}: expected {expected[0]!r}, answered {answer!r}", file=sys.stderr)
    print(json.dumps({kind: round(count / arguments.count, 3) for kind, count in right.items()}, indent=1))


if __name__ == "__main__":
    main()
