//! Every form in which people have the URL of a handle, and what is none.

use proptest::prelude::*;
use ros_signal_agent::handle::Document;
use ros_signal_agent::signal::Place;

const URL: &str = "http://100.100.100.110/waitcondition?stackname=web&stackid=4a6c9851-3b0f-4f5f-b4ca-a14bf6910000&resource=WebReady\
                   &expire=1790000000&signature=0123456789abcdef0123456789abcdef01234567";

fn curl() -> String {
    let escaped = URL.replace('&', "\\&");
    format!("curl -i -X POST -H 'Content-Type: application/json' -H 'Accept: application/json' -H 'x-acs-region-id: cn-hangzhou' {escaped}")
}

fn place(region: Option<&str>) -> Place {
    Place {
        stack_id: Some("4a6c9851-3b0f-4f5f-b4ca-a14bf6910000".to_owned()),
        region: region.map(str::to_owned),
        resource: Some("WebReady".to_owned()),
        expires: Some(1_790_000_000),
    }
}

#[test]
fn every_form_of_the_document_leads_to_the_same_handle() {
    let headers = r#"{"Content-Type": "application/json", "Accept": "application/json", "x-acs-region-id": "cn-hangzhou"}"#;
    let quoted = serde_json::Value::from(headers).to_string();
    let with_region = [
        curl(),
        format!("\n  {}\n", curl().replace(" -H", " \\\n  -H")),
        curl().replace("\\&", "&").replace("http://", "'http://") + "'",
        format!("/usr/bin/curl -sS -XPOST -H'x-acs-region-id:cn-hangzhou' --url {}", URL.replace('&', "\\&")),
        format!("curl.exe -i --request POST --header \"x-acs-region-id: cn-hangzhou\" \"{URL}\""),
        format!("{{\"URL\": \"{URL}\", \"Headers\": {headers}}}"),
        format!("\u{feff}{{\n \"Headers\": {quoted},\n \"URL\": \" {URL}\\n\"\n}}\n"),
        format!("{{\"url\": \"{URL}\", \"headers\": {headers}, \"CurlCli\": \"not looked at\"}}"),
        serde_json::json!({"CurlCli": curl()}).to_string(),
    ];
    for text in with_region {
        let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(document.place(), &place(Some("cn-hangzhou")), "{text}");
    }
    let bare = [
        URL.to_owned(),
        format!("\n{URL}\r\n"),
        format!("\"{URL}\""),
        URL.replace('&', "\\&"),
        format!("{{\"URL\": \"{URL}\"}}"),
        format!("{{\"URL\": \"{URL}\", \"Headers\": null}}"),
        URL.replace("http:", "https:"),
    ];
    for text in bare {
        assert_eq!(Document::parse(&text).unwrap().place(), &place(None), "{text}");
    }
}

#[test]
fn a_url_of_another_shape_is_taken_as_it_is() {
    for url in ["http://100.100.100.110/v2/signal/abcdef", "https://wait.example/?token=a%20b", "http://h?x=1", "http://[::1]:8080/a"] {
        assert_eq!(Document::parse(url).unwrap().place(), &Place::default(), "{url}");
    }
    let strange = "http://h/w?stackid=../../x&resource=a%00b&expire=soon";
    assert_eq!(Document::parse(strange).unwrap().place(), &Place::default(), "what makes no sense is not believed");
}

