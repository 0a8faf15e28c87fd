#!/usr/bin/python3
"""Random schemas and instances: the grammar must agree with python3-jsonschema on each schema that it
compiles, and whatever it writes at random must parse and be valid.

    schema_oracle.py DRIVER TOKENIZER [--schemas N] [--seed S] [--verbose]
"""
import argparse
import decimal
import json
import random
import re
import subprocess
import sys
import threading

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed: skipped")
    sys.exit(77)

NAMES = ["a", "b", "c", "ab", "x-1", "é", ""]
STRINGS = ["", "a", "b", "ab", "abc", "a\"b", "x\ny", "é", "🙂🙂", "12", "2024-02-29", "A1-b2", "aaaa", "\\"]
NUMBERS = [0, 1, -1, 2, 3, 7, 10, 0.5, -0.5, 1.25, 100, 1e-7, 1e20, -3, 2.0, 12345678901234567890]
PATTERNS = ["^a", "b$", "^[a-c]+$", "a|b", "^(ab)*$", "^.{2,3}$", "[0-9]{2}", "^[^b]*$", "^$", "é", "^(?!ab)", "^x-"]
EXPONENT = re.compile(r"[0-9]e[+-]")
# Not "time": here the validator knows only that of draft 3, without a zone.
FORMATS = ["date", "ipv4", "uuid", "date-time", "email", "ipv6", "hostname", "uri", "json-pointer"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, items):
        return self.random.choice(items)

    def some(self, items, least=0, most=3):
        return self.random.sample(items, self.random.randint(least, min(most, len(items))))

    def value(self, depth=2):
        kinds = ["null", "bool", "number", "string"] + (["array", "object"] * 2 if depth else [])
        kind = self.pick(kinds)
        if kind == "null":
            return None
        if kind == "bool":
            return self.chance(0.5)
        if kind == "number":
            return self.pick(NUMBERS)
        if kind == "string":
            return self.pick(STRINGS)
        if kind == "array":
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 4))]
        return {name: self.value(depth - 1) for name in self.some(NAMES, 0, 4)}

    def schema(self, depth=2):
        if self.chance(0.06):
            return self.chance(0.7)
        schema = {}
        kind = self.pick(["null", "boolean", "integer", "number", "string", "array", "object", None, "several"])
        if kind == "several":
            schema["type"] = self.some(["null", "boolean", "integer", "string", "array", "object"], 2, 3)
            kind = self.pick(schema["type"])
        elif kind is not None and self.chance(0.85):
            schema["type"] = kind
        if self.chance(0.1):
            schema["enum"] = [self.value(1) for _ in range(self.random.randint(1, 4))]
        if self.chance(0.04):
            schema["const"] = self.value(1)
        if kind in ("integer", "number") or (kind is None and self.chance(0.2)):
            self.number(schema)
        if kind == "string" or (kind is None and self.chance(0.2)):
            self.string(schema)
        if depth and (kind == "array" or (kind is None and self.chance(0.3))):
            self.array(schema, depth - 1)
        if depth and (kind == "object" or (kind is None and self.chance(0.3))):
            self.object(schema, depth - 1)
        if depth and self.chance(0.25):
            self.combine(schema, depth - 1)
        return schema

    def number(self, schema):
        for keyword in self.some(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], 0, 2):
            schema[keyword] = self.pick([0, 1, -1, 5, 0.5, -2.25, 10, 99, 1000, 1e-6, 9007199254740991])
        if self.chance(0.2):
            schema["multipleOf"] = self.pick([1, 2, 3, 7, 10, 0.5, 0.25, 0.01, 2.5, 100])

    def string(self, schema):
        if self.chance(0.3):
            schema["minLength"] = self.random.randint(0, 4)
        if self.chance(0.3):
            schema["maxLength"] = self.random.randint(0, 6)
        if self.chance(0.3):
            schema["pattern"] = self.pick(PATTERNS)
        elif self.chance(0.1):
            schema["format"] = self.pick(FORMATS)

    def array(self, schema, depth):
        if self.chance(0.6):
            schema["items"] = self.schema(depth)
        if self.chance(0.25):
            schema["prefixItems"] = [self.schema(depth) for _ in range(self.random.randint(1, 2))]
        if self.chance(0.3):
            schema["minItems"] = self.random.randint(0, 3)
        if self.chance(0.3):
            schema["maxItems"] = self.random.randint(0, 4)
        if self.chance(0.15):
            schema["contains"] = self.schema(depth)
            if self.chance(0.4):
                schema["minContains"] = self.random.randint(0, 2)
            if self.chance(0.4):
                schema["maxContains"] = self.random.randint(0, 3)
        if self.chance(0.1):
            schema["uniqueItems"] = True
            schema["items"] = {"enum": self.some(["a", "b", 1, 2, None, True], 1, 4)}

    def object(self, schema, depth):
        if self.chance(0.85):
            schema["properties"] = {name: self.schema(depth) for name in self.some(NAMES, 0, 4)}
        if self.chance(0.5):
            schema["required"] = self.some(NAMES, 0, 2)
        if self.chance(0.5):
            schema["additionalProperties"] = self.schema(depth) if self.chance(0.5) else False
        if self.chance(0.2):
            schema["patternProperties"] = {self.pick(PATTERNS): self.schema(depth) for _ in range(self.random.randint(1, 2))}
        if self.chance(0.1):
            schema["propertyNames"] = self.pick([{"pattern": "^[a-c]"}, {"maxLength": 2}, {"enum": ["a", "b"]}])
        if self.chance(0.15):
            schema["minProperties"] = self.random.randint(0, 2)
        if self.chance(0.15):
            schema["maxProperties"] = self.random.randint(0, 3)
        if self.chance(0.1):
            schema["dependentRequired"] = {self.pick(NAMES): self.some(NAMES, 1, 2)}
        if self.chance(0.06):
            schema["dependentSchemas"] = {self.pick(NAMES): self.schema(depth)}

    def combine(self, schema, depth):
        keyword = self.pick(["allOf", "anyOf", "oneOf", "not", "if", "$ref"])
        if keyword == "not":
            schema["not"] = self.schema(depth)
        elif keyword == "if":
            schema["if"] = self.schema(depth)
            for branch in self.some(["then", "else"], 1, 2):
                schema[branch] = self.schema(depth)
        elif keyword == "$ref":
            schema["$ref"] = self.pick(["#/$defs/one", "#/$defs/two"])
        else:
            schema[keyword] = [self.schema(depth) for _ in range(self.random.randint(1, 3))]

    def document(self):
        schema = self.schema(3)
        if isinstance(schema, dict):
            schema["$defs"] = {
                "one": self.schema(1),
                # A tree, whose references are met again below it.
                "two": {"type": "object", "properties": {"a": {"$ref": "#/$defs/two"}, "b": self.schema(0)},
                        "additionalProperties": False} if self.chance(0.7) else self.schema(1)}
        return schema

    def instance(self, schema, depth=4):
        """Something that has a chance to be valid."""
        if not isinstance(schema, dict) or depth == 0 or self.chance(0.08):
            return self.value(2)
        for keyword in ("enum",):
            if keyword in schema and self.chance(0.9):
                return self.pick(schema[keyword])
        if "const" in schema:
            return schema["const"]
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema and "type" not in schema:
                return self.instance(self.pick(schema[keyword]), depth - 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.pick(kind)
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else None
        if kind == "object":
            names = set(schema.get("required", [])) if self.chance(0.9) else set()
            names |= set(self.some(list(schema.get("properties", {})), 0, 4))
            if self.chance(0.3):
                names |= set(self.some(NAMES, 0, 2))
            order = sorted(names)  # a set's own order differs from run to run
            self.random.shuffle(order)
            rest = schema.get("additionalProperties", True)
            for pattern in schema.get("patternProperties", {}).values():
                rest = pattern
            return {name: self.instance(schema.get("properties", {}).get(name, rest), depth - 1) for name in order}
        if kind == "array":
            count = self.random.randint(schema.get("minItems", 0), max(schema.get("minItems", 0), min(schema.get("maxItems", 4), 4)))
            prefix = schema.get("prefixItems", [])
            return [self.instance(prefix[at] if at < len(prefix) else schema.get("items", True), depth - 1) for at in range(count)]
        if kind == "string":
            return self.pick(STRINGS + ["10.0.0.1", "2023-02-29", "12:00:00Z", "2020-01-31T23:59:59Z", "a@b.cd", "::1",
                                        "https://x.yz/a?b#c", "/a/b", "123e4567-e89b-12d3-a456-426614174000"])
        if kind in ("number", "integer"):
            return self.pick(NUMBERS + [5, 6, 99, 1000, 0.01, 9007199254740991, 2.5, -2.25])
        if kind == "boolean":
            return self.chance(0.5)
        return None if kind == "null" else self.value(2)


def exact(value):
    """Numbers as they are spelled: whole ones are int, others Decimal."""
    try:
        number = decimal.Decimal(value)
    except decimal.InvalidOperation:  # an exponent of twenty digits
        return float(value)
    if number == number.to_integral_value() and abs(number.adjusted()) < 5000:
        return int(number)
    return number


def in_python(schema):
    """The schema with its patterns as Python spells them: there "." takes a carriage return and "$" stands before a last newline."""
    text = json.dumps(schema)
    for pattern in PATTERNS:
        spelled = pattern.replace(".", r"[^\n\r\u2028\u2029]").replace("$", r"\Z")
        text = text.replace(json.dumps(pattern), json.dumps(spelled))
    return text


def loads(text):
    return json.loads(text, parse_int=exact, parse_float=exact)


def check(arguments):
    decimal.getcontext().prec = 10_000
    driver = subprocess.Popen([arguments.driver, arguments.tokenizer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    compiled = disagreements = accepted = refused = walks = 0
    reasons = {}
    for number in range(arguments.schemas):
        maker = Maker(f"{arguments.seed}/{number}")
        schema = maker.document()
        instances = [maker.instance(schema) for _ in range(12)] + [maker.value(3) for _ in range(6)]
        question = json.dumps({"schema": schema, "instances": instances, "walks": arguments.walks, "seed": number})
        driver.stdin.write(question + "\n")
        driver.stdin.flush()
        answer = json.loads(driver.stdout.readline())
        told = []
        if "error" in answer:
            if "WALK" in answer["error"] or "cannot be enforced" not in answer["error"] and "ombinations" not in answer["error"] \
                    and "too large" not in answer["error"] and "patternProperties" not in answer["error"]:
                told.append(answer["error"])
            reason = answer["error"].split(":")[0].split("/")[-1]
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            compiled += 1
            # The schema with exact numbers, too: 0.01 is no binary fraction.
            validator = jsonschema.Draft202012Validator(loads(in_python(schema)), format_checker=jsonschema.FormatChecker())
            for instance, accepts in zip(instances, answer["accepted"]):
                value = loads(json.dumps(instance))
                try:
                    valid = validator.is_valid(value)
                except RecursionError:  # a reference that leads to itself
                    break
                accepted += accepts and valid
                refused += not accepts and not valid
                # A format may be held to more than the validator asks, and multiples have no spelling
                # with an exponent; never is more allowed than is valid.
                narrower = '"format"' in question or ('"multipleOf"' in question and "e+" in json.dumps(instance))
                if accepts != valid and not (valid and narrower):
                    told.append(f"{'accepts' if accepts else 'refuses'} {json.dumps(instance, ensure_ascii=False)}")
            for text in answer["walks"]:
                walks += 1
                try:
                    if not validator.is_valid(loads(text)):
                        told.append(f"writes {text[:300]}")
                except RecursionError:
                    break
                except ValueError as error:
                    told.append(f"writes what does not parse ({error}): {text[:300]}")
        for line in told:
            disagreements += 1
            print(f"seed {arguments.seed}/{number}: {json.dumps(schema, ensure_ascii=False)}\n    {line}")
    driver.stdin.close()
    print(f"{compiled} of {arguments.schemas} schemas compiled; {accepted} instances accepted and {refused} refused by both, "
          f"{walks} walks, {disagreements} disagreements; not compiled: {reasons}")
    few = compiled < arguments.schemas * 0.5 or accepted < compiled or refused < compiled
    return 1 if disagreements or few else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver")
    parser.add_argument("tokenizer")
    parser.add_argument("--schemas", type=int, default=1500)
    parser.add_argument("--walks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    result = []
    # Values nest as deep as a walk went.
    sys.setrecursionlimit(20_000)
    threading.stack_size(512 << 20)
    worker = threading.Thread(target=lambda: result.append(check(arguments)))
    worker.start()
    worker.join()
    sys.exit(result[0] if result else 1)


if __name__ == "__main__":
    main()
