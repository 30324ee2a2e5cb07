"""Uses the official SDK (PyPI aliyun-mns-sdk 1.3.0) against a running ros-sandbox, as if it were SMQ.

Reads one line of JSON from standard input: {"endpoint": "http://127.0.0.1:PORT", "access_key_id", "access_key_secret",
"security_token" (or "")}. Does the whole round and prints one line of JSON with what the SDK made of the answers.
"""

import json
import sys
import time
from xml.etree import ElementTree

from mns.account import Account
from mns.mns_exception import MNSServerException
from mns.queue import Message, QueueMeta
from mns.subscription import SubscriptionMeta
from mns.topic import TopicMessage, TopicMeta


def code(call):
    """The code with which a call is refused; none: it was not refused."""
    try:
        call()
    except MNSServerException as exception:
        assert exception.req_id and exception.message, str(exception)
        return exception.type
    return None


def queues(account):
    """Queues and their attributes."""
    queue = account.get_queue("round")
    url = queue.create(QueueMeta(vis_timeout=60, polling_wait_sec=0))
    again = queue.create(QueueMeta(vis_timeout=60, polling_wait_sec=0))
    differing = code(lambda: queue.create(QueueMeta(vis_timeout=61)))
    before = queue.get_attributes()
    queue.set_attributes(QueueMeta(vis_timeout=30))
    after = queue.get_attributes()
    for name in ("page-1", "page-2", "page-3"):
        account.get_queue(name).create(QueueMeta())
    first, marker = account.list_queue(prefix="page-", ret_number=2)
    second, end = account.list_queue(prefix="page-", ret_number=2, marker=marker)
    return queue, {
        "url": url,
        "same_url": url == again,
        "differing": differing,
        "visibility": [before.visibility_timeout, after.visibility_timeout],
        "times": before.create_time <= after.last_modify_time and abs(time.time() - before.create_time) < 600,
        "pages": [[url.rsplit("/", 1)[1] for url in page] for page in (first, second)],
        "end": end,
        "missing": code(lambda: account.get_queue("nowhere").get_attributes()),
    }


def messages(queue):
    """One message on its way, then batches."""
    body = '{"id": "1", "text": "<&> \u4e2d"}'
    sent = queue.send_message(Message(body))
    peeked = queue.peek_message()
    received = queue.receive_message()
    counts = queue.get_attributes()
    changed = queue.change_message_visibility(received.receipt_handle, 100)
    dead = code(lambda: queue.delete_message(received.receipt_handle))
    queue.delete_message(changed.receipt_handle)
    gone = code(lambda: queue.delete_message(changed.receipt_handle))
    empty = code(lambda: queue.receive_message())
    began = time.monotonic()
    held = code(lambda: queue.receive_message(1))
    waited = time.monotonic() - began

    queue.set_encoding(False)
    many = queue.batch_send_message([Message(str(n)) for n in range(16)])
    peeked_many = queue.batch_peek_message(3)
    batch = queue.batch_receive_message(16)
    handles = [message.receipt_handle for message in batch]
    queue.batch_delete_message(handles[:2])
    try:
        queue.batch_delete_message(handles[1:4])
        partial = None
    except MNSServerException as exception:
        partial = [[error["ErrorCode"], error["ReceiptHandle"] == handles[1]] for error in exception.sub_errors]
    queue.batch_delete_message(handles[4:])
    queue.set_encoding(True)
    return {
        "sent": [sent.message_id == received.message_id, sent.message_body_md5 == received.message_body_md5],
        "peeked": [peeked.message_body.decode() == body, peeked.dequeue_count],
        "received": [received.message_body.decode() == body, received.dequeue_count, received.priority],
        "visible_in": round((received.next_visible_time - received.first_dequeue_time) / 1000),
        "counts": [counts.active_messages, counts.inactive_messages, counts.delay_messages],
        "changed": [changed.receipt_handle != received.receipt_handle, int(changed.next_visible_time) > received.next_visible_time],
        "dead": dead,
        "gone": gone,
        "empty": empty,
        "held": [held, 0.9 <= waited < 20],
        "many": [len(many), len(peeked_many), len(batch), [str(message.message_body) for message in batch][:3]],
        "partial": partial,
        "left": code(lambda: queue.peek_message()),
    }


def topics(account, queue):
    """A topic with a subscription of each format."""
    topic = account.get_topic("events")
    topic.create(TopicMeta())
    topic.create(TopicMeta())
    queue.set_encoding(False)
    bodies = {}
    listed = []
    for form in ("XML", "JSON", "SIMPLIFIED"):
        subscription = topic.get_subscription("sub-" + form.lower())
        meta = SubscriptionMeta("acs:mns:cn-hangzhou:1234567890123456:queues/round", "BACKOFF_RETRY", form)
        subscription.subscribe(meta)
        subscription.subscribe(meta)
        listed = [url.rsplit("/", 1)[1] for url in topic.list_subscription()[0]]
        attributes = subscription.get_attributes()
        published = topic.publish_message(TopicMessage('{"n": "' + form + ' <&>"}'))
        received = queue.receive_message(5)
        queue.delete_message(received.receipt_handle)
        body = received.message_body
        if form == "XML":
            root = ElementTree.fromstring(body)
            fields = {child.tag.split("}")[1]: child.text for child in root}
        elif form == "JSON":
            fields = json.loads(body)
        else:
            fields = {"Message": body, "TopicName": "events", "MessageId": published.message_id}
        bodies[form] = [fields["Message"], fields["TopicName"], fields["MessageId"] == published.message_id, attributes.notify_content_format]
        subscription.unsubscribe()
    empty = [topic.list_subscription()[0], code(lambda: queue.peek_message())]
    bad = code(lambda: topic.get_subscription("bad").subscribe(SubscriptionMeta("acs:mns:nowhere")))
    topics = [url.rsplit("/", 1)[1] for url in account.list_topic()[0]]
    topic.delete()
    missing = code(lambda: topic.publish_message(TopicMessage("x")))
    return {"bodies": bodies, "listed": listed, "empty": empty, "bad": bad, "topics": topics, "missing": missing}


def main():
    given = json.loads(sys.stdin.readline())
    token = given["security_token"]
    account = Account(given["endpoint"], given["access_key_id"], given["access_key_secret"], token)
    wrong = Account(given["endpoint"], given["access_key_id"], "wrong", token)
    unknown = Account(given["endpoint"], "nobody", given["access_key_secret"], token)
    queue, made = queues(account)
    seen = {"queues": made, "messages": messages(queue), "topics": topics(account, queue)}
    seen["refused"] = [code(lambda: wrong.list_queue()), code(lambda: unknown.list_queue())]
    queue.delete()
    seen["deleted"] = code(lambda: queue.send_message(Message("x")))
    print(json.dumps(seen))


main()
