"""The Python of the registry's usage guide, patterns 1 to 5, as a reader would paste it into a service.

The functions are the guide's own, word for word, around the few names that it leaves to the reader. Two places of
the guide cannot run as printed and are mended where a comment says so; neither concerns the registry.
"""

import asyncio
import json
import logging
import random
import time

import aiohttp

logger = logging.getLogger("seed")

# What the guide leaves to the reader.
REGISTRY_URL = "http://localhost:8000"
SERVICE_NAME, instance_id = "transformer", "001"
AGENT_ID = f"{SERVICE_NAME}-{instance_id}"
NAMESPACE = "production"
HOST, PORT = "localhost", 8001
SECURITY_CONTEXT = "standard"
HEALTH_INTERVAL = 30.0
running = True


class ServiceUnavailableError(Exception):
    pass


class CircuitBreakerOpenError(Exception):
    pass


def get_capabilities():
    return [
        {
            "name": "transform_data",
            "description": "Transforms data",
            "category": "data_processing",
            "version": "1.2.0",
            "stability": "stable",
            "tags": ["data", "processing", "async"],
        }
    ]


def get_labels():
    return {"env": "production", "team": "data", "zone": "us-west-2a"}


def get_system_load():
    return 0.65


def get_memory_usage():
    return "78%"


def get_connection_count():
    return 3


# 1. Agent registration

async def register_with_registry():
    registration_data = {
        "id": f"{SERVICE_NAME}-{instance_id}",
        "name": SERVICE_NAME,
        "namespace": NAMESPACE,
        "agent_type": "service_agent",
        "endpoint": f"http://{HOST}:{PORT}/mcp",
        "capabilities": get_capabilities(),
        "labels": get_labels(),
        "security_context": SECURITY_CONTEXT,
        "health_interval": HEALTH_INTERVAL
    }

    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{REGISTRY_URL}/mcp/tools/register_agent",
            json={"registration_data": registration_data}
        ) as resp:
            if resp.status == 200:
                result = await resp.json()
                logger.info(f"Registered with registry: {result['agent_id']}")
                return True
            else:
                logger.error(f"Registration failed: {resp.status}")
                return False


# 2. Heartbeats

async def heartbeat_loop():
    while running:
        try:
            async with aiohttp.ClientSession() as session:
                async with session.post(
                    f"{REGISTRY_URL}/heartbeat",
                    json={
                        "agent_id": AGENT_ID,
                        "status": "healthy",
                        "metadata": {
                            "load": get_system_load(),
                            "memory": get_memory_usage(),
                            "active_connections": get_connection_count()
                        }
                    }
                ) as resp:
                    if resp.status != 200:
                        logger.warning(f"Heartbeat failed: {resp.status}")
        except Exception as e:
            logger.error(f"Heartbeat error: {e}")

        await asyncio.sleep(HEALTH_INTERVAL)


# 3. Service discovery

async def find_data_processors():
    async with aiohttp.ClientSession() as session:
        async with session.get(
            f"{REGISTRY_URL}/agents",
            params={
                "capability_category": "data_processing",
                "status": "healthy",
                "label_selector": "env=production"
            }
        ) as resp:
            if resp.status == 200:
                data = await resp.json()
                return [agent for agent in data["agents"]]
            return []


async def find_specific_capability():
    async with aiohttp.ClientSession() as session:
        async with session.get(
            f"{REGISTRY_URL}/capabilities",
            params={
                "name": "transform_data",
                "stability": "stable",
                "agent_status": "healthy"
            }
        ) as resp:
            if resp.status == 200:
                data = await resp.json()
                return data["capabilities"]
            return []


# 4. Load balancing

async def get_load_balanced_agent(capability_name: str):
    agents = await find_agents_with_capability(capability_name)

    if not agents:
        raise ServiceUnavailableError(f"No agents found with capability: {capability_name}")

    # Filter by health and load
    healthy_agents = [
        agent for agent in agents
        if agent["status"] == "healthy"
    ]

    if not healthy_agents:
        raise ServiceUnavailableError("No healthy agents available")

    # Simple random selection (can be enhanced with load-aware selection)
    return random.choice(healthy_agents)


async def find_agents_with_capability(capability_name: str):
    async with aiohttp.ClientSession() as session:
        async with session.get(
            f"{REGISTRY_URL}/capabilities",
            params={"name": capability_name, "agent_status": "healthy"}
        ) as resp:
            if resp.status == 200:
                data = await resp.json()
                # Group by agent_id to get unique agents
                agents_by_id = {}
                for cap in data["capabilities"]:
                    agent_id = cap["agent_id"]
                    if agent_id not in agents_by_id:
                        agents_by_id[agent_id] = {
                            "id": agent_id,
                            "name": cap["agent_name"],
                            "endpoint": cap["agent_endpoint"],
                            # Not in the guide, whose get_load_balanced_agent reads it.
                            "status": cap["agent_status"],
                            "capabilities": []
                        }
                    agents_by_id[agent_id]["capabilities"].append(cap)

                return list(agents_by_id.values())
            return []


# 5. Circuit breaker

class CircuitBreaker:
    # The guide passes expected_exception and leaves it out of its own class.
    def __init__(self, failure_threshold=5, recovery_timeout=60, expected_exception=Exception):
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.failure_count = 0
        self.last_failure_time = None
        self.state = "CLOSED"  # CLOSED, OPEN, HALF_OPEN

    async def __aenter__(self):
        if self.state == "OPEN":
            if time.time() - self.last_failure_time > self.recovery_timeout:
                self.state = "HALF_OPEN"
            else:
                raise CircuitBreakerOpenError("Circuit breaker is OPEN")
        return self

    async def __aexit__(self, exc_type, exc_val, exc_tb):
        if exc_type is None:
            # Success
            self.failure_count = 0
            if self.state == "HALF_OPEN":
                self.state = "CLOSED"
        else:
            # Failure
            self.failure_count += 1
            self.last_failure_time = time.time()
            if self.failure_count >= self.failure_threshold:
                self.state = "OPEN"


class RegistryClient:
    def __init__(self, registry_url: str):
        self.registry_url = registry_url
        self.circuit_breaker = CircuitBreaker(
            failure_threshold=5,
            recovery_timeout=30,
            expected_exception=aiohttp.ClientError
        )
        self.cache = {}
        self.cache_ttl = 60  # 60 seconds

    async def find_agents(self, **params):
        cache_key = json.dumps(params, sort_keys=True)

        # Check cache first
        if cache_key in self.cache:
            cached_result, timestamp = self.cache[cache_key]
            if time.time() - timestamp < self.cache_ttl:
                return cached_result

        # Try registry with circuit breaker
        try:
            async with self.circuit_breaker:
                result = await self._query_registry("/agents", params)
                self.cache[cache_key] = (result, time.time())
                return result
        except CircuitBreakerOpenError:
            # Fallback to cache even if stale
            if cache_key in self.cache:
                cached_result, _ = self.cache[cache_key]
                logger.warning("Registry unavailable, using stale cache")
                return cached_result
            raise ServiceUnavailableError("Registry unavailable and no cached data")

    async def _query_registry(self, endpoint: str, params: dict):
        async with aiohttp.ClientSession() as session:
            async with session.get(
                f"{self.registry_url}{endpoint}",
                params=params
            ) as resp:
                resp.raise_for_status()
                return await resp.json()
