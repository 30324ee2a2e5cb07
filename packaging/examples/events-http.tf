# One server, or one relay, to which EventBridge posts the events of a stack.
#
# What it makes:   a rule on the system bus whose target is a URL.
# What it costs:   0.91 USD per million events that are posted.
# What to change:  the variables. Put the output into the server's configuration, and its certificate where that says.
# Limits:          5 targets to a rule and 50 rules to a bus: not for fleets.
#
# The server must be reachable from the internet at listener_url, over TLS, with a certificate that clients trust.
# Keep it apart from the state that makes the watched stack: a rule that is deleted with the stack cannot tell of its end. The watched stack
# must have `eventbridge` among its notification_urls, which replaces the stack when it is changed later.
# Not applied to a live account, nor run through the provider. docs/fleet.md says what is unknown.
variable "watched_stack_id" {
  type        = string
  description = "ID of the stack whose events are wanted"
}

variable "listener_url" {
  type        = string
  default     = "https://agent.example.com:8443/ros/events"
  description = "the URL of the listener, as EventBridge reaches it; it is part of what is signed"
}

resource "alicloud_event_bridge_rule" "stack" {
  event_bus_name = "default"
  rule_name      = "ros-agent-http-${var.watched_stack_id}"
  filter_pattern = jsonencode({
    source = ["acs.ros"]
    type   = [{ prefix = "ros:StackStateChange:" }, "ros:Stack:StatusChange"]
    data   = { StackId = [var.watched_stack_id] }
  })

  targets {
    target_id           = "listener"
    type                = "https"
    endpoint            = var.listener_url
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    param_list {
      resource_key = "url"
      form         = "CONSTANT"
      value        = var.listener_url
    }

    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }

    param_list {
      resource_key = "Network"
      form         = "CONSTANT"
      value        = "PublicNetwork"
    }
  }
}

output "agent_configuration" {
  description = "for /etc/ros-signal-agent/conf.d/events.toml"
  value       = <<-END
    [source.events]
    type = "http"
    listen = "0.0.0.0:8443"
    url = "${var.listener_url}"
    tls_certificate = "/etc/ros-signal-agent/tls/server.pem"
    tls_key = "/etc/ros-signal-agent/tls/server.key"
  END
}
