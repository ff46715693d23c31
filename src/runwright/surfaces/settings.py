"""Settings: from the environment (`RUNWRIGHT_*`), with defaults that work on one machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runwright.surfaces.engine import Engine as Engine


def default_data_dir() -> Path:
    """`/var/lib/runwright` for root, else the user's data directory of the platform."""
    return Path("/var/lib/runwright") if os.geteuid() == 0 else user_data_path("runwright")


class Settings(BaseSettings):
    """Everything that can be set. `runwright doctor` prints the values in force."""

    model_config = SettingsConfigDict(
        env_prefix="RUNWRIGHT_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    data_dir: Path = Field(default_factory=default_data_dir)
    """Database, keys, artefacts and logs."""
    database_url: str | None = None
    """`sqlite+aiosqlite:///FILE` or `postgresql+psycopg://...`; SQLite in the data directory if unset."""
    host: str = "127.0.0.1"
    """Address to listen on; loopback only, a TLS proxy on the same machine makes it reachable."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    """0 takes any free port."""
    url: str | None = None
    """Where the command line finds the server; `http://HOST:PORT` if unset."""
    executor_id: str = Field(default_factory=lambda: f"{socket.gethostname()}-1")
    """Stable name of the worker; a restarted worker of the same name takes up its own runs again."""
    take_over_after: Annotated[float, Field(ge=10)] | None = None
    """Seconds without a sign of life after which this worker takes a dead worker's runs over; never if unset."""
    engine: Engine = Engine.AUTO
    """`auto`: the model if one is configured, else rules; `rules`: never a model; `llm`: a model must be configured."""
    llm_base_url: str | None = None
    """Any OpenAI-compatible endpoint."""
    llm_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("RUNWRIGHT_LLM_API_KEY", "OPENAI_API_KEY")
    )
    """The key of that endpoint, or of OpenAI where no endpoint is named."""
    llm_categorise_model: str = "gpt-4o-mini"
    """Says why a run failed, where rules could not."""
    llm_generate_model: str = "gpt-4o"
    """Writes edits, where no rule has one."""
    llm_timeout: float = 60.0
    """Seconds for one answer."""
    approval_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """How long an approval is good; what it made live ends with it."""
    lease_minutes: Annotated[int, Field(ge=1)] = 30
    """How long a claimed review item stays with its reviewer."""
    session_hours: Annotated[int, Field(ge=1)] = 12
    """How long a login is good."""
    hold_seconds: Annotated[float, Field(ge=0, le=3600)] = 3.0
    """How long a verdict must stay true on the host before it counts, where a runbook's check names no time of its
    own. 0 looks once: a fix that does not last is noticed by the next alert then, not by the run."""
    artefacts_dir: Path | None = None
    """Where long output of steps is kept whole; `artefacts` in the data directory if unset. Server and workers on
    several machines need a shared one."""
    artefact_limit_mb: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Megabytes of one output of one attempt that are kept at most; 0 keeps none."""
    lab: bool = True
    """Whether candidates are tried on disposable machines where they can be made."""
    scenario_dirs: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders of scenarios beside the library's own; separated by `:` in the environment."""
    starter_library: bool = True
    """Import the six standard runbooks as drafts on the first start."""

    @field_validator("scenario_dirs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part for part in value.split(":") if part) if isinstance(value, str) else value

    @property
    def store_url(self) -> str:
        """The database in force."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'runwright.db'}"

    @property
    def artefacts(self) -> Path:
        """The directory of artefacts in force."""
        return self.artefacts_dir or self.data_dir / "artefacts"

    @property
    def on_postgres(self) -> bool:
        return self.store_url.startswith("postgresql")

    @property
    def durable_url(self) -> str:
        """Where the queue keeps its state: a file of its own, or the same PostgreSQL in a schema of its own."""
        return self.store_url if self.on_postgres else f"sqlite:///{self.data_dir / 'durable.db'}"

    @property
    def key_file(self) -> Path:
        """The approval key; read by the API process alone."""
        return self.data_dir / "keys" / "approval.key"

    @property
    def public_keys_dir(self) -> Path:
        return self.data_dir / "public-keys"

    @property
    def uses_model(self) -> bool:
        """Whether a language model is configured and wanted."""
        configured = self.llm_base_url is not None or self.llm_api_key is not None
        return self.engine is Engine.LLM or (self.engine is Engine.AUTO and configured)
