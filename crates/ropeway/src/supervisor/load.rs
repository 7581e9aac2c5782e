//! Files to objects.

use std::{
    collections::HashMap,
    fs, io,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::routes::generated_name;
use crate::filters::{proxy_of, readers};
use crate::server::tls;
use crate::spec::{
    Check, Diagnostic, Diagnostics, Header, KindReader, Raw, Reader, Source, Span, Spanned, closest,
    http_server::HttpServer,
    pipeline::{OBJECT_KINDS, Pipeline},
    types::{BodyLimit, ListenAddress, Name},
    unknown_kind,
};
use crate::upstream;

/// What a configuration says, and what is wrong with it.
#[derive(Debug)]
pub struct Loaded {
    /// All objects; none if there are errors.
    pub objects: Objects,
    /// Everything that was found.
    pub diagnostics: Diagnostics,
}

/// The objects of a configuration. Names are unique over all kinds.
#[derive(Debug, Default, PartialEq)]
pub struct Objects {
    /// Kind `HTTPServer`.
    pub servers: Vec<Named<HttpServer>>,
    /// Kind `Pipeline`.
    pub pipelines: Vec<Named<Pipeline>>,
}

impl Objects {
    /// The servers whose listeners can be opened.
    pub fn served(&self) -> impl Iterator<Item = &Named<HttpServer>> {
        self.servers.iter().filter(|server| server.spec.is_served())
    }

    /// The files they name besides those that they stand in.
    pub fn files(&self) -> Vec<PathBuf> {
        let servers = self.servers.iter().flat_map(|server| server.spec.files());
        let filters = self.pipelines.iter().flat_map(|pipeline| &pipeline.spec.filters);
        let files = servers.chain(filters.flat_map(|filter| filter.spec.files()));
        files.map(Path::to_path_buf).collect()
    }
}

/// An object with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T> {
    /// What it is called.
    pub name: Spanned<Name>,
    /// What it says.
    pub spec: T,
}

/// Reads all `sources` as one configuration. Finds everything that is wrong, not only the
/// first fault; warnings and notes too.
pub fn load(sources: &[Source]) -> Loaded {
    let kinds = &readers();
    let reader = Reader::new(sources);
    let mut loading = Loading { reader: &reader, kinds, names: HashMap::new(), objects: Objects::default() };
    for document in reader.documents() {
        loading.read(&document);
    }
    loading.check_listeners();
    loading.check_backends();
    let objects = loading.objects;
    let diagnostics = reader.finish();
    Loaded { objects: if diagnostics.has_errors() { Objects::default() } else { objects }, diagnostics }
}

/// Reads the files that `paths` name: a file; a directory, for all `*.yaml`, `*.yml` and `*.json` directly in it, by
/// name; `-` for standard input.
///
/// # Errors
/// Says in one line which path could not be read, and why.
pub fn sources_from(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for path in paths {
        let failed = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
        if path.as_os_str() == "-" {
            sources.push(source("standard input", io::stdin().lock()).map_err(failed)?);
        } else if path.is_dir() {
            for file in files_in(path).map_err(failed)? {
                sources.push(source_file(&file)?);
            }
        } else {
            sources.push(source_file(path)?);
        }
    }
    if sources.is_empty() {
        return Err("there is no *.yaml, *.yml or *.json file to read".into());
    }
    Ok(sources)
}

/// What is known while documents are read one after the other.
struct Loading<'r> {
    reader: &'r Reader,
    kinds: &'r [KindReader],
    /// Every name, its place and its kind, of faulty objects too.
    names: HashMap<Name, (Span, &'static str)>,
    objects: Objects,
}

