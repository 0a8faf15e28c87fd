"""Facts and the questions about them: what fulmen-nano learns to find in a long text."""

import zlib
from dataclasses import dataclass

import words

CODE_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LABELS = ["code"] * 5 + ["password", "secret code", "access code", "key", "pass code", "secret key"]

# {k} is what the code belongs to, {l} what it is called, {c} the code. The code never stands first: a model that reads
# from left to right cannot yet know whose it will be.
CODE_STATEMENTS = """The {l} of {k} is {c}.
The {l} for {k} is {c}.
The {l} of {k} is {c}.
The {l} for {k} is {c}.
Remember: the {l} of {k} is {c}.
Remember that the {l} for {k} is {c}.
Note that the {l} of {k} is {c}.
The {l} of {k} was changed to {c}.
The new {l} of {k} is {c}.
For {k}, the {l} is {c}.
For {k}, use the {l} {c}.
To open {k}, use the {l} {c}.
To open {k} you need the {l} {c}.
If you need {k}, the {l} is {c}.
Important: the {l} for {k} is {c}.
They set the {l} of {k} to {c}.
Someone wrote down the {l} of {k}: {c}.
By the way, the {l} of {k} is {c}.
Do not forget that the {l} of {k} is {c}.
I was told that the {l} for {k} is {c}.
{k} has the {l} {c}.
{k} opens with the {l} {c}.
{k} uses {c} as its {l}.
On a note it says: {l} of {k}: {c}.
Please keep this in mind: {k} has the {l} {c}.
Here is the {l} for {k}: {c}.
One more thing: the {l} of {k} is {c}.""".split("\n")

OWNED_STATEMENTS = """{k} is {c}.
{k} is {c}.
{k} is {c}.
Remember: {k} is {c}.
{k} was changed to {c}.
They say that {k} is {c}.
By the way, {k} is {c}.
Note that {k} is {c}.
Here is {k}: {c}.
Please write down that {k} is {c}.""".split("\n")

# Around one statement in three, so that a model learns that what comes before and after it does not matter.
LEADS = ["{name} says that", "{name} told me that", "Listen:", "I heard that", "It is known that", "Since {time},", "The {job} said that",
         "Now", "As always,", "We all know that", "Look:", "This is true:"]
TAILS = [", as {name} said.", ", and nothing else.", ", so keep it safe.", "; it will not change.", "!", ", but tell nobody.",
         " from now on.", " (keep it).", ", I think.", " - I am sure.", "; {name} knows it, too.", " and {name} has it, too."]
QUESTION_LEADS = ["Well,", "Please,", "Excuse me,", "Now,", "Quick:", "I ask you:", "One question:", "Okay,", "Good."]

CODE_QUESTIONS = """What is the {l} of {k}?
What is the {l} for {k}?
What is the {l} of {k}?
What is the {l} for {k}?
Tell me the {l} of {k}.
Please tell me the {l} for {k}.
Can you tell me the {l} of {k}?
Which {l} does {k} have?
I need the {l} of {k}.
I forgot the {l} for {k}. What is it?
Do you know the {l} of {k}?
Do you remember the {l} of {k}?
How do I open {k}? What is the {l}?
Give me the {l} for {k}, please.
And the {l} of {k}?
What was the {l} of {k}?
Find the {l} of {k}.
What does the text say about the {l} of {k}?
Which {l} belongs to {k}?
Write the {l} of {k}.
The {l} of {k}, please.
What code did they give {k}?
{k}: what is the {l}?
Is there a {l} for {k}?
I want to open {k}. Help me with the {l}.""".split("\n")

OWNED_QUESTIONS = """What is {k}?
What is {k}?
What is {k}?
Tell me {k}.
Please tell me {k}.
Can you tell me {k}?
Do you know {k}?
Do you remember {k}?
What was {k}?
And {k}?
Find {k}.
Write {k}.
Give me {k}, please.""".split("\n")

# Facts of other kinds: (statements, questions, answer) and, for words, their values. {v} is the value.
NUMBER_FACTS = [
    (["{name} has {v} {plural}.", "{name} owns {v} {plural}.", "{name} counted {v} {plural}."],
     ["How many {plural} does {name} have?", "Tell me how many {plural} {name} has."], "{name} has {v} {plural}."),
    (["There are {v} {plural} in the {place}.", "In the {place} there are {v} {plural}."],
     ["How many {plural} are in the {place}?", "How many {plural} are there in the {place}?"],
     "There are {v} {plural} in the {place}."),
    (["The room number of {name} is {v}.", "{name} stays in room number {v}."],
     ["What is the room number of {name}?", "Which room number does {name} have?"], "The room number of {name} is {v}."),
    (["The bus to {town} has the number {v}.", "To go to {town}, take bus number {v}."],
     ["Which bus goes to {town}?", "What is the number of the bus to {town}?"], "The bus to {town} has the number {v}."),
    (["{name} is {v} years old.", "Last week {name} turned {v} years old."],
     ["How old is {name}?", "What is the age of {name}?"], "{name} is {v} years old."),
]
NAME_FACTS = [
    (["The {job} of {town} is called {v}.", "The {job} of {town} is {v}.", "{town} has a {job} called {v}."],
     ["Who is the {job} of {town}?", "What is the name of the {job} of {town}?"], "The {job} of {town} is {v}."),
    (["The {colour} {animal} is called {v}.", "The name of the {colour} {animal} is {v}."],
     ["What is the name of the {colour} {animal}?", "What is the {colour} {animal} called?"],
     "The {colour} {animal} is called {v}."),
    (["The best friend of {name} is {v}.", "{name} has a best friend called {v}."],
     ["Who is the best friend of {name}?"], "The best friend of {name} is {v}."),
    (["The {colour} {thing} belongs to {v}.", "The owner of the {colour} {thing} is {v}."],
     ["Who owns the {colour} {thing}?", "Whose is the {colour} {thing}?"], "The {colour} {thing} belongs to {v}."),
]
WORD_FACTS = [
    (["{name} lives in {v}.", "The home of {name} is in {v}."],
     ["Where does {name} live?", "In which town does {name} live?"], "{name} lives in {v}.", words.TOWNS),
    (["The favourite colour of {name} is {v}.", "{name} likes the colour {v} best."],
     ["What is the favourite colour of {name}?", "Which colour does {name} like best?"],
     "The favourite colour of {name} is {v}.", words.COLOURS),
    (["The favourite food of {name} is {v}.", "{name} likes {v} more than any other food."],
     ["What is the favourite food of {name}?", "What does {name} like to eat?"],
     "The favourite food of {name} is {v}.", words.FOODS),
    (["The {colour} {thing} is in the {v}.", "You can find the {colour} {thing} in the {v}."],
     ["Where is the {colour} {thing}?", "Where can I find the {colour} {thing}?"],
     "The {colour} {thing} is in the {v}.", words.ROOMS),
    (["{name} works as a {v}.", "The work of {name} is that of a {v}."],
     ["What is the job of {name}?", "What does {name} work as?"], "{name} works as a {v}.", words.JOBS),
]


