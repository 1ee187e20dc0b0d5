"""`python -m perf.generation`: tokens a second from GPT-2-small's shape, beside the transformers pipeline on PyTorch.

The weights are random, the tokens the same for both. The pipeline runs in this process, once a prompt as the original
toolkit calls it, and once with all clients' prompts in one batch, which no server gives it; triton-hf is asked through
/invocations. Rounds alternate.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click

from perf.load import spread
from tests.models import WORDS, texts
from tests.serving import Server

NEW_TOKENS = 64
PARAMETERS = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, "return_full_text": False}


def build(folder: Path) -> Path:
    """A causal model of GPT-2-small's shape (124 million parameters), with a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    config = GPT2Config(bos_token_id=0, eos_token_id=0)
    names = ["<|endoftext|>", *WORDS, *map(str, range(100))]
    vocabulary = {name: index for index, name in enumerate(dict.fromkeys(names))}
    vocabulary |= {f"w{index}": index for index in range(len(vocabulary), config.vocab_size)}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<|endoftext|>"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|endoftext|>", model_max_length=1024)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(5)
        model.transformer.wpe.weight.mul_(20)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class Pipeline:
    """The reference, one prompt a call or all in a batch."""

    def __init__(self, folder: Path) -> None:
        from transformers import pipeline

        self._pipe = pipeline("text-generation", model=str(folder), device=-1)
        self._pipe.tokenizer.padding_side = "left"
        self._pipe.tokenizer.pad_token = self._pipe.tokenizer.eos_token

    def one_by_one(self, prompts: list[str]) -> list[Any]:
        return [self._pipe(prompt, **PARAMETERS) for prompt in prompts]

    def in_a_batch(self, prompts: list[str]) -> list[Any]:
        return list(self._pipe(prompts, batch_size=len(prompts), **PARAMETERS))


def ask(server: Server, prompts: list[str], clients: int) -> list[Any]:
    """Every prompt through /invocations, from as many clients."""

    def one(prompt: str) -> Any:
        answer = server.post({"inputs": prompt, "parameters": PARAMETERS})
        assert answer.status_code == 200, answer.text
        return answer.json()

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, prompts))


def rate(run: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    """Tokens a second, and the answers."""
    started = time.perf_counter()
    answers = run()
    return len(answers) * NEW_TOKENS / (time.perf_counter() - started), answers


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--clients", multiple=True, type=int, default=(1, 8, 32), show_default=True)
def main(rounds: int, clients: tuple[int, ...]) -> None:
    """Median tokens a second of the rounds, their range, and texts that differ between the two."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        model = build(folder / "gpt2")
        arguments = (str(model), "--task", "text-generation", "--cache", str(folder / "cache"))
        server = Server(*arguments, log=folder / "serve.log", log_level="info")
        try:
            server.wait(600)
            pipe = Pipeline(model)
            click.echo(f"{'clients':<9}{'pipeline':>20}{'pipeline, batched':>20}{'ours':>20}{'ours / pipeline':>20}")
            for count in clients:
                click.echo(_row(server, pipe, count, rounds))
        finally:
            server.stop()


def _row(server: Server, pipe: Pipeline, count: int, rounds: int) -> str:
    prompts = texts(max(count, 2), shortest=4, longest=24, seed=count)
    rates: list[tuple[float, float, float]] = []
    wrong = 0
    ask(server, prompts[:1], 1)
    for _ in range(rounds):
        # One by one the pipeline is as fast with eight prompts as with more.
        alone, expected = rate(partial(pipe.one_by_one, prompts[:8]))
        batched, _ = rate(partial(pipe.in_a_batch, prompts))
        ours, answers = rate(partial(ask, server, prompts, count))
        wrong += sum(a != b for a, b in zip(answers, expected, strict=False))
        rates.append((alone, batched, ours))
    columns = [spread([each[index] for each in rates], 0) for index in range(3)]
    ratio = spread([ours / alone for alone, _, ours in rates], 1)
    return f"{count:<9}" + "".join(f"{cell:>20}" for cell in (*columns, ratio)) + (f"  {wrong} differ" if wrong else "")


if __name__ == "__main__":
    main()
