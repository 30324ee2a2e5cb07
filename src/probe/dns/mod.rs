//! `type = "dns"`: a name, and what it must resolve to.
//!
//! Without `record` and `server` getaddrinfo(3) is asked, as every program of this host does, on the threads for look-ups. Otherwise
//! name servers are asked directly: `server`, or those of `/etc/resolv.conf`. Either way a silent server holds up nobody else.

mod exchange;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod judge;
mod message;
mod servers;

use super::failure;
use super::lookup::Lookups;
use super::progress::{Doing, Progress};
use super::threads::Apart;
use crate::check::{Health, Observation};
use crate::plan::{Check, Dns, Record};
use judge::Seen;
use message::{Answer, Found};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Bounds of the time after which a silent server is asked again, and the next one beside it: a quarter of the check's timeout.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(check: &Check, dns: &Dns, lookups: &Lookups, apart: &Apart, progress: &Progress) -> Observation {
    if dns.server.is_none() && dns.record.is_none() {
        return by_system(dns, lookups, progress).await;
    }
    let servers = match dns.server {
        Some(server) => vec![server],
        None => match apart.look(&check.name, servers::PATH, progress, || servers::read(Path::new(servers::PATH))).await {
            Ok(Ok(servers)) => servers,
            Ok(Err(trouble)) => return Observation::new(Health::Unknown, trouble),
            Err(observation) => return observation,
        },
    };
    let patience = (check.timeout / 4).clamp(PATIENCE.0, PATIENCE.1);
    by_servers(dns, &servers, patience, progress).await
}

async fn by_system(dns: &Dns, lookups: &Lookups, progress: &Progress) -> Observation {
    let started = Instant::now();
    match lookups.addresses(&dns.name, progress).await {
        Ok(addresses) => {
            let records = addresses.into_iter().map(|address| Found { text: address.to_string(), address: Some(address) }).collect();
            judge::records(dns, &Seen { records, by: None, took: started.elapsed() })
        }
        Err(trouble) => failure::of_lookup(&trouble),
    }
}

async fn by_servers(dns: &Dns, servers: &[SocketAddr], patience: Duration, progress: &Progress) -> Observation {
    let Some(name) = message::name(&dns.name) else {
        return Observation::new(Health::Unknown, format!("{} cannot be asked for: it is no name", dns.name));
    };
    let each: Vec<String> = servers.iter().map(ToString::to_string).collect();
    progress.now(Doing::Asking(each.join(", ")));
    let started = Instant::now();
    let ask = |record| exchange::ask(servers, &name, record, patience);
    let answers = match dns.record {
        Some(record) => ask(record).await.map(|answer| vec![answer]),
        // Both at once; what is wrong with one of them is wrong with the name.
        None => tokio::try_join!(ask(Record::A), ask(Record::Aaaa)).map(|(a, aaaa)| vec![a, aaaa]),
    };
    let answers = match answers {
        Ok(answers) => answers,
        Err(failed) => return exchange::of_trouble(&failed, &dns.name),
    };
    let took = started.elapsed();
    let by = answers.first().map(|(server, _)| *server);
    let mut records = Vec::new();
    for (server, answer) in answers {
        match answer {
            Answer::NoSuchName => return judge::no_such_name(dns, server),
            Answer::Records(found) => records.extend(found),
        }
    }
    judge::records(dns, &Seen { records, by, took })
}
