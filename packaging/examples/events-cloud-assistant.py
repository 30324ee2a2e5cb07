# Runs in Function Compute as the target of an EventBridge rule: has Cloud Assistant put the event, as a file, into the spool of
# every instance with a tag. Only the standard library. Outputs are left out: they may be secret, and commands are kept.
import base64, hashlib, hmac, json, os, time, urllib.parse, urllib.request, uuid

SPOOL = os.environ.get("SPOOL", "/var/lib/ros-signal-agent-spool")
KEPT = ("id", "source", "specversion", "type", "subject", "time", "aliyunaccountid", "aliyunregionid")


def script(event):
    small = {key: event[key] for key in KEPT if key in event}
    data = event.get("data") or {}
    small["data"] = {key: data[key] for key in ("StackId", "StackName", "Status") if key in data}
    body = base64.b64encode(json.dumps(small).encode()).decode()
    name = hashlib.sha256(str(event.get("id")).encode()).hexdigest()[:32]
    # The event is base64, so nothing of it is read by the shell; the file is complete before it is in the directory.
    return (
        "set -eu\nfile=$(mktemp '%s.XXXXXXXX')\nprintf %%s '%s' | base64 -d >\"$file\"\nchmod 0644 \"$file\"\nmv \"$file\" '%s/%s.json'\n"
        % (SPOOL, body, SPOOL, name)
    )


def quoted(text):
    return urllib.parse.quote(str(text), safe="-_.~")


def call(parameters, credentials):
    parameters = dict(
        parameters,
        Format="JSON",
        Version="2014-05-26",
        AccessKeyId=credentials.access_key_id,
        SignatureMethod="HMAC-SHA1",
        SignatureVersion="1.0",
        SignatureNonce=uuid.uuid4().hex,
        Timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    if credentials.security_token:
        parameters["SecurityToken"] = credentials.security_token
    query = "&".join(quoted(name) + "=" + quoted(parameters[name]) for name in sorted(parameters))
    key = (credentials.access_key_secret + "&").encode()
    text = "POST&%2F&" + quoted(query)
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha1).digest()).decode()
    endpoint = os.environ.get("ENDPOINT") or "https://ecs.%s.aliyuncs.com" % parameters["RegionId"]
    body = (query + "&Signature=" + quoted(signature)).encode()
    with urllib.request.urlopen(urllib.request.Request(endpoint, body), timeout=20) as answer:
        return answer.read().decode()


def handler(event, context):
    event = json.loads(event)
    content = base64.b64encode(script(event).encode()).decode()
    parameters = {
        "Action": "RunCommand",
        "RegionId": os.environ.get("REGION") or context.region,
        "Type": "RunShellScript",
        "ContentEncoding": "Base64",
        "CommandContent": content,
        "Timeout": 60,
        "ResourceTag.1.Key": os.environ.get("TAG_KEY", "ros-signal-agent"),
        "ResourceTag.1.Value": os.environ.get("TAG_VALUE", "spool"),
    }
    return call(parameters, context.credentials)
