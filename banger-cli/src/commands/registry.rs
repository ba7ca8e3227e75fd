//! How registries are reached; `banger login` and `banger logout`.

use std::io::Read as _;
use std::time::Duration;

use banger::{
    Credential, CredentialSource, LoginDocument, LogoutDocument, Progress, PullOptions, Puller,
    PullerOptions, Reference, RegistriesConfig,
};

use super::prompt;
use crate::args::registry::{AuthArguments, LoginArguments, LogoutArguments, RegistryArguments};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::Text;

/// How long a credential helper may take.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest password that is read.
const MAX_PASSWORD: u64 = 1 << 20;

/// Returns the options of a pull by a user who has logged in by podman, docker or banger. The configuration of
/// registries is read if a registry is asked: a wrong one does not stop other pulls.
pub(super) fn pull_options(
    arguments: &RegistryArguments,
    asks_registry: bool,
) -> Result<PullOptions, CommandError> {
    let mut pull = PullOptions::of_user_without_registries();
    match &arguments.registries_conf {
        Some(file) => pull.registries = RegistriesConfig::read(std::slice::from_ref(file))?,
        None if asks_registry => pull.registries = RegistriesConfig::of_user()?,
        None => {}
    }
    pull.credentials = credentials(&arguments.auth);
    pull.plain_http = arguments.plain_http;
    pull.ca_cert.clone_from(&arguments.ca_cert);
    pull.cert_dir.clone_from(&arguments.cert_dir);
    pull.client_cert.clone_from(&arguments.client_cert);
    pull.client_key.clone_from(&arguments.client_key);
    Ok(pull)
}

/// Whether a pull of `reference` asks a registry.
pub(super) fn is_of_registry(reference: &Reference) -> bool {
    matches!(reference, Reference::Registry(_))
}

fn credentials(arguments: &AuthArguments) -> CredentialSource {
    match &arguments.authfile {
        Some(file) => CredentialSource::Files {
            files: vec![file.clone()],
            helper_dir: None,
            helper_timeout: HELPER_TIMEOUT,
        },
        None => CredentialSource::User,
    }
}

pub(super) fn login(arguments: &LoginArguments, printer: &Printer) -> Result<(), CommandError> {
    let options = pull_options(&arguments.registry, true)?;
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None => prompt::line("user name: ", "--username")?,
    };
    let password = match arguments.password_stdin {
        true => password_of_stdin()?,
        false => prompt::hidden("password: ", "--password-stdin")?,
    };
    let credential = Credential::Password { user, password };
    let cancellation = cancel_on_signal(printer);
    let puller = Puller::new(PullerOptions::default());
    let login = puller.log_in(&arguments.name, &credential, &options, &Progress::none(), &cancellation)?;
    if !login.is_checked {
        printer.warning(&format!("{} asked for no login, so the password was not checked", login.registry));
    }
    let place = match &login.helper {
        Some(helper) => format!("by {helper}, which {} names", login.path),
        None => format!("in {}", login.path),
    };
    printer.note(&format!("logged in to {}; the login is kept {place}", login.registry));
    output(printer.result(&LoginDocument::from(&login), Text::default()))
}

pub(super) fn logout(arguments: &LogoutArguments, printer: &Printer) -> Result<(), CommandError> {
    let mut options = PullOptions::default();
    options.credentials = credentials(&arguments.auth);
    let cancellation = cancel_on_signal(printer);
    let puller = Puller::new(PullerOptions::default());
    let removed = puller.log_out(arguments.name.as_deref(), &options, &cancellation)?;
    let registries: Text = removed.registries.iter().collect();
    output(printer.result(&LogoutDocument::from(&removed), registries))
}

fn password_of_stdin() -> Result<String, CommandError> {
    let mut password = String::new();
    let read = std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut password);
    read.map_err(|error| CommandError::argument("--password-stdin", "", error.to_string()))?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    match password.is_empty() {
        true => Err(CommandError::argument("--password-stdin", "", "standard input is empty".to_owned())),
        false => Ok(password),
    }
}
