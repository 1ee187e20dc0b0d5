"""What wrk and perf_analyzer print, read."""

import random
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perf.bench import analyzer, wrk

LINE = (
    'figures {"micros":2000000,"requests":100,"status":3,"connect":1,"read":0,"write":2,"timeout":1,'
    '"latencies":[[1000,40],[2000,50],[3000,10]]}'
)


def test_a_line_of_figures():
    outcome = wrk.parse(LINE, clients=8, cpu_seconds=0.25)
    assert (outcome.requests, outcome.seconds, outcome.failed, outcome.broken) == (100, 2.0, 3, 4)
    assert outcome.rate == pytest.approx(48.5)
    assert outcome.percentile_ms(50) == 2.0
    assert outcome.percentile_ms(40) == 1.0
    assert outcome.percentile_ms(99) == 3.0
    assert outcome.cpu_seconds == 0.25


def test_nothing_was_answered():
    line = '{"micros":1000000,"requests":0,"status":0,"connect":4,"read":0,"write":0,"timeout":0,"latencies":[]}'
    outcome = wrk.parse("figures " + line, clients=4)
    assert outcome.rate == 0
    assert outcome.broken == 4
    assert outcome.percentile_ms(50) != outcome.percentile_ms(50)


def corrected(counts: dict[int, int], expected: int) -> dict[int, int]:
    """What wrk makes of latencies, as its stats_correct does."""
    found = dict(counts)
    for value in range(2 * expected, max(counts) + 1):
        count, invented = found.get(value, 0), value - expected
        while count and invented > expected:
            found[invented] = found.get(invented, 0) + count
            invented -= expected
    return found


@pytest.mark.parametrize("seed", range(5))
def test_invented_latencies_are_taken_away(seed: int):
    chance = random.Random(seed)
    counts: dict[int, int] = {}
    for _ in range(300):
        value = int(chance.lognormvariate(5, 1.2))
        counts[value] = counts.get(value, 0) + 1
    expected = sum(value * count for value, count in counts.items()) // 300
    reported = corrected(counts, expected)
    assert sum(reported.values()) > 300, "nothing was invented, and so nothing is shown"
    assert wrk.uncorrected(reported, expected) == counts


def test_requests_are_written_as_they_go_over_the_wire(tmp_path: Path):
    requests = [(b'{"inputs": "a"}', {"Content-Type": "application/json"}), (b"\x00\n1", {"Content-Type": "image/png"})]
    written = wrk.write_requests(tmp_path / "requests", 8080, "/invocations", requests).read_bytes()
    read = []
    while written:
        length, _, rest = written.partition(b"\n")
        read.append(rest[: int(length)])
        written = rest[int(length) :]
    for raw, (body, headers) in zip(read, requests, strict=True):
        head, _, content = raw.partition(b"\r\n\r\n")
        assert content == body
        assert head.startswith(b"POST /invocations HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert f"Content-Type: {headers['Content-Type']}".encode() in head


def test_calls_outside_the_window_do_not_count():
    def call(sent: int, answered: int | None) -> dict[str, object]:
        return {"timestamp": sent, "response_timestamps": [] if answered is None else [answered]}

    ms = 1_000_000
    calls = [call(0, 90 * ms), call(50 * ms, 150 * ms), call(100 * ms, 180 * ms), call(1900 * ms, 2200 * ms)]
    experiment = {"window_boundaries": [100 * ms, 1100 * ms, 2100 * ms], "requests": [*calls, call(1950 * ms, None)]}
    outcome = analyzer.parse({"experiments": [experiment]})
    assert outcome.latencies == ((80_000, 1), (100_000, 1))
    assert outcome.requests == 2
    assert outcome.rate == pytest.approx(1.0)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_sends_every_body_and_tells_what_it_got(tmp_path: Path):
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(body)
            self.send_response(503 if body == b"no" else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        bodies = [b"no", b"a\nb", "ü".encode()]
        file = wrk.write_requests(tmp_path / "requests", server.server_port, "/", [(body, {}) for body in bodies])
        outcome = wrk.run(server.server_port, file, clients=2, seconds=1, start=1)
    finally:
        server.shutdown()
        server.server_close()
    assert set(asked) == set(bodies)
    assert outcome.requests > 3
    assert outcome.failed == pytest.approx(outcome.requests / 3, abs=2)
    assert sum(count for _, count in outcome.latencies) == outcome.requests
    assert outcome.percentile_ms(50) > 0
