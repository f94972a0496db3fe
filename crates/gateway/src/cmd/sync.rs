//! `postern sync`, `diff`, `apply`, `dump`, `reset`, `ping` and `validate`: decK's work. The engine is
//! `postern_admin::client`.
//!
//! Owns: the order of a run, what is printed where, exit codes. Must not know: how entities are compared. Lines and JSON go
//! to stdout; warnings, errors and the progress bar to stderr. Whatever fails makes the exit code 1, with JSON too.

mod connect;
mod files;
mod print;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use postern_admin::client::carry_out::{Pace, carry_out};
use postern_admin::client::dump::Style;
use postern_admin::client::gateway::Gateway;
use postern_admin::client::plan::{Goal, Plan};
use postern_admin::client::present::Scope;
use postern_admin::client::report::Report;
use postern_admin::client::wanted::{self, Wanted};
use postern_admin::client::{self, Problems};

use super::vault::println;
use crate::cli::deck::{self, Admin, Deck, Files, Format, Output};
use crate::report::Failure;
pub(super) use connect::Environment;
pub(super) use files::write_private;
use print::Printer;

/// Ends `diff --non-zero-exit-code` where there are differences.
const DIFFERENT: u8 = 2;

/// Said whenever passwords are written: they cannot be compared with what is there.
const PASSWORDS: &str = "Warning: passwords of basic-auth credentials cannot be read back from a gateway, so one that is \
                         changed alone is not noticed.";

/// Does one of decK's commands.
pub(super) async fn run(deck: Deck) -> Result<ExitCode> {
    let environment = Environment::read();
    let outcome = match deck {
        Deck::Sync(options) => change(&environment, options, Goal::Exactly).await,
        Deck::Apply(options) => change(&environment, options, Goal::AtLeast).await,
        Deck::Diff(options) => diff(&environment, options).await,
        Deck::Dump(options) => dump(&environment, options).await,
        Deck::Reset(options) => reset(&environment, options).await,
        Deck::Ping(admin) => ping(&environment, admin).await,
        Deck::Validate(options) => validate(&environment, options).await,
    };
    outcome.or_else(|error| {
        let problems = error.downcast::<Problems>()?;
        print::errors(&problems)?;
        Ok(ExitCode::FAILURE)
    })
}

/// A gateway, what files want of it, and what of it is looked at.
struct Run {
    gateway: Gateway,
    wanted: Wanted,
    scope: Scope,
    warnings: Vec<String>,
}

impl Run {
    /// Files first: what is wrong with them needs no gateway.
    fn new(
        environment: &Environment,
        files: &Files,
        scope: &deck::Scope,
        output: &Output,
        admin: &Admin,
    ) -> Result<Self> {
        let wanted = read(environment, files, !output.no_mask_deck_env_vars_value)?;
        let mut warnings = Vec::new();
        let workspace = environment.or(admin.workspace.clone(), "WORKSPACE");
        let workspace = match (workspace, &wanted.header.workspace) {
            (Some(given), Some(own)) if given != *own => {
                warnings.push(format!(
                    "Warning: the workspace {given:?} of the command line is used, not {own:?} of the files."
                ));
                Some(given)
            }
            (given, own) => given.or_else(|| own.clone()),
        };
        let mut scope = look_at(scope);
        scope.select_tags = client::select_tags(&scope.select_tags, &wanted.header.select_tags)?;
        scope.lookup_tags = wanted.header.lookup_tags.clone();
        let wanted = wanted.with_tags(&scope.select_tags);
        let gateway = environment.connect(admin, workspace)?;
        Ok(Self { gateway, wanted, scope, warnings })
    }

    /// What is to be done. A workspace that is not there is empty, and made if `makes_workspace`.
    async fn plan(&mut self, goal: Goal, makes_workspace: bool, printer: &Printer) -> Result<Plan> {
        client::version(&self.gateway).await?;
        let is_there = client::has_workspace(&self.gateway).await?;
        if !is_there {
            printer.line(&format!("Creating workspace {}", self.gateway.workspace().unwrap_or_default()))?;
            if makes_workspace {
                client::create_workspace(&self.gateway).await?;
            }
        }
        let wanted = std::mem::take(&mut self.wanted);
        let plan = client::plan(&self.gateway, wanted, &self.scope, goal, !is_there).await?;
        if client::has_passwords(&plan) {
            self.warnings.push(PASSWORDS.to_owned());
        }
        Ok(plan)
    }
}

async fn change(environment: &Environment, options: deck::Change, goal: Goal) -> Result<ExitCode> {
    let deck::Change { files, scope, output, db_update_propagation_delay, admin, yes: _ } = options;
    let printer = Printer::new(&output);
    let made = async {
        let mut run = Run::new(environment, &files, &scope, &output, &admin)?;
        let plan = run.plan(goal, true, &printer).await?;
        Ok((run, plan))
    };
    let pause = Duration::from_secs(db_update_propagation_delay);
    match made.await {
        Ok((run, plan)) => perform(&run, &plan, pause, &printer).await,
        Err(error) => printer.failed(error),
    }
}