@dataclass
class Fact:
    key: str  # distinct within a text
    value: str
    statement: str
    questions: list
    # An answer in the words of the question: a model learns from it which fact to look for.
    answer: str

    @property
    def short_answer(self):
        """The same few words whatever was asked: in long texts others would have to be found, too, and be wrong more often."""
        return f"The answer is {self.value}."


def is_reserved(code):
    """Codes that only tests use: training text never holds them."""
    return zlib.crc32(code.encode()) % 16 == 0


def make_code(random, reserved=False, length=None):
    if length is None:
        length = random.choice((6, 6, 6, 6, 6, 6, 4, 5, 7, 8))
    while True:
        code = "".join(random.choice(CODE_CHARACTERS) for _ in range(length))
        # A code of digits alone would read as a number.
        if is_reserved(code) == reserved and not code.isdigit():
            return code


def capital(text):
    return text[0].upper() + text[1:]


def uncapital(text):
    """As it follows other words; "I" stays. Of other statements none begins with a name."""
    return text if text.startswith("I ") else text[0].lower() + text[1:]


def vary(random, text, leads, tails):
    """Sometimes with other words before it or after it. Statements that have a colon stay as they are."""
    fill = {"name": random.choice(words.NAMES), "time": random.choice(words.DAYS), "job": random.choice(words.JOBS)}
    if leads and ":" not in text and random.random() < 0.2:
        text = f"{random.choice(leads)} {text}".format(**fill)
    if tails and random.random() < 0.2:
        text = text.rstrip(".") + random.choice(tails).format(**fill)
    return capital(text)


def make_place_of_code(random):
    """Something that has a code, as "the red door"."""
    kind = random.random()
    thing = random.choice(words.OBJECTS)
    if kind < 0.55:
        return f"the {random.choice(words.COLOURS)} {thing}"
    if kind < 0.65:
        return f"the {random.choice(words.ADJECTIVES)} {thing}"
    if kind < 0.75:
        return f"the {thing} in the {random.choice(words.ROOMS)}"
    if kind < 0.85:
        return f"the {thing} of {random.choice(words.NAMES)}"
    if kind < 0.93:
        return f"the {random.choice(words.PLACES)}"
    return f"the {thing}"


def code_fact(random, alone):
    label = random.choice(LABELS)
    code = make_code(random)
    if random.random() < 0.25:
        # "The code" without an owner is clear only where it is the only one.
        key = f"the {label}" if alone else f"{random.choice(words.NAMES)}'s {label}"
        fill = {"k": key, "c": code}
        statements, questions, answer = OWNED_STATEMENTS, OWNED_QUESTIONS, "{k} is {c}."
    else:
        key = make_place_of_code(random)
        fill = {"k": key, "l": label, "c": code}
        statements, questions, answer = CODE_STATEMENTS, CODE_QUESTIONS, "The {l} of {k} is {c}."
        key = f"{label} {key}"
    statement = vary(random, uncapital(random.choice(statements)).format(**fill), LEADS, TAILS)
    asked = [vary(random, uncapital(question).format(**fill), QUESTION_LEADS, []) for question in questions]
    return Fact(key, code, statement, asked, capital(answer.format(**fill)))


def other_fact(random):
    kind = random.random()
    if kind < 0.4:
        statements, questions, answer = random.choice(NUMBER_FACTS)
        value = str(random.choice((random.randrange(2, 10), random.randrange(10, 100), random.randrange(100, 1000))))
    elif kind < 0.7:
        statements, questions, answer = random.choice(NAME_FACTS)
        value = random.choice(words.NAMES)
    else:
        statements, questions, answer, values = random.choice(WORD_FACTS)
        value = random.choice(values)
    fill = {slot: random.choice(choices) for slot, choices in words.WORDS.items()}
    fill["v"] = value

    def make(text):
        return words.with_articles(text.format(**fill))

    key = answer.format(**{**fill, "v": ""})
    return Fact(key, value, make(random.choice(statements)), [make(question) for question in questions], make(answer))


def make_facts(random, count, codes=0.65):
    """`count` facts with distinct keys, a share `codes` of them about codes."""
    facts, keys = [], set()
    while len(facts) < count:
        fact = code_fact(random, alone=count == 1) if random.random() < codes else other_fact(random)
        if fact.key not in keys:
            keys.add(fact.key)
            facts.append(fact)
    return facts
