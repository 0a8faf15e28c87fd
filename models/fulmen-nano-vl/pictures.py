#!/usr/bin/env python3
"""Draws pictures and writes chats about them: what fulmen-nano-vl learns to see from.

    python3 models/fulmen-nano-vl/pictures.py --out FOLDER [--count 20000] [--seed 1] [--turns 4] [--kinds KIND ...]

FOLDER gets chats.jsonl, one chat for each picture, and the pictures as PNG files below. A seed always gives the same
files. Each chat names in "kind" what is in its picture, and in "asked" what each of its questions is about; `fulmen
train data` ignores both.
"""

import argparse
import json
import os
import struct
import zlib
from random import Random

COLOURS = {
    "red": (210, 40, 35), "green": (45, 150, 55), "blue": (40, 75, 205), "yellow": (235, 210, 40),
    "black": (25, 25, 25), "white": (245, 245, 245), "purple": (130, 50, 160), "orange": (240, 135, 30),
}
GROUNDS = [(225, 225, 225), (170, 170, 170), (120, 125, 130), (205, 215, 225), (225, 210, 190)]
SHAPES = ["circle", "square", "triangle", "cross", "ring", "bar"]
PLURALS = {shape: shape + "s" for shape in SHAPES} | {"cross": "crosses"}
NUMBERS = ["zero", "one", "two", "three", "four", "five"]
WORDS = ["cat", "dog", "sun", "sea", "red", "hat", "box", "key", "map", "cup", "tree", "door", "fish", "bird", "moon",
         "star", "rain", "book", "lamp", "ship"]
# Five columns of seven rows, a bit for each, the left one first.
FONT = {
    "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E", "4": "02060A121F0202",
    "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E", "9": "0E11110F01020C",
    "a": "00000E010F110F", "b": "10101619111E00", "c": "00000E1010110E", "d": "01010D1311110F", "e": "00000E111F100E",
    "f": "0609081C080808", "g": "000F11110F010E", "h": "10101619111111", "i": "04000C0404040E", "j": "0200060202120C",
    "k": "10101214181412", "l": "0C04040404040E", "m": "00001A15151111", "n": "00001619111111", "o": "00000E1111110E",
    "p": "00001E111E1010", "q": "00000D130F0101", "r": "00001619101010", "s": "00000E100E011E", "t": "08081C08080906",
    "u": "0000111111130D", "v": "00001111110A04", "w": "0000111115150A", "x": "0000110A040A11", "y": "000011110F010E",
    "z": "00001F0204081F",
}


class Picture:
    def __init__(self, width, height, ground):
        self.width, self.height = width, height
        self.rows = [bytearray(bytes(ground) * width) for _ in range(height)]

    def span(self, y, left, right, colour):
        """Pixels [left, right) of row y, as far as they are in the picture."""
        left, right = max(0, round(left)), min(self.width, round(right))
        if 0 <= y < self.height and left < right:
            self.rows[y][3 * left:3 * right] = bytes(colour) * (right - left)

    def shape(self, shape, x, y, size, colour):
        """Fills a shape in the square of side `size` whose corner is x, y."""
        radius = size / 2
        for row in range(size):
            from_middle = row + 0.5 - radius
            if shape in ("circle", "ring"):
                half = (radius ** 2 - from_middle ** 2) ** 0.5
                hole = max(0, (0.55 * radius) ** 2 - from_middle ** 2) ** 0.5 if shape == "ring" else 0
                self.span(y + row, x + radius - half, x + radius - hole, colour)
                self.span(y + row, x + radius + hole, x + radius + half, colour)
            elif shape == "triangle":
                half = radius * (row + 1) / size
                self.span(y + row, x + radius - half, x + radius + half, colour)
            elif shape == "cross":
                half = radius if abs(from_middle) < size / 6 else size / 6
                self.span(y + row, x + radius - half, x + radius + half, colour)
            elif shape == "square" or abs(from_middle) < size / 6:  # a bar lies
                self.span(y + row, x, x + size, colour)

    def text(self, text, x, y, scale, colour):
        for letter in text:
            for row, bits in enumerate(bytes.fromhex(FONT[letter])):
                for column in range(5):
                    if bits >> (4 - column) & 1:
                        for line in range(scale):
                            self.span(y + row * scale + line, x + column * scale, x + (column + 1) * scale, colour)
            x += 6 * scale

    def png(self):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\0" + row for row in self.rows), 6)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def places(random, count, side, sizes):
    """Corners and sizes of squares in a picture that do not touch."""
    while True:
        found = []
        for _ in range(100):
            size = random.choice(sizes)
            x, y = random.randrange(side - size + 1), random.randrange(side - size + 1)
            if all(x + size < a or a + s < x or y + size < b or b + s < y for a, b, s in found):
                found.append((x, y, size))
            if len(found) == count:
                return found


