"""build: from configuration to a Ray Serve application. The only place that binds deployments."""

# No postponed annotations here: Ray parses `args` by the type in build's signature.

from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve as rayserve
from ray.serve import Application, Deployment

from photoorg.config import ComponentConfig, PhotoOrgConfig, load, parse
from photoorg.encoders.settling import settled
from photoorg.store.opening import open_catalog
from serve.auth import require_private
from serve.board import Board
from serve.deployments import EmbedderDeployment, IngestorDeployment, Ingress, ShardDeployment

NAME = "photoorg"


class AppArgs(BaseModel):
    """`args` of the application in a Serve config file.

    `config` is the path of a photoorg configuration file (default: PHOTOORG_CONFIG, or none),
    `settings` keys that are laid over it. Secrets come from the environment.
    """

    model_config = ConfigDict(extra="forbid")

    config: str | None = None
    settings: dict[str, Any] = {}


def build(args: AppArgs) -> Application:
    """The application of `serve run serve.app:build` and of a RayService's serveConfigV2."""
    config = load(args.config)
    if args.settings:
        config = parse(_over(config.model_dump(), args.settings))
    return application(config)


def application(config: PhotoOrgConfig) -> Application:
    """Ingress, and a deployment of its own for every component that is placed apart.

    ConfigError if strangers could reach a server without authentication.
    """
    require_private(config.serve)
    if config.encoder.space == "auto":
        # Named once, here, so that every replica embeds in the same space.
        with open_catalog(config) as catalog:
            config = settled(config, catalog)
    serve, count = config.serve, config.index.shards
    embedder, shards, ingestor, board = None, [], None, None
    if serve.ingress_replicas > 1 or serve.ingestor.placement == "deployment":
        board = rayserve.deployment(
            name="metrics",
            num_replicas=1,
            max_ongoing_requests=256,
            max_queued_requests=1_024,
            ray_actor_options={"num_cpus": 0},
        )(Board).bind()
    if serve.embedder.placement == "deployment":
        embedder = _deployed(EmbedderDeployment, "embedder", serve.embedder).bind(config)
    if serve.shard.placement == "deployment":
        shards = [
            _deployed(ShardDeployment, f"shard-{n}", serve.shard).bind(config, n, count)
            for n in range(count)
        ]
    if serve.ingestor.placement == "deployment":
        ingestor = _deployed(IngestorDeployment, "ingestor", serve.ingestor).bind(config, board)
    parts = (serve.embedder, serve.shard, serve.ingestor)
    gpus = sum(part.num_gpus for part in parts if part.placement == "inline")
    ingress = rayserve.deployment(
        name="ingress",
        num_replicas=serve.ingress_replicas,
        # The ingress itself answers 503 as problem+json from ingress_ongoing on; these are behind.
        max_ongoing_requests=2 * serve.ingress_ongoing,
        max_queued_requests=4 * serve.ingress_ongoing,
        ray_actor_options={"num_cpus": serve.ingress_num_cpus, "num_gpus": gpus},
        graceful_shutdown_timeout_s=20.0,
    )(rayserve.ingress()(Ingress))
    return ingress.bind(config, embedder, shards, ingestor, board)


def _deployed(cls: type, name: str, component: ComponentConfig) -> Deployment:
    return rayserve.deployment(
        name=name,
        num_replicas=component.replicas,
        max_ongoing_requests=component.max_ongoing_requests,
        max_queued_requests=component.max_queued_requests,
        ray_actor_options={"num_cpus": component.num_cpus, "num_gpus": component.num_gpus},
    )(cls)


def _over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        here = merged.get(key)
        if isinstance(value, dict) and isinstance(here, dict):
            value = _over(here, value)
        merged[key] = value
    return merged
