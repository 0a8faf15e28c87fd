#!/usr/bin/env python3
"""Writes the text fulmen-nano learns from: one JSONL file per kind of text and length.

    python3 models/fulmen-nano/corpus.py --text TEXTS --out FOLDER [--seed 1] [--scale 1]

TEXTS is the folder of public-domain books (prose.py names them). Chats are {"messages": [...]}, texts {"text": ...}.
The same seed writes the same bytes. Lengths are in tokens, estimated; --scale multiplies the number of documents.
"""

import argparse
import json
import os
from random import Random

import conversations
import exercises
import facts
import prose
import words
from conversations import turn

# Length: documents. Later ones teach most and are read more than once.
RETRIEVAL = {48: 20000, 64: 20000, 96: 20000, 160: 20000, 224: 60000}
# What follows, once it finds facts in short texts.
LONG_RETRIEVAL = {448: 8000, 960: 11000}
# The last: short answers.
ANSWERS = {224: 3000, 448: 2000, 960: 5000}

INTROS = ["", "", "", "Read this text.\n", "Here is a text:\n", "Please read this text: ", "Text:\n", "Remember this: ",
          "I will ask you about this text.\n"]
BEFORE_QUESTION = ["\n", "\n", "\n\n", " ", " ", "\nQuestion: ", "\nNow answer: "]
TURN_TOKENS = 16  # of the chat format, for a question and its answer


class Filler:
    """Sentences to hide facts among: made up ones, or those of a book."""

    def __init__(self, random, books):
        self.random = random
        self.prose = prose.excerpts(random, books)

    def sentences(self, tokens):
        """As many as fit into `tokens`."""
        scene = words.scene(self.random)
        from_book = self.random.random() < 0.4
        while True:
            text = next(self.prose) if from_book else words.sentence(self.random, scene)
            tokens -= words.token_estimate(text) * (1.25 if from_book else 1)
            if tokens < 0:
                return
            yield text


def question_turn(random, fact, short):
    return turn(random.choice(fact.questions), fact.short_answer if short else fact.answer)


