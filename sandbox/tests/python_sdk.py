"""Uses the official SDK (PyPI alibabacloud_ros20190910) against a running ros-sandbox, as if it were ROS.

Reads one line of JSON from standard input: {"endpoint": "127.0.0.1:PORT", "access_key_id", "access_key_secret",
"security_token" (or null), "signature_algorithm" ("v2" or null), "stack_id", "unique_id"}.
The stack must be waiting for one signal at the handle WebReady, with the condition Wait.
Prints one line of JSON with what the SDK made of the answers.
"""

import json
import sys

from alibabacloud_ros20190910 import models
from alibabacloud_ros20190910.client import Client
from alibabacloud_tea_openapi.models import Config


def main():
    given = json.loads(sys.stdin.readline())
    config = Config(
        access_key_id=given["access_key_id"],
        access_key_secret=given["access_key_secret"],
        security_token=given["security_token"],
        signature_algorithm=given["signature_algorithm"],
        endpoint=given["endpoint"],
        protocol="http",
        region_id="cn-hangzhou",
    )
    client = Client(config)
    stack = {"region_id": "cn-hangzhou", "stack_id": given["stack_id"]}

    before = client.get_stack(models.GetStackRequest(**stack, show_resource_progress="EnabledIfCreateStack")).body
    signal = client.signal_resource(
        models.SignalResourceRequest(
            **stack,
            logical_resource_id="WebReady",
            status="SUCCESS",
            unique_id=given["unique_id"],
            client_token="token-" + given["stack_id"],
        )
    ).body
    after = client.get_stack(models.GetStackRequest(**stack)).body
    condition = client.get_stack_resource(
        models.GetStackResourceRequest(**stack, logical_resource_id="Wait", resource_attributes=["Data", "ErrorData"])
    ).body
    handle = client.get_stack_resource(
        models.GetStackResourceRequest(**stack, logical_resource_id="WebReady", show_resource_attributes=True)
    ).body
    events = client.list_stack_events(
        models.ListStackEventsRequest(**stack, logical_resource_id=["WebReady", "Wait"], page_size=50)
    ).body
    resources = client.list_stack_resources(models.ListStackResourcesRequest(**stack)).body
    try:
        client.get_stack(models.GetStackRequest(region_id="cn-hangzhou", stack_id="no-such-stack"))
        error = None
    except Exception as exception:  # the class differs between versions of the SDK
        error = {"code": exception.code, "status": getattr(exception, "status_code", None)}

    attributes = {a["ResourceAttributeKey"]: a["ResourceAttributeValue"] for a in condition.to_map()["ResourceAttributes"]}
    print(
        json.dumps(
            {
                "before": before.status,
                "progress": [d.to_map() for d in before.resource_progress.in_progress_resource_details],
                "request_id": signal.request_id,
                "after": after.status,
                "stack_name": after.stack_name,
                "condition": condition.status,
                "data": json.loads(attributes["Data"]),
                "error_data": json.loads(attributes["ErrorData"]),
                "handle_type": handle.resource_type,
                "event_statuses": [event.status for event in events.events],
                "event_reasons": [event.status_reason for event in events.events],
                "resources": sorted(r.logical_resource_id for r in resources.resources),
                "error": error,
            }
        )
    )


main()
