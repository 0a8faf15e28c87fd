"""The words of fulmen-nano's simple English, and the sentences made of them."""

import re

NAMES = """Anna Ben Clara David Emma Frank Grace Henry Ivy Jack Kate Leo Mary Nina Oscar Paul Rosa Sam Tina Victor
Wendy Adam Bella Carl Dora Eric Fiona George Helen Ian Julia Kevin Laura Mark Nora Peter Ruth Simon Tom Vera Will
Alice Bob Cora Dan Ella Fred Gina Hugo Iris James Karl Lily Max Nick Olga Pia Ralph Sara Theo Una Walter Zoe Amir
Lena Omar Priya Kenji Mei Carlos Sofia Ivan Fatima Ravi Yuki""".split()

TOWNS = """Ashford Millbrook Oakton Riverton Stonebridge Westfield Northport Greenhill Lakeside Fairview Redcliff Maple
Brookside Eastham Highgate Kingsley London Paris Rome Berlin Madrid Oslo Cairo Tokyo""".split()

COLOURS = """red blue green yellow black white brown grey orange purple pink silver golden""".split()

OBJECTS = """door box safe gate chest cabinet locker drawer case room garage shed tower boat car bike phone tablet
computer printer bag suitcase clock lamp desk piano cupboard trunk van truck ship cellar vault office""".split()

THINGS = """book cup key hat coat ball map letter umbrella shoe ring basket bottle pen spoon plate candle rope
guitar bell flag mirror pillow blanket knife ladder bucket""".split()

PLACES = """school library market park garden kitchen station harbour museum church bakery farm forest beach castle
hospital theatre hotel bridge river mill square village hall""".split()

ROOMS = """kitchen garden cellar attic bedroom hall garage library office bathroom barn shed""".split()

ANIMALS = """dog cat horse bird cow sheep fox rabbit duck goat mouse bear frog owl pony goose hen wolf""".split()

FOODS = """bread soup cheese apples rice cake fish honey pears eggs salad pasta beans plums carrots cherries
chocolate tea milk""".split()

JOBS = """baker teacher doctor farmer captain painter singer driver gardener cook judge nurse pilot tailor mayor
writer dancer carpenter fisherman guard""".split()

PLURALS = """apples books coins cups hats stones shells stamps pencils keys chairs cards flowers boxes eggs pears
candles buttons marbles letters tickets bottles""".split()

ADJECTIVES = """old new small big quiet happy tired strange bright dark warm cold long short clean heavy light
gentle brave clever busy soft kind young tall lazy""".split()

WEATHER = """sunny windy rainy cloudy cold warm stormy snowy foggy mild""".split()

TIMES = """in the morning|in the evening|at night|at noon|on Monday|on Tuesday|on Friday|on Sunday|last week|last year
every day|after lunch|before dinner|in spring|in summer|in autumn|in winter|yesterday|long ago|one day
at sunrise|after the rain|during the storm|in the afternoon""".replace("\n", "|").split("|")

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday today yesterday".split()

NUMBERS = "one two three four five six seven eight nine ten eleven twelve twenty thirty hundred".split()

WORDS = {
    "name": NAMES, "other": NAMES, "town": TOWNS, "colour": COLOURS, "object": OBJECTS, "thing": THINGS,
    "place": PLACES, "room": ROOMS, "animal": ANIMALS, "animal2": ANIMALS, "food": FOODS, "job": JOBS,
    "plural": PLURALS, "adj": ADJECTIVES, "adj2": ADJECTIVES, "weather": WEATHER, "time": TIMES,
}

# Sentences that tell no fact anyone asks for. A scene keeps its words, so that sentences of one text belong together.
SENTENCES = """{name} walked to the {place} {time}.
{name} and {other} talked about the {adj} {animal}.
The {animal} slept under the {adj} tree.
It was a {weather} day in {town}.
The road to {town} was {adj} and {adj2}.
{name} bought some {food} at the market.
{other} wanted to see the {place}, but it was closed.
The {adj} {animal} ran across the road.
Nobody knew why the {animal} was so {adj}.
{name} looked out of the window and saw a {adj} {animal}.
There was a {adj} smell of {food} in the air.
The {job} worked from morning until night.
A {adj} wind came from the sea.
{name} put the {thing} on the table and sat down.
{other} laughed, because the {animal} was very {adj}.
The people of {town} like to sing {time}.
{name} wrote a {adj} letter to a friend.
The {place} was full of people {time}.
The sky was {colour}, and the air was {adj}.
We ate {food} and talked about the weather.
{time2}, {name} found a {thing} near the {place}.
{time2}, the {animal} came back to the {place}.
The {job} told a {adj} story about a {animal}.
{name} has never been to {town}.
The train to {town} was late again.
She closed the book and thought about the {place}.
He took his {thing} and went home.
They waited for {other} in front of the {place}.
The children played with a {colour} ball.
A {animal} and a {animal2} lived near the {place}.
"Good morning," said {name}. "It is a {weather} day."
"Where is my {thing}?" asked {other}.
"I am {adj} today," said the {job}.
"Come with me to the {place}," said {name}.
The {thing} was {adj}, but nobody wanted it.
{other} cleaned the {place} {time}.
The {adj} {job} opened a shop in {town}.
The river was {adj}, so {name} took the boat.
{name} learned to cook {food} {time}.
The {animal} did not like the {animal2}.
Some birds sat on the roof of the {place}.
The {place} in {town} is {adj} and {adj2}.
{other} gave {name} a {adj} {thing}.
It rained, and the {animal} hid in the {place}.
{name} read a book about a {adj} {job}.
The lamp was {adj}, and the room was {adj2}.
Everyone in {town} knows the {job}.
They sang a song and went to bed.
The market opens early and closes late.
{name} forgot the {thing} at the {place}.
The {adj} {animal} drank some water.
In the end, {name} was {adj}.
The {job} painted the wall {colour}.
{other} heard a {adj} sound and stood still.
A letter from {town} came {time}.
The soup was too hot, so {name} waited.
The stars were bright over {town}.
The {job} and the {job2} went to the {place} together.
{name} likes to walk when it is {weather}.
All the doors of the {place} were open.""".split("\n")

SLOT = re.compile(r"{(\w+)}")


def scene(random):
    """Words that the sentences of one text share."""
    words = {slot: random.choice(choices) for slot, choices in WORDS.items()}
    while words["other"] == words["name"]:
        words["other"] = random.choice(NAMES)
    return words


def sentence(random, words):
    def fill(match):
        slot = match.group(1)
        if slot == "time2":
            time = random.choice(TIMES)
            return time[0].upper() + time[1:]
        if slot == "job2":
            return random.choice(JOBS)
        if slot in ("name", "other", "town", "animal", "place", "job") and random.random() < 0.7:
            return words[slot]
        return random.choice(WORDS[slot])

    return with_articles(SLOT.sub(fill, random.choice(SENTENCES)))


def with_articles(text):
    """"a old owl" becomes "an old owl"."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def token_estimate(text):
    """About how many tokens the text takes: words and signs, and codes by their characters."""
    count = 0
    for word in re.findall(r"[A-Za-z]+|\d|[^\w\s]|\n", text):
        count += len(word) if word.isupper() else 1 + (len(word) > 9)
    return count
