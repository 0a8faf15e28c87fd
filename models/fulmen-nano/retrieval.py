#!/usr/bin/env python3
"""Measures whether a model finds a code in a long text: exact answers by depth, as JSON.

    python3 models/fulmen-nano/retrieval.py --text TEXTS --fulmen build/release/fulmen [-m MODEL] [--length 1024]

Codes, text around them and their combinations were never trained on: codes are of the reserved sixteenth (facts.py), text is of
the held-out book and chapters (prose.py) or made up anew. An answer counts when the only code in it is the right one.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from random import Random

import facts
import prose
import words
from ask import Model
from corpus import Filler

DEPTHS = range(10, 100, 10)
# kind: (codes in the text, whether the words around the code are those of training)
KINDS = {"one": (1, True), "four": (4, True), "new-words": (1, False)}
NEW_STATEMENTS = ["In case you wonder, the code of {k} reads {c}.", "Tom says the code of {k} should be {c}.",
                  "As of today the code of {k} is {c}, so write it down.", "My sister told me that the code of {k} is {c}!"]
NEW_QUESTIONS = ["So, what would be the code of {k}?", "Hm, the code of {k} was what?", "I cannot find the code of {k}. Help me!",
                 "What code is it that belongs to {k}?"]


def code_facts(random, count, usual):
    """Facts about reserved codes of six characters, the first to be asked for."""
    found = []
    while len(found) < count:
        fact = facts.code_fact(random, alone=False)
        code = facts.make_code(random, reserved=True, length=6)
        if any(fact.key == other.key for other in found):
            continue
        if usual:
            statement, question = fact.statement.replace(fact.value, code), random.choice(fact.questions)
        else:
            key = facts.make_place_of_code(random)
            statement = random.choice(NEW_STATEMENTS).format(k=key, c=code)
            question = random.choice(NEW_QUESTIONS).format(k=key)
        found.append(facts.Fact(fact.key, code, statement, [question], ""))
    return found


def make_cases(arguments, model):
    """Texts of `length` tokens by the model's tokenizer, whose chats are a little longer."""
    random = Random(arguments.seed)
    filler = Filler(random, prose.load(arguments.text)[1])
    cases, pools = [], []
    for number in range(arguments.count):
        for depth in DEPTHS:
            for kind in arguments.kinds:
                needles, usual = KINDS[kind]
                found = code_facts(random, needles, usual)
                cases.append({"name": f"{kind}-{depth}-{number}", "kind": kind, "depth": depth, "code": found[0].value,
                              "facts": found})
                # Estimates fall short by a third at most.
                pools.append(list(filler.sentences(arguments.length * 1.5)))
    sizes = iter(model.token_counts(" " + sentence for pool in pools for sentence in pool))
    for case, pool in zip(cases, pools):
        found = case.pop("facts")
        left = arguments.length - sum(words.token_estimate(fact.statement) for fact in found)
        sentences = []
        for sentence in pool:
            left -= next(sizes)
            if left >= 0:
                sentences.append(sentence)
        for other in found[1:]:
            sentences.insert(random.randint(0, len(sentences)), other.statement)
        sentences.insert(len(sentences) * case["depth"] // 100, found[0].statement)
        case["messages"] = [{"role": "user", "content": " ".join(sentences) + "\n" + found[0].questions[0]}]
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="folder of the public-domain books")
    parser.add_argument("--fulmen", required=True, help="the program")
    parser.add_argument("-m", "--model", help="folder of the model (default: the one that comes with Fulmen)")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a text (default 1024)")
    parser.add_argument("--count", type=int, default=6, help="texts for each depth and kind (default 6)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="default: all")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--write", help="write the texts as JSON, and ask nothing")
    parser.add_argument("--cases", help="read the texts that --write wrote, instead of making them")
    parser.add_argument("--misses", action="store_true", help="print wrong answers to standard error")
    arguments = parser.parse_args()
    model = Model(arguments.fulmen, arguments.model)
    if arguments.cases:
        with open(arguments.cases, encoding="utf-8") as file:
            cases = json.load(file)
    elif arguments.text:
        cases = make_cases(arguments, model)
    else:
        parser.error("--text or --cases is needed")
    if arguments.write:
        with open(arguments.write, "w", encoding="utf-8") as file:
            file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
        return
    answers, lengths = model.answers([case["messages"] for case in cases])
    right = defaultdict(lambda: defaultdict(list))
    for case, answer in zip(cases, answers):
        exact = set(re.findall(r"\b[A-Z0-9]{4,}\b", answer)) == {case["code"]}
        right[case["kind"]][case["depth"]].append(exact)
        if arguments.misses and not exact:
            print(f"{case['name']}: expected {case['code']}: {answer}", file=sys.stderr)
    report = {"tokens": {"least": min(lengths), "most": max(lengths)}}
    for kind, by_depth in right.items():
        everything = [exact for part in by_depth.values() for exact in part]
        report[kind] = {"exact": round(sum(everything) / len(everything), 4), "of": len(everything),
                        "by_depth": {depth: round(sum(part) / len(part), 4) for depth, part in by_depth.items()}}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
