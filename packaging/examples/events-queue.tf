# One server that reads the events of its stack from an SMQ queue. A message reaches ONE reader: with several servers take events-topic.tf.
#
# What it makes:   a queue and a rule on the system bus that puts the events of one stack into it, and the policy for reading it.
# What it costs:   a queue, 0.08 USD a day (about 2.40 USD a month); the rule and its pushes to SMQ are free.
# What to change:  the variables. Put the output into the server's configuration.
#
# Keep it apart from the state that makes the watched stack: a rule that is deleted with the stack cannot tell of its end. The watched stack
# must have `eventbridge` among its notification_urls, which replaces the stack when it is changed later.
# Not applied to a live account, nor run through the provider. docs/fleet.md says what is unknown.
variable "watched_stack_id" {
  type        = string
  description = "ID of the stack whose events are wanted"
}

variable "queue_name" {
  type        = string
  default     = "ros-agent-events"
  description = "name of the queue"
}

variable "instance_role" {
  type        = string
  description = "name of the RAM role of the server"
}

data "alicloud_account" "me" {}

data "alicloud_regions" "here" {
  current = true
}

locals {
  region  = data.alicloud_regions.here.regions[0].id
  account = data.alicloud_account.me.id
}

resource "alicloud_message_service_queue" "events" {
  queue_name               = var.queue_name
  polling_wait_seconds     = 30
  visibility_timeout       = 60
  message_retention_period = 86400
}

resource "alicloud_event_bridge_rule" "stack" {
  event_bus_name = "default"
  rule_name      = "ros-agent-${var.watched_stack_id}"
  filter_pattern = jsonencode({
    source = ["acs.ros"]
    type   = [{ prefix = "ros:StackStateChange:" }, "ros:Stack:StatusChange"]
    data   = { StackId = [var.watched_stack_id] }
  })

  targets {
    target_id           = "queue"
    type                = "acs.mns.queue"
    endpoint            = "acs:mns:${local.region}:${local.account}:queues/${alicloud_message_service_queue.events.queue_name}"
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    param_list {
      resource_key = "queue"
      form         = "CONSTANT"
      value        = alicloud_message_service_queue.events.queue_name
    }

    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }

    param_list {
      resource_key = "IsBase64Encode"
      form         = "CONSTANT"
      value        = "true"
    }
  }
}

resource "alicloud_ram_policy" "agent" {
  policy_name = "ros-signal-agent-${var.queue_name}"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["mns:ReceiveMessage", "mns:BatchReceiveMessage", "mns:DeleteMessage", "mns:BatchDeleteMessage", "mns:ChangeMessageVisibility"]
        Resource = ["acs:mns:${local.region}:${local.account}:/queues/${var.queue_name}/messages"]
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "agent" {
  policy_name = alicloud_ram_policy.agent.policy_name
  policy_type = "Custom"
  role_name   = var.instance_role
}

output "agent_configuration" {
  description = "for /etc/ros-signal-agent/conf.d/events.toml"
  value       = <<-END
    [source.events]
    type = "queue"
    queue = "${var.queue_name}"
  END
}
