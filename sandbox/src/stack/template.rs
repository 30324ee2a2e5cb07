//! The template of a stack: as it was given, or made from its resources.

use serde_json::{Map, Value, json};

use super::spec::Mode;
use super::{Resource, ResourceKind, Stack};

impl Stack {
    /// `TemplateBody` of GetTemplate.
    pub(crate) fn template_body(&self) -> String {
        self.template.clone().unwrap_or_else(|| {
            let resources: Map<String, Value> = self.resources.iter().map(|(name, resource)| (name.clone(), describe(resource))).collect();
            json!({"ROSTemplateFormatVersion": "2015-09-01", "Resources": resources}).to_string()
        })
    }
}

fn describe(resource: &Resource) -> Value {
    let properties = match &resource.kind {
        ResourceKind::Handle(handle) => {
            let mode = match handle.mode {
                Mode::Full => "Full",
                Mode::Increment => "Increment",
            };
            json!({"Mode": mode, "Count": handle.count})
        }
        // ROS counts whole seconds.
        ResourceKind::Condition(condition) => {
            let timeout = format!("{:.0}", condition.timeout.ceil());
            json!({"Handle": {"Ref": condition.handle}, "Count": condition.count, "Timeout": timeout})
        }
        ResourceKind::Other { .. } => json!({}),
    };
    let mut described = json!({"Type": resource.kind.resource_type(), "Properties": properties});
    if let Some(members) = described.as_object_mut().filter(|_| !resource.metadata.is_empty()) {
        members.insert("Metadata".to_owned(), Value::Object(resource.metadata.clone()));
    }
    described
}
