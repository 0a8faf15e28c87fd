"""A host of Hugging Face's shape for tests: python3 model_host.py FOLDER.

FOLDER/models/OWNER/NAME/REVISION/... are the files. Those that end in .safetensors or .gguf are
large: their addresses lead to a second port, as to a store of objects. FOLDER/rules.json, read
before each request, says how the host misbehaves: a list of objects with "path" (a pattern), "times"
(how often; for ever without it) and what to do, see `answer`. FOLDER/gates/OWNER/NAME is the token
that files of that model take. FOLDER/log.jsonl gets a line for each request. Prints the first port.
"""
import fnmatch
import hashlib
import json
import os
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = sys.argv[1]
PAGE = 3
used = {}
read = {}
lock = threading.Lock()


def is_large(path):
    return path.endswith((".safetensors", ".gguf"))


class Stored:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self.blob = hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


def stored(path):
    info = os.stat(path)
    key = (path, info.st_ino, info.st_mtime_ns, info.st_size)
    if key not in read:
        read[key] = Stored(path)
    return read[key]


def files_of(folder):
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = stored(path)
    return dict(sorted(found.items()))


def commit_of(folder):
    files = [(path, file.blob) for path, file in files_of(folder).items()]
    return hashlib.sha1(repr(files).encode()).hexdigest()


def entry(path, file):
    one = {"type": "file", "oid": file.blob, "size": len(file.data), "path": path}
    if is_large(path):
        one["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": 135}
        one["oid"] = "0" * 40  # of the pointer
    return one


class Gone(Exception):
    pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def rule(self):
        try:
            name = os.path.join(ROOT, "rules.json")
            version = os.stat(name).st_mtime_ns
            with open(name) as file:
                rules = json.load(file)
        except (OSError, ValueError):
            return {}
        for rule in rules:
            key = (version, json.dumps(rule))
            if not fnmatch.fnmatch(self.path, rule["path"]):
                continue
            if "if_range_begins" in rule and not (self.headers["Range"] or "").startswith(
                    rule["if_range_begins"]):
                continue
            with lock:
                used[key] = used.get(key, 0) + 1
                if used[key] <= rule.get("times", 1 << 30):
                    return rule
        return {}

    def log(self, status):
        line = json.dumps({"large": self.server.large, "path": self.path, "status": status,
                           "range": self.headers["Range"], "if_range": self.headers["If-Range"],
                           "token": self.headers["Authorization"]})
        with lock, open(os.path.join(ROOT, "log.jsonl"), "a") as file:
            file.write(line + "\n")

    def answer(self, status, data, headers=None):
        rule = self.rule_now
        status = rule.get("status", status)
        if "body" in rule:
            data = rule["body"].encode()
        headers = {"Content-Length": len(data), **(headers or {}), **rule.get("headers", {})}
        if rule.get("endless"):
            headers.pop("Content-Length")
            headers["Transfer-Encoding"] = "chunked"
        self.log(status)
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if rule.get("endless"):
            chunk = b"x" * 65536
            while True:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if "flip" in rule and rule["flip"] < len(data):
            at = rule["flip"]
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        end = min(rule.get("cut", len(data)), len(data))
        step = rule.get("slow", 1 << 20)  # bytes each 10 ms
        for begin in range(0, end, step):
            self.wfile.write(data[begin:min(begin + step, end)])
            if "slow" in rule:
                time.sleep(0.01)
        if "cut" in rule:
            self.wfile.flush()
            time.sleep(rule.get("stall", 0))
            raise Gone

    def refuse(self, status, code):
        self.answer(status, b"{}", {"X-Error-Code": code})

    def send_file(self, data, etag):
        rule = self.rule_now
        headers = {"ETag": rule.get("etag", '"%s"' % etag), "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        tag = self.headers["If-Range"]
        matches = tag is None or tag == headers["ETag"] or rule.get("ignore_if_range")
        if asked and matches and not rule.get("ignore_range"):
            begin, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
            headers["Content-Range"] = "bytes %d-%d/%d" % (begin, end - 1, len(data))
            self.answer(206, data[begin:end], headers)
        else:
            self.answer(200, data, headers)

    def folder(self, owner, name, revision):
        model = os.path.join(ROOT, "models", owner, name)
        if not os.path.isdir(model):
            return None, "RepoNotFound"
        for each in os.listdir(model):
            folder = os.path.join(model, each)
            if revision in (each, commit_of(folder)):
                return folder, None
        return None, "RevisionNotFound"

    def do_GET(self):
        self.rule_now = self.rule()
        try:
            self.route()
        except (Gone, ConnectionError):
            self.close_connection = True

    def route(self):
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        path = urllib.parse.unquote(path)
        if found := re.fullmatch(r"/objects/(\w+)", path):
            for file in files_of(os.path.join(ROOT, "models")).values():
                if file.sha256 == found[1]:
                    return self.send_file(file.data, "object-" + file.sha256[:8])
            return self.answer(404, b"")
        if path == "/api/models":
            owner = os.path.join(ROOT, "models", query["author"])
            names = sorted(os.listdir(owner)) if os.path.isdir(owner) else []
            models = [{"id": query["author"] + "/" + name} for name in names]
            return self.answer(200, json.dumps(models).encode())
        found = re.fullmatch(r"/api/models/([^/]+)/([^/]+)/(revision|tree)/(.+)", path)
        if found:
            folder, error = self.folder(found[1], found[2], found[4])
            if error:
                anonymous = self.headers["Authorization"] is None and error == "RepoNotFound"
                return self.refuse(401 if anonymous else 404, error)
            if found[3] == "revision":
                return self.answer(200, json.dumps({"sha": commit_of(folder)}).encode())
            entries = [entry(*each) for each in files_of(folder).items()]
            begin = int(query.get("cursor", 0))
            headers = {}
            if begin + PAGE < len(entries):
                headers["Link"] = '<https://elsewhere.test%s?recursive=true&cursor=%d>; rel="next"' % (
                    path, begin + PAGE)
            page = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"}]
            return self.answer(200, json.dumps(page + entries[begin:begin + PAGE]).encode(), headers)
        found = re.fullmatch(r"/([^/]+)/([^/]+)/resolve/([^/]+)/(.+)", path)
        if not found:
            return self.answer(404, b"")
        folder, error = self.folder(*found.groups()[:3])
        if error:
            return self.refuse(404, error)
        file = files_of(folder).get(found[4])
        if file is None:
            return self.refuse(404, "EntryNotFound")
        gate = os.path.join(ROOT, "gates", found[1], found[2])
        if os.path.exists(gate):
            with open(gate) as token:
                if self.headers["Authorization"] != "Bearer " + token.read():
                    return self.refuse(401, "GatedRepo")
        if not is_large(found[4]):
            return self.send_file(file.data, file.blob)
        self.rule_now = {key: value for key, value in self.rule_now.items()
                         if key in ("headers", "status")}
        return self.answer(302, b"Found", {
            "Location": "http://127.0.0.1:%d/objects/%s" % (large_port, file.sha256),
            "X-Linked-Size": len(file.data), "X-Linked-Etag": '"%s"' % file.sha256})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, large):
        self.large = large
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_):
        pass


small, large = Server(False), Server(True)
large_port = large.server_address[1]
threading.Thread(target=large.serve_forever, daemon=True).start()
# Whoever started this ends it, or is gone.
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(small.server_address[1], flush=True)
small.serve_forever()
