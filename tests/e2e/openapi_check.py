#!/usr/bin/env python3
"""Holds a server's answers against its /openapi.json, with python3-jsonschema.

Standard input: {"document", "answers": [{"method", "path", "status", "type", "body"}]}, where the body of
a stream is the list of its events. Prints what is wrong, a line each; exits with 77 without jsonschema.
"""
import json
import re
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed: skipped")
    sys.exit(77)


def references(value):
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member
            else:
                yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def operation_of(document, answer):
    """The operation that gave it, with its path: one without {names} where there is one."""
    path = answer["path"].split("?")[0]
    for template in sorted(document["paths"], key=lambda template: template.count("{")):
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and answer["method"] in document["paths"][template]:
            return template, document["paths"][template][answer["method"]]
    return None, None


def wrong_with(document, answer):
    template, operation = operation_of(document, answer)
    if operation is None:
        yield "is not described"
        return
    responses = operation["responses"]
    response = responses.get(str(answer["status"]))
    if response is None:
        if answer["status"] < 400:
            yield f"status {answer['status']} is not described"
            return
        response = responses["default"]
    content = response["content"].get(answer["type"])
    if content is None:
        yield f"type {answer['type']} is not described"
        return
    # What it refers to is then found beside it.
    schema = {**content["schema"], "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    for body in answer["body"] if answer["type"] == "text/event-stream" else [answer["body"]]:
        for error in validator.iter_errors(body):
            deepest = jsonschema.exceptions.best_match([error])
            yield f"{'/'.join(map(str, deepest.absolute_path))}: {deepest.message}"


def main():
    given = json.load(sys.stdin)
    document = given["document"]
    wrong = []
    for name, schema in document["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            wrong.append(f"schema {name}: {error.message}")
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    wrong += [f"nothing is at {each}" for each in sorted(set(references(document)) - known)]
    asked = set()
    for answer in given["answers"]:
        where = f"{answer['method']} {answer['path']}"
        wrong += [f"{where}: {what}" for what in wrong_with(document, answer)]
        if answer["status"] < 400:
            asked.add((operation_of(document, answer)[0], answer["method"]))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = [response for status, response in operation["responses"].items() if status != "default"]
            if (path, method) not in asked and any(references(responses)):
                wrong.append(f"{method} {path} is described and was not asked")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
