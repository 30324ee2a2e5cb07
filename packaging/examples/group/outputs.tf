output "stack_id" {
  description = "ID of the stack, which the hosts signal"
  value       = alicloud_ros_stack.group.id
}

output "status" {
  description = "CREATE_COMPLETE or UPDATE_COMPLETE: all hosts are healthy"
  value       = alicloud_ros_stack.group.status
}
