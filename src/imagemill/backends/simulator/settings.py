"""Settings of the simulator."""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field

from imagemill.settings import JsonSetting, Listed, SettingsGroup


class Fault(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    MISSING_MODEL = "missing_model"
    MISSING_NODE = "missing_node"
    HANG = "hang"
    """The render hangs in the middle of the steps until it is stopped or times out."""
    SLOW_LOAD = "slow_load"
    """The model is loaded again, slowly."""
    SILENT = "silent"
    """The render reports no progress, but finishes."""
    CRASH = "crash"
    """The node is lost in the middle of the steps and comes back with nothing loaded."""
    PARTIAL = "partial"
    """One picture less than requested is delivered."""
    CORRUPT = "corrupt"
    """The files are cut off in the middle."""
    BLANK = "blank"
    """The pictures are black."""
    WRONG_SIZE = "wrong_size"
    """The pictures have half the requested width and height."""
    CONTENT = "content"
    """The finished picture is blocked by a content filter."""
    RATE_LIMITED = "rate_limited"
    """The node answers with status 429."""
    SERVER_ERROR = "server_error"
    """The node answers with status 500."""
    REJECTED = "rejected"
    """The node rejects the request permanently."""


class FaultRule(JsonSetting):
    """One fault and its conditions, all of which must hold."""

    fault: Fault = Field(description="Which fault.")
    times: int = Field(
        default=1,
        ge=1,
        description="Strikes in the first so many attempts of a job; a large number means in all.",
    )
    probability: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Share of the attempts it strikes, drawn from the seed, the job's id and the attempt.",
    )
    model: str | None = Field(
        default=None, description="Only jobs whose model contains this text, in any case."
    )
    prompt: str | None = Field(
        default=None, description="Only jobs whose prompt contains this text, in any case."
    )
    node: str | None = Field(default=None, description="Only on this node, named with or without its suffix.")
    load_ms: float | None = Field(
        default=None,
        ge=0.0,
        le=3_600_000,
        description="How long the load takes, for slow_load. Milliseconds.",
    )


class SimulatorSettings(SettingsGroup):
    enabled: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="When the simulator makes the pictures; auto: while no ComfyUI node and no paid "
        "provider is configured.",
    )
    nodes: int = Field(default=1, ge=1, le=256, description="Number of simulated nodes: sim-1, sim-2, ...")
    slots: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Jobs sent to a node at once; one renders, the others wait there.",
    )
    step_ms: float = Field(
        default=0.0,
        ge=0.0,
        le=600_000,
        description="Time of one sampling step in milliseconds; 0 renders at once.",
    )
    load_ms: float = Field(
        default=0.0,
        ge=0.0,
        le=3_600_000,
        description="Time to load a checkpoint in milliseconds; 0 loads at once.",
    )
    jitter: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share by which times of steps and loads vary in both directions; 0: they are exact.",
    )
    seed: int = Field(
        default=0, description="Seed of everything random: jitter and the probability of faults."
    )
    memory_mb: int | None = Field(
        default=24_576,
        ge=1,
        description="Memory of each node in MB; none: a node takes jobs of any size.",
    )
    resident_models: int = Field(
        default=1,
        ge=1,
        description="Checkpoints a node keeps loaded; the least recently used one is unloaded first.",
    )
    labels: Listed[str] = Field(default=(), description="Labels of every node, comma-separated.")
    models: Listed[str] = Field(
        default=(), description="AIRs of the checkpoints on the nodes, comma-separated; empty: all."
    )
    previews: bool = Field(
        default=True,
        description="Send preview pictures while rendering; there are none while step_ms is 0.",
    )
    faults: Listed[FaultRule] = Field(
        default=(), description="Fault rules, as JSON; the first one that matches is used."
    )
    scenario: Path | None = Field(
        default=None,
        description='File with more fault rules: TOML with [[rule]], or JSON {"rule": [...]}; none: no file.',
    )
