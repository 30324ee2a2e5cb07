"""One SignalResource with the official Python SDK V2 (PyPI alibabacloud_ros20190910), as its samples do it.

Arguments: URL STACK UNIQUE_ID [CA_FILE]. The access key comes from the environment.
"""

import os
import sys
from urllib.parse import urlsplit

from alibabacloud_ros20190910 import models
from alibabacloud_ros20190910.client import Client
from alibabacloud_tea_openapi.models import Config

url = urlsplit(sys.argv[1])
client = Client(
    Config(
        access_key_id=os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"],
        access_key_secret=os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
        endpoint=url.netloc,
        protocol=url.scheme,
        ca=sys.argv[4] if len(sys.argv) > 4 else None,
    )
)
client.signal_resource(
    models.SignalResourceRequest(
        region_id="cn-hangzhou",
        stack_id=sys.argv[2],
        logical_resource_id="WebReady",
        status="SUCCESS",
        unique_id=sys.argv[3],
    )
)
