//! Names that the pages promise are those of the code.

use std::collections::BTreeSet;
use std::fs;

use ropeway::fault::{Blame, Fault};
use ropeway::filters::KINDS;
use ropeway::telemetry::{Live, Metrics};
use ropeway::tunnel::Side;
use ropeway::tunnel::farewell::{Cause, Why};
use testkit::{Backend, TestGateway, record};
use ws::handshake::{RequestFault, ResponseFault};
use ws::{CloseCode, Violation};

use super::ROOT;

fn page(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/docs/{name}.md")).unwrap()
}

#[test]
fn errors_has_a_row_for_every_code() {
    let page = page("errors");
    for fault in faults() {
        let blame = match fault.blame() {
            Blame::Client => "client",
            Blame::Server => "backend",
            Blame::Gateway => "gateway",
        };
        let row = format!("| `{}` | {} | {blame} | ", fault.label(), fault.status().as_u16());
        assert!(page.contains(&row), "{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    let codes: BTreeSet<_> = faults().iter().map(Fault::label).collect();
    assert_eq!(rows, codes.len(), "a row too many");
}

#[test]
fn pipelines_has_the_results_of_every_kind() {
    let page = page("pipelines");
    for kind in KINDS {
        let results: Vec<_> = kind.reader.results.iter().map(|result| format!("`{result}`")).collect();
        let name = kind.reader.name;
        let row =
            format!("| [`{name}`](configuration.md#{}) | {} |", name.to_lowercase(), results.join(", "));
        assert!(page.contains(&row), "{row}");
    }
}

/// What is shown of a filter is what stands in its file.
#[test]
fn the_worked_example_is_the_code() {
    let page = fs::read_to_string(format!("{ROOT}/CONTRIBUTING.md")).unwrap();
    let code = fs::read_to_string(format!("{ROOT}/crates/ropeway/src/filters/fallback.rs")).unwrap();
    let blocks: Vec<_> =
        page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 3, "the blocks are not found");
    for block in &blocks {
        assert!(code.contains(block.trim_end()), "{block}");
    }
    let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let shown: usize = blocks.iter().map(|block| lines(block)).sum();
    let imports = code.lines().filter(|line| line.starts_with("use ") || line.starts_with("//!")).count();
    assert_eq!(shown + imports, lines(&code), "all but the imports");
}

#[test]
fn tunnels_has_a_row_for_every_cause() {
    let page = page("tunnels");
    for cause in causes() {
        let row = format!("| `{cause}` | {} | ", cause_side(cause));
        assert!(page.contains(&row), "{row}");
    }
    for rule in violations() {
        let row = format!("| `{}` | {} | {} | ", rule.label(), rule.close_code().get(), rule.section());
        assert!(matches!(rule, Violation::MessageTooBig { .. }) || page.contains(&row), "{row}");
    }
}

#[test]
fn tunnels_has_every_field_of_the_record() {
    let page = page("tunnels");
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    drop(gateway.tunnel(&backend));
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows: String = rows.filter_map(|row| row.split('|').nth(1)).collect();
    for field in record(&gateway.name).keys().filter(|field| *field != "message") {
        assert!(rows.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn operations_has_every_metric() {
    let page = page("operations");
    let metrics = Metrics::new();
    // What has no figure yet is not shown.
    metrics.answered(http::StatusCode::OK, None);
    metrics.ended("client", "closed".into());
    metrics.reloaded("ok");
    metrics.tls_handshake("ok");
    metrics.drained("gateway", "", "", 0);
    let text = metrics.text(Live::default());
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(names.len(), 8, "{text}");
    for name in names {
        let (name, kind) = name.split_once(' ').unwrap();
        let end = if kind == "counter" { "_total" } else { "" };
        assert!(page.contains(&format!("| `{name}{end}")), "{name}{end}");
    }
}

/// Who is at the beginning of a cause, as the page calls it.
fn cause_side(cause: Cause) -> &'static str {
    match cause {
        Cause::Closed(..) | Cause::Vanished(_) | Cause::Violation(..) => "client or server",
        Cause::Drain(_) | Cause::Panic => "gateway",
    }
}

/// One of each.
fn faults() -> Vec<Fault> {
    let handshake = [
        RequestFault::ExtensionsInvalid,
        RequestFault::KeyEmpty,
        RequestFault::KeyMissing,
        RequestFault::KeyRepeated,
        RequestFault::NotAnUpgrade,
        RequestFault::ProtocolsInvalid,
        RequestFault::VersionMissing,
        RequestFault::VersionUnsupported,
    ];
    let mut faults = vec![
        Fault::PathInvalid,
        Fault::HostInvalid,
        Fault::HeadMalformed,
        Fault::HeadTooLarge,
        Fault::RouteNotFound { known: Vec::new() },
        Fault::RouteMismatch,
        Fault::MethodNotAllowed { allow: String::new() },
        Fault::AddressRefused,
        Fault::HttpVersion,
        Fault::BodyDeclared,
        Fault::TransferCoding,
        Fault::ConnectMethod,
        Fault::BodyTooLarge,
        Fault::BodyTimeout,
        Fault::BodyBroken,
        Fault::BodySpent,
        Fault::AnswerTimeout,
        Fault::AnswerTooLarge,
        Fault::OriginRefused,
        Fault::PreflightRefused,
        Fault::PipelineMissing,
        Fault::NoReply,
        Fault::Stopping,
        Fault::NoRoom,
        Fault::NoServer,
        Fault::Drained,
        Fault::NoCapacity,
        Fault::ConnectFailed,
        Fault::ConnectTimeout,
        Fault::ServerTls,
        Fault::HandshakeTimeout,
        Fault::NoAnswer,
        Fault::AnswerMalformed,
        Fault::AnswerInvalid(ResponseFault::AcceptMissing),
    ];
    faults.extend(handshake.map(Fault::Handshake));
    faults.iter().for_each(stands_in_the_list);
    faults
}

/// Whoever adds a fault is led here by the compiler: add it to the list above, too.
fn stands_in_the_list(fault: &Fault) {
    use RequestFault as R;
    match fault {
        Fault::PathInvalid | Fault::HostInvalid | Fault::RouteNotFound { .. } | Fault::RouteMismatch => {}
        Fault::MethodNotAllowed { .. } | Fault::AddressRefused | Fault::HttpVersion => {}
        Fault::BodyDeclared | Fault::OriginRefused | Fault::PipelineMissing | Fault::NoReply => {}
        Fault::Stopping | Fault::NoServer | Fault::ConnectFailed | Fault::ConnectTimeout => {}
        Fault::ServerTls | Fault::HeadMalformed | Fault::HeadTooLarge | Fault::PreflightRefused => {}
        Fault::Drained | Fault::NoRoom | Fault::NoCapacity | Fault::HandshakeTimeout | Fault::NoAnswer => {}
        Fault::AnswerMalformed | Fault::AnswerInvalid(_) => {}
        Fault::AnswerTimeout | Fault::AnswerTooLarge | Fault::TransferCoding | Fault::ConnectMethod => {}
        Fault::BodyTooLarge | Fault::BodyTimeout | Fault::BodyBroken | Fault::BodySpent => {}
        Fault::Handshake(R::ExtensionsInvalid | R::KeyEmpty | R::KeyMissing | R::KeyRepeated) => {}
        Fault::Handshake(R::NotAnUpgrade | R::ProtocolsInvalid) => {}
        Fault::Handshake(R::VersionMissing | R::VersionUnsupported) => {}
    }
}

/// One of each; `violation` with one of its rules for all.
fn causes() -> [Cause; 8] {
    [
        Cause::Closed(Side::Client, Some(CloseCode::GOING_AWAY)),
        Cause::Vanished(Side::Client),
        Cause::Violation(Side::Client, Violation::MessageTooBig { limit: 1, size: 2 }),
        Cause::Drain(Why::Shutdown),
        Cause::Drain(Why::ServerRemoved),
        Cause::Drain(Why::ServerUnhealthy),
        Cause::Drain(Why::Command),
        Cause::Panic,
    ]
}

fn violations() -> [Violation; 15] {
    [
        Violation::ClosePayloadTooShort,
        Violation::CloseCodeInvalid { code: 1005 },
        Violation::CloseReasonNotUtf8,
        Violation::ContinuationUnexpected,
        Violation::ControlFragmented,
        Violation::ControlTooLong,
        Violation::LengthNotMinimal,
        Violation::LengthTooLarge,
        Violation::MaskForbidden,
        Violation::MaskMissing,
        Violation::MessageInterrupted,
        Violation::MessageTooBig { limit: 1, size: 2 },
        Violation::ReservedBits,
        Violation::ReservedOpcode,
        Violation::TextNotUtf8,
    ]
}
