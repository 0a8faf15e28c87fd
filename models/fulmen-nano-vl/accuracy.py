#!/usr/bin/env python3
"""Measures how well a model sees: the share of questions about unseen pictures answered to the letter, as JSON.

    python3 models/fulmen-nano-vl/accuracy.py --fulmen build/release/fulmen [-m MODEL] [--seed 2] [--count 500] [--at-least 0.9]

Pictures are drawn by pictures.py, with a seed that the model was not trained on; train.sh trains on others. Every question is
asked alone, greedily.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import pictures


def run(arguments, *command, text=None):
    result = subprocess.run([arguments.fulmen, *command, "-m", arguments.model], input=text, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr)
    return result.stdout


def questions(arguments, folder):
    """What is asked about each picture, what the answer should be, and all of it as `fulmen eval generate` takes it."""
    cases, prompts, batch = [], {}, {}
    chat_file = os.path.join(folder, "chat.json")
    with open(os.path.join(folder, "chats.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            chat = json.loads(line)
            image = chat["messages"][0]["content"][0]
            for turn, about in enumerate(chat["asked"]):
                question = chat["messages"][2 * turn]["content"][-1]["text"]
                if question not in prompts:  # the same ids whatever the picture
                    content = [{"type": "image"}, {"type": "text", "text": question}]
                    with open(chat_file, "w", encoding="utf-8") as file:
                        json.dump({"messages": [{"role": "user", "content": content}]}, file)
                    prompts[question] = json.loads(run(arguments, "tokenize", "--chat", chat_file, "--json"))
                batch[str(len(cases))] = {"ids": prompts[question], "images": [os.path.join(folder, image["path"])]}
                cases.append((about, question, chat["messages"][2 * turn + 1]["content"], image["path"]))
    return cases, batch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fulmen", required=True, help="the program")
    parser.add_argument("-m", "--model", default=os.path.dirname(os.path.abspath(__file__)), help="its folder (default this one)")
    parser.add_argument("--seed", type=int, default=2, help="of the pictures (default 2)")
    parser.add_argument("--count", type=int, default=500, help="pictures asked about (default 500)")
    parser.add_argument("--keep", help="folder to keep the pictures in")
    parser.add_argument("--misses", action="store_true", help="print wrong answers to standard error")
    parser.add_argument("--at-least", type=float, default=0, help="fail where colour, shape or count are right less often")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.abspath(arguments.keep or temporary)
        pictures.write(folder, arguments.seed, arguments.count)
        cases, batch = questions(arguments, folder)
        batch_file = os.path.join(temporary, "batch.json")
        with open(batch_file, "w", encoding="utf-8") as file:
            json.dump(batch, file)
        made = json.loads(run(arguments, "eval", "generate", "--tokens", batch_file, "-n", "24", "--stop-at-eos", "--json"))
    answers = run(arguments, "detokenize", "--jsonl", text="".join(json.dumps(made[name]) + "\n" for name in batch))
    right, asked = {}, {}
    for (about, question, expected, path), line in zip(cases, answers.splitlines(), strict=True):
        answer = json.loads(line)
        asked[about] = asked.get(about, 0) + 1
        right[about] = right.get(about, 0) + (answer == expected)
        if answer != expected and arguments.misses:
            print(f"{path}: {question!r}: expected {expected!r}, answered {answer!r}", file=sys.stderr)
    shares = {about: round(right[about] / asked[about], 3) for about in sorted(asked)}
    print(json.dumps(shares | {"all": round(sum(right.values()) / len(cases), 3), "questions": len(cases)}, indent=1))
    if any(shares[about] < arguments.at_least for about in ("colour", "shape", "count")):
        sys.exit(f"colour, shape and count should each be right in {arguments.at_least:.0%} of the answers")


if __name__ == "__main__":
    main()
