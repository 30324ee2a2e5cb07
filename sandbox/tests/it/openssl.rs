//! The program openssl as a peer: it shares no code with what it checks.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) struct Openssl {
    program: PathBuf,
    directory: TempDir,
}

/// Without openssl the test that asks says that it skipped, or fails where `ROS_SIGNAL_AGENT_PEERS=required`.
pub(crate) fn openssl() -> Option<Openssl> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|directory| directory.join("openssl")).find(|path| path.is_file());
    if program.is_none() {
        let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
        assert!(!required, "openssl is not installed");
        eprintln!("skipped: openssl is not installed");
    }
    Some(Openssl { program: program?, directory: tempfile::tempdir().unwrap() })
}

impl Openssl {
    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Whether the signature is RSA PKCS#1 v1.5 over SHA-256 of the text, by the key of the certificate.
    pub(crate) fn verifies(&self, certificate: &str, text: &[u8], signature: &[u8]) -> bool {
        let key = self.run(&["x509", "-noout", "-pubkey"], certificate.as_bytes());
        assert!(key.status.success(), "{key:?}");
        let (key, signature) = (self.file("key.pem", &key.stdout), self.file("signature", signature));
        self.run(&["dgst", "-sha256", "-verify", &key, "-signature", &signature], text).status.success()
    }

    /// What was wrapped with the private key (PKCS#1 v1.5, type 1).
    pub(crate) fn recovers(&self, certificate: &str, wrapped: &[u8]) -> Vec<u8> {
        let certificate = self.file("certificate.pem", certificate.as_bytes());
        let arguments = ["pkeyutl", "-verifyrecover", "-certin", "-inkey", &certificate, "-pkeyopt", "rsa_padding_mode:pkcs1"];
        let output = self.run(&arguments, wrapped);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    pub(crate) fn describes(&self, certificate: &str) -> String {
        String::from_utf8(self.run(&["x509", "-noout", "-text"], certificate.as_bytes()).stdout).unwrap()
    }
}
