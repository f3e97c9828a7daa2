"""Every setting of Ambit, typed: from arguments, the environment (`AMBIT_…`), `.env`, then `ambit.toml`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.issuers import Issuer


class Settings(BaseSettings):
    """All settings with their defaults; each is documented in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="AMBIT_", env_file=".env", toml_file="ambit.toml", extra="forbid", frozen=True
    )

    data_dir: Path = Field(Path(".ambit"), description="Folder of the embedded installation: SQL file, index, keys.")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the SQL database; absent: SQLite in `data_dir`."
    )
    index_url: str | None = Field(
        None,
        description="URL of a Qdrant server; absent: the embedded engine in `data_dir`. Calls go by gRPC to "
        "`index_grpc_port` of its host; `https://` says that there is TLS.",
    )
    index_api_key: SecretStr | None = Field(None, description="API key of the Qdrant server.")
    index_grpc_port: int = Field(
        6334, ge=1, le=65535, description="Port of the host in `index_url` where the Qdrant server speaks gRPC."
    )
    index_timeout_s: int = Field(
        30, ge=1, description="Seconds that one call to the Qdrant server may take before it counts as failed."
    )
    index_replicas: int = Field(1, ge=1, description="Replicas of each shard of a collection on a Qdrant server.")
    index_shards: int = Field(1, ge=1, description="Shards of a collection on a Qdrant server.")
    index_write_acknowledged: int = Field(
        0, ge=0, description="Replicas that must have a write before it counts as done; 0: a majority of them."
    )
    index_read_consistency: Literal["one", "majority", "quorum", "all"] = Field(
        "majority", description="Replicas on a Qdrant server that must agree on what is read."
    )
    index_on_disk: bool = Field(
        False, description="Whether a new collection on a Qdrant server is read from disk instead of held in memory."
    )
    index_quantisation: Literal["none", "scalar", "binary"] = Field(
        "none", description="Smaller vectors in memory for a first look, on a Qdrant server; the full ones decide."
    )
    broker_url: SecretStr | None = Field(
        None,
        description="Celery broker (`amqp://…` or `redis://…`); absent: threads of this process do the work.",
    )
    tenant: str = Field("default", description="Key of the tenant that the command line acts in.")
    encoder: str = Field(
        "all-MiniLM-L6-v2",
        description="Encoder of the first index: a sentence-transformers model by name or path, `openai:MODEL` on "
        "`encoder_url`, or `llamaindex:CLASS`; options follow as `?name=value&name=value`.",
    )
    encoder_url: str | None = Field(
        None, description="Base URL of an endpoint that speaks OpenAI's embeddings protocol, as in `https://host/v1`."
    )
    encoder_api_key: SecretStr | None = Field(None, description="Key that is sent to `encoder_url`.")
    encoder_timeout_s: float = Field(
        30.0, gt=0, description="Seconds one request to `encoder_url` may take, repetitions included."
    )
    encoder_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="What runs a local encoder; `auto`: a GPU where there is one that PyTorch can use."
    )
    encoder_backend: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="What runs the encoder; `auto`: the fastest that can, which is OpenVINO, else PyTorch."
    )
    encoder_cache: Path | None = Field(
        None, description="Folder of models exported for OpenVINO; absent: `encoders` in `data_dir`."
    )
    encoder_threads: int = Field(0, ge=0, description="Threads of the encoder; 0: one for each core.")
    reembed_rate: float = Field(
        0.0, ge=0, description="Most chunks a second that a change of encoder may encode; 0: no limit."
    )
    reembed_evaluation: Path | None = Field(
        None, description="Labelled data set (BEIR layout) that a change of encoder is measured on before it begins."
    )
    reembed_margin: float = Field(
        0.01, ge=0, le=1, description="How much lower nDCG@10 may be with the new encoder before it is refused."
    )
    term_language: str = Field(
        "english",
        pattern=r"^[a-z]+$",
        description="Language of the first index's terms, in English (`german`): which words BM25 leaves out, and how "
        "the others are brought to their stems. `ambit reembed --language` changes it.",
    )
    chunk_tokens: int = Field(
        200,
        ge=32,
        le=8192,
        description="Most tokens of a chunk, counted by the encoder's tokenizer; never more than the encoder reads. "
        "The next sync after a change splits everything anew.",
    )
    worker_threads: int = Field(2, ge=1, le=64, description="Threads that fetch and parse in one worker process.")
    worker_memory_mb: int = Field(
        4096,
        ge=0,
        description="Resident MiB at which a process of `ambit worker` is replaced after its turn; 0: never.",
    )
    worker_metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on which `ambit worker` answers `/metrics`; 0: none, the API answers for all.",
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Address of `worker_metrics_port`.")
    lease_s: float = Field(60.0, ge=1, description="Seconds a worker may hold work without renewing its claim.")
    poll_s: float = Field(0.2, gt=0, description="Seconds between looks for work when nothing waits.")
    max_claims: int = Field(
        50, ge=2, description="Claims of an item, each lost with its worker, before it is given up."
    )
    max_attempts: int = Field(4, ge=1, description="Tries of an item before a transient error is final.")
    retry_base_s: float = Field(
        1.0, gt=0, description="Seconds before the first retry; doubles each time, with jitter."
    )
    deletion_guard: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of a source that one sync may delete before it is held for approval.",
    )
    deletion_guard_min: int = Field(20, ge=0, description="Documents a sync may always delete without being held.")
    widening_guard: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of a source that one sync may show to more people before it is held for approval.",
    )
    widening_guard_min: int = Field(
        20, ge=0, description="Documents a sync may always show to more people without being held."
    )
    backlog: int = Field(
        2000,
        ge=0,
        description="Objects of one source that may wait at a stage before the one that feeds it rests; 0: no limit.",
    )
    parse_timeout_s: float = Field(120.0, gt=0, description="Seconds one file may take to parse.")
    parse_memory_mb: int = Field(
        2048, ge=256, description="Address space in MiB a parser process may use above its start."
    )
    max_file_mb: int = Field(100, ge=1, description="Largest file in MiB that is fetched.")
    max_pages: int = Field(5000, ge=1, description="Most pages of one document that are parsed.")
    max_expansion: int = Field(200, ge=1, description="Most times its size that a compressed document may unpack to.")
    ocr_languages: str = Field(
        "eng",
        pattern=r"^([A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*)?$",
        description="Languages that pictures and scanned pages are read in by `tesseract` where it is installed, as in "
        "`eng+deu`; empty: they are not read.",
    )
    outbound_allow: str = Field(
        "",
        description="Networks, addresses and host names, separated by commas, that connectors, and fetches of issuers' "
        "keys, may reach although they are not public (`10.0.0.0/8, wiki.example.com`).",
    )
    oidc: tuple[Issuer, ...] = Field(
        (),
        description="Issuers whose access tokens are taken, as a JSON list or `[[oidc]]` tables in `ambit.toml`; "
        "docs/identity.md lists their members.",
    )
    search_candidates: int = Field(100, ge=10, le=1000, description="Candidates each search leg contributes.")
    fusion: Literal["dbsf", "rrf"] = Field(
        "dbsf",
        description="How hits by meaning and by terms become one list: `dbsf` by scores, best or level on the labelled "
        "sets of `bench/`; `rrf` by ranks, with weights.",
    )
    fusion_k: int = Field(10, ge=1, le=1000, description="How slowly the worth of a rank falls, under `rrf`.")
    fusion_weights: tuple[float, float] = Field(
        (1.0, 1.0), description="What a rank by meaning and one by terms counts under `rrf`, as in `[2, 1]`; above 0."
    )
    reranker: str | None = Field(
        None,
        description="What puts found passages in a better order: a cross-encoder by name or path, or `model:KEY`, a "
        "declared Model or Route; absent: nothing.",
    )
    rerank_candidates: int = Field(20, ge=2, le=200, description="Passages that are reranked.")
    rerank_timeout_s: float = Field(2.0, gt=0, description="Seconds after which the order stays as it was found.")
    rewriter: str | None = Field(
        None, description="Model or Route that rewrites follow-up questions; absent: rules without a model."
    )
    rewrite_timeout_s: float = Field(2.0, gt=0, description="Seconds after which the rules rewrite instead.")
    top_k_max: int = Field(100, ge=1, le=1000, description="Largest `top_k` a caller may ask for.")
    query_max_chars: int = Field(8000, ge=100, description="Longest query accepted, in characters.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8600, ge=0, le=65535, description="Port the API listens on.")
    widening_people: int = Field(
        100,
        ge=-1,
        description="People who may gain something to read by one administrator's change before it is held for a "
        "second person; -1: no limit.",
    )
    widening_documents: int = Field(
        10_000,
        ge=-1,
        description="Documents that may become readable to somebody by one administrator's change before it is held "
        "for a second person; -1: no limit.",
    )
    approval_hours: int = Field(
        72, ge=1, le=24 * 365, description="Hours for which a held change waits for a second person."
    )
    break_glass_max_s: int = Field(
        14_400, ge=60, le=7 * 86_400, description="Longest time in seconds for which emergency access may be opened."
    )
    body_max_mb: int = Field(64, ge=1, description="Largest request body accepted, in MiB.")
    model_timeout_s: float = Field(60.0, gt=0, description="Deadline of one model call in seconds.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, else JSON."
    )
    url: str | None = Field(None, description="URL of a running Ambit that the command line talks to.")
    key: SecretStr | None = Field(None, description="API key the command line sends to `url`.")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that over `.env`, that over `ambit.toml`.

        A `.env` is shared with other programs (Compose), so names in it without our prefix are left to them.
        """
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            named = dotenv_settings.env_vars.items()
            dotenv_settings.env_vars = {name: value for name, value in named if name.startswith("ambit_")}
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)

    @cached_property
    def sql_url(self) -> str:
        """The SQLAlchemy URL in force."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'ambit.db'}"

    @property
    def outbound_allowed(self) -> tuple[str, ...]:
        """The entries of `outbound_allow`."""
        return tuple(one.strip() for one in self.outbound_allow.split(",") if one.strip())

    @property
    def embedded_index(self) -> bool:
        """Whether vectors live in this process's own engine."""
        return self.index_url is None

    @property
    def index_dir(self) -> Path:
        """Folder of the embedded index."""
        return self.data_dir / "index"
