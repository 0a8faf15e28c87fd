"""Asks a model through the program: many chats at once, greedily."""

import json
import os
import subprocess
import sys
import tempfile


class Model:
    def __init__(self, fulmen, folder):
        """`folder` None: the model that comes with the program."""
        self.fulmen = fulmen
        self.options = ["-m", folder] if folder else []

    def _run(self, *command, text=None):
        result = subprocess.run([self.fulmen, *command, *self.options], input=text, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(result.stderr)
        return result.stdout

    def token_counts(self, texts):
        lines = self._run("tokenize", "--jsonl", text="".join(json.dumps(text) + "\n" for text in texts))
        return [len(json.loads(line)) for line in lines.splitlines()]

    def answers(self, chats, most=48):
        """([the next turn of every chat], [tokens of every chat])."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.json")
            ids = {}
            for number, messages in enumerate(chats):
                with open(path, "w", encoding="utf-8") as file:
                    json.dump({"messages": messages}, file)
                ids[str(number)] = json.loads(self._run("tokenize", "--chat", path, "--json"))
            with open(path, "w", encoding="utf-8") as file:
                json.dump(ids, file)
            made = json.loads(self._run("eval", "generate", "--tokens", path, "-n", str(most), "--stop-at-eos", "--json"))
        lines = self._run("detokenize", "--jsonl", text="".join(json.dumps(made[name]) + "\n" for name in ids))
        return [json.loads(line) for line in lines.splitlines()], [len(chat) for chat in ids.values()]
