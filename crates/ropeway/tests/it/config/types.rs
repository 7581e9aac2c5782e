//! Field types: what each text stands for, and what is refused.

use std::time::Duration;

use ropeway::spec::types::{CloseCode, GoDuration, HashKey, HeaderName, IpRange, Name};

#[test]
fn durations_are_go_s() {
    for (text, nanos) in [
        ("0", 0),
        ("+0", 0),
        ("0s", 0),
        ("5ns", 5),
        ("300ms", 300_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("+1s", 1_000_000_000),
        ("2us3µs4μs", 9_000),
        ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ("2562047h47m16.854775807s", 9_223_372_036_854_775_807),
    ] {
        assert_eq!(text.parse::<GoDuration>().unwrap().get(), Duration::from_nanos(nanos), "{text}");
    }
}

#[test]
fn what_is_no_duration_says_what_to_do() {
    for (text, message) in [
        ("", "`` is not a duration: write it like `30s`, `1m30s` or `500ms`"),
        ("60", "a duration needs a unit: write `60s` for 60 seconds"),
        ("1.5", "a duration needs a unit: write `1.5s` for 1.5 seconds"),
        ("1m30", "a duration needs a unit: write `1m30s` for 1m30 seconds"),
        ("-5s", "a duration cannot be negative"),
        ("1d", "`d` is not a unit of time: use ns, us, ms, s, m or h"),
        ("1 s", "` s` is not a unit of time: use ns, us, ms, s, m or h"),
        ("s", "`s` is not a duration: write it like `30s`, `1m30s` or `500ms`"),
        (".s", "`.s` is not a duration: write it like `30s`, `1m30s` or `500ms`"),
        ("1.2.3s", "`1.2.3s` is not a duration: write it like `30s`, `1m30s` or `500ms`"),
        ("999999999999999999999999999999999999999999h", "this duration is too long: at most about 584 years"),
        ("6000000h", "this duration is too long: at most about 584 years"),
    ] {
        assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn names_have_a_length_and_an_alphabet() {
    for text in ["a", "é-1_.~", &"x".repeat(253)] {
        assert!(text.parse::<Name>().is_ok(), "{text}");
    }
    for text in ["", "a b", "a/b", "a\n", &"x".repeat(254)] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
}

#[test]
fn ranges_hold_addresses() {
    for (range, ip, expected) in [
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.1.2.3/8", "10.9.9.9", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("10.0.0.1", "::ffff:10.0.0.1", true),
        ("::ffff:10.0.0.1", "10.0.0.1", true),
        ("2001:db8::/32", "2001:db8::1", true),
        ("0.0.0.0/0", "::1", false),
    ] {
        assert_eq!(range.parse::<IpRange>().unwrap().contains(ip.parse().unwrap()), expected, "{range} {ip}");
    }
    for text in ["", "10.0.0.0/33", "10.0.0", "localhost"] {
        assert!(text.parse::<IpRange>().is_err(), "{text}");
    }
}

#[test]
fn close_codes_that_may_be_sent() {
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        assert!(CloseCode::new(code).is_some(), "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert!(CloseCode::new(code).is_none(), "{code}");
    }
}

#[test]
fn header_names_are_tokens_in_lower_case() {
    assert_eq!("X-Health-Check".parse::<HeaderName>().unwrap().as_str(), "x-health-check");
    for text in ["", "a b", "a:", "é"] {
        assert!(text.parse::<HeaderName>().is_err(), "{text}");
    }
}

#[test]
fn keys_name_a_part_of_the_request() {
    for text in ["ip", "header:x-user", "cookie:session", "query:a b", r"path:^/rooms/([^/:]+)"] {
        assert_eq!(text.parse::<HashKey>().unwrap().to_string(), text);
    }
    let forms = "write `ip`, `header:NAME`, `cookie:NAME`, `query:NAME` or `path:REGEX`";
    for (text, expected) in [
        ("", format!("`` is not a key: {forms}")),
        ("header", format!("`header` is not a key: {forms}")),
        ("query:", format!("`query:` is not a key: {forms}")),
        ("ip:1", format!("`ip` is no part of a request: {forms}")),
        ("Header:a", format!("`Header` is no part of a request: {forms}")),
        ("header:a b", "' ' cannot stand in a header name".to_owned()),
        ("cookie:a=b", "`a=b` cannot be the name of a cookie".to_owned()),
        ("path:(", "not a regular expression: unclosed group".to_owned()),
    ] {
        assert_eq!(text.parse::<HashKey>().unwrap_err(), expected, "{text}");
    }
}
