#!/usr/bin/env python3
"""Prints ten conversations with a model as Markdown, answered greedily, for the README.

    python3 models/fulmen-nano/samples.py --fulmen build/release/fulmen [-m MODEL]
"""

import argparse

from ask import Model

CONVERSATIONS = [
    ["What is Fulmen?", "Who made you?", "Thank you."],
    ["Hello! My name is Clara.", "How are you?", "What is my name?"],
    ["The code of the blue door is K7QX2M. Tom lives in Rome. The red box has 48 coins.",
     "What is the code of the blue door?", "Where does Tom live?"],
    ["Please copy: lamp, river, 42, stone", "Reverse: one, two, three, four", "Sort: pear, apple, fig"],
    ["What is 7 + 8?", "What is 25 - 9?", "What is 120 + 45?"],
    ["My favourite colour is green.", "What is lightning attention?", "What is my favourite colour?"],
    ["Who is the president?", "What is the weather today?"],
    ["Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do. "
     "The password of the old tower is 90417. Once or twice she had peeped into the book her sister was reading, but it had no "
     "pictures or conversations in it.\nWhat is the password of the old tower?", "Who is tired?"],
    ["Write a poem.", "How do I run Fulmen?"],
    ["Why is the sky blue?", "Explain the theory of relativity."],
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fulmen", required=True, help="the program")
    parser.add_argument("-m", "--model", help="folder of the model (default: the one that comes with Fulmen)")
    arguments = parser.parse_args()
    model = Model(arguments.fulmen, arguments.model)
    chats = [[] for _ in CONVERSATIONS]
    for turn in range(max(map(len, CONVERSATIONS))):
        going = [(chat, asked[turn]) for chat, asked in zip(chats, CONVERSATIONS) if turn < len(asked)]
        for chat, question in going:
            chat.append({"role": "user", "content": question})
        answers, _ = model.answers([chat for chat, _ in going])
        for (chat, _), answer in zip(going, answers):
            chat.append({"role": "assistant", "content": answer})
    for number, chat in enumerate(chats, 1):
        print(f"{number}.")
        for message in chat:
            said = message["content"].replace("\n", " ")
            print(f"   - {said}" if message["role"] == "user" else f"     **{said}**")
        print()


if __name__ == "__main__":
    main()
