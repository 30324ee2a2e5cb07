"""One SignalResource with the official Python SDK V1 (PyPI aliyun-python-sdk-ros), as its samples do it.

Arguments: URL STACK UNIQUE_ID [CA_FILE]. The access key comes from the environment.
"""

import os
import sys
from urllib.parse import urlsplit

from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.http import protocol_type
from aliyunsdkros.request.v20190910.SignalResourceRequest import SignalResourceRequest

url = urlsplit(sys.argv[1])
client = AcsClient(
    os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"],
    os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
    "cn-hangzhou",
    verify=sys.argv[4] if len(sys.argv) > 4 else None,
)
request = SignalResourceRequest()
request.set_endpoint(url.netloc)
# The package looks for this very object, not for an equal text.
request.set_protocol_type(protocol_type.HTTPS if url.scheme == "https" else protocol_type.HTTP)
request.add_query_param("RegionId", "cn-hangzhou")
request.set_StackId(sys.argv[2])
request.set_LogicalResourceId("WebReady")
request.set_Status("SUCCESS")
request.set_UniqueId(sys.argv[3])
client.do_action_with_exception(request)
