"""How calls are sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from huggingface_backend.manifest import Manifest
from server import groups, placing
from server.errors import BackendFailure, HTTPError
from server.groups import BATCH_BYTES, GROUP, GROUP_BYTES, Groups, InTurn, Together
from server.triton.failures import ProcessDied
from server.triton.messages import Answer, Call


def call(text: str = "tea") -> Call:
    return Call("model", text.encode(), "application/json", "application/json")


class Triton:
    """Answers with each call's body, after as long as it is told to; keeps what it was sent."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.groups: list[list[str]] = []
        self.at_once = self.most = 0
        self.seconds = seconds
        self.answer = 0
        """Bytes that answers are filled up to."""
        self.ended = 0
        self.quick: list[bool] = []

    async def __call__(self, calls: Sequence[Call], *, quick: bool) -> list[Answer | HTTPError]:
        texts = [each.body.decode() for each in calls]
        self.quick.append(quick)
        self.groups.append([text[:8] for text in texts])
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds * len(calls))
            if "die" in texts:
                raise ProcessDied("dead")
            return [
                BackendFailure(422, "InvalidInput", "bad")
                if text == "bad"
                else Answer(text.encode().ljust(self.answer), "", {"seconds": self.seconds}, "")
                for text in texts
            ]
        finally:
            self.at_once -= 1
            self.ended += 1


async def answers(way: Groups, texts: Sequence[str]) -> list[Any]:
    outcomes = await asyncio.gather(*[way.infer(call(text)) for text in texts], return_exceptions=True)
    return [outcome.body.decode() if isinstance(outcome, Answer) else outcome for outcome in outcomes]


@pytest.mark.parametrize(
    ("kind", "seconds", "expected"), [(InTurn, 0.0, True), (InTurn, 0.01, False), (Together, 0.01, True)]
)
def test_what_is_known_to_be_answered_soon_is_sent_as_quick(kind: type[Groups], seconds: float, expected: bool) -> None:
    async def sent() -> list[bool]:
        triton = Triton(seconds)
        way = kind(triton, 1)
        for _ in range(20):
            await way.infer(call())
        return triton.quick

    quick = asyncio.run(sent())
    assert quick[0] is (kind is Together)
    assert quick[-1] is expected


def test_quick_calls_share_requests_and_slow_ones_do_not() -> None:
    async def sent(seconds: float) -> Triton:
        triton = Triton(seconds)
        way = InTurn(triton, 2)
        texts = [str(index) for index in range(200)]
        for _ in range(3):
            assert await answers(way, texts) == texts
        return triton

    quick, slow = asyncio.run(sent(0)), asyncio.run(sent(0.005))
    assert max(map(len, quick.groups)) == GROUP
    assert {len(group) for group in slow.groups} == {1}
    assert (quick.most, slow.most) == (2, 2)


def test_every_process_gets_its_share_of_what_waits() -> None:
    async def sizes() -> list[int]:
        triton = Triton()
        way = InTurn(triton, 4)
        await answers(way, ["warm"] * 100)
        triton.groups.clear()
        await answers(way, ["tea"] * 8)
        return [len(group) for group in triton.groups]

    # The first goes at once, as nothing waits yet when it comes.
    assert max(asyncio.run(sizes())) <= 4