#[test]
fn what_is_no_document_is_refused_with_its_line_and_what_to_do() {
    let long = format!("http://h/{}", "x".repeat(5_000));
    let large = "x".repeat(17_000);
    let many = format!("curl {} {URL}", (0..20).map(|n| format!("-H 'x{n}: y'")).collect::<Vec<_>>().join(" "));
    let table: &[(&str, &str)] = &[
        ("", "it is empty"),
        (" \n\t", "it is empty"),
        (&large, "it is larger than 16 KiB"),
        (&long, "the URL is longer than 4096 bytes"),
        ("hunter2", "what should be the URL is none"),
        ("ftp://h/x", "the URL is neither http nor https"),
        ("file:///etc/shadow", "the URL is neither http nor https"),
        ("http://user:hunter2@h/x", "neither a user nor a fragment"),
        ("http://h/x#hunter2", "neither a user nor a fragment"),
        ("http://h/a/../hunter2", "characters that must be percent-encoded"),
        ("http://h/ä", "characters that must be percent-encoded"),
        ("http://h/x\nhunter2 y", "it is neither a URL nor JSON nor a command of curl"),
        ("http://h/\u{7}", "line 1: it has control characters"),
        ("wget http://h/hunter2", "it is neither a URL nor JSON nor a command of curl"),
        ("Invoke-WebRequest -Uri http://h/hunter2", "PowerShellCurlCli"),
        ("curl", "what should be the URL is none"),
        ("curl -i", "the command of curl has no URL"),
        ("curl -X GET http://h/x", "another method than POST"),
        ("curl -X", "ends after word 2, which needs a value"),
        ("curl -H hunter2 http://h/x", "has no colon"),
        ("curl --data hunter2 http://h/x", "word 2 of the command of curl is not understood"),
        ("curl -o hunter2 http://h/x", "word 2 of the command of curl is not understood"),
        ("curl http://h/x http://h/y", "has two URLs"),
        ("curl -H 'a: b\n http://h/x", "a quote is not closed"),
        ("curl -H 'a b: hunter2' http://h/x", "a header's name is none"),
        (&many, "it has more than 16 headers"),
        ("{", "line 1: the JSON document ends early"),
        ("{\n\"URL\": hunter2}", "line 2: it is not valid JSON"),
        ("{} hunter2", "line 1: it is not valid JSON"),
        ("{\"Headers\": {}}", "the JSON object has no URL"),
        ("{\"URL\": 5}", "URL is not a text"),
        ("{\"URL\": \"http://h/\", \"url\": \"http://h/\"}", "it has URL twice"),
        ("{\"URL\": \"http://h/\", \"Headers\": [\"hunter2\"]}", "Headers is neither"),
        ("{\"URL\": \"http://h/\", \"Headers\": \"hunter2\"}", "Headers is not a JSON object"),
        ("{\"URL\": \"http://h/\", \"Headers\": {\"a\": 5}}", "a header's value is not a text"),
        ("{\"URL\": \"http://h/\", \"Headers\": {\"a\": \"b\\nhunter2\"}}", "a header's value has control characters"),
    ];
    for (text, expected) in table {
        let invalid = Document::parse(text).unwrap_err();
        let shown = format!("{invalid}; {}", invalid.hint());
        assert!(shown.contains(expected), "{text:?}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn debug_shows_neither_url_nor_headers() {
    let document = Document::parse(&curl().replace("Accept: application/json", "X-Key: hunter2")).unwrap();
    let shown = format!("{document:?}");
    assert!(!shown.contains("0123456789") && !shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn scenario_18_no_document_makes_it_panic_or_tell_its_secret(
        before in "(curl |curl\\.exe |\\{\"URL\": |\"|'|-H |-X |\\\\|\\n|[a-z:/ ]{0,6}){0,6}",
        middle in "(SECRETSECRET|https?://h/SECRETSECRET|-H 'a: SECRETSECRET'|\\{\"Headers\": \"SECRETSECRET\"\\}|--SECRETSECRET){1,3}",
        after in "(\\}|\"|'|\\\\|&|[ \\n#,:]|\\PC){0,8}",
    ) {
        let text = format!("{before}{middle}{after}");
        let shown = match Document::parse(&text) {
            Ok(document) => format!("{document:?}"),
            Err(invalid) => format!("{invalid} {invalid:?}"),
        };
        prop_assert!(!shown.contains("SECRETSECRET"), "{}", shown);
    }

    #[test]
    fn no_bytes_make_it_panic(text in "\\PC{0,200}") {
        let _ = Document::parse(&text);
    }
}
