//! From what was typed to what is run: target, profile, capabilities.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::config::ConfigArgs;
use super::{Complaint, address};
use crate::contract::{Profile, Signer, Target};
use crate::run::suite::Subject;
use crate::scenario::Capabilities;
use crate::world::live::process::{CommandLine, Readiness};
use crate::world::live::{StartSpec, folder_in_memory};

/// Which server is meant.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct TargetArgs {
    /// A target file; without it, --url or --start, the built-in reference server
    #[arg(value_name = "TARGET", conflicts_with_all = ["url", "start"])]
    target: Option<PathBuf>,
    /// A target file, as above
    #[arg(long = "target", value_name = "FILE", conflicts_with_all = ["url", "start", "target"])]
    target_flag: Option<PathBuf>,
    /// A server that runs already; what needs control of its process is then not applicable
    #[arg(long, conflicts_with = "start")]
    url: Option<String>,
    /// A command that starts the server, with {port} and, if it keeps data, {dir}
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// The protocol: a built-in profile's name or a file
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<String>,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
}

/// Which server is meant, all by flags, where a command takes other things than a target without one.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct TargetFlags {
    /// A target file; without it, --url or --start, the built-in reference server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "start"])]
    pub(super) target: Option<PathBuf>,
    /// A server that runs already; what needs control of its process cannot be done then
    #[arg(long, conflicts_with = "start")]
    pub(super) url: Option<String>,
    /// A command that starts the server, with {port} and, if it keeps data, {dir}
    #[arg(long, value_name = "COMMAND")]
    pub(super) start: Option<String>,
    /// The protocol: a built-in profile's name or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) profile: Option<String>,
}

impl TargetFlags {
    /// Reads the files and finds out what may be done.
    pub(super) fn resolve(&self) -> Result<Resolved, Complaint> {
        let TargetFlags { target, url, start, profile } = self.clone();
        TargetArgs { target: None, target_flag: target, url, start, profile, config: ConfigArgs::default() }.resolve()
    }
}

/// A target, ready to be tested.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) profile: Arc<Profile>,
    pub(super) subject: Subject,
    pub(super) capabilities: Capabilities,
    pub(super) target: Target,
    /// In words.
    pub(super) name: String,
    /// The arguments that mean it again.
    pub(super) again: String,
    /// True for the built-in server.
    pub(super) built_in: bool,
}

impl TargetArgs {
    /// Reads the files and finds out what may be done.
    pub(super) fn resolve(&self) -> Result<Resolved, Complaint> {
        let file = self.target.as_ref().or(self.target_flag.as_ref());
        let (mut target, name, mut again) = match (file, &self.url, &self.start) {
            (Some(file), _, _) => {
                let target = Target::load(file)?;
                let name = target.name.clone();
                (target, name, format!(" --target {}", quoted(&file.display().to_string())))
            }
            (None, Some(url), _) => {
                address(url)?;
                (bare(Some(url.clone()), None), url.clone(), format!(" --url {}", quoted(url)))
            }
            (None, None, Some(start)) => (bare(None, Some(start.clone())), start.clone(), format!(" --start {}", quoted(start))),
            (None, None, None) => return self.built_in(),
        };
        if let Some(profile) = &self.profile {
            target.profile.clone_from(profile);
            again += &format!(" --profile {}", quoted(profile));
        }
        if target.profile.is_empty() {
            return Err(Complaint::Usage(
                "which protocol? name one with --profile (a built-in name, or a file as `streamspec init` writes)".to_owned(),
            ));
        }
        let profile = Profile::load(&target.profile)?.with(&target.contract).map_err(|why| {
            let file = file.map_or_else(String::new, |file| format!("{}: ", file.display()));
            Complaint::Usage(format!("{file}`contract` does not fit the profile `{}`: {why}", target.profile))
        })?;
        let mut profile = profile;
        if let (Some(payment), Some(signer)) = (&mut profile.binding.payment, &target.signer) {
            payment.signer = Signer::Command(signer.clone());
        }
        profile.driver.clone_from(&target.driver);
        let missing = crate::run::binding::unset(&profile.binding);
        if !missing.is_empty() {
            return Err(Complaint::Usage(format!("the profile needs the environment variables {}; set them", missing.join(", "))));
        }
        let subject = match (&target.start, &target.url) {
            (Some(start), _) => Subject::Start(start_spec(start, &target, &profile)?),
            (None, Some(url)) => Subject::Url { url: url.clone(), provider: target.provider.clone() },
            (None, None) => return Err(Complaint::Usage("the target has neither `start` nor `url`".to_owned())),
        };
        let capabilities = Capabilities::of(&target);
        Ok(Resolved { profile: Arc::new(profile), subject, capabilities, target, name, again, built_in: false })
    }

