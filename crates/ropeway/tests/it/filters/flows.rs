//! Where a request goes on: `jumpIf`, `alias`, `END`.

#![allow(clippy::too_many_lines, reason = "tables")]

use super::{ask, findings, mirror, status, through, values};

/// Filters of all kinds that are quick, for flows.
const FILTERS: &str = "filters:
- { name: cors, kind: CORSAdaptor, allowedOrigins: ['https://good.example'] }
- { name: moved, kind: Redirector, match: ^/old, replacement: /new }
- { name: api, kind: RequestAdaptor, path: { trimPrefix: /api }, header: { add: { X-Step: api } } }
- { name: stub, kind: Mock, rules: [{ match: { path: /stub }, code: 201 }] }
- { name: proxy, kind: Proxy, pools: [{ servers: [{ url: 'http://BACKEND' }], failureCodes: [404] }] }
- { name: mark, kind: ResponseAdaptor, header: { add: { X-Mark: m } } }
- { name: sorry, kind: Fallback, mockCode: 503 }
";

/// A request with its headers, the status of its answer, and how many marks that bears.
type Asked<'a> = (&'a str, &'a str, u16, usize);

/// Each flow with requests: what is asked, the status, and which marks the answer bears.
#[test]
fn every_kind_can_be_jumped_from_and_to() {
    let flows: &[(&str, &[Asked<'_>])] = &[
        // Without `flow` all run in their order; `Fallback` is the last and answers.
        ("", &[("GET /", "", 503, 0), ("GET /old", "", 301, 0), ("GET /stub", "", 201, 0)]),
        ("flow: [{ filter: proxy }]", &[("GET /", "", 200, 0)]),
        ("flow: [{ filter: proxy }, { filter: END }, { filter: sorry }]", &[("GET /", "", 200, 0)]),
        ("flow: [{ filter: END }, { filter: proxy }]", &[("GET /", "", 503, 0)]),
        // A result without a jump ends the flow; no result goes on.
        (
            "flow: [{ filter: moved }, { filter: proxy }, { filter: mark }]",
            &[("GET /old", "", 301, 0), ("GET /", "", 200, 1)],
        ),
        (
            "flow: [{ filter: moved, jumpIf: { redirected: mark } }, { filter: proxy }, { filter: mark }]",
            &[("GET /old", "", 301, 1), ("GET /", "", 200, 1)],
        ),
        (
            "flow: [{ filter: moved, jumpIf: { redirected: END } }, { filter: proxy }]",
            &[("GET /old", "", 301, 0)],
        ),
        (
            "flow: [{ filter: stub, jumpIf: { '': END } }, { filter: mark }]",
            &[("GET /", "", 503, 0), ("GET /stub", "", 201, 0)],
        ),
        (
            "flow: [{ filter: stub, jumpIf: { mocked: mark } }, { filter: proxy }, { filter: mark }]",
            &[("GET /stub", "", 201, 1)],
        ),
        // One filter, several steps.
        (
            "flow: [{ filter: proxy }, { filter: mark }, { filter: mark, alias: again }, { filter: mark, alias: more }]",
            &[("GET /", "", 200, 3)],
        ),
        (
            "flow: [{ filter: proxy, jumpIf: { '': again } }, { filter: mark }, { filter: mark, alias: again }]",
            &[("GET /", "", 200, 1)],
        ),
        // A filter that finds no answer to change.
        (
            "flow: [{ filter: mark, jumpIf: { responseNotFound: proxy } }, { filter: sorry }, { filter: proxy }]",
            &[("GET /", "", 200, 0)],
        ),
        // What another site may not do.
        (
            "flow: [{ filter: cors, jumpIf: { rejected: mark, preflighted: END } }, { filter: proxy }, { filter: END }, { filter: mark }]",
            &[
                ("GET /", "", 200, 0),
                ("GET /", "Origin: https://bad.example\r\n", 403, 1),
                (
                    "OPTIONS /",
                    "Origin: https://good.example\r\nAccess-Control-Request-Method: GET\r\n",
                    204,
                    0,
                ),
            ],
        ),
        // What the rewritten path may not be.
        (
            "flow: [{ filter: api, jumpIf: { clientError: sorry } }, { filter: proxy }, { filter: END }, { filter: sorry }]",
            &[("GET /api../x", "", 503, 0), ("GET /api/x", "", 200, 0)],
        ),
        ("flow: [{ filter: api }, { filter: proxy }]", &[("GET /api../x", "", 400, 0)]),
    ];
    let backend = mirror();
    for (flow, requests) in flows {
        let gateway = through(&format!("{flow}\n{FILTERS}"), backend.address);
        for (start, headers, code, marks) in *requests {
            let (head, _) = ask(&gateway, start, headers);
            assert_eq!(status(&head), *code, "{flow}: {start} {headers:?}: {head}");
            assert_eq!(values(&head, "x-mark").len(), *marks, "{flow}: {start} {headers:?}: {head}");
        }
    }
}

#[test]
fn jumps_are_checked_against_results() {
    let finding = |flow: &str| {
        let mut found = findings(&format!("flow: [{flow}]\n{FILTERS}"));
        assert!(found.len() < 2, "{found:?}");
        found.pop().unwrap_or_default()
    };
    let later = "{ filter: sorry }, { filter: mark }, { filter: mark, alias: again }";
    for (kind, result) in [
        ("cors", "preflighted"),
        ("cors", "rejected"),
        ("moved", "redirected"),
        ("moved", "clientError"),
        ("api", "clientError"),
        ("stub", "mocked"),
        ("proxy", "clientError"),
        ("proxy", "failureCode"),
        ("proxy", "internalError"),
        ("proxy", "refused"),
        ("proxy", "serverError"),
        ("proxy", "timeout"),
        ("proxy", "''"),
        ("mark", "responseNotFound"),
    ] {
        for target in ["sorry", "again", "END"] {
            let flow =
                format!("{{ filter: {kind}, alias: first, jumpIf: {{ {result}: {target} }} }}, {later}");
            assert_eq!(finding(&flow), "", "{flow}");
        }
    }
    for (flow, expected) in [
        ("{ filter: moved, jumpIf: { redirect: END } }", "a Redirector has no result `redirect`"),
        ("{ filter: api, jumpIf: { redirected: END } }", "a RequestAdaptor has no result `redirected`"),
        ("{ filter: mark, jumpIf: { mocked: END } }", "a ResponseAdaptor has no result `mocked`"),
        ("{ filter: cors, jumpIf: { refused: END } }", "a CORSAdaptor has no result `refused`"),
        ("{ filter: sorry, jumpIf: { mocked: END } }", "a Fallback has no result `mocked`"),
        (
            "{ filter: sorry }, { filter: proxy, jumpIf: { refused: sorry } }",
            "no later step is called `sorry`",
        ),
        (
            "{ filter: proxy, jumpIf: { refused: mark } }, { filter: mark, alias: x }",
            "no later step is called `mark`",
        ),
        (
            "{ filter: proxy, jumpIf: { refused: mark } }, { filter: mark }, { filter: mark }",
            "two later steps are called `mark`",
        ),
        ("{ filter: nobody }", "no filter is called `nobody`"),
    ] {
        assert!(finding(flow).contains(expected), "{flow}: {}", finding(flow));
    }
}
