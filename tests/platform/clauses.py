"""Every clause of the contract of SageMaker and a container, each with a test or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from tests.platform.variables import VARIABLES

SECTIONS = {
    "hosting": "Hosting",
    "mme": "Multi-model endpoints",
    "batch": "Batch transform",
    "env": "Environment",
    "errors": "Errors",
}


@dataclass(frozen=True)
class Clause:
    id: str
    text: str
    untested: str = ""
    """Why no test can show it."""

    @property
    def section(self) -> str:
        return self.id.partition(".")[0]


_HOSTING = (
    Clause("hosting.serve", "`serve` and the environment are all that a container is started with"),
    Clause("hosting.entrypoint", "The image's entry point is in exec form, so that signals reach the server"),
    Clause("hosting.label-port", "The image's label says that it binds to the port it is told"),
    Clause("hosting.default-port", "Without a word about ports it listens on 8080"),
    Clause("hosting.bind-to-port", "`SAGEMAKER_BIND_TO_PORT` moves it"),
    Clause("hosting.safe-port-range", "Every other port lies inside `SAGEMAKER_SAFE_PORT_RANGE`"),
    Clause("hosting.connect-loading", "Connections are accepted within 250 ms while a model loads"),
    Clause("hosting.connect-exporting", "The same while a model is exported"),
    Clause("hosting.connect-installing", "The same while requirements are installed"),
    Clause("hosting.read-only-model", "A read-only `/opt/ml` is served; what is converted goes elsewhere"),
    Clause("hosting.small-shm", "64 MB of `/dev/shm` are enough"),
    Clause("hosting.ping-200", "`/ping` is 200 with an empty body when the model can be called"),
    Clause("hosting.ping-2s", "`/ping` answers within 2 s under full load"),
    Clause("hosting.ping-loading", "`/ping` is 503 until the model is loaded"),
    Clause("hosting.ping-dead", "`/ping` is 503 while a model's process is dead, and 200 when it is back"),
    Clause("hosting.ready-8min", "A small model that has to be exported is ready well within 8 minutes"),
    Clause("hosting.health-check-window", "A longer health check (60–3600 s) can be configured", "a setting of AWS's"),
    Clause("hosting.sigterm-finishes", "SIGTERM: requests in flight are answered, then it ends with code 0"),
    Clause("hosting.sigterm-refuses", "SIGTERM: new requests get 503, and so does `/ping`"),
    Clause("hosting.sigterm-25s", "SIGTERM: it ends within 25 s though a request never does"),
    Clause("hosting.sigterm-loading", "SIGTERM while a model loads ends it, with code 0"),
    Clause("hosting.sigterm-leaves-nothing", "No process outlives it"),
    Clause("hosting.body-25mb", "Real time: bodies and answers of 25 MB"),
    Clause("hosting.body-100mb", "Batch: bodies and answers of 100 MB"),
    Clause("hosting.body-1gb", "Async: a body of 1 GB"),
    Clause("hosting.body-chunked", "Chunked bodies"),
    Clause("hosting.over-60s", "Async and batch: an answer that takes over 60 s, where the deadline says so"),
    Clause("hosting.concurrency-100", "100 requests at once are answered"),
    Clause(
        "hosting.headers", "Content-Type, Accept, Custom-Attributes, Target-Model and -Variant, Inference-Id arrive"
    ),
    Clause("hosting.headers-others", "Other headers change nothing"),
    Clause("hosting.answer-type", "The answer carries its Content-Type"),
    Clause("hosting.answer-attributes", "Custom-Attributes are answered if the model's script sets them, else not"),
    Clause("hosting.streaming", "`/invocations` can answer in chunks as they are made"),
    Clause("hosting.metrics", "`/metrics` on the same port is Prometheus text, Triton's part included"),
)

_MULTI_MODEL = (
    Clause("mme.label", "The image's label says that it can serve many models"),
    Clause("mme.starts-empty", "`SAGEMAKER_MULTI_MODEL=true`: ready with no model"),
    Clause("mme.load", "Loading from `/opt/ml/models/{name}/model` under an opaque name: 200"),
    Clause("mme.load-archive", "What is loaded may be a model folder that has to be converted first"),
    Clause("mme.load-twice", "Loading a name that is loaded: 409"),
    Clause("mme.load-failed", "A model that cannot be loaded is an error, and the others stay"),
    Clause("mme.load-short", "Loading with too little memory: 507"),
    Clause("mme.load-again", "Once SageMaker has unloaded another model, the load that got 507 gets 200"),
    Clause("mme.load-bad-json", "Loading with a body that is no JSON object: 400"),
    Clause("mme.load-incomplete", "Loading without a name or a URL, or with one that is no text: 400"),
    Clause("mme.load-name-tricks", "A name that is a path or none: 400"),
    Clause("mme.load-url-tricks", "A URL that leads outside SageMaker's folder, by a link too: 400"),
    Clause("mme.load-360s", "A load may take minutes"),
    Clause("mme.list", "Listing: names and URLs of what is loaded"),
    Clause("mme.list-pages", "Listing: at most 100 a page, with a token for the next"),
    Clause("mme.get", "A loaded model's name and URL"),
    Clause("mme.get-unknown", "The same of a model that is not loaded: 404"),
    Clause("mme.delete", "Unloading: 200, and the model is gone"),
    Clause("mme.delete-unknown", "Unloading what is not loaded: 404"),
    Clause("mme.delete-frees", "Unloading: process and shared memory are gone before the answer"),
    Clause("mme.delete-load", "An unloaded model can be loaded again"),
    Clause("mme.invoke", "`/models/{name}/invoke` answers as `/invocations` does"),
    Clause("mme.invoke-unknown", "The same for a model that is not loaded: 404"),
    Clause("mme.invoke-memory", "A call that runs out of memory: 507"),
    Clause("mme.target-model", "Target-Model is for logs: the path alone chooses the model"),
    Clause("mme.headers", "Headers arrive and attributes are answered as in single-model mode"),
    Clause("mme.parallel", "A slow load or unload holds up no call to another model"),
    Clause("mme.error-bodies", "Refusals are JSON with `code`, `type` and `message`"),
)

_BATCH = (
    Clause("batch.execution-parameters-404", "`/execution-parameters` is 404 where nothing was configured"),
    Clause("batch.execution-parameters", "`/execution-parameters` says what the job's environment says"),
    Clause("batch.whole", "SplitType None: the object is one request"),
    Clause("batch.single-record", "SplitType Line, SingleRecord: a line is one request"),
    Clause("batch.multi-record", "SplitType Line, MultiRecord: bodies of many lines, answers in their order"),
    Clause("batch.max-payload", "Bodies up to MaxPayloadInMB are taken, larger ones are 413"),
    Clause("batch.unbounded-payload", "MaxPayloadInMB 0: chunked bodies of over 100 MB"),
    Clause("batch.concurrency", "MaxConcurrentTransforms requests at once, answers not mixed up"),
    Clause("batch.jsonlines", "`application/jsonlines` is read line by line"),
    Clause("batch.ndjson", "`application/x-ndjson` too"),
    Clause("batch.json-lines-as-json", "Lines under `application/json` too, where `SAGEMAKER_BATCH=true`"),
    Clause("batch.one-json-as-json", "One JSON document under `application/json` stays one request there"),
    Clause("batch.answer-lines", "N lines have N results of one line each, joined by line feeds, none at the end"),
    Clause("batch.answer-compact", "Results are compact JSON"),
    Clause("batch.assemble-line", "AssembleWith Line: the output has as many lines as the input"),
    Clause("batch.same-answers", "A line's result is what it gets alone"),
    Clause("batch.blank-lines", "Blank lines are no records"),
    Clause("batch.trailing-line-feed", "A line feed at the end of the body adds no record"),
    Clause("batch.crlf", "Lines may end in CRLF"),
    Clause("batch.bad-line-fails", "A bad line fails its request with 4xx, and the message says which line"),
    Clause(
        "batch.bad-line-marked", 'Where asked for, a bad line gets `{"error": …}` and the other lines their results'
    ),
    Clause("batch.s3", "Objects come from S3 and go there", "SageMaker's own work, before and behind the container"),
)

_ERRORS = (
    Clause("errors.body", "A failure is JSON with `code`, `type` and `message`"),
    Clause("errors.message-2048", "Messages stay under 2048 characters"),
    Clause("errors.400", "A body that is not what its type says: 400"),
    Clause("errors.406", "An Accept that cannot be written: 406"),
    Clause("errors.415", "A Content-Type that cannot be read: 415"),
    Clause("errors.types-script", "A script's own input_fn, output_fn or transform_fn may take any type"),
    Clause("errors.types-before-inference", "Types are refused before the model runs"),
    Clause("errors.413", "A body over the cap: 413"),
    Clause("errors.413-unread", "413 comes before the body is read whole, announced or chunked"),
    Clause("errors.422", "Inputs or parameters that the task cannot take: 422"),
    Clause("errors.404", "A model that is not there: 404"),
    Clause("errors.500", "A script that fails: 500, without its traceback"),
    Clause("errors.503-not-ready", "Before the model is loaded: 503 with Retry-After"),
    Clause("errors.503-draining", "While stopping: 503 with Retry-After"),
    Clause("errors.503-queue", "With a full queue: 503 with Retry-After"),
    Clause("errors.504", "No answer in time: 504"),
    Clause("errors.prediction-exception", "`PredictionException` from a script keeps its code and message"),
    Clause("errors.toolkit-error", "`BaseInferenceToolkitError` from a script keeps its code and message"),
    Clause("errors.client-424", "Clients see ModelError (424) with status and message", "SageMaker's own answer"),
    Clause("errors.cloudwatch", "CloudWatch counts by the container's status", "SageMaker's own count"),
)

_ENVIRONMENT = tuple(Clause(f"env.{name}", text) for name, text in VARIABLES.items())

CLAUSES = {clause.id: clause for clause in (*_HOSTING, *_MULTI_MODEL, *_BATCH, *_ENVIRONMENT, *_ERRORS)}
