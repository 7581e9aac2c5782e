//! Applications whose sessions are known to one server alone.

use std::net::SocketAddr;

use testkit::free_port;

use super::real::application;
use crate::cli::process::{Gateway, Process};
use crate::real::peers;

const CLIENTS: &str = "60";

/// A gateway in front of applications on these ports, with these rules for its pool.
fn gateway(ports: &[u16], rules: &str) -> Gateway {
    let servers: Vec<_> = ports.iter().map(|port| format!("{{ url: 'http://127.0.0.1:{port}' }}")).collect();
    let mut gateway = Gateway::start(&format!(
        "name: site\nkind: HTTPServer\nport: {}\nrules: [{{ paths: [{{ backend: application }}] }}]\n---\n\
         name: application\nkind: Pipeline\nfilters:\n- name: proxy\n  kind: Proxy\n  pools:\n\
         \x20 - servers: [{}]\n{rules}",
        free_port(),
        servers.join(", ")
    ));
    gateway.address = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    gateway
}

fn clients(gateway: &Gateway) -> Process {
    let url = format!("http://{}", gateway.address);
    Process::start(peers::node("sticky_client.mjs").args([&*url, CLIENTS]))
}

#[test]
fn socket_io_finds_its_session_again_and_another_server_when_its_own_is_lost() {
    let mut applications: Vec<_> = (0..4).map(|_| application()).collect();
    let ports: Vec<_> = applications.iter().map(|(_, port)| *port).collect();
    let sticky = "    loadBalance: { stickySession: { mode: DurationBased } }\n";
    let gateway = gateway(&ports, sticky);
    let mut clients = clients(&gateway);
    clients.out("\"connected\"");
    assert_eq!(clients.lines().len(), 1, "{:#?}", clients.lines());
    for (application, _) in &applications {
        let sessions = application.lines().iter().filter(|line| line.contains("\"connection\"")).count();
        assert!(sessions >= 5, "each has its share: {sessions}");
    }
    drop(applications.pop());
    clients.feed("speak\n");
    let ended = clients.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("\"spoken\""), "{ended:?}");
    assert!(!ended.out.contains("Session ID unknown"), "{ended:?}");
}

#[test]
fn without_it_socket_io_loses_its_session() {
    let applications: Vec<_> = (0..4).map(|_| application()).collect();
    let ports: Vec<_> = applications.iter().map(|(_, port)| *port).collect();
    let gateway = gateway(&ports, "");
    clients(&gateway).out("Session ID unknown");
}