def tokens_of(messages):
    return sum(words.token_estimate(message["content"]) + TURN_TOKENS // 2 for message in messages)


def hide(random, found, filler, tokens):
    """A text of about `tokens` tokens with the facts at random places."""
    tokens -= sum(words.token_estimate(fact.statement) for fact in found)
    sentences = [[text] for text in filler.sentences(tokens)] + [[]]
    for fact in found:
        random.choice(sentences).append(fact.statement)
    return " ".join(text for group in sentences for text in group if text)


def retrieval(random, filler, length, short):
    """A chat with facts and questions: the facts in one text, or told one by one. Answers are `short`, or whole sentences."""
    if length in LONG_RETRIEVAL:
        # Of many lengths, so that the answer does not depend on one.
        length = int(length * random.uniform(0.5, 1))
    turn_by_turn = length >= 96 and random.random() < 0.25
    most = max(1, length // (80 if turn_by_turn else 40))
    if random.random() < 0.3:
        most = min(most, 2)  # a few facts in a long text
    found = facts.make_facts(random, random.randint(1, most))
    asked = random.sample(found, min(max(1, length // 60), len(found)))
    if turn_by_turn:
        return told(random, found, asked, length, short)
    answers = []
    for fact in asked:
        answers += question_turn(random, fact, short)
    intro = random.choice(INTROS) if length > 48 else ""
    text = hide(random, found, filler, length - tokens_of(answers) - words.token_estimate(intro))
    answers[0]["content"] = intro + text + random.choice(BEFORE_QUESTION) + answers[0]["content"]
    if random.random() < 0.03 and len(answers) > 2:
        # A text that the system message holds.
        question = answers[0]["content"][len(intro + text):].strip()
        return [{"role": "system", "content": text}, {"role": "user", "content": question}] + answers[1:]
    return answers


def told(random, found, asked, length, short):
    """Facts told in turns of their own, among small talk, and asked for later."""
    questions = []
    for fact in asked:
        questions += question_turn(random, fact, short)
    turns = [turn(fact.statement, random.choice(conversations.KEEP)) for fact in found]
    left = length - tokens_of(questions) - sum(map(tokens_of, turns))
    while True:
        talk = conversations.small_talk(random) if random.random() < 0.7 else exercises.list_turn(random)
        left -= tokens_of(talk)
        if left < 0:
            break
        turns.insert(random.randint(0, len(turns)), talk)
    return [message for pair in turns for message in pair] + questions


def story(random, books):
    """A made-up text."""
    scene = words.scene(random)
    return " ".join(words.sentence(random, scene) for _ in range(random.randint(4, 14)))


def other_turn(random, books):
    """What may come up in the middle of small talk."""
    kind = random.random()
    if kind < 0.4:
        return exercises.list_turn(random)
    if kind < 0.65:
        return exercises.sum_turn(random, 2)
    return conversations.unknown_turn(random, lambda: prose.word(random, books))


def several(random, make):
    """A few turns of one kind."""
    return [message for _ in range(random.randint(1, 5)) for message in make()]


def documents(random, books):
    """File name: a generator of its documents."""
    filler = Filler(random, books)

    def retrievals(name, counts, short):
        return {f"{name}-{length}": (count, lambda length=length: {"messages": retrieval(random, filler, length, short)})
                for length, count in counts.items()}

    files = retrievals("retrieval", RETRIEVAL, short=False)
    files["copies"] = (20000, lambda: {"messages": exercises.lookup_turn(random, 1)})
    files["tables"] = (20000, lambda: {"messages": exercises.lookup_turn(random, random.choice((16, 32, 48, 64)))})
    files["talk"] = (30000, lambda: {"messages": conversations.conversation(
        random, random.randint(1, 6), lambda: other_turn(random, books))})
    files["lists"] = (30000, lambda: {"messages": several(random, lambda: exercises.list_turn(random))})
    files["sums"] = (30000, lambda: {"messages": several(random, lambda: exercises.sum_turn(random, 2))})
    files["stories"] = (12000, lambda: {"text": story(random, books)})
    files |= retrievals("retrieval", LONG_RETRIEVAL, short=False) | retrievals("answers", ANSWERS, short=True)
    return files


def book_documents(books, sentences_each):
    for book in books:
        for first in range(0, len(book), sentences_each):
            yield {"text": " ".join(book[first:first + sentences_each])}


def write(folder, name, lines):
    path = os.path.join(folder, name + ".jsonl")
    with open(path + ".part", "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    os.replace(path + ".part", path)


def without_codes(document):
    """The text of a document for the tokenizer: no codes, one digit of each number, so that both stay single characters."""
    text = document.get("text") or "\n".join(message["content"] for message in document["messages"])
    kept = []
    for word in text.split(" "):
        if sum(c.isupper() or c.isdigit() for c in word) > 1:
            continue
        kept.append(word)
    return {"text": " ".join(kept)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder of the public-domain books")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1, help="multiplies the number of documents (default 1)")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    learnt, held_out = prose.load(arguments.text)
    sample = []
    for name, (count, make) in documents(Random(arguments.seed), learnt).items():
        lines = [make() for _ in range(max(1, int(count * arguments.scale)))]
        if not name.endswith(tuple(f"-{length}" for length in LONG_RETRIEVAL)):
            sample += [without_codes(line) for line in lines[:1500]]
        write(arguments.out, name, lines)
    books = list(book_documents(learnt, 8))
    write(arguments.out, "books", books)
    write(arguments.out, "held-out", book_documents(held_out, 8))
    with open(os.path.join(arguments.out, "held-out.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(" ".join(book) for book in held_out) + "\n")
    # Every capital after a space becomes a token, so that codes are cut alike wherever they stand; and the words of
    # the chat format take one token each.
    common = [{"text": " " + " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}, {"text": "user name=user\nai name=assistant\n"}]
    write(arguments.out, "tokenizer", sample + [without_codes(book) for book in books] + common * 2000)


if __name__ == "__main__":
    main()
