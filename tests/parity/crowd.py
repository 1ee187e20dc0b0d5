"""Many clients at once, as Triton brings them: their requests meet in batches, which one thread hands over."""

from __future__ import annotations

import json
import queue
import random
import threading
from collections.abc import Sequence
from typing import Any

from huggingface_backend.errors import RequestError
from huggingface_backend.handler import Handler
from huggingface_backend.messages import Request, Response

CLIENTS = 8
PATIENCE = 120
"""Seconds until a request without an answer fails the test."""


def ask(handler: Handler, bodies: Sequence[Any]) -> list[Any]:
    """The answers to several bodies sent together; a failure is a RequestError."""
    outcomes: list[Any] = [None] * len(bodies)
    done = threading.Semaphore(0)

    def respond(index: int, outcome: Response | RequestError) -> None:
        outcomes[index] = json.loads(outcome.body) if isinstance(outcome, Response) else outcome
        done.release()

    handler.handle(
        [
            (Request(json.dumps(body).encode()), lambda outcome, index=index: respond(index, outcome))
            for index, body in enumerate(bodies)
        ]
    )
    for _ in bodies:
        assert done.acquire(timeout=PATIENCE), "a request was never answered"
    return outcomes


def ask_crowded(handler: Handler, bodies: Sequence[Any], rounds: int = 2, seed: int = 0) -> list[list[Any]]:
    """The answers to every body, one for each round, while eight threads ask in their own orders."""
    waiting: queue.SimpleQueue[tuple[Request, Any] | None] = queue.SimpleQueue()
    answers: list[list[Any]] = [[] for _ in bodies]
    encoded = [json.dumps(body).encode() for body in bodies]
    turns = [index for _ in range(rounds) for index in range(len(bodies))]
    random.Random(seed).shuffle(turns)
    done = threading.Semaphore(0)

    def respond(index: int, outcome: Response | RequestError) -> None:
        answers[index].append(json.loads(outcome.body) if isinstance(outcome, Response) else outcome)
        done.release()

    def client(mine: Sequence[int]) -> None:
        for index in mine:
            waiting.put((Request(encoded[index]), lambda outcome, index=index: respond(index, outcome)))

    def hand_over() -> None:
        while True:
            batch = [waiting.get()]
            while not waiting.empty():
                batch.append(waiting.get())
            handler.handle([entry for entry in batch if entry is not None])
            if None in batch:
                return

    hander = threading.Thread(target=hand_over)
    clients = [threading.Thread(target=client, args=(turns[start::CLIENTS],)) for start in range(CLIENTS)]
    for thread in (*clients, hander):
        thread.start()
    for thread in clients:
        thread.join()
    waiting.put(None)
    for _ in turns:
        assert done.acquire(timeout=PATIENCE), "a request was never answered"
    hander.join()
    return answers