    /// True when neither a server nor a protocol was named.
    pub(super) fn is_nothing(&self) -> bool {
        self.target.is_none() && self.target_flag.is_none() && self.url.is_none() && self.start.is_none() && self.profile.is_none()
    }

    /// The built-in server under this profile.
    pub(super) fn under(profile: &str) -> TargetArgs {
        TargetArgs { profile: Some(profile.to_owned()), ..TargetArgs::default() }
    }

    fn built_in(&self) -> Result<Resolved, Complaint> {
        let name = self.profile.as_deref().unwrap_or("sse");
        let profile = Profile::load(name)?;
        let subject = Subject::Start(reference(&profile, &[])?);
        Ok(Resolved {
            profile: Arc::new(profile),
            subject,
            capabilities: Capabilities::all(),
            target: bare(None, None),
            name: "the built-in reference server".to_owned(),
            again: format!(" --profile {}", quoted(name)),
            built_in: true,
        })
    }
}

/// `text` as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// How to start the reference server of this binary, so that it keeps `profile`, with these bugs.
pub(super) fn reference(profile: &Profile, bugs: &[&str]) -> Result<StartSpec, Complaint> {
    if profile.reference.is_empty() {
        let speaks: Vec<&str> = Profile::built_in().collect();
        return Err(Complaint::Usage(format!(
            "the built-in server speaks {}; to test another one with the profile `{}`, say where it is with --url, --start or a target file",
            speaks.join(", "),
            profile.name
        )));
    }
    let own = std::env::current_exe().map_err(|e| Complaint::Usage(format!("cannot find streamspec's own program: {e}")))?;
    let mut words = vec![own.to_string_lossy().into_owned()];
    words.extend(["serve", "--data", "{dir}", "--port", "{port}"].map(str::to_owned));
    words.extend(profile.reference.iter().cloned());
    for bug in bugs {
        words.extend(["--bug".to_owned(), (*bug).to_owned()]);
    }
    Ok(StartSpec {
        command: CommandLine::from_words(words),
        environment: Vec::new(),
        folder: None,
        ready: Readiness::Line("listening on".to_owned()),
        ready_within: Duration::from_secs(20),
        stop_within: Duration::from_secs(5),
        provider: profile.reference.iter().any(|word| word.contains("{provider}")),
        data_in: folder_in_memory(),
        guard: None,
    })
}

fn bare(url: Option<String>, start: Option<String>) -> Target {
    Target {
        name: String::new(),
        profile: String::new(),
        url,
        start,
        provider: None,
        env: Default::default(),
        signer: None,
        driver: None,
        cwd: None,
        ready: Default::default(),
        allow: None,
        contract: Default::default(),
        sweep_limit: None,
        known: Default::default(),
    }
}

fn start_spec(start: &str, target: &Target, profile: &Profile) -> Result<StartSpec, Complaint> {
    let spec = StartSpec::of(start, &target.ready, profile);
    let spec = spec.map_err(|e| Complaint::Usage(format!("the start command is none: {e}")))?;
    Ok(StartSpec {
        environment: target.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        folder: target.cwd.as_ref().map(PathBuf::from),
        provider: spec.provider || target.env.values().any(|value| value.contains("{provider}")),
        ..spec
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word_of_a_shell() {
        assert_eq!(quoted("http://127.0.0.1:8080/"), "http://127.0.0.1:8080/");
        assert_eq!(quoted("http://h/?a=1&b=$x"), "'http://h/?a=1&b=$x'");
        assert_eq!(quoted("sh -c 'x {port}'"), r"'sh -c '\''x {port}'\'''");
        assert_eq!(quoted(""), "''");
    }
}
