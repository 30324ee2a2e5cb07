# A fleet of any size without queues and listeners: Cloud Assistant drops each event, as a file, into a directory that the agents watch.
#
# What it makes:   a rule on the system bus, a function of Function Compute that the rule calls (events-cloud-assistant.py beside this file),
#                  and the role with which the function has Cloud Assistant run one small command on all instances with a tag.
# What it costs:   one short call of a function for each event; Cloud Assistant is free. The prices of Function Compute: look them up.
# What to change:  the variables. Give the instances the tag, put the first output into their configuration, and run the second on each.
# Limits:          how many instances one RunCommand by tag reaches, and how often it may be called, is not known to us: look at the
#                  quotas of Cloud Assistant in your account first. Events arrive after tens of seconds.
#
# Keep it apart from the state that makes the watched stack: a rule that is deleted with the stack cannot tell of its end. The watched stack
# must have `eventbridge` among its notification_urls, which replaces the stack when it is changed later.
# Not applied to a live account, nor run through the provider. It uses services and functions of Function Compute 2.0, whose target parameters
# are known from public examples only. docs/fleet.md says more.
variable "watched_stack_id" {
  type        = string
  description = "ID of the stack whose events are wanted"
}

variable "name" {
  type        = string
  default     = "ros-signal-agent-events"
  description = "name of function, service, role and policy"
}

variable "tag_key" {
  type        = string
  default     = "ros-signal-agent"
  description = "key of the tag of the instances"
}

variable "tag_value" {
  type        = string
  default     = "spool"
  description = "its value"
}

variable "spool_directory" {
  type        = string
  default     = "/var/lib/ros-signal-agent-spool"
  description = "the directory on the instances"
}

data "alicloud_account" "me" {}

data "alicloud_regions" "here" {
  current = true
}

locals {
  region  = data.alicloud_regions.here.regions[0].id
  account = data.alicloud_account.me.id
}

data "archive_file" "function" {
  type        = "zip"
  output_path = "${path.module}/events-cloud-assistant.zip"

  source {
    content  = file("${path.module}/events-cloud-assistant.py")
    filename = "index.py"
  }
}

resource "alicloud_ram_role" "function" {
  role_name = var.name
  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = ["fc.aliyuncs.com"] }
      },
    ]
  })
}

# RunCommand is root on the instances: keep this role to the function.
resource "alicloud_ram_policy" "function" {
  policy_name = var.name
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["ecs:RunCommand"]
        Resource = ["acs:ecs:${local.region}:${local.account}:instance/*", "acs:ecs:${local.region}:${local.account}:command/*"]
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "function" {
  policy_name = alicloud_ram_policy.function.policy_name
  policy_type = "Custom"
  role_name   = alicloud_ram_role.function.role_name
}

resource "alicloud_fc_service" "function" {
  name = var.name
  role = alicloud_ram_role.function.arn
}

resource "alicloud_fc_function" "function" {
  service     = alicloud_fc_service.function.name
  name        = var.name
  filename    = data.archive_file.function.output_path
  handler     = "index.handler"
  runtime     = "python3.9"
  memory_size = 128
  timeout     = 60

  environment_variables = {
    REGION    = local.region
    SPOOL     = var.spool_directory
    TAG_KEY   = var.tag_key
    TAG_VALUE = var.tag_value
  }
}

resource "alicloud_event_bridge_rule" "stack" {
  event_bus_name = "default"
  rule_name      = "ros-agent-spool-${var.watched_stack_id}"
  filter_pattern = jsonencode({
    source = ["acs.ros"]
    type   = [{ prefix = "ros:StackStateChange:" }, "ros:Stack:StatusChange"]
    data   = { StackId = [var.watched_stack_id] }
  })

  targets {
    target_id           = "function"
    type                = "acs.fc.function"
    endpoint            = "acs:fc:${local.region}:${local.account}:services/${alicloud_fc_service.function.name}.LATEST/functions/${alicloud_fc_function.function.name}"
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    param_list {
      resource_key = "serviceName"
      form         = "CONSTANT"
      value        = alicloud_fc_service.function.name
    }

    param_list {
      resource_key = "functionName"
      form         = "CONSTANT"
      value        = alicloud_fc_function.function.name
    }

    param_list {
      resource_key = "Qualifier"
      form         = "CONSTANT"
      value        = "LATEST"
    }

    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }
  }
}

output "agent_configuration" {
  description = "for /etc/ros-signal-agent/conf.d/events.toml"
  value       = <<-END
    [source.events]
    type = "spool"
    directory = "${var.spool_directory}"
  END
}

output "spool_directory" {
  description = "to be run once on each instance, as root"
  value       = "install -d -m 0700 -o ros-signal-agent -g ros-signal-agent ${var.spool_directory}"
}
