"""Old books as plain sentences."""

import os
import re

# Public domain and in English, as shared data's README says; lines before the first and after the last are the editors'.
BOOKS = {
    "alice29.txt": ("Alice was beginning", "THE END"),
    "genesis-kjv.txt": ("In the beginning", None),
    "inaugural.txt": ("Fellow-Citizens", None),
    "lcet10.txt": ("The Workshop on Electronic Texts", "*End of The Project"),
    "plrabn12.txt": ("Of Man's first disobedience", "[The End]"),
    "tinyshakespeare.txt": ("First Citizen", None),
}
# Never trained on: what perplexity and retrieval are measured with, beside the end of every book above.
UNSEEN_BOOK = {"asyoulik.txt": ("ORLANDO\tAs I remember", None)}
HELD_OUT_SHARE = 0.04


def _plain(text):
    text = text.replace("`", "'").replace("--", " - ").replace("\t", " ")
    text = re.sub(r"\[[^\]]*\]|[*_|#<>{}]", " ", text)
    # Words in capitals would give the tokenizer tokens of several capitals, which codes must not have.
    text = re.sub(r"\b[A-Z]{2,}\b", lambda match: match.group().capitalize(), text)
    return re.sub(r"\s+", " ", "".join(c for c in text if c.isascii())).strip()


def _sentences(path, first, last):
    with open(path, encoding="utf-8", errors="ignore") as file:
        text = file.read()
    begin = text.find(first)
    end = text.rfind(last) if last else len(text)
    if begin < 0 or end < begin:
        raise ValueError(f"{path}: expected '{first}'" + (f" and '{last}'" if last else "") + ", found another text")
    sentences = re.split(r"(?<=[.!?;:])['\"]?\s+", _plain(text[begin:end]))
    return [sentence for sentence in sentences if 8 <= len(sentence) <= 300]


def load(folder):
    """Sentences in the order of the books: (to learn from, held out), each a list of books."""
    learnt, held_out = [], []
    for name, (first, last) in BOOKS.items():
        sentences = _sentences(os.path.join(folder, name), first, last)
        cut = int(len(sentences) * (1 - HELD_OUT_SHARE))
        learnt.append(sentences[:cut])
        held_out.append(sentences[cut:])
    for name, (first, last) in UNSEEN_BOOK.items():
        held_out.append(_sentences(os.path.join(folder, name), first, last))
    return learnt, held_out


def excerpts(random, books):
    """Sentences of a book in order, from a random place on, endlessly."""
    while True:
        book = random.choice(books)
        place = random.randrange(len(book))
        yield from book[place:place + 40]


def word(random, books):
    """A word of a book, without signs around it."""
    while True:
        found = random.choice(random.choice(random.choice(books)).split()).strip(".,;:!?\"'()-")
        if len(found) > 2 and found.isalpha():
            return found
