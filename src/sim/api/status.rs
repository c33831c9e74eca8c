//! The error every part of the simulated API server answers with: a `metav1.Status`.
//! It never decides anything; the parts build it, the server renders it.

use serde_json::{Value, json};

/// An answer that is not an object: an error, or the success of a delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub code: u16,
    /// The machine word, such as `NotFound`; empty where the real server gives none.
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Value>,
    /// More headers to send, lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Sent as text/plain, the message alone.
    pub plain: bool,
    /// The token in `metadata.continue` of an expired page.
    pub next_page: Option<Box<str>>,
}

impl Status {
    /// A failure with nothing but its message.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            headers: Vec::new(),
            plain: false,
            next_page: None,
        }
    }

    /// A 400 with reason BadRequest.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// A 500 without a reason, as the server gives for its own surprises.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// Text without a Status around it.
    pub fn text(code: u16, message: impl Into<String>) -> Self {
        Self { plain: true, ..Self::new(code, "", message) }
    }

    /// The same with details.
    pub fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body as a `metav1.Status`.
    pub fn to_value(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.next_page {
            metadata["continue"] = json!(token);
        }
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata,
            "status": "Failure", "code": self.code,
        });
        if !self.message.is_empty() {
            body["message"] = json!(self.message);
        }
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Status;

    #[test]
    fn a_reason_that_is_empty_is_left_out() {
        let body = Status::internal("it broke").to_value();
        assert_eq!(
            body,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                   "message": "it broke", "code": 500})
        );
    }
}
