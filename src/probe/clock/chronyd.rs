//! What `chronyc tracking` asks chronyd, over UDP: version 6 of its protocol, unchanged since chrony 2.2 (2015), candm.h of its source.
//!
//! Everybody on the host may ask. A request is as long as its answer, so that it is of no use to flood others.
//!
//! ```text
//! request: version 6, type 1, 0, 0, command 33 (u16), attempt (u16), sequence (u32), zeros; 104 bytes
//! answer:  version 6, type 2, 0, 0, command 33 (u16), reply 5 (u16), status (u16), 3 u16, sequence (u32), 2 u32,
//!          reference (u32), address (20 bytes), stratum (u16), leap (u16), time (12 bytes), 9 floats; 104 bytes
//! ```

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Of request and answer.
const LENGTH: usize = 104;
/// On loopback it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);
const TRACKING: u16 = 33;
const TRACKING_REPLY: u16 = 5;
/// Leap status of a clock that is not in sync (RFC 5905, figure 9: alarm).
const ALARM: u16 = 3;
/// 127.127.1.1, the reference of a chronyd that follows itself.
const LOCAL: u32 = 0x7f7f_0101;

/// What chronyd says of the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tracking {
    pub(super) in_sync: bool,
    /// It follows no server but its own clock.
    pub(super) local: bool,
    /// Seconds that the clock is ahead of the time.
    pub(super) ahead: f64,
    /// Seconds by which that may be wrong: half of the way to the reference clock and back, and its dispersion.
    pub(super) unsure: f64,
}

/// Asks chronyd. The error says what it did instead of answering.
pub(super) async fn tracking(address: SocketAddr) -> Result<Tracking, String> {
    match tokio::time::timeout(PATIENCE, ask(address)).await {
        Ok(Ok(Some(tracking))) => Ok(tracking),
        Ok(Ok(None)) => Err("gives an answer that this version does not know".to_owned()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err("is not there".to_owned()),
        Ok(Err(error)) => Err(format!("cannot be asked ({error})")),
        Err(_) => Err("does not answer".to_owned()),
    }
}

async fn ask(address: SocketAddr) -> io::Result<Option<Tracking>> {
    let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(&request()).await?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await?;
    Ok(answer.get(..length).and_then(parse))
}

fn request() -> Vec<u8> {
    let mut request = vec![6, 1, 0, 0];
    request.extend(TRACKING.to_be_bytes());
    request.resize(LENGTH, 0);
    request
}

pub(super) fn parse(answer: &[u8]) -> Option<Tracking> {
    let u16_at = |at: usize| Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let float_at = |at: usize| u32_at(at).map(float);
    let known =
        answer.len() == LENGTH && answer.starts_with(&[6, 2]) && u16_at(4)? == TRACKING && u16_at(6)? == TRACKING_REPLY && u16_at(8)? == 0;
    if !known {
        return None;
    }
    // What has to be added to the clock.
    let correction = float_at(68)?;
    let (root_delay, root_dispersion) = (float_at(92)?, float_at(96)?);
    Some(Tracking {
        in_sync: u16_at(54)? != ALARM,
        local: u32_at(28)? == LOCAL,
        // No clock is ahead by minus nothing.
        ahead: if correction == 0.0 { 0.0 } else { -correction },
        unsure: root_delay / 2.0 + root_dispersion,
    })
}

/// Chrony's own: 7 bits of exponent and 25 of coefficient, both signed.
fn float(bits: u32) -> f64 {
    let signed = |value: u32, half: u32| if value < half { f64::from(value) } else { f64::from(value) - 2.0 * f64::from(half) };
    // Two to the power of it, as IEEE 754 writes that (bias 1023). exp2 would be all that this program wants of libm, which takes 350 KiB of memory.
    let exponent = u64::from(bits >> 25);
    let biased = 1023 - 25 + exponent - if exponent < 1 << 6 { 0 } else { 1 << 7 };
    signed(bits & 0x01ff_ffff, 1 << 24) * f64::from_bits(biased << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of chronyd 4.3 that followed a server on the same host.
    fn answer() -> Vec<u8> {
        let hex = CAPTURED.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        hex.collect()
    }

    const CAPTURED: &str = "06020000002100050000000000000000deadbeef00000000000000007f000001\
                            7f0000010000000000000000000000000001000000040000000000006b03446b\
                            0e0ac277dd3b26a8d7760e81dc924257faa35999f29c90c4fe816aa3e0c1127c\
                            da8b88b20481f1c4";

    #[test]
    fn an_answer_of_chronyd_is_understood() {
        let tracking = parse(&answer()).unwrap();
        assert!(tracking.in_sync && !tracking.local, "{tracking:?}");
        assert!((tracking.ahead - (1.466_639_332_647_901e-6)).abs() < 1e-12, "{tracking:?}");
        assert!((tracking.unsure - (3.396_804_572_730_616e-6)).abs() < 1e-12, "{tracking:?}");
        let mut own = answer();
        own[28..32].copy_from_slice(&LOCAL.to_be_bytes());
        own[54..56].copy_from_slice(&ALARM.to_be_bytes());
        let tracking = parse(&own).unwrap();
        assert!(tracking.local && !tracking.in_sync);
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        let whole = answer();
        assert!((0..whole.len()).all(|length| parse(&whole[..length]).is_none()));
        for (at, value) in [(0, 5), (1, 1), (5, 34), (7, 6), (9, 1)] {
            let mut other = answer();
            other[at] = value;
            assert_eq!(parse(&other), None, "{at}");
        }
        let mut noise = whole;
        noise[68..].fill(0xff);
        assert!(parse(&noise).unwrap().ahead.is_finite());
    }

    #[test]
    fn chronys_floats_are_those_of_its_source() {
        assert_eq!([0, 0x0080_0000, 0x0200_0001, 0x01ff_ffff].map(float), [0.0, 0.25, 2f64.powi(-24), -2f64.powi(-25)]);
        assert_eq!(float(0xfe00_0001), 2f64.powi(-26));
    }
}
