"""manifest.json: what a conversion found out, so that serving needs neither torch nor transformers."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from huggingface_backend.errors import EntryError
from huggingface_backend.script import PACKAGES, one_by_one

FILE = "manifest.json"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
FORMAT = 5
"""Raised when an older backend could not read a newer manifest rightly."""

PLATFORM = "platform"
"""Where among the versions it stands what the entry's packages were installed for."""

Tier = Literal["fast", "accelerated", "torch", "script"]
"""fast: numpy, tokenizers and ONNX Runtime. accelerated: ONNX graphs inside the transformers pipeline. torch: that
pipeline as it is. script: the user's own model."""

Precision = Literal["fp32", "fp16", "int8"]
"""What the fast tier's graph computes in; fp16 and int8 leave parts in fp32."""

Format = Literal["onnx", "tensorrt"]
"""What runs the fast tier's graph: ONNX Runtime's own kernels, or TensorRT through it."""

Batching = Literal["padded", "equal", "none"]
"""Which rows may share a forward pass of the accelerated tier: any, padded; those of equal shape; no two."""


@dataclass(frozen=True)
class TokenizerFacts:
    """What transformers knows of a tokenizer beyond its tokenizer.json."""

    model_max_length: int | None = None
    """Tokens that `truncation=True` cuts at; None where the tokenizer has no limit."""
    pad_token: str | None = None
    pad_token_id: int = 0
    pad_token_type_id: int = 0
    token_types: bool = True
    """Whether the model is told which text of a pair a token belongs to (`model_input_names`)."""
    padding_side: str = "right"
    truncation_side: str = "right"
    mask_token: str | None = None
    mask_token_id: int | None = None
    unk_token_id: int | None = None
    cls_token_id: int | None = None
    clean_up_spaces: bool = False
    """`clean_up_tokenization_spaces`: whether decoding removes the spaces before punctuation."""


@dataclass(frozen=True)
class Pooling:
    """How a sentence-transformers model makes one vector of its token vectors (`1_Pooling`, `modules.json`)."""

    modes: tuple[str, ...] = ("mean",)
    """In the order in which they are concatenated: cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken."""
    normalize: bool = False
    max_seq_length: int | None = None
    lower_case: bool = False
    prompt: str = ""
    """Put before each text (`default_prompt_name` of config_sentence_transformers.json)."""
    prompts: dict[str, str] = field(default_factory=dict)
    """Those that a request may name."""


@dataclass(frozen=True)
class Ranking:
    """How a cross-encoder scores a pair of texts (sentence-transformers' `CrossEncoder`)."""

    activation: str = "sigmoid"
    """What its logit goes through unless a request says otherwise: a key of `tasks.text_ranking.ACTIVATIONS`."""
    max_length: int | None = None
    """Tokens that a pair is cut at; None where nothing says."""
    prompt: str = ""
    """Put before each query."""


@dataclass(frozen=True)
class ImageFacts:
    """What happens to an RGB image before the graph sees it, in this order (`preprocessor_config.json`)."""

    size: tuple[int, int] | None = None
    """Height and width to resize to."""
    shortest_edge: int | None = None
    """Pixels to resize the shorter edge to, the longer one in proportion; in place of `size`."""
    resample: int = 2
    """Pillow's number of the filter."""
    crop: tuple[int, int] | None = None
    """Height and width to cut from the middle; what an image lacks is black."""
    rescale: float | None = None
    """What 8-bit values are multiplied with."""
    offset: float = 0.0
    """Added then."""
    mean: tuple[float, ...] | None = None
    """Subtracted then, a number a channel."""
    std: tuple[float, ...] | None = None
    """What is divided by then."""
    divisor: tuple[float, ...] | None = None
    """What is divided by at last, which EfficientNet does a second time."""
    reverse_channels: bool = False
    """Blue first."""

    @classmethod
    def of(cls, fields: dict[str, Any]) -> ImageFacts:
        """From JSON, which has lists for tuples."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Gate:
    """How far the ONNX graph's answers are from PyTorch's on the conversion's texts."""

    verdict: Literal["passed", "failed", "unverified"] = "unverified"
    reason: str = ""
    texts: int = 0
    max_abs_diff: float | None = None
    tolerance: float | None = None
    min_cosine: float | None = None
    label_agreement: float | None = None

    def describe(self) -> str:
        if self.verdict == "unverified":
            return f"unverified: {self.reason}"
        figures = [f"max |Δ| {self.max_abs_diff:.2g} (tolerance {self.tolerance:.2g})"]
        if self.min_cosine is not None:
            figures.append(f"min cosine {self.min_cosine:.6f}")
        if self.label_agreement is not None:
            figures.append(f"label agreement {self.label_agreement:.1%}")
        return f"{self.verdict} on {self.texts} examples: " + ", ".join(figures)


@dataclass(frozen=True)
class Quantization:
    """How a graph was brought to int8."""

    scheme: str
    left: tuple[str, ...] = ()
    """Nodes left in fp32, those that hurt the answers most."""
    neighbours: float = 0.0
    """The largest difference of an answer alone from the same answer in mixed batches."""
    speedup: float = 0.0
    """Times as fast as the fp32 graph on the converting machine."""
    bits: int = 8
    """Of a weight; with more than 7, sums overflow on processors without VNNI."""

    def describe(self) -> str:
        beside = f"beside others an answer differs by {self.neighbours:.2g}"
        return f"{self.scheme}; {beside}; {self.speedup:.1f} × as fast as fp32"


