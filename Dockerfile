# Images for SageMaker or any other place that runs containers; docs/deploy.md tells how to build and deploy them.
#
#   cpu           converts and serves, every tier
#   cpu-serving   serves what was converted before: no torch, no exporter
#   gpu, gpu-serving   the same two on NVIDIA's Triton image

# Debian 12 has Python 3.11 and glibc 2.36; the embedded Triton needs 3.11 or 3.12, and 2.35 or later.
ARG CPU_BASE=debian:bookworm-slim
ARG CPU_PYTHON=3.11
# The first release with Python 3.12. Its CUDA is 12, as is onnxruntime-gpu's below 1.27.
ARG GPU_BASE=nvcr.io/nvidia/tritonserver:24.12-py3
ARG GPU_PYTHON=3.12
# The version that pyproject.toml pins. PyPI's own build of it is for CUDA 13 and takes gigabytes.
ARG TORCH=2.13.0
ARG CPU_TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG GPU_TORCH_INDEX=https://download.pytorch.org/whl/cu126


FROM ${CPU_BASE} AS cpu-base
ARG CPU_PYTHON
# libpython: Triton's Python stub links against it. tini: reaps what a process that died leaves behind.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates "libpython${CPU_PYTHON}" "python${CPU_PYTHON}" tini \
    && rm -rf /var/lib/apt/lists/* \
    # Whatever user the container runs as may convert and download.
    && mkdir -m 1777 /var/cache/triton-hf
# Without LANG, scripts inside Triton would open text files as ASCII.
ENV PATH=/opt/triton-hf/bin:$PATH \
    LANG=C.UTF-8 \
    XDG_CACHE_HOME=/var/cache/triton-hf
LABEL org.opencontainers.image.title="triton-hf" \
    org.opencontainers.image.description="Hugging Face models on Triton behind SageMaker's /invocations, batched" \
    com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
    com.amazonaws.sagemaker.capabilities.multi-models="true"
EXPOSE 8080
ENTRYPOINT ["tini", "--", "triton-hf"]


FROM cpu-base AS cpu-python
ARG CPU_PYTHON
RUN apt-get update \
    && apt-get install -y --no-install-recommends "python${CPU_PYTHON}-venv" \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN "python${CPU_PYTHON}" -m venv /opt/triton-hf \
    && pip install "pip>=26" \
    && pip uninstall -y setuptools
WORKDIR /build


FROM cpu-python AS wheel
COPY pyproject.toml README.md ./
COPY converters converters
COPY huggingface_backend huggingface_backend
COPY model_repository model_repository
COPY server server
RUN pip wheel --no-deps --wheel-dir /wheel .


FROM cpu-python AS cpu-serving-requirements
# The project without its packages: a change of the code does not install what it requires anew.
COPY pyproject.toml ./
RUN touch README.md && pip install ".[cpu,embedded]"


FROM cpu-serving-requirements AS cpu-requirements
ARG TORCH
ARG CPU_TORCH_INDEX
# Only torch itself comes from its index; what torch requires is PyPI's.
RUN pip install --no-deps ${CPU_TORCH_INDEX:+--index-url "$CPU_TORCH_INDEX"} "torch==${TORCH}" \
    && pip install ".[cpu,convert,embedded,s3,tasks]"


FROM cpu-serving-requirements AS cpu-serving-installed
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps --force-reinstall /wheel/*.whl


FROM cpu-requirements AS cpu-installed
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps --force-reinstall /wheel/*.whl


FROM ${GPU_BASE} AS gpu-base
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -m 1777 /var/cache/triton-hf
ENV PATH=/opt/triton-hf/bin:$PATH \
    LANG=C.UTF-8 \
    XDG_CACHE_HOME=/var/cache/triton-hf
LABEL org.opencontainers.image.title="triton-hf" \
    org.opencontainers.image.description="Hugging Face models on Triton behind SageMaker's /invocations, batched" \
    com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
    com.amazonaws.sagemaker.capabilities.multi-models="true"
EXPOSE 8080
# NVIDIA's own entrypoint lets CUDA 12 run on the older drivers of some instances, then replaces itself.
ENTRYPOINT ["tini", "--", "/opt/nvidia/nvidia_entrypoint.sh", "triton-hf"]


FROM gpu-base AS gpu-serving-requirements
ARG GPU_PYTHON
RUN apt-get update \
    && apt-get install -y --no-install-recommends "python${GPU_PYTHON}-venv" \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN "python${GPU_PYTHON}" -m venv /opt/triton-hf \
    && pip install "pip>=26"
WORKDIR /build
COPY pyproject.toml ./
RUN touch README.md && pip install ".[gpu]"
# Where the image lacks a library of CUDA, the build ends here, rather than ONNX Runtime using the CPU in its stead.
RUN libraries="$(ldd "/opt/triton-hf/lib/python${GPU_PYTHON}/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so")" \
    && case "$libraries" in *"not found"*) echo "$libraries"; exit 1 ;; esac


FROM gpu-serving-requirements AS gpu-requirements
ARG TORCH
ARG GPU_TORCH_INDEX
RUN pip install --no-deps ${GPU_TORCH_INDEX:+--index-url "$GPU_TORCH_INDEX"} "torch==${TORCH}" \
    && pip install ".[gpu,convert,s3,tasks]"


FROM gpu-serving-requirements AS gpu-serving-installed
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps --force-reinstall /wheel/*.whl


FROM gpu-requirements AS gpu-installed
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps --force-reinstall /wheel/*.whl


FROM gpu-base AS gpu-serving
COPY --from=gpu-serving-installed /opt/triton-hf /opt/triton-hf


FROM gpu-base AS gpu
COPY --from=gpu-installed /opt/triton-hf /opt/triton-hf


FROM cpu-base AS cpu-serving
COPY --from=cpu-serving-installed /opt/triton-hf /opt/triton-hf


# The last one is what a build without --target makes.
FROM cpu-base AS cpu
COPY --from=cpu-installed /opt/triton-hf /opt/triton-hf
