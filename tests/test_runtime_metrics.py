"""Metrics: ours in one registry, the SDK's on a port of their own, and its core's lines in our log."""

import asyncio
import re

import httpx
from prometheus_client.parser import text_string_to_metric_families
from temporalio.testing import WorkflowEnvironment

from runtime.keys import KeyRing
from runtime.metrics import REGISTRY, exposition, temporal_runtime
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal import connect

PERSONAL = re.compile(r"name|patient|member|birth|diagnos|order|case_id|phone|mail")


def test_every_metric_is_ours_by_name_and_labelled_by_codes_only() -> None:
    families = list(text_string_to_metric_families(exposition().decode()))

    assert len(families) > 15
    assert [family.name for family in families if not family.name.startswith("vigil_")] == []
    assert [family.name for family in families if not family.documentation] == []
    labels = {label for family in REGISTRY.collect() for sample in family.samples for label in sample.labels}
    assert not [label for label in labels if PERSONAL.search(label)]


async def test_the_sdk_serves_its_own_metrics(
    temporal_env: WorkflowEnvironment, settings: Settings, keyring: KeyRing
) -> None:
    address = temporal_env.client.service_client.config.target_host
    settings = settings.model_copy(
        update={"sdk_metrics_port": free_port(), "temporal_port": int(address.rpartition(":")[2])}
    )
    runtime = temporal_runtime(settings)
    assert temporal_runtime(settings) is runtime
    client = await connect(settings, keyring, runtime=runtime)
    assert await client.service_client.check_health()

    async with httpx.AsyncClient() as http:
        for _ in range(50):
            text = (await http.get(f"http://127.0.0.1:{settings.sdk_metrics_port}/metrics")).text
            if "temporal_request" in text:
                break
            await asyncio.sleep(0.1)
    assert "temporal_request" in text
