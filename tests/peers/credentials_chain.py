"""What the default chain of the package alibabacloud-credentials picks in each of several set-ups.

Standard input: {"sts": "HOST:PORT", "rows": [{"metadata": "HOST:PORT", "environment": {...}}, ...]}
Standard output: one JSON line for each row, {"id": ..., "type": ...} or {"error": ...}.

The package reads its environment when it is imported, so each row has a process of its own, forked after what is slow to import. The
addresses of the metadata service and of STS are constants in the package. They are led elsewhere at the one place through which all its
requests go, because with real ones there would be nothing on a host that tests run on that answers; what the request says is left alone.
"""

import json
import os
import sys

import aiofiles  # noqa: F401
import aiohttp  # noqa: F401
import apscheduler.schedulers.background  # noqa: F401
import requests  # noqa: F401
from Tea.core import TeaCore


def redirect(sts, metadata):
    original = TeaCore.do_action

    def do_action(request, runtime_option=None):
        host = request.headers.get("host", "")
        place = {"100.100.100.200": metadata}.get(host)
        if host.startswith("sts") and host.endswith(".aliyuncs.com"):
            place = sts
        if place is not None:
            name, port = place.rsplit(":", 1)
            request.headers["host"], request.port, request.protocol = name, int(port), "http"
        return original(request, runtime_option)

    TeaCore.do_action = staticmethod(do_action)


def pick(sts, row):
    os.environ.clear()
    os.environ.update(row["environment"])
    redirect(sts, row["metadata"])
    try:
        from alibabacloud_credentials.provider import DefaultCredentialsProvider

        found = DefaultCredentialsProvider().get_credentials()
        return {"id": found.get_access_key_id(), "type": found.get_provider_name()}
    except Exception as error:  # the package raises several kinds
        return {"error": str(error)}


def main():
    told = json.load(sys.stdin)
    for row in told["rows"]:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            print(json.dumps(pick(told["sts"], row)), flush=True)
            os._exit(0)  # schedulers of the package would keep it
        os.waitpid(child, 0)


main()