async fn perform(run: &Run, plan: &Plan, pause: Duration, printer: &Printer) -> Result<ExitCode> {
    let pace = Pace { parallelism: run.scope.parallelism, pause };
    printer.begin(plan.len());
    let outcome = carry_out(&run.gateway, plan, pace, &|event| printer.event(&event)).await;
    printer.end();
    let report = Report { warnings: run.warnings.clone(), ..Report::of(outcome) };
    printer.report(&report)?;
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn diff(environment: &Environment, options: deck::Diff) -> Result<ExitCode> {
    let deck::Diff { files, scope, output, non_zero_exit_code, admin } = options;
    let printer = Printer::new(&output);
    let made = async {
        let mut run = Run::new(environment, &files, &scope, &output, &admin)?;
        let plan = run.plan(Goal::Exactly, false, &printer).await?;
        Ok((run, plan))
    };
    let (run, plan) = match made.await {
        Ok(made) => made,
        Err(error) => return printer.failed(error),
    };
    plan.steps().for_each(|step| printer.step(step));
    let report = Report { done: plan.steps().collect(), warnings: run.warnings, ..Report::default() };
    printer.report(&report)?;
    let is_different = non_zero_exit_code && !plan.is_empty();
    Ok(if is_different { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

async fn reset(environment: &Environment, options: deck::Reset) -> Result<ExitCode> {
    let deck::Reset { force, scope, output, admin } = options;
    let printer = Printer::new(&output);
    if !force && !asked("This deletes everything that the gateway has. Are you sure?")? {
        return Ok(ExitCode::FAILURE);
    }
    let workspace = environment.or(admin.workspace.clone(), "WORKSPACE");
    let gateway = environment.connect(&admin, workspace)?;
    let mut run = Run { gateway, wanted: Wanted::default(), scope: look_at(&scope), warnings: Vec::new() };
    let planned = async {
        there(&run.gateway).await?;
        run.plan(Goal::Exactly, false, &printer).await
    };
    match planned.await {
        Ok(plan) => perform(&run, &plan, Duration::ZERO, &printer).await,
        Err(error) => printer.failed(error),
    }
}

async fn dump(environment: &Environment, options: deck::Dump) -> Result<ExitCode> {
    let deck::Dump { output_file, format, with_id, skip_defaults, yes, scope, admin } = options;
    let is_stdout = output_file.as_os_str() == "-";
    if !is_stdout && !yes && output_file.exists() {
        let question = format!("{} is there. Write over it?", output_file.display());
        if !asked(&question)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    let workspace = environment.or(admin.workspace.clone(), "WORKSPACE");
    let gateway = environment.connect(&admin, workspace.clone())?;
    client::version(&gateway).await?;
    there(&gateway).await?;
    let scope = look_at(&scope);
    let style = Style { with_id, skip_defaults, select_tags: scope.select_tags.clone(), workspace };
    let document = client::dump(&gateway, &scope, &style).await?;
    let text = match format {
        Format::Yaml => client::to_yaml(&document),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&document)?),
    };
    if is_stdout {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
    } else {
        write_private(&output_file, &text)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ping(environment: &Environment, admin: Admin) -> Result<ExitCode> {
    let workspace = environment.or(admin.workspace.clone(), "WORKSPACE");
    let gateway = environment.connect(&admin, workspace)?;
    let version = client::version(&gateway).await?;
    println("Successfully connected to Kong!")?;
    println(&format!("Kong version:  {}", crate::report::printable(&version)))?;
    Ok(ExitCode::SUCCESS)
}

async fn validate(environment: &Environment, options: deck::Validate) -> Result<ExitCode> {
    let deck::Validate { files, parallelism, admin } = options;
    let wanted = read(environment, &files, true)?;
    let workspace = environment.or(admin.workspace.clone(), "WORKSPACE");
    let gateway = environment.connect(&admin, workspace.or_else(|| wanted.header.workspace.clone()))?;
    there(&gateway).await?;
    let problems = client::validate::validate(&gateway, &wanted, parallelism).await;
    if problems.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Problems(problems).into()) }
}

fn read(environment: &Environment, given: &Files, hides: bool) -> Result<Wanted> {
    let sources = files::sources(given)?;
    Ok(wanted::read(&sources, &|name| environment.variable(name), hides)?)
}

fn look_at(scope: &deck::Scope) -> Scope {
    Scope {
        select_tags: scope.select_tag.clone(),
        lookup_tags: Default::default(),
        skip_consumers: scope.skip_consumers,
        skip_ca_certificates: scope.skip_ca_certificates,
        parallelism: scope.parallelism,
    }
}

/// A workspace that is not there has nothing to dump, to delete, or to check against.
async fn there(gateway: &Gateway) -> Result<()> {
    match client::has_workspace(gateway).await? {
        true => Ok(()),
        false => {
            let workspace = gateway.workspace().unwrap_or_default();
            Err(Problems::one(format!("the workspace {workspace:?} does not exist")).into())
        }
    }
}

/// Asks on a terminal. Without one, nobody could answer.
fn asked(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new(question, "there is no terminal to ask on: --force or --yes says yes").into()
        );
    }
    let mut out = anstream::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
