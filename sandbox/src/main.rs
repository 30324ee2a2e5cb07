//! `ros-sandbox`: runs the sandbox alone, prints one line of JSON that says where, and serves until told to stop.

#![forbid(unsafe_code)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ros_sandbox::{Config, Sandbox, Secret, Switches};
use tokio::signal::unix::{SignalKind, signal};

/// Environment variable that may hold the secret.
const SECRET_VARIABLE: &str = "ROS_SANDBOX_ACCESS_KEY_SECRET";

/// Environment variable that may hold the STS token.
const TOKEN_VARIABLE: &str = "ROS_SANDBOX_SECURITY_TOKEN";

/// A stand-in for Alibaba Cloud ROS and the ECS metadata service, on loopback.
///
/// Drives stacks through their life and sends their events as EventBridge does, over its control interface: see its README.
///
/// Prints one line of JSON: {"ros", "ros_tls", "ca_file", "metadata", "handle", "smq", "control"}.
#[derive(Parser)]
#[command(name = "ros-sandbox", version)]
struct Arguments {
    /// Where ROS listens; must be loopback
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where SMQ listens; must be loopback. Default: an ephemeral port of the same address
    #[arg(long)]
    smq_listen: Option<SocketAddr>,
    /// The access key id that requests are signed with
    #[arg(long)]
    access_key_id: String,
    /// Its secret; default: the variable ROS_SANDBOX_ACCESS_KEY_SECRET
    #[arg(long, conflicts_with = "access_key_secret_file")]
    access_key_secret: Option<String>,
    /// A file with its secret
    #[arg(long)]
    access_key_secret_file: Option<PathBuf>,
    /// Its STS token; default: the variable ROS_SANDBOX_SECURITY_TOKEN, if set
    #[arg(long)]
    security_token: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            // Nobody reads standard error: there is no one left to tell.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        listen: arguments.listen,
        smq_listen: arguments.smq_listen,
        access_key_secret: secret(arguments.access_key_secret, arguments.access_key_secret_file)?,
        access_key_id: arguments.access_key_id,
        security_token: arguments.security_token.or_else(|| std::env::var(TOKEN_VARIABLE).ok()).map(Secret::new),
        certificate_years: None,
        switches: Switches::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

fn secret(given: Option<String>, file: Option<PathBuf>) -> Result<Secret, Box<dyn std::error::Error>> {
    if let Some(secret) = given {
        return Ok(Secret::new(secret));
    }
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
    }
    let secret = std::env::var(SECRET_VARIABLE);
    Ok(Secret::new(secret.map_err(|_| {
        format!("no secret given\nhint: use --access-key-secret-file FILE, the variable {SECRET_VARIABLE}, or --access-key-secret SECRET")
    })?))
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sandbox = Sandbox::start(config).await?;
    let line = serde_json::json!({
        "ros": sandbox.ros_url(),
        "ros_tls": sandbox.ros_tls_url(),
        "ca_file": sandbox.ca_file(),
        "metadata": sandbox.metadata_url(),
        "handle": sandbox.handle_url(),
        "smq": sandbox.smq_url(),
        "control": sandbox.control_url(),
    });
    let mut output = std::io::stdout();
    writeln!(output, "{line}")?;
    output.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}
