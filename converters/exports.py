"""What can be told of an ONNX export before it is tried, without optimum, transformers or torch."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from huggingface_backend.manifest import family

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

_KINDS = {
    "audio-classification": """
        audio-spectrogram-transformer data2vec-audio hubert sew sew-d unispeech unispeech-sat wav2vec2
        wav2vec2-conformer wavlm whisper
    """,
    "automatic-speech-recognition": """
        data2vec-audio hubert mctct moonshine sew sew-d speech_to_text unispeech unispeech-sat wav2vec2
        wav2vec2-conformer wavlm whisper
    """,
    "depth-estimation": """
        dpt glpn
    """,
    "feature-extraction": """
        albert arcee audio-spectrogram-transformer bart beit bert big_bird bigbird_pegasus blenderbot
        blenderbot-small bloom camembert chinese_clip clip clip_vision_model codegen cohere colpali convbert
        convnext convnextv2 cvt data2vec-audio data2vec-text data2vec-vision deberta deberta-v2
        decision_transformer deepseek_v3 deit detr dinov2 distilbert donut-swin dpt efficientnet electra esm
        falcon flaubert gemma gemma2 gemma3 gemma3_text glm glpn gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj
        granite groupvit helium hiera hubert ibert imagegpt layoutlm layoutlmv3 levit lilt llama longformer
        longt5 m2m_100 marian markuplm maskformer mbart mctct megatron-bert metaclip_2 mgp-str mistral
        mobilebert mobilenet_v1 mobilenet_v2 mobilevit modernbert moonshine mpnet mpt mt5 nemotron nystromformer
        olmo olmo2 opt owlv2 owlvit patchtsmixer patchtst pegasus phi phi3 poolformer pvt qwen2 qwen3 qwen3_moe
        regnet rembert resnet roberta roformer sam segformer sew sew-d siglip siglip_vision_model smollm3
        speech_to_text splinter squeezebert stablelm swin swin2sr swinv2 t5 table-transformer trocr unispeech
        unispeech-sat visual_bert vit vit_mae vit_msn wav2vec2 wav2vec2-conformer wavlm whisper xlm xlm-roberta
        yolos
    """,
    "fill-mask": """
        albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra esm flaubert
        ibert layoutlm longformer megatron-bert mobilebert modernbert mpnet nystromformer perceiver rembert
        roberta roformer squeezebert xlm xlm-roberta
    """,
    "image-classification": """
        beit clip convnext convnextv2 cvt data2vec-vision deit dinov2 efficientnet hiera imagegpt levit
        metaclip_2 mobilenet_v1 mobilenet_v2 mobilevit perceiver poolformer pvt regnet resnet segformer swin
        swinv2 vit vit_msn
    """,
    "image-segmentation": """
        detr dpt maskformer mobilevit segformer
    """,
    "image-to-image": """
        swin2sr
    """,
    "image-to-text": """
        pix2struct vision-encoder-decoder
    """,
    "object-detection": """
        d_fine detr rt_detr rt_detr_v2 table-transformer yolos
    """,
    "question-answering": """
        albert bart bert big_bird bigbird_pegasus camembert convbert data2vec-text deberta deberta-v2 distilbert
        electra falcon flaubert gptj ibert layoutlmv3 lilt longformer markuplm mbart megatron-bert mobilebert
        mpnet nystromformer opt rembert roberta roformer splinter squeezebert xlm xlm-roberta
    """,
    "text-classification": """
        albert bart bert big_bird bigbird_pegasus bloom camembert convbert data2vec-text deberta deberta-v2
        distilbert electra esm flaubert gemma gemma2 gemma3 gpt2 gpt_bigcode gpt_neo gpt_neox gptj ibert
        layoutlm layoutlmv3 lilt llama longformer markuplm mbart megatron-bert mistral mobilebert modernbert
        mpnet mpt nystromformer opt perceiver phi phi3 qwen2 qwen3 qwen3_moe rembert roberta roformer smollm3
        squeezebert xlm xlm-roberta
    """,
    "text-generation": """
        arcee bart bigbird_pegasus blenderbot blenderbot-small bloom codegen cohere deepseek_v3 falcon gemma
        gemma2 gemma3 gemma3_text glm gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite helium llama marian
        mbart mistral mpt nemotron olmo olmo2 opt pegasus phi phi3 qwen2 qwen3 qwen3_moe smollm3 stablelm
    """,
    "text-to-audio": """
        musicgen speecht5 vits
    """,
    "text2text-generation": """
        bart bigbird_pegasus blenderbot blenderbot-small encoder-decoder longt5 m2m_100 marian mbart mt5 pegasus
        t5
    """,
    "token-classification": """
        albert bert big_bird bloom camembert convbert data2vec-text deberta deberta-v2 distilbert electra esm
        falcon flaubert gpt2 gpt_bigcode ibert layoutlm layoutlmv3 lilt longformer markuplm megatron-bert
        mobilebert modernbert mpnet mpt nystromformer qwen2 qwen3_moe rembert roberta roformer squeezebert xlm
        xlm-roberta
    """,
    "zero-shot-image-classification": """
        chinese_clip clip metaclip_2 siglip
    """,
    "zero-shot-object-detection": """
        owlv2 owlvit
    """,
}
"""The architectures that optimum-onnx 0.1 exports, by its name of the task, written down; a test compares."""

EXPORTABLE = {task: frozenset(kinds.split()) for task, kinds in _KINDS.items()}

FAST_AS = {
    "feature-extraction": "feature-extraction",
    "fill-mask": "fill-mask",
    "image-classification": "image-classification",
    "question-answering": "question-answering",
    "sentence-embedding": "feature-extraction",
    "sentence-similarity": "feature-extraction",
    "text-classification": "text-classification",
    "text-ranking": "text-classification",
    "token-classification": "token-classification",
    "zero-shot-classification": "text-classification",
}
"""The export behind each task of the fast path."""

ACCELERATED_AS = {
    **{task: name for task, name in FAST_AS.items() if not task.startswith(("sentence", "text-ranking"))},
    "audio-classification": "audio-classification",
    "automatic-speech-recognition": "automatic-speech-recognition",
    "depth-estimation": "depth-estimation",
    "image-feature-extraction": "feature-extraction",
    "image-segmentation": "image-segmentation",
    "image-to-image": "image-to-image",
    "image-to-text": "image-to-text",
    "object-detection": "object-detection",
    "summarization": "text2text-generation",
    "text-generation": "text-generation",
    "text-to-audio": "text-to-audio",
    "text-to-image": "text-to-image",
    "text2text-generation": "text2text-generation",
    "translation": "text2text-generation",
    "zero-shot-image-classification": "zero-shot-image-classification",
    "zero-shot-object-detection": "zero-shot-object-detection",
}
"""The export behind each task of the accelerated tier."""


def outlook(task: str, kind: str) -> Literal["proven", "open", "none"]:
    """Whether an architecture (`model_type`) has graphs for a task: surely, by the conversion's word, or not."""
    exported = FAST_AS.get(task) or ACCELERATED_AS.get(family(task), "")
    if kind not in EXPORTABLE.get(exported, frozenset()):
        return "none"
    return "proven" if kind in PROVEN and task in FAST_AS else "open"


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
