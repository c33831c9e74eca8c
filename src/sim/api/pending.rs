//! Stands in for rules that are not merged yet. Goes away.
pub mod apply {
    use serde_json::Value;

    use crate::sim::api::status::Status;
    use crate::sim::rules::schema::Kind;
    pub struct ApplyOptions {
        pub manager: String,
        pub force: bool,
        pub now: String,
        pub subresource: String,
    }
    pub fn apply(live: Option<&Value>, body: &Value, _o: &ApplyOptions, _k: &Kind) -> Result<Value, Status> {
        let mut object = live.cloned().unwrap_or_else(|| serde_json::json!({}));
        json_patch::merge(&mut object, body);
        Ok(object)
    }
}
pub mod fields {
    use serde_json::Value;

    use crate::sim::rules::schema::Kind;
    pub struct UpdateOptions {
        pub manager: String,
        pub subresource: String,
        pub now: String,
    }
    pub fn track_update(_old: Option<&Value>, _new: &mut Value, _o: &UpdateOptions, _k: &Kind) {}
}
pub mod patch {
    use serde_json::Value;

    use crate::sim::api::status::Status;
    use crate::sim::rules::decode::{Decoded, Validation, patched};
    use crate::sim::rules::schema::Kind;
    pub fn merge(live: &Value, body: &[u8], kind: &Kind, v: Validation) -> Result<Decoded, Status> {
        let patch: Value = serde_json::from_slice(body).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut object = live.clone();
        json_patch::merge(&mut object, &patch);
        patched(&object, &object.to_string(), kind, v)
    }
    pub fn json(live: &Value, body: &[u8], kind: &Kind, v: Validation) -> Result<Decoded, Status> {
        let patch: json_patch::Patch =
            serde_json::from_slice(body).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut object = live.clone();
        json_patch::patch(&mut object, &patch).map_err(|e| Status::new(422, "Invalid", e.to_string()))?;
        patched(&object, &object.to_string(), kind, v)
    }
    pub fn strategic(live: &Value, body: &[u8], kind: &Kind, v: Validation) -> Result<Decoded, Status> {
        merge(live, body, kind, v)
    }
}
pub mod auth {
    #[derive(Debug, Clone, Default)]
    pub struct User {
        pub name: String,
        pub groups: Vec<String>,
    }
}
