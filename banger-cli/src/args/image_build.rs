//! The arguments of `banger image build`.

use banger::HostCopy;
use clap::{ArgMatches, Args, FromArgMatches};

use super::places::{CacheArguments, StateArguments};
use super::verity::VerityArguments;
use super::vm::MachineArguments;

#[derive(Debug, Args)]
pub(crate) struct ImageBuildArguments {
    /// Start from this managed image: name, id, or unique prefix of an id.
    #[arg(long, value_name = "NAME")]
    pub(crate) from_image: String,
    /// Give the new image this name, and replace an older image of this name.
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) steps: StepArguments,
    #[command(flatten)]
    pub(crate) verity: VerityArguments,
    /// Do all steps again, also those that were done before.
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) machine: MachineArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// A step, as it is given.
#[derive(Clone, Debug)]
pub(crate) enum GivenStep {
    Run(String),
    Script(String),
    Copy(HostCopy),
    Env(String, String),
    Docker,
}

/// The options that are steps. Their values do not tell the order among them; see [`StepArguments`].
#[derive(Debug, Args)]
struct StepOptions {
    /// Run CMD by /bin/sh as root; repeatable.
    #[arg(long, value_name = "CMD")]
    run: Vec<String>,
    /// Run the script FILE as root, by the program of its first line; repeatable.
    #[arg(long, value_name = "FILE")]
    script: Vec<String>,
    /// Copy a file or directory of this host to PATH; repeatable.
    #[arg(long, value_name = "FILE:PATH")]
    copy: Vec<HostCopy>,
    /// Set a variable for the steps that follow and for the program of the image; repeatable.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = super::guest::variable)]
    env: Vec<(String, String)>,
    /// Install Docker with the package manager of the image, and start it at boot.
    #[arg(long)]
    docker: bool,
}

/// The steps, in the order of the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepArguments(pub(crate) Vec<GivenStep>);

impl FromArgMatches for StepArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let StepOptions { run, script, copy, env, docker } = StepOptions::from_arg_matches(matches)?;
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let mut steps: Vec<(usize, GivenStep)> = Vec::new();
        steps.extend(places("run").into_iter().zip(run.into_iter().map(GivenStep::Run)));
        steps.extend(places("script").into_iter().zip(script.into_iter().map(GivenStep::Script)));
        steps.extend(places("copy").into_iter().zip(copy.into_iter().map(GivenStep::Copy)));
        let env = env.into_iter().map(|(name, value)| GivenStep::Env(name, value));
        steps.extend(places("env").into_iter().zip(env));
        if docker {
            steps.extend(places("docker").into_iter().map(|place| (place, GivenStep::Docker)));
        }
        steps.sort_by_key(|(place, _)| *place);
        Ok(Self(steps.into_iter().map(|(_, step)| step).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for StepArguments {
    fn augment_args(command: clap::Command) -> clap::Command {
        StepOptions::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        StepOptions::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Arguments, Command, ImageCommand};

    #[test]
    fn steps_keep_the_order_of_the_command_line() {
        let line = "banger image build --from-image a --name b --run one --copy c:/c --run two -e A=1 --docker \
                    --script s --copy d:/d --run three";
        let Command::Image(ImageCommand::Build(build)) = Arguments::parse_from(line.split(' ')).command
        else {
            panic!("it is image build");
        };
        let steps: Vec<String> = build.steps.0.iter().map(|step| format!("{step:?}")).collect();
        let starts =
            ["Run(\"one", "Copy(", "Run(\"two", "Env(\"A", "Docker", "Script(\"s", "Copy(", "Run(\"three"];
        assert_eq!(steps.len(), starts.len(), "{steps:?}");
        for (step, start) in steps.iter().zip(starts) {
            assert!(step.starts_with(start), "{step} {start}");
        }
    }
}
