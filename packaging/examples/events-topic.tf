# A fleet in which every agent gets every event within seconds: a topic, and behind it a queue of each agent's own, made by the agent.
#
# What it makes:   a topic, a rule on the system bus that publishes the events of one stack to it, and the policy for the instances.
# What it costs:   the topic 0.32 USD a day, and 0.08 USD a day for the queue of each instance (100 instances: about 250 USD a month).
# What to change:  the variables. Put the output into the configuration of all instances.
# Limits:          100 subscriptions to a topic, 1,000 queues in a region. What dead instances leave: `ros-signal-agent events gc`.
#
# Keep it apart from the state that makes the watched stack: a rule that is deleted with the stack cannot tell of its end. The watched stack
# must have `eventbridge` among its notification_urls, which replaces the stack when it is changed later.
# Not applied to a live account, nor run through the provider. The parameters of a topic target are those of a queue by analogy: compare with
# what the console makes. docs/fleet.md says what else is unknown.
variable "watched_stack_id" {
  type        = string
  description = "ID of the stack whose events are wanted"
}

variable "topic_name" {
  type        = string
  default     = "ros-events"
  description = "name of the topic"
}

variable "instance_role" {
  type        = string
  description = "name of the RAM role of the instances"
}

data "alicloud_account" "me" {}

data "alicloud_regions" "here" {
  current = true
}

locals {
  region  = data.alicloud_regions.here.regions[0].id
  account = data.alicloud_account.me.id
}

resource "alicloud_message_service_topic" "events" {
  topic_name = var.topic_name
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
    target_id           = "topic"
    type                = "acs.mns.topic"
    endpoint            = "acs:mns:${local.region}:${local.account}:topics/${alicloud_message_service_topic.events.topic_name}"
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    param_list {
      resource_key = "topic"
      form         = "CONSTANT"
      value        = alicloud_message_service_topic.events.topic_name
    }

    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }
  }
}

# Exactly what an agent does with the queue that it owns. RAM cannot tell the instances of one role apart.
resource "alicloud_ram_policy" "agent" {
  policy_name = "ros-signal-agent-${var.topic_name}"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["mns:CreateQueue", "mns:GetQueueAttributes", "mns:SetQueueAttributes", "mns:DeleteQueue"]
        Resource = ["acs:mns:${local.region}:${local.account}:/queues/ros-signal-agent-*"]
      },
      {
        Effect   = "Allow"
        Action   = ["mns:ReceiveMessage", "mns:BatchReceiveMessage", "mns:DeleteMessage", "mns:BatchDeleteMessage", "mns:ChangeMessageVisibility"]
        Resource = ["acs:mns:${local.region}:${local.account}:/queues/ros-signal-agent-*/messages"]
      },
      {
        Effect   = "Allow"
        Action   = ["mns:Subscribe", "mns:Unsubscribe"]
        Resource = ["acs:mns:${local.region}:${local.account}:/topics/${var.topic_name}/subscriptions/ros-signal-agent-*"]
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
    topic = "${var.topic_name}"
  END
}
