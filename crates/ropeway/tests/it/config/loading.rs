//! Documents to objects: examples, letter case, JSON, references, flows.

use std::{fs, path::PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ropeway::{
    cli::check,
    filters::websocket_proxy,
    spec::{Severity, Source, types::MessageLimit},
    supervisor::load::{load, sources_from},
};

use testkit::Authority;

use super::{example, lines, load_text};

const SERVER: &str = "kind: HTTPServer\nname: s\nport: 80\n---\n";

#[test]
fn the_websocket_example_loads() {
    let loaded = load(&[Source::new("websocket.yaml", example("websocket.yaml"))]);
    assert_eq!(
        lines(&loaded),
        [
            "websocket.yaml:16:17: note: `keepHost` changes nothing here: a server given by IP address gets the client's `Host` anyway",
            "websocket.yaml:34:24: note: `clientMaxBodySize` makes no difference to WebSocket: any value will do, -1 is not needed",
        ]
    );
    let filter = &loaded.objects.pipelines[0].spec.filters[0];
    assert_eq!(filter.name.as_str(), "wsproxy");
    let spec = filter.spec.downcast::<websocket_proxy::Spec>().unwrap();
    assert_eq!(
        spec.default_origin.as_ref().and_then(|origin| origin.get().to_str().ok()),
        Some("http://127.0.0.1/hello")
    );
    let pool = spec.main_pool().unwrap();
    let urls: Vec<String> = pool.servers.iter().map(|server| server.url.to_string()).collect();
    let ports = [12345, 9095, 9096, 9097];
    assert_eq!(urls, ports.map(|port| format!("ws://127.0.0.1:{port}")));
    assert_eq!(pool.client_message_limit(), MessageLimit::default());
    assert_eq!(
        check::summary(&loaded.diagnostics, &loaded.objects, 1),
        "ok: 1 HTTPServer, 1 Pipeline, 2 notes"
    );
}

#[test]
fn the_site_example_loads_without_a_word() {
    let loaded = load(&[Source::new("site.yaml", example("site.yaml"))]);
    assert_eq!(lines(&loaded), [""; 0]);
    assert_eq!(loaded.objects.pipelines[0].spec.flow.len(), 1);
}

#[test]
fn the_health_check_example_loads() {
    let loaded = load(&[Source::new("health-check.yaml", example("health-check.yaml"))]);
    assert_eq!(
        lines(&loaded),
        [
            "health-check.yaml:50:24: note: `clientMaxBodySize` makes no difference to WebSocket: any value will do, -1 is not needed",
        ]
    );
    assert_eq!(loaded.objects.pipelines[0].spec.flow.len(), 1, "without `flow`, the filters in order");
}

#[test]
fn json_is_read_too() {
    let loaded = load_text(
        "{\n\t\"kind\": \"HTTPServer\",\n\t\"name\": \"a\\u00e9\",\n\t\"port\": 80,\n\t\"keepAlive\": false,\n\t\"rules\": []\n}\n",
    );
    assert_eq!(lines(&loaded), [""; 0]);
    let server = &loaded.objects.servers[0];
    assert_eq!(
        (server.name.as_str(), server.spec.port.as_deref().unwrap().get(), server.spec.keep_alive),
        ("aé", 80, false)
    );
}

#[test]
fn pass_and_passes_are_one_field() {
    let pool = |fields: &str| {
        format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n  - servers: [{{ url: ws://a }}]\n    healthCheck: {{ ws: {{}}, {fields} }}\n"
        )
    };
    let [pass, passes, other] =
        ["pass: 2", "passes: 2", "passes: 3"].map(|fields| load_text(&pool(fields)).objects);
    assert_eq!(pass.pipelines.len(), 1);
    assert_eq!(pass, passes);
    assert_ne!(pass, other);
    let both = load_text(&pool("pass: 2, passes: 2"));
    assert_eq!(
        lines(&both),
        ["test.yaml:12:37: error: `healthCheck`: duplicate key: `passes` is given twice, under two names",]
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn policies_have_what_they_need() {
    let pool = |server: &str, balance: &str| {
        lines(&load_text(&format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n  - servers: [{{ url: ws://a{server} }}]\n    loadBalance:\n      {balance}\n"
        )))
    };
    let ok: [&str; 0] = [];
    for balance in [
        "policy: random",
        "policy: ipHash",
        "policy: cookieHash",
        "policy: leastConnections",
        "policy: powerOfTwo",
        "policy: ''",
        "{ policy: headerHash, headerHashKey: X-User }",
        "{ policy: consistentHash, key: 'cookie:session' }",
        "{ policy: consistentHash, key: 'path:^/rooms/([^/]+)' }",
        "stickySession: { mode: DurationBased, lbCookieName: my_lb, lbCookieExpire: 90m }",
        "stickySession: { mode: ApplicationBased, appCookieName: session }",
    ] {
        assert_eq!(pool("", balance), ok, "{balance}");
    }
    assert_eq!(pool(", weight: 1", "policy: weightedRandom"), ok);
    let forms = "write `ip`, `header:NAME`, `cookie:NAME`, `query:NAME` or `path:REGEX`";
    for (balance, expected) in [
        (
            "policy: headerHash",
            "13:7: error: `headerHash` needs a `headerHashKey` (name the header whose value decides)"
                .to_owned(),
        ),
        ("policy: weightedRandom", "13:15: error: `weightedRandom` needs a `weight` at every server".into()),
        ("policy: consistentHash", format!("13:7: error: `consistentHash` needs a `key` ({forms})")),
        ("key: ip", "13:12: warning: `key` does nothing here: it is for the policy `consistentHash`".into()),
        (
            "{ policy: consistentHash, key: 'session:a' }",
            format!("13:38: error: `key`: `session` is no part of a request: {forms}"),
        ),
        (
            "stickySession: { mode: CookieConsistentHash }",
            "13:30: error: `CookieConsistentHash` needs an `appCookieName` (name the cookie by which your application \
             knows its clients)"
                .into(),
        ),
        (
            "stickySession: { mode: DurationBased, appCookieName: a }",
            "13:60: warning: `appCookieName` does nothing here: it is for the other modes".into(),
        ),
        (
            "stickySession: { mode: ApplicationBased, appCookieName: a, lbCookieName: a }",
            "13:80: error: the gateway's cookie would overwrite the application's (give `lbCookieName` another name than \
             `appCookieName`)"
                .into(),
        ),
        (
            "stickySession: { mode: DurationBased, lbCookieName: 'a b' }",
            "13:59: error: this is no name for a cookie (write letters, digits, `-`, `_` and the like)".into(),
        ),
    ] {
        assert_eq!(pool("", balance), [format!("test.yaml:{expected}")], "{balance}");
    }
    let unknown = pool("", "policy: leastConnection");
    assert!(unknown.len() == 1 && unknown[0].contains("(did you mean `leastConnections`?)"), "{unknown:?}");
}

#[test]
fn filters_have_what_they_need() {
    let filter = |filter: &str| {
        lines(&load_text(&format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n  - servers: [{{ url: ws://a }}]\n  - servers: [{{ url: ws://b }}]\n    filter: {filter}\n"
        )))
    };
    for (good, bad, expected) in [
        ("{ headers: { X-A: { exact: a } } }", "{ urls: [] }", "the policy `general` needs `headers`"),
        (
            "{ policy: ipHash, permil: 1 }",
            "{ policy: ipHash }",
            "this policy needs `permil`, the share of requests in thousandths",
        ),
        (
            "{ policy: headerHash, permil: 1000, headerHashKey: X-User }",
            "{ policy: headerHash, permil: 1 }",
            "the policy `headerHash` needs `headerHashKey`",
        ),
        (
            "{ policy: random, permil: 1 }",
            "{ policy: random, permil: 0 }",
            "`permil`: 0 is not a share in thousandths: from 1 to 1000",
        ),
    ] {
        assert_eq!(filter(good), [""; 0], "{good}");
        let found = filter(bad);
        assert!(found.len() == 1 && found[0].ends_with(&format!("error: {expected}")), "{found:?}");
    }
}

#[test]
fn texts_and_numbers_keep_apart() {
    for (fields, expected) in [
        ("name: 1.10\nport: 80", None),
        ("name: yes\nport: 0x50", None),
        ("name: a\nport: 8_0", None),
        ("name: a\nport: !!int 80", None),
        ("name: !!str 80\nport: 80", None),
        ("name: a\nport: '80'", Some("`port`: expected a whole number, found the text \"80\"")),
        ("name: a\nport: 1e3", Some("`port`: expected a whole number, found the number 1e3")),
        ("name: a\nport: 010", Some("`port`: expected a whole number, found the number 010")),
        ("name: a\nport: 65536", Some("`port`: 65536 is not a port: from 1 to 65535")),
        ("name: a\nport:", Some("missing field `port`")),
        (
            "name: a\nport: 80\nkeepAlive: yes",
            Some("`keepAlive`: expected true or false, found the text \"yes\""),
        ),
        ("name: a\nport: 80\nrules: {}", Some("`rules`: expected a list, found a mapping")),
        ("name: a\nport: 80\nrules:", None),
        ("name: [a]\nport: 80", Some("`name`: expected a name, found a list")),
        (
            "name: a\nport: 80\nkeepAliveTimeout: {}",
            Some("`keepAliveTimeout`: expected a duration such as 30s, 1m30s or 500ms, found a mapping"),
        ),
        ("name: a\nport: 80\nbusyPoll: 1ms", None),
        ("name: a\nport: 80\nbusyPoll: 1001us", Some("`busyPoll` is at most 1ms")),
        ("name: a\nport: !mine 80", Some("the tag `!mine` is not supported")),
        ("name: a\nport: 80\n? [a]\n: 1", Some("a key must be a plain text")),
    ] {
        let loaded = load_text(&format!("kind: HTTPServer\n{fields}\n"));
        let errors = loaded.diagnostics.iter().filter(|found| found.severity() == Severity::Error);
        assert_eq!(errors.map(|found| found.title()).collect::<Vec<_>>(), expected.as_slice(), "{fields}");
    }
}

#[test]
fn anchors_and_merge_keys_work() {
    let loaded = load_text(
        "kind: Pipeline\nname: p\nfilters:\n- &first\n  kind: WebSocketProxy\n  name: a\n  pools: [{ servers: [{ url: ws://a }] }]\n- <<: *first\n  name: b\n---\nkind: HTTPServer\nname: s\nport: 80\n",
    );
    assert_eq!(lines(&loaded), [""; 0]);
    let filters = &loaded.objects.pipelines[0].spec.filters;
    assert_eq!(filters[1].name.as_str(), "b");
    assert!(filters[0].spec.same(&*filters[1].spec));
}

#[test]
fn flows_are_checked_forward_only() {
    let flow = |nodes: &str| {
        let text = format!(
            "{SERVER}kind: Pipeline\nname: p\nflow:\n{nodes}\nfilters:\n- {{ kind: Mock, name: one }}\n- {{ kind: Mock, name: two }}\n"
        );
        lines(&load_text(&text))
    };
    let ok: [&str; 0] = [];
    assert_eq!(flow("- filter: one\n- filter: END\n- { filter: two, jumpIf: { mocked: END } }"), ok);
    assert_eq!(
        flow(
            "- { filter: one, jumpIf: { mocked: x, '': two } }\n- { filter: two }\n- { filter: one, alias: x }"
        ),
        ok
    );
    assert_eq!(
        flow("- filter: tow"),
        ["test.yaml:8:11: error: no filter is called `tow` (did you mean `two`?)"]
    );
    assert_eq!(
        flow("- filter: one\n- { filter: two, jumpIf: { mocked: one } }"),
        [
            "test.yaml:9:36: error: no later step is called `one` (a jump goes forward: name a later step of the flow, or `END`)"
        ]
    );
    assert_eq!(
        flow(
            "- { filter: one, jumpIf: { mocked: x } }\n- { filter: one, alias: x }\n- { filter: two, alias: x }"
        ),
        ["test.yaml:8:36: error: two later steps are called `x` (give one of them an `alias`)"]
    );
    assert_eq!(
        flow("- { filter: one, jumpIf: { moked: END } }"),
        ["test.yaml:8:28: error: a Mock has no result `moked` (did you mean `mocked`?)"]
    );
}

/// What can be loaded and cannot be meant.
#[test]
fn steps_without_an_answer_and_answers_without_a_reader_are_told() {
    let flow = |nodes: &str| {
        let text = format!(
            "{SERVER}kind: Pipeline\nname: p\n{nodes}\nfilters:\n\
             - {{ kind: Mock, name: mock }}\n\
             - {{ kind: Proxy, name: proxy, pools: [{{ servers: [{{ url: http://a }}] }}] }}\n\
             - {{ kind: ResponseAdaptor, name: mark }}\n\
             - {{ kind: Fallback, name: sorry, mockCode: 503 }}\n"
        );
        lines(&load_text(&text))
    };
    let nothing = "warning: `mark` has no answer to change: no step before it gives one";
    let replaced = "warning: `sorry` takes the place of every answer of `proxy`";
    for (steps, expected) in [
        ("[{ filter: proxy }, { filter: mark }]", None),
        ("[{ filter: mark }, { filter: proxy }]", Some(("7:18", nothing))),
        ("[{ filter: mock }, { filter: mark }, { filter: proxy }]", Some(("7:36", nothing))),
        ("[{ filter: mock, jumpIf: { mocked: m } }, { filter: mark, alias: m }]", None),
        ("[{ filter: sorry }, { filter: mark }]", None),
        ("[{ filter: proxy, namespace: a }, { filter: mark }]", Some(("7:51", nothing))),
        ("[{ filter: proxy, namespace: a }, { filter: mark, namespace: a }]", None),
        ("[{ filter: proxy }, { filter: sorry }]", Some(("7:37", replaced))),
        ("[{ filter: proxy }, { filter: mark }, { filter: sorry }]", Some(("7:55", replaced))),
        (
            "[{ filter: proxy, jumpIf: { serverError: sorry } }, { filter: mark }, { filter: sorry }]",
            Some(("7:87", replaced)),
        ),
        ("[{ filter: proxy, jumpIf: { serverError: sorry } }, { filter: END }, { filter: sorry }]", None),
        ("[{ filter: proxy, jumpIf: { '': END, timeout: sorry } }, { filter: sorry }]", None),
        ("[{ filter: proxy, namespace: a }, { filter: sorry }]", None),
        ("[{ filter: mock }, { filter: sorry }]", None),
    ] {
        let expected = expected.map(|(at, title)| format!("test.yaml:{at}: {title}"));
        let found: Vec<_> = flow(&format!("flow: {steps}"))
            .into_iter()
            .map(|line| line.split(" (").next().unwrap().to_owned())
            .collect();
        assert_eq!(found, Vec::from_iter(expected), "{steps}");
    }
    // Without `flow`, in their order.
    let found = flow("");
    assert!(found.len() == 1 && found[0].contains(replaced), "{found:?}");
}

#[test]
fn groups_that_are_not_there_are_told() {
    let behind = "to have group 1 in front of `_new`, write `${1}`";
    let counted = "groups are counted by their opening brackets; `$0` is the whole match";
    for (replacement, expected) in [
        ("/$1", None),
        ("/${1}_new/$0", None),
        ("/$1_new", Some(("1_new", behind))),
        ("/$2", Some(("2", counted))),
        ("/$name", Some(("name", "a group has a name as in `(?P<name>…)`, or a number; `$$` is a `$`"))),
    ] {
        let redirector =
            format!("{{ kind: Redirector, name: f, match: ^/(.*)$, replacement: '{replacement}' }}");
        let adaptor = format!(
            "{{ kind: RequestAdaptor, name: f, path: {{ regexpReplace: {{ regexp: ^/(.*)$, replace: '{replacement}' }} }} }}"
        );
        let pipeline = |filter: &str| format!("{SERVER}kind: Pipeline\nname: p\nfilters:\n- {filter}\n");
        let path = format!(
            "kind: HTTPServer\nname: s\nport: 80\nrules:\n- paths:\n  - pathRegexp: ^/(.*)$\n    rewriteTarget: {replacement}\n\
             \x20   backendPool: {{ servers: [{{ url: http://a }}] }}\n"
        );
        for text in [pipeline(&redirector), pipeline(&adaptor), path] {
            let found = lines(&load_text(&text));
            let expected = expected.map(|(group, help)| {
                format!("warning: there is no group `{group}` in the regular expression: nothing stands for it ({help})")
            });
            assert_eq!(found.len(), usize::from(expected.is_some()), "{text}: {found:?}");
            assert!(expected.is_none_or(|expected| found[0].ends_with(&expected)), "{text}: {found:?}");
        }
    }
}

#[test]
fn pools_are_checked() {
    let pool = |pools: &str| {
        let text = format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n{pools}\n"
        );
        lines(&load_text(&text))
    };
    for (pools, expected) in [
        ("  - servers: []", "test.yaml:11:5: error: a pool needs at least one server"),
        (
            "   []",
            "test.yaml:11:4: error: one pool must have no `filter`: it takes the requests that no other takes",
        ),
        (
            "  - servers: [{ url: ws://a }]\n  - servers: [{ url: ws://b }]",
            "test.yaml:12:5: error: only one pool can be without a `filter` (to spread connections over more servers, list them in one pool)",
        ),
        (
            "  - servers: [{ url: ws://a }]\n    loadBalance: { policy: weightedRandom }",
            "test.yaml:12:28: error: `weightedRandom` needs a `weight` at every server",
        ),
        (
            "  - servers: [{ url: ws://a, weight: 1 }, { url: ws://b }]",
            "test.yaml:11:43: error: this server has no `weight` but others of its pool have (give every server a weight above 0, or none)",
        ),
    ] {
        assert_eq!(pool(pools), [expected], "{pools}");
    }
}

#[test]
fn candidate_pools_and_health_checks_are_checked_though_they_do_nothing_yet() {
    for (field, expected) in [
        ("filter: {}", "the policy `general` needs `headers`"),
        ("filter: { urls: [{ url: { prefix: / } }] }", "the policy `general` needs `headers`"),
        ("filter: { policy: random }", "this policy needs `permil`, the share of requests in thousandths"),
        (
            "filter: { policy: ipHash, permil: 0 }",
            "`permil`: 0 is not a share in thousandths: from 1 to 1000",
        ),
        ("filter: { policy: headerHash, permil: 1 }", "the policy `headerHash` needs `headerHashKey`"),
        (
            "filter: { headers: { a: { empty: true, exact: b } } }",
            "`empty` excludes `exact`, `prefix` and `regex`",
        ),
        (
            "filter: { headers: { a: {} } }",
            "nothing to compare with: give `exact`, `prefix`, `regex` or `empty: true`",
        ),
        ("healthCheck: { http: }", "a health check needs at least one of `http` and `ws`"),
        ("healthCheck: { http: { username: a } }", "`username` needs a `password`"),
        ("healthCheck: { http: { password: a } }", "`password` needs a `username`"),
        ("healthCheck: { ws: {}, fails: 0 }", "`fails`: 0 is not a count: from 1 to 1000000000"),
        (
            "healthCheck: { ws: { match: { statusCodes: [[3, 399]] } } }",
            "`statusCodes`: 3 is not an HTTP status code: from 100 to 599",
        ),
        (
            "healthCheck: { ws: { match: { statusCodes: [[200]] } } }",
            "`statusCodes`: a range has two numbers, such as [200, 399]",
        ),
        (
            "healthCheck: { ws: { match: { statusCodes: [[201, 200]] } } }",
            "`statusCodes`: the range is empty: 201 is above 200",
        ),
        (
            "healthCheck: { ws: { match: { headers: [{ name: a, value: '(', type: regexp }] } } }",
            "not a regular expression: unclosed group",
        ),
        (
            "healthCheck: { http: { match: { body: { value: '(', type: regexp } } } }",
            "not a regular expression: unclosed group",
        ),
        (
            "healthCheck: { ws: { expect: { value: '(', type: regexp } } }",
            "not a regular expression: unclosed group",
        ),
    ] {
        let loaded = load_text(&format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n  - servers: [{{ url: ws://a }}]\n  - servers: [{{ url: ws://b }}]\n    filter: {{ policy: random, permil: 5 }}\n  - servers: [{{ url: ws://c }}]\n    {field}\n    {}\n",
            if field.starts_with("filter") { "" } else { "filter: { policy: random, permil: 5 }" },
        ));
        let errors = loaded.diagnostics.iter().filter(|found| found.severity() == Severity::Error);
        assert_eq!(errors.map(|found| found.title()).collect::<Vec<_>>(), [expected], "{field}");
    }
}

#[test]
fn a_health_check_that_cannot_pass_or_means_nothing_is_told() {
    let body = "this cannot match: an answer with status 101 has no body";
    let needs = |field: &str| format!("`{field}` needs a WebSocket, and `statusCodes` leaves 101 out");
    let late = "`maxLatency` does nothing: nothing may take longer than `timeout` anyway";
    let table = [
        ("maxLatency: 3s, ws: {}", Some(("3s", late.to_owned()))),
        ("maxLatency: 4s, timeout: 5s, ws: {}", None),
        ("maxLatency: 2999ms, ws: {}", None),
        (
            "http: { username: 'a:b', password: c }",
            Some(("'a:b'", "a `username` cannot hold a `:`".to_owned())),
        ),
        (
            "http: { method: CONNECT }",
            Some((
                "CONNECT",
                "`CONNECT` asks for a tunnel and not for an answer: use another method".to_owned(),
            )),
        ),
        ("ws: { match: { body: { value: ok } } }", Some(("ok", body.to_owned()))),
        ("ws: { match: { statusCodes: [[101, 199]], body: { value: ok } } }", Some(("ok", body.to_owned()))),
        ("ws: { match: { statusCodes: [[101, 101], [404, 404]], body: { value: ok } } }", None),
        ("ws: { match: { body: {} } }", None),
        ("ws: { match: { statusCodes: [[102, 404]] }, expect: {} }", Some(("{} }", needs("expect")))),
        ("ws: { match: { statusCodes: [[102, 404]] }, ping: true }", Some(("true", needs("ping")))),
        ("ws: { match: { statusCodes: [[100, 404]] }, ping: true, send: a, expect: { value: b } }", None),
        ("ws: { send: a }", Some(("a }", "no answer to `send` is waited for".to_owned()))),
        ("ws: { send: a, ping: true }", None),
        ("ws: { send: a, expect: {} }", None),
        ("ws: { headers: { Authorization: a, Host: b, Sec-WebSocket-Protocol: c, Origin: d } }", None),
    ];
    for (check, expected) in table {
        assert_told(check, expected.as_ref().map(|(at, title)| (*at, title.as_str())));
    }
}

#[test]
fn a_health_check_sets_some_headers_itself() {
    for name in [
        "Connection",
        "Content-Length",
        "Keep-Alive",
        "Proxy-Connection",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ] {
        let title = format!("`{}` is set by the check itself: leave it out", name.to_lowercase());
        for kind in ["ws", "http"] {
            let check = format!("{kind}: {{ headers: {{ {name}: a }} }}");
            assert_told(&check, Some(("a } }", &title)));
        }
    }
}

/// Of the `check` nothing is told but `expected`, and of which of its words.
fn assert_told(check: &str, expected: Option<(&str, &str)>) {
    let loaded = load_text(&format!(
        "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n  - servers: [{{ url: ws://a }}]\n    healthCheck: {{ {check} }}\n"
    ));
    let found = lines(&loaded);
    assert_eq!(found.len(), usize::from(expected.is_some()), "{check}: {found:?}");
    if let Some((at, title)) = expected {
        let column = 1 + "    healthCheck: { ".len() + check.find(at).unwrap();
        let is_told = found[0].starts_with(&format!("test.yaml:12:{column}: ")) && found[0].contains(title);
        assert!(is_told, "{check}: {found:?}");
    }
}

#[test]
fn the_path_of_a_servers_url_is_for_health_checks_only() {
    let nothing = "warning: the path of a server's URL does nothing";
    let asked = "note: only health checks ask for the path of a server's URL";
    for (check, expected) in [
        ("", nothing),
        ("healthCheck: { ws: { uri: /a }, http: { uri: /b } }", nothing),
        ("healthCheck: { path: /a, http: {} }", nothing),
        ("healthCheck: { ws: {} }", asked),
        ("healthCheck: { path: /a, http: {}, ws: {} }", asked),
    ] {
        let loaded = load_text(&format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- kind: WebSocketProxy\n  name: w\n  pools:\n  - servers: [{{ url: ws://a/b }}]\n    {check}\n"
        ));
        let found = lines(&loaded);
        assert!(found.len() == 1 && found[0].contains(expected), "{check}: {found:?}");
    }
}

#[test]
fn hosts_have_one_star_at_most() {
    for (host, expected) in [
        ("a.example.com", None),
        ("*.example.com", None),
        ("example.*", None),
        ("*", Some("`*` alone matches no host: leave the host out to match all")),
        ("a*b", Some("a host can have one `*`, at its start or end: this one matches literally")),
        ("*a*", Some("a host can have one `*`, at its start or end: this one matches literally")),
    ] {
        for field in [format!("host: '{host}'"), format!("hosts: [{{ value: '{host}' }}]")] {
            let loaded = load_text(&format!("kind: HTTPServer\nname: s\nport: 80\nrules:\n- {field}\n"));
            let titles: Vec<_> = loaded.diagnostics.iter().map(|found| found.title()).collect();
            assert_eq!(titles, expected.as_slice(), "{field}");
        }
    }
    let regexp =
        "kind: HTTPServer\nname: s\nport: 80\nrules: [{ hosts: [{ isRegexp: true, value: '(' }] }]\n";
    assert_eq!(
        lines(&load_text(regexp)),
        ["test.yaml:4:44: error: not a regular expression: unclosed group"]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: row after row")]
fn certificates_are_checked() {
    let authority = Authority::new();
    let [one, other] = [(); 2].map(|()| authority.issue(&["localhost"]));
    let encode = |text: &str| STANDARD.encode(text);
    let (cert, key, stranger) = (encode(&one.certificate), encode(&one.key), encode(&other.key));
    let ca = encode(&authority.pem());
    let good = format!("https: true\ncertBase64: {cert}\nkeyBase64: {key}\n");
    let no_base64 = "this is not base64: write what `base64 -w0 FILE` says";
    for (fields, expected) in [
        (good.clone(), vec![]),
        (
            "https: true\n".into(),
            vec!["5:8: error: `https` needs a certificate (name PEM files in `certFiles` and `keyFiles`)".into()],
        ),
        (
            "https: true\nautoCert: true\n".into(),
            vec![
                "5:8: warning: there is no certificate yet: this listener will not be opened (name PEM files in \
                 `certFiles` and `keyFiles`)"
                    .into(),
                "6:1: warning: `autoCert` is not supported yet".to_owned(),
            ],
        ),
        (
            format!("certBase64: {cert}\nkeyBase64: {key}\n"),
            vec!["5:13: warning: a certificate does nothing without `https: true`".into()],
        ),
        (format!("keyBase64: {key}\n"), vec!["5:12: error: `keyBase64` needs a `certBase64`".into()]),
        (
            format!("https: true\ncertBase64: {cert}\nkeyBase64: {stranger}\n"),
            vec![
                "6:13: error: the certificate is not of this key (the first certificate of the list must be of the \
                 key, those that issued it follow)"
                    .into(),
            ],
        ),
        (
            format!("https: true\ncerts: {{ a: {cert} }}\n"),
            vec!["6:10: error: `keys` has no key for the certificate `a`".into()],
        ),
        (
            format!("{good}keys: {{ a: {key} }}\n"),
            vec!["8:9: error: there is no certificate for the key `a`".into()],
        ),
        (
            format!("{good}certs: {{ a: not-base64! }}\nkeys: {{ a: {key} }}\n"),
            vec![format!("8:13: error: `a`: {no_base64}")],
        ),
        (
            "https: true\ncertFiles: { a: tests/it/config/identity.pem }\nkeyFiles: { a: none.pem }\n".into(),
            vec![
                "7:16: error: `a`: `none.pem` cannot be read: No such file or directory (os error 2) (looked for from \
                 where ropeway was started)"
                    .into(),
            ],
        ),
        (
            "https: true\ncertFiles: { a: /nonexistent }\nkeyFiles: { a: tests/it/config/identity.pem }\n".into(),
            vec!["6:17: error: `a`: `/nonexistent` cannot be read: No such file or directory (os error 2)".into()],
        ),
        (
            format!("{good}certFiles: {{ a: /nonexistent }}\nkeyFiles: {{ a: /nonexistent }}\n"),
            vec![
                "8:17: error: `a`: `/nonexistent` cannot be read: No such file or directory (os error 2)".into(),
                "9:16: error: `a`: `/nonexistent` cannot be read: No such file or directory (os error 2)".into(),
            ],
        ),
        (
            format!("{good}clientAuth: optional\n"),
            vec![
                "8:13: error: `clientAuth` needs to know whose certificates are good (name a PEM file in \
                 `caCertFile`)"
                    .into(),
            ],
        ),
        (format!("{good}caCertBase64: {ca}\nclientAuth: optional\n"), vec![]),
        (
            format!("{good}minTlsVersion: TLSv1.3\nmaxTlsVersion: TLSv1.2\n"),
            vec!["9:16: error: `maxTlsVersion` is older than `minTlsVersion`".into()],
        ),
    ] {
        let text = format!("# servers\nkind: HTTPServer\nname: s\nport: 80\n{fields}");
        let expected: Vec<_> = expected.iter().map(|line| format!("test.yaml:{line}")).collect();
        assert_eq!(lines(&load_text(&text)), expected, "{fields}");
    }
}

#[test]
fn references_and_listeners_are_checked_over_all_files() {
    let one = "kind: HTTPServer\nname: a\nport: 80\nrules: [{ paths: [{ backend: b }] }]\n";
    let two = "kind: HTTPServer\nname: b\nport: 80\naddress: 127.0.0.1\n";
    let loaded = load(&[Source::new("1.yaml", one), Source::new("2.yaml", two)]);
    assert_eq!(
        lines(&loaded),
        [
            "1.yaml:4:30: error: `b` is not a Pipeline but a HTTPServer",
            "2.yaml:3:7: error: two servers listen on port 80",
        ]
    );
    assert_eq!(loaded.objects.servers.len(), 0, "nothing to use where there are errors");
    assert_eq!(check::summary(&loaded.diagnostics, &loaded.objects, 2), "2 errors in 2 files");

    assert_eq!(lines(&load_text("# nothing\n")), ["warning: there is no HTTPServer: nothing will be served"]);
}

#[test]
fn directories_are_read_in_the_order_of_names() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config-sources");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("deeper.yaml")).unwrap();
    for name in ["b.yml", "a.yaml", "c.json", "d.txt"] {
        fs::write(directory.join(name), "{}").unwrap();
    }
    let sources = sources_from(std::slice::from_ref(&directory)).unwrap();
    let names: Vec<&str> = sources.iter().map(|source| source.name().rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["a.yaml", "b.yml", "c.json"]);

    fs::write(directory.join("a.yaml"), b"a: \xff").unwrap();
    let error = sources_from(std::slice::from_ref(&directory)).unwrap_err();
    assert!(error.ends_with("a.yaml`: not a text in UTF-8: see byte 3"), "{error}");
    fs::write(directory.join("a.yaml"), vec![b' '; Source::MAX_BYTES + 1]).unwrap();
    let error = sources_from(&[directory.join("a.yaml")]).unwrap_err();
    assert!(error.ends_with("a.yaml`: larger than 4 MiB"), "{error}");
    let error = sources_from(&[directory.join("none.yaml")]).unwrap_err();
    assert!(error.starts_with("cannot read `"), "{error}");
    assert_eq!(check::run(&[directory.join("none.yaml")], false), 1);
}

#[test]
fn what_only_a_proxy_has_is_an_error_in_a_websocket_proxy() {
    let text = |kind: &str, line: &str| {
        format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- name: a\n  kind: {kind}\n  pools:\n\
             \x20 - servers: [{{ url: \"http://127.0.0.1:1\" }}]\n    {line}\n"
        )
    };
    for line in ["timeout: 1s", "failureCodes: [500]", "serverMaxBodySize: 1"] {
        let found = lines(&load_text(&text("WebSocketProxy", line)));
        assert!(found.len() == 1 && found[0].contains("is for pools of a `Proxy`"), "{line}: {found:?}");
        assert_eq!(lines(&load_text(&text("Proxy", line))), [""; 0], "{line}");
    }
}

#[test]
fn codes_of_failures_are_codes_and_ranges() {
    let found = |codes: &str| {
        lines(&load_text(&format!(
            "{SERVER}kind: Pipeline\nname: p\nfilters:\n- name: a\n  kind: Proxy\n  pools:\n\
             \x20 - servers: [{{ url: http://a }}]\n    failureCodes: {codes}\n"
        )))
    };
    for good in ["[404, 500-599]", "['404', '500-500']", "[100, 599]", "[]"] {
        assert_eq!(found(good), [""; 0], "{good}");
    }
    for (codes, expected) in [
        ("[99]", "99 is no status code from 100 to 599, nor a range such as 500-599"),
        ("[600]", "600 is no status code"),
        ("[500-]", "500- is no status code"),
        ("[5xx]", "5xx is no status code"),
        ("[599-500]", "the range is empty: 599 is above 500"),
        ("404", "expected a list"),
    ] {
        let found = found(codes);
        assert!(found.len() == 1 && found[0].contains(expected), "{codes}: {found:?}");
    }
}

/// What routes cannot be is said where it stands.
#[test]
fn what_is_no_route() {
    let server = |server: &str, path: &str| {
        format!(
            "kind: HTTPServer\nname: s\nport: 80\n{server}\nrules:\n- paths:\n  - backendPool: {{ servers: [{{ url: http://a }}] }}\n    {path}\n"
        )
    };
    let tree = "routerKind: RadixTree";
    let rows = [
        (
            tree,
            "path: /{a}{b}",
            "test.yaml:8:11: error: something has to stand between two parameters: where would one end?",
        ),
        (tree, "path: /*/a", "test.yaml:8:11: error: `*` can only stand at the end of a path"),
        (
            tree,
            "pathPrefix: /a",
            "test.yaml:8:17: warning: `pathPrefix` does nothing with `routerKind: RadixTree`",
        ),
        (tree, "setHeaders: { X: $b }", "test.yaml:8:22: error: there is no variable `b`"),
        (
            "",
            "setHeaders: { X: $urii }",
            "test.yaml:8:22: error: there is no variable `urii` (did you mean `uri`?)",
        ),
        ("", "setHeaders: { Host: a }", "test.yaml:8:25: warning: `setHeaders` cannot set `Host`"),
        (
            "",
            "setHeaders: { Content-Length: a }",
            "test.yaml:8:35: error: `setHeaders` cannot set `content-length`: it belongs to one connection",
        ),
        ("", "setHeaders: { X: \"a\\r\\nb\" }", "test.yaml:8:22: error: `X`: no header can have this value"),
        ("", "backend: s", "test.yaml:7:18: warning: `backendPool` does nothing beside `backend`"),
        (
            "accessLogFormat: '{{Methd}}'",
            "path: /a",
            "test.yaml:4:18: error: `accessLogFormat`: there is no placeholder `{{Methd}}`: did you mean `Method`?",
        ),
        ("encodedSlashes: decode", "path: /a", "test.yaml:4:17: error: "),
        ("", "path: '/{a}'", ""),
    ];
    for (on_server, path, expected) in rows {
        let found = lines(&load_text(&server(on_server, path)));
        let fits =
            found.iter().any(|line| line.starts_with(expected)) || expected.is_empty() && found.is_empty();
        assert!(fits, "{on_server} {path}: {found:#?}");
    }
}

#[test]
fn a_pool_of_a_path_is_a_pipeline_of_its_own() {
    let text = |pool: &str| {
        format!("kind: HTTPServer\nname: s\nport: 80\nrules:\n- paths:\n  - backendPool: {pool}\n")
    };
    let loaded = load_text(&text("{ servers: [{ url: http://a }] }"));
    assert_eq!(lines(&loaded), [""; 0]);
    assert_eq!(loaded.objects.pipelines[0].name.as_str(), "GENERATED-s-0-0");
    let rows = [
        ("{ servers: [] }", "a pool needs at least one server"),
        (
            "{ servers: [{ url: http://a }], filter: { headers: { a: { exact: b } } } }",
            "the pool of a path has no `filter`",
        ),
    ];
    for (pool, expected) in rows {
        let found = lines(&load_text(&text(pool)));
        assert!(found.iter().any(|line| line.contains(expected)), "{pool}: {found:#?}");
    }
    let twice = text("{ servers: [{ url: http://a }] }")
        + "---\nkind: Pipeline\nname: GENERATED-s-0-0\nfilters: [{ kind: Mock, name: m }]\n";
    assert!(
        lines(&load_text(&twice))[0].contains("two objects are called"),
        "{:#?}",
        lines(&load_text(&twice))
    );
}