def one_shape(random, picture, colours):
    shape, colour = random.choice(SHAPES), random.choice(colours)
    size = random.randrange(14, 33)
    third = [(picture.width - size) // 2 * i for i in range(3)]
    column, row = random.randrange(3), random.randrange(3)
    jitter = [random.randint(-2, 2) if i == 1 else 0 for i in (column, row)]
    picture.shape(shape, third[column] + jitter[0], third[row] + jitter[1], size, COLOURS[colour])
    place = {(1, 1): "in the middle"}.get((column, row)) or "at the " + " ".join(
        word for word in (("top", "", "bottom")[row], ("left", "", "right")[column]) if word)
    return [("what", "What is in the picture?", f"{article(colour)} {shape}.".capitalize()),
            ("colour", f"Which colour is the {shape}?", f"It is {colour}."),
            ("shape", "Which shape is it?", f"It is {article(shape)}."),
            ("count", "How many shapes are there?", "There is one."),
            ("position", f"Where is the {shape}?", f"It is {place}.")]


def many_shapes(random, picture, colours):
    shape, colour, count = random.choice(SHAPES), random.choice(colours), random.randint(2, 5)
    for x, y, size in places(random, count, picture.width, range(12, 18)):
        picture.shape(shape, x, y, size, COLOURS[colour])
    return [("what", "What is in the picture?", f"{NUMBERS[count].capitalize()} {colour} {PLURALS[shape]}."),
            ("colour", f"Which colour are the {PLURALS[shape]}?", f"They are {colour}."),
            ("shape", "Which shapes are they?", f"They are {PLURALS[shape]}."),
            ("count", f"How many {PLURALS[shape]} are there?", f"There are {NUMBERS[count]}.")]


def two_shapes(random, picture, colours):
    shapes, two = random.sample(SHAPES, 2), random.sample(colours, 2)
    beside = random.random() < 0.5
    for i in range(2):
        size = random.randrange(16, 25)
        along = i * 28 + random.randrange(28 - size)
        across = random.randrange(picture.width - size)
        picture.shape(shapes[i], *((along, across) if beside else (across, along)), size, COLOURS[two[i]])
    ends = ("left", "right") if beside else ("top", "bottom")
    which = random.randrange(2)
    return [("what", "What is in the picture?", f"{article(two[0])} {shapes[0]} and {article(two[1])} {shapes[1]}.".capitalize()),
            ("colour", f"Which colour is the {shapes[which]}?", f"It is {two[which]}."),
            ("shape", f"Which shape is {two[which]}?", f"It is {article(shapes[which])}."),
            ("count", "How many shapes are there?", "There are two."),
            ("position", f"Is the {shapes[which]} at the {ends[0]} or at the {ends[1]}?", f"It is at the {ends[which]}.")]


def digit(random, picture, colours):
    colour, number = random.choice(colours), random.choice("0123456789")
    scale = random.randint(3, 6)
    picture.text(number, random.randrange(picture.width - 5 * scale + 1), random.randrange(picture.height - 7 * scale + 1), scale,
                 COLOURS[colour])
    return [("what", "What is in the picture?", f"The {colour} number {number}."),
            ("colour", "Which colour is the number?", f"It is {colour}."),
            ("digit", "Which number is it?", f"It is {number}.")]


def word(random, picture, colours):
    colour, text = random.choice(colours), random.choice(WORDS)
    width = 6 * len(text) * 2 - 2
    picture.text(text, random.randrange(picture.width - width + 1), random.randrange(picture.height - 13), 2, COLOURS[colour])
    return [("what", "What is in the picture?", f"The {colour} word {text}."),
            ("colour", "Which colour is the word?", f"It is {colour}."),
            ("word", "Which word is it?", f"It is {text}.")]


KINDS = {"one shape": one_shape, "many shapes": many_shapes, "two shapes": two_shapes, "digit": digit, "word": word}
SHARES = {"one shape": 3, "many shapes": 4, "two shapes": 3, "digit": 1, "word": 1}


def make(random, turns, kinds):
    """A picture of one of these kinds, and the chat about it."""
    ground = random.choice(GROUNDS)
    picture = Picture(56, 56, ground)
    # Of what can be told from the ground.
    colours = [name for name, colour in COLOURS.items() if max(abs(a - b) for a, b in zip(colour, ground)) > 60]
    kind = random.choices(kinds, [SHARES[kind] for kind in kinds])[0]
    asked = KINDS[kind](random, picture, colours)
    random.shuffle(asked)
    return picture, kind, asked[:turns]


def write(folder, seed, count, turns=4, kinds=None):
    random = Random(seed)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "chats.jsonl"), "w", encoding="utf-8") as chats:
        for number in range(count):
            picture, kind, asked = make(random, turns, kinds or list(KINDS))
            name = f"{number // 1000:03d}/{number % 1000:03d}.png"
            if number % 1000 == 0:
                os.makedirs(os.path.join(folder, name[:3]), exist_ok=True)
            with open(os.path.join(folder, name), "wb") as file:
                file.write(picture.png())
            messages = []
            for _, question, answer in asked:
                messages += [{"role": "user", "content": [{"type": "text", "text": question}]}, {"role": "assistant", "content": answer}]
            messages[0]["content"].insert(0, {"type": "image", "path": name})
            chats.write(json.dumps({"kind": kind, "asked": [about for about, _, _ in asked], "messages": messages}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=20000, help="pictures (default 20000)")
    parser.add_argument("--turns", type=int, default=4, help="most questions about a picture (default 4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="of pictures (default all)")
    arguments = parser.parse_args()
    write(arguments.out, arguments.seed, arguments.count, arguments.turns, arguments.kinds)


if __name__ == "__main__":
    main()
