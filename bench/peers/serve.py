"""Answers requests on standard input with measurements on standard output, one JSON object a line: the process stays, so that its start is not measured.

    {"prepare": "conv", "args": {…}}  →  {"name": "torch 2.15.0, channels last"}
    {"run": 5, "warm": 1}             →  {"seconds": [0.011, …]}

A module of this folder does each work: its prepare(**args) returns (library, variants), variants being functions by name that do the same work in different ways.
The fastest of them is the peer. An answer {"missing": "torch"} says that a library is not installed, {"error": "…"} anything else.
"""
import importlib
import json
import os
import sys
import time
import traceback

SETTLE = 0.15  # seconds in which a pool's threads stop to spin for more work (OpenBLAS: after 75 ms), so that they do not disturb who is measured next


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def fastest(variants):
    """Calls each variant for about half a second and returns the name of the one with the best time."""
    if len(variants) == 1:
        return next(iter(variants))
    best = {}
    for name, call in variants.items():
        call()
        spent, times = 0.0, []
        while spent < 0.5 or len(times) < 2:
            times.append(seconds(call))
            spent += times[-1]
        best[name] = min(times)
    return min(best, key=best.get)


class Server:
    def __init__(self):
        self.call = None

    def answer(self, request):
        if "prepare" in request:
            self.call = None
            library, variants = importlib.import_module(request["prepare"]).prepare(**request.get("args", {}))
            name = fastest(variants)
            self.call = variants[name]
            time.sleep(SETTLE)
            return {"name": ", ".join(filter(None, (library, name)))}
        for _ in range(request.get("warm", 0)):
            self.call()
        measured = [seconds(self.call) for _ in range(request["run"])]
        time.sleep(SETTLE)
        return {"seconds": measured}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    server = Server()
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        except ModuleNotFoundError as missing:
            answer = {"missing": missing.name}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
