//! What is wrong with `tls` is said when the configuration is read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use testkit::Authority;

use super::findings;
use super::tls::file;

/// What is said of a server with these lines of `tls` in its pool, a line each: place within them, and words.
fn said(url: &str, tls: &str) -> String {
    let lines: String = tls.lines().map(|line| format!("  {line}\n")).collect();
    let text = super::documents(&[format!("url: '{url}'")], &format!("tls:\n{lines}"));
    let first = text.lines().position(|line| line == "    tls:").unwrap() + 1;
    let said = findings(&text).into_iter().map(|line| {
        let (at, rest) = line.split_once(':').unwrap();
        format!("{}:{rest}", at.parse::<usize>().unwrap() - first)
    });
    said.collect::<Vec<_>>().join("\n")
}

fn check(rows: &[(String, String)]) {
    for (tls, expected) in rows {
        assert_eq!(said("wss://a.test", tls), *expected, "{tls}");
    }
}

fn row(tls: impl Into<String>, expected: impl Into<String>) -> (String, String) {
    (tls.into(), expected.into())
}

fn base64(name: &str, pem: &str) -> String {
    format!("{name}Base64: {}", STANDARD.encode(pem))
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let authority = Authority::new();
    let identity = authority.issue(&["a.test"]);
    let good = file("faults-good.pem", &authority.pem());
    let empty = file("faults-empty.pem", "nothing of use\n");
    let large = file("faults-large.pem", &"x".repeat((1 << 20) + 1));
    let folder = env!("CARGO_TARGET_TMPDIR");
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let cert = base64("cert", &identity.certificate);
    let none = "there is no certificate in it, in PEM form";
    let cert_as_key = "1:19: error: a certificate needs its key (add `keyFile` or `keyBase64`)\n\
                       2:18: error: `keyBase64`: there is no private key in it, in PEM form, without a password";
    check(&[
        row(format!("caFile: '{good}'"), ""),
        row(
            "caFile: /no/such.pem",
            "1:15: error: `caFile`: `/no/such.pem` cannot be read: No such file or directory (os error 2)",
        ),
        row(format!("caFile: '{folder}'"), format!("1:15: error: `caFile`: `{folder}` is not a file")),
        row(format!("caFile: '{empty}'"), format!("1:15: error: `caFile`: {none}")),
        row(format!("caFile: '{large}'"), format!("1:15: error: `caFile`: `{large}` is larger than 1 MiB")),
        row(
            "caBase64: '!'",
            "1:17: error: `caBase64`: this is not base64: write what `base64 -w0 FILE` says",
        ),
        row(base64("ca", &identity.key), format!("1:17: error: `caBase64`: {none}")),
        row(
            base64("ca", broken),
            "1:17: error: this is not the certificate of an authority: invalid peer certificate: BadEncoding",
        ),
        row([cert, base64("key", &identity.certificate)].join("\n"), cert_as_key),
        row("serverName: 'a b'", "1:19: error: `serverName`: `a b` is not a host name or an IP address"),
    ]);
}

#[test]
fn what_does_not_fit_together_is_told_with_its_place() {
    let authority = Authority::new();
    let (one, two) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let ca_file = format!("caFile: '{}'", file("faults-ca.pem", &authority.pem()));
    let (cert, key) = (base64("cert", &one.certificate), base64("key", &one.key));
    let all = [&*cert, &key, &ca_file, "serverName: a.test"].join("\n");
    check(&[
        row(&*all, ""),
        row(&*cert, "1:19: error: a certificate needs its key (add `keyFile` or `keyBase64`)"),
        row(&*key, "1:18: error: a key needs its certificate (add `certFile` or `certBase64`)"),
        row(
            [cert, base64("key", &two.key)].join("\n"),
            "1:19: error: the certificate is not of this key (the first certificate of the list must be of the key, \
             those that issued it follow)",
        ),
        row(
            [&*ca_file, &base64("ca", &authority.pem())].join("\n"),
            "2:17: error: `caFile` and `caBase64` mean the same: leave one out",
        ),
        row(
            "insecure: true",
            "1:17: warning: `insecure` switches the check of certificates off: any server is believed (to trust an \
             authority of your own, name its certificate in `caFile`)",
        ),
    ]);
    assert_eq!(
        said("ws://a.test", &ca_file),
        "1:7: warning: `tls` does nothing here: no server of this pool has it (it is for URLs that begin with `wss://` \
         or `https://`)"
    );
}

/// A server's own `tls`, where it has no effect.
#[test]
fn tls_for_a_server_without_it_is_worth_a_warning() {
    let text = super::documents(&["url: 'unix:/run/a.sock', tls: { insecure: false }".into()], "");
    let found = findings(&text);
    assert!(
        found.len() == 1 && found[0].contains("`tls` does nothing here: this server is spoken to"),
        "{found:?}"
    );
}
