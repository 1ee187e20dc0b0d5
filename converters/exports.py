"""What can be told of an ONNX export before it is tried, without optimum, transformers or torch."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

PROVEN = frozenset(
    {
        "albert",
        "bert",
        "deberta-v2",
        "distilbert",
        "electra",
        "gpt2",
        "modernbert",
        "mpnet",
        "qwen2",
        "roberta",
        "xlm-roberta",
    }
)
"""Architectures whose graphs the tests hold against PyTorch."""

_TEXT_CLASSIFICATION = """
    albert bart bert bloom camembert convbert data2vec-text deberta deberta-v2 distilbert electra esm flaubert
    gemma gemma2 gemma3 gpt2 gptj ibert layoutlm layoutlmv3 lilt llama longformer markuplm mbart megatron-bert
    mistral mobilebert modernbert mpnet mpt nystromformer opt perceiver phi phi3 qwen2 qwen3 rembert roberta
    roformer smollm3 squeezebert xlm xlm-roberta
"""
_FEATURE_EXTRACTION = """
    albert arcee audio-spectrogram-transformer bart beit bert blenderbot blenderbot-small bloom camembert clip
    codegen cohere colpali convbert convnext convnextv2 cvt data2vec-audio data2vec-text data2vec-vision deberta
    deberta-v2 deit detr dinov2 distilbert donut-swin dpt efficientnet electra esm falcon flaubert gemma gemma2
    gemma3 glm glpn gpt2 gptj granite groupvit helium hiera hubert ibert imagegpt layoutlm layoutlmv3 levit lilt
    llama longformer longt5 marian markuplm maskformer mbart mctct megatron-bert mgp-str mistral mobilebert
    mobilevit modernbert moonshine mpnet mpt mt5 nemotron nystromformer olmo olmo2 opt owlv2 owlvit patchtsmixer
    patchtst pegasus phi phi3 poolformer pvt qwen2 qwen3 regnet rembert resnet roberta roformer sam segformer
    sew sew-d siglip smollm3 splinter squeezebert stablelm swin swin2sr swinv2 t5 table-transformer trocr
    unispeech unispeech-sat vit wav2vec2 wav2vec2-conformer wavlm whisper xlm xlm-roberta yolos
"""
_FILL_MASK = """
    albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra esm flaubert ibert layoutlm
    longformer megatron-bert mobilebert modernbert mpnet nystromformer perceiver rembert roberta roformer squeezebert
    xlm xlm-roberta
"""
_IMAGE_CLASSIFICATION = """
    beit clip convnext convnextv2 cvt data2vec-vision deit dinov2 efficientnet hiera imagegpt levit mobilevit
    perceiver poolformer pvt regnet resnet segformer swin swinv2 vit
"""
_QUESTION_ANSWERING = """
    albert bart bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra falcon flaubert gptj
    ibert layoutlmv3 lilt longformer markuplm mbart megatron-bert mobilebert mpnet nystromformer opt rembert roberta
    roformer splinter squeezebert xlm xlm-roberta
"""
_TAGGING = """
    albert bert bloom camembert convbert data2vec-text deberta deberta-v2 distilbert electra esm falcon flaubert gpt2
    ibert layoutlm layoutlmv3 lilt longformer markuplm megatron-bert mobilebert modernbert mpnet mpt nystromformer
    qwen2 rembert roberta roformer squeezebert xlm xlm-roberta
"""
EXPORTABLE: dict[str, frozenset[str]] = {
    "feature-extraction": frozenset(_FEATURE_EXTRACTION.split()),
    "fill-mask": frozenset(_FILL_MASK.split()),
    "image-classification": frozenset(_IMAGE_CLASSIFICATION.split()),
    "question-answering": frozenset(_QUESTION_ANSWERING.split()),
    "sentence-embedding": frozenset(_FEATURE_EXTRACTION.split()),
    "sentence-similarity": frozenset(_FEATURE_EXTRACTION.split()),
    "text-classification": frozenset(_TEXT_CLASSIFICATION.split()),
    "text-ranking": frozenset(_TEXT_CLASSIFICATION.split()),
    "token-classification": frozenset(_TAGGING.split()),
    "zero-shot-classification": frozenset(_TEXT_CLASSIFICATION.split()),
}
"""The architectures that optimum-onnx 0.1 exports for each task of the fast path, written down; a test compares."""


def outlook(task: str, kind: str) -> Literal["proven", "open", "none"]:
    """Whether an architecture (`model_type`) has a fast path for a task: surely, by the conversion's word, or not."""
    if kind not in EXPORTABLE.get(task, frozenset()):
        return "none"
    return "proven" if kind in PROVEN else "open"


@cache
def known_architectures() -> frozenset[str] | None:
    """Every `model_type` that the installed transformers knows; None where it is not installed.

    Read off its source, because importing it takes seconds.
    """
    spec = find_spec("transformers")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "models" / "auto" / "configuration_auto.py"
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return None
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="CONFIG_MAPPING_NAMES")], value=ast.Call(args=[ast.List(elts=pairs)]))
                | ast.AnnAssign(target=ast.Name(id="CONFIG_MAPPING_NAMES"), value=ast.Call(args=[ast.List(elts=pairs)]))
            ):
                return frozenset(ast.literal_eval(pair)[0] for pair in pairs)
    return None
