# Three web servers: a file of your own configuration, with a module that was fetched from a checkout of this repository.
provider "alicloud" {
  region = "cn-hangzhou"
}

module "web" {
  source = "../"

  name              = "web"
  amount            = 3
  zone_id           = "cn-hangzhou-h"
  vpc_id            = "vpc-bp1aevy8sofi8mh1q****"
  vswitch_id        = "vsw-bp1ddbrxdlrcbim46****"
  security_group_id = "sg-bp15ed6xe1yxeycg7****"
  instance_type     = "ecs.g7.large"
  image_id          = "m-bp1g7004ksh0oeuc****"
  deb_url           = "http://BUCKET.oss-cn-hangzhou-internal.aliyuncs.com/ros-signal-agent.deb"
  deb_sha256        = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
}

output "web_stack_id" {
  value = module.web.stack_id
}