def test_big_bodies_are_not_put_together() -> None:
    async def groups() -> list[int]:
        triton = Triton()
        way = InTurn(triton, 1)
        await answers(way, ["warm"] * 100)
        triton.groups.clear()
        await answers(way, ["x" * (GROUP_BYTES // 2 + 1)] * 6)
        return [len(group) for group in triton.groups]

    assert asyncio.run(groups()) == [1] * 6


def test_failures_are_told_to_whom_they_concern() -> None:
    async def both() -> tuple[list[Any], list[Any]]:
        triton = Triton()
        way = InTurn(triton, 1)
        await answers(way, ["warm"] * 100)
        return await answers(way, ["first", "a", "bad", "b"]), await answers(way, ["first", "a", "die", "b"])

    bad, dead = asyncio.run(both())
    assert [each if isinstance(each, str) else each.status for each in bad] == ["first", "a", 422, "b"]
    assert dead[0] == "first"
    assert all(isinstance(each, ProcessDied) for each in dead[1:])


def test_a_request_that_nobody_waits_for_is_ended() -> None:
    async def run() -> tuple[int, list[Any]]:
        triton = Triton(30)
        way = InTurn(triton, 1)
        first, second = asyncio.create_task(way.infer(call("slow"))), asyncio.create_task(way.infer(call("never")))
        await asyncio.sleep(0.01)
        second.cancel()
        first.cancel()
        await asyncio.sleep(0.01)
        triton.seconds = 0
        return triton.ended, await answers(way, ["tea"])

    ended, after = asyncio.run(run())
    assert (ended, after) == (1, ["tea"])


@pytest.mark.parametrize(
    ("tier", "hooks", "expected"),
    [
        ("fast", (), 1),
        ("fast", ("input_fn", "output_fn"), 1),
        ("fast", ("predict_fn",), 3),
        ("script", ("model_fn",), 3),
        ("script", ("model_fn", "transform_fn"), 3),
        ("script", ("model_fn", "predict_batch_fn"), 1),
        ("torch", (), 3),
        ("torch", ("predict_batch_fn",), 1),
    ],
)
def test_processes_of_a_model(
    tier: Any, hooks: tuple[str, ...], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest("text-classification", tier, hooks=hooks)
    monkeypatch.setattr(placing.os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    assert placing.Placing().count(manifest, 2**21) == expected
    assert placing.Placing(instances=7).count(manifest, 2**21) == (7 if expected > 1 else 1)


def test_the_estimate_follows_slow_calls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[int]:
        triton = Triton()
        way = InTurn(triton, 1)
        await answers(way, ["warm"] * 100)
        triton.seconds = groups.GROUP_SECONDS * 2
        await answers(way, ["slow"])
        triton.groups.clear()
        await answers(way, ["tea"] * 5)
        return [len(group) for group in triton.groups]

    assert asyncio.run(run()) == [1] * 5


def test_calls_for_batches_go_at_once_and_share_requests_when_they_must_wait() -> None:
    async def run() -> Triton:
        triton = Triton(0.002)
        await answers(Together(triton, 3), [f"text {n}" for n in range(40)])
        return triton

    triton = asyncio.run(run())
    assert triton.most == 3
    assert [len(group) for group in triton.groups[:3]] == [1, 1, 1]
    assert max(map(len, triton.groups)) == GROUP
    assert [text for group in triton.groups for text in group] == [f"text {n}" for n in range(40)]


def test_a_long_text_travels_without_short_ones_and_in_its_turn() -> None:
    async def run() -> Triton:
        triton = Triton(0.001)
        texts = ["warm", "a", "L" * 300, "b", "c", "M" * 200, "d"]
        assert await answers(Together(triton, 1), texts) == texts
        return triton

    assert asyncio.run(run()).groups == [["warm"], ["a", "b", "c", "d"], ["L" * 8, "M" * 8]]


def test_calls_for_batches_share_only_what_a_batch_takes() -> None:
    async def run(size: int, answer: int) -> int:
        triton = Triton(0.001)
        triton.answer = answer
        await answers(Together(triton, 1), ["x" * size] * 30)
        return max(map(len, triton.groups))

    assert asyncio.run(run(BATCH_BYTES // 4, 1)) == 4
    assert asyncio.run(run(BATCH_BYTES * 2, 1)) == 1
    assert asyncio.run(run(10, GROUP_BYTES // 3)) == 3


def test_failures_in_a_group_for_batches_are_each_callers_own() -> None:
    async def run() -> tuple[list[Any], list[Any]]:
        way = Together(Triton(), 1)
        return await answers(way, ["first", "a", "bad", "b"]), await answers(way, ["first", "a", "die", "b"])

    one, all_of_them = asyncio.run(run())
    assert one[:2] == ["first", "a"] and one[3] == "b" and isinstance(one[2], BackendFailure)
    assert all_of_them[0] == "first" and all(isinstance(each, ProcessDied) for each in all_of_them[1:])


def test_who_hangs_up_while_waiting_is_not_sent() -> None:
    async def run() -> Triton:
        triton = Triton(0.01)
        way = Together(triton, 1)
        first = asyncio.create_task(way.infer(call("first")))
        gone = [asyncio.create_task(way.infer(call(f"gone {n}"))) for n in range(3)]
        stays = asyncio.create_task(way.infer(call("stays")))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(first, stays)
        return triton

    assert asyncio.run(run()).groups == [["first"], ["stays"]]
