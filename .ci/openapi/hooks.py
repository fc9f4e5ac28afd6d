"""Leaves out cases that break a rule which the descriptions state in words, because JSON Schema cannot say it."""

from collections import Counter
from typing import Any

import schemathesis

# Names of one parameter: two of them with different values contradict each other.
SAME = (
    ("capability_category", "category"),
    ("capability_stability", "stability"),
    ("agent_namespace", "namespace"),
)
# Parameters that are true or false.
SWITCHES = ("fuzzy_match", "include_deprecated", "watch")
MAX_PREFIX = 253
MAX_ANNOTATIONS_BYTES = 256 * 1024


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Whether the case keeps the rules that are stated in words."""
    body = case.body if isinstance(case.body, dict) else {}
    if case.operation.path in ("/agents", "/agents/{id}", "/capabilities") and case.method == "GET":
        query = case.query or {}
        return is_sent_as_meant(query) and keeps_query_rules(query) and keeps_reading_rules(query)
    if case.operation.path in ("/mcp/tools/discover_services", "/mcp/tools/list_capabilities"):
        return keeps_query_rules(body)
    document = body.get("registration_data", body)
    return not isinstance(document, dict) or keeps_document_rules(document)


def is_sent_as_meant(query: Any) -> bool:
    """Nothing that is meant to be wrong and arrives as a text that is right, or not at all: a query has only texts."""
    return not any(
        value is None or value in ([], {}) or (isinstance(value, bool) and name not in SWITCHES)
        for name, value in query.items()
    )


def keeps_query_rules(query: Any) -> bool:
    """One value for a parameter with two names, and no `continue` that no page gave."""
    contradicts = any(query.get(one) is not None and query.get(other) is not None for one, other in SAME)
    return not contradicts and not query.get("continue")


def keeps_reading_rules(query: Any) -> bool:
    """No watch, which does not end; no version that has not come to pass, for which the registry waits in vain."""
    if "watch" in query or query.get("resource_version") is not None:
        return False
    wanted = query.get("min_resource_version")
    return not str(wanted).isdecimal() or int(wanted) == 0


def keeps_document_rules(document: dict[str, Any]) -> bool:
    """No capability twice, no eviction before the timeout, and what lengths there are in sum."""
    timeout, eviction = document.get("timeout_threshold"), document.get("eviction_threshold")
    if is_number(timeout) and is_number(eviction) and timeout > eviction:
        return False
    capabilities = [each for each in listed(document.get("capabilities")) if isinstance(each, dict)]
    named = Counter((str(each.get("name")), str(each.get("version") or "1.0.0")) for each in capabilities)
    if any(count > 1 for count in named.values()):
        return False
    maps = [keyed(document.get(key)) for key in ("labels", "annotations")]
    if any(len(prefix(key)) > MAX_PREFIX for each in maps for key in each):
        return False
    selectors = [str(keyed(each).get("label_selector") or "") for each in listed(document.get("dependencies"))]
    if any(len(prefix(part)) > MAX_PREFIX for selector in selectors for part in selector.split(",")):
        return False
    texts = [text for key, value in maps[1].items() for text in (key, value) if isinstance(text, str)]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) <= MAX_ANNOTATIONS_BYTES


def prefix(key: str) -> str:
    return key.split("/")[0] if "/" in key else ""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def keyed(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
