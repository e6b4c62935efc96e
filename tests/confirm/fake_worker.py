"""A worker without a backend: the model's bytes say what it does, one word each."""

import json
import os
import signal
import sys
import time
from pathlib import Path

print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"start": question["id"]}), flush=True)
    word = Path(question["model"]).read_text("ascii")
    with Path(question["log"]).open("a") as stream:
        stream.write(f"log of {word} for {question['soc']}{question['library']}\n")
    if word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "exit":
        sys.exit(7)
    if word == "sleep":
        time.sleep(60)
    if word == "fill":
        filled = bytearray(300 << 20)
        time.sleep(60)
    placed = [["QNNExecutionProvider", "a", "Relu", ""]]
    print(json.dumps({"done": question["id"], "error": word, "placed": placed}), flush=True)
