//! `type = "port"`, against real sockets on loopback.

use super::*;
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::{Family, Port, Protocol};
use std::net::{SocketAddr, TcpListener as Listener, TcpStream as Stream, UdpSocket};

fn tcp(port: u16) -> Port {
    Port { port, protocol: Protocol::Tcp, family: None, ip: None }
}

async fn told(port: Port) -> (Health, String) {
    let seen = run(Probe::Port(port)).await;
    (seen.health, seen.message)
}

fn over(family: Family, port: Port) -> Port {
    Port { family: Some(family), ..port }
}

fn at(ip: &str, port: Port) -> Port {
    Port { ip: Some(ip.parse().unwrap()), ..port }
}

#[tokio::test]
async fn a_listener_on_loopback_is_seen_with_its_address_and_its_end() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(told(tcp(port)).await, (Health::Passing, format!("tcp port {port} listens on 127.0.0.1")));
    assert_eq!(told(over(Family::Ipv4, tcp(port))).await.0, Health::Passing);
    let public = told(at("0.0.0.0", tcp(port))).await;
    assert_eq!(public, (Health::Critical, format!("tcp port {port} listens on 127.0.0.1 only, expected 0.0.0.0")));
    let other = told(over(Family::Ipv6, tcp(port))).await;
    assert_eq!(other, (Health::Critical, format!("tcp port {port} listens on 127.0.0.1 only, expected an IPv6 address")));
    drop(listener);
    assert_eq!(told(tcp(port)).await, (Health::Critical, format!("nothing listens on tcp port {port}")));
}

#[tokio::test]
async fn a_connection_is_no_listener_and_the_check_makes_none() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(told(tcp(address.port())).await.0, Health::Passing);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody has connected");
    let client = Stream::connect(address).unwrap();
    let port = client.local_addr().unwrap().port();
    assert_eq!(told(tcp(port)).await, (Health::Critical, format!("nothing listens on tcp port {port}")));
}

#[tokio::test]
async fn an_ipv6_listener_is_seen_in_its_family() {
    let Ok(listener) = Listener::bind("[::1]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    assert_eq!(told(over(Family::Ipv6, tcp(port))).await, (Health::Passing, format!("tcp port {port} listens on ::1")));
    assert_eq!(told(at("::1", tcp(port))).await.0, Health::Passing);
    assert_eq!(told(over(Family::Ipv4, tcp(port))).await.0, Health::Critical);
}

#[tokio::test]
async fn a_dual_stack_listener_serves_ipv4() {
    let Ok(listener) = Listener::bind("[::]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    assert!(Stream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok(), "the system makes such sockets take IPv4");
    assert_eq!(told(over(Family::Ipv4, tcp(port))).await, (Health::Passing, format!("tcp port {port} listens on ::")));
    assert_eq!(told(at("::", tcp(port))).await.0, Health::Passing);
}

#[tokio::test]
async fn udp_is_a_table_of_its_own_and_a_connected_socket_does_not_count() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let udp = Port { protocol: Protocol::Udp, ..tcp(port) };
    assert_eq!(told(udp).await, (Health::Passing, format!("udp port {port} listens on 127.0.0.1")));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(peer.local_addr().unwrap()).unwrap();
    assert_eq!(told(udp).await, (Health::Critical, format!("nothing listens on udp port {port}")));
}
