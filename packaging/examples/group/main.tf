# A group of hosts behind one ROS stack: `terraform apply` returns when ros-signal-agent has found all of them healthy, and fails when one is not.
#
# What it makes:   the stack of ../group.yml, and by it the instances, their RAM role, and the handle and the condition that wait for them.
# What it costs:   the instances; all else is free.
# What to change:  the variables; checks and user data stand in ../group.yml, which is used as it is.
#
# The instances are in the stack and not beside it, because the stack is what waits: the provider comes back from alicloud_ros_stack when the
# condition is complete, and hosts need the stack's ID in order to signal. Instances that Terraform made after the stack would be waited for
# by a stack that they wait for.
# Not applied to a live account, nor run through the provider: written after its documents.
terraform {
  required_version = ">= 1.0"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.106.0"
    }
  }
}

locals {
  # The whole creation: the instances, then the condition.
  minutes = 20 + ceil(var.timeout / 60)
  parameters = {
    Amount          = var.amount
    Timeout         = var.timeout
    ZoneId          = var.zone_id
    VpcId           = var.vpc_id
    VSwitchId       = var.vswitch_id
    SecurityGroupId = var.security_group_id
    InstanceType    = var.instance_type
    ImageId         = var.image_id
    DebUrl          = var.deb_url
    DebSha256       = var.deb_sha256
    RpmUrl          = var.rpm_url
    RpmSha256       = var.rpm_sha256
  }
}

resource "alicloud_ros_stack" "group" {
  stack_name         = var.name
  template_body      = file("${path.module}/../group.yml")
  timeout_in_minutes = local.minutes

  dynamic "parameters" {
    for_each = local.parameters
    content {
      parameter_key   = parameters.key
      parameter_value = parameters.value
    }
  }

  # The provider's own limits are 11 minutes, less than hosts are given: Terraform would give up while the stack goes on.
  timeouts {
    create = "${local.minutes + 5}m"
    update = "${local.minutes + 5}m"
    delete = "20m"
  }
}
