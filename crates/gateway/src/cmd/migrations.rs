//! `postern migrations`: the tables of the database. SQLite's are made and changed when it is opened; PostgreSQL's only
//! here, because other nodes may be at work.

use std::process::ExitCode;

use anyhow::Result;
use postern_config::store::migrations;

use super::vault::println;
use crate::boot;
use crate::cli::Options;
use crate::database::failed;

/// Runs what is lacking.
pub(super) async fn up(options: &Options) -> Result<ExitCode> {
    let told = boot::told(options).await?;
    match told.postgres().await? {
        Some(server) => {
            let ran = migrations::up(&server).await.map_err(|error| failed(&error, &told.node.database))?;
            for name in &ran {
                println(&format!("ran {name}"))?;
            }
            println(if ran.is_empty() {
                "Database is already up-to-date"
            } else {
                "Database is up-to-date"
            })?;
        }
        None => match told.store().await? {
            Some(_) => println("Database is up-to-date")?,
            None => println("there is no database: the configuration is a file")?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// Says which have run, and which have not.
pub(super) async fn list(options: &Options) -> Result<ExitCode> {
    let told = boot::told(options).await?;
    let Some(server) = told.postgres().await? else {
        println("the database is prepared whenever a node opens it")?;
        return Ok(ExitCode::SUCCESS);
    };
    let all = migrations::list(&server).await.map_err(|error| failed(&error, &told.node.database))?;
    for migration in &all {
        let state = if migration.ran.is_some() { "ran" } else { "to run" };
        println(&format!("{:24}{state}", migration.name))?;
    }
    // As Kong: 3 while there is one to run.
    let is_done = all.iter().all(|migration| migration.ran.is_some());
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
