variable "name" {
  type        = string
  description = "name of the stack"
}

variable "amount" {
  type        = number
  default     = 2
  description = "how many hosts there are, and must be healthy"

  validation {
    condition     = var.amount >= 1 && var.amount <= 100
    error_message = "A group has 1 to 100 hosts."
  }
}

variable "timeout" {
  type        = number
  default     = 1800
  description = "for how many seconds the stack waits, from when the instances run; the agents decide a minute before"

  validation {
    condition     = var.timeout >= 300 && var.timeout <= 43200
    error_message = "A condition waits for 300 to 43200 seconds here."
  }
}

variable "zone_id" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "vswitch_id" {
  type = string
}

variable "security_group_id" {
  type = string
}

variable "instance_type" {
  type = string
}

variable "image_id" {
  type        = string
  description = "an image with a web server on port 8080"
}

variable "deb_url" {
  type        = string
  default     = ""
  description = "where hosts of Debian and Ubuntu get the package, without a key"
}

variable "deb_sha256" {
  type        = string
  default     = ""
  description = "what sha256sum says of that package"

  validation {
    condition     = can(regex("^([0-9a-f]{64})?$", var.deb_sha256))
    error_message = "A SHA-256 has 64 hexadecimal digits in lower case."
  }
}

variable "rpm_url" {
  type        = string
  default     = ""
  description = "the same for Alibaba Cloud Linux and others with RPM; one of the two is enough where all hosts are of a kind"
}

variable "rpm_sha256" {
  type        = string
  default     = ""
  description = "what sha256sum says of that package"

  validation {
    condition     = can(regex("^([0-9a-f]{64})?$", var.rpm_sha256))
    error_message = "A SHA-256 has 64 hexadecimal digits in lower case."
  }
}