impl Loading<'_> {
    fn read(&mut self, document: &Raw) {
        let header = Header::read(document, self.reader);
        let Some(kind) = header.kind else { return };
        let Some(kind) = OBJECT_KINDS.iter().find(|known| **known == kind.as_str()) else {
            let filters: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
            let hint = "a filter stands under `filters:` of a Pipeline";
            self.reader.report(unknown_kind(&kind, kind.span(), OBJECT_KINDS, &filters, hint));
            return;
        };
        if let Some(name) = &header.name {
            self.claim(name, kind);
        }
        let name = header.name;
        match *kind {
            "HTTPServer" => {
                let spec: Option<HttpServer> = self.reader.read_object(document, Header::KEYS);
                if let Some(spec) = &spec {
                    self.check_port(spec, document);
                    tls::check(spec, self.reader);
                }
                if let (Some(name), Some(spec)) = (&name, &spec) {
                    self.generate_pipelines(name.as_str(), spec);
                }
                self.objects.servers.extend(named(name, spec));
            }
            _ => {
                let spec = Pipeline::read(document, self.reader, self.kinds);
                self.objects.pipelines.extend(named(name, spec));
            }
        }
    }

    /// A path with a `backendPool` has a pipeline of its own.
    fn generate_pipelines(&mut self, server: &str, spec: &HttpServer) {
        let rules = spec.rules.iter().enumerate();
        let paths = rules.flat_map(|(rule, spec)| {
            let paths = spec.paths.iter().enumerate();
            paths.map(move |(path, spec)| (format!("{server}/{rule}/{path}"), spec))
        });
        for (route, path) in paths.filter(|(_, path)| path.backend.is_none()) {
            let Some(pool) = &path.backend_pool else { continue };
            upstream::tls::check(pool, self.reader);
            let Ok(name) = generated_name(&route).parse::<Name>() else {
                let title = "the name of this HTTPServer is too long for a `backendPool`";
                self.reader
                    .report(Diagnostic::error(title).at(pool.span()).help("name a Pipeline in `backend`"));
                continue;
            };
            let name = pool.with(name);
            self.claim(&name, "Pipeline");
            let Some(filter) = proxy_of(pool.clone()) else { continue };
            let spec = Pipeline::of(filter, pool);
            self.objects.pipelines.push(Named { name, spec });
        }
    }

    fn claim(&mut self, name: &Spanned<Name>, kind: &'static str) {
        match self.names.get(name.as_str()) {
            None => {
                self.names.insert((**name).clone(), (name.span(), kind));
            }
            Some((first, _)) => self.reader.report(
                Diagnostic::error(format!("two objects are called `{}`", **name))
                    .at(name.span())
                    .other(*first, "this is the first"),
            ),
        }
    }

    /// A port has to be there, and where a bad one is, that was said.
    fn check_port(&self, server: &HttpServer, document: &Raw) {
        let is_needed = server.socket().is_none() && server.port.is_none();
        let written = self.reader.peek(document, "port").map(|(text, _)| text);
        if is_needed && matches!(written, None | Some("" | "~" | "null")) {
            let fault = Diagnostic::error("missing field `port`").at(document.first_line());
            self.reader.report(fault.help("name the TCP port to listen on, or a Unix socket in `address`"));
        }
    }

    /// Two servers cannot listen on the same address and port; without any server nothing is served.
    fn check_listeners(&self) {
        if !self.names.values().any(|(_, kind)| *kind == "HTTPServer") {
            self.reader.report(Diagnostic::warning("there is no HTTPServer: nothing will be served"));
        }
        self.check_sockets();
        let mut seen: Vec<(Option<IpAddr>, &Spanned<_>)> = Vec::new();
        for server in self.objects.servers.iter().filter(|server| server.spec.socket().is_none()) {
            let address = match server.spec.address.as_deref() {
                Some(ListenAddress::Ip(ip)) => Some(*ip),
                Some(ListenAddress::Unix(_)) | None => None,
            };
            let Some(port) = &server.spec.port else { continue };
            if let Some((_, first)) = seen.iter().find(|(other, p)| *p == port && overlap(*other, address)) {
                self.reader.report(
                    Diagnostic::error(format!("two servers listen on port {}", port.get()))
                        .at(port.span())
                        .other(first.span(), "this is the first"),
                );
            }
            seen.push((address, port));
        }
    }

    /// Two servers cannot listen on the same Unix socket.
    fn check_sockets(&self) {
        let mut seen: Vec<&Spanned<ListenAddress>> = Vec::new();
        let sockets = self.objects.servers.iter().filter(|server| server.spec.socket().is_some());
        for address in sockets.filter_map(|server| server.spec.address.as_ref()) {
            if let Some(first) = seen.iter().find(|other| ****other == **address) {
                let fault = Diagnostic::error("two servers listen on one Unix socket").at(address.span());
                self.reader.report(fault.other(first.span(), "this is the first"));
            }
            seen.push(address);
        }
    }

    /// Every route needs a pipeline that exists.
    fn check_backends(&self) {
        for server in &self.objects.servers {
            let mut has_websocket = false;
            for path in server.spec.rules.iter().flat_map(|rule| &rule.paths) {
                let Some(backend) = &path.backend else { continue };
                self.check_backend(backend);
                if self.is_websocket(backend) {
                    has_websocket = true;
                    self.note_body_limit(path.client_max_body_size.as_ref());
                }
            }
            if has_websocket {
                self.note_body_limit(server.spec.client_max_body_size.as_ref());
            }
        }
    }

    fn check_backend(&self, backend: &Spanned<Name>) {
        match self.names.get(backend.as_str()) {
            Some((_, "Pipeline")) => {}
            Some((_, kind)) => {
                let title = format!("`{}` is not a Pipeline but a {kind}", **backend);
                self.reader.report(Diagnostic::error(title).at(backend.span()));
            }
            None => self.reader.report(self.missing_pipeline(backend)),
        }
    }

    fn note_body_limit(&self, limit: Option<&Spanned<BodyLimit>>) {
        let title =
            "`clientMaxBodySize` makes no difference to WebSocket: any value will do, -1 is not needed";
        self.reader.report_all(limit.map(|limit| Diagnostic::note(title).at(limit.span())));
    }

    fn missing_pipeline(&self, backend: &Spanned<Name>) -> Diagnostic {
        let diagnostic =
            Diagnostic::error(format!("no Pipeline is called `{}`", **backend)).at(backend.span());
        let pipelines =
            self.names.iter().filter(|(_, (_, kind))| *kind == "Pipeline").map(|(name, _)| name.as_str());
        match closest(backend.as_str(), pipelines) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("add a Pipeline of this name, or name one that there is"),
        }
    }

    /// Whether a route to `pipeline` is for handshakes, which have no body.
    fn is_websocket(&self, pipeline: &Name) -> bool {
        let pipeline = self.objects.pipelines.iter().find(|object| *object.name == *pipeline);
        pipeline
            .is_some_and(|pipeline| pipeline.spec.filters.iter().any(|filter| filter.kind.only_websockets))
    }
}

fn named<T>(name: Option<Spanned<Name>>, spec: Option<T>) -> Option<Named<T>> {
    Some(Named { name: name?, spec: spec? })
}

/// Whether two listeners on one port would get in each other's way; no address means all addresses.
fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let is_any = |address: Option<IpAddr>| address.is_none_or(|ip| ip.is_unspecified());
    a == b || is_any(a) || is_any(b)
}

pub(super) fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json");
        if is_ours && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn source_file(path: &Path) -> Result<Source, String> {
    let name = path.display().to_string();
    fs::File::open(path)
        .and_then(|file| source(&name, file))
        .map_err(|error| format!("cannot read `{name}`: {error}"))
}

/// Reads no more than one byte above the limit.
fn source(name: &str, input: impl Read) -> io::Result<Source> {
    let mut bytes = Vec::new();
    input.take(Source::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > Source::MAX_BYTES {
        return Err(io::Error::other(format!("larger than {} MiB", Source::MAX_BYTES >> 20)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(io::Error::other(format!("not a text in UTF-8: see byte {at}")))
        }
    }
}
