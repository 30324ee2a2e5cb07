//! What is known of a handle's URL, and the answers of the service behind it.

use super::answer::{self, Reply};
use super::document::Document;
use crate::fuzzing::{answer, hides};
use reqwest::Url;

/// A URL with a signature that nothing repeats.
const URL: &str = "http://100.100.100.110/waitcondition?stackname=s&stackid=4a6c9851-3b0f-4f5f-b4ca-a14bf6910000&resource=WebReady&expire=1790000000&signature=Tr0ub4dor%2Band%2F3canary";
const SECRET: &str = "Tr0ub4dor+and/3canary";

/// Reads `text`; what is understood can be sent, and is not shown.
pub fn handle_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Document::parse(text) {
        Ok(document) => {
            let url = Url::parse(document.url().expose()).expect("a URL that was taken is one");
            assert!(matches!(url.scheme(), "http" | "https") && url.has_host());
            let service = document.service().expect("it has a service");
            assert!(service.query().is_none() && service.path() == "/");
            assert!(document.headers().len() <= 16);
            if let Some(query) = url.query().filter(|query| query.len() >= 16) {
                hides(&format!("{document:?}"), query);
            }
            let _ = document.masked(text);
        }
        Err(invalid) => {
            let said = invalid.to_string();
            assert!(said.len() < 256 && !said.contains(char::is_control), "{said}");
        }
    }
}

/// Judges an answer, for a document of our own and, if it is one, for that in `text`.
pub fn handle_answer(text: &[u8], data: &[u8]) {
    let (status, headers, body) = answer(data);
    let reply = Reply { status, headers, body: body.to_vec() };
    let own = Document::parse(URL).expect("our own");
    let given = std::str::from_utf8(text).ok().and_then(|text| Document::parse(text).ok());
    if let Some(document) = &given {
        judge(&reply, document, true);
    }
    for late in [true, false] {
        let shown = judge(&reply, &own, late);
        hides(&shown, SECRET);
        hides(&shown, "Tr0ub4dor%2Band%2F3canary");
    }
}

/// What is said about an answer.
fn judge(reply: &Reply, document: &Document, late: bool) -> String {
    match answer::judge(reply, document, "host", late, 1_790_000_000_000) {
        Ok(receipt) => {
            assert!(matches!(reply.status, 200 | 201 | 202 | 204), "what is acknowledged is a success");
            receipt
        }
        Err(refused) => format!("{refused:?}"),
    }
}
