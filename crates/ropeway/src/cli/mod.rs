//! The command line.

mod activation;
pub mod check;
mod control;
mod demo;
mod drain;
mod echo;
mod notify;
mod plan;
mod run;
pub mod schema;
mod stop;
mod table;

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::telemetry::log::{self, LogFormat};

pub use self::echo::{EchoOptions, serve as serve_echo};

/// A WebSocket-first gateway that does not let go of a connection.
#[derive(Parser, Debug)]
#[command(name = "ropeway", version, about, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Form of the log lines on standard error; RUST_LOG chooses what is logged (default: info)
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "text|json",
        hide_possible_values = true
    )]
    log_format: LogFormat,
}

/// The exit code for arguments that make no sense (`EX_USAGE` of sysexits): 2 is for `plan`.
const USAGE: u8 = 64;

const EXAMPLES: &str = "\
Examples:
  ropeway demo                        see a message go round, without any file
  ropeway check gateway.yaml          find every fault of a configuration
  ropeway run gateway.yaml            carry traffic
  ropeway run conf.d --admin 127.0.0.1:2381
  ropeway plan gateway.yaml           what it would change in the running gateway
  ropeway status                      how the running gateway is
  ropeway echo --listen 127.0.0.1:9095 127.0.0.1:9096";

#[derive(Subcommand, Debug)]
enum Command {
    /// Carry traffic as the configuration says, until Ctrl-C or SIGTERM
    Run(Run),
    /// Show how a running gateway is: its objects, servers, and tunnels
    Status {
        #[command(flatten)]
        control: control::Control,
    },
    /// Have a running gateway read its files again; exit code 1 if they have faults
    Reload {
        #[command(flatten)]
        control: control::Control,
    },
    /// Have a new process of the gateway take over, with its tunnels
    Upgrade {
        #[command(flatten)]
        control: control::Control,
        /// End the process before this one at once, if it still drains
        #[arg(long)]
        force: bool,
    },
    /// Take a part of a running gateway out of use, and let go of its tunnels one by one
    #[command(after_help = drain::EXAMPLES)]
    Drain(drain::Drain),
    /// Use again what was drained: tunnels that were not told to end yet live on
    Undrain(drain::Undrain),
    /// Show what a configuration would change in a running gateway; exit code 2 if anything, 0 if nothing
    Plan {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        control: control::Control,
    },
    /// Find every fault of a configuration; exit code 1 if there is one
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Start a gateway with two echo backends and a page to try them, on 127.0.0.1:8080
    Demo {
        /// Where the gateway listens
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR:PORT", value_parser = address)]
        listen: SocketAddr,
    },
    /// A backend to try things with: sends every WebSocket message back
    Echo(EchoOptions),
    /// Print the JSON Schema of every kind, for editors
    Schema,
    /// Print a script that completes this command in your shell
    Completions {
        /// The shell it is for
        shell: Shell,
    },
}

/// Carry traffic.
#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    files: Files,
    /// Answer /livez, /readyz, /metrics and /status here [default: off]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The Unix socket for `ropeway status` and other commands, or `off` [default: control.sock in a `ropeway` folder of the user]
    #[arg(long, value_name = "PATH", env = "ROPEWAY_CONTROL", hide_env_values = true)]
    control: Option<PathBuf>,
    /// Do not look whether the files change; SIGHUP has them read again in any case
    #[arg(long)]
    no_watch: bool,
    /// Ask this name server for the addresses of backends, may be given again [default: those of the system]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = resolver)]
    resolver: Vec<SocketAddr>,
    /// Start this program instead of the same file for an upgrade (SIGUSR2, `ropeway upgrade`)
    #[arg(long, value_name = "PATH")]
    upgrade_binary: Option<PathBuf>,
    /// Threads that carry traffic [default: one per processor]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    workers: usize,
}

/// The configuration.
#[derive(Args, Debug)]
struct Files {
    /// YAML or JSON files, folders of such, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// The whole command: reads the arguments, does what they say, and comes back with the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where it cannot be printed, the code still tells.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    log::init(cli.log_format);
    match cli.command {
        Command::Run(run) => run::run(&run),
        Command::Check { files } => ExitCode::from(check::run(&files.paths, std::io::stderr().is_terminal())),
        Command::Status { control } => control::status(&control),
        Command::Plan { files, control } => plan::plan(&files.paths, &control),
        Command::Reload { control } => control::reload(&control),
        Command::Drain(order) => drain::ask_to_drain(&order),
        Command::Undrain(order) => drain::ask_to_undrain(&order),
        Command::Upgrade { control, force } => control::upgrade(&control, force),
        Command::Demo { listen } => demo::run(listen),
        Command::Echo(options) => echo::run(&options),
        Command::Schema => {
            print!("{}", schema::document());
            ExitCode::SUCCESS
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "ropeway", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

/// A name server; its port is 53 unless another is given.
fn resolver(text: &str) -> Result<SocketAddr, String> {
    let with_port = |ip: IpAddr| SocketAddr::new(ip, 53);
    let address = text.parse().or_else(|_| text.parse().map(with_port));
    address.map_err(|_| "write an IP address, with a port if that is not 53".to_owned())
}

/// Where to listen: no names, as one may stand for several addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, as 127.0.0.1:8080".to_owned())
}