@dataclass(frozen=True)
class Manifest:
    """One converted model."""

    task: str
    tier: Tier
    key: str = ""
    """Digest of source, options and library versions: equal keys mean equal entries."""
    source: str = ""
    revision: str = ""
    precision: Precision = "fp32"
    engine: Format = "onnx"
    tensorrt: dict[str, Any] = field(default_factory=dict)
    """What `converters.tensorrt.build` found out; empty where that was not asked for."""
    quantization: Quantization | None = None
    """How an int8 graph was made; None where it is none."""
    token_budget: int = 0
    """Tokens in one run of the graph that the converting machine liked; 0 where that was not tried."""
    budgets: dict[str, dict[int, float]] = field(default_factory=dict)
    """Its evidence: rows a second by budget, for each kind of rows."""
    graph: str = ""
    """Which candidate became model.onnx: plain, fused or as-is."""
    candidates: dict[str, float] = field(default_factory=dict)
    """Milliseconds each candidate took on the conversion's timing batches, on the converting machine."""
    max_tokens: int | None = None
    """The longest input the graph can take; None where positions are not bounded."""
    tokenizer: TokenizerFacts = field(default_factory=TokenizerFacts)
    labels: dict[int, str] = field(default_factory=dict)
    problem_type: str | None = None
    function_to_apply: str | None = None
    return_all_scores: bool | None = None
    pooling: Pooling | None = None
    ranking: Ranking | None = None
    entailment_id: int | None = None
    """Which logit says that the hypothesis follows; -1 where no label is called so."""
    image: ImageFacts | None = None
    batching: Batching = "none"
    """What the conversion saw to leave answers as they are alone."""
    weights: bool = False
    """Whether PyTorch's weights lie beside the graphs, for calls that no graph answers."""
    trust_remote_code: bool = False
    """Whether the pipeline may run code of the model's repository, by the word of who converted it."""
    gate: Gate = field(default_factory=Gate)
    notes: tuple[str, ...] = ()
    """Why the model is not in a faster tier, one line each."""
    hooks: tuple[str, ...] = ()
    """What the script overrides, in the order of `script.HOOKS`."""
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def one_at_a_time(self) -> bool:
        """Whether a process of this model answers its requests one after the other."""
        return one_by_one(self.tier, self.hooks)

    def limited(self, tokens: int) -> Manifest:
        """The same model as if it took no more tokens a row than these."""

        def least(limit: int | None) -> int:
            return tokens if limit is None else min(limit, tokens)

        return replace(
            self,
            max_tokens=least(self.max_tokens),
            tokenizer=replace(self.tokenizer, model_max_length=least(self.tokenizer.model_max_length)),
            pooling=self.pooling and replace(self.pooling, max_seq_length=least(self.pooling.max_seq_length)),
            ranking=self.ranking and replace(self.ranking, max_length=least(self.ranking.max_length)),
        )

    @property
    def streams(self) -> bool:
        """Whether this model can answer token by token, for which its entry is decoupled."""
        return self.task == "text-generation" and self.tier in ("accelerated", "torch") and not self.hooks

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in an entry's version folder; EntryError if it is missing, of another format, or brings
        packages for another Python."""
        path = folder / FILE
        try:
            fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if fields["format"] != FORMAT:
                raise EntryError(f"{path}: format {fields['format']}, this version reads {FORMAT}: convert again")
            if (folder / PACKAGES).is_dir() and fields["versions"].get(PLATFORM, platform_tag()) != platform_tag():
                raise EntryError(
                    f"{folder / PACKAGES} was installed for {fields['versions'][PLATFORM]}, this is {platform_tag()}: "
                    "convert again here"
                )
            fields["tokenizer"] = TokenizerFacts(**fields["tokenizer"])
            fields["gate"] = Gate(**fields["gate"])
            fields["labels"] = {int(index): label for index, label in fields["labels"].items()}
            fields["notes"] = tuple(fields["notes"])
            if fields.get("quantization") is not None:
                found = fields["quantization"]
                fields["quantization"] = Quantization(**{**found, "left": tuple(found["left"])})
            budgets: dict[str, dict[str, float]] = fields.get("budgets", {})
            fields["budgets"] = {
                kind: {int(budget): rate for budget, rate in rates.items()} for kind, rates in budgets.items()
            }
            fields["hooks"] = tuple(fields["hooks"])
            if fields["pooling"] is not None:
                fields["pooling"]["modes"] = tuple(fields["pooling"]["modes"])
                fields["pooling"] = Pooling(**fields["pooling"])
            if fields.get("ranking") is not None:
                fields["ranking"] = Ranking(**fields["ranking"])
            if fields.get("image") is not None:
                fields["image"] = ImageFacts.of(fields["image"])
            return cls(**fields)
        except OSError as error:
            raise EntryError(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EntryError(f"{path} is not a manifest: {error}") from error


def platform_tag() -> str:
    """What installed packages are for: Python's version and the machine's kind."""
    return f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]} {sysconfig.get_platform()}"


def family(task: str) -> str:
    """A task without the languages of a translation."""
    return "translation" if task.startswith("translation_") else task
