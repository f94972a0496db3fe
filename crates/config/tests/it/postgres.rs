//! What only a store in PostgreSQL has: a server, which refuses, goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use postern_config::store::postgres::{Credentials, Login, PostgresOptions, open};
use postern_config::store::{OpenError, Store, StoreError, migrations};
use postern_conformance::{Postgres, TlsFiles, ca::Ca};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::{Instant, sleep, timeout};

use crate::rows::{id, put, row};
use crate::stores::{options, server};

/// More than a store needs to answer that nobody is there: its time limit is a second, and a machine may be busy.
const SOON: Duration = Duration::from_secs(6);

async fn prepared(server: &Postgres) -> PostgresOptions {
    let options = PostgresOptions { timeout: Duration::from_secs(1), ..options(server).await };
    migrations::up(&options).await.unwrap();
    options
}

fn away<T: std::fmt::Debug>(outcome: Result<Result<T, StoreError>, tokio::time::error::Elapsed>) {
    let outcome = outcome.expect("it does not wait for long");
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}

/// Until it works again.
async fn back(store: &dyn Store, number: u128) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = put(store, row("services", number)).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(Instant::now() < deadline, "still: {error}");
        sleep(Duration::from_millis(50)).await;
    }
    store.ping().await.unwrap();
    assert!(store.get("services", id(number)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_a_persons_to_run() {
    let options = options(server().await).await;
    let error = open(options.clone()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Migrations { missing } if *missing == ["0001_rows"]), "{error}");
    assert!(error.to_string().contains("0001_rows") && error.to_string().contains("postern migrations up"));
    assert!(migrations::list(&options).await.unwrap().iter().all(|one| one.ran.is_none()));

    // Several at once: one of them does it.
    let all = (0..8).map(|_| migrations::up(&options));
    let ran: Vec<_> = futures_util::future::try_join_all(all).await.unwrap().concat();
    assert_eq!(ran, ["0001_rows"]);
    assert!(migrations::list(&options).await.unwrap().iter().all(|one| one.ran.is_some()));
    assert_eq!(migrations::up(&options).await.unwrap(), [""; 0]);
    put(&*open(options).await.unwrap(), row("services", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_left_alone() {
    let server = server().await;
    let options = prepared(server).await;
    server.sql(&options.database, "INSERT INTO postern_migrations VALUES ('9999_new', 0)").await;
    for error in [open(options.clone()).await.unwrap_err(), migrations::up(&options).await.unwrap_err()] {
        assert!(matches!(&error, OpenError::Newer { unknown } if *unknown == ["9999_new"]), "{error}");
    }
    assert_eq!(migrations::list(&options).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lacks_characters_is_refused() {
    let server = server().await;
    server.sql("postgres", "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0").await;
    let options = PostgresOptions { database: "ascii".to_owned(), ..options(server).await };
    migrations::up(&options).await.unwrap();
    let error = open(options).await.unwrap_err();
    assert!(matches!(&error, OpenError::Encoding(name) if name == "SQL_ASCII"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_kept_apart() {
    let server = server().await;
    let options = options(server).await;
    // A name that is a word of SQL, and one that would end a statement.
    let mut stores = Vec::new();
    for schema in ["Select", "a\"; DROP SCHEMA public; --"] {
        server.sql(&options.database, &format!("CREATE SCHEMA \"{}\"", schema.replace('"', "\"\""))).await;
        let options = PostgresOptions { schema: Some(schema.to_owned()), ..options.clone() };
        migrations::up(&options).await.unwrap();
        stores.push(open(options).await.unwrap());
    }
    assert!(matches!(open(options).await, Err(OpenError::Migrations { .. })), "public has none");
    put(&*stores[0], row("services", 1)).await.unwrap();
    assert_eq!(stores[1].all().await.unwrap(), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let (ours, other) = (Ca::new("ours"), Ca::new("another"));
    let issued = ours.issue(&["127.0.0.1"]);
    let server = Postgres::tls(TlsFiles { cert: issued.cert.clone(), key: issued.key.clone() }).await;
    let with = async |ssl_verify, ca: &str| PostgresOptions {
        ssl: true,
        ssl_verify,
        ca: ca.as_bytes().to_vec(),
        ..options(&server).await
    };
    let good = with(true, ours.root_pem()).await;
    migrations::up(&good).await.unwrap();
    put(&*open(good.clone()).await.unwrap(), row("services", 1)).await.unwrap();
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'postern' AND NOT ssl";
    assert_eq!(server.sql("postgres", encrypted).await, "0");

    for ca in [other.root_pem(), ""] {
        let error = migrations::up(&with(true, ca).await).await.unwrap_err();
        let OpenError::Store(StoreError::Unavailable(why)) = &error else { panic!("{error}") };
        assert!(why.contains("certificate"), "{why}");
    }
    // Another name than the one in the certificate.
    let named = PostgresOptions { host: "localhost".to_owned(), ..with(true, ours.root_pem()).await };
    assert!(migrations::up(&named).await.is_err());
    migrations::up(&with(false, "").await).await.unwrap();

    let plain = crate::stores::server().await;
    let options = PostgresOptions { ssl: true, ..options(plain).await };
    assert!(migrations::up(&options).await.is_err(), "a server without TLS is not spoken to");
}

/// A password that is found anew when it was refused.
#[derive(Debug, Default)]
struct Rotated {
    refused: AtomicUsize,
}

#[async_trait]
impl Credentials for Rotated {
    async fn current(&self) -> Result<Login, StoreError> {
        let password = format!("secret-{}", self.refused.load(Ordering::SeqCst));
        Ok(Login { user: "rotating".to_owned(), password: Some(password.into()) })
    }

    async fn refused(&self) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_change() {
    let server = server().await;
    let options = prepared(server).await;
    let database = &options.database;
    server.sql(database, "CREATE ROLE rotating LOGIN SUPERUSER PASSWORD 'secret-0'").await;
    let rotated = Arc::new(Rotated::default());
    let options = PostgresOptions { credentials: rotated.clone(), ..options.clone() };
    let store = open(options.clone()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    assert_eq!(rotated.refused.load(Ordering::SeqCst), 0);

    // Those connections that are there go on.
    server.sql(database, "ALTER ROLE rotating PASSWORD 'secret-1'").await;
    put(&*store, row("services", 2)).await.unwrap();
    // All are lost; new ones are refused, and then are not.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'";
    server.sql(database, end).await;
    back(&*store, 3).await;
    assert_eq!(store.all().await.unwrap().1.len(), 3);
    assert!(rotated.refused.load(Ordering::SeqCst) >= 1);

    // One that is wrong, and stays wrong, is in no message.
    let login = Login { user: "rotating".to_owned(), password: Some("hunter2".into()) };
    let wrong = PostgresOptions { credentials: Arc::new(login), ..options };
    let error = open(wrong.clone()).await.unwrap_err();
    let text = format!("{error} {error:?} {wrong:?} {store:?}");
    assert!(text.contains("28P01") && !text.contains("hunter2") && !text.contains("secret-"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_given_up_and_found_again() {
    let server = Postgres::start().await;
    let store = open(prepared(&server).await).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    server.stop();
    let (reading, writing) = tokio::join!(
        timeout(SOON, store.get("services", id(1))),
        timeout(SOON, put(&*store, row("services", 2)))
    );
    away(reading);
    away(writing);
    away(timeout(SOON, store.ping()).await);
    // Many do not wait for each other.
    let many = (0..20).map(|number| timeout(SOON, store.get("services", id(number))));
    futures_util::future::join_all(many).await.into_iter().for_each(away);
    server.go_on();
    back(&*store, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_found_again() {
    let mut server = Postgres::start().await;
    let options = prepared(&server).await;
    let store = open(options.clone()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    let revision = store.all().await.unwrap().0;
    server.kill().await;
    let asked = Instant::now();
    away(timeout(SOON, store.get("services", id(1))).await);
    away(timeout(SOON, put(&*store, row("services", 2))).await);
    away(timeout(SOON, store.all()).await);
    assert!(asked.elapsed() < SOON, "whoever is refused does not wait");
    server.start_again().await;
    back(&*store, 3).await;
    // What others write is seen again, too.
    let other = open(options).await.unwrap();
    let before = store.all().await.unwrap().0;
    assert!(before > revision);
    let (woken, _) = tokio::join!(timeout(SOON, store.changed(before)), put(&*other, row("services", 4)));
    woken.expect("it is woken");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_somebody_ends_are_made_anew() {
    let server = server().await;
    let options = prepared(server).await;
    let (here, there) = (open(options.clone()).await.unwrap(), open(options.clone()).await.unwrap());
    for round in 0..3 {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' \
                           AND pid != pg_backend_pid()",
            options.database
        );
        server.sql("postgres", &end).await;
        // What was idle is seen to be dead before it is used, and whoever listens does so again.
        let written = put(&*here, row("services", round)).await.unwrap();
        timeout(SOON, there.changed(written.revision - 1)).await.expect("it is seen");
        assert_eq!(there.all().await.unwrap().0, written.revision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_the_turn_makes_writing_unavailable_and_no_more() {
    let options = prepared(server().await).await;
    let store = open(options.clone()).await.unwrap();
    // Somebody has the turn, and does nothing with it.
    let mut other = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(options.port)
        .database(&options.database)
        .username(Postgres::USER)
        .password(Postgres::PASSWORD)
        .connect()
        .await
        .unwrap();
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('postern'), hashtext('public'))";
    other.execute(lock).await.unwrap();
    let waiting = (0..100).map(|number| timeout(SOON, put(&*store, row("services", number))));
    // Also those behind the first 64 are told soon.
    futures_util::future::join_all(waiting).await.into_iter().for_each(away);
    assert!(store.get("services", id(1)).await.unwrap().is_none(), "and one can read");
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(put(&*store, row("services", 1)).await.unwrap().revision, 1);
}
